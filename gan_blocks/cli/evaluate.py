"""The action `evaluate`: how good the generated pictures are."""

import json
import pathlib

import keras

from gan_blocks import metrics
from gan_blocks.cli import loading
from gan_blocks.cli.output import fail
from gan_blocks.files import atomic_write
from gan_blocks.runs import steps_done

__all__ = ["evaluate"]


def evaluate(
    run: pathlib.Path,
    data: str,
    split: str = "train",
    number: int = 10_000,
    seed: int = 0,
    features: str | None = None,
) -> None:
    """Compares generated with real pictures, prints and saves the result."""
    path = loading.find_model(run)
    gan = loading.load_gan(path)
    height, width, channels = gan.image_shape
    size = height, width
    real_images = loading.load_pictures(
        data, size, channels=channels, split=split
    )
    model = None
    try:
        if features == "classifier":
            labeled = loading.load_pictures(
                data, size, channels=channels, labels=True
            )
            model = metrics.train_classifier(*labeled)
        elif features is not None:
            model = keras.saving.load_model(features, compile=False)
        quality = metrics.Quality(real_images, model, number, seed)
        result = quality(gan)
    except (ValueError, OSError, RuntimeError) as error:
        fail(f"{path} cannot be evaluated: {error}")
    protocol = {**result.protocol, "model": path.name, "step": steps_done(gan)}
    result = metrics.QualityResult(result.values, protocol)
    name = f"quality_{number}_seed_{seed}.json"
    output = loading.find_folder(run).path / name
    with atomic_write(output) as temporary:
        parts = {"values": result.values, "protocol": protocol}
        temporary.write_text(json.dumps(parts, indent=2) + "\n")
    print(f"{result}\n{output}")
