"""Images from arrays, folders, archives and TFDS, in batches for training."""

from gan_blocks.datasets.batching import Batches, batches
from gan_blocks.datasets.loading import load
from gan_blocks.datasets.report import Report
from gan_blocks.samples import synthetic_cats

__all__ = ["Batches", "Report", "batches", "load", "synthetic_cats"]
