"""Loads trained GANs and pictures, with one-line errors."""

import pathlib
import textwrap
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from gan_blocks import datasets
from gan_blocks.cli.output import fail
from gan_blocks.gan.model import GAN
from gan_blocks.runs import RunFolder, read_manifest

__all__ = [
    "choose_labels",
    "find_folder",
    "find_model",
    "load_gan",
    "load_pictures",
]


def find_model(run: pathlib.Path) -> pathlib.Path:
    """Returns the newest checkpoint of a run, or the `.keras` file itself."""
    if run.suffix == ".keras":
        if not run.is_file():
            fail(f"{run} does not exist.")
        return run
    folder = RunFolder(run)
    checkpoint = folder.latest_checkpoint()
    if checkpoint is None:
        fail(
            f"No checkpoint found in {folder.checkpoints}. Train first, or "
            "pass a .keras file instead of the folder."
        )
    return checkpoint


def find_folder(run: pathlib.Path) -> RunFolder:
    """Returns the folder of a run, or the folder of a `.keras` file."""
    return RunFolder(run.parent if run.suffix == ".keras" else run)


def load_gan(path: pathlib.Path) -> GAN:
    """Loads a saved GAN, or ends the process with a one-line error."""
    try:
        gan = keras.saving.load_model(path)
    except Exception as error:  # Keras raises many types.
        # Keras puts the cause last, after whole configurations.
        reason = str(error).rpartition("Exception encountered: ")[2]
        reason = textwrap.shorten(reason, 300, placeholder="...")
        fail(f"{path} cannot be loaded{_origin(path)}: {reason}")
    if not isinstance(gan, GAN):
        fail(f"{path} contains a {type(gan).__name__}, not a GAN.")
    return gan


def load_pictures(
    source: str, image_size: tuple[int, int], **options: Any
) -> Any:
    """Loads pictures as `datasets.load` does, with one-line errors."""
    try:
        return datasets.load(source, image_size, verbose=True, **options)
    except (ValueError, OSError, ImportError, MemoryError) as error:
        fail(f"{source}: {error}")


def choose_labels(
    gan: GAN, labels: Sequence[int] | None, number: int
) -> np.ndarray | None:
    """Returns a label for each image: the given labels or all, in turn."""
    if gan.num_classes is None:
        if labels is not None:
            fail("--labels needs a GAN with classes. This GAN has none.")
        return None
    if labels is None:
        labels = range(gan.num_classes)
    elif max(labels) >= gan.num_classes:
        fail(
            f"--labels must be from 0 to {gan.num_classes - 1}, the classes "
            f"of this GAN. Received: {max(labels)}"
        )
    return np.resize(np.array(labels, "int32"), number)


def _origin(path: pathlib.Path) -> str:
    """Returns which versions saved a checkpoint, if it has a manifest."""
    try:
        manifest = read_manifest(path)
    except (ValueError, OSError):
        return ""
    return (
        f" (saved with gan_blocks {manifest['gan_blocks']} and Keras "
        f"{manifest['keras']}; installed is Keras {keras.version()})"
    )
