"""Trains a few steps on one or two devices and saves the results.

    python train_on_devices.py one|two|process FILE

- one: on one device.
- two: on two devices, with `MirroredStrategy` on TensorFlow and `DataParallel`
  on JAX.
- process: in one of two processes that train together. The environment
  variables of `support.two_processes` describe them.

The file, `.npz`, contains the weights, generated images and the logs.
"""

import functools
import os
import sys

if sys.argv[1] == "two":
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np

from gan_blocks import GAN, datasets, layers, networks, penalties, replicas

BATCH_SIZE = 16


def build_gan():
    keras.utils.set_random_seed(0)
    up = functools.partial(layers.TransposedConvBlock, synchronized=True)
    down = functools.partial(layers.StridedConvBlock, synchronized=True)
    gan = GAN(
        networks.dcgan_generator(
            (16, 16, 1), 8, base_filters=4, block=up, first_block=up
        ),
        networks.dcgan_discriminator((16, 16, 1), base_filters=4, block=down),
        ema_momentum=0.9,
        seed=0,
    )
    gan.compile(
        keras.optimizers.SGD(0.1),
        keras.optimizers.SGD(0.1),
        penalty=penalties.R1(1.0),
        discriminator_steps=2,
    )
    return gan


def train(images):
    gan = build_gan()
    batches = datasets.batches(images, BATCH_SIZE, shuffle=False)
    logs = gan.fit(batches, verbose=0)
    arrays = {f"log_{name}": values for name, values in logs.history.items()}
    for i, weight in enumerate(gan.weights):
        arrays[f"weight_{i}_{weight.name}"] = keras.ops.convert_to_numpy(weight)
    return {**arrays, "images": gan.generate(4, seed=0)}


def train_on_tensorflow(kind, images):
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    logical = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(cpu, [logical, logical])
    if kind == "process":
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    elif kind == "two":
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    else:
        strategy = tf.distribute.get_strategy()
    with strategy.scope():
        check_count(strategy.num_replicas_in_sync, kind)
        return train(images)


def train_on_jax(kind, images):
    if kind == "one":
        return train(images)
    if kind == "process":
        keras.distribution.initialize()
    parallel = keras.distribution.DataParallel()
    keras.distribution.set_distribution(parallel)
    check_count(parallel.device_mesh.devices.size, kind)
    return train(images)


def train_on_torch(kind, images):
    if kind == "one":
        return train(images)
    import torch

    torch.distributed.init_process_group()
    check_count(replicas.count(), kind)
    return train(images)


def check_count(count, kind):
    if count != (1 if kind == "one" else 2):
        raise RuntimeError(f"{count} devices for {kind}")


def main():
    kind, file = sys.argv[1:]
    images = np.random.default_rng(0).integers(
        0, 256, (4 * BATCH_SIZE, 16, 16, 1), np.uint8
    )
    train_on_backend = globals()[f"train_on_{keras.backend.backend()}"]
    np.savez(file, **train_on_backend(kind, images))


if __name__ == "__main__":
    main()
