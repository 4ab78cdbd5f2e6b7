"""Pictures from a trained model, without any data."""

import textwrap

import keras
import numpy as np

from gan_blocks import GAN, callbacks, images, replicas
from gan_blocks.cli.arguments import fail

CHECKPOINTS = "checkpoints"  # The folder of them in that of the run.

_FRAME_STEPS = 24  # From one latent to the next, in an animation.
_FRAMES_A_TILE = 3  # Strips of pictures have fewer of them.
_FRAMES_PER_SECOND = 20
_FRAME_SIZE = 128  # Smaller pictures are enlarged to that.


def generate(arguments):
    """Draws pictures with a trained generator; `arguments` as of `run`."""
    _, gan = load_trained(arguments)
    path = draw(gan, arguments.generate, arguments)
    print(f"{arguments.generate} pictures: {path}")


def interpolate(arguments):
    """Draws the way through some latents; `arguments` as of `run`."""
    _, gan = load_trained(arguments)
    number, seed = arguments.interpolate, arguments.seed
    latents = gan.sample_latents(number, seed)
    path = arguments.output / f"interpolated_{number}_seed_{seed}.png"
    way = gan.interpolate_latents(latents, _FRAME_STEPS, closed=True)
    labels = None
    if gan.num_classes is not None:  # One way for all: a class for each step.
        labels = np.arange(len(way)) // _FRAME_STEPS % gan.num_classes
    frames = gan.generate(latents=way, labels=labels)
    strips = images.grid(frames[::_FRAMES_A_TILE], rows=number)
    images.save_png(strips, path)
    scale = max(1, _FRAME_SIZE // frames.shape[1])
    images.animation(
        [images.grid(frame[np.newaxis], scale=scale) for frame in frames],
        path.with_suffix(".gif"),
        _FRAMES_PER_SECOND,
        hold_last=0,
    )
    print(f"strips: {path}\nanimation: {path.with_suffix('.gif')}")


def draw(gan, number, arguments):
    """Saves a grid of new images; returns its path."""
    path = arguments.output / f"generated_{number}_seed_{arguments.seed}.png"
    generated = gan.generate(number, seed=arguments.seed)
    if replicas.is_chief(gan):
        images.save_png(images.grid(generated), path)
    return path


def load_gan(path):
    """Loads a GAN, or ends the process with a line that says why not."""
    try:
        gan = keras.saving.load_model(path)
    except Exception as error:  # Keras raises many kinds.
        # Keras puts the cause last, after whole configurations.
        reason = str(error).rpartition("Exception encountered: ")[2]
        reason = textwrap.shorten(reason, 300, placeholder="...")
        fail(f"{path} cannot be loaded{_origin(path)}: {reason}")
    if not isinstance(gan, GAN):
        fail(f"{path} holds a {type(gan).__name__}, not a GAN")
    return gan


def load_trained(arguments):
    """Returns the path of the GAN that is to draw, and the GAN."""
    path = arguments.checkpoint
    path = path or callbacks.latest_checkpoint(arguments.output / CHECKPOINTS)
    if path is None:
        fail(f"there is no checkpoint in {arguments.output}; see --checkpoint")
    if not path.is_file():
        fail(f"there is no file {path}")
    return path, load_gan(path)


def _origin(path):
    """Returns which versions saved a checkpoint, if it says so."""
    try:
        manifest = callbacks.read_manifest(path)
    except (ValueError, OSError):
        return ""
    return (
        f" (saved by gan_blocks {manifest['gan_blocks']} and Keras "
        f"{manifest['keras']}; here is Keras {keras.version()})"
    )
