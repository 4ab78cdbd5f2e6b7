"""Loads trained GANs and pictures, with one-line errors."""

import contextlib
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from gan_blocks import datasets, metrics
from gan_blocks.cli.output import fail, shorten
from gan_blocks.gan.model import GAN
from gan_blocks.runs import RunFolder, read_history, read_manifest

__all__ = [
    "choose_labels",
    "describe_model",
    "find_folder",
    "find_model",
    "load_features",
    "load_gan",
    "load_options",
    "load_pictures",
    "result_path",
]


def find_model(run: pathlib.Path) -> pathlib.Path:
    """Returns the best model of a run, or the `.keras` file itself."""
    if not run.exists():
        fail(f"{run} does not exist. Pass the folder of a run.")
    if run.suffix == ".keras":
        return run
    if not run.is_dir():
        fail(f"{run} is neither the folder of a run nor a .keras file.")
    folder = RunFolder(run)
    return folder.best_checkpoint() or fail(
        f"No checkpoint found in {folder.checkpoints}. Train first, or pass a "
        ".keras file instead of the folder."
    )


def describe_model(path: pathlib.Path | None, folder: RunFolder) -> str:
    """Returns, for example, "runs/cats/best.keras, step 12,000 of 15,000"."""
    text = str(path)
    if path == folder.best_model:
        with contextlib.suppress(ValueError, OSError):
            text += f", step {read_manifest(folder.best_model)['step']:,}"
            for row in read_history(folder.history)[-1:]:
                text += f" of {int(row['step']):,}"
    return text


def find_folder(run: pathlib.Path) -> RunFolder:
    """Returns the folder of a run, or the folder of a `.keras` file."""
    return RunFolder(run.parent if run.suffix == ".keras" else run)


def result_path(
    run: pathlib.Path,
    name: str,
    ending: str,
    labels: Sequence[int] | None = None,
) -> pathlib.Path:
    """Returns where a result is saved: in the folder of the run.

    The labels are in its name, and so is the model if `run` is a `.keras` file,
    as in "generated_64_seed_0_labels_3_5_epoch_0010.png".
    """
    if labels:
        name += "_labels_" + "_".join(map(str, labels))
    if run.suffix == ".keras":
        name += f"_{run.stem}"
    return find_folder(run).path / f"{name}{ending}"


def load_gan(run: pathlib.Path) -> GAN:
    """Loads the best model of a run, or a `.keras` file."""
    path = find_model(run)
    if path == (folder := RunFolder(run)).best_model:
        print(f"Model: {describe_model(path, folder)}")
    try:
        gan = keras.saving.load_model(path)
    except Exception as error:  # Keras raises many types.
        if path != run and not path.exists():  # Training has just removed it.
            return load_gan(run)
        # Keras puts the cause last, after whole configurations.
        reason = str(error).rpartition("Exception encountered: ")[2]
        reason = shorten(reason or repr(error), 300)
        fail(f"{path} cannot be loaded{_origin(path)}: {reason}")
    if not isinstance(gan, GAN):
        fail(f"{path} contains a {type(gan).__name__}, not a GAN.")
    return gan


def load_features(path: str | None, image_shape: Sequence[int]) -> Any:
    """Loads the model of `--features`, or returns `None`.

    Ends the process if the model cannot compute features of such images.
    """
    if path is None:
        return None
    try:
        model = keras.saving.load_model(path, compile=False)
        metrics.FeatureExtractor(model)(np.zeros((1, *image_shape), "uint8"))
    except Exception as error:  # Keras raises many types.
        fail(f"--features {path} cannot be used: {shorten(error)}")
    return model


def load_options(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of a run that are arguments of `datasets.load`."""
    names = {"alpha", "crop", "min_size", "resample"} & set(settings)
    return {name: settings[name] for name in names}


def load_pictures(source: str, image_size: Any, **options: Any) -> Any:
    """Loads pictures as `datasets.load` does, with one-line errors."""
    try:
        options = {"verbose": True, **options}
        return datasets.load(source, tuple(image_size), **options)
    except FileNotFoundError:
        fail(
            f"{source} does not exist. Pass pictures: a folder, an archive "
            "(.zip, .tar), a .npy or .npz file, MNIST's idx files, or "
            "tfds:NAME."
        )
    except (ValueError, OSError, ImportError) as error:
        message = shorten(error).replace("`source`", "the source")
        fail(f"{source}: {message[0].upper()}{message[1:]}")


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
