"""The command `gan_blocks`: trains GANs and uses trained ones."""

import argparse
import importlib
import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from typing import Any

from gan_blocks._version import __version__
from gan_blocks.cli import output
from gan_blocks.cli.options import (
    HELP,
    Parser,
    at_least,
    image_size,
    positive,
)

__all__ = ["main"]

_SEED = "seed of the latents; another seed gives other pictures"
_SCALE = "enlarge each pixel N times"


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command.

    Args:
        argv: The words after `gan_blocks`. Defaults to `None`: the command
            line of the process.
    """
    begin = time.monotonic()
    arguments = vars(_parser().parse_args(argv))
    action = arguments.pop("action")
    try:
        # Imported here, because `--help` must not wait for Keras.
        with output.hide_tensorflow_log():
            module = importlib.import_module(f"gan_blocks.cli.{action}")
        output.keep_tensorflow_unused()
        if action == "train":
            arguments["begin"] = begin
        stream: Any = output.TolerantStream(sys.stdout)
        with redirect_stdout(stream):
            getattr(module, action)(**arguments)
    except (Exception, KeyboardInterrupt) as error:
        output.exit_with_one_line(error)
        raise


def _parser() -> Parser:
    parser = Parser(
        prog="gan_blocks",
        description="Trains a GAN on your pictures and uses trained GANs.",
        epilog="Options of an action: gan_blocks ACTION --help",
    )
    parser.add_argument("--version", action="version", version=__version__)
    actions = parser.add_subparsers(
        dest="action", required=True, metavar="ACTION"
    )
    for name, (add_options, text, example) in _ACTIONS.items():
        added = actions.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=f"Example:\n  gan_blocks {name} {example}",
        )
        if name != "train":
            added.add_argument(
                "run",
                metavar="RUN",
                type=pathlib.Path,
                help="folder of a run, or a saved GAN (.keras); a folder gives "
                "best.keras if the quality was measured, otherwise the newest "
                "checkpoint",
            )
        add_options(added)
    return parser


def _add_train(parser: Parser) -> None:
    parser.add_argument(
        "pictures",
        metavar="PICTURES",
        nargs="?",
        help="a folder, an archive (.zip, .tar), a .npy or .npz file, MNIST's "
        "idx files, or tfds:NAME",
    )
    parser.add_run_options(
        "runs/ and the name of PICTURES",
        "--minutes 120 extends it to two hours in all",
    )
    text = "time for the whole run, with loading and measuring (default: 60, "
    text += "or 20 with --start-from)"
    length = parser.add_mutually_exclusive_group()
    parser.add("minutes", text, kind=positive, group=length)
    text = "train for N steps, rounded up to whole rounds of N/40 steps, "
    text += "without a time limit"
    parser.add("steps", text, kind=at_least(1), group=length)
    text = "continue a trained GAN on these pictures, in a new run: the folder "
    text += "of its run, or a .keras file"
    kind = pathlib.Path
    parser.add("start_from", text, kind=kind, metavar="RUN_OR_FILE")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="look at the pictures, print the plan, and stop",
    )
    text = (
        f"{HELP['image_size']} (default: what the pictures and the time allow)"
    )
    parser.add("image_size", text, kind=image_size)
    text = "1 for gray pictures, 3 for color, 4 for color and transparency"
    text += " (default: 1 or 3, like the pictures)"
    parser.add("channels", text, kind=int, choices=(1, 3, 4))
    parser.add(
        "labels",
        "learn the label of each picture, which is the name of its folder or "
        "its label in the file (default: no)",
        kind=bool,
    )
    text = (
        "part of each picture to keep: center, top (keeps heads), pad (adds "
        "borders), or the fraction of the center to keep, such as 0.6 "
        "(default: center)"
    )
    parser.add("crop", text, kind=_crop, metavar="PART")
    text = "leave out pictures with fewer pixels in height or width"
    parser.add("min_size", text, kind=at_least(1))
    text = "nearest for pixel art (default: lanczos)"
    parser.add("resample", text, choices=("lanczos", "nearest"))
    text = (
        "color of transparent pixels; drop ignores the transparency (default: "
        "auto)"
    )
    alphas = ("auto", "white", "black", "gray", "drop")
    parser.add("alpha", text, choices=alphas)
    text = (
        "augmentation against memorizing few pictures (default: auto, which is "
        "adaptive for photographs that are seen more than 100 times, and diff "
        "above 300; with --start-from, augmentation in the trained GAN stays)"
    )
    augment = ("auto", "none", "diff", "adaptive")
    parser.add("augment", text, choices=augment)
    parser.add("flip", f"{HELP['flip']} (default: photographs)", kind=bool)
    text = "settings for digits and other drawings instead of photographs "
    text += "(default: gray pictures that are mostly background)"
    parser.add("drawings", text, kind=bool)
    text = "bfloat16 is faster on some processors (default: auto)"
    parser.add("precision", text, choices=("auto", "float32", "bfloat16"))
    for name, kind, default in (
        ("base_filters", at_least(1), "depends on the pictures"),
        ("learning_rate", positive, "depends on the pictures"),
        ("batch_size", at_least(1), "16 for photographs on a CPU, else 64"),
        ("seed", at_least(0), "0"),
    ):
        parser.add(name, f"{HELP[name]} (default: {default})", kind=kind)
    text = "saved Keras model that measures the quality (default: a small one "
    text += "that is trained on the pictures)"
    parser.add("features", text, metavar="FILE")
    parser.add("tensorboard", HELP["tensorboard"], kind=bool)


def _add_generate(parser: Parser) -> None:
    _add_latents(parser, 64, 1, "number of pictures")
    text = "multiplies the latents; below 1, pictures are less varied"
    parser.add("truncation", text, 1.0)
    parser.add("scale", _SCALE, 1)
    group = parser.add_mutually_exclusive_group()
    text = (
        "the grid of pictures (default: a .png file in the folder of the run)"
    )
    kind = _file(".png")
    parser.add("output", text, kind=kind, group=group, metavar="FILE")
    group.add_argument(
        "--separate",
        action="store_true",
        help="save each picture in a file of its own",
    )
    text = "folder for --separate (default: a folder in that of the run)"
    parser.add("folder", text, kind=pathlib.Path)


def _add_interpolate(parser: Parser) -> None:
    _add_latents(parser, 8, 2, "number of pictures that the film passes")
    parser.add("steps", "frames from one picture to the next", 24)
    _add_film(parser, "--file", "a .gif file in the folder of the run")


def _add_evaluate(parser: Parser) -> None:
    text = "real pictures to compare with: a folder, a file or tfds:NAME"
    parser.add("data", text, metavar="PICTURES", required=True)
    text = "part of the data, such as test, if it has several"
    parser.add("split", text, "train")
    parser.add("number", "number of generated pictures", 10_000, at_least(4))
    parser.add("seed", _SEED, 0)
    parser.add(
        "features",
        "saved Keras model of images in [-1, 1], whose outputs are compared, "
        "or 'classifier': a small one that is trained on the labels of the "
        "data (default: InceptionV3, which is downloaded once)",
        metavar="FILE",
    )


def _add_animate(parser: Parser) -> None:
    _add_film(parser, "file", "grids.gif in the folder of the run", nargs="?")
    parser.add("speed", "grids per second, up to 50", 10.0)


def _add_export(parser: Parser) -> None:
    parser.add_argument(
        "file",
        metavar="FILE",
        type=_file(".onnx", ".tflite", ".keras", ""),
        help="FILE.onnx, FILE.tflite (LiteRT), FILE.keras (for programs that "
        "import gan_blocks), or a new folder for a TensorFlow SavedModel",
    )


def _add_explore(parser: Parser) -> None:
    text = "the page (default: explorer.html in the folder of the run)"
    kind = _file(".html")
    parser.add_argument("file", nargs="?", metavar="FILE", type=kind, help=text)


def _add_page(parser: Parser) -> None:
    parser.add_argument(
        "other",
        nargs="?",
        metavar="OTHER",
        type=pathlib.Path,
        help="folder of a run to compare with",
    )
    text = "the page (default: index.html in the folder of the run, or"
    text += " compare_OTHER.html)"
    parser.add("output", text, kind=_file(".html"), metavar="FILE")


def _add_latents(parser: Parser, number: int, least: int, help: str) -> None:
    parser.add("number", help, number, at_least(least))
    parser.add("seed", _SEED, 0)
    parser.add(
        "labels",
        "classes to generate, for a GAN with classes: 3, or 0,1,2 in turn "
        "(default: all in turn)",
        kind=_labels,
    )


def _add_film(parser: Parser, name: str, default: str, **how: Any) -> None:
    parser.add_argument(
        name,
        metavar="FILE",
        type=_file(".gif", ".webp", ".png", ".mp4"),
        help="the film: .gif, .webp, .png (animated) or, if ffmpeg is "
        f"installed, .mp4 (default: {default})",
        **how,
    )
    text = f"{_SCALE} (default: the film is at least 256 pixels wide)"
    parser.add("scale", text, kind=at_least(1))


def _crop(word: str) -> str | float:
    try:
        return float(word)
    except ValueError:
        return word  # `load` checks it.


def _labels(word: str) -> list[int]:
    labels = word.split(",")
    if not all(map(str.isdecimal, labels)):
        raise argparse.ArgumentTypeError(
            f"must be like 3 or 0,1,2. Received: {word}"
        )
    return [int(label) for label in labels]


def _file(*endings: str) -> Callable[[str], pathlib.Path]:
    """Returns an argparse type: a path with one of the endings."""

    def path(word: str) -> pathlib.Path:
        if pathlib.Path(word).suffix.lower() not in endings:
            *others, last = [ending or "nothing" for ending in endings]
            wanted = f"{', '.join(others)} or {last}" if others else last
            raise argparse.ArgumentTypeError(
                f"must end in {wanted}. Received: {word}"
            )
        return pathlib.Path(word)

    return path


# Adds the options of each action; its help and an example.
_ACTIONS: dict[str, tuple[Callable[[Parser], None], str, str]] = {
    "train": (_add_train, "train a GAN on pictures", "pictures/"),
    "generate": (
        _add_generate,
        "generate new pictures",
        "runs/cats --number 16 --scale 2",
    ),
    "interpolate": (
        _add_interpolate,
        "make a film that moves from picture to picture",
        "runs/cats --file cats.webp",
    ),
    "evaluate": (
        _add_evaluate,
        "measure how good the generated pictures are",
        "runs/cats --data pictures/ --number 2000",
    ),
    "animate": (
        _add_animate,
        "make a film of the grids that were saved during training",
        "runs/cats training.mp4",
    ),
    "export": (
        _add_export,
        "save the generator for programs without gan_blocks",
        "runs/cats generator.onnx",
    ),
    "explore": (
        _add_explore,
        "write a web page that generates pictures, to play with and to send",
        "runs/cats cats.html",
    ),
    "page": (
        _add_page,
        "show a run, or two runs side by side, as a web page",
        "runs/cats runs/cats_longer",
    ),
}
