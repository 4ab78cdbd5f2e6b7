"""Disks that are full, folders that are gone, files that are damaged."""

import contextlib
import os
import resource

from gan_blocks import GAN, callbacks, images
import keras
import numpy as np
import pytest

LIMIT = 100_000  # bytes a file may have on the full disk below


def make_gan():
    # Large enough for pictures and models beyond the limit.
    latents = keras.Input((8,))
    pixels = keras.layers.Dense(64 * 64 * 3, activation="tanh")(latents)
    pictures = keras.layers.Reshape((64, 64, 3))(pixels)
    generator = keras.Model(latents, pictures)
    logits = keras.layers.Dense(1)(keras.layers.Flatten()(pictures))
    gan = GAN(generator, keras.Model(pictures, logits), seed=0)
    gan.compile("sgd", "sgd")
    return gan


def fit(gan, *recorders, epochs=3, first=0):
    real_images = np.random.default_rng(0).uniform(-1, 1, (4, 64, 64, 3))
    gan.fit(
        real_images,
        batch_size=2,
        initial_epoch=first,
        epochs=epochs,
        verbose=0,
        callbacks=list(recorders),
    )
    return int(gan.optimizer.iterations)


@contextlib.contextmanager
def full_disk(size=LIMIT):
    """Lets writes fail as the operating system does, beyond some size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def names(folder):
    return sorted(os.listdir(folder))


def test_pictures_that_do_not_fit_on_the_disk_are_one_warning(tmp_path, caplog):
    pictures = callbacks.ImageGrid(tmp_path, every_n_batches=1, rows=8)
    with full_disk():
        assert fit(make_gan(), pictures) == 6
    (message,) = caplog.messages
    assert message.startswith(f"Pictures cannot be written to {tmp_path}; tr")
    assert names(tmp_path) == []


def test_pictures_are_tried_again_after_a_fault(tmp_path, caplog):
    pictures = callbacks.ImageGrid(tmp_path / "grids", every_n_epochs=1)

    def block(epoch, logs):
        if epoch == 1:
            (tmp_path / "grids").rename(tmp_path / "moved")
            (tmp_path / "grids").touch()
        if epoch == 2:
            (tmp_path / "grids").unlink()

    gate = keras.callbacks.LambdaCallback(on_epoch_begin=block)
    fit(make_gan(), gate, pictures)
    assert names(tmp_path / "moved") == ["epoch_0001.png"]
    assert names(tmp_path / "grids") == ["epoch_0003.png"]
    assert len(caplog.messages) == 1


def test_a_run_whose_pictures_have_no_folder_begins_all_the_same(
    tmp_path, caplog
):
    (tmp_path / "file").touch()
    pictures = callbacks.ImageGrid(tmp_path / "file" / "grids")
    assert fit(make_gan(), pictures, epochs=1) == 2
    assert len(caplog.messages) == 1


def test_a_table_that_cannot_be_written_is_one_warning(tmp_path, caplog):
    folder = tmp_path / "run"
    table = callbacks.HistoryTable(folder / "history.csv")

    def block(epoch, logs):
        if epoch == 1:
            folder.rename(tmp_path / "moved")
            folder.touch()
        if epoch == 3:
            folder.unlink()

    gate = keras.callbacks.LambdaCallback(on_epoch_begin=block)
    fit(make_gan(), gate, table, epochs=4)
    (message,) = caplog.messages
    assert "history.csv cannot be written; training goes on." in message
    # Nothing is missing once it can be written again.
    lines = (folder / "history.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch", *"1234"]


def test_a_checkpoint_that_does_not_fit_is_an_error_that_names_the_last(
    tmp_path,
):
    checkpoint = callbacks.EpochCheckpoint(tmp_path, 1, keep=1)
    gan = make_gan()
    fit(gan, checkpoint, epochs=1)
    whole = (tmp_path / "epoch_0001.keras").read_bytes()
    with full_disk(), pytest.raises(OSError) as raised:
        fit(gan, checkpoint, first=1)
    message = str(raised.value)
    assert f"{tmp_path}/epoch_0002.keras could not be saved" in message
    assert f"The last whole one is {tmp_path}/epoch_0001.keras." in message
    assert int(gan.optimizer.iterations) == 4
    assert names(tmp_path) == ["epoch_0001.keras"]
    assert (tmp_path / "epoch_0001.keras").read_bytes() == whole


def test_checkpoints_go_into_a_new_folder_if_theirs_has_vanished(tmp_path):
    folder = tmp_path / "checkpoints"

    def vanish(epoch, logs):
        if epoch == 1:
            folder.rename(tmp_path / "moved")

    gate = keras.callbacks.LambdaCallback(on_epoch_begin=vanish)
    fit(make_gan(), gate, callbacks.EpochCheckpoint(folder, 1))
    assert names(folder) == ["epoch_0002.keras", "epoch_0003.keras"]


def test_old_checkpoints_that_cannot_be_removed_are_one_warning(
    tmp_path, caplog
):
    checkpoint = callbacks.EpochCheckpoint(tmp_path, 1, keep=1)
    # A folder of such a name cannot be removed like a file.
    (tmp_path / "epoch_0000.keras").mkdir()
    assert fit(make_gan(), checkpoint) == 6
    assert names(tmp_path) == ["epoch_0000.keras", "epoch_0003.keras"]
    (message,) = caplog.messages
    assert message.startswith("Old checkpoints cannot be removed; training")


def test_what_a_killed_process_left_is_removed_when_training_begins(tmp_path):
    (tmp_path / ".unfinished_abc").mkdir()
    (tmp_path / ".unfinished_abc" / "epoch_0009.keras").write_text("half")
    (tmp_path / ".mine").mkdir()
    fit(make_gan(), callbacks.EpochCheckpoint(tmp_path), epochs=1)
    assert names(tmp_path) == [".mine", "epoch_0001.keras"]
    images.remove_unfinished(tmp_path / "nowhere")


def flip_one_bit(path, where):
    content = bytearray(path.read_bytes())
    content[where] ^= 1
    path.write_bytes(content)


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(
    tmp_path, caplog
):
    fit(make_gan(), callbacks.EpochCheckpoint(tmp_path, 1), epochs=4)
    second, third, fourth = (
        tmp_path / f"epoch_000{i}.keras" for i in (2, 3, 4)
    )
    fourth.write_bytes(b"")
    flip_one_bit(third, third.stat().st_size // 2)
    assert callbacks.latest_checkpoint(tmp_path) == second
    zero_bytes, flipped = caplog.messages
    assert f"{fourth} is damaged (BadZipFile: File is not a zip" in zero_bytes
    assert "model.weights.h5 in it is not what was saved" in flipped
    flip_one_bit(second, second.stat().st_size // 3)
    flip_one_bit(tmp_path / "epoch_0001.keras", -10)
    caplog.clear()
    assert callbacks.latest_checkpoint(tmp_path) is None
    assert len(caplog.messages) == 4


def test_a_checkpoint_says_where_it_comes_from(tmp_path):
    checkpoint = callbacks.EpochCheckpoint(
        tmp_path, 1, arguments={"seed": 3, "data": tmp_path}
    )
    gan = make_gan()
    fit(gan, checkpoint, epochs=2)
    path = callbacks.latest_checkpoint(tmp_path)
    assert callbacks.read_manifest(path) == {
        "gan_blocks": "0.1.0",
        "keras": keras.version(),
        "backend": keras.backend.backend(),
        "epoch": 2,
        "step": 4,
        "arguments": {"seed": 3, "data": str(tmp_path)},
    }
    gan.save(tmp_path / "plain.keras")
    (tmp_path / "text.keras").write_text("text")
    for name in ("plain.keras", "text.keras"):
        with pytest.raises(ValueError, match=f"`path` must be .*{name}"):
            callbacks.read_manifest(tmp_path / name)


def test_arguments_that_cannot_be_stored_are_an_error_before_training(tmp_path):
    checkpoint = callbacks.EpochCheckpoint(tmp_path, arguments={(1, 2): 3})
    gan = make_gan()
    with pytest.raises(TypeError, match="keys must be"):
        fit(gan, checkpoint)
    assert int(gan.optimizer.iterations) == 0
