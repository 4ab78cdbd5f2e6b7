"""Checkpoints, from which a run can be continued."""

import json
import logging
import pathlib
import zipfile

import keras

from gan_blocks import __version__, images, replicas
from gan_blocks.callbacks import counts
from gan_blocks.callbacks.divergence import is_finite
from gan_blocks.callbacks.resuming import (
    MANIFEST,
    checkpoints,
    latest_checkpoint,
    place,
)
from gan_blocks.callbacks.writing import WarnOnce

_logger = logging.getLogger(__package__)


class EpochCheckpoint(keras.callbacks.Callback):
    """Saves the whole model every few epochs and at the end of training.

    Files are called after their place in the run, and names sort in time:
    `epoch_0005.keras` is the end of epoch 5. Where training is stopped in the
    middle of an epoch, by `StopOnSignal` for example, the model is saved as
    `epoch_0005_step_0000923.keras`: 5 epochs are whole, and the model's
    optimizer has counted 923 steps (`iterations`) in all. `rest_of_run` tells
    the next `fit` to do the rest of epoch 6, which ends in
    `epoch_0006.keras`. An epoch of unknown length, that of a dataset which
    does not tell its cardinality without `steps_per_epoch`, counts as whole
    wherever it is stopped.

    A checkpoint is whole or absent. It is written aside, flushed to the disk
    and then moved into place, so that a save which is cut short, by a full
    disk, Ctrl-C or the end of the power, leaves those from before and no
    broken file; what a killed process left behind is cleared up when the next
    training begins. A save that fails ends training with an error, because
    whatever is trained after it could be lost. `latest_checkpoint` finds the
    file to continue from, and notices if it was damaged later.

    A model of which anything is not finite is not worth continuing and is not
    saved, so that a run that diverged does not push out the checkpoints from
    before; a warning of the logger `gan_blocks.callbacks` says so.

    Of several processes that train together, one saves.

    Args:
        directory: Folder for the files of one run; made when training begins.
        every_n_epochs: Save after every so many epochs. Defaults to 5. When
            `fit` ends at an epoch in between, or in the middle of one, that
            is saved too.
        keep: How many checkpoints to keep, of both kinds together, counted
            back from the one just saved. Older ones are removed, files with
            other names never are. By default all are kept.
        arguments: Dictionary of what the run was started with, kept in each
            checkpoint for `read_manifest`; what JSON does not know is stored
            as text. Defaults to `None`: nothing.

    Raises:
        ValueError: If `every_n_epochs` or `keep` is not a positive integer.
        TypeError: When training begins, if a name in `arguments` is no text.
        OSError: In training, if a checkpoint cannot be written; it names the
            last whole one.

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

    def __init__(self, directory, every_n_epochs=5, keep=None, arguments=None):
        super().__init__()
        counts.check_positive("every_n_epochs", every_n_epochs)
        if keep is not None:
            counts.check_positive("keep", keep)
        self.directory = pathlib.Path(directory)
        self.every_n_epochs = every_n_epochs
        self.keep = keep
        self.arguments = arguments
        self._unsaved = None
        self._last_batch = 0

    def on_train_begin(self, logs=None):
        """Makes the folder, before any time has been spent on training."""
        if replicas.is_chief(self.model):
            self.directory.mkdir(parents=True, exist_ok=True)
            images.remove_unfinished(self.directory)
        self._removed = WarnOnce("Old checkpoints cannot be removed")
        json.dumps(self.arguments, default=str)  # Now rather than at the end.
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
        finite = is_finite(model)  # By every process: JAX computes in all.
        if not replicas.is_chief(model):
            return
        if not finite:
            _logger.warning(
                "%s was not saved: some weights are NaN or infinite.", path
            )
            return
        try:
            with images.written_aside(path, flush=True) as aside:
                with replicas.alone():
                    model.save(aside)
                self._add_manifest(aside, epoch)
        except OSError as error:
            raise OSError(
                f"The checkpoint {path} could not be saved ({error}). The "
                f"last whole one is {latest_checkpoint(self.directory)}."
            ) from error
        self._remove_older_than(path)

    def _add_manifest(self, path, epoch):
        manifest = {
            "gan_blocks": __version__,
            "keras": keras.version(),
            "backend": keras.backend.backend(),
            "epoch": epoch,
            "step": counts.iterations(self.model),
            "arguments": self.arguments,
        }
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(MANIFEST, json.dumps(manifest, default=str))

    def _remove_older_than(self, path):
        if self.keep is None:
            return
        # Later ones would be those of an earlier run in the same folder.
        own = [
            other
            for other in checkpoints(self.directory)
            if place(other) <= place(path)
        ]
        for old in own[: -self.keep]:
            with self._removed():
                old.unlink(missing_ok=True)
