import keras
import numpy as np
import pytest
from keras import ops

from gan_blocks import GAN, layers, penalties

pytestmark = pytest.mark.every_backend

BACKEND = keras.backend.backend()


def generator(normalization="batch", latent_dim=6, activation="tanh"):
    return keras.Sequential(
        [
            keras.Input((latent_dim,)),
            layers.DenseBlock(32, normalization=normalization),
            keras.layers.Dense(16, activation=activation),
            keras.layers.Reshape((4, 4, 1)),
        ]
    )


def discriminator(normalization="batch", image_shape=(4, 4, 1)):
    return keras.Sequential(
        [
            keras.Input(image_shape),
            layers.StridedConvBlock(8, normalization=normalization),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )


LOGS = {"d_loss", "g_loss", "real_score", "fake_score"}
LOGS |= {"real_accuracy", "fake_accuracy", "spread"}


def compiled(gan=None, optimizer=keras.optimizers.SGD, rate=0.05, **options):
    gan = gan or GAN(generator(), discriminator(), seed=0)
    gan.compile(optimizer(rate), optimizer(rate), **options)
    return gan


def images(number=32, seed=0):
    random = np.random.default_rng(seed)
    return random.uniform(-1, 1, (number, 4, 4, 1)).astype("float32")


def values(variables):
    return [ops.convert_to_numpy(v).copy() for v in variables]


def assert_same(before, after):
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)


def assert_changed(before, after):
    for old, new in zip(before, after, strict=True):
        assert (old != new).any()


# The step.


def test_the_discriminators_step_leaves_the_generator_bit_identical():
    gan = compiled(penalty=[penalties.R1(), penalties.R2()])
    real, fake = images(seed=0), images(seed=1)
    before = values(gan.generator.variables)
    own = values(gan.discriminator.trainable_variables)
    gan._train_discriminator(*map(ops.convert_to_tensor, (real, fake)))
    assert_same(before, values(gan.generator.variables))
    assert_changed(own, values(gan.discriminator.trainable_variables))


@pytest.mark.parametrize("loss", ["non_saturating", "relativistic_pairing"])
def test_the_generators_step_leaves_the_discriminator_bit_identical(loss):
    gan = compiled(loss=loss)
    real = ops.convert_to_tensor(images())
    fake, pullback = gan._generate_for_training(
        ops.convert_to_tensor(gan.sample_latents(32, seed=0))
    )
    before = values(gan.discriminator.variables)
    own = values(gan.generator.trainable_variables)
    gan._train_generator(real, fake, pullback)
    assert_same(before, values(gan.discriminator.variables))
    assert_changed(own, values(gan.generator.trainable_variables))


def test_one_step_equals_algorithm_1_worked_by_hand():
    """A generator z w and a discriminator a x, with SGD of rate 0.1."""
    gan = GAN(
        keras.Sequential(
            [keras.Input((1,)), keras.layers.Dense(1, use_bias=False)]
        ),
        keras.Sequential(
            [keras.Input((1,)), keras.layers.Dense(1, use_bias=False)]
        ),
    )
    gan.set_weights([np.array([[2.0]]), np.array([[0.5]])])
    compiled(gan, rate=0.1)
    gan._noise_like = lambda images, noise: ops.convert_to_tensor([[3.0]])
    gan.fit(np.array([[1.0]], "float32"), verbose=0, shuffle=False)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    w, a, z, x = 2.0, 0.5, 3.0, 1.0
    # d/da of softplus(-a x) + softplus(a w z), then d/dw of
    # softplus(-a w z) with the new a.
    a -= 0.1 * (-x * sigmoid(-a * x) + w * z * sigmoid(a * w * z))
    w -= 0.1 * (-a * z * sigmoid(-a * w * z))
    np.testing.assert_allclose(
        [v.item() for v in values(gan.trainable_variables)], [w, a], rtol=1e-6
    )


def test_several_discriminator_steps_each_see_new_images():
    gan = compiled(discriminator_steps=3)
    seen = []
    step = gan._train_discriminator

    def watched(real, fake, labels):
        seen.append(fake)
        return step(real, fake, labels)

    gan._train_discriminator = watched
    gan._train(ops.convert_to_tensor(images(8)), labels=None)
    assert len({ops.convert_to_numpy(fake).tobytes() for fake in seen}) == 3
    optimizer = gan.optimizer
    assert int(optimizer.iterations) == 1
    assert int(optimizer.generator_optimizer.iterations) == 1
    assert int(optimizer.discriminator_optimizer.iterations) == 3


class MeanOfReal(penalties.Penalty):
    def __call__(self, discriminator, real_images, fake_images):
        return self.weight * ops.mean(real_images)


def test_penalties_are_added_up_and_logged_apart_from_the_loss():
    logs = {}
    for name, penalty in {
        "none": None,
        "one": MeanOfReal(2.0),
        "two": [MeanOfReal(2.0), MeanOfReal(0.5)],
        "function": lambda *_: 1.25 * ops.ones(()),
    }.items():
        gan = compiled(
            GAN(generator(), discriminator(), seed=0), penalty=penalty
        )
        logs[name] = gan.fit(images() * 0 + 0.5, verbose=0).history
    assert "penalty" not in logs["none"]
    assert logs["one"]["penalty"] == [1.0]
    assert logs["two"]["penalty"] == [1.25]
    assert logs["function"]["penalty"] == [1.25]


def test_a_penalty_changes_what_the_discriminator_learns():
    weights = []
    for penalty in (None, penalties.R1(10.0)):
        keras.utils.set_random_seed(0)
        gan = compiled(GAN(generator(), discriminator(None), seed=0))
        gan.compile("sgd", "sgd", penalty=penalty)
        gan.fit(images(), verbose=0)
        weights.append(values(gan.discriminator.trainable_variables)[0])
    assert np.abs(weights[0] - weights[1]).max() > 1e-6


def test_the_logs_are_the_losses_and_what_tells_health():
    gan = compiled()
    logs = gan.fit(images(), batch_size=16, epochs=2, verbose=0).history
    assert set(logs) == LOGS
    assert all(len(logs[name]) == 2 for name in LOGS)


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_training_noise_is_of_its_distribution(distribution):
    gan = GAN(generator(), discriminator(), distribution, seed=0)
    noise = ops.convert_to_numpy(gan._noise_like(np.zeros((9999,)), gan.noise))
    for latents in (noise, gan.sample_latents(9999, seed=0)):
        assert latents.shape == (9999, 6)
        assert abs(latents.mean()) < 0.02
        if distribution == "normal":
            assert abs(latents.std() - 1) < 0.02
            assert np.abs(latents).max() > 3
        else:
            assert abs(latents.std() - 1 / np.sqrt(3)) < 0.02
            assert np.abs(latents).max() <= 1


@pytest.mark.skipif(BACKEND == "torch", reason="Keras refuses it on torch")
def test_steps_per_execution_trains_the_same():
    results = []
    for steps in (1, 2):
        keras.utils.set_random_seed(0)
        gan = compiled(steps_per_execution=steps)
        gan.fit(images(), batch_size=8, shuffle=False, verbose=0)
        results.append(values(gan.weights))
    assert int(gan.optimizer.iterations) == 4
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("option", ["run_eagerly", "jit_compile"])
def test_eager_and_compiled_steps_train_the_same(option):
    if BACKEND == "torch" and option == "jit_compile":
        pytest.skip("torch.compile takes a minute")
    # XLA draws other random numbers than TensorFlow without it.
    latents = GAN(generator(), discriminator()).sample_latents(16, seed=0)
    results = []
    for value in (False, True):
        keras.utils.set_random_seed(0)
        gan = compiled(**{option: value}, penalty=penalties.R1())
        gan._noise_like = lambda *_: ops.convert_to_tensor(latents)
        assert getattr(gan, option) == value
        gan.fit(images(), batch_size=16, shuffle=False, verbose=0)
        results.append(values(gan.weights))
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


def test_xla_is_not_chosen_by_tensorflow_on_a_cpu():
    assert compiled().jit_compile == (BACKEND == "jax")


# The moving average.


def test_the_average_follows_weights_and_statistics_with_its_warm_up():
    gan = compiled(GAN(generator(), discriminator(), ema_momentum=0.5, seed=0))
    expected = values(gan.generator.weights)
    for step in range(1, 13):
        gan.fit(images(seed=step), batch_size=32, verbose=0)
        momentum = min(0.5, (1 + step) / (10 + step))
        for i, weight in enumerate(values(gan.generator.weights)):
            expected[i] = momentum * expected[i] + (1 - momentum) * weight
    assert momentum == 0.5  # The warm-up is over.
    for one, two in zip(expected, values(gan.generator_averages), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)


def test_generate_call_and_predict_show_the_averaged_generator():
    gan = compiled(GAN(generator(), discriminator(), ema_momentum=0.9, seed=0))
    gan.fit(images(), batch_size=8, epochs=5, verbose=0)
    latents = gan.sample_latents(3, seed=0)
    averaged = generator()
    averaged.set_weights(values(gan.generator_averages))
    expected = ops.convert_to_numpy(averaged(latents))
    plain = ops.convert_to_numpy(gan.generator(latents))
    assert np.abs(expected - plain).max() > 1e-4
    for found in (
        gan.generate(latents=latents),
        ops.convert_to_numpy(gan(latents)),
        gan.predict(latents, verbose=0),
    ):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(
        gan.generate(latents=latents, batch_statistics=True, batch_size=3),
        ops.convert_to_numpy(averaged(latents, training=True)),
        atol=1e-5,
    )


def test_the_average_changes_no_training_step():
    results = []
    for momentum in (None, 0.9):
        keras.utils.set_random_seed(0)
        gan = compiled(
            GAN(generator(), discriminator(), ema_momentum=momentum, seed=0)
        )
        gan.fit(images(), batch_size=8, shuffle=False, verbose=0)
        results.append(values(gan.trainable_variables))
    assert_same(*results)


# Sampling.


def test_generate_gives_the_same_images_however_many_are_asked_for():
    gan = compiled()
    for statistics in (False, True):
        options = {"seed": 3, "batch_size": 4, "batch_statistics": statistics}
        many = gan.generate(num_images=10, **options)
        assert many.shape == (10, 4, 4, 1)
        assert many.dtype == np.float32
        assert np.abs(many).max() <= 1
        few = gan.generate(num_images=3, **options)
        np.testing.assert_allclose(few, many[:3], atol=1e-6)


def test_generate_draws_new_images_without_a_seed():
    gan = compiled()
    assert (gan.generate(4) != gan.generate(4)).any()
    assert_same([gan.generate(4, seed=1)], [gan.generate(4, seed=1)])


def test_moving_averages_make_an_image_independent_of_its_batch():
    gan = compiled()
    gan.fit(images(), batch_size=8, verbose=0)
    latents = gan.sample_latents(6, seed=0)
    together = gan.generate(latents=latents)
    alone = np.concatenate(
        [gan.generate(latents=latents[i : i + 1]) for i in range(6)]
    )
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_one_image_by_batch_statistics_is_not_normalised_away():
    gan = compiled()
    a, b = (
        gan.generate(
            latents=gan.sample_latents(1, seed=seed), batch_statistics=True
        )
        for seed in (1, 2)
    )
    assert np.abs(a - b).max() > 1e-3


def test_generating_and_evaluating_change_nothing():
    gan = compiled(GAN(generator(), discriminator(), ema_momentum=0.9, seed=0))
    gan.fit(images(), verbose=0)
    noise = gan.evaluation_noise.state
    state = [v for v in gan.variables if v is not noise]
    before = values([*state, *gan.optimizer.variables])
    gan.generate(10, batch_statistics=True)
    logs = gan.evaluate(images(), verbose=0, return_dict=True)
    assert set(logs) == LOGS
    assert_same(before, values([*state, *gan.optimizer.variables]))


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"num_images": 3, "latents": np.zeros((3, 6))},
        {"latents": np.zeros((3, 7))},
        {"num_images": 0},
    ],
)
def test_generate_refuses_what_it_cannot_draw(arguments):
    with pytest.raises(ValueError, match="num_images|latents|number"):
        compiled().generate(**arguments)


# Interpolation.


def drawing_gan(distribution="normal", latent_shape=(6,)):
    size = int(np.prod(latent_shape))
    network = keras.Sequential(
        [
            keras.Input(latent_shape),
            keras.layers.Flatten(),
            generator(None, size),
        ]
    )
    return GAN(network, discriminator(None), distribution)


def lengths(latents):
    return np.linalg.norm(latents.reshape(len(latents), -1), axis=1)


def angles(path):
    units = path.reshape(len(path), -1) / lengths(path)[:, None]
    cosines = (units[1:] * units[:-1]).sum(axis=1)
    return np.arccos(np.clip(cosines, -1, 1))


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("latent_shape", [(6,), (1, 1, 6), (1,)])
def test_a_way_passes_through_the_given_latents_exactly(
    distribution, latent_shape
):
    gan = drawing_gan(distribution, latent_shape)
    latents = gan.sample_latents(4, seed=0)
    for steps in (1, 2, 7):
        path = gan.interpolate_latents(latents, steps)
        assert path.shape == (3 * steps + 1, *latent_shape)
        assert path.dtype == np.float32
        assert_same([latents], [path[::steps]])
        closed = gan.interpolate_latents(latents, steps, closed=True)
        assert closed.shape == (4 * steps, *latent_shape)
        assert_same([latents], [closed[::steps]])
        assert_same([path[:-1]], [closed[: 3 * steps]])


def test_a_closed_way_goes_on_to_the_first_latent_without_repeating_it():
    gan = drawing_gan()
    latents = gan.sample_latents(3, seed=0)
    closed = gan.interpolate_latents(latents, 5, closed=True)
    back = gan.interpolate_latents(latents[[2, 0]], 5)
    assert_same([back[:-1]], [closed[10:]])
    once_round = np.concatenate([closed, closed[:1]])
    turned = angles(once_round).reshape(3, 5)
    np.testing.assert_allclose(turned, turned[:, :1].repeat(5, 1), rtol=1e-3)


def test_normal_latents_are_joined_by_even_angles_and_even_lengths():
    gan = drawing_gan()
    start, end = np.array([[3, 0, 0, 0, 0, 0], [0, 0, 5, 0, 0, 0]], "float32")
    path = gan.interpolate_latents([start, end], 4)
    np.testing.assert_allclose(lengths(path), [3, 3.5, 4, 4.5, 5], rtol=1e-6)
    np.testing.assert_allclose(angles(path), np.pi / 8, rtol=1e-5)
    np.testing.assert_allclose(
        path[2][[0, 2]], 4 * np.sqrt([0.5, 0.5]), rtol=1e-6
    )


def test_a_way_of_normal_latents_is_nowhere_shorter_than_they_are():
    gan = drawing_gan(latent_shape=(1, 1, 100))
    latents = gan.sample_latents(8, seed=0)
    path = gan.interpolate_latents(latents, 10)
    straight = (latents[1:] + latents[:-1]) / 2
    assert lengths(path).min() >= lengths(latents).min() * (1 - 1e-6)
    assert lengths(path).max() <= lengths(latents).max() * (1 + 1e-6)
    assert lengths(straight).max() < lengths(latents).min()


def test_uniform_latents_are_joined_by_straight_lines():
    gan = drawing_gan("uniform")
    latents = gan.sample_latents(5, seed=0)
    latents[0], latents[1] = 1.0, -1.0
    path = gan.interpolate_latents(latents, 4, closed=True)
    ends = np.roll(latents, -1, axis=0)
    for step in range(4):
        expected = latents + (ends - latents) * step / 4
        np.testing.assert_allclose(path[step::4], expected, atol=1e-6)
    assert np.abs(path).max() <= 1


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("latent_dim", [1, 6])
def test_latents_on_one_line_through_zero_are_joined_without_nan(
    distribution, latent_dim
):
    gan = drawing_gan(distribution, (latent_dim,))
    (z,) = gan.sample_latents(1, seed=0)
    for factor in (1, 2, 1 + 1e-7, 0, -1, -3, -1 - 1e-7):
        for pair in ([z, factor * z], [factor * z, z]):
            pair = np.array(pair, "float32")
            path = gan.interpolate_latents(pair, 10)
            assert np.isfinite(path).all()
            assert_same([pair], [path[::10]])
            steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
            assert steps.max() < 0.15 * np.pi * lengths(pair).max()
            if factor >= 0:
                expected = np.linspace(*pair, 11)
                np.testing.assert_allclose(path, expected, atol=1e-6)
    zeros = gan.interpolate_latents(np.zeros((2, latent_dim)), 3)
    assert (zeros == 0).all()


@pytest.mark.parametrize("factor", [-1, -2])
def test_normal_latents_that_are_opposite_are_joined_around_zero(factor):
    gan = drawing_gan()
    for z in [*gan.sample_latents(3, seed=0), np.eye(6)[2], np.ones(6)]:
        path = gan.interpolate_latents([z, factor * z], 6)
        assert lengths(path).min() >= np.linalg.norm(z) * (1 - 1e-6)
        np.testing.assert_allclose(angles(path), np.pi / 6, rtol=1e-3)


def test_images_on_a_way_change_gradually():
    gan = drawing_gan()
    latents = gan.sample_latents(3, seed=0)
    frames = gan.generate(
        latents=gan.interpolate_latents(latents, 20, closed=True)
    )
    assert frames.shape == (60, 4, 4, 1)
    np.testing.assert_allclose(
        frames[::20], gan.generate(latents=latents), atol=1e-6
    )
    changes = np.abs(frames - np.roll(frames, -1, axis=0)).mean(axis=(1, 2, 3))
    between = np.abs(frames[20] - frames[0]).mean()
    assert 0 < changes.min() and changes.max() < between / 5


@pytest.mark.parametrize(
    "latents, steps, message",
    [
        (np.zeros((1, 6)), 5, r"at least 2.*\(1, 6\)"),
        (np.zeros((0, 6)), 5, r"at least 2.*\(0, 6\)"),
        (np.zeros((3, 7)), 5, r"\(number, 6\).*\(3, 7\)"),
        (np.zeros((6,)), 5, r"\(number, 6\).*\(6,\)"),
        (np.zeros((3, 6)), 0, "`steps`.*steps=0"),
    ],
)
def test_a_way_that_does_not_exist_is_refused(latents, steps, message):
    with pytest.raises(ValueError, match=message):
        drawing_gan().interpolate_latents(latents, steps)


# Mixed precision.


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains_and_returns_float32_images(policy):
    keras.config.set_dtype_policy(policy)
    gan = compiled(
        GAN(generator(), discriminator(), ema_momentum=0.9, seed=0),
        penalty=[penalties.R1(0.1), penalties.GradientPenalty(0.1)],
    )
    before = values(gan.trainable_variables)
    gan.fit(images(), batch_size=16, epochs=3, verbose=0)
    after = values(gan.trainable_variables)
    assert_changed(before, after)
    assert all(np.isfinite(value).all() for value in after)
    assert gan.generate(2).dtype == np.float32


def test_float16_gets_loss_scaling_which_skips_a_step_that_overflows():
    keras.config.set_dtype_policy("mixed_float16")
    gan = compiled()
    optimizer = gan.optimizer.discriminator_optimizer
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    before = values(gan.discriminator.trainable_variables)
    scale = float(ops.convert_to_numpy(optimizer.dynamic_scale))
    with np.errstate(all="ignore"):
        gan.fit(images() * np.nan, batch_size=32, verbose=0)
    assert_same(before, values(gan.discriminator.trainable_variables))
    assert float(ops.convert_to_numpy(optimizer.dynamic_scale)) == scale / 2


def test_loss_scaling_leaves_the_step_as_it_is():
    results = []
    for scale in (False, True):
        keras.utils.set_random_seed(0)
        gan = GAN(generator(), discriminator(), seed=0)
        optimizers = [keras.optimizers.SGD(0.1) for _ in range(2)]
        if scale:
            optimizers = map(keras.optimizers.LossScaleOptimizer, optimizers)
        gan.compile(*optimizers)
        gan.fit(images(), batch_size=16, shuffle=False, verbose=0)
        results.append(values(gan.trainable_variables))
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-7)


# Keras.


def test_learning_rate_callbacks_reach_both_optimizers():
    gan = compiled(rate=0.5)
    halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    gan.fit(images(), epochs=2, verbose=0, callbacks=[halve])
    for optimizer in gan.optimizer.optimizers:
        assert float(optimizer.learning_rate.numpy()) == 0.125


def test_an_optimizers_own_average_replaces_the_weights_at_the_end():
    gan = GAN(generator(), discriminator(), seed=0)
    averaging = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9)
    gan.compile(averaging, "sgd")
    gan.fit(images(), batch_size=8, verbose=0)
    assert_same(
        values(gan.generator.trainable_variables),
        values(averaging._model_variables_moving_average),
    )


class Count(keras.callbacks.Callback):
    batches = 0

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1


@pytest.mark.parametrize("kind", ["one", "list", "CallbackList"])
def test_fit_takes_callbacks_in_every_form_that_keras_takes(kind):
    gan = compiled()
    count = Count()
    callbacks = {
        "one": count,
        "list": [count],
        "CallbackList": keras.callbacks.CallbackList(
            [count], add_history=True, model=gan
        ),
    }[kind]
    with pytest.warns(UserWarning, match="outside"):
        gan.fit(images() * 9, batch_size=8, verbose=0, callbacks=callbacks)
    assert count.batches == 4


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return images(8, seed=index)


@pytest.mark.parametrize(
    "data", [images(20), Batches()], ids=["odd batch", "PyDataset"]
)
def test_fit_takes_what_keras_takes(data):
    gan = compiled()
    batch_size = 8 if isinstance(data, np.ndarray) else None
    logs = gan.fit(data, batch_size=batch_size, shuffle=False, verbose=0)
    assert int(gan.optimizer.iterations) == 3
    assert np.isfinite(logs.history["g_loss"]).all()


def test_batches_can_be_trained_and_tested_one_by_one():
    gan = compiled()
    before = values(gan.trainable_variables)
    logs = gan.train_on_batch(images(), return_dict=True)
    assert_changed(before, values(gan.trainable_variables))
    assert np.isfinite(logs["d_loss"])
    assert np.isfinite(gan.test_on_batch(images(), return_dict=True)["g_loss"])


def test_fit_evaluates_validation_images():
    logs = compiled().fit(images(), validation_data=images(), verbose=0)
    assert {"d_loss", "val_d_loss", "val_fake_score"} <= set(logs.history)


def test_summary_counts_both_networks(capsys):
    gan = compiled()
    lines = []
    gan.summary(print_fn=lines.append)
    count = gan.generator.count_params() + gan.discriminator.count_params()
    assert gan.count_params() == count


# What is refused.


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        (
            (generator(), discriminator(image_shape=(8, 8, 1))),
            r"\(4, 4, 1\).*\(8, 8, 1\)",
        ),
        (
            (generator(), discriminator(image_shape=(4, 4, 3))),
            r"\(4, 4, 1\).*\(4, 4, 3\)",
        ),
        (
            (
                generator(),
                keras.Sequential(
                    [
                        keras.Input((4, 4, 1)),
                        keras.layers.Flatten(),
                        keras.layers.Dense(10),
                    ]
                ),
            ),
            r"logits of shape \(batch, 1\).*\('batch', 10\)",
        ),
        (
            (
                generator(),
                keras.Sequential(
                    [
                        discriminator(),
                        keras.layers.Activation("sigmoid"),
                    ]
                ),
            ),
            "ends in sigmoid",
        ),
        (
            (keras.Sequential([keras.layers.Dense(4)]), discriminator()),
            "`generator` must be built",
        ),
    ],
)
def test_networks_that_do_not_fit_are_refused_with_both_shapes(
    networks, message
):
    with pytest.raises(ValueError, match=message):
        GAN(*networks)


def test_networks_of_several_inputs_or_outputs_are_refused():
    latents = keras.Input((6,))
    image = generator()(latents)
    two_outputs = keras.Model(latents, [image, image])
    with pytest.raises(ValueError, match="generator.*one output"):
        GAN(two_outputs, discriminator())
    inputs = keras.Input((4, 4, 1)), keras.Input((3,))
    logit = keras.layers.Dense(1)(keras.layers.Flatten()(inputs[0]))
    with pytest.raises(ValueError, match="discriminator.*one input"):
        GAN(generator(), keras.Model(inputs, logit))


def test_regularizers_that_would_be_ignored_are_refused():
    network = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(1, kernel_regularizer="l2"),
        ]
    )
    with pytest.raises(ValueError, match="weight_decay"):
        GAN(generator(), network)


@pytest.mark.parametrize(
    "arguments",
    [
        {"latent_distribution": "gaussian"},
        {"ema_momentum": 1.0},
        {"ema_momentum": 0.0},
    ],
)
def test_a_gan_refuses_arguments_out_of_range(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        GAN(generator(), discriminator(), **arguments)


@pytest.mark.parametrize(
    "arguments",
    [{"discriminator_steps": 0}, {"penalty": 3}, {"loss": "l2"}],
)
def test_compile_refuses_arguments_of_the_wrong_kind(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        GAN(generator(), discriminator()).compile("adam", "adam", **arguments)


def test_one_optimizer_for_both_networks_is_refused():
    optimizer = keras.optimizers.Adam()
    with pytest.raises(ValueError, match="two objects"):
        GAN(generator(), discriminator()).compile(optimizer, optimizer)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": images(), "y": np.zeros(32)}, "images alone.*tuple of 2"),
        ({"x": {"image": images()}}, "images alone"),
        ({"x": [images(), images()]}, "images alone"),
        ({"x": np.zeros((8, 5, 5, 1))}, r"\(4, 4, 1\).*\(5, 5, 1\)"),
    ],
)
def test_data_that_is_not_images_of_the_right_shape_is_refused(
    arguments, message
):
    with pytest.raises(ValueError, match=message):
        compiled().fit(**arguments, verbose=0)


@pytest.mark.parametrize("batch_size", [8, 32])
@pytest.mark.parametrize(
    ("activation", "scale", "warns"),
    [
        ("tanh", 255.0, True),
        ("tanh", 1.0, False),
        ("sigmoid", 1.0, True),
        ("linear", 255.0, False),
    ],
)
def test_images_out_of_the_generators_range_are_reported_once(
    activation, scale, warns, batch_size, recwarn
):
    gan = compiled(GAN(generator(activation=activation), discriminator()))
    gan.fit(images() * scale, batch_size=batch_size, epochs=2, verbose=0)
    found = [str(w.message) for w in recwarn if "range" in str(w.message)]
    assert len(found) == warns
    if warns:
        assert "outside [" in found[0]


class Subclassed(keras.Model):
    """A model whose shapes Keras does not know by itself."""

    def __init__(self, units, shape):
        super().__init__()
        self.inner = keras.layers.Dense(units)
        self.reshape = keras.layers.Reshape(shape)

    def build(self, input_shape):
        self.inner.build(input_shape)

    def call(self, inputs):
        return self.reshape(self.inner(inputs))


def test_subclassed_models_will_do_once_they_are_built():
    network = Subclassed(16, (4, 4, 1))
    with pytest.raises(ValueError, match="must be built"):
        GAN(network, discriminator())
    network.build((None, 6))
    gan = compiled(GAN(network, discriminator(), ema_momentum=0.9))
    gan.fit(images(), verbose=0)
    assert gan.generate(3).shape == (3, 4, 4, 1)


def test_patch_logits_are_trained_on():
    patches = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            layers.StridedConvBlock(8),
            keras.layers.Conv2D(1, 1),
        ]
    )
    gan = compiled(GAN(generator(), patches), loss="hinge")
    before = values(patches.trainable_variables)
    gan.fit(images(), verbose=0)
    assert_changed(before, values(patches.trainable_variables))


def test_spectral_normalization_changes_with_the_discriminator_only():
    """Keras' layer overwrites its kernel whenever it is called in training."""
    network = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Flatten(),
            keras.layers.SpectralNormalization(keras.layers.Dense(1)),
        ]
    )
    gan = compiled(GAN(generator(), network), loss="hinge")
    fake, pullback = gan._generate_for_training(
        ops.convert_to_tensor(gan.sample_latents(8, seed=0))
    )
    before = values(network.variables)
    gan._train_generator(ops.convert_to_tensor(images(8)), fake, pullback)
    assert_same(before, values(network.variables))
    gan._train_discriminator(ops.convert_to_tensor(images(8)), fake)
    assert_changed(before[:1], values(network.variables)[:1])


class Witness(keras.layers.Layer):
    """Adds up the logits that it is shown."""

    def build(self, shape):
        self.seen = self.add_weight((), initializer="zeros", trainable=False)

    def call(self, images):
        return images

    def observe(self, real_logits):
        self.seen.assign(self.seen + ops.sum(real_logits))


@pytest.mark.parametrize(
    ("loss", "threshold"), [("hinge", 0.0), ("least_squares", 0.5)]
)
def test_a_layer_that_observes_is_shown_the_logits_of_real_images_once_a_step(
    loss, threshold
):
    inner = keras.Sequential(
        [keras.Input((1,)), Witness(), keras.layers.Dense(1)]
    )
    discriminator = keras.Sequential([keras.Input((1,)), inner])
    generator = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    gan = GAN(generator, discriminator, seed=0)
    still = keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0)
    gan.compile(*still, loss=loss, penalty=penalties.R1())
    images = np.array([[1.0], [2.0], [-0.5], [4.0]], "float32")
    logits = ops.convert_to_numpy(discriminator(images))
    gan.fit(images, batch_size=2, epochs=2, verbose=0)
    seen = float(ops.convert_to_numpy(inner.layers[0].seen))
    expected = 2 * (logits.sum() - threshold * 4)
    assert seen == pytest.approx(expected, rel=1e-5, abs=1e-5)
