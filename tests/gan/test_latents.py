import keras
import numpy as np
import pytest
from keras import ops
from support import gans

from gan_blocks import GAN
from gan_blocks.gan.latents import draw_latents_in_step

pytestmark = pytest.mark.every_backend


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_latents_and_training_noise_follow_the_distribution(distribution):
    gan = GAN(gans.generator(), gans.discriminator(), distribution, seed=0)
    noise = draw_latents_in_step(
        9999, gan.latent_shape, distribution, gan.noise
    )
    noise = ops.convert_to_numpy(noise)
    for found in (noise, gan.sample_latents(9999, seed=0)):
        assert found.shape == (9999, 6)
        assert abs(found.mean()) < 0.02
        if distribution == "normal":
            assert abs(found.std() - 1) < 0.02
            assert np.abs(found).max() > 3
        else:
            assert abs(found.std() - 1 / np.sqrt(3)) < 0.02
            assert np.abs(found).max() <= 1


def drawing_gan(distribution="normal", latent_shape=(6,)):
    size = int(np.prod(latent_shape))
    network = keras.Sequential(
        [
            keras.Input(latent_shape),
            keras.layers.Flatten(),
            gans.generator(None, size),
        ]
    )
    return GAN(network, gans.discriminator(None), distribution)


def lengths(latents):
    return np.linalg.norm(latents.reshape(len(latents), -1), axis=1)


def angles(path):
    units = path.reshape(len(path), -1) / lengths(path)[:, None]
    cosines = (units[1:] * units[:-1]).sum(axis=1)
    return np.arccos(np.clip(cosines, -1, 1))


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("latent_shape", [(6,), (1, 1, 6), (1,)])
def test_a_path_passes_exactly_through_the_given_latents(
    distribution, latent_shape
):
    gan = drawing_gan(distribution, latent_shape)
    latents = gan.sample_latents(4, seed=0)
    for steps in (1, 2, 7):
        path = gan.interpolate_latents(latents, steps)
        assert path.shape == (3 * steps + 1, *latent_shape)
        assert path.dtype == np.float32
        gans.assert_same([latents], [path[::steps]])
        closed = gan.interpolate_latents(latents, steps, closed=True)
        assert closed.shape == (4 * steps, *latent_shape)
        gans.assert_same([latents], [closed[::steps]])
        gans.assert_same([path[:-1]], [closed[: 3 * steps]])


def test_a_closed_path_returns_to_the_first_latent_without_repeating_it():
    gan = drawing_gan()
    latents = gan.sample_latents(3, seed=0)
    closed = gan.interpolate_latents(latents, 5, closed=True)
    back = gan.interpolate_latents(latents[[2, 0]], 5)
    gans.assert_same([back[:-1]], [closed[10:]])


def test_normal_latents_are_joined_in_steps_of_equal_angle_and_length():
    gan = drawing_gan()
    start, end = np.array([[3, 0, 0, 0, 0, 0], [0, 0, 5, 0, 0, 0]], "float32")
    path = gan.interpolate_latents([start, end], 4)
    np.testing.assert_allclose(lengths(path), [3, 3.5, 4, 4.5, 5], rtol=1e-6)
    np.testing.assert_allclose(angles(path), np.pi / 8, rtol=1e-5)
    np.testing.assert_allclose(
        path[2][[0, 2]], 4 * np.sqrt([0.5, 0.5]), rtol=1e-6
    )


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
def test_latents_on_one_line_through_zero_give_no_nan(distribution, latent_dim):
    gan = drawing_gan(distribution, (latent_dim,))
    (z,) = gan.sample_latents(1, seed=0)
    for factor in (1, 2, 1 + 1e-7, 0, -1, -3, -1 - 1e-7):
        for pair in ([z, factor * z], [factor * z, z]):
            pair = np.array(pair, "float32")
            path = gan.interpolate_latents(pair, 10)
            assert np.isfinite(path).all()
            gans.assert_same([pair], [path[::10]])
            steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
            assert steps.max() < 0.15 * np.pi * lengths(pair).max()
            if factor >= 0:
                expected = np.linspace(*pair, 11)
                np.testing.assert_allclose(path, expected, atol=1e-6)
    zeros = gan.interpolate_latents(np.zeros((2, latent_dim)), 3)
    assert (zeros == 0).all()


@pytest.mark.parametrize("factor", [-1, -2])
def test_opposite_normal_latents_are_joined_around_zero(factor):
    gan = drawing_gan()
    for z in [*gan.sample_latents(3, seed=0), np.eye(6)[2], np.ones(6)]:
        path = gan.interpolate_latents([z, factor * z], 6)
        assert lengths(path).min() >= np.linalg.norm(z) * (1 - 1e-6)
        np.testing.assert_allclose(angles(path), np.pi / 6, rtol=1e-3)


@pytest.mark.parametrize(
    "latents, steps, message",
    [
        (np.zeros((1, 6)), 5, r"at least 2.*\(1, 6\)"),
        (np.zeros((3, 7)), 5, r"\('number', 6\).*\(3, 7\)"),
        (np.zeros((3, 6)), 0, "`steps`.*steps=0"),
    ],
)
def test_invalid_latents_or_steps_raise_an_error(latents, steps, message):
    with pytest.raises(ValueError, match=message):
        drawing_gan().interpolate_latents(latents, steps)
