"""The files of a run; tests of the callbacks and of faults cover the rest."""

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


@pytest.mark.parametrize("text", ["{", "[1]"])
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
