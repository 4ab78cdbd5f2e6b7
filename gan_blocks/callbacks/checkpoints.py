"""Checkpoints, from which a run can be continued."""

import logging
import os
import pathlib
import re
import zipfile

import keras

from gan_blocks import images
from gan_blocks.callbacks import counts

_logger = logging.getLogger(__package__)
_NAME = re.compile(r"epoch_(\d{4,})(?:_step_(\d{7,}))?\.keras")


class EpochCheckpoint(keras.callbacks.Callback):
    """Saves the whole model every few epochs and at the end of training.

    Files are called after their place in the run, and names sort in time:
    `epoch_0005.keras` is the end of epoch 5. Where training is stopped in the
    middle of an epoch, by `StopOnSignal` for example, the model is saved as
    `epoch_0005_step_0000923.keras`: 5 epochs are whole, and the model's
    optimizer has counted 923 steps (`iterations`) in all. The next `fit` can
    then do the rest of epoch 6 (`initial_epoch=5, epochs=6` and
    `steps_per_epoch` the steps that are left of it), which ends in
    `epoch_0006.keras`. An epoch of unknown length, that of a dataset which
    does not tell its cardinality without `steps_per_epoch`, counts as whole
    wherever it is stopped.

    Each file is written aside and then moved into place: a save that is cut
    short, by a full disk or Ctrl-C, leaves no broken file. (A process that is
    killed in the middle of it leaves a folder `.unfinished_*`, which can go.)
    A model whose weights are not all finite is not worth continuing and is not
    saved, so that a run that diverged does not push out the checkpoints from
    before; a warning is logged instead. `latest_checkpoint` finds the file to
    continue from.

    Args:
        directory: Folder for the files; made when training begins.
        every_n_epochs: Save after every so many epochs. Defaults to 5. When
            `fit` ends at an epoch in between, or in the middle of one, that
            is saved too.
        keep: How many checkpoints to keep, of both kinds together, counted
            back from the one just saved. Older ones are removed, files with
            other names never are. By default all are kept.

    Raises:
        ValueError: If `every_n_epochs` or `keep` is not a positive integer.

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
        checkpoint = callbacks.EpochCheckpoint(folder, every_n_epochs=2)
        model.fit(*data, epochs=3, callbacks=[checkpoint], verbose=0)
        path = callbacks.latest_checkpoint(folder)
        assert path.name == "epoch_0003.keras"

        model = keras.saving.load_model(path)
        epochs_done = int(path.stem.split("_")[1])
        model.fit(*data, epochs=4, initial_epoch=epochs_done, verbose=0)
    ```
    """

    def __init__(self, directory, every_n_epochs=5, keep=None):
        super().__init__()
        counts.check_positive("every_n_epochs", every_n_epochs)
        if keep is not None:
            counts.check_positive("keep", keep)
        self.directory = pathlib.Path(directory)
        self.every_n_epochs = every_n_epochs
        self.keep = keep
        self._unsaved = None
        self._last_batch = 0

    def on_train_begin(self, logs=None):
        """Makes the folder, before any time has been spent on training."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._unsaved = None

    def on_train_batch_begin(self, batch, logs=None):
        """Takes note of the batch."""
        # Not when it ends: Keras would wait for the logs of every batch.
        self._last_batch = batch

    def on_epoch_end(self, epoch, logs=None):
        """Saves the model if it is due."""
        if self._is_cut_short():
            self._unsaved = epoch, counts.iterations(self.model)
            self._save()
            return
        self._unsaved = epoch + 1, None
        if (epoch + 1) % self.every_n_epochs == 0:
            self._save()

    def on_train_end(self, logs=None):
        """Saves the model unless the last epoch has been saved."""
        if self._unsaved is not None:
            self._save()

    def _is_cut_short(self):
        """Whether the epoch that has just ended lacks some of its batches."""
        steps = self.params and self.params.get("steps")
        # Data that ran out before `steps_per_epoch` ends an epoch for good.
        if not (steps and self.model.stop_training):
            return False
        # The number of the first batch of the last execution.
        return self._last_batch + self.model.steps_per_execution < steps

    def _save(self):
        (epoch, step), self._unsaved = self._unsaved, None
        model = self.model
        name = f"epoch_{epoch:04d}"
        if step is not None:
            name += f"_step_{step:07d}"
        path = self.directory / f"{name}.keras"
        if not _is_finite(model):
            _logger.warning(
                "%s was not saved: some weights are NaN or infinite.", path
            )
            return
        with images.written_aside(path) as aside:
            model.save(aside)
            # On the disk before older checkpoints are given up for it.
            with open(aside, "rb+") as file:
                os.fsync(file.fileno())
        self._remove_older_than(path)

    def _remove_older_than(self, path):
        if self.keep is None:
            return
        # Later ones would be those of an earlier run in the same folder.
        own = [
            other
            for other in _checkpoints(self.directory)
            if _place(other) <= _place(path)
        ]
        for old in own[: -self.keep]:
            old.unlink(missing_ok=True)


def latest_checkpoint(directory):
    """Finds the checkpoint to continue a run from.

    Args:
        directory: The folder that was given to `EpochCheckpoint`. It need not
            exist.

    Returns:
        The `pathlib.Path` of the checkpoint with the highest epoch and, in the
        middle of it, the highest step; `None` if there is none. A file that
        was cut short, by a copy that did not finish for example, is passed
        over.

    Example:

    ```python
    from gan_blocks import callbacks

    assert callbacks.latest_checkpoint("a_folder_that_is_not_there") is None
    ```
    """
    for path in reversed(_checkpoints(pathlib.Path(directory))):
        if zipfile.is_zipfile(path):
            return path
    return None


def _is_finite(model):
    return all(
        bool(keras.ops.all(keras.ops.isfinite(weight)))
        for weight in model.weights
    )


def _checkpoints(directory):
    """Returns the paths of the checkpoints, oldest first."""
    return sorted(filter(_place, directory.glob("epoch_*.keras")), key=_place)


def _place(path):
    """Returns the epoch and the step in a checkpoint's name, if it is one."""
    match = _NAME.fullmatch(path.name)
    # A whole epoch comes before all steps of the next.
    return match and (int(match[1]), int(match[2] or -1))
