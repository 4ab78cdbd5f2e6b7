import numpy as np
import pytest
import scipy.linalg
from scipy.spatial.distance import cdist

from gan_blocks import metrics


def correlated(number, features, seed):
    random = np.random.default_rng(seed)
    mixing = random.normal(size=(features, features)) / features**0.5
    return random.normal(size=(number, features)) @ mixing + random.normal()


def fit(features, batch=100):
    result = metrics.GaussianFit()
    for i in range(0, len(features), batch):
        result.update(features[i : i + batch])
    return result


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_a_fit_in_batches_equals_numpys_mean_and_covariance(batch):
    features = correlated(300, 5, seed=0)
    result = fit(features, batch)
    assert result.count == 300
    np.testing.assert_allclose(result.mean, features.mean(0), rtol=1e-12)
    np.testing.assert_allclose(
        result.covariance, np.cov(features.T), rtol=1e-10, atol=1e-12
    )


def test_a_large_mean_does_not_reduce_the_precision_of_the_covariance():
    features = correlated(300, 3, seed=0)
    far = fit((features + 1e7).astype("float64"), 16)
    np.testing.assert_allclose(far.covariance, np.cov(features.T), rtol=1e-6)


def test_frechet_distance_equals_the_formula_with_scipys_square_root():
    real, fake = fit(correlated(500, 20, seed=1)), fit(correlated(400, 20, 2))
    root = scipy.linalg.sqrtm(real.covariance @ fake.covariance)
    expected = (
        np.sum((real.mean - fake.mean) ** 2)
        + np.trace(real.covariance + fake.covariance)
        - 2 * np.trace(root).real
    )
    distance = metrics.frechet_distance(real, fake)
    np.testing.assert_allclose(distance, expected, rtol=1e-8)
    reverse = metrics.frechet_distance(fake, real)
    np.testing.assert_allclose(reverse, distance, rtol=1e-8)


def test_frechet_distance_of_scaled_and_shifted_features_is_known():
    features = correlated(500, 6, seed=3)
    real, fake = fit(features), fit(3 * features + 2)
    # The roots of the covariances C and 9 C commute, so the distance is
    # |3 m + 2 - m|^2 + trace (3 C^(1/2) - C^(1/2))^2.
    expected = np.sum((2 * real.mean + 2) ** 2) + 4 * np.trace(real.covariance)
    distance = metrics.frechet_distance(real, fake)
    np.testing.assert_allclose(distance, expected, rtol=1e-9)
    assert metrics.frechet_distance(real, real) < 1e-10


def test_frechet_distance_of_diagonal_covariances_is_known():
    # Two points per axis: means 0 and variances 2 a^2 / 3 and 2 b^2 / 3.
    real = np.array([[2.0, 0], [-2, 0], [0, 3], [0, -3]])
    fake = np.array([[5.0, 0], [-5, 0], [0, 1], [0, -1]])
    distance = metrics.frechet_distance(fit(real), fit(fake))
    np.testing.assert_allclose(distance, (3**2 + 2**2) * 2 / 3, rtol=1e-9)


def test_frechet_distance_warns_about_too_few_images():
    few = fit(correlated(5, 20, seed=1))
    with pytest.warns(UserWarning, match="5 real and 500 generated"):
        distance = metrics.frechet_distance(few, fit(correlated(500, 20, 1)))
    assert np.isfinite(distance) and distance > 0


def test_kernel_distance_is_the_mean_of_the_double_sums_of_the_paper():
    real, fake = correlated(8, 3, seed=0), correlated(8, 3, seed=1)
    distance, error = metrics.kernel_distance(real, fake, block_size=4, seed=5)

    def kernel(x, y):
        return (sum(a * b for a, b in zip(x, y, strict=True)) / 3 + 1) ** 3

    random = np.random.default_rng(5)
    real, fake = random.permutation(real), random.permutation(fake)
    blocks = []
    for start in (0, 4):
        x, y = real[start : start + 4], fake[start : start + 4]
        pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
        blocks.append(
            sum(kernel(x[i], x[j]) for i, j in pairs) / 12
            + sum(kernel(y[i], y[j]) for i, j in pairs) / 12
            - sum(2 * kernel(a, b) for a in x for b in y) / 16
        )
    np.testing.assert_allclose(distance, sum(blocks) / 2)
    np.testing.assert_allclose(error, abs(blocks[0] - blocks[1]) / 2)


def test_kernel_distance_is_unbiased_and_its_error_is_realistic():
    ratios = []
    for seed in range(40):
        random = np.random.default_rng(seed)
        real, fake = random.normal(size=(2, 600, 4))
        distance, error = metrics.kernel_distance(real, fake, block_size=30)
        ratios.append(distance / error)
    # Of 40 values with mean 0 and deviation 1, the mean is within 3 errors.
    assert abs(np.mean(ratios)) < 3 / 40**0.5
    assert 0.7 < np.std(ratios) < 1.5


def test_precision_and_recall_equal_those_of_full_distance_matrices():
    # More than 1024 images, because distances are computed in chunks of them.
    features = np.random.default_rng(0).normal(size=(1500, 2))
    real, fake = features[:1400], 2 * features[1400:]

    def fraction_inside(features, centers):
        radii = np.sort(cdist(centers, centers), axis=1)[:, 2]
        return (cdist(features, centers) <= radii).any(axis=1).mean()

    expected = fraction_inside(fake, real), fraction_inside(real, fake)
    assert 0 < expected[0] < 1 and 0 < expected[1] < 1
    assert metrics.precision_recall(real, fake, 2) == pytest.approx(expected)


def test_mode_coverage_returns_the_classes_and_their_imbalance():
    assert metrics.mode_coverage(np.arange(10).repeat(3), 10) == (10, 0.0)
    covered, divergence = metrics.mode_coverage([4] * 5, 10)
    assert (covered, divergence) == (1, pytest.approx(np.log(10)))
    covered, divergence = metrics.mode_coverage([0, 0, 0, 1], 2)
    expected = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    assert (covered, divergence) == (2, pytest.approx(expected))


THREE = np.ones((3, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit(np.zeros(3)), "shape .images, features."),
        (lambda: fit(np.full((3, 2), np.nan)), "finite"),
        (lambda: fit(np.zeros((1, 2))).covariance, "at least 2"),
        (
            lambda: metrics.frechet_distance(fit(THREE), fit(THREE[:, :1])),
            "same number of features",
        ),
        (lambda: metrics.kernel_distance(THREE, THREE), "at least 4 real"),
        (lambda: metrics.precision_recall(THREE, THREE), "`neighbors`"),
        (lambda: metrics.mode_coverage([0, 10], 10), "from 0 to 9"),
        (lambda: metrics.mode_coverage([], 10), "at least one"),
    ],
)
def test_errors_say_what_is_missing(call, message):
    with pytest.raises(ValueError, match=message):
        call()
