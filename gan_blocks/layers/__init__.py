"""Layers that GANs are made of: blocks, and what blocks are made of."""

from gan_blocks.layers.blocks import (
    DenseBlock,
    ResizeConvBlock,
    StridedConvBlock,
    TransposedConvBlock,
)
from gan_blocks.layers.convolution import Conv2D, Conv2DTranspose
from gan_blocks.layers.normalization import (
    BatchNormalization,
    GroupNormalization,
)

__all__ = [
    "BatchNormalization",
    "Conv2D",
    "Conv2DTranspose",
    "DenseBlock",
    "GroupNormalization",
    "ResizeConvBlock",
    "StridedConvBlock",
    "TransposedConvBlock",
]
