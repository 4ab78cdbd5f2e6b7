"""Command-line programs: the recipes, and the command `gan_blocks`."""

import importlib
import os
from typing import TYPE_CHECKING

from gan_blocks.cli import output

if TYPE_CHECKING:
    from gan_blocks.cli.run import Run, start

__all__ = ["Run", "start"]

# Hides TensorFlow's log. Has no effect if TensorFlow is already imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def __getattr__(name):
    # Imported on first use: `--help` must not wait for Keras.
    if name in __all__:
        importlib.import_module("gan_blocks.cli.recipe_help").print_help_early()
        with output.hide_tensorflow_log():
            run = importlib.import_module("gan_blocks.cli.run")
        return getattr(run, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
