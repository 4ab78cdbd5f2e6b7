"""Grids of images from the same latents, at some steps of training."""

from typing import Any

import keras
import numpy as np
from PIL import Image

from gan_blocks import images, replicas, runs
from gan_blocks._checks import check_positive_integer

__all__ = ["FixedLatents"]


class FixedLatents(keras.callbacks.Callback):
    """Counts the steps of a run, and draws the same latents at any of them.

    A subclass implements `_after_steps(before, logs)`, which is called after
    each step. `before` is the number of steps at the previous call, and
    `self._step` the number of steps now.
    """

    model: Any

    def __init__(self, rows: int, columns: int, seed: int) -> None:
        super().__init__()
        check_positive_integer("rows", rows)
        check_positive_integer("columns", columns)
        self.rows = rows
        self.columns = columns
        self.seed = seed
        self._step: Any = None

    def on_train_begin(self, logs=None):
        for method in ("generate", "sample_latents"):
            if not hasattr(self.model, method):
                raise ValueError(
                    f"`{type(self).__name__}` needs a model with a method "
                    f"`{method}`, such as `GAN`. "
                    f"Received: a {type(self.model).__name__}"
                )
        shape = getattr(self.model, "image_shape", None)
        if shape is not None:
            self._check_can_be_drawn(shape)
        # Also raises an error now if the seed is wrong.
        self._latents = self.model.sample_latents(
            self.rows * self.columns, self.seed
        )
        self._step = None

    def on_epoch_begin(self, epoch, logs=None):
        # Not in `on_train_begin`: a later callback, such as
        # `BackupAndRestore`, may restore the model there.
        if self._step is None:
            self._step = runs.steps_done(self.model)
        self._steps_before_epoch = self._step

    def on_train_batch_end(self, batch, logs=None):
        done = batch + 1
        if self.params and self.params.get("steps"):
            # With `steps_per_execution`, the number of an epoch's last batch
            # can exceed the number of steps.
            done = min(done, self.params["steps"])
        before = self._step
        self._step = self._steps_before_epoch + done
        # Use `self.model` there only when needed: on JAX, it moves all weights
        # out of the training loop and back.
        self._after_steps(before, logs or {})

    def _after_steps(self, before: int, logs: dict[str, Any]) -> None:
        raise NotImplementedError

    def _draw_grid(self, **options: Any) -> Image.Image | None:
        """Returns a grid of images in the chief process, otherwise `None`."""
        # On JAX, all processes compute together.
        generated = keras.ops.convert_to_numpy(
            self.model.generate(latents=self._latents, **options)
        )
        if not replicas.is_chief(self.model):
            return None
        return images.grid(generated, self.rows, self.columns)

    def _check_can_be_drawn(self, shape):
        try:
            images.grid(np.zeros((1, *(side or 1 for side in shape)), "uint8"))
        except ValueError as error:
            name = type(self).__name__
            raise ValueError(
                f"`{name}` draws gray, RGB and RGBA images of shape (height, "
                "width, channels), or (channels, height, width) with "
                'keras.config.set_image_data_format("channels_first"). Train '
                f"without `{name}`. Received: a model with image_shape={shape}"
            ) from error
