"""How good the pictures of a trained model are."""

import json

import keras

from gan_blocks import images, metrics
from gan_blocks.callbacks.counts import iterations
from gan_blocks.cli.arguments import fail
from gan_blocks.cli.drawing import load_trained
from gan_blocks.cli.training import load_real


def evaluate(arguments, load_images, features):
    """Measures a trained generator; arguments as of `run`."""
    path, gan = load_trained(arguments)
    real_images, _ = load_real(arguments, load_images)
    measure(path, gan, real_images, arguments, features)


def measure(path, gan, real_images, arguments, features=None):
    """Measures the GAN that was loaded from `path`, and writes it down."""
    try:
        quality = metrics.Quality(
            real_images,
            _features(arguments, features),
            num_images=arguments.evaluate,
            seed=arguments.seed,
        )
        result = quality(gan)
    except (ValueError, OSError, RuntimeError) as error:
        fail(f"{path} cannot be measured: {error}")
    step = iterations(gan)
    protocol = {**result.protocol, "model": path.name, "step": step}
    result = metrics.QualityResult(result.values, protocol)
    name = f"quality_{arguments.evaluate}_seed_{arguments.seed}.json"
    with images.written_aside(arguments.output / name) as aside:
        parts = {"values": result.values, "protocol": protocol}
        aside.write_text(json.dumps(parts, indent=2) + "\n")
    print(f"{result}\nwritten to {arguments.output / name}")


def _features(arguments, features):
    """Returns the model of --features, else the recipe's, else `None`."""
    if arguments.features is None:
        return features(arguments) if features else None
    return keras.saving.load_model(arguments.features, compile=False)
