"""The devices that `--devices` names, and the processes around this one."""

import contextlib
import os

import keras

from gan_blocks import replicas
from gan_blocks.cli.arguments import fail


def scope(names):
    """Returns the context in which to build what is to train on devices.

    Where the variables of the environment describe several processes, as each
    backend reads them, this process becomes one of these.

    Args:
        names: Words of `--devices`: of devices as
            `keras.distribution.list_devices` names them, or `all` alone; none
            for what Keras does without being told.
    """
    if not names:
        return contextlib.nullcontext()
    scopes = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
    return scopes[keras.backend.backend()](names)


def number():
    """Returns how many devices share a batch; to be asked in the scope."""
    distribution = keras.distribution.distribution()
    if distribution is not None:
        return distribution.device_mesh.devices.size
    return replicas.number()


def own_share(dataset):
    """Returns the batches as the backend wants them in this process.

    TensorFlow and JAX take the whole batches, and divide them.
    """
    if keras.backend.backend() != "torch" or replicas.number() == 1:
        return dataset
    import tensorflow as tf

    def share(*batch):
        batch = [
            tf.split(part, replicas.number())[replicas.index()]
            for part in batch
        ]
        return tuple(batch) if len(batch) > 1 else batch[0]

    return dataset.map(share)


def _tensorflow(names):
    import tensorflow as tf

    if "TF_CONFIG" in os.environ:
        _check_all(names)
        return tf.distribute.MultiWorkerMirroredStrategy().scope()
    return tf.distribute.MirroredStrategy(_known(names)).scope()


def _jax(names):
    if "KERAS_DISTRIBUTION_JOB_ADDRESSES" in os.environ:
        _check_all(names)
        keras.distribution.initialize()
    parallel = keras.distribution.DataParallel(devices=_known(names))
    keras.distribution.set_distribution(parallel)
    return contextlib.nullcontext()


def _torch(names):
    from torch import cuda, distributed

    _check_all(names)
    if "LOCAL_RANK" not in os.environ:
        fail(
            "--devices: with torch each device has a process of its own: "
            "torchrun --nproc-per-node=gpu RECIPE --devices all"
        )
    if cuda.is_available():
        cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group()
    return contextlib.nullcontext()


def _known(names):
    devices = keras.distribution.list_devices()
    if names == ["all"]:
        return devices
    unknown = sorted(set(names) - set(devices))
    if unknown:
        fail(
            f"--devices: there is no {' '.join(unknown)} here; there is "
            f"{' '.join(devices)}"
        )
    return names


def _check_all(names):
    if names != ["all"]:
        fail("--devices: of several processes, each takes all: --devices all")
