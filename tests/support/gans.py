"""Small GANs, images for them, and comparisons of their variables."""

import math

import keras
import numpy as np
from keras import ops

from gan_blocks import GAN, layers

LOGS = {"d_loss", "g_loss", "real_score", "fake_score"}
LOGS |= {"real_accuracy", "fake_accuracy", "spread"}


def generator(normalization="batch", latent_dim=6, activation="tanh"):
    return keras.Sequential(
        [
            keras.Input((latent_dim,)),
            layers.DenseBlock(32, normalization=normalization),
            keras.layers.Dense(16, activation=activation),
            keras.layers.Reshape((4, 4, 1)),
        ]
    )


def discriminator(normalization="batch", image_shape=(4, 4, 1)):
    return keras.Sequential(
        [
            keras.Input(image_shape),
            layers.StridedConvBlock(8, normalization=normalization),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )


def small_gan(**options):
    return GAN(generator(), discriminator(), seed=0, **options)


def compiled(gan=None, optimizer=keras.optimizers.SGD, rate=0.05, **options):
    gan = gan or small_gan()
    gan.compile(optimizer(rate), optimizer(rate), **options)
    return gan


def trained(build=small_gan, batch_size=8, **options):
    """Trains a GAN for one epoch, always with the same random numbers."""
    keras.utils.set_random_seed(0)
    gan = compiled(build(), **options)
    gan.fit(images(), batch_size=batch_size, shuffle=False, verbose=0)
    return gan


def conditional_networks(label_shape=()):
    """Returns a generator and a discriminator for three classes."""
    latents = keras.Input((4,))
    labels = keras.Input(label_shape, dtype="int32")
    style = keras.layers.Embedding(3, 8)(labels)
    style = keras.layers.Flatten()(style)
    features = keras.layers.Concatenate()([latents, style])
    image = keras.layers.Dense(16, activation="tanh")(features)
    generator = keras.Model(
        [latents, labels], keras.layers.Reshape((4, 4, 1))(image)
    )
    image, labels = keras.Input((4, 4, 1)), keras.Input((), dtype="int32")
    features = keras.layers.Flatten()(image)
    features = layers.DenseBlock(8, normalization=None)(features)
    logits = layers.ProjectionHead(3)([features, labels])
    return generator, keras.Model([image, labels], logits)


def images(number=32, seed=0):
    random = np.random.default_rng(seed)
    return random.uniform(-1, 1, (number, 4, 4, 1)).astype("float32")


class Batches(keras.utils.PyDataset):
    """Batches of arrays, whose values are not checked before use."""

    def __init__(self, arrays, batch_size=8):
        super().__init__()
        self.arrays, self.batch_size = arrays, batch_size

    def __len__(self):
        first = keras.tree.flatten(self.arrays)[0]
        return math.ceil(len(first) / self.batch_size)

    def __getitem__(self, index):
        start = index * self.batch_size
        rows = slice(start, start + self.batch_size)
        return keras.tree.map_structure(lambda a: a[rows], self.arrays)


def values(variables):
    return [ops.convert_to_numpy(v).copy() for v in variables]


def assert_same(before, after):
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)


def assert_close(before, after, **tolerance):
    for old, new in zip(before, after, strict=True):
        np.testing.assert_allclose(old, new, **tolerance)


def assert_same_state(gan, expected):
    """Checks that all variables, also of the optimizers, have the same bits."""
    both = [[*g.variables, *g.optimizer.variables] for g in (gan, expected)]
    assert_same(*map(values, both))


def assert_changed(before, after):
    for old, new in zip(before, after, strict=True):
        assert (old != new).any()
