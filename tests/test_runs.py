"""The files of a run; tests of the callbacks and of faults cover the rest."""

import json
import zipfile

import keras
import pytest
from support.models import make_model, train

from gan_blocks import runs
from gan_blocks.callbacks import EpochCheckpoint


def test_a_run_folder_names_its_files(tmp_path):
    run = runs.RunFolder(str(tmp_path / "run"))
    assert run.checkpoints == tmp_path / "run" / "checkpoints"
    assert run.grids == tmp_path / "run" / "grids"
    assert run.history == tmp_path / "run" / "history.csv"
    assert run.settings_file == tmp_path / "run" / "arguments.json"
    assert run.real_images == tmp_path / "run" / "real.png"
    assert run.neighbors == tmp_path / "run" / "neighbors.png"
    assert run.summary_file == tmp_path / "run" / "summary.json"
    assert run.page == tmp_path / "run" / "index.html"
    assert run.latest_checkpoint() is None
    assert not run.path.exists()


def test_settings_are_read_as_they_were_written(tmp_path):
    run = runs.RunFolder(tmp_path / "run")
    with pytest.raises(FileNotFoundError):
        run.read_settings()
    run.write_settings({"seed": 3, "name": "Cañas", "data": tmp_path})
    expected = {"seed": 3, "name": "Cañas", "data": str(tmp_path)}
    assert run.read_settings() == expected


@pytest.mark.parametrize("text", ["{", "[1]", "[" * 100_000])
def test_damaged_settings_are_a_value_error(tmp_path, text):
    run = runs.RunFolder(tmp_path)
    run.settings_file.write_text(text)
    with pytest.raises(ValueError):
        run.read_settings()


def test_the_latest_checkpoint_is_the_newest_undamaged_one(tmp_path, caplog):
    assert runs.latest_checkpoint(tmp_path / "none") is None
    (tmp_path / "best.keras").write_text("not ours")
    assert runs.latest_checkpoint(tmp_path) is None
    whole = tmp_path / "epoch_0002.keras"
    for path in (tmp_path / "epoch_0001.keras", whole):
        make_model().save(path)
    assert runs.latest_checkpoint(str(tmp_path)) == whole
    assert not caplog.records
    half = whole.read_bytes()[: whole.stat().st_size // 2]
    (tmp_path / "epoch_0003.keras").write_bytes(half)
    assert runs.latest_checkpoint(tmp_path) == whole
    (message,) = caplog.messages
    assert "epoch_0003.keras is damaged" in message


def test_checkpoints_are_listed_in_the_order_of_training(tmp_path):
    places = [(2, None), (2, 9), (2, 10), (3, None), (9999, None), (10_000, 1)]
    names = [runs.checkpoint_name(*place) for place in places]
    for name in [*reversed(names), "epoch_12.keras", "epoch_0001.png"]:
        (tmp_path / name).touch()
    assert [path.name for path in runs.list_checkpoints(tmp_path)] == names


def save_checkpoint(folder, epoch, step):
    path = folder / runs.checkpoint_name(epoch)
    with zipfile.ZipFile(path, "w"):
        pass
    runs.write_manifest(path, epoch, step)
    return path


def test_the_newest_checkpoint_has_the_highest_step(tmp_path, caplog):
    for epoch in (8, 9, 10):
        save_checkpoint(tmp_path, epoch, step=10 * epoch)
    for epoch in (3, 4):  # Epochs became five times as long.
        save_checkpoint(tmp_path, epoch, step=50 * epoch)
    found = [int(p.stem[-4:]) for p in runs.list_checkpoints(tmp_path)]
    assert found == [8, 9, 10, 3, 4]
    # Damaged checkpoints follow the epoch before them.
    (tmp_path / "epoch_0001.keras").write_bytes(b"")
    (tmp_path / "epoch_0005.keras").write_bytes(b"damaged")
    found = [int(p.stem[-4:]) for p in runs.list_checkpoints(tmp_path)]
    assert found == [1, 8, 9, 10, 3, 4, 5]
    assert runs.latest_checkpoint(tmp_path) == tmp_path / "epoch_0004.keras"
    assert len(caplog.messages) == 1


def test_a_checkpoint_that_training_removes_is_not_called_damaged(
    tmp_path, monkeypatch, caplog
):
    for epoch in (1, 2):
        path = save_checkpoint(tmp_path, epoch, step=epoch)
    find_damage = runs.find_damage

    def find_too_late(path):
        path.unlink()
        save_checkpoint(tmp_path, 3, step=3)
        monkeypatch.setattr(runs, "find_damage", find_damage)
        return find_damage(path)

    monkeypatch.setattr(runs, "find_damage", find_too_late)
    assert runs.latest_checkpoint(tmp_path) == tmp_path / "epoch_0003.keras"
    assert not path.exists() and not caplog.records


MANIFEST = {
    "gan_blocks": "0.1.0",
    "keras": "3.15.1",
    "backend": "jax",
    "epoch": 1,
    "step": 625,
    "arguments": None,
}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[1, 2]",
        "[" * 100_000,
        "9" * 10_000,
        " " * 2**25,
        json.dumps({**MANIFEST, "step": float("inf")}),
        json.dumps({**MANIFEST, "epoch": "1"}),
        json.dumps({**MANIFEST, "arguments": [1]}),
        json.dumps({"step": 625}),
    ],
    ids=lambda content: content[:20],
)
def test_a_damaged_manifest_is_a_value_error(tmp_path, content):
    path = tmp_path / "odd.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("gan_blocks.json", content)
    with pytest.raises(ValueError, match=r"`path` must be .*odd\.keras.*\("):
        runs.read_manifest(path)


@pytest.mark.parametrize(
    "text",
    [
        "step\n4\n",
        "epoch,step\n1,-4\n",
        f"epoch,step\n1,{'9' * 5000}\n",
        f"epoch,step,loss\n1,4,{'9' * 200_000}\n",
        "epoch,step\n1,\xff\n",
    ],
    ids=["no epoch", "negative", "large", "long", "no UTF-8"],
)
def test_a_damaged_history_is_a_value_error(tmp_path, text):
    path = tmp_path / "odd.csv"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"`path` must be .*odd\.csv") as error:
        runs.read_history(path)
    assert len(str(error.value)) < 500


def test_a_history_may_have_cells_without_a_column(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("\ufeffepoch,step\n1,4,5,6\n", encoding="utf-8")
    assert runs.read_history(path) == [{"epoch": "1", "step": "4"}]


def test_a_manifest_belongs_to_a_file_that_a_callback_saved(tmp_path):
    model = make_model()
    arguments = {"seed": 3, "data": tmp_path}
    checkpoint = EpochCheckpoint(tmp_path, arguments=arguments)
    train(model, checkpoint, steps=2, epochs=2)
    manifest = runs.read_manifest(tmp_path / "epoch_0002.keras")
    assert manifest == {
        "gan_blocks": "0.1.0",
        "keras": keras.version(),
        "backend": keras.backend.backend(),
        "epoch": 2,
        "step": 4,
        "arguments": {"seed": 3, "data": str(tmp_path)},
    }
    model.save(tmp_path / "plain.keras")
    with pytest.raises(ValueError, match="`path` must be .*plain.keras"):
        runs.read_manifest(tmp_path / "plain.keras")


@pytest.mark.every_backend
def test_steps_are_counted_by_the_optimizer():
    model = make_model()
    assert runs.steps_done(model) == 0
    train(model, steps=3, epochs=2)
    assert runs.steps_done(model) == 6
    assert runs.steps_done(keras.Sequential([keras.layers.Dense(1)])) == 0
