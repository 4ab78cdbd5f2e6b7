"""Keras layers for GANs: blocks, and the layers that blocks consist of."""

from gan_blocks.layers.attention import SelfAttention2D
from gan_blocks.layers.augmentation import AdaptiveAugment, DiffAugment
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
from gan_blocks.layers.projection import ProjectionHead
from gan_blocks.layers.residual import ResidualDownBlock, ResidualUpBlock
from gan_blocks.layers.spectral import SpectralNormalization
from gan_blocks.layers.statistics import MinibatchStdDev, PixelNormalization

__all__ = [
    "AdaptiveAugment",
    "BatchNormalization",
    "Conv2D",
    "Conv2DTranspose",
    "DenseBlock",
    "DiffAugment",
    "GroupNormalization",
    "MinibatchStdDev",
    "PixelNormalization",
    "ProjectionHead",
    "ResidualDownBlock",
    "ResidualUpBlock",
    "ResizeConvBlock",
    "SelfAttention2D",
    "SpectralNormalization",
    "StridedConvBlock",
    "TransposedConvBlock",
]
