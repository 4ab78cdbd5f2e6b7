"""Trains the same steps on one replica and on two; prints how they differ.

    python train_on_replicas.py

TensorFlow only. The networks have no batch normalization, whose statistics
are those of a replica's share of the batch.
"""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"

import json

import keras
import numpy as np
import tensorflow as tf
from keras import ops

import gan_blocks
from gan_blocks import networks


class FromImages(gan_blocks.GAN):
    """Takes an image's first column for its latents, wherever it is."""

    def _noise_like(self, images, seed_generator):
        return images[:, :, 0, 0]


def train(images):
    keras.utils.set_random_seed(0)
    gan = FromImages(
        networks.mlp_generator((8, 8, 1), latent_dim=8, units=(16,)),
        networks.mlp_discriminator((8, 8, 1), units=(16,)),
        ema_momentum=0.9,
    )
    gan.compile(
        keras.optimizers.SGD(0.1),
        keras.optimizers.SGD(0.1),
        loss="non_saturating",
        penalty=gan_blocks.penalties.R1(1.0),
    )
    dataset = tf.data.Dataset.from_tensor_slices(images).batch(16)
    logs = gan.fit(dataset, shuffle=False, verbose=0).history
    weights = [ops.convert_to_numpy(weight) for weight in gan.weights]
    noise = ops.convert_to_numpy(gan.generate(4, seed=0))
    return logs, [*weights, noise]


def main():
    cpu = tf.config.list_physical_devices("CPU")[0]
    logical = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(cpu, [logical, logical])
    random = np.random.default_rng(0)
    images = random.uniform(-1, 1, (64, 8, 8, 1)).astype("float32")
    one_logs, one = train(images)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        two_logs, two = train(images)
    result = {
        "replicas": strategy.num_replicas_in_sync,
        "weights": max(
            float(np.abs(a - b).max()) for a, b in zip(one, two, strict=True)
        ),
        "logs": [one_logs, two_logs],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
