"""The command `gan_blocks`: what can be done with a trained model."""

import argparse
import pathlib
import textwrap

import keras

from gan_blocks import datasets, images, page
from gan_blocks.cli.arguments import at_least, fail
from gan_blocks.cli.drawing import draw, load_trained
from gan_blocks.cli.measuring import measure
from gan_blocks.cli.output import output_that_may_fail
from gan_blocks.cli.training import load_real

# What the name of an exported file ends in, and Keras' name of its format.
_FORMATS = {"": "tf_saved_model", ".onnx": "onnx", ".tflite": "litert"}


def main(argv=None):
    """Draws, exports, measures or animates, as the command line says.

    Args:
        argv: List of words. Defaults to `None`: those of the process.
    """
    arguments = _parser().parse_args(argv)
    run = arguments.run
    arguments.checkpoint = run if run.suffix == ".keras" else None
    arguments.output = run.parent if arguments.checkpoint else run
    with output_that_may_fail():
        arguments.action(arguments)


def _generate(arguments):
    _, gan = load_trained(arguments)
    print(draw(gan, arguments.number, arguments))


def _export(arguments):
    path = arguments.file
    if path.suffix not in (*_FORMATS, ".keras"):
        fail(f"{path} must end in .onnx, .tflite, .keras or in nothing")
    _, gan = load_trained(arguments)
    generator = gan.averaged_generator()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        if path.suffix == ".keras":
            generator.save(path)
        else:
            generator.export(path, _FORMATS[path.suffix], verbose=False)
    except Exception as error:  # Each converter raises kinds of its own.
        reason = textwrap.shorten(str(error), 300, placeholder="...")
        fail(f"{path} cannot be made on {keras.backend.backend()}: {reason}")
    print(path)


def _evaluate(arguments):
    path, gan = load_trained(arguments)
    *size, channels = gan.image_shape

    def load_images(arguments):
        return datasets.load(arguments.data, size, channels, verbose=True)

    real_images, _ = load_real(arguments, load_images)
    measure(path, gan, real_images, arguments)


def _animate(arguments):
    path = arguments.file or arguments.output / "grids.gif"
    try:
        images.animation(arguments.output / "grids", path, arguments.speed)
    except (ValueError, OSError) as error:
        fail(error)
    print(path)


def _page(arguments):
    try:
        print(page.write_page(arguments.output))
    except (ValueError, OSError) as error:
        fail(error)


def _parser():
    parser = argparse.ArgumentParser(prog="gan_blocks", description=__doc__)
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    model = argparse.ArgumentParser(add_help=False)
    model.add_argument(
        "run",
        type=pathlib.Path,
        help="folder of a run, of which the last checkpoint is taken, or a "
        "saved GAN (.keras)",
    )

    def add(name, action, text):
        actor = actions.add_parser(
            name, parents=[model], help=text, description=text
        )
        actor.set_defaults(action=action)
        return actor

    seed = {"type": int, "default": 0, "help": "of the latents (default: 0)"}
    generate = add("generate", _generate, "draw a grid of new pictures")
    generate.add_argument("--number", type=at_least(1), default=64)
    generate.add_argument("--seed", **seed)

    export = add(
        "export", _export, "save the generator for use without gan_blocks"
    )
    export.add_argument(
        "file",
        type=pathlib.Path,
        help="FILE.onnx, FILE.tflite (LiteRT), FILE.keras (which needs "
        "gan_blocks), or a folder for a SavedModel of TensorFlow",
    )

    evaluate = add("evaluate", _evaluate, "measure how good pictures are")
    evaluate.add_argument(
        "--data", required=True, help="real pictures, as of the recipes"
    )
    evaluate.add_argument(
        "--number",
        type=at_least(4),
        dest="evaluate",
        default=10_000,
        help="of pictures to generate (default: 10000)",
    )
    evaluate.add_argument(
        "--features",
        type=pathlib.Path,
        metavar="FILE",
        help="saved Keras model of images in [-1, 1] (default: InceptionV3)",
    )
    evaluate.add_argument("--seed", **seed)

    animate = add("animate", _animate, "make a film of the grids of a run")
    animate.add_argument(
        "file",
        type=pathlib.Path,
        nargs="?",
        help=".gif, .webp or .png (default: grids.gif in the folder)",
    )
    animate.add_argument(
        "--speed",
        type=float,
        default=10,
        help="in pictures a second, up to 50 (default: 10)",
    )

    add("page", _page, "show a run as one page, index.html in its folder")
    return parser
