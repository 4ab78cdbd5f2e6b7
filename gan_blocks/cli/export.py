"""The action `export`: the generator for other programs."""

import contextlib
import logging
import pathlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from gan_blocks.cli import loading
from gan_blocks.cli.output import fail, require, shorten
from gan_blocks.gan.model import GAN

__all__ = ["export"]

# The ending of an exported file, and Keras' name of its format.
_FORMATS = {"": "tf_saved_model", ".onnx": "onnx", ".tflite": "litert"}
# Packages that Keras needs for a format, which are often not installed.
_PACKAGES = {
    ("", "jax"): "tensorflow",
    ("", "torch"): "tensorflow",
    (".tflite", "jax"): "tensorflow",
    (".onnx", "tensorflow"): "tf2onnx",
    (".onnx", "jax"): "jax2onnx",
    (".onnx", "torch"): "onnxscript",
    (".tflite", "torch"): "litert-torch",
}


def export(run: pathlib.Path, file: pathlib.Path) -> None:
    """Exports the averaged generator, prints its inputs and its output."""
    suffix, backend = file.suffix.lower(), keras.backend.backend()
    package = _PACKAGES.get((suffix, backend))
    if package:
        require(package, f"Exporting to {suffix or 'a SavedModel'}")
    gan = loading.load_gan(run)
    generator = gan.averaged_generator()
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        if suffix == ".keras":
            generator.save(file)
        else:
            named = _with_names(gan, generator)
            with _without_warnings():
                named.export(file, _FORMATS[suffix], verbose=False)
    except Exception as error:  # Each converter has error types of its own.
        reason = shorten(error, 300)
        advice = ""
        if backend != "tensorflow":
            advice = " (Try again with KERAS_BACKEND=tensorflow.)"
        fail(f"Exporting {file} failed on {backend}: {reason}{advice}")
    print(f"{file}\n{_describe(gan)}")


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Hides the warnings of the converters, which the user cannot act on."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _with_names(gan: GAN, generator: keras.Model) -> keras.Model:
    """Returns a model whose inputs and outputs have readable names."""
    inputs: list[Any] = [keras.Input(gan.latent_shape, name="latents")]
    if gan.num_classes is not None:
        inputs.append(keras.Input((), dtype="int32", name="labels"))
    arguments = inputs if len(inputs) > 1 else inputs[0]
    images = generator(arguments)
    images = keras.layers.Identity(name="images")(images)
    if keras.backend.backend() == "tensorflow":
        # Only TensorFlow exports the keys as names.
        images = {"images": images}
    model = keras.Model(arguments, images)
    # Keras exports only models that have been called.
    model(
        keras.tree.map_structure(
            lambda x: keras.ops.zeros((1, *x.shape[1:]), x.dtype), arguments
        )
    )
    return model


def _describe(gan: GAN) -> str:
    latents = {
        "normal": "normal: mean 0, standard deviation 1",
        "uniform": "uniform from -1 to 1",
    }[gan.latent_distribution]
    lines = ["Inputs:", _line("latents", "float32", gan.latent_shape, latents)]
    if gan.num_classes is not None:
        classes = f"classes, from 0 to {gan.num_classes - 1}"
        lines.append(_line("labels", "int32", (), classes))
    values = _value_range(gan.generate(64, seed=0))
    images = _line("images", "float32", gan.image_shape, values)
    return "\n".join([*lines, "Output:", images])


def _line(name: str, dtype: str, shape: Sequence[int], values: str) -> str:
    shown = str(("batch", *shape)).replace("'", "")
    return f"  {name}: {dtype}, shape {shown}, {values}"


def _value_range(samples: np.ndarray) -> str:
    low, high = float(samples.min()), float(samples.max())
    if high <= 1 and low >= -1:
        return "from 0 to 1" if low >= 0 else "from -1 to 1"
    return f"from {low:.3g} to {high:.3g} in 64 samples"
