"""The metrics against closed forms, scipy and loops that follow the papers."""

import numpy as np
import pytest
import scipy.linalg

from gan_blocks import metrics


def correlated(number, features, seed):
    """Draws features with means, scales and correlations of their own."""
    random = np.random.default_rng(seed)
    mixing = random.normal(size=(features, features)) / features**0.5
    return random.normal(size=(number, features)) @ mixing + random.normal()


def fit(features, batch=100):
    result = metrics.GaussianFit()
    for i in range(0, len(features), batch):
        result.update(features[i : i + batch])
    return result


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_a_fit_in_batches_is_that_of_all_at_once(batch):
    features = correlated(300, 5, seed=0)
    result = fit(features, batch)
    assert result.number == 300
    np.testing.assert_allclose(result.mean, features.mean(0), rtol=1e-12)
    np.testing.assert_allclose(
        result.covariance, np.cov(features.T), rtol=1e-10, atol=1e-12
    )


def test_a_fit_keeps_its_digits_far_from_zero():
    features = correlated(300, 3, seed=0)
    far = fit((features + 1e7).astype("float64"), 16)
    np.testing.assert_allclose(far.covariance, np.cov(features.T), rtol=1e-6)


def test_frechet_distance_is_that_of_scipys_square_root():
    real, fake = fit(correlated(500, 20, seed=1)), fit(correlated(400, 20, 2))
    root = scipy.linalg.sqrtm(real.covariance @ fake.covariance)
    expected = (
        np.sum((real.mean - fake.mean) ** 2)
        + np.trace(real.covariance + fake.covariance)
        - 2 * np.trace(root).real
    )
    distance = metrics.frechet_distance(real, fake)
    np.testing.assert_allclose(distance, expected, rtol=1e-8)
    np.testing.assert_allclose(
        metrics.frechet_distance(fake, real), distance, rtol=1e-8
    )


def test_frechet_distance_of_shifted_and_stretched_features_is_known():
    features = correlated(500, 6, seed=3)
    real = fit(features)
    np.testing.assert_allclose(
        metrics.frechet_distance(real, fit(features + 2.0)), 6 * 4, rtol=1e-9
    )
    # About the mean: the covariances are 1 and 9 times the same.
    stretched = fit(features.mean(0) + 3 * (features - features.mean(0)))
    np.testing.assert_allclose(
        metrics.frechet_distance(real, stretched),
        4 * np.trace(real.covariance),
        rtol=1e-9,
    )
    assert metrics.frechet_distance(real, real) < 1e-10


def test_few_images_are_warned_about_and_give_a_real_number():
    few = fit(correlated(5, 20, seed=1))
    with pytest.warns(UserWarning, match="5 real and 500 generated"):
        distance = metrics.frechet_distance(few, fit(correlated(500, 20, 1)))
    assert np.isfinite(distance) and distance > 0


def test_kernel_distance_is_the_mean_of_the_papers_double_sums():
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


def test_kernel_distance_is_unbiased_and_its_error_honest():
    ratios = []
    for seed in range(40):
        random = np.random.default_rng(seed)
        real, fake = random.normal(size=(2, 600, 4))
        distance, error = metrics.kernel_distance(real, fake, block_size=30)
        ratios.append(distance / error)
    # Forty numbers of mean 0 and deviation 1: the mean within 3 errors.
    assert abs(np.mean(ratios)) < 3 / 40**0.5
    assert 0.7 < np.std(ratios) < 1.5


def test_kernel_distance_sees_a_difference_that_a_gaussian_does_not():
    random = np.random.default_rng(0)
    real = random.exponential(size=(4000, 2)) - 1.0
    fake = random.normal(size=(4000, 2))
    assert metrics.frechet_distance(fit(real), fit(fake)) < 0.05
    distance, error = metrics.kernel_distance(real, fake, block_size=200)
    assert distance > 4 * error


def test_precision_and_recall_are_those_of_a_loop_over_spheres(monkeypatch):
    monkeypatch.setattr(metrics.distances, "_CHUNK", 7)
    features = np.random.default_rng(0).normal(size=(70, 2))
    real, fake = features[:40], 2 * features[40:]

    def share(features, others):
        def inside(x):
            for other in others:
                reach = sorted(np.linalg.norm(others - other, axis=1))[2]
                if np.linalg.norm(x - other) <= reach:
                    return True
            return False

        return sum(map(inside, features)) / len(features)

    expected = share(fake, real), share(real, fake)
    assert 0 < expected[0] < 1 and 0 < expected[1] < 1
    assert metrics.precision_recall(real, fake, 2) == pytest.approx(expected)


def test_a_generator_of_one_mode_is_precise_and_recalls_little():
    random = np.random.default_rng(0)
    real = random.normal(size=(500, 2)) * 0.1
    real[250:] += 10
    fake = random.normal(size=(500, 2)) * 0.1
    precision, recall = metrics.precision_recall(real, fake)
    assert precision > 0.9
    assert 0.4 < recall < 0.6


def test_mode_coverage_counts_classes_and_their_imbalance():
    assert metrics.mode_coverage(np.arange(10).repeat(3), 10) == (10, 0.0)
    covered, divergence = metrics.mode_coverage([4] * 5, 10)
    assert (covered, divergence) == (1, pytest.approx(np.log(10)))
    covered, divergence = metrics.mode_coverage([0, 0, 0, 1], 2)
    expected = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    assert (covered, divergence) == (2, pytest.approx(expected))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit(np.zeros(3)), "shape .number, features."),
        (lambda: fit(np.full((3, 2), np.nan)), "finite"),
        (lambda: fit(np.zeros((1, 2))).covariance, "at least 2"),
        (
            lambda: metrics.frechet_distance(
                fit(correlated(9, 2, 0)), fit(correlated(9, 3, 0))
            ),
            "same number of features",
        ),
        (
            lambda: metrics.kernel_distance(np.ones((3, 2)), np.ones((9, 2))),
            "4 images of each kind",
        ),
        (
            lambda: metrics.precision_recall(np.ones((3, 2)), np.ones((9, 2))),
            "`neighbours`",
        ),
        (lambda: metrics.mode_coverage([0, 10], 10), "from 0 to 9"),
        (lambda: metrics.mode_coverage([], 10), "at least one"),
    ],
)
def test_what_cannot_be_measured_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
