"""Command-line options of the recipes."""

import argparse
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gan_blocks.cli.output import fail
from gan_blocks.runs import RunFolder

__all__ = ["at_least", "parse_options", "read_settings"]


def at_least(minimum: int) -> Callable[[str], int]:
    """Returns an argparse type: an integer that is not too small."""

    def integer(text: str) -> int:
        value = int(text)
        if value < minimum:
            raise argparse.ArgumentTypeError(
                f"{text} is not at least {minimum}"
            )
        return value

    return integer


# The type and the help of options that recipes may have.
_OPTIONS: dict[str, tuple[Callable[[str], Any], str]] = {
    "data": (
        str,
        "pictures to train on: a folder, a file (.zip, .npy, .npz, or MNIST's "
        "idx format), tfds:NAME, or 'sample', which needs no download",
    ),
    "epochs": (at_least(1), "passes over the pictures"),
    "batch_size": (at_least(1), "pictures per training step"),
    "steps_per_epoch": (
        at_least(1),
        "training steps per epoch; without it, one pass over the pictures",
    ),
    "image_size": (at_least(1), "height and width of the pictures in pixels"),
    "filters": (
        at_least(1),
        "filters of the discriminator's first convolution; the other layers "
        "scale with it",
    ),
    "generator_rate": (float, "learning rate of the generator"),
    "discriminator_rate": (float, "learning rate of the discriminator"),
    "flip": (bool, "mirror half of the pictures, left to right"),
    "crop": (
        float,
        "part of each picture's height and width to keep, from 0 to 1",
    ),
    "seed": (
        at_least(0),
        "seed of the weights, the noise and the order of the pictures",
    ),
    "rollbacks": (
        at_least(0),
        "if a value becomes NaN or infinite, restore the weights from the "
        "start of the epoch and halve the learning rates, up to this many "
        "times; 0 stops training",
    ),
    "evaluate_every": (
        at_least(0),
        "measure the quality after every so many epochs, and keep the best "
        "model in best.keras; 0 never does",
    ),
    "features": (
        str,
        "saved Keras model whose outputs --evaluate-every compares; without "
        "it, InceptionV3",
    ),
    "tensorboard": (bool, "write logs for TensorBoard"),
}


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
        A namespace with `output`, `resume` and `devices`, and a dictionary of
        the settings. With `--resume`, the defaults are the settings of the run
        in `output`.
    """
    defaults = {
        **defaults,
        "seed": 0,
        "rollbacks": 0,
        "evaluate_every": 0,
        "features": None,
        "tensorboard": False,
    }
    parser = _parser(description, defaults, sample)
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


def _parser(description, defaults, sample):
    recipe = pathlib.Path(sys.argv[0]).stem
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, default in defaults.items():
        kind, text = _OPTIONS.get(
            name, (type(default), "setting of the recipe")
        )
        if default is not None:
            text += f" (default: {_shown(default)}"
            if name in sample:
                text += f"; with --data sample: {_shown(sample[name])}"
            text += ")"
        flag = "--" + name.replace("_", "-")
        if kind is bool:
            how: dict[str, Any] = {"action": argparse.BooleanOptionalAction}
        else:
            how = {"type": kind}
        parser.add_argument(flag, default=default, help=text, **how)
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path("runs", recipe),
        help=f"folder of the run (default: runs/{recipe})",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue the run in --output from its newest checkpoint, with "
        "its settings; --epochs can extend it",
    )
    parser.add_argument(
        "--devices",
        nargs="+",
        metavar="NAME",
        help="train on several devices, each with its part of every batch: "
        "gpu:0 gpu:1, or all (default: the first device)",
    )
    return parser


def _shown(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else value


def read_settings(output: pathlib.Path) -> dict[str, Any]:
    """Reads the settings of a run, or ends the process with one line."""
    run = RunFolder(output)
    if not run.settings.is_file():
        fail(f"No run found in {output}. Start one without --resume.")
    try:
        return run.read_settings()
    except ValueError as error:
        fail(
            f"{run.settings} is damaged ({error}). Each checkpoint of the run "
            "has a copy of the settings in its member gan_blocks.json."
        )
