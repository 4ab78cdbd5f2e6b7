"""Settings that must be in place before Keras is imported."""

import os
import signal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
# The tests compile much and compute little.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import keras  # noqa: E402
import pytest  # noqa: E402

# Whoever starts the tests in the background may have Ctrl-C ignored, which all
# processes inherit; some tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def reproducible():
    """Every test starts from the same seeds and leaves no settings behind."""
    policy = keras.config.dtype_policy()
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy(policy)
    keras.config.set_floatx("float32")
    keras.distribution.set_distribution(None)
    keras.utils.clear_session(free_memory=False)


def pytest_collection_modifyitems(items):
    """Puts the tests that wait for others at the end."""
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)
