"""The notebook of the documentation."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "first_gan.ipynb"


def test_the_notebook_contains_no_outputs_and_no_local_paths():
    text = NOTEBOOK.read_text()
    for cell in json.loads(text)["cells"]:
        assert not cell.get("outputs") and not cell.get("execution_count")
    assert not any(path in text for path in ("/home", "/Users", "/root"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_notebook_runs_and_shows_an_image_during_training(
    tmp_path, monkeypatch
):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    source = NOTEBOOK.read_text()
    assert source.count("epochs=8") == 1
    short = source.replace("epochs=8", "epochs=1")
    notebook = nbformat.reads(short, as_version=4)
    nbclient.NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    (cell,) = [cell for cell in notebook.cells if "gan.fit(" in cell.source]
    shown = [out for out in cell.outputs if "image/png" in out.get("data", {})]
    assert len(shown) == 1
    assert (tmp_path / "first_gan.keras").is_file()
    grids = [path.name for path in (tmp_path / "grids").iterdir()]
    assert grids == ["step_0000020.png"]
