"""The option `--devices`: training on several devices or processes."""

import contextlib
import os
from collections.abc import Sequence

import keras

from gan_blocks import replicas
from gan_blocks.cli.output import fail

__all__ = ["count", "has_accelerator", "scope"]


def scope(
    names: Sequence[str] | None,
) -> contextlib.AbstractContextManager[object]:
    """Returns the context in which the GAN is built and trained.

    If the environment variables of the backend describe several processes,
    this process joins them. JAX and torch are set up for the rest of the
    process.

    Args:
        names: Values of `--devices`: names from
            `keras.distribution.list_devices()`, or `["all"]`. `None` or an
            empty list leaves the choice to Keras.
    """
    if not names:
        return contextlib.nullcontext()
    set_up = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
    return set_up[keras.backend.backend()](names)


def count() -> int:
    """Returns how many devices share a batch. Call it within the scope."""
    distribution = keras.distribution.distribution()
    if distribution is not None:
        return distribution.device_mesh.devices.size
    return replicas.count()


def has_accelerator() -> bool:
    """Returns whether the backend finds a GPU or a TPU."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.is_available() or torch.backends.mps.is_available()
    names = keras.distribution.list_devices()
    return any(not name.startswith("cpu") for name in names)


def _tensorflow(names):
    import tensorflow as tf

    if "TF_CONFIG" in os.environ:
        _check_all(names)
        return tf.distribute.MultiWorkerMirroredStrategy().scope()
    return tf.distribute.MirroredStrategy(_check_known(names)).scope()


def _jax(names):
    if "KERAS_DISTRIBUTION_JOB_ADDRESSES" in os.environ:
        _check_all(names)
        keras.distribution.initialize()
    devices = _check_known(names)
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(devices=devices)
    )
    return contextlib.nullcontext()


def _torch(names):
    from torch import cuda, distributed

    _check_all(names)
    if "LOCAL_RANK" not in os.environ:
        fail(
            "--devices: torch needs one process per device. Start them with: "
            "torchrun --nproc-per-node=gpu RECIPE --devices all"
        )
    if cuda.is_available():
        cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group()
    return contextlib.nullcontext()


def _check_known(names):
    known = keras.distribution.list_devices()
    if names == ["all"]:
        return known
    unknown = sorted(set(names) - set(known))
    if unknown:
        fail(
            f"--devices: there is no {' '.join(unknown)} on this machine. "
            f"Available: {' '.join(known)}"
        )
    return names


def _check_all(names):
    if names != ["all"]:
        fail(
            "--devices: in a run of several processes, each of them takes all "
            "of its devices: --devices all"
        )
