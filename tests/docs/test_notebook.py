"""The notebook of the documentation, and the outputs that are stored in it."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "first_gan.ipynb"
HEALTHY = "No sign of mode collapse"
# What the cells that train say at the end, in order.
VERDICTS = {
    "history = train(gan": HEALTHY,
    "train(least_squares": HEALTHY,
    "train(pairing": HEALTHY,
    "train(collapsed": "Mode collapse and discriminator dominates",
    "train(dominated": "Discriminator dominates",
    "train(repaired": HEALTHY,
    "train(at_chance": "Discriminator at chance",
}


def stored_cells():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def printed(cell, name):
    return "".join(
        "".join(output["text"])
        for output in cell["outputs"]
        if output.get("name") == name
    )


def pictures(cell):
    outputs = [output.get("data", {}) for output in cell["outputs"]]
    return [data["image/png"] for data in outputs if "image/png" in data]


def cell_with(cells, text):
    (cell,) = [cell for cell in cells if text in "".join(cell["source"])]
    return cell


def test_the_stored_outputs_are_small_complete_and_of_one_run():
    cells = stored_cells()
    counts = [cell["execution_count"] for cell in cells]
    assert counts == [*range(1, len(cells) + 1)]
    assert NOTEBOOK.stat().st_size < 1_500_000
    for cell in cells:
        text = "".join(cell["source"])
        for output in cell["outputs"]:
            assert output["output_type"] != "error"
            text += "".join(output.get("text", ""))
            text += "".join(output.get("data", {}).get("text/plain", ""))
        assert not re.search("/(home|Users|root|tmp|content)/|WARNING", text)
        assert "Traceback" not in text


@pytest.mark.parametrize("source", VERDICTS)
def test_the_stored_outputs_show_what_each_run_says(source):
    cell = cell_with(stored_cells(), source)
    verdict = VERDICTS[source]
    assert printed(cell, "stdout").startswith(f"{verdict}: spread ")
    assert len(pictures(cell)) == 1
    warnings = printed(cell, "stderr")
    if verdict == HEALTHY:
        assert not warnings
    else:
        for problem in verdict.lower().split(" and "):
            assert re.search(rf"^Epoch [234]: {problem} \(", warnings, re.M)


@pytest.mark.slow
@pytest.mark.every_backend
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_notebook_runs_without_a_network(tmp_path, monkeypatch):
    pytest.importorskip("ipykernel")
    run_notebook = pytest.importorskip("support.run_notebook")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    source = NOTEBOOK.read_text()
    for old, new in {
        "STEPS = 100 ": "STEPS = 7 ",
        r"(\"storage.googleapis.com\", 443)": r"(\"127.0.0.1\", 9)",
    }.items():
        assert source.count(old) == 1
        source = source.replace(old, new)
    notebook = run_notebook.run(source, tmp_path)
    assert "1,797 images" in printed(
        cell_with(notebook.cells, "samples.digits()"), "stdout"
    )
    for text in VERDICTS:
        cell = cell_with(notebook.cells, text)
        assert len(pictures(cell)) == 1
        assert "spread" in printed(cell, "stdout")
    assert (tmp_path / "first_gan.keras").is_file()
