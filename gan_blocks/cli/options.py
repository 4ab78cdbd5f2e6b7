"""Command-line options, shared by the recipes and the command."""

import argparse
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gan_blocks.cli.output import fail, gan_blocks_command
from gan_blocks.runs import RunFolder

__all__ = [
    "DEFAULTS",
    "HELP",
    "Parser",
    "at_least",
    "image_size",
    "parse_options",
    "positive",
    "read_settings",
    "show",
    "start_from_hint",
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


def image_size(text: str) -> tuple[int, int]:
    """Returns height and width, from "64" or "64x96". An argparse type."""
    sides = text.split("x")
    if len(sides) > 2 or not all(x.isdecimal() and int(x) for x in sides):
        raise argparse.ArgumentTypeError(
            f"must be like 64 or 64x96. Received: {text}"
        )
    return int(sides[0]), int(sides[-1])


# The help of settings that several programs have.
HELP = {
    "data": "pictures to train on: a folder, a file (.zip, .tar, .npy, .npz, "
    "or MNIST's idx format), tfds:NAME, or 'sample', which needs no download",
    "epochs": "passes over the pictures",
    "batch_size": "pictures per training step",
    "steps_per_epoch": "training steps per epoch; without it, one pass over "
    "the pictures",
    "image_size": "size of the pictures in pixels, 64 or HEIGHTxWIDTH such as "
    "64x96",
    "filters": "filters of the discriminator's first convolution; the other "
    "layers scale with it",
    "base_filters": "filters of the discriminator's first layer; all other "
    "layers scale with it",
    "learning_rate": "learning rate of both networks",
    "generator_rate": "learning rate of the generator",
    "discriminator_rate": "learning rate of the discriminator",
    "flip": "mirror half of the pictures, left to right",
    "crop": "part of each picture's height and width to keep, up to 1",
    "seed": "seed of the weights, the noise and the order of the pictures",
    "rollbacks": "if a value becomes NaN or infinite, restore the weights from "
    "the start of the epoch and halve the learning rates, up to this many "
    "times; 0 stops training",
    "evaluate_every": "measure the quality every N epochs, and keep the best "
    "model in best.keras; 0 never does",
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
# A run with a checkpoint keeps all other settings.
_CHANGEABLE = {"data", "epochs", *DEFAULTS} - {"seed"}


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
                Numbers are positive, unless the default is 0. A tuple is the
                height and width of images.
            sample: Default with `--data sample`. Defaults to `None`: no other.
            group: Group of options that exclude each other.
            **how: Other arguments of `add_argument`.
        """
        kind = kind or _kind(default)
        if default is not None:
            shown = str(show(default))
            if sample is not None:
                shown += f"; with --data sample: {show(sample)}"
            help += f" (default: {shown})".replace("%", "%%")
        if kind is bool:
            how["action"] = argparse.BooleanOptionalAction
        else:
            how["type"] = kind
            if kind.__name__ in ("integer", "positive"):
                how.setdefault("metavar", "N")
            elif kind is image_size:
                how.setdefault("metavar", "SIZE")
        (group or self).add_argument(
            "--" + name.replace("_", "-"), default=default, help=help, **how
        )

    def add_run_options(
        self,
        default_output: str,
        longer: str = "--epochs 200 extends it to 200 epochs",
    ) -> None:
        """Adds the options of all programs that train."""
        text = f"folder of the run (default: {default_output})"
        self.add("output", text, kind=pathlib.Path, metavar="FOLDER")
        self.add_argument(
            "--resume",
            action="store_true",
            help="continue the run in --output from its newest checkpoint, "
            f"with its settings; {longer}",
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
    known: dict[str, Any] = {}
    if options.resume:
        saved = read_settings(options.output)
        known = {name: saved[name] for name in defaults if name in saved}
        for name, value in known.items():
            if isinstance(defaults[name], tuple):
                # JSON has lists. Older runs have one number for both sides.
                both = isinstance(value, int)
                known[name] = (value, value) if both else tuple(value)
        parser.set_defaults(**known)
    elif options.data == "sample":
        parser.set_defaults(**sample)
    options = parser.parse_args(argv)
    settings = {name: vars(options).pop(name) for name in defaults}
    fixed = _flags(
        name
        for name, value in known.items()
        if name not in _CHANGEABLE and settings[name] != value
    )
    if fixed and RunFolder(options.output).latest_checkpoint():
        fail(
            "A resumed run keeps its settings, except for "
            f"{_flags(sorted(_CHANGEABLE))}. Received: {fixed}. "
            f"{start_from_hint(options.output)}"
        )
    return options, settings


def _flags(names):
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def start_from_hint(run: pathlib.Path) -> str:
    """Returns how to train a model with what a resumed run cannot change."""
    command = gan_blocks_command("train", "NEW_PICTURES", "--start-from", run)
    return (
        "To continue on other pictures or with other settings, start a new run "
        f"from this model: {command}"
    )


def _kind(default):
    if type(default) is int:
        return at_least(min(1, default))
    kinds = {float: positive, bool: bool, tuple: image_size}
    return kinds.get(type(default), str)


def show(value: Any) -> Any:
    """Returns a setting as it is written on a command line or in the help."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return "x".join(map(str, value))
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
