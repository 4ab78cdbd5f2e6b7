"""Command-line options, shared by the recipes and the command."""

import argparse
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gan_blocks.cli.output import fail
from gan_blocks.runs import RunFolder

__all__ = [
    "DEFAULTS",
    "HELP",
    "Parser",
    "at_least",
    "parse_options",
    "positive",
    "read_settings",
]

_Type = Callable[[str], Any]  # Its name is part of the messages of argparse.


def at_least(minimum: int) -> Callable[[str], int]:
    """Returns an argparse type: an integer that is not too small."""

    def integer(text: str) -> int:
        value = int(text)
        if value < minimum:
            raise argparse.ArgumentTypeError(
                f"must be at least {minimum}. Received: {text}"
            )
        return value

    return integer


def positive(text: str) -> float:
    """Returns a positive number. This is an argparse type."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be positive. Received: {text}")
    return value


# The help of settings that several programs have.
HELP = {
    "data": "pictures to train on: a folder, a file (.zip, .tar, .npy, .npz, "
    "or MNIST's idx format), tfds:NAME, or 'sample', which needs no download",
    "epochs": "passes over the pictures",
    "batch_size": "pictures per training step",
    "steps_per_epoch": "training steps per epoch; without it, one pass over "
    "the pictures",
    "image_size": "height and width of the pictures in pixels",
    "filters": "filters of the discriminator's first convolution; the other "
    "layers scale with it",
    "generator_rate": "learning rate of the generator",
    "discriminator_rate": "learning rate of the discriminator",
    "flip": "mirror half of the pictures, left to right",
    "crop": "part of each picture's height and width to keep, up to 1",
    "seed": "seed of the weights, the noise and the order of the pictures",
    "rollbacks": "if a value becomes NaN or infinite, restore the weights from "
    "the start of the epoch and halve the learning rates, up to this many "
    "times; 0 stops training",
    "evaluate_every": "measure the quality after every so many epochs, and "
    "keep the best model in best.keras; 0 never does",
    "features": "saved Keras model whose outputs --evaluate-every compares "
    "(default: InceptionV3, which is downloaded once)",
    "tensorboard": "write logs for TensorBoard",
}
# Settings that all runs have. Their options come last in the help of a recipe.
DEFAULTS = {
    "seed": 0,
    "rollbacks": 0,
    "evaluate_every": 0,
    "features": None,
    "tensorboard": False,
}


class Parser(argparse.ArgumentParser):
    """An argument parser whose options are settings with types."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        super().__init__(**kwargs)

    def add(
        self,
        name: str,
        help: str,
        default: Any = None,
        kind: _Type | None = None,
        sample: Any = None,
        group: Any = None,
        **how: Any,
    ) -> None:
        """Adds an option, with its defaults in the help.

        Args:
            name: Name of the setting, with underscores.
            help: What the setting does.
            default: Default value. Defaults to `None`, which help leaves out.
            kind: Type of the value. Defaults to `None`: the type of `default`.
                Numbers are positive, unless the default is 0.
            sample: Default with `--data sample`. Defaults to `None`: no other.
            group: Group of options that exclude each other.
            **how: Other arguments of `add_argument`.
        """
        kind = kind or _kind(default)
        if default is not None:
            help += f" (default: {_show(default)}"
            if sample is not None:
                help += f"; with --data sample: {_show(sample)}"
            help += ")"
        if kind is bool:
            how["action"] = argparse.BooleanOptionalAction
        else:
            how["type"] = kind
            if kind.__name__ in ("integer", "positive"):
                how.setdefault("metavar", "N")
        (group or self).add_argument(
            "--" + name.replace("_", "-"), default=default, help=help, **how
        )

    def add_run_options(self, default_output: str) -> None:
        """Adds the options of all programs that train."""
        text = f"folder of the run (default: {default_output})"
        self.add("output", text, kind=pathlib.Path, metavar="FOLDER")
        self.add_argument(
            "--resume",
            action="store_true",
            help="continue the run in --output from its newest checkpoint, "
            "with its settings; --epochs 200 extends it to 200 epochs",
        )
        self.add_argument(
            "--accept-new-data",
            action="store_true",
            help="with --resume: continue although the pictures have changed",
        )
        self.add(
            "devices",
            "train on several devices, each with its part of every batch: "
            "gpu:0 gpu:1, or all (default: the first device)",
            nargs="+",
            metavar="NAME",
        )


def parse_options(
    description: str | None,
    defaults: Mapping[str, Any],
    sample: Mapping[str, Any],
    argv: Sequence[str] | None = None,
) -> tuple[argparse.Namespace, dict[str, Any]]:
    """Parses the command line of a recipe.

    Args:
        description: Text for `--help`.
        defaults: The settings of the recipe.
        sample: The settings that have other defaults with `--data sample`.
        argv: Words of the command line. Defaults to `sys.argv[1:]`.

    Returns:
        A namespace with the options of `add_run_options`, and a dictionary of
        the settings. With `--resume`, the defaults are the settings of the run
        in `output`.
    """
    parser = Parser(description=description)
    defaults = {**defaults, **DEFAULTS}
    output = pathlib.Path("runs", pathlib.Path(sys.argv[0]).stem)
    for name, default in defaults.items():
        kind = at_least(1) if name == "steps_per_epoch" else None
        text = HELP.get(name, "setting of the recipe")
        parser.add(name, text, default, kind, sample.get(name))
    parser.add_run_options(str(output))
    parser.set_defaults(output=output)
    options = parser.parse_args(argv)
    if options.resume:
        saved = read_settings(options.output)
        known = {name: saved[name] for name in defaults if name in saved}
        parser.set_defaults(**known)
    elif options.data == "sample":
        parser.set_defaults(**sample)
    options = parser.parse_args(argv)
    settings = {name: vars(options).pop(name) for name in defaults}
    return options, settings


def _kind(default):
    if type(default) is int:
        return at_least(min(1, default))
    return {float: positive, bool: bool}.get(type(default), str)


def _show(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else value


def read_settings(output: pathlib.Path) -> dict[str, Any]:
    """Reads the settings of a run, or ends the process with one line."""
    run = RunFolder(output)
    try:
        return run.read_settings()
    except FileNotFoundError:
        fail(f"No run found in {output}. Start one without --resume.")
    except ValueError as error:
        fail(
            f"{run.settings_file} is damaged ({error}). Each checkpoint of the "
            "run has a copy of the settings in its member gan_blocks.json."
        )
