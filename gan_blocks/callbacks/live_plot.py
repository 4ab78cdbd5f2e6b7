"""One figure of the losses and of generated images, during training."""

import collections
from typing import Any

import numpy as np
from PIL import Image

from gan_blocks import files, images
from gan_blocks._checks import check_positive_integer
from gan_blocks._screens import in_notebook
from gan_blocks._types import PathLike
from gan_blocks.callbacks._fixed_latents import FixedLatents

__all__ = ["LivePlot"]

_PLOTS = {
    "losses": ("d_loss", "g_loss"),
    "accuracies and spread": ("real_accuracy", "fake_accuracy", "spread"),
}
_COLORS = {
    "d_loss": "#0a67b8",
    "g_loss": "#c8500a",
    "real_accuracy": "#0a67b8",
    "fake_accuracy": "#c8500a",
    "spread": "#5a8a2d",
}


class LivePlot(FixedLatents):
    """Draws the logs and generated images in one figure during training.

    Use it in a notebook to watch a GAN learn. The figure is redrawn in place.
    On its left are `d_loss` and `g_loss`, and below them `real_accuracy`,
    `fake_accuracy` and `spread`. Each point is a mean over the steps since the
    previous point. On its right are images, always from the same latents. Logs
    that the model does not have are left out.

    Outside a notebook, the figure is written to a file. A failed write is
    logged as a warning, and training continues.

    One object draws one figure, also if `fit` is called again. Create another
    object for another run. If several processes train together, one of them
    draws. The training itself does not change. A figure takes about 0.2
    seconds on one CPU core, and the time to generate its images.

    Needs the package matplotlib.

    Args:
        every_n_batches: Number of steps between two figures. Defaults to 20.
        rows: Number of rows of images. Defaults to 6.
        columns: Number of columns of images. Defaults to 6.
        seed: Seed of the latents. Defaults to 0.
        path: PNG file of the latest figure. Its folder is created. Defaults to
            `None`: no file, which is only possible in a notebook.

    Attributes:
        figure: The `matplotlib.figure.Figure`, for example for
            `figure.savefig("training.svg")`.

    Raises:
        ValueError: If `every_n_batches`, `rows` or `columns` is not a positive
            integer, or if `path` is missing outside a notebook. When training
            begins, if the model has no `generate` and `sample_latents`, or if
            its `image_shape` cannot be drawn: see `images.grid`.
        ImportError: If matplotlib is not installed.

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
    gan.compile("adam", "adam")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "training.png")
        live = callbacks.LivePlot(every_n_batches=2, path=path)
        real_images = np.zeros((64, 4, 4, 1), "float32")
        gan.fit(real_images, batch_size=16, callbacks=[live], verbose=0)
        assert path.is_file()
    ```
    """

    def __init__(
        self,
        every_n_batches: int = 20,
        rows: int = 6,
        columns: int = 6,
        seed: int = 0,
        path: PathLike | None = None,
    ) -> None:
        super().__init__(rows, columns, seed)
        check_positive_integer("every_n_batches", every_n_batches)
        if path is None and not in_notebook():
            raise ValueError(
                "`path` must be a PNG file, because this program does not run "
                "in a notebook that can show the figure. Received: path=None"
            )
        self.every_n_batches = every_n_batches
        self.path = path
        self.figure = _new_figure()
        self._axes = self.figure.subplot_mosaic(
            [[name, "images"] for name in _PLOTS], width_ratios=[3, 2]
        )
        self._points: dict[str, list[tuple[int, float]]] = {}
        self._steps_since_point = 0
        # The sum of each log since the last point, and since the epoch began.
        self._sums = collections.Counter()
        self._epoch_sums = collections.Counter()
        self._handle: Any = None
        self._best_effort = files.BestEffort(f"{path} cannot be written")

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        self._epoch_sums.clear()

    def on_epoch_end(self, epoch, logs=None):
        self._add(logs or {})

    def _after_steps(self, before, logs):
        self._steps_since_point += self._step - before
        n = self.every_n_batches
        if self._step // n > before // n:
            self._add(logs)
            self._add_points()
            self._draw()

    def _add(self, logs):
        """Adds the steps since the previous call; logs are epoch means."""
        steps = self._step - self._steps_before_epoch
        for name in _COLORS:
            if name in logs:
                total = steps * float(logs[name])
                self._sums[name] += total - self._epoch_sums[name]
                self._epoch_sums[name] = total

    def _add_points(self):
        for name, total in self._sums.items():
            points = self._points.setdefault(name, [])
            points.append((self._step, total / self._steps_since_point))
        self._steps_since_point = 0
        self._sums.clear()

    def _draw(self):
        grid = self._draw_grid()
        if grid is None:
            return
        for title, names in _PLOTS.items():
            axes = self._axes[title]
            axes.clear()
            axes.grid(alpha=0.3)
            for name in names:
                if name in self._points:
                    steps, values = zip(*self._points[name], strict=True)
                    axes.plot(steps, values, color=_COLORS[name], label=name)
            if axes.lines:
                axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
        axes.set_xlabel("step")
        axes.set_ylim(bottom=0)
        axes = self._axes["images"]
        axes.clear()
        axes.set_axis_off()
        axes.set_title(f"step {self._step:,}")
        axes.imshow(grid.convert("RGBA"))
        picture = _render(self.figure)
        if self.path is not None:
            with self._best_effort():
                images.save_png(picture, self.path)
        if self._handle is not None:
            self._handle.update(picture)
        elif in_notebook():
            from IPython.display import display  # pyright: ignore

            self._handle = display(picture, display_id=True)


def _new_figure():
    try:
        # Without pyplot, which has global state and may need a screen.
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "`LivePlot` needs the package matplotlib, which is not installed. "
            "Install it with: pip install matplotlib"
        ) from error
    return Figure(figsize=(9, 4), dpi=80, layout="constrained")


def _render(figure):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
