"""The command line that all recipes share."""

from gan_blocks.cli.arguments import fail, parse_arguments
from gan_blocks.cli.drawing import generate, interpolate
from gan_blocks.cli.measuring import evaluate
from gan_blocks.cli.output import output_that_may_fail
from gan_blocks.cli.training import train

__all__ = ["parse_arguments", "run"]


def run(arguments, build_gan, load_images, recorders, features=None):
    """Trains, resumes, draws or measures, as the command line says.

    Args:
        arguments: Of `parse_arguments`.
        build_gan: Function of a seed that returns a compiled `GAN`.
        load_images: Function of the arguments that returns the real images, an
            array of uint8 as of `datasets.load`, or a pair of them and labels.
        recorders: Function of a folder that returns the callbacks which save
            pictures and checkpoints in it, the latter in `checkpoints` and
            last, so that nothing is missing if a run is killed between two.
        features: Function of the arguments that returns a Keras model, by
            whose features pictures are measured unless --features names
            another. Defaults to `None`: InceptionV3.
    """
    try:
        with output_that_may_fail():
            if arguments.generate:
                generate(arguments)
            elif arguments.interpolate:
                interpolate(arguments)
            elif arguments.evaluate:
                evaluate(arguments, load_images, features)
            else:
                train(arguments, build_gan, load_images, recorders)
    except KeyboardInterrupt:
        fail("stopped at once; nothing since the last checkpoint is saved", 130)
