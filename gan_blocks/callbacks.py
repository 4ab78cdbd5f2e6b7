"""Callbacks for training a GAN: pictures, checkpoints, a halt on NaN."""

import logging
import math
import numbers
import os
import pathlib
import re
import zipfile

import keras

from gan_blocks import images

_logger = logging.getLogger(__name__)
_CHECKPOINT_NAME = re.compile(r"epoch_(\d{4,})\.keras")


class ImageGrid(keras.callbacks.Callback):
    """Saves grids of generated images while a GAN is trained.

    The losses of a GAN say little about its images, so look at these. All
    grids are made from the same latents, which shows how one and the same
    image changes in the course of the run; `gan_blocks.images.animation` makes
    a film of them. Files are named after the place in the run at which they
    were made, `step_0000010.png` or `epoch_0005.png`, and names sort in time.

    Steps are counted from 1 over the whole run. The count starts at the
    model's `optimizer.iterations`, so that a run that is continued goes on
    where it was. With `steps_per_execution`, the grid is saved at the first
    opportunity after a step was due, under the number of the step reached.

    Args:
        directory: Folder for the files; made when training begins.
        every_n_batches: Save a grid after every so many batches. Defaults to
            10, unless `every_n_epochs` is given. Give one of the two.
        every_n_epochs: Save a grid after every so many epochs.
        rows: Number of rows of the grid. Defaults to 4.
        columns: Number of columns of the grid. Defaults to 4.
        seed: Integer, the seed of the latents. Defaults to 0.
        batch_statistics: Passed on to the model's `generate` when given.
        show: Whether to show the grid in a notebook too, where each takes the
            place of the one before. Needs IPython. Defaults to `False`.

    Raises:
        ValueError: If `every_n_batches`, `every_n_epochs`, `rows` or
            `columns` is not a positive integer, both of the first two are
            given, or the model has no `generate` and `sample_latents`.
        ImportError: If `show` is set and IPython is not installed.

    Example:

    ```python
    import pathlib
    import tempfile

    import keras
    import numpy as np

    import gan_blocks

    latents = keras.Input((8,))
    pixels = keras.layers.Dense(16, activation="tanh")(latents)
    images = keras.layers.Reshape((4, 4, 1))(pixels)
    generator = keras.Model(latents, images)
    logits = keras.layers.Dense(1)(keras.layers.Flatten()(images))
    discriminator = keras.Model(images, logits)
    gan = gan_blocks.GAN(generator, discriminator)
    gan.compile("adam", "adam", loss="non_saturating")
    with tempfile.TemporaryDirectory() as folder:
        pictures = gan_blocks.callbacks.ImageGrid(folder, every_n_batches=2)
        real_images = np.zeros((64, 4, 4, 1), "float32")
        gan.fit(real_images, batch_size=16, callbacks=[pictures], verbose=0)
        names = sorted(path.name for path in pathlib.Path(folder).iterdir())
    assert names == ["step_0000002.png", "step_0000004.png"]
    ```
    """

    def __init__(
        self,
        directory,
        every_n_batches=None,
        every_n_epochs=None,
        rows=4,
        columns=4,
        seed=0,
        batch_statistics=None,
        show=False,
    ):
        super().__init__()
        if every_n_batches is not None and every_n_epochs is not None:
            raise ValueError(
                "Only one of `every_n_batches` and `every_n_epochs` may be "
                f"given. Received: every_n_batches={every_n_batches}, "
                f"every_n_epochs={every_n_epochs}"
            )
        if every_n_epochs is not None:
            _check_positive("every_n_epochs", every_n_epochs)
        elif every_n_batches is not None:
            _check_positive("every_n_batches", every_n_batches)
        else:
            every_n_batches = 10
        _check_positive("rows", rows)
        _check_positive("columns", columns)
        self.directory = pathlib.Path(directory)
        self.every_n_batches = every_n_batches
        self.every_n_epochs = every_n_epochs
        self.rows = rows
        self.columns = columns
        self.seed = seed
        self.batch_statistics = batch_statistics
        self._display = _import_display() if show else None
        self._shown = None
        self._step = None

    def on_train_begin(self, logs=None):
        """Makes the folder, before any time has been spent on training."""
        for method in ("generate", "sample_latents"):
            if not hasattr(self.model, method):
                raise ValueError(
                    f"`ImageGrid` needs a model with a method `{method}`, as "
                    f"a `GAN` has it. Received: a {type(self.model).__name__}"
                )
        self.directory.mkdir(parents=True, exist_ok=True)
        self._step = None

    def on_epoch_begin(self, epoch, logs=None):
        """Takes up the count of steps."""
        # Not in `on_train_begin`, where the callback that restores an
        # interrupted run may come after this one.
        if self._step is None:
            self._step = _iterations(self.model)
        self._steps_before_epoch = self._step

    def on_train_batch_end(self, batch, logs=None):
        """Saves a grid if one is due."""
        if self.every_n_batches is None:
            return
        done = batch + 1
        if self.params and self.params.get("steps"):
            # With `steps_per_execution`, the last batch of an epoch carries
            # the number that it would have if the last execution were full.
            done = min(done, self.params["steps"])
        due = self._step // self.every_n_batches + 1
        self._step = self._steps_before_epoch + done
        # `self.model` is not touched unless it is needed: with JAX that alone
        # moves all weights out of the training loop and back.
        if self._step >= due * self.every_n_batches:
            self._save(f"step_{self._step:07d}.png")

    def on_epoch_end(self, epoch, logs=None):
        """Saves a grid if one is due."""
        if self.every_n_epochs and (epoch + 1) % self.every_n_epochs == 0:
            self._save(f"epoch_{epoch + 1:04d}.png")

    def _save(self, name):
        model = self.model
        options = {}
        if self.batch_statistics is not None:
            options["batch_statistics"] = self.batch_statistics
        number = self.rows * self.columns
        latents = model.sample_latents(number, self.seed)
        generated = model.generate(latents=latents, **options)
        picture = images.grid(generated, self.rows, self.columns)
        images.save_png(picture, self.directory / name)
        if self._display is None:
            return
        if self._shown is None:
            self._shown = self._display(picture, display_id=True)
        else:
            self._shown.update(picture)


class EpochCheckpoint(keras.callbacks.Callback):
    """Saves the whole model every few epochs and at the end of training.

    Files are called `epoch_0005.keras`, after the number of epochs trained.
    Each is written aside and then moved into place: a save that is cut short,
    by a full disk or Ctrl-C, leaves no broken file. (A process that is killed
    in the middle of it leaves a folder `.unfinished_*`, which can go.) A model
    whose weights are not all finite is not worth continuing and is not saved,
    so that a run that diverged does not push out the checkpoints from before;
    a warning is logged instead. `latest_checkpoint` finds the file to continue
    from.

    Args:
        directory: Folder for the files; made when training begins.
        every_n_epochs: Save after every so many epochs. Defaults to 5. When
            training ends at an epoch in between, that one is saved too.
        keep: How many checkpoints to keep, counted back from the one just
            saved. Older ones are removed, files with other names never are.
            By default all are kept.

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
        epochs_done = int(path.stem.removeprefix("epoch_"))
        model.fit(*data, epochs=4, initial_epoch=epochs_done, verbose=0)
    ```
    """

    def __init__(self, directory, every_n_epochs=5, keep=None):
        super().__init__()
        _check_positive("every_n_epochs", every_n_epochs)
        if keep is not None:
            _check_positive("keep", keep)
        self.directory = pathlib.Path(directory)
        self.every_n_epochs = every_n_epochs
        self.keep = keep
        self._unsaved_epoch = None

    def on_train_begin(self, logs=None):
        """Makes the folder, before any time has been spent on training."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._unsaved_epoch = None

    def on_epoch_end(self, epoch, logs=None):
        """Saves the model if it is due."""
        self._unsaved_epoch = epoch + 1
        if (epoch + 1) % self.every_n_epochs == 0:
            self._save()

    def on_train_end(self, logs=None):
        """Saves the model unless the last epoch has been saved."""
        if self._unsaved_epoch is not None:
            self._save()

    def _save(self):
        epoch, self._unsaved_epoch = self._unsaved_epoch, None
        model = self.model
        path = self.directory / f"epoch_{epoch:04d}.keras"
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
        self._remove_old(epoch)

    def _remove_old(self, newest):
        if self.keep is None:
            return
        # Later epochs would be those of an earlier run in the same folder.
        own = [
            (epoch, path)
            for epoch, path in _checkpoints(self.directory)
            if epoch <= newest
        ]
        for _, path in own[: -self.keep]:
            path.unlink(missing_ok=True)


def latest_checkpoint(directory):
    """Finds the checkpoint to continue a run from.

    Args:
        directory: The folder that was given to `EpochCheckpoint`. It need not
            exist.

    Returns:
        The `pathlib.Path` of the checkpoint with the highest epoch, or `None`
        if there is none. A file that was cut short, by a copy that did not
        finish for example, is passed over.

    Example:

    ```python
    from gan_blocks import callbacks

    assert callbacks.latest_checkpoint("a_folder_that_is_not_there") is None
    ```
    """
    for _, path in reversed(_checkpoints(pathlib.Path(directory))):
        if zipfile.is_zipfile(path):
            return path
    return None


class StopOnDivergence(keras.callbacks.Callback):
    """Stops training as soon as a logged value is NaN or infinite.

    `keras.callbacks.TerminateOnNaN` looks at `loss` only, which a GAN does not
    log. This callback looks at everything that is logged for a batch, and says
    what it found in a warning of the logger `gan_blocks.callbacks`. Losses are
    means over the epoch so far, and once one is NaN it stays so until the
    epoch ends.

    Keras converts the logs of each batch to numbers as soon as any callback
    listens to batches, so that looking at them costs next to nothing more.

    Attributes:
        diverged: Whether the last training was stopped by this callback.
        message: What was found, and at which epoch and batch, both counted
            from 1 as on the progress bar; `None` if nothing was.

    Example:

    ```python
    import keras
    import numpy as np

    from gan_blocks import callbacks

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mean_squared_error")
    data = np.full((8, 2), np.nan), np.zeros((8, 1))
    stop = callbacks.StopOnDivergence()
    model.fit(*data, callbacks=[stop], verbose=0)
    assert stop.diverged
    print(stop.message)
    ```
    """

    def __init__(self):
        super().__init__()
        self.message = None
        self._epoch = 0

    @property
    def diverged(self):
        """Whether the last training was stopped by this callback."""
        return self.message is not None

    def on_train_begin(self, logs=None):
        """Forgets what was found in an earlier training."""
        self.message = None

    def on_epoch_begin(self, epoch, logs=None):
        """Takes note of the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        """Looks at the values that were logged."""
        found = [
            f"`{name}` is {value}"
            for name, value in (logs or {}).items()
            if isinstance(value, float) and not math.isfinite(value)
        ]
        if not found:
            return
        self.message = (
            f"Training stopped at epoch {self._epoch + 1}, "
            f"batch {batch + 1}: {', '.join(found)}."
        )
        _logger.warning(self.message)
        self.model.stop_training = True


def _check_positive(name, value):
    if not (isinstance(value, numbers.Integral) and value > 0):
        raise ValueError(
            f"`{name}` must be a positive integer. Received: {name}={value}"
        )


def _import_display():
    try:
        from IPython.display import display
    except ImportError as error:
        raise ImportError(
            "`show=True` needs IPython, which a notebook brings along. Use "
            "show=False or install IPython."
        ) from error
    return display


def _iterations(model):
    if model.optimizer is None:
        return 0
    return int(model.optimizer.iterations)


def _is_finite(model):
    return all(
        bool(keras.ops.all(keras.ops.isfinite(weight)))
        for weight in model.weights
    )


def _checkpoints(directory):
    """Returns the epochs and paths of the checkpoints, oldest first."""
    matches = (
        (_CHECKPOINT_NAME.fullmatch(path.name), path)
        for path in directory.glob("epoch_*.keras")
    )
    return sorted((int(match[1]), path) for match, path in matches if match)
