"""Where a run has come to, and what is left of it."""

import json
import logging
import pathlib
import re
import zipfile

from gan_blocks.callbacks import counts

MANIFEST = "gan_blocks.json"  # Its name in the archive that a checkpoint is.

_logger = logging.getLogger(__package__)
_NAME = re.compile(r"epoch_(\d{4,})(?:_step_(\d{7,}))?\.keras")


def latest_checkpoint(directory):
    """Finds the checkpoint to continue a run from.

    A checkpoint is an archive that holds a checksum of everything in it. One
    which does not agree with them, since its disk is failing or a copy of it
    did not finish, is named in a warning of the logger `gan_blocks.callbacks`,
    and the one before it is taken.

    Args:
        directory: The folder that was given to `EpochCheckpoint`. It need not
            exist.

    Returns:
        The `pathlib.Path` of the whole checkpoint with the highest epoch and,
        in the middle of it, the highest step; `None` if there is none.

    Example:

    ```python
    from gan_blocks import callbacks

    assert callbacks.latest_checkpoint("a_folder_that_is_not_there") is None
    ```
    """
    for path in reversed(checkpoints(pathlib.Path(directory))):
        damage = _damage(path)
        if damage is None:
            return path
        _logger.warning(
            "%s is damaged (%s). The checkpoint before it is taken.",
            path,
            damage,
        )
    return None


def _damage(path):
    """Returns what is wrong with an archive; `None` if it is whole."""
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except Exception as error:  # a damaged archive makes zipfile raise anything
        return f"{type(error).__name__}: {error}"
    return broken and f"{broken} in it is not what was saved"


def read_manifest(path):
    """Reads what a checkpoint says of itself.

    Args:
        path: A file saved by `EpochCheckpoint`.

    Returns:
        Dictionary of `gan_blocks`, `keras` (the versions that saved it),
        `backend`, `epoch` (how many are whole), `step` (how many the model's
        optimizer has counted) and the `arguments` that `EpochCheckpoint` was
        given. The same stands in the archive as `gan_blocks.json`.

    Raises:
        ValueError: If the file is no archive, or has no manifest.

    Example:

    ```python
    import tempfile

    import keras
    import numpy as np

    from gan_blocks import callbacks

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mean_squared_error")
    data = np.zeros((8, 2)), np.zeros((8, 1))
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = callbacks.EpochCheckpoint(folder, arguments={"seed": 3})
        model.fit(*data, batch_size=4, callbacks=[checkpoint], verbose=0)
        manifest = callbacks.read_manifest(f"{folder}/epoch_0001.keras")
    assert manifest["step"] == 2
    assert manifest["arguments"] == {"seed": 3}
    ```
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read(MANIFEST))
    except (KeyError, zipfile.BadZipFile) as error:
        raise ValueError(
            "`path` must be a checkpoint that `EpochCheckpoint` saved. "
            f"Received: path={str(path)!r} ({error})"
        ) from error


def rest_of_run(model, epochs, steps_per_epoch):
    """Says what `fit` has to do so that a run gets all of its epochs.

    For runs that may be stopped anywhere, by `StopOnSignal` for example. Where
    the model stands is known from the steps that its optimizer has counted. An
    epoch that was stopped in its middle is ended first, and the others come
    after it: so there are two calls of `fit` to make at the most, and one for
    a model that stands at the end of an epoch. If one of them is stopped, by
    whatever sets `model.stop_training`, there are no others.

    The data must go on where it was, too: `datasets.batches` does so with
    `repeat=True` and `skip`, the number of steps that are done.

    Args:
        model: A compiled Keras model.
        epochs: How many epochs the run has in all.
        steps_per_epoch: How many steps make an epoch.

    Yields:
        The number of steps that are done, and a dictionary of `fit`'s
        arguments: `initial_epoch`, `epochs` and `steps_per_epoch`.

    Raises:
        ValueError: If a number is not a positive integer.

    Example:

    ```python
    import keras
    import numpy as np

    import gan_blocks
    from gan_blocks import callbacks, datasets

    gan = gan_blocks.GAN(
        gan_blocks.networks.mlp_generator((8, 8, 1), latent_dim=16),
        gan_blocks.networks.mlp_discriminator((8, 8, 1)),
    )
    gan.compile("adam", "adam")
    images = np.zeros((32, 8, 8, 1), "uint8")
    for steps_done, rest in callbacks.rest_of_run(gan, 3, steps_per_epoch=4):
        batches = datasets.batches(images, 8, repeat=True, skip=steps_done)
        gan.fit(batches, **rest, shuffle=False, verbose=0)
    assert int(gan.optimizer.iterations) == 12
    ```
    """
    counts.check_positive("epochs", epochs)
    counts.check_positive("steps_per_epoch", steps_per_epoch)
    while True:
        steps_done = counts.iterations(model)
        epoch, step = divmod(steps_done, steps_per_epoch)
        if epoch >= epochs:
            return
        yield (
            steps_done,
            {
                "initial_epoch": epoch,
                "epochs": epoch + 1 if step else epochs,
                "steps_per_epoch": steps_per_epoch - step,
            },
        )
        if model.stop_training or counts.iterations(model) == steps_done:
            return


def checkpoints(directory):
    """Returns the paths of the checkpoints in a folder, oldest first."""
    return sorted(filter(place, directory.glob("epoch_*.keras")), key=place)


def place(path):
    """Returns the epoch and the step in a checkpoint's name, if it is one."""
    match = _NAME.fullmatch(path.name)
    # A whole epoch comes before all steps of the next.
    return match and (int(match[1]), int(match[2] or -1))
