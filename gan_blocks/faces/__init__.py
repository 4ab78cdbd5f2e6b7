"""Crops upright, centered faces out of photographs with landmarks."""

from gan_blocks.faces.alignment import align, read_landmarks
from gan_blocks.faces.preparation import has_landmarks, prepare

__all__ = ["align", "has_landmarks", "prepare", "read_landmarks"]
