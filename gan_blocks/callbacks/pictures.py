"""Pictures of what a GAN generates while it is trained."""

import pathlib

import keras

from gan_blocks import images, replicas
from gan_blocks.callbacks import counts
from gan_blocks.callbacks.events import EventFile
from gan_blocks.callbacks.writing import WarnOnce


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

    A picture that cannot be written, because the disk is full or the folder
    may not be written to, is a warning of the logger `gan_blocks.callbacks`,
    once; training goes on, and so do the attempts.

    Args:
        directory: Folder for the files; made when training begins.
        every_n_batches: Save a grid after every so many batches. Defaults to
            10, unless `every_n_epochs` is given. Give one of the two.
        every_n_epochs: Save a grid after the first epoch, which shows that all
            is well, and then after every so many epochs.
        rows: Number of rows of the grid. Defaults to 4.
        columns: Number of columns of the grid. Defaults to 4.
        seed: Integer, the seed of the latents. Defaults to 0.
        batch_statistics: Passed on to the model's `generate` when given.
        show: Whether to show the grid in a notebook too, where each takes the
            place of the one before. Needs IPython. Defaults to `False`.
        tensorboard: Folder of TensorBoard's logs, to which each grid is
            written too, as "generated", at the step of the run. It can be that
            of `keras.callbacks.TensorBoard`. Needs the package tensorboard.
            Defaults to `None`.

    Raises:
        ValueError: If `every_n_batches`, `every_n_epochs`, `rows` or
            `columns` is not a positive integer, both of the first two are
            given, or the model has no `generate` and `sample_latents`.
        ImportError: If `show` is set and IPython is not installed, or
            `tensorboard` and tensorboard is not.

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
        tensorboard=None,
    ):
        super().__init__()
        if every_n_batches is not None and every_n_epochs is not None:
            raise ValueError(
                "Only one of `every_n_batches` and `every_n_epochs` may be "
                f"given. Received: every_n_batches={every_n_batches}, "
                f"every_n_epochs={every_n_epochs}"
            )
        if every_n_epochs is not None:
            counts.check_positive("every_n_epochs", every_n_epochs)
        elif every_n_batches is not None:
            counts.check_positive("every_n_batches", every_n_batches)
        else:
            every_n_batches = 10
        counts.check_positive("rows", rows)
        counts.check_positive("columns", columns)
        self.directory = pathlib.Path(directory)
        self.every_n_batches = every_n_batches
        self.every_n_epochs = every_n_epochs
        self.rows = rows
        self.columns = columns
        self.seed = seed
        self.batch_statistics = batch_statistics
        self._display = _import_display() if show else None
        self._shown = None
        self._events = None
        if tensorboard is not None:
            self._events = EventFile(tensorboard)
        self._step = None

    def on_train_begin(self, logs=None):
        """Makes the folder, before any time has been spent on training."""
        for method in ("generate", "sample_latents"):
            if not hasattr(self.model, method):
                raise ValueError(
                    f"`ImageGrid` needs a model with a method `{method}`, as "
                    f"a `GAN` has it. Received: a {type(self.model).__name__}"
                )
        self._written = WarnOnce(
            f"Pictures cannot be written to {self.directory}"
        )
        if self._events is not None:
            self._logged = WarnOnce(
                f"Pictures cannot be written to {self._events.directory}"
            )
        if replicas.is_chief(self.model):
            with self._written():
                self.directory.mkdir(parents=True, exist_ok=True)
                images.remove_unfinished(self.directory)
        self._step = None

    def on_epoch_begin(self, epoch, logs=None):
        """Takes up the count of steps."""
        # Not in `on_train_begin`, where the callback that restores an
        # interrupted run may come after this one.
        if self._step is None:
            self._step = counts.iterations(self.model)
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
        if self.every_n_epochs is None:
            return
        if epoch == 0 or (epoch + 1) % self.every_n_epochs == 0:
            self._save(f"epoch_{epoch + 1:04d}.png")

    def _save(self, name):
        model = self.model
        options = {}
        if self.batch_statistics is not None:
            options["batch_statistics"] = self.batch_statistics
        number = self.rows * self.columns
        latents = model.sample_latents(number, self.seed)
        # By every process: JAX computes in all of them together.
        generated = model.generate(latents=latents, **options)
        if not replicas.is_chief(model):
            return
        picture = images.grid(generated, self.rows, self.columns)
        with self._written():
            images.save_png(picture, self.directory / name)
        if self._events is not None:
            with self._logged():
                self._events.write(picture, counts.iterations(model))
        if self._display is None:
            return
        if self._shown is None:
            self._shown = self._display(picture, display_id=True)
        else:
            self._shown.update(picture)


def _import_display():
    try:
        from IPython.display import display
    except ImportError as error:
        raise ImportError(
            "`show=True` needs IPython, which a notebook brings along. Use "
            "show=False or install IPython."
        ) from error
    return display
