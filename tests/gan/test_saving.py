import keras
import numpy as np
import pytest
from keras import ops
from support import gans

from gan_blocks import GAN, losses, penalties


def build():
    network = keras.Sequential(
        # Without a seed, dropout uses the global generator of torch.
        [keras.Input((4, 4, 1)), keras.layers.Dropout(0.3, seed=7)]
        + [gans.discriminator()]
    )
    return GAN(gans.generator(), network, "uniform", ema_momentum=0.9, seed=1)


def compiled(**options):
    gan = build()
    gan.compile(
        keras.optimizers.Adam(1e-3, beta_1=0.5),
        keras.optimizers.RMSprop(2e-3),
        **options,
    )
    return gan


def train(gan, *callbacks, data=None, epochs=2):
    gan.fit(
        gans.images() if data is None else data,
        batch_size=8,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
    )


@pytest.mark.parametrize(
    "by",
    [pytest.param("save", marks=pytest.mark.every_backend), "save_weights"],
)
def test_a_loaded_gan_continues_like_the_saved_one(tmp_path, by):

    def make():
        return compiled(
            loss=losses.NonSaturating(0.1),
            penalty=penalties.GradientPenalty(0.1),
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
    gans.assert_same_state(gan, again)
    train(gan)
    train(again)
    gans.assert_same_state(gan, again)
    np.testing.assert_array_equal(
        gan.generate(5, seed=0), again.generate(5, seed=0)
    )


@pytest.mark.every_backend
def test_loading_restores_all_arguments(tmp_path):
    gan = compiled(
        loss=losses.NonSaturating(0.25),
        discriminator_steps=2,
        penalty=[penalties.R1(3.0), penalties.GradientPenalty(0.1)],
        run_eagerly=True,
    )
    gan.save(tmp_path / "gan.keras")
    again = keras.saving.load_model(tmp_path / "gan.keras")
    for name in ("latent_distribution", "ema_momentum", "seed", "name"):
        assert again.get_config()[name] == gan.get_config()[name]
    assert again.get_compile_config() == gan.get_compile_config()
    assert again.loss.label_smoothing == 0.25
    assert again.discriminator_steps == 2
    assert again.run_eagerly


@pytest.mark.every_backend
def test_loading_restores_the_loss_scale_of_float16(tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    gan = compiled()
    with np.errstate(all="ignore"), pytest.warns(UserWarning, match="NaN"):
        train(gan, data=gans.Batches(gans.images() * np.nan), epochs=1)
    gan.save(tmp_path / "gan.keras")
    keras.config.set_dtype_policy("float32")
    again = keras.saving.load_model(tmp_path / "gan.keras")
    gans.assert_same_state(gan, again)
    scale = again.optimizer.discriminator_optimizer.dynamic_scale
    assert float(ops.convert_to_numpy(scale)) == 2.0**15 / 2**4


@pytest.mark.every_backend
def test_a_gan_can_be_saved_without_being_compiled(tmp_path):
    gan = build()
    gan.save(tmp_path / "gan.keras")
    again = keras.saving.load_model(tmp_path / "gan.keras")
    assert not again.compiled
    np.testing.assert_array_equal(
        gan.generate(5, seed=0), again.generate(5, seed=0)
    )


def test_load_weights_refuses_a_gan_with_other_random_seeds(tmp_path):
    compiled(penalty=penalties.GradientPenalty()).save_weights(
        tmp_path / "gan.weights.h5"
    )
    with pytest.raises(ValueError, match="random seeds"):
        compiled().load_weights(tmp_path / "gan.weights.h5")


@pytest.mark.every_backend
def test_a_gan_with_random_penalties_can_be_loaded_only_to_generate(tmp_path):
    gan = compiled(penalty=penalties.GradientPenalty())
    gan.save(tmp_path / "gan.keras")
    again = keras.saving.load_model(tmp_path / "gan.keras", compile=False)
    np.testing.assert_array_equal(
        gan.generate(5, seed=0), again.generate(5, seed=0)
    )


@pytest.mark.slow
@pytest.mark.every_backend
def test_a_second_compile_with_other_penalties_can_be_saved(tmp_path):
    gan = compiled(penalty=penalties.GradientPenalty())
    gan.compile("adam", "adam")
    train(gan)
    gan.save(tmp_path / "gan.keras")
    again = keras.saving.load_model(tmp_path / "gan.keras")
    train(gan)
    train(again)
    gans.assert_same(gans.values(gan.weights), gans.values(again.weights))


class Crash(keras.callbacks.Callback):
    """Ends training with an error after the second epoch."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_backup_and_restore_restores_both_optimizers(tmp_path):
    keras.utils.set_random_seed(0)
    whole = compiled()
    train(whole, epochs=4)
    keras.utils.set_random_seed(0)
    with pytest.raises(KeyboardInterrupt):
        backup = keras.callbacks.BackupAndRestore(tmp_path)
        train(compiled(), backup, Crash(), epochs=4)
    resumed = compiled()
    train(resumed, keras.callbacks.BackupAndRestore(tmp_path), epochs=4)
    gans.assert_same_state(whole, resumed)


@pytest.mark.every_backend
def test_checkpoints_of_keras_continue_in_the_middle_of_an_epoch(tmp_path):
    gan = compiled()
    checkpoint = keras.callbacks.ModelCheckpoint(
        tmp_path / "{epoch}_{batch}.keras", save_freq=3
    )
    train(gan, checkpoint, epochs=1)
    (path,) = tmp_path.iterdir()
    again = keras.saving.load_model(path)
    assert (path.name, int(again.optimizer.iterations)) == ("1_3.keras", 3)
    train(again, data=gans.images()[24:], epochs=1)
    gans.assert_same_state(gan, again)


def test_learning_rates_set_by_callbacks_are_restored(tmp_path):
    def rates(gan):
        return [float(one.learning_rate) for one in gan.optimizer.optimizers]

    gan = compiled(run_eagerly=True)
    # No improvement is large enough, so the rate is halved.
    plateau = keras.callbacks.ReduceLROnPlateau(
        "d_loss", factor=0.5, patience=1, min_delta=1e9, mode="min", min_lr=0
    )
    train(gan, plateau, epochs=2)
    np.testing.assert_allclose(rates(gan), [1e-3 / 2, 2e-3 / 2])
    gan.save(tmp_path / "gan.keras")
    again = keras.saving.load_model(tmp_path / "gan.keras")
    assert rates(again) == rates(gan)


def test_a_lambda_penalty_is_loaded_only_with_safe_mode_off(tmp_path):
    gan = compiled(penalty=lambda discriminator, real, fake: 0.0)
    with pytest.warns(UserWarning, match="includes a `lambda`"):
        gan.save(tmp_path / "gan.keras")
    with pytest.raises(ValueError, match="safe_mode=False"):
        keras.saving.load_model(tmp_path / "gan.keras")
    again = keras.saving.load_model(tmp_path / "gan.keras", safe_mode=False)
    with pytest.warns(UserWarning, match="includes a `lambda`"):
        assert again.get_compile_config()["penalty"]


@pytest.mark.every_backend
@pytest.mark.parametrize(
    "policy",
    ["float32", pytest.param("mixed_float16", marks=pytest.mark.slow)],
)
def test_variables_excluded_from_weight_decay_stay_excluded(tmp_path, policy):
    keras.config.set_dtype_policy(policy)
    gan = build()
    options = {"learning_rate": 0.1, "weight_decay": 0.5}
    optimizers = [keras.optimizers.AdamW(**options) for _ in range(2)]
    optimizers[0].exclude_from_weight_decay(var_names=["bias", "kernel"])
    optimizers[1].exclude_from_weight_decay(gan.discriminator.weights[:1])
    gan.compile(*optimizers, run_eagerly=True)
    train(gan, epochs=1)
    for _ in range(2):
        gan.save(tmp_path / "gan.keras")
        again = keras.saving.load_model(tmp_path / "gan.keras")
        train(gan, epochs=1)
        train(again, epochs=1)
        gans.assert_same_state(gan, again)
        gan = again


class Unregistered(penalties.Penalty):
    def __call__(self, discriminator, real_images, fake_images):
        return self.weight * ops.mean(discriminator(real_images))


def test_an_unregistered_penalty_must_be_passed_to_load_model(tmp_path):
    path = tmp_path / "gan.keras"
    compiled(penalty=Unregistered(2.0)).save(path)
    with pytest.raises(TypeError, match="Could not locate class 'Unregist"):
        keras.saving.load_model(path)
    again = keras.saving.load_model(path, {"Unregistered": Unregistered})
    config = again.get_compile_config()
    assert config["penalty"][0]["config"]["weight"] == 2.0


@pytest.mark.every_backend
def test_saved_classes_are_registered_under_the_package():
    for part in (GAN, losses.Hinge, penalties.R1):
        name = keras.saving.get_registered_name(part)
        assert name.startswith("gan_blocks>")
