"""The option `--devices`: training on several devices or processes."""

import contextlib
import os
from collections.abc import Sequence

import keras

from gan_blocks import replicas
from gan_blocks.cli.output import fail

__all__ = ["count", "has_accelerator", "scope", "several_processes"]

# Variables that tell a process that it is one of several.
_SEVERAL_PROCESSES = {
    "tensorflow": "TF_CONFIG",
    "jax": "KERAS_DISTRIBUTION_JOB_ADDRESSES",
    "torch": "LOCAL_RANK",
}


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
    name = keras.backend.backend()
    several = several_processes()
    if names != ["all"] and (several or name == "torch"):
        fail(
            "--devices: if several processes train together, each process "
            "uses all of its devices. Pass --devices all"
        )
    set_up = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[name]
    return set_up(names, several) or contextlib.nullcontext()


def several_processes() -> bool:
    """Returns whether the environment variables describe several processes."""
    return _SEVERAL_PROCESSES[keras.backend.backend()] in os.environ


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


def _tensorflow(names, several):
    import tensorflow as tf

    if several:
        return tf.distribute.MultiWorkerMirroredStrategy().scope()
    return tf.distribute.MirroredStrategy(_check_known(names)).scope()


def _jax(names, several):
    if several:
        keras.distribution.initialize()
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(devices=_check_known(names))
    )


def _torch(names, several):
    from torch import cuda, distributed

    if not several:
        fail(
            "--devices: torch needs one process per device. Start them with: "
            "torchrun --nproc-per-node=gpu RECIPE --devices all"
        )
    if cuda.is_available():
        cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group()


def _check_known(names):
    known = keras.distribution.list_devices()
    unknown = sorted(set(names) - {*known, "all"})
    if unknown:
        fail(
            f"--devices: there is no {' '.join(unknown)} on this machine. "
            f"Available: {' '.join(known)}"
        )
    return known if "all" in names else names
