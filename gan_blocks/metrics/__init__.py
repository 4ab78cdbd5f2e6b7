"""Metrics of the quality of generated images."""

from gan_blocks.metrics.classifier import train_classifier
from gan_blocks.metrics.copies import Copies, draw_neighbors, find_copies
from gan_blocks.metrics.distances import (
    GaussianFit,
    frechet_distance,
    kernel_distance,
    mode_coverage,
    precision_recall,
)
from gan_blocks.metrics.features import FeatureExtractor
from gan_blocks.metrics.quality import Quality, QualityResult
from gan_blocks.metrics.self_trained import train_features

__all__ = [
    "Copies",
    "FeatureExtractor",
    "GaussianFit",
    "Quality",
    "QualityResult",
    "draw_neighbors",
    "find_copies",
    "frechet_distance",
    "kernel_distance",
    "mode_coverage",
    "precision_recall",
    "train_classifier",
    "train_features",
]
