"""The command `gan_blocks`: trains GANs and uses trained ones."""

import argparse
import importlib
import pathlib
from collections.abc import Callable, Sequence

from gan_blocks._version import __version__
from gan_blocks.cli.options import at_least
from gan_blocks.cli.output import (
    fail,
    hide_tensorflow_log,
    report_errors_in_one_line,
    tolerate_broken_stdout,
)

__all__ = ["main"]

_FILMS = (".gif", ".webp", ".png", ".mp4")
_MODELS = (".onnx", ".tflite", ".keras", "")


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command.

    Args:
        argv: The words after `gan_blocks`. Defaults to `None`: the command
            line of the process.
    """
    arguments = vars(_parser().parse_args(argv))
    action = arguments.pop("action")
    report_errors_in_one_line()
    try:
        # Imported here, because `--help` must not wait for Keras.
        with hide_tensorflow_log():
            if action in ("train", "export"):  # With any backend.
                importlib.import_module("tensorflow")
            module = importlib.import_module(f"gan_blocks.cli.{action}")
        with tolerate_broken_stdout():
            getattr(module, action)(**arguments)
    except KeyboardInterrupt:
        fail("Interrupted.", status=130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gan_blocks",
        description="Trains a GAN on your pictures and uses trained GANs.",
        epilog="Options of an action: gan_blocks ACTION --help",
    )
    parser.add_argument("--version", action="version", version=__version__)
    actions = parser.add_subparsers(
        dest="action", required=True, metavar="ACTION"
    )

    def add(name: str, help: str, example: str) -> argparse.ArgumentParser:
        added = actions.add_parser(
            name,
            help=help,
            description=help[0].upper() + help[1:] + ".",
            epilog=f"Example:\n  gan_blocks {name} {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name != "train":
            added.add_argument(
                "run",
                metavar="RUN",
                type=pathlib.Path,
                help="folder of a run, whose newest checkpoint is used, or a "
                "saved GAN (.keras)",
            )
        return added

    _add_train(add("train", "train a GAN on pictures", "pictures/"))
    _add_generate(
        add(
            "generate",
            "generate new pictures",
            "runs/cats --number 16 --scale 2",
        )
    )
    _add_interpolate(
        add(
            "interpolate",
            "make a film that moves from picture to picture",
            "runs/cats --file cats.webp",
        )
    )
    _add_evaluate(
        add(
            "evaluate",
            "measure how good the generated pictures are",
            "runs/cats --data pictures/ --number 2000",
        )
    )
    _add_animate(
        add(
            "animate",
            "make a film of the grids that were saved during training",
            "runs/cats training.mp4",
        )
    )
    _add_export(
        add(
            "export",
            "save the generator for programs without gan_blocks",
            "runs/cats generator.onnx",
        )
    )
    add(
        "page",
        "show a run as a web page, index.html in its folder",
        "runs/cats",
    )
    return parser


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "pictures",
        metavar="PICTURES",
        nargs="?",
        help="a folder, a .zip, .npy or .npz file, MNIST's idx files, or "
        "tfds:NAME",
    )
    parser.add_argument(
        "--output",
        metavar="FOLDER",
        type=pathlib.Path,
        help="folder of the run (default: runs/ and the name of PICTURES)",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue the run in --output from its newest checkpoint, with "
        "its settings; --epochs 200 extends it to 200 epochs",
    )
    parser.add_argument(
        "--devices",
        nargs="+",
        metavar="NAME",
        help="train on several devices, each with its part of every batch: "
        "gpu:0 gpu:1, or all (default: the first device)",
    )
    # The defaults depend on the pictures, and on the run that is resumed.
    parser.add_argument(
        "--image-size",
        metavar="SIZE",
        type=_image_size,
        help="size in pixels, 64 or HEIGHTxWIDTH such as 64x96 (default: 64)",
    )
    parser.add_argument(
        "--channels",
        type=int,
        choices=(1, 3),
        help="1 for gray pictures, 3 for color (default: 3)",
    )
    parser.add_argument(
        "--classes",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="learn the class of each picture, which is the name of its "
        "folder or its label in the file (default: no)",
    )
    parser.add_argument(
        "--epochs",
        type=at_least(1),
        help="passes over the pictures (default: 100)",
    )
    parser.add_argument(
        "--batch-size",
        type=at_least(1),
        help="pictures per training step (default: 64)",
    )
    parser.add_argument(
        "--base-filters",
        type=at_least(1),
        help="filters of the discriminator's first layer; all other layers "
        "scale with it (default: 64 for small color pictures, otherwise 32)",
    )
    parser.add_argument(
        "--learning-rate",
        type=_positive,
        help="of both networks (default: 0.0008 for gray pictures, 0.0004 for "
        "color)",
    )
    parser.add_argument(
        "--flip",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="mirror half of the pictures, left to right (default: only color "
        "pictures)",
    )
    parser.add_argument(
        "--seed",
        type=at_least(0),
        help="of the weights, the noise and the order of the pictures "
        "(default: 0)",
    )


def _add_generate(parser: argparse.ArgumentParser) -> None:
    _add_number(parser, 64, 1, "number of pictures")
    _add_latents(parser)
    parser.add_argument(
        "--truncation",
        metavar="FACTOR",
        type=_positive,
        default=1.0,
        help="multiplies the latents; below 1, pictures are more typical and "
        "less varied (default: 1)",
    )
    _add_scale(parser, "1")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--output",
        metavar="FILE",
        type=_file(".png"),
        help="the grid of pictures (default: a .png file in the folder of the "
        "run)",
    )
    where.add_argument(
        "--separate",
        action="store_true",
        help="save each picture in a file of its own",
    )
    parser.add_argument(
        "--folder",
        type=pathlib.Path,
        help="folder for --separate (default: a folder in that of the run)",
    )


def _add_interpolate(parser: argparse.ArgumentParser) -> None:
    _add_number(parser, 8, 2, "number of pictures that the film passes")
    _add_latents(parser)
    parser.add_argument(
        "--steps",
        type=at_least(1),
        default=24,
        help="frames from one picture to the next (default: 24)",
    )
    _add_scale(parser, "the film is at least 256 pixels wide")
    parser.add_argument(
        "--file",
        type=_file(*_FILMS),
        help="the film: .gif, .webp, .png (animated) or, if ffmpeg is "
        "installed, .mp4 (default: a .gif file in the folder of the run)",
    )


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        metavar="PICTURES",
        required=True,
        help="real pictures to compare with: a folder, a file or tfds:NAME",
    )
    parser.add_argument(
        "--split",
        default="train",
        help="part of the data, for MNIST, .npz files and tfds:NAME (default: "
        "train)",
    )
    _add_number(parser, 10_000, 4, "number of generated pictures")
    _add_seed(parser)
    parser.add_argument(
        "--features",
        metavar="FILE",
        help="saved Keras model of images in [-1, 1], whose outputs are "
        "compared, or 'classifier': a small one that is trained on the "
        "labels of the data (default: InceptionV3, which is downloaded once)",
    )


def _add_animate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        metavar="FILE",
        type=_file(*_FILMS),
        nargs="?",
        help="the film: .gif, .webp, .png (animated) or, if ffmpeg is "
        "installed, .mp4 (default: grids.gif in the folder of the run)",
    )
    parser.add_argument(
        "--speed",
        type=_positive,
        default=10.0,
        help="grids per second, up to 50 (default: 10)",
    )
    _add_scale(parser, "the film is at least 256 pixels wide")


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        metavar="FILE",
        type=_file(*_MODELS),
        help="FILE.onnx, FILE.tflite (LiteRT), FILE.keras (for programs that "
        "import gan_blocks), or a new folder for a TensorFlow SavedModel",
    )


def _add_number(
    parser: argparse.ArgumentParser, default: int, minimum: int, help: str
) -> None:
    parser.add_argument(
        "--number",
        type=at_least(minimum),
        default=default,
        help=f"{help} (default: {default})",
    )


def _add_latents(parser: argparse.ArgumentParser) -> None:
    _add_seed(parser)
    parser.add_argument(
        "--labels",
        type=_labels,
        help="classes to generate, for a GAN with classes: 3, or 0,1,2 in turn "
        "(default: all in turn)",
    )


def _add_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seed",
        type=at_least(0),
        default=0,
        help="of the latents; another seed gives other pictures (default: 0)",
    )


def _add_scale(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--scale",
        metavar="N",
        type=at_least(1),
        default=1 if default == "1" else None,
        help=f"enlarge each pixel N times (default: {default})",
    )


def _positive(word: str) -> float:
    value = float(word)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be positive. Received: {word}")
    return value


def _image_size(word: str) -> tuple[int, int]:
    sides = word.split("x")
    if len(sides) > 2 or not all(map(str.isdecimal, sides)):
        raise argparse.ArgumentTypeError(
            f"must be like 64 or 64x96. Received: {word}"
        )
    return int(sides[0]), int(sides[-1])


def _labels(word: str) -> list[int]:
    labels = word.split(",")
    if not all(map(str.isdecimal, labels)):
        raise argparse.ArgumentTypeError(
            f"must be like 3 or 0,1,2. Received: {word}"
        )
    return [int(label) for label in labels]


def _file(*endings: str) -> Callable[[str], pathlib.Path]:
    """Returns a function that accepts paths with one of the endings."""

    def path(word: str) -> pathlib.Path:
        if pathlib.Path(word).suffix.lower() not in endings:
            *others, last = [ending or "nothing" for ending in endings]
            wanted = f"{', '.join(others)} or {last}" if others else last
            raise argparse.ArgumentTypeError(
                f"must end in {wanted}. Received: {word}"
            )
        return pathlib.Path(word)

    return path
