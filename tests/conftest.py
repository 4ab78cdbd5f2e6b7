"""Settings and fixtures for all tests."""

import gc
import os
import signal

# These variables must be set before Keras is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # The tensors are small.
# Compiling takes more time than running.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import pytest  # noqa: E402

from gan_blocks.cli.output import hide_tensorflow_log  # noqa: E402

with hide_tensorflow_log():
    import keras

# A shell that starts pytest in the background makes it ignore Ctrl-C. Some
# tests send this signal.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def reproducible():
    """Sets the seeds before each test and resets the settings of Keras."""
    policy = keras.config.dtype_policy()
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy(policy)
    keras.config.set_floatx("float32")
    keras.distribution.set_distribution(None)
    keras.utils.clear_session(free_memory=False)


@pytest.fixture(autouse=True, scope="module")
def quick_garbage_collection():
    """Exempts what is alive after a module from later garbage collections.

    TensorFlow keeps thousands of objects of each graph until the process ends.
    """
    yield
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(config, items):
    """Keeps only the tests marked `every_backend` on JAX and torch."""
    if keras.backend.backend() == "tensorflow":
        return
    kept = {item for item in items if item.get_closest_marker("every_backend")}
    config.hook.pytest_deselected(items=[i for i in items if i not in kept])
    items[:] = [item for item in items if item in kept]
