"""Writes a page with a generator inside."""

import base64
import hashlib
import html
import json
import math
import pathlib
import string
from typing import Any

import numpy as np

from gan_blocks._types import PathLike
from gan_blocks.files import atomic_write
from gan_blocks.gan.model import GAN
from gan_blocks.page.operations import Recorder

__all__ = ["write_explorer"]

_FOLDER = pathlib.Path(__file__).parent
_DIRECTIONS = 8


def write_explorer(
    gan: GAN, path: PathLike, title: str = "GAN explorer"
) -> pathlib.Path:
    """Writes a web page that generates images.

    The page is one file with the generator inside. Any browser opens it,
    without a server and without a network, so it can be sent by mail. It shows
    a grid of images. One can enlarge an image, change it with sliders, walk to
    another image, choose the class, and save images and animations.

    The generator runs in the page, in JavaScript. Its weights are rounded to
    float16, which changes a pixel by at most 2 of 255 levels. The random
    numbers of the page differ from those of NumPy, so a seed does not give the
    images of `GAN.generate`.

    The sliders follow the eight directions of the latent space that change the
    pixels most. They are the eigenvectors of the mean squared change of the
    images, as in the reference. It is measured by small steps from random
    latents, which generates about 400 images.

    Args:
        gan: The GAN. Its generator must return images in [-1, 1] with 1, 3 or
            4 channels, and consist of the layers of `gan_blocks` and the usual
            layers of Keras.
        path: The file to write, such as `"explorer.html"`.
        title: Heading of the page. Defaults to `"GAN explorer"`.

    Returns:
        Path of the page.

    Raises:
        ValueError: If a page cannot compute a layer of the generator, if the
            generator does not return images, or if its weights are not finite.

    Example:

    ```python
    from gan_blocks import GAN, networks, page

    gan = GAN(
        networks.mlp_generator((8, 8, 1), latent_dim=16),
        networks.mlp_discriminator((8, 8, 1)),
    )
    path = page.write_explorer(gan, "explorer.html")
    assert path.stat().st_size < 4_000_000
    ```

    Reference:
        Wang and Ponce, 2021, The Geometry of Deep Generative Image Models and
        its Applications, https://arxiv.org/abs/2101.06006
    """
    recorder = Recorder()
    # First, because it raises an error for a layer that is not supported.
    output, shape = recorder.record(gan.averaged_generator(), gan.latent_shape)
    if len(shape) != 3 or shape[2] not in (1, 3, 4):
        raise ValueError(
            "`gan` must have a generator that returns images of shape (height, "
            "width, channels) with 1, 3 or 4 channels. Received: images of "
            f"shape {shape}"
        )
    network = {
        "image": shape,
        "latents": math.prod(gan.latent_shape),
        "distribution": gan.latent_distribution,
        "classes": gan.num_classes,
        "directions": _directions(gan, _DIRECTIONS).tolist(),
        "operations": recorder.operations,
        "output": output,
    }
    path = pathlib.Path(path)
    with atomic_write(path) as temporary:
        text = _page(network, recorder.weights, title)
        # A hash in the page is that of the bytes, so lines end in "\n".
        temporary.write_text(text, "utf-8", errors="replace", newline="\n")
    return path


def _page(network: dict[str, Any], weights: bytes, title: str) -> str:
    style, script, gif, interpreter, template = (
        (_FOLDER / name).read_text(encoding="utf-8")
        for name in (
            *("explorer.css", "explorer.js", "gif.js", "interpreter.js"),
            "explorer.html",
        )
    )
    script = f"{gif}\n{script}"
    return string.Template(template).substitute(
        title=html.escape(title),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        interpreter=interpreter,
        network=json.dumps(network),
        weights=base64.b64encode(weights).decode(),
    )


def _hash(text: str) -> str:
    """Returns the source of a Content-Security-Policy for a text."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _directions(gan: GAN, number: int) -> np.ndarray:
    """Returns unit vectors: the directions that change pixels most."""
    size = math.prod(gan.latent_shape)
    starts = gan.sample_latents(4, seed=0).reshape(-1, size)
    step = 0.5 * starts.std()
    change = np.zeros((size, size))
    for start in starts:
        latents = np.concatenate([start[None], start + step * np.eye(size)])
        latents = latents.reshape(-1, *gan.latent_shape).astype("float32")
        labels = None if gan.num_classes is None else 0
        images = gan.generate(latents=latents, labels=labels)
        changes = np.clip(images[1:], -1, 1) - np.clip(images[0], -1, 1)
        changes = changes.reshape(size, -1).astype("float64")
        change += changes @ changes.T
    _, vectors = np.linalg.eigh(change)  # Smallest eigenvalues first.
    strongest = vectors[:, ::-1][:, :number].T
    # The sign of an eigenvector is arbitrary. This makes it the same each time.
    largest = np.abs(strongest).argmax(axis=1)
    signs = np.sign(strongest[range(len(strongest)), largest])
    return (strongest * signs[:, None]).round(4)
