"""Trains a few steps on the devices there are; saves what they came to.

    python train_on_devices.py one|two|process FILE

- one: on one device;
- two: on two, by `MirroredStrategy` on TensorFlow, `DataParallel` on JAX;
- process: as one of two processes that train together, which the variables of
  the environment describe, as `--devices` of the recipes takes them.

The file, `.npz`, holds the weights, generated images and the logs.
"""

import functools
import os
import sys

if sys.argv[1] == "two":
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np

import gan_blocks
from gan_blocks import layers, networks, replicas

BATCH = 16


def build():
    keras.utils.set_random_seed(0)
    grow = functools.partial(layers.TransposedConvBlock, synchronized=True)
    shrink = functools.partial(layers.StridedConvBlock, synchronized=True)
    gan = gan_blocks.GAN(
        networks.dcgan_generator(
            (16, 16, 1), 8, base_filters=4, block=grow, first_block=grow
        ),
        networks.dcgan_discriminator((16, 16, 1), base_filters=4, block=shrink),
        ema_momentum=0.9,
        seed=0,
    )
    gan.compile(
        keras.optimizers.SGD(0.1),
        keras.optimizers.SGD(0.1),
        penalty=gan_blocks.penalties.R1(1.0),
        discriminator_steps=2,
    )
    return gan


def train(images, batch_size=BATCH):
    gan = build()
    logs = gan.fit(images, batch_size=batch_size, shuffle=False, verbose=0)
    logs = logs.history
    arrays = {f"log_{name}": values for name, values in logs.items()}
    for i, weight in enumerate(gan.weights):
        arrays[f"weight_{i}_{weight.name}"] = keras.ops.convert_to_numpy(weight)
    return {**arrays, "images": gan.generate(4, seed=0)}


def tensorflow(kind, images):
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
        check_number(strategy.num_replicas_in_sync, kind)
        return train(images)


def jax(kind, images):
    """Each process has its share of each batch."""
    if kind == "one":
        return train(images)
    if kind == "process":
        keras.distribution.initialize()
        import jax

        images = own_share(images, jax.process_index())
    parallel = keras.distribution.DataParallel(auto_shard_dataset=False)
    keras.distribution.set_distribution(parallel)
    check_number(parallel.device_mesh.devices.size, kind)
    return train(images, BATCH if kind == "two" else BATCH // 2)


def torch(kind, images):
    """Each process has its share of each batch."""
    if kind == "one":
        return train(images)
    import torch

    torch.distributed.init_process_group()
    check_number(replicas.number(), kind)
    return train(own_share(images, replicas.index()), BATCH // 2)


def own_share(images, index):
    batches = images.reshape(-1, 2, BATCH // 2, *images.shape[1:])
    return np.concatenate(batches[:, index])


def check_number(number, kind):
    if number != (1 if kind == "one" else 2):
        raise RuntimeError(f"{number} devices for {kind}")


def main():
    kind, file = sys.argv[1:]
    images = np.random.default_rng(0).uniform(-1, 1, (4 * BATCH, 16, 16, 1))
    run = globals()[keras.backend.backend()]
    np.savez(file, **run(kind, images.astype("float32")))


if __name__ == "__main__":
    main()
