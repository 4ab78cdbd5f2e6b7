"""Kernels that are faster than those of Keras, or None."""

from typing import Any

import keras

kernels: Any = None
if keras.backend.backend() == "tensorflow":
    from gan_blocks.layers import _tensorflow

    kernels = _tensorflow
