"""The GAN."""

from gan_blocks.gan.model import GAN

__all__ = ["GAN"]
