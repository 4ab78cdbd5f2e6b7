"""Grids of generated images, saved during training."""

import importlib.util
import pathlib
from typing import Any

import numpy as np

from gan_blocks import files, images, replicas, runs
from gan_blocks._checks import check_positive_integer
from gan_blocks._types import PathLike
from gan_blocks.callbacks._fixed_latents import FixedLatents

__all__ = ["ImageGrid"]


class ImageGrid(FixedLatents):
    """Saves grids of generated images during training.

    GAN losses say little about the images, so look at these grids. All grids
    show the same latents, so you can follow how an image changes;
    `images.save_animation` combines the grids into an animation. File names
    have the number of the step or the epoch: `step_0000010.png` or
    `epoch_0005.png`. With `every_n_epochs`, a grid in the middle of an epoch
    also has the number of complete epochs: `epoch_0000_step_0000020.png`.

    Steps are counted from the start of the run (`optimizer.iterations`), so
    resumed runs continue the numbers. With `steps_per_execution`, a grid is
    saved after the execution in which it is due, and named after the last
    step of that execution.

    If a grid cannot be written, for example because the disk is full, one
    warning is logged and training continues. Later grids are tried again.

    Args:
        directory: Folder for the grids. It is created when training begins.
        every_n_batches: Number of steps between grids. Defaults to 10, unless
            `every_n_epochs` is given.
        every_n_epochs: Number of epochs between grids. The first epoch is
            always saved. Do not combine it with `every_n_batches`.
        rows: Number of rows of a grid. Defaults to 4.
        columns: Number of columns of a grid. Defaults to 4.
        seed: Seed of the latents. Defaults to 0.
        batch_statistics: Argument of the model's `generate`. Defaults to
            `None`, which does not pass it.
        show: If True, shows the latest grid in the notebook. Needs IPython.
            Defaults to False.
        tensorboard: Folder of TensorBoard logs, which can be that of
            `keras.callbacks.TensorBoard`. Each grid is added as the image
            "generated". Needs the packages tensorflow and tensorboard. Unlike
            the PNG files, TensorFlow's event file may stay unreadable from
            the point at which a disk was full; the next training starts a new
            one. Defaults to `None`.
        first_step: Number of the step after which an additional grid is saved.
            Use it to see a first grid early if epochs take minutes. Defaults
            to `None`.

    Raises:
        ValueError: If `every_n_batches`, `every_n_epochs`, `rows`, `columns`
            or `first_step` is not a positive integer, if the first two are both
            given. When training begins, if the model has no `generate` and
            `sample_latents`, or if its `image_shape` cannot be drawn: see
            `images.grid`.
        ImportError: If a package for `show` or `tensorboard` is missing.

    Example:

    ```python
    import pathlib
    import tempfile

    import numpy as np

    from gan_blocks import GAN, callbacks, networks

    gan = GAN(
        networks.mlp_generator((4, 4, 1), latent_dim=8),
        networks.mlp_discriminator((4, 4, 1)),
    )
    gan.compile("adam", "adam", loss="non_saturating")
    with tempfile.TemporaryDirectory() as folder:
        grids = callbacks.ImageGrid(folder, every_n_batches=2)
        real_images = np.zeros((64, 4, 4, 1), "float32")
        gan.fit(real_images, batch_size=16, callbacks=[grids], verbose=0)
        names = sorted(path.name for path in pathlib.Path(folder).iterdir())
    assert names == ["step_0000002.png", "step_0000004.png"]
    ```
    """

    def __init__(
        self,
        directory: PathLike,
        every_n_batches: int | None = None,
        every_n_epochs: int | None = None,
        rows: int = 4,
        columns: int = 4,
        seed: int = 0,
        batch_statistics: bool | None = None,
        show: bool = False,
        tensorboard: PathLike | None = None,
        first_step: int | None = None,
    ) -> None:
        super().__init__(rows, columns, seed)
        if every_n_batches is not None and every_n_epochs is not None:
            raise ValueError(
                "Only one of `every_n_batches` and `every_n_epochs` can be "
                f"given. Received: every_n_batches={every_n_batches}, "
                f"every_n_epochs={every_n_epochs}"
            )
        if every_n_epochs is not None:
            check_positive_integer("every_n_epochs", every_n_epochs)
        else:
            every_n_batches = 10 if every_n_batches is None else every_n_batches
            check_positive_integer("every_n_batches", every_n_batches)
        if first_step is not None:
            check_positive_integer("first_step", first_step)
        self.directory = pathlib.Path(directory)
        self.every_n_batches = every_n_batches
        self.every_n_epochs = every_n_epochs
        self.batch_statistics = batch_statistics
        self.show = show
        self.tensorboard = tensorboard
        self.first_step = first_step
        self._display: Any = _import_display() if show else None
        self._handle: Any = None
        if tensorboard is not None:
            _check_tensorboard()
        self._writer: Any = None

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._best_effort = files.BestEffort(
            f"Images cannot be written to {self.directory}"
        )
        self._best_effort_events = files.BestEffort(
            f"Images cannot be written to {self.tensorboard}"
        )
        if replicas.is_chief(self.model):
            with self._best_effort():
                self.directory.mkdir(parents=True, exist_ok=True)
                files.remove_leftovers(self.directory)
        self._writer = None

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        self._epoch = epoch

    def _after_steps(self, before, logs):
        n = self.every_n_batches
        due = n and self._step // n > before // n
        if due or before < (self.first_step or 0) <= self._step:
            epoch = "" if n else f"epoch_{self._epoch:04d}_"
            self._save(f"{epoch}step_{self._step:07d}.png")

    def on_epoch_end(self, epoch, logs=None):
        if self.every_n_epochs is None:
            return
        if epoch == 0 or (epoch + 1) % self.every_n_epochs == 0:
            done = self._step - self._steps_before_epoch
            steps = (self.params or {}).get("steps") or done
            if done < steps:  # Training was stopped.
                self._save(f"epoch_{epoch:04d}_step_{self._step:07d}.png")
            else:
                self._save(f"epoch_{epoch + 1:04d}.png")

    def _save(self, name):
        options = {}
        if self.batch_statistics is not None:
            options["batch_statistics"] = self.batch_statistics
        grid = self._draw_grid(**options)
        if grid is None:
            return
        with self._best_effort():
            images.save_png(grid, self.directory / name)
        if self.tensorboard is not None:
            with self._best_effort_events():
                self._write_event(grid, runs.steps_done(self.model))
        if self._handle is not None:
            self._handle.update(grid)
        elif self._display is not None:
            self._handle = self._display(grid, display_id=True)

    def _write_event(self, grid, step):
        import tensorflow as tf

        pixels = np.asarray(grid).reshape(1, grid.height, grid.width, -1)
        try:
            if self._writer is None:
                folder = f"{self.tensorboard}/images"
                self._writer = tf.summary.create_file_writer(folder)
            # `keras.callbacks.TensorBoard` switches recording off.
            with self._writer.as_default(), tf.summary.record_if(True):
                tf.summary.image("generated", pixels, step)
            self._writer.flush()
        except tf.errors.OpError as error:
            raise OSError(str(error)) from error


def _import_display():
    try:
        from IPython.display import display  # pyright: ignore
    except ImportError as error:
        raise ImportError(
            "`show=True` needs the package IPython, which notebooks have. Use "
            "show=False, or install it with: pip install ipython"
        ) from error
    return display


def _check_tensorboard():
    for package in ("tensorboard", "tensorflow"):
        if not importlib.util.find_spec(package):
            raise ImportError(
                f"`tensorboard` needs the package {package}. Install it with: "
                f"pip install {package}"
            )
