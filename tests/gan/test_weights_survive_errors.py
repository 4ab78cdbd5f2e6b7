"""A GAN can be used and saved after an error or Ctrl-C."""

import signal
import threading

import keras
import numpy as np
import pytest
from support import gans

from gan_blocks import GAN

pytestmark = pytest.mark.every_backend

jax_only = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="JAX deletes old values"
)
METHODS = ["fit", "evaluate", "predict"]


def trained_gan(**options):
    gan = gans.compiled(gans.small_gan(ema_momentum=0.9), **options)
    gan.fit(gans.images(), batch_size=8, verbose=0)
    return gan


def state(gan):
    return gans.values([*gan.variables, *gan.optimizer.variables])


def call(gan, method, data=None, **options):
    """Calls a method with its usual data."""
    if data is None:
        data = gans.images()
        if method == "predict":
            data = gan.sample_latents(32, seed=0)
    getattr(gan, method)(data, verbose=0, **{"batch_size": 8} | options)


def assert_usable(gan, tmp_path):
    gan.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    gans.assert_same_state(gan, loaded)
    for method in METHODS:
        call(gan, method)


@pytest.mark.parametrize("method", METHODS)
def test_an_error_in_the_first_batch_changes_nothing(method, tmp_path):
    gan = trained_gan()
    before = state(gan)
    wrong = np.zeros((8, 7), "float32")
    if method != "predict":
        # Only the step knows the shape.
        wrong = (image for image in [np.zeros((8, 5, 5, 1), "float32")] * 2)
    options = {"shuffle": False} if method == "fit" else {}
    with pytest.raises(ValueError):
        call(gan, method, wrong, batch_size=None, **options)
    gans.assert_same(before, state(gan))
    assert_usable(gan, tmp_path)


class Fails(keras.layers.Layer):
    """Raises an error when the step is compiled."""

    broken = False

    def call(self, images):
        if self.broken:
            raise RuntimeError("A layer of the user is wrong.")
        return images


def test_an_error_of_a_layer_keeps_the_trained_weights():
    layer = Fails()
    network = keras.Sequential(
        [keras.Input((4, 4, 1)), layer, gans.discriminator()]
    )
    gan = gans.compiled(GAN(gans.generator(), network))
    before = gans.values([*gan.trainable_variables, *gan.optimizer.variables])
    layer.broken = True
    for method in ("fit", "evaluate"):
        with pytest.raises(RuntimeError, match="layer of the user is wrong"):
            call(gan, method)
    after = gans.values([*gan.trainable_variables, *gan.optimizer.variables])
    gans.assert_same(before, after)
    layer.broken = False
    call(gan, "fit")


class Break(keras.callbacks.Callback):
    """Raises an exception after the second batch."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            raise self.error

    on_test_batch_end = on_predict_batch_end = on_train_batch_end


@pytest.mark.slow
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("method", METHODS)
def test_an_exception_in_a_callback_keeps_the_state(method, error, tmp_path):
    gan = trained_gan()
    before = state(gan)
    with pytest.raises(error):
        call(gan, method, callbacks=[Break(error)])
    if method == "fit":
        assert int(gan.optimizer.iterations) == 4 + 2
    else:  # Only the noise of the evaluation may have changed.
        noise = gan.evaluation_noise.state
        kept = [v is not noise for v in gan.variables]
        for old, new, same in zip(before, state(gan), kept, strict=False):
            assert not same or (old == new).all()
    assert_usable(gan, tmp_path)


def test_weights_loaded_after_an_error_are_kept(tmp_path):
    gan = trained_gan()
    gan.save_weights(tmp_path / "gan.weights.h5")
    call(gan, "fit")
    with pytest.raises(OSError):
        call(gan, "evaluate", callbacks=[Break(OSError)])
    gan.load_weights(tmp_path / "gan.weights.h5")
    before = state(gan)
    with pytest.raises(ValueError):
        call(gan, "predict", np.zeros((8, 7), "float32"))
    gans.assert_same(before, state(gan))


def send_ctrl_c(delay, raised):
    """Sends signals until one is raised; Python ignores it in a destructor."""
    while not raised.wait(delay):
        signal.raise_signal(signal.SIGINT)
        delay = 30


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("method", METHODS)
def test_ctrl_c_within_a_step_keeps_the_state(method):
    gan = trained_gan()
    for delay in (0.02, 0.05, 0.11):
        raised = threading.Event()
        timer = threading.Thread(target=send_ctrl_c, args=(delay, raised))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            while True:
                call(gan, method)
        raised.set()
        timer.join()
        assert all(np.isfinite(value).all() for value in state(gan))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    call(gan, "fit")


@jax_only
def test_a_step_that_fails_while_it_runs_says_that_the_weights_are_lost():
    import jax

    fails = []

    def check(images):
        if fails:
            raise RuntimeError("The device is broken.")
        return np.zeros((), "float32")

    def penalty(discriminator, real_images, fake_images):
        result = jax.ShapeDtypeStruct((), "float32")
        return jax.pure_callback(check, result, real_images)

    gan = trained_gan(penalty=penalty)
    fails.append(True)
    with pytest.raises(Exception, match="The device is broken") as raised:
        call(gan, "fit")
    assert "weights of the GAN were lost" in raised.value.__notes__[-1]


@jax_only
def test_kept_values_need_no_memory_during_training():
    import jax

    gan = trained_gan()
    sizes = []

    class Measure(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            sizes.append(sum(array.nbytes for array in jax.live_arrays()))

    before = sum(array.nbytes for array in jax.live_arrays())
    call(gan, "fit", callbacks=[Measure()])
    weights = sum(value.nbytes for value in state(gan))
    assert max(sizes) < before + weights / 2
