"""The words after a recipe's name."""

import argparse
import contextlib
import json
import pathlib
import sys

ARGUMENTS = "arguments.json"  # The file of them in the folder of a run.


def at_least(least):
    """Returns what reads a whole number of that size, or more."""

    def number(word):
        value = int(word)
        if value < least:
            raise argparse.ArgumentTypeError(f"{word} is not at least {least}")
        return value

    return number


# The settings that a recipe may have: what they are read with, and their help.
_SETTINGS = {
    "data": (
        str,
        "pictures to learn from: a file (.npy, .npz, idx, .zip), a folder, "
        "tfds:NAME, or 'sample' for a set that needs no download",
    ),
    "epochs": (at_least(1), "passes over the pictures"),
    "batch_size": (at_least(1), "pictures per training step"),
    "image_size": (at_least(1), "height and width of the pictures in pixels"),
    "filters": (
        at_least(1),
        "channels of the discriminator's first convolution; all others follow",
    ),
    "generator_rate": (float, "learning rate of the generator"),
    "discriminator_rate": (float, "learning rate of the discriminator"),
    "crop": (
        float,
        "how much of the height and width of each picture's centred square to "
        "keep, from 0 to 1",
    ),
}


def parse_arguments(description, defaults, sample=None, modern=None, argv=None):
    """Reads the command line of a recipe.

    Args:
        description: The recipe's docstring, shown by `--help`.
        defaults: Dictionary of the recipe's settings: `data`, `epochs`,
            `batch_size` and, where the recipe has such flags, `image_size`,
            `filters`, `generator_rate`, `discriminator_rate`, `crop`,
            `flip` and `conditional`.
        sample: Those which are others with `--data sample`. Defaults to
            `None`: none are.
        modern: Those which are others with `--modern`. Defaults to `None`:
            the recipe has no such flag.
        argv: List of words. Defaults to `None`: those of the process.

    Returns:
        `argparse.Namespace` with these settings and `steps_per_epoch`,
        `output` (a path), `seed`, `devices`, `rollbacks`, `resume`,
        `generate`, `interpolate`, `evaluate`, `features` and `checkpoint`. With
        `--resume` or `--evaluate` what is not on the command line is as it
        was in the run.
    """
    sample = sample or {}
    parser = _parser(description, defaults, sample, modern)
    arguments = parser.parse_args(argv)
    using = arguments.generate or arguments.interpolate or arguments.evaluate
    if arguments.checkpoint and not using:
        parser.error(
            "--checkpoint FILE goes with --generate, --interpolate or "
            "--evaluate"
        )
    if arguments.resume or arguments.evaluate:
        parser.set_defaults(**_arguments_of_the_run(arguments.output, parser))
    else:
        if arguments.data == "sample":
            parser.set_defaults(**sample)
        if arguments.modern:
            parser.set_defaults(**modern)
    return parser.parse_args(argv)


def _arguments_of_the_run(output, parser):
    saved = output / ARGUMENTS
    if not saved.is_file():
        parser.error(f"there is no run in {output}")
    try:
        return dict(json.loads(saved.read_text()))
    except (ValueError, TypeError) as error:
        parser.error(
            f"{saved} is damaged ({error}). Every checkpoint of the "
            "run holds the same in its gan_blocks.json"
        )


def _parser(description, defaults, sample, modern):
    recipe = pathlib.Path(sys.argv[0]).stem
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_settings(parser, defaults, sample)
    parser.set_defaults(modern=False)
    if modern is not None:
        changed = ", ".join(f"{k} {v}" for k, v in modern.items())
        parser.add_argument(
            "--modern",
            action="store_true",
            help="our own networks and settings in place of the source's; "
            f"they learn better in the same time ({changed})",
        )
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path("runs", recipe),
        help="folder of the run: grids of pictures, checkpoints, history.csv, "
        f"arguments.json (default: runs/{recipe})",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on from the last checkpoint in --output, with the arguments "
        "of that run; --epochs 40 makes it longer",
    )
    parser.add_argument(
        "--devices",
        nargs="+",
        metavar="NAME",
        help="train on several, each with its share of a batch: gpu:0 gpu:1, "
        "or all; see docs/scaling.md (default: the first)",
    )
    parser.add_argument(
        "--rollbacks",
        type=at_least(0),
        default=0,
        help="how often to go back to the beginning of the epoch, with half "
        "the learning rates, when a value is NaN or infinite (default: 0, "
        "which stops)",
    )
    parser.add_argument(
        "--generate",
        type=at_least(1),
        metavar="N",
        help="train nothing: draw N pictures with a trained generator",
    )
    parser.add_argument(
        "--interpolate",
        type=at_least(2),
        metavar="N",
        help="train nothing: draw what lies between N pictures of a trained "
        "generator, as strips and as an animation",
    )
    parser.add_argument(
        "--evaluate",
        type=at_least(4),
        nargs="?",
        const=10_000,
        metavar="N",
        help="train nothing: measure how good N pictures of a trained "
        "generator are (default: 10000)",
    )
    parser.add_argument(
        "--features",
        type=pathlib.Path,
        metavar="FILE",
        help="saved Keras model of images in [-1, 1] whose output --evaluate "
        "compares pictures by (default: see docs/quality.md)",
    )
    parser.add_argument(
        "--checkpoint",
        type=pathlib.Path,
        metavar="FILE",
        help="saved model for --generate, --interpolate and --evaluate "
        "(default: the last one in --output)",
    )
    return parser


def _add_settings(parser, defaults, sample):
    """Adds the flags of what makes a run; those that its recipe has."""
    for name, (kind, text) in _SETTINGS.items():
        if name not in defaults:
            continue
        text += f" (default: {defaults[name]}"
        if name in sample:
            text += f"; with --data sample {sample[name]}"
        flag = "--" + name.replace("_", "-")
        parser.add_argument(
            flag, type=kind, default=defaults[name], help=text + ")"
        )
    if "flip" in defaults:
        parser.add_argument(
            "--flip",
            action=argparse.BooleanOptionalAction,
            help="mirror half of the pictures, left to right",
        )
    parser.set_defaults(flip=defaults.get("flip", False))
    if "conditional" in defaults:
        parser.add_argument(
            "--conditional",
            action="store_true",
            help="tell the networks, which are then those of --modern, the "
            "class of each picture",
        )
    parser.add_argument(
        "--steps-per-epoch",
        type=at_least(1),
        help="training steps that make an epoch (default: one pass over the "
        "pictures)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="seed of weights, noise and order of the pictures (default: 0)",
    )


def fail(message, status=1):
    """Ends the process with a message of one line."""
    with contextlib.suppress(OSError):  # The status counts more.
        print(f"{sys.argv[0]}: {message}", file=sys.stderr)
    raise SystemExit(status)
