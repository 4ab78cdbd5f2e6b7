"""The action `evaluate`: how good the generated pictures are."""

import contextlib
import dataclasses
import json
import pathlib
from typing import Any

from gan_blocks import metrics
from gan_blocks.cli import loading
from gan_blocks.files import atomic_write
from gan_blocks.runs import read_manifest, steps_done

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
    gan = loading.load_gan(run)
    *size, channels = gan.image_shape
    options = {"image_size": size, "channels": channels}
    settings: dict[str, Any] = {}
    with contextlib.suppress(ValueError):  # A model without a run.
        settings = read_manifest(path)["arguments"] or {}
        options |= loading.load_options(settings)
    if features == "classifier":
        labeled = loading.load_pictures(data, labels=True, **options)
        model = metrics.train_classifier(*labeled)
    else:
        model = loading.load_features(features, gan.image_shape)
    images = loading.load_pictures(data, split=split, **options)
    result = metrics.Quality(images, model, number, seed)(gan)
    protocol = {"data": data, "split": split, **result.protocol}
    protocol |= {"model": path.name, "step": steps_done(gan)}
    result = dataclasses.replace(result, protocol=protocol)
    name = f"quality_{number}_seed_{seed}"
    if data != settings.get("data", data):  # Not the pictures of the run.
        name += "_" + pathlib.Path(data).stem.replace(":", "_")
    if split != "train":
        name += f"_{split}"
    if features:
        name += f"_{pathlib.Path(features).stem}"
    file = loading.result_path(run, name, ".json")
    with atomic_write(file) as temporary:
        parts = {"values": result.values, "protocol": protocol}
        temporary.write_text(json.dumps(parts, indent=2) + "\n")
    print(f"{result}\n{file}")
