"""Points in the plane."""

import keras
import numpy as np
import pytest

from gan_blocks import GAN, networks, toy

MIXTURES = {"ring": toy.ring, "grid": toy.grid, "spiral": toy.spiral}


@pytest.fixture(params=MIXTURES)
def mixture(request):
    return MIXTURES[request.param]()


def test_samples_are_float32_points_near_the_square_from_minus_1_to_1(mixture):
    points = mixture.sample(10_000, seed=0)
    assert points.shape == (10_000, 2) and points.dtype == np.float32
    assert 0.9 < np.abs(points).max() < 1.1


def test_a_seed_draws_the_same_points_again(mixture):
    first = mixture.sample(50, seed=-3)
    assert np.array_equal(first, mixture.sample(50, seed=-3))
    assert not np.array_equal(first, mixture.sample(50, seed=4))
    assert not np.array_equal(mixture.sample(50), mixture.sample(50))


def test_samples_of_a_mixture_find_all_modes_and_are_good(mixture):
    measured = mixture.measure(mixture.sample(2500, seed=0))
    assert measured["modes"] == 1.0
    assert 0.98 < measured["good"] <= 1.0


def test_the_ring_and_the_grid_have_the_sizes_of_the_papers():
    ring, grid = toy.ring(), toy.grid()
    assert ring.centers.shape == (8, 2) and ring.deviation == 0.01
    assert np.allclose(np.linalg.norm(ring.centers, axis=1), 1)
    # PacGAN's grid has means from -4 to 4 and variances of 0.0025.
    assert grid.centers.shape == (25, 2) and 4 * grid.deviation == 0.05
    assert np.allclose(np.unique(grid.centers), [-1, -0.5, 0, 0.5, 1])


def test_points_in_one_mode_are_a_collapse_to_this_mode():
    ring = toy.ring()
    points = np.repeat(ring.centers[:1], 100, axis=0)
    assert ring.measure(points) == {"modes": 1 / 8, "good": 1.0}


def test_a_point_is_good_up_to_three_standard_deviations():
    pair = toy.Mixture([[0, 0], [1, 1]], deviation=0.1)
    points = [[0.299, 0], [0.301, 0], [0.22, 0.22], [1, 1.29]]
    assert pair.measure(points) == {"modes": 1.0, "good": 0.5}
    assert pair.measure(points[1:3]) == {"modes": 0.0, "good": 0.0}


def test_noise_finds_the_modes_of_the_grid_with_few_good_points():
    noise = np.random.default_rng(0).uniform(-1, 1, (10_000, 2))
    measured = toy.grid().measure(noise)
    assert measured["modes"] == 1.0 and measured["good"] < 0.05


def test_half_of_the_spiral_has_half_of_the_modes():
    spiral = toy.spiral()
    measured = spiral.measure(spiral.centers[:250])
    assert measured == {"modes": 13 / 25, "good": 1.0}


def test_the_centers_of_the_spiral_have_even_distances():
    steps = np.diff(toy.spiral().centers, axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    assert lengths.max() < 1.01 * lengths.min()


def test_points_that_are_not_finite_are_not_good(mixture):
    points = mixture.sample(4, seed=0)
    good = mixture.measure(points[2:])["good"]
    points[:2] = [[np.nan, 0], [np.inf, 0]]
    assert good and mixture.measure(points)["good"] == good / 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: toy.ring(0), "`modes` must be a positive integer"),
        (lambda: toy.ring(deviation=0), "`deviation` must be above 0"),
        (lambda: toy.grid(1), "`side` must be an integer of at least 2"),
        (lambda: toy.spiral(0), "`turns` must be above 0"),
        (lambda: toy.Mixture([0, 1], 0.1), "centers of shape \\(2,\\)"),
        (lambda: toy.Mixture([[0, 1]], 0.1, [0, 1]), "`modes` must be one"),
        (lambda: toy.ring().sample(0), "`number` must be a positive integer"),
        (lambda: toy.ring().sample(9, seed="a"), "`seed` must be an integer"),
        (lambda: toy.ring().measure(np.zeros((4, 3))), "points of shape"),
        (lambda: toy.ring().measure(np.zeros((0, 2))), "points of shape"),
    ],
)
def test_wrong_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.every_backend
def test_a_gan_trains_on_points_is_saved_and_generates_them(tmp_path):
    ring = toy.ring()
    gan = GAN(
        networks.mlp_generator((2,), 4, (8,), output_activation=None),
        networks.mlp_discriminator((2,), (8,)),
        ema_momentum=0.9,
        seed=0,
    )
    gan.compile("adam", "adam")
    before = gan.generator.get_weights()
    history = gan.fit(ring.sample(64, seed=0), batch_size=16, verbose=0)
    assert np.isfinite([*history.history.values()]).all()
    assert not np.array_equal(before[0], gan.generator.get_weights()[0])
    points = gan.generate(100, seed=0)
    assert points.shape == (100, 2)
    assert set(ring.measure(points)) == {"modes", "good"}
    gan.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    assert np.array_equal(loaded.generate(100, seed=0), points)
