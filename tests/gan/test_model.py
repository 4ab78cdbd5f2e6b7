import keras
import numpy as np
import pytest
from keras import ops
from support import gans

from gan_blocks import GAN, layers, penalties

pytestmark = pytest.mark.every_backend

BACKEND = keras.backend.backend()


def test_a_penalty_changes_the_training_of_the_discriminator():
    before, after = (
        gans.values(gans.trained(penalty=penalty).discriminator.weights)[0]
        for penalty in (None, penalties.R1(10.0))
    )
    assert np.abs(before - after).max() > 1e-6


def test_the_logs_hold_losses_scores_accuracies_and_spread():
    gan = gans.compiled()
    logs = gan.fit(gans.images(), batch_size=16, epochs=2, verbose=0).history
    assert set(logs) == gans.LOGS
    assert all(len(logs[name]) == 2 for name in gans.LOGS)


@pytest.mark.skipif(
    BACKEND == "torch", reason="Keras supports it on TensorFlow and JAX only"
)
def test_steps_per_execution_trains_the_same():
    one, two = (gans.trained(steps_per_execution=steps) for steps in (1, 2))
    assert int(two.optimizer.iterations) == 4
    results = gans.values(one.weights), gans.values(two.weights)
    gans.assert_close(*results, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "option",
    ["run_eagerly", pytest.param("jit_compile", marks=pytest.mark.slow)],
)
def test_eager_and_compiled_steps_train_the_same(option):
    if BACKEND == "torch" and option == "jit_compile":
        pytest.skip("torch.compile takes a minute")

    def build():
        # XLA draws other random numbers than TensorFlow without it, so the
        # generator ignores its latents.
        ignore = keras.layers.Rescaling(0.0, offset=0.5)
        network = [keras.Input((6,)), ignore, gans.generator(None)]
        return GAN(keras.Sequential(network), gans.discriminator(), seed=0)

    results = []
    for value in (False, True):
        options = {option: value, "penalty": penalties.R1()}
        gan = gans.trained(build, batch_size=16, **options)
        assert getattr(gan, option) == value
        results.append(gans.values(gan.weights))
    gans.assert_close(*results, rtol=1e-4, atol=1e-5)


def test_tensorflow_does_not_use_xla_on_a_cpu():
    assert gans.compiled().jit_compile == (BACKEND == "jax")


class Count(keras.callbacks.Callback):
    batches = 0

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1


@pytest.mark.parametrize("kind", ["callback", "CallbackList"])
def test_fit_takes_one_callback_or_a_callback_list(kind):
    gan = gans.compiled()
    callbacks = count = Count()
    if kind == "CallbackList":
        callbacks = keras.callbacks.CallbackList(
            [count], add_history=True, model=gan
        )
        before = list(callbacks.callbacks)
    with pytest.warns(UserWarning, match="Scale the images"):
        gan.fit(gans.images() * 9, batch_size=8, verbose=0, callbacks=callbacks)
    assert count.batches == 4
    if kind == "CallbackList":
        assert callbacks.callbacks == before


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return gans.images(8, seed=index)


@pytest.mark.parametrize(
    "data", [gans.images(20), Batches()], ids=["odd batch", "PyDataset"]
)
def test_fit_takes_arrays_and_py_datasets(data):
    gan = gans.compiled()
    batch_size = 8 if isinstance(data, np.ndarray) else None
    logs = gan.fit(data, batch_size=batch_size, shuffle=False, verbose=0)
    assert int(gan.optimizer.iterations) == 3
    assert np.isfinite(logs.history["g_loss"]).all()


def test_single_batches_can_be_trained_and_tested():
    gan = gans.compiled()
    before = gans.values(gan.trainable_variables)
    logs = gan.train_on_batch(gans.images(), return_dict=True)
    gans.assert_changed(before, gans.values(gan.trainable_variables))
    assert np.isfinite(logs["d_loss"])
    assert np.isfinite(
        gan.test_on_batch(gans.images(), return_dict=True)["g_loss"]
    )


def test_fit_evaluates_validation_data():
    logs = gans.compiled().fit(
        gans.images(), validation_data=gans.images(), verbose=0
    )
    assert {"d_loss", "val_d_loss", "val_fake_score"} <= set(logs.history)


class Subclassed(keras.Model):
    """A model whose shapes Keras does not know before it is built."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = gans.generator()

    def call(self, inputs):
        return self.inner(inputs)


def test_subclassed_models_can_be_used_after_they_are_built():
    network = Subclassed()
    network.build((None, 6))
    gan = gans.compiled(GAN(network, gans.discriminator(), ema_momentum=0.9))
    before = gans.values(network.trainable_variables)
    gan.fit(gans.images(), verbose=0)
    gans.assert_changed(before, gans.values(network.trainable_variables))
    assert gan.generate(3).shape == (3, 4, 4, 1)


def test_patches_of_logits_can_be_used():
    patches = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            layers.StridedConvBlock(8),
            keras.layers.Conv2D(1, 1),
        ]
    )
    gan = gans.compiled(GAN(gans.generator(), patches), loss="hinge")
    before = gans.values(patches.trainable_variables)
    gan.fit(gans.images(), verbose=0)
    gans.assert_changed(before, gans.values(patches.trainable_variables))


class Witness(keras.layers.Layer):
    """Adds up the logits that it observes."""

    def build(self, shape):
        self.seen = self.add_weight((), initializer="zeros", trainable=False)

    def call(self, images):
        return images

    def observe(self, real_logits):
        self.seen.assign(self.seen + ops.sum(real_logits))


class Inner(keras.layers.Layer):
    """A layer with a layer that observes the logits."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.layers = [Witness(), keras.layers.Dense(1)]

    def build(self, shape):
        for layer in self.layers:
            layer.build(shape)

    def call(self, images):
        for layer in self.layers:
            images = layer(images)
        return images


def inner_model():
    return keras.Sequential(
        [keras.Input((1,)), Witness(), keras.layers.Dense(1)]
    )


@pytest.mark.parametrize(
    ("loss", "threshold", "inner"),
    [
        ("hinge", 0.0, inner_model),
        ("least_squares", 0.5, inner_model),
        ("hinge", 0.0, Inner),
    ],
)
def test_an_observing_layer_gets_the_logits_of_real_images_once_per_step(
    loss, threshold, inner
):
    inner = inner()
    discriminator = keras.Sequential([keras.Input((1,)), inner])
    generator = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    gan = GAN(generator, discriminator, seed=0)
    gans.compiled(gan, rate=0.0, loss=loss, penalty=penalties.R1())
    images = np.array([[1.0], [2.0], [-0.5], [4.0]], "float32")
    logits = ops.convert_to_numpy(discriminator(images))
    gan.fit(images, batch_size=2, epochs=2, verbose=0)
    seen = float(ops.convert_to_numpy(inner.layers[0].seen))
    expected = 2 * (logits.sum() - threshold * 4)
    assert seen == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("penalty", [None, penalties.R1()])
@pytest.mark.parametrize(
    "frozen", [["generator"], ["discriminator"], ["generator", "discriminator"]]
)
def test_a_frozen_network_does_not_change(frozen, penalty):
    gan = GAN(gans.generator(None), gans.discriminator(None), seed=0)
    for name in frozen:
        getattr(gan, name).trainable = False
    gans.compiled(gan, penalty=penalty, run_eagerly=True)
    for name in ("generator", "discriminator"):
        network = getattr(gan, name)
        before = gans.values(network.weights)
        gan.fit(gans.images(8), verbose=0)
        changed = gans.assert_same if name in frozen else gans.assert_changed
        changed(before, gans.values(network.weights))
