"""The TensorFlow kernels, or `None` on the other backends."""

from typing import Any

import keras

kernels: Any = None
if keras.backend.backend() == "tensorflow":
    from gan_blocks.layers import _tensorflow

    kernels = _tensorflow
