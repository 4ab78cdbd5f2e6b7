"""Components for generative adversarial networks in Keras 3."""

__version__ = "0.1.0"  # First: checkpoints say which version saved them.

from gan_blocks import (
    callbacks,
    datasets,
    faces,
    gradients,
    images,
    layers,
    losses,
    metrics,
    networks,
    page,
    penalties,
    replicas,
    samples,
)
from gan_blocks.gan import GAN

__all__ = [
    "GAN",
    "callbacks",
    "datasets",
    "faces",
    "gradients",
    "images",
    "layers",
    "losses",
    "metrics",
    "networks",
    "page",
    "penalties",
    "replicas",
    "samples",
]
