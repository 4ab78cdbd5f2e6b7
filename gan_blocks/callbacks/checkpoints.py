"""Checkpoints of the whole model, to resume a run from."""

import json
import logging
import pathlib
import tempfile
from typing import Any

import keras

from gan_blocks import files, replicas, runs
from gan_blocks._checks import check_positive_integer
from gan_blocks._locks import lock, unlock
from gan_blocks._steps import steps_of_whole_epoch
from gan_blocks._types import PathLike
from gan_blocks.callbacks.divergence import is_finite

__all__ = ["EpochCheckpoint"]

_logger = logging.getLogger(__package__)


class EpochCheckpoint(keras.callbacks.Callback):
    """Saves the whole model every few epochs and at the end of training.

    A file name shows how far the run was:

    - `epoch_0005.keras`: the end of epoch 5.
    - `epoch_0005_step_0000923.keras`: training was stopped in epoch 6, for
      example by `StopOnSignal`. 5 epochs are complete, and the model has
      made 923 steps in total (`optimizer.iterations`).
      `GAN.fit(resume=True)` then trains the rest of epoch 6.

    If Keras does not know the number of steps per epoch, every epoch counts
    as complete. A warning is logged if `GAN.fit(resume=True)` continues a run
    with another number of steps per epoch, because epochs are then counted
    with the new number. `runs.list_checkpoints` sorts by steps.

    A checkpoint is written to a temporary file, flushed to the disk and then
    renamed. A full disk, Ctrl-C or a power failure can therefore not damage
    earlier checkpoints or leave an incomplete one. If a checkpoint cannot be
    saved, training ends with an error, because later progress could be lost
    too.

    A model with NaN or infinite values is not saved, so that it does not
    replace usable checkpoints. A warning is logged instead.

    If several processes train together, one of them saves. Two processes that
    train separately need two folders.

    Args:
        directory: Folder for the checkpoints of one run. It is created when
            training begins.
        every_n_epochs: Number of epochs between checkpoints. Defaults to 5.
            The last epoch is always saved, also if it is incomplete.
        keep: Number of checkpoints to keep. Older ones are removed; files
            with other names are not. Defaults to `None`, which keeps all.
        arguments: Settings of the run, which `runs.read_manifest` reads from
            a checkpoint. Values that JSON lacks are stored as text. Defaults
            to `None`.

    Raises:
        ValueError: If `every_n_epochs` or `keep` is not a positive integer, or
            `arguments` is not a dictionary. When training begins, if another
            process is training with the same folder.
        TypeError: When training begins, if a key of `arguments` cannot be one
            in JSON, such as a tuple.
        OSError: When training begins or later, if a checkpoint cannot be
            written.

    Example:

    ```python
    import tempfile

    import keras
    import numpy as np

    from gan_blocks import callbacks, runs

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mean_squared_error")
    data = np.zeros((8, 2)), np.zeros((8, 1))
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = callbacks.EpochCheckpoint(folder, every_n_epochs=2)
        model.fit(*data, epochs=3, callbacks=[checkpoint], verbose=0)
        path = runs.latest_checkpoint(folder)
        assert path.name == "epoch_0003.keras"

        model = keras.saving.load_model(path)
        epochs_done = runs.read_manifest(path)["epoch"]
        model.fit(*data, epochs=4, initial_epoch=epochs_done, verbose=0)
    ```
    """

    model: Any

    def __init__(
        self,
        directory: PathLike,
        every_n_epochs: int = 5,
        keep: int | None = None,
        arguments: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        check_positive_integer("every_n_epochs", every_n_epochs)
        if keep is not None:
            check_positive_integer("keep", keep)
        if not isinstance(arguments, dict | None):
            raise ValueError(
                "`arguments` must be a dictionary or `None`. Received: "
                f"arguments={arguments!r}"
            )
        self.directory = pathlib.Path(directory)
        self.every_n_epochs = every_n_epochs
        self.keep = keep
        self.arguments = arguments
        self._unsaved: Any = None
        self._last_batch = 0

    def on_train_begin(self, logs=None):
        if replicas.is_chief(self.model):
            self.directory.mkdir(parents=True, exist_ok=True)
            lock(self.directory)
            files.remove_leftovers(self.directory)
            # Raises an error now if the folder is read-only.
            tempfile.TemporaryFile(dir=self.directory).close()
            self._warn_if_epochs_changed()
        self._best_effort = files.BestEffort(
            "Old checkpoints cannot be removed"
        )
        # Raises an error now rather than after the first epochs.
        json.dumps(self.arguments, default=str)
        self._unsaved = None

    def on_train_batch_begin(self, batch, logs=None):
        # Not in `on_train_batch_end`, for which Keras computes all logs.
        self._last_batch = batch

    def on_epoch_end(self, epoch, logs=None):
        if self._is_incomplete():
            self._unsaved = epoch, runs.steps_done(self.model)
            self._save()
            return
        self._unsaved = epoch + 1, None
        if (epoch + 1) % self.every_n_epochs == 0:
            self._save()

    def on_train_end(self, logs=None):
        if self._unsaved is not None:
            self._save()
        unlock(self.directory)

    def _warn_if_epochs_changed(self):
        """Warns if a resumed run has another number of steps per epoch."""
        steps = steps_of_whole_epoch(self.model)
        paths = steps and runs.list_checkpoints(self.directory)
        if not paths:
            return
        try:
            manifest = runs.read_manifest(paths[-1])
        except ValueError:  # It is damaged.
            return
        done, before = manifest["step"], manifest["epoch"]
        if done != runs.steps_done(self.model):  # Another model.
            return
        epochs, rest = divmod(done, steps)
        complete = paths[-1].name == runs.checkpoint_name(before)
        if epochs != before or (rest and complete):
            _logger.warning(
                "The number of steps per epoch has changed to %d. Epochs are "
                "counted with the new number: step %d of this run, which was "
                "in epoch %d, is now step %d of epoch %d.",
                steps,
                done,
                before if complete else before + 1,
                rest or steps,
                epochs + 1 if rest else epochs,
            )

    def _is_incomplete(self):
        """Returns whether training was stopped in the middle of the epoch."""
        steps = self.params and self.params.get("steps")
        # An epoch also ends when the data run out. It is complete then.
        if not (steps and self.model.stop_training):
            return False
        # `_last_batch` is the first batch of the last execution.
        return self._last_batch + self.model.steps_per_execution < steps

    def _save(self):
        (epoch, step), self._unsaved = self._unsaved, None
        model = self.model
        path = self.directory / runs.checkpoint_name(epoch, step)
        finite = is_finite(model)  # On JAX, all processes compute together.
        if not replicas.is_chief(model):
            return
        if not finite:
            _logger.warning(
                "%s was not saved, because the model has NaN or infinite "
                "values.",
                path,
            )
            return
        try:
            with files.atomic_write(path, flush=True) as temporary:
                with replicas.undistributed():
                    model.save(temporary)
                steps = runs.steps_done(model)
                runs.write_manifest(temporary, epoch, steps, self.arguments)
        except OSError as error:
            raise OSError(
                f"The checkpoint {path} could not be saved ({error}). The "
                "last undamaged checkpoint is "
                f"{runs.latest_checkpoint(self.directory)}."
            ) from error
        self._remove_older_than(path)

    def _remove_older_than(self, path):
        if self.keep is None:
            return
        # Later checkpoints belong to an earlier run in the same folder.
        paths = runs.list_checkpoints(self.directory)
        paths = paths[: paths.index(path) + 1]
        for old in paths[: -self.keep]:
            with self._best_effort():
                old.unlink(missing_ok=True)
