"""Callbacks for training: pictures, checkpoints, reasons to stop."""

from gan_blocks.callbacks.checkpoints import EpochCheckpoint
from gan_blocks.callbacks.divergence import StopOnDivergence
from gan_blocks.callbacks.health import WarnOnTrouble
from gan_blocks.callbacks.history import HistoryTable
from gan_blocks.callbacks.pictures import ImageGrid
from gan_blocks.callbacks.quality import QualityMonitor
from gan_blocks.callbacks.resuming import (
    latest_checkpoint,
    read_manifest,
    rest_of_run,
)
from gan_blocks.callbacks.signals import StopOnSignal

__all__ = [
    "EpochCheckpoint",
    "HistoryTable",
    "ImageGrid",
    "QualityMonitor",
    "StopOnDivergence",
    "StopOnSignal",
    "WarnOnTrouble",
    "latest_checkpoint",
    "read_manifest",
    "rest_of_run",
]
