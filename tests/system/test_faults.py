"""Full disks, missing folders and damaged files during training."""

import keras
import numpy as np
import pytest
from support.disks import full_disk
from support.models import list_names

from gan_blocks import GAN, callbacks, networks, runs

SHAPE = (64, 64, 3)  # Grids and checkpoints are larger than `full_disk`.


def make_gan():
    gan = GAN(
        networks.mlp_generator(SHAPE, 8, units=()),
        networks.mlp_discriminator(SHAPE, units=()),
        seed=0,
    )
    gan.compile("sgd", "sgd")
    return gan


def fit(gan, *used_callbacks, epochs=3, **options):
    """Trains two steps per epoch and returns the steps of the GAN."""
    options |= {"batch_size": 2, "epochs": epochs, "verbose": 0}
    images = np.random.default_rng(0).uniform(-1, 1, (4, *SHAPE))
    gan.fit(images, callbacks=list(used_callbacks), **options)
    return runs.steps_done(gan)


def at_epoch(actions):
    """Returns a callback that calls a function before the given epochs."""
    return keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: actions.get(epoch, lambda: None)()
    )


def test_grids_that_do_not_fit_on_the_disk_are_one_warning(tmp_path, caplog):
    grids = callbacks.ImageGrid(tmp_path, every_n_batches=1, rows=8)
    with full_disk():
        assert fit(make_gan(), grids) == 6
    (message,) = caplog.messages
    assert message.startswith(f"Images cannot be written to {tmp_path}")
    assert "training continues" in message
    assert list_names(tmp_path) == []


def replace_by_file(folder, moved_to):
    folder.rename(moved_to)
    folder.touch()


def test_grids_are_written_again_after_a_fault(tmp_path, caplog):
    folder, moved = tmp_path / "grids", tmp_path / "moved"
    faults = at_epoch(
        {1: lambda: replace_by_file(folder, moved), 2: folder.unlink}
    )
    fit(make_gan(), faults, callbacks.ImageGrid(folder, every_n_epochs=1))
    assert list_names(moved) == ["epoch_0001.png"]
    assert list_names(folder) == ["epoch_0003.png"]
    assert len(caplog.messages) == 1


def test_training_starts_even_if_the_folder_of_the_grids_cannot_be_created(
    tmp_path, caplog
):
    (tmp_path / "file").touch()
    grids = callbacks.ImageGrid(tmp_path / "file" / "grids")
    assert fit(make_gan(), grids, epochs=1) == 2
    assert len(caplog.messages) == 1


def test_a_history_that_cannot_be_written_is_one_warning(tmp_path, caplog):
    folder = tmp_path / "run"
    moved = tmp_path / "moved"
    faults = at_epoch(
        {1: lambda: replace_by_file(folder, moved), 3: folder.unlink}
    )
    table = callbacks.HistoryTable(folder / "history.csv")
    fit(make_gan(), faults, table, epochs=4)
    (message,) = caplog.messages
    assert "history.csv cannot be written" in message
    assert "training continues" in message
    # The rows of the fault are written later.
    rows = runs.read_history(folder / "history.csv")
    assert [row["epoch"] for row in rows] == list("1234")


def test_a_checkpoint_that_does_not_fit_is_an_error_that_names_the_last_one(
    tmp_path,
):
    checkpoint = callbacks.EpochCheckpoint(tmp_path, 1, keep=1)
    gan = make_gan()
    fit(gan, checkpoint, epochs=1)
    content = (tmp_path / "epoch_0001.keras").read_bytes()
    with full_disk(), pytest.raises(OSError) as raised:
        fit(gan, checkpoint, initial_epoch=1)
    message = str(raised.value)
    assert f"{tmp_path}/epoch_0002.keras could not be saved" in message
    assert f"checkpoint is {tmp_path}/epoch_0001.keras." in message
    assert runs.steps_done(gan) == 4
    assert list_names(tmp_path) == ["epoch_0001.keras"]
    assert (tmp_path / "epoch_0001.keras").read_bytes() == content


def test_checkpoints_go_into_a_new_folder_if_the_old_one_is_gone(tmp_path):
    folder = tmp_path / "checkpoints"
    fault = at_epoch({1: lambda: folder.rename(tmp_path / "moved")})
    fit(make_gan(), fault, callbacks.EpochCheckpoint(folder, 1))
    assert list_names(folder) == ["epoch_0002.keras", "epoch_0003.keras"]


def test_old_checkpoints_that_cannot_be_removed_are_one_warning(
    tmp_path, caplog
):
    checkpoint = callbacks.EpochCheckpoint(tmp_path, 1, keep=1)
    # A folder cannot be removed like a file.
    (tmp_path / "epoch_0000.keras").mkdir()
    assert fit(make_gan(), checkpoint) == 6
    assert list_names(tmp_path) == ["epoch_0000.keras", "epoch_0003.keras"]
    (message,) = caplog.messages
    assert message.startswith("Old checkpoints cannot be removed")


def test_leftovers_of_a_killed_process_are_removed_when_training_starts(
    tmp_path,
):
    (tmp_path / ".unfinished_abc").mkdir()
    (tmp_path / ".unfinished_abc" / "epoch_0009.keras").write_text("half")
    (tmp_path / ".mine").mkdir()
    fit(make_gan(), callbacks.EpochCheckpoint(tmp_path), epochs=1)
    assert list_names(tmp_path) == [".mine", "epoch_0001.keras"]


def flip_one_bit(path, where):
    content = bytearray(path.read_bytes())
    content[where] ^= 1
    path.write_bytes(content)


def test_a_damaged_checkpoint_is_reported_and_the_previous_one_is_used(
    tmp_path, caplog
):
    fit(make_gan(), callbacks.EpochCheckpoint(tmp_path, 1), epochs=4)
    first, second, third, fourth = runs.list_checkpoints(tmp_path)
    fourth.write_bytes(b"")
    flip_one_bit(third, third.stat().st_size // 2)
    assert runs.latest_checkpoint(tmp_path) == second
    empty, flipped = caplog.messages
    assert f"{fourth} is damaged (BadZipFile: File is not a zip" in empty
    assert f"{third} is damaged" in flipped
    assert "model.weights.h5" in flipped
    flip_one_bit(second, second.stat().st_size // 3)
    flip_one_bit(first, -10)
    caplog.clear()
    assert runs.latest_checkpoint(tmp_path) is None
    assert len(caplog.messages) == 4
    with pytest.raises(ValueError, match="`path` must be .*epoch_0004"):
        runs.read_manifest(fourth)


def test_settings_that_cannot_be_stored_are_an_error_before_training(tmp_path):
    checkpoint = callbacks.EpochCheckpoint(tmp_path, arguments={(1, 2): 3})
    gan = make_gan()
    with pytest.raises(TypeError, match="keys must be"):
        fit(gan, checkpoint)
    assert runs.steps_done(gan) == 0
