"""Callbacks for training: images, checkpoints, history, problems, time."""

from gan_blocks.callbacks.checkpoints import EpochCheckpoint
from gan_blocks.callbacks.divergence import StopOnDivergence
from gan_blocks.callbacks.health import WarnOnTrouble
from gan_blocks.callbacks.history import HistoryTable
from gan_blocks.callbacks.live_plot import LivePlot
from gan_blocks.callbacks.pictures import ImageGrid
from gan_blocks.callbacks.progress import ProgressLine
from gan_blocks.callbacks.quality import QualityMonitor
from gan_blocks.callbacks.signals import StopOnSignal
from gan_blocks.callbacks.time_limit import TimeLimit
from gan_blocks.runs import latest_checkpoint

__all__ = [
    "EpochCheckpoint",
    "HistoryTable",
    "ImageGrid",
    "LivePlot",
    "ProgressLine",
    "QualityMonitor",
    "StopOnDivergence",
    "StopOnSignal",
    "TimeLimit",
    "WarnOnTrouble",
    "latest_checkpoint",
]
