"""Faster kernels than those of Keras, on the backends that have some."""

import keras

if keras.backend.backend() == "tensorflow":
    from gan_blocks.layers import _tensorflow as kernels
else:
    kernels = None

__all__ = ["kernels"]
