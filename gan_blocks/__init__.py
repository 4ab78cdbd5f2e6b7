"""Components for generative adversarial networks in Keras 3."""

import importlib

from gan_blocks._version import __version__

__all__ = [
    "GAN",
    "callbacks",
    "datasets",
    "faces",
    "gradients",
    "images",
    "layers",
    "losses",
    "metrics",
    "networks",
    "page",
    "penalties",
    "plan",
    "replicas",
    "runs",
    "samples",
]


def __getattr__(name):
    # Modules are imported when they are first used, so that the command line
    # answers `--help` without waiting for Keras.
    if name == "GAN":
        return importlib.import_module("gan_blocks.gan").GAN
    if name in __all__:
        return importlib.import_module(f"gan_blocks.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
