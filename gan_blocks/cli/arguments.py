"""The words after a recipe's name."""

import argparse
import json
import pathlib
import sys


def parse_arguments(description, defaults, sample=None, argv=None):
    """Reads the command line of a recipe.

    Args:
        description: The recipe's docstring, shown by `--help`.
        defaults: Dictionary of the recipe's settings: `data`, `epochs`,
            `batch_size` and, where the recipe has such flags, `image_size`,
            `filters`, `generator_rate`, `discriminator_rate`, `crop` and
            `flip`.
        sample: Those which are others with `--data sample`. Defaults to
            `None`: none are.
        argv: List of words. Defaults to `None`: those of the process.

    Returns:
        `argparse.Namespace` with these settings and `steps_per_epoch`,
        `output` (a path), `seed`, `resume`, `generate`, `interpolate` and
        `checkpoint`. With `--resume` what is not on the command line is as it
        was in the run that is resumed.
    """
    parser = _parser(description, defaults, sample or {})
    arguments = parser.parse_args(argv)
    drawing = arguments.generate or arguments.interpolate
    if arguments.checkpoint and not drawing:
        parser.error("--checkpoint FILE goes with --generate or --interpolate")
    if arguments.resume:
        saved = arguments.output / "arguments.json"
        if not saved.is_file():
            parser.error(f"--resume: there is no run in {arguments.output}")
        parser.set_defaults(**json.loads(saved.read_text()))
    elif arguments.data == "sample":
        parser.set_defaults(**(sample or {}))
    return parser.parse_args(argv)


def _parser(description, defaults, sample):
    recipe = pathlib.Path(sys.argv[0]).stem
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )

    def add(flag, text, **options):
        parser.add_argument(flag, help=text, **options)

    def setting(flag, text, kind=_positive):
        name = flag[2:].replace("-", "_")
        if name not in defaults:
            return
        value = defaults[name]
        text += f" (default: {value}"
        if name in sample:
            text += f"; with --data sample {sample[name]}"
        add(flag, text + ")", type=kind, default=value)

    setting(
        "--data",
        "pictures to learn from: a file (.npy, .npz, idx, .zip), a folder, "
        "tfds:NAME, or 'sample' for a set that needs no download",
        str,
    )
    setting("--epochs", "passes over the pictures")
    setting("--batch-size", "pictures per training step")
    setting("--image-size", "height and width of the pictures in pixels")
    setting(
        "--filters",
        "channels of the discriminator's first convolution; all others follow",
    )
    setting("--generator-rate", "learning rate of the generator", float)
    setting("--discriminator-rate", "learning rate of the discriminator", float)
    setting(
        "--crop",
        "how much of the height and width of each picture's centred square to "
        "keep, from 0 to 1",
        float,
    )
    if "flip" in defaults:
        add(
            "--flip",
            "mirror half of the pictures, left to right",
            action=argparse.BooleanOptionalAction,
        )
    parser.set_defaults(flip=defaults.get("flip", False))
    add(
        "--steps-per-epoch",
        "training steps that make an epoch (default: one pass over the "
        "pictures)",
        type=_positive,
    )
    add(
        "--output",
        "folder of the run: grids of pictures, checkpoints, history.csv, "
        f"arguments.json (default: runs/{recipe})",
        type=pathlib.Path,
        default=pathlib.Path("runs", recipe),
    )
    add(
        "--seed",
        "seed of weights, noise and order of the pictures (default: 0)",
        type=int,
        default=0,
    )
    add(
        "--resume",
        "go on from the last checkpoint in --output, with the arguments of "
        "that run; --epochs 40 makes it longer",
        action="store_true",
    )
    add(
        "--generate",
        "train nothing: draw N pictures with a trained generator",
        type=_positive,
        metavar="N",
    )
    add(
        "--interpolate",
        "train nothing: draw what lies between N pictures of a trained "
        "generator, as strips and as an animation",
        type=_at_least_two,
        metavar="N",
    )
    add(
        "--checkpoint",
        "saved model for --generate and --interpolate (default: the last one "
        "in --output)",
        type=pathlib.Path,
        metavar="FILE",
    )
    return parser


def _positive(word):
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{word} is not at least 1")
    return number


def _at_least_two(word):
    number = int(word)
    if number < 2:
        raise argparse.ArgumentTypeError(f"{word} is not at least 2")
    return number


def fail(message, status=1):
    """Ends the process with a message of one line."""
    print(f"{sys.argv[0]}: {message}", file=sys.stderr)
    raise SystemExit(status)
