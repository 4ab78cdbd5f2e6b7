import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

import gan_blocks
from gan_blocks import GAN, layers, losses, penalties

BACKEND = keras.backend.backend()


def build(ema_momentum=0.9):
    generator = keras.Sequential(
        [
            keras.Input((6,)),
            layers.DenseBlock(32),
            keras.layers.Dense(16, activation="tanh"),
            keras.layers.Reshape((4, 4, 1)),
        ]
    )
    discriminator = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            # Without a seed, torch draws from its own global generator.
            keras.layers.Dropout(0.3, seed=7),
            layers.StridedConvBlock(8),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )
    return GAN(
        generator, discriminator, "uniform", ema_momentum=ema_momentum, seed=1
    )


def compiled(**options):
    gan = build()
    gan.compile(
        keras.optimizers.Adam(1e-3, beta_1=0.5),
        keras.optimizers.RMSprop(2e-3),
        **options,
    )
    return gan


def images():
    random = np.random.default_rng(0)
    return random.uniform(-1, 1, (32, 4, 4, 1)).astype("float32")


def state(gan):
    variables = [*gan.variables, *gan.optimizer.variables]
    return [ops.convert_to_numpy(v).copy() for v in variables]


def train(gan, epochs=2):
    gan.fit(images(), batch_size=8, epochs=epochs, shuffle=False, verbose=0)


@pytest.mark.every_backend
@pytest.mark.parametrize("by", ["save", "save_weights"])
def test_a_loaded_gan_goes_on_as_the_saved_one_does(tmp_path, by):

    def make():
        return compiled(
            loss=losses.NonSaturating(0.1),
            penalty=[penalties.R1(0.1), penalties.GradientPenalty(0.1)],
        )

    gan = make()
    train(gan)
    if by == "save":
        gan.save(tmp_path / "gan.keras")
        again = keras.saving.load_model(tmp_path / "gan.keras")
    else:
        gan.save_weights(tmp_path / "gan.weights.h5")
        again = make()
        again.load_weights(tmp_path / "gan.weights.h5")
    for one, two in zip(state(gan), state(again), strict=True):
        np.testing.assert_array_equal(one, two)
    train(gan)
    train(again)
    for one, two in zip(state(gan), state(again), strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(
        gan.generate(5, seed=0), again.generate(5, seed=0)
    )


@pytest.mark.every_backend
def test_loading_brings_back_how_the_gan_was_compiled(tmp_path):
    gan = compiled(
        loss=losses.NonSaturating(0.25),
        discriminator_steps=2,
        penalty=penalties.R1(3.0),
        run_eagerly=True,
    )
    gan.save(tmp_path / "gan.keras")
    again = keras.saving.load_model(tmp_path / "gan.keras")
    assert again.loss.label_smoothing == 0.25
    assert again.discriminator_steps == 2
    assert [penalty.weight for penalty in again._penalties] == [3.0]
    assert again.run_eagerly
    for name in ("latent_distribution", "ema_momentum", "seed", "name"):
        assert again.get_config()[name] == gan.get_config()[name]
    names = [type(one).__name__ for one in again.optimizer.optimizers]
    assert names == ["Adam", "RMSprop"]
    assert float(again.optimizer.optimizers[0].beta_1) == 0.5


@pytest.mark.every_backend
def test_float16_comes_back_with_its_loss_scale(tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    gan = compiled()
    with np.errstate(all="ignore"):
        gan.fit(images() * np.nan, batch_size=8, verbose=0)
    gan.save(tmp_path / "gan.keras")
    keras.config.set_dtype_policy("float32")
    again = keras.saving.load_model(tmp_path / "gan.keras")
    for one, two in zip(state(gan), state(again), strict=True):
        np.testing.assert_array_equal(one, two)
    scale = again.optimizer.discriminator_optimizer.dynamic_scale
    assert float(ops.convert_to_numpy(scale)) == 2.0**15 / 2**4


@pytest.mark.every_backend
def test_a_gan_that_was_never_compiled_is_saved_too(tmp_path):
    gan = build()
    gan.save(tmp_path / "gan.keras")
    again = keras.saving.load_model(tmp_path / "gan.keras")
    assert not again.compiled
    np.testing.assert_array_equal(
        gan.generate(5, seed=0), again.generate(5, seed=0)
    )


def test_weights_of_a_gan_with_other_noise_are_refused(tmp_path):
    compiled(penalty=penalties.GradientPenalty()).save_weights(
        tmp_path / "gan.weights.h5"
    )
    with pytest.raises(ValueError, match="random seeds"):
        compiled().load_weights(tmp_path / "gan.weights.h5")


@pytest.mark.every_backend
def test_compiling_anew_with_other_penalties_does_not_matter(tmp_path):
    gan = compiled(penalty=penalties.GradientPenalty())
    gan.compile("adam", "adam")
    train(gan)
    gan.save(tmp_path / "gan.keras")
    again = keras.saving.load_model(tmp_path / "gan.keras")
    train(gan)
    train(again)
    for one, two in zip(gan.weights, again.weights, strict=True):
        np.testing.assert_array_equal(
            ops.convert_to_numpy(one), ops.convert_to_numpy(two)
        )


def test_backup_and_restore_goes_on_with_both_optimizers(tmp_path):
    class Interrupt(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    def fit(gan, *callbacks):
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        gan.fit(
            images(),
            batch_size=8,
            epochs=4,
            shuffle=False,
            verbose=0,
            callbacks=[backup, *callbacks],
        )

    keras.utils.set_random_seed(0)
    whole = compiled()
    fit(whole)
    keras.utils.set_random_seed(0)
    broken = compiled()
    with pytest.raises(KeyboardInterrupt):
        fit(broken, Interrupt())
    resumed = compiled()
    fit(resumed)
    for one, two in zip(state(whole), state(resumed), strict=True):
        np.testing.assert_array_equal(one, two)


def run(folder, first, last):
    folder.mkdir(exist_ok=True)
    process = subprocess.run(
        [sys.executable, Path(__file__).parent / "train_in_parts.py"]
        + [folder, str(first), str(last)],
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    return process.stdout.split()


@pytest.mark.skipif(BACKEND != "tensorflow", reason="one backend is enough")
def test_a_run_in_three_processes_ends_in_the_same_bits_as_one(tmp_path):
    whole = run(tmp_path / "whole", 0, 11)
    run(tmp_path / "parts", 0, 4)
    run(tmp_path / "parts", 4, 5)
    parts = run(tmp_path / "parts", 5, 11)
    assert whole[0] == "11"
    assert parts == whole
    assert run(tmp_path / "other", 0, 10)[1] != whole[1]


@pytest.mark.every_backend
def test_the_package_exports_what_is_saved():
    for part in (gan_blocks.GAN, losses.Hinge, penalties.R1):
        name = keras.saving.get_registered_name(part)
        assert name.startswith("gan_blocks>")
