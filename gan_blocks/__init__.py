"""Components for generative adversarial networks in Keras 3."""

import importlib
from typing import TYPE_CHECKING, Any

from gan_blocks._registration import register_classes_with_keras
from gan_blocks._version import __version__ as __version__

if TYPE_CHECKING:  # For editors and type checkers.
    from gan_blocks import (
        callbacks,
        datasets,
        faces,
        gradients,
        images,
        layers,
        losses,
        metrics,
        networks,
        page,
        penalties,
        plan,
        replicas,
        runs,
        samples,
        toy,
    )
    from gan_blocks.gan import GAN

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
    "toy",
]


def __getattr__(name: str) -> Any:
    # Modules are imported when they are first used, so that the command line
    # answers `--help` without waiting for Keras.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    importlib.import_module("keras")  # Before any module that needs it.
    if name == "GAN":
        return importlib.import_module("gan_blocks.gan").GAN
    return importlib.import_module(f"gan_blocks.{name}")


def __dir__():
    return sorted([*globals(), *__all__])


register_classes_with_keras()
