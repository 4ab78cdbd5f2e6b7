"""Components for generative adversarial networks in Keras 3."""

from gan_blocks import (
    callbacks,
    datasets,
    faces,
    gradients,
    images,
    layers,
    losses,
    networks,
    penalties,
    samples,
)
from gan_blocks.gan import GAN

__version__ = "0.1.0"

__all__ = [
    "GAN",
    "callbacks",
    "datasets",
    "faces",
    "gradients",
    "images",
    "layers",
    "losses",
    "networks",
    "penalties",
    "samples",
]
