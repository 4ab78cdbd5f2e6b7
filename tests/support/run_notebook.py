"""Runs the notebook of the documentation, and stores its outputs in it.

PYTHONPATH=tests python -m support.run_notebook
"""

import base64
import io
import resource
import tempfile
import time
from pathlib import Path

import nbclient
import nbformat
from PIL import Image

NOTEBOOK = Path(__file__).parents[2] / "docs" / "first_gan.ipynb"
COLORS = 128


def run(source, folder):
    """Returns the notebook after all its cells have run in a folder."""
    notebook = nbformat.reads(source, as_version=4)
    nbclient.NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    return notebook


def shrink(data):
    """Keeps pictures as PNG only. Those in color get a palette."""
    data.pop("image/jpeg", None)
    if "image/png" in data:
        picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
        if picture.mode != "L":
            # Without k-means, thin lines lose their color.
            picture = picture.convert("RGB").quantize(COLORS, kmeans=9999)
        file = io.BytesIO()
        picture.save(file, "PNG", optimize=True)
        data["image/png"] = base64.b64encode(file.getvalue()).decode()


def main():
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        notebook = run(NOTEBOOK.read_text(), folder)
    seconds = time.monotonic() - begin
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            # TensorFlow's C++ code logs while it is imported.
            cell.outputs = [
                output
                for output in cell.outputs
                if "absl::InitializeLog" not in output.get("text", "")
            ]
            for output in cell.outputs:
                shrink(output.get("data", {}))
    nbformat.write(notebook, NOTEBOOK)
    processor = usage.ru_utime + usage.ru_stime
    print(f"{seconds:.0f} s, of which the processor worked {processor:.0f} s")


if __name__ == "__main__":
    main()
