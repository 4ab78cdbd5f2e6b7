"""The networks that all candidates of the benchmarks train.

The convolutions and batch normalizations come from the given module. The
candidates of other projects use `keras.layers`. Ours use `gan_blocks.layers`,
which have the same variables and results.
"""

import keras
import numpy as np

from gan_blocks import GAN, layers

LATENT_DIM = 100


def digits(module):
    """The networks of `recipes/digits_dcgan.py`, for 28 x 28 x 1."""
    conv = module.Conv2D
    up = module.Conv2DTranspose

    def stage(layer):
        return [layer, module.BatchNormalization(), keras.layers.LeakyReLU(0.2)]

    generator = keras.Sequential(
        [
            keras.Input((1, 1, LATENT_DIM)),
            *stage(up(256, 7, use_bias=False)),
            *stage(up(128, 5, 2, padding="same", use_bias=False)),
            up(1, 5, 2, padding="same", activation="tanh"),
        ]
    )
    discriminator = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            *stage(conv(128, 5, 2, padding="same", use_bias=False)),
            *stage(conv(256, 5, 2, padding="same", use_bias=False)),
            conv(1, 7),
        ]
    )
    return generator, discriminator


def dcgan(module, filters=32):
    """The networks of PyTorch's DCGAN example, for 64 x 64 x 3.

    By default they have half of the filters.
    """
    conv = module.Conv2D
    up = module.Conv2DTranspose
    options = {"padding": "same", "use_bias": False}

    def stage(layer, activation):
        return [layer, module.BatchNormalization(), activation()]

    relu, leaky = keras.layers.ReLU, lambda: keras.layers.LeakyReLU(0.2)
    generator = keras.Sequential(
        [
            keras.Input((1, 1, LATENT_DIM)),
            *stage(up(8 * filters, 4, use_bias=False), relu),
            *stage(up(4 * filters, 4, 2, **options), relu),
            *stage(up(2 * filters, 4, 2, **options), relu),
            *stage(up(filters, 4, 2, **options), relu),
            up(3, 4, 2, activation="tanh", **options),
        ]
    )
    discriminator = keras.Sequential(
        [
            keras.Input((64, 64, 3)),
            conv(filters, 4, 2, **options),
            leaky(),
            *stage(conv(2 * filters, 4, 2, **options), leaky),
            *stage(conv(4 * filters, 4, 2, **options), leaky),
            *stage(conv(8 * filters, 4, 2, **options), leaky),
            conv(1, 4, use_bias=False),
        ]
    )
    return generator, discriminator


def tiny(module):
    """Eight filters: little arithmetic, so that the overhead dominates."""
    conv = module.Conv2D
    up = module.Conv2DTranspose
    options = {"padding": "same", "use_bias": False}
    generator = keras.Sequential(
        [
            keras.Input((1, 1, LATENT_DIM)),
            up(8, 7, use_bias=False),
            module.BatchNormalization(),
            keras.layers.LeakyReLU(0.2),
            up(8, 4, 2, **options),
            module.BatchNormalization(),
            keras.layers.LeakyReLU(0.2),
            up(1, 4, 2, padding="same", activation="tanh"),
        ]
    )
    discriminator = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            conv(8, 4, 2, padding="same"),
            keras.layers.LeakyReLU(0.2),
            conv(8, 4, 2, **options),
            module.BatchNormalization(),
            keras.layers.LeakyReLU(0.2),
            conv(1, 7),
        ]
    )
    return generator, discriminator


NETWORKS = {  # The networks and the shape of a batch.
    "digits": (digits, (128, 28, 28, 1)),
    "dcgan": (dcgan, (64, 64, 64, 3)),
    "tiny": (tiny, (64, 28, 28, 1)),
}


def images(shape):
    """Returns a batch of noise in [-1, 1]."""
    random = np.random.default_rng(0)
    return random.uniform(-1, 1, shape).astype("float32")


def adam():
    """The optimizer of both networks, for all candidates."""
    return keras.optimizers.Adam(2e-4, beta_1=0.5)


def our_gan(networks):
    """A compiled `GAN` with these networks."""
    gan = GAN(*networks(layers))
    gan.compile(adam(), adam())
    return gan
