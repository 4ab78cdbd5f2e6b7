"""Layers that GANs are made of: blocks and their normalization."""

from gan_blocks.layers.blocks import (
    DenseBlock,
    ResizeConvBlock,
    StridedConvBlock,
    TransposedConvBlock,
)
from gan_blocks.layers.normalization import (
    BatchNormalization,
    GroupNormalization,
)

__all__ = [
    "BatchNormalization",
    "DenseBlock",
    "GroupNormalization",
    "ResizeConvBlock",
    "StridedConvBlock",
    "TransposedConvBlock",
]
