"""Metrics of the quality of generated images."""

from gan_blocks.metrics.classifier import train_classifier
from gan_blocks.metrics.distances import (
    GaussianFit,
    frechet_distance,
    kernel_distance,
    mode_coverage,
    precision_recall,
)
from gan_blocks.metrics.features import FeatureExtractor
from gan_blocks.metrics.quality import Quality, QualityResult

__all__ = [
    "FeatureExtractor",
    "GaussianFit",
    "Quality",
    "QualityResult",
    "frechet_distance",
    "kernel_distance",
    "mode_coverage",
    "precision_recall",
    "train_classifier",
]
