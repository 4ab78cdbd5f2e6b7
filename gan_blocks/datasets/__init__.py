"""Images from arrays, folders, archives and TFDS, in batches for training."""

from gan_blocks.datasets.batching import batches
from gan_blocks.datasets.loading import load
from gan_blocks.samples import synthetic_cats

__all__ = ["batches", "load", "synthetic_cats"]
