"""Callbacks for training: pictures, checkpoints, reasons to stop."""

from gan_blocks.callbacks.checkpoints import EpochCheckpoint, latest_checkpoint
from gan_blocks.callbacks.pictures import ImageGrid
from gan_blocks.callbacks.stopping import StopOnDivergence, StopOnSignal

__all__ = [
    "EpochCheckpoint",
    "ImageGrid",
    "StopOnDivergence",
    "StopOnSignal",
    "latest_checkpoint",
]
