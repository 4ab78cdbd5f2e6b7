"""Everything that differs between TensorFlow, JAX and torch.

Each backend has a module with the same functions. This package exports the
functions of the backend that Keras uses.
"""

import keras

if keras.backend.backend() == "tensorflow":
    from gan_blocks.backend.tensorflow import *  # noqa: F403
elif keras.backend.backend() == "jax":
    from gan_blocks.backend.jax import *  # noqa: F403
elif keras.backend.backend() == "torch":
    from gan_blocks.backend.torch import *  # noqa: F403
else:
    raise ImportError(
        "gan_blocks runs on the Keras backends tensorflow, jax and torch. "
        f"Received: KERAS_BACKEND={keras.backend.backend()}"
    )
