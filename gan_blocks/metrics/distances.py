"""Distances between the features of real and of generated images.

Features are vectors, one per image, from any network. All functions use NumPy
with float64. A distance depends on the network, on how the images were
resized for it, and on the number of images. Compare two distances only if all
three are the same.
"""

import warnings

import numpy as np
from numpy.typing import ArrayLike

from gan_blocks.metrics._neighbors import squared_distances

__all__ = [
    "GaussianFit",
    "frechet_distance",
    "kernel_distance",
    "mode_coverage",
    "precision_recall",
]


class GaussianFit:
    """Computes the mean and the covariance of features, batch by batch.

    The features are not stored. The update merges the statistics of batches,
    which is numerically stable, because it subtracts no large sums of squares.

    Attributes:
        count: Number of feature vectors.
        mean: Array of float64, `(features,)`. Empty before the first update.
        covariance: Array of float64, `(features, features)`, the unbiased
            estimate, which divides by `count - 1`.

    Example:

    ```python
    import numpy as np
    from gan_blocks.metrics import GaussianFit

    fit = GaussianFit()
    for batch in np.random.default_rng(0).normal(size=(10, 64, 5)):
        fit.update(batch)
    assert fit.count == 640 and fit.covariance.shape == (5, 5)
    ```

    Reference:
        Chan et al., 1979, Updating Formulae and a Pairwise Algorithm for
        Computing Sample Variances,
        http://i.stanford.edu/pub/cstr/reports/cs/tr/79/773/CS-TR-79-773.pdf
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = np.zeros(0)
        self._scatter = np.zeros((0, 0))

    def update(self, features: ArrayLike) -> None:
        """Adds a batch of features.

        Args:
            features: Array `(batch, features)`.

        Raises:
            ValueError: If the array has another shape or holds NaN or
                infinity, or if the number of features has changed.
        """
        features = _check_features(features)
        count, mean = len(features), features.mean(axis=0)
        centered = features - mean
        scatter = centered.T @ centered
        if self.count:
            # S_1 + S_2 + shift shift^T n_1 n_2 / (n_1 + n_2), Chan et al.
            _check_same_length(self.mean, mean)
            total = self.count + count
            shift = mean - self.mean
            scatter += np.outer(shift, shift) * self.count * count / total
            scatter += self._scatter
            mean = self.mean + shift * count / total
        self.count += count
        self.mean, self._scatter = mean, scatter

    @property
    def covariance(self) -> np.ndarray:
        """Covariance of the features. Needs two or more feature vectors."""
        if self.count < 2:
            raise ValueError(
                "A covariance needs at least 2 feature vectors. Received: "
                f"{self.count}"
            )
        return self._scatter / (self.count - 1)


def frechet_distance(real: GaussianFit, fake: GaussianFit) -> float:
    """Returns the squared Frechet distance between two Gaussian fits.

    With the features of Inception, it is called FID. The distance is 0 for
    equal distributions, but its estimate is positive even for two samples of
    the same distribution, and larger for smaller samples. Compare distances
    only for equal numbers of images.

    Args:
        real: Fit of the real images' features.
        fake: Fit of the generated images' features.

    Returns:
        Float of at least 0, in squared units of the features.

    Raises:
        ValueError: If the numbers of features differ, or if a fit has fewer
            than 2 feature vectors.

    Warns:
        UserWarning: If a fit has no more feature vectors than features, which
            is too few to estimate the covariance.

    Example:

    ```python
    import numpy as np
    from gan_blocks import metrics

    real, fake = metrics.GaussianFit(), metrics.GaussianFit()
    random = np.random.default_rng(0)
    real.update(random.normal(0.0, 1.0, (2000, 4)))
    fake.update(random.normal(1.0, 1.0, (2000, 4)))
    assert 3.5 < metrics.frechet_distance(real, fake) < 4.5
    ```

    Reference:
        Heusel et al., 2017, GANs Trained by a Two Time-Scale Update Rule
        Converge to a Local Nash Equilibrium, https://arxiv.org/abs/1706.08500;
        Dowson and Landau, 1982, The Frechet Distance between Multivariate
        Normal Distributions, https://doi.org/10.1016/0047-259X(82)90077-X
    """
    real_covariance, fake_covariance = real.covariance, fake.covariance
    _check_same_length(real.mean, fake.mean)
    if min(real.count, fake.count) <= len(real.mean):
        warnings.warn(
            f"The Frechet distance of {len(real.mean)} features was computed "
            f"from {real.count} real and {fake.count} generated images. It is "
            "far too large if there are no more images than features. Use "
            "more images, or the kernel distance.",
            stacklevel=2,
        )
    # |m_r - m_f|^2 + trace(C_r + C_f - 2 (C_r C_f)^(1/2)), Dowson and Landau.
    # C_r C_f has the same eigenvalues as the symmetric matrix R C_f R, where R
    # is the square root of C_r. Rounding can make them slightly negative.
    values, vectors = np.linalg.eigh(real_covariance)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    values = np.linalg.eigvalsh(root @ fake_covariance @ root)
    shift = real.mean - fake.mean
    distance = (
        shift @ shift
        + np.trace(real_covariance)
        + np.trace(fake_covariance)
        - 2 * np.sqrt(values.clip(0)).sum()
    )
    return max(float(distance), 0.0)


def kernel_distance(
    real_features: ArrayLike,
    fake_features: ArrayLike,
    block_size: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Returns the squared kernel distance and its standard error.

    The distance is the maximum mean discrepancy with the polynomial kernel
    `(x @ y / features + 1) ** 3`. With the features of Inception, it is called
    KID. The estimate is unbiased: its expected value does not depend on the
    number of images, and it can be negative for equal distributions. It is
    the mean over disjoint random blocks of images. The standard error is
    computed from the deviation between the blocks.

    Args:
        real_features: Array `(images, features)`.
        fake_features: Array `(images, features)`. The number of images may
            differ from the number of real images.
        block_size: Number of images in a block, at least 2. If there are too
            few images for two blocks, each block has half of the images.
            Defaults to 1000.
        seed: Integer seed of the blocks. Defaults to 0.

    Returns:
        `(distance, standard_error)`, two floats.

    Raises:
        ValueError: If the numbers of features differ, or if there are fewer
            than 4 real or generated images.

    Example:

    ```python
    import numpy as np
    from gan_blocks import metrics

    random = np.random.default_rng(0)
    real, fake = random.normal(size=(2, 4000, 8))
    distance, error = metrics.kernel_distance(real, fake)
    assert abs(distance) < 4 * error
    ```

    Reference:
        Binkowski et al., 2018, Demystifying MMD GANs,
        https://arxiv.org/abs/1801.01401
    """
    real, fake = _check_features(real_features), _check_features(fake_features)
    _check_same_length(real[0], fake[0])
    count = min(len(real), len(fake))
    if block_size < 2 or count < 4:
        raise ValueError(
            "`block_size` must be at least 2, with at least 4 real and 4 "
            f"generated images. Received: block_size={block_size}, {len(real)} "
            f"real and {len(fake)} generated images"
        )
    size = min(block_size, count // 2)
    random = np.random.default_rng(seed)
    real, fake = random.permutation(real), random.permutation(fake)
    blocks = [
        _squared_discrepancy(real[i : i + size], fake[i : i + size])
        for i in range(0, count - size + 1, size)
    ]
    error = np.std(blocks, ddof=1) / np.sqrt(len(blocks))
    return float(np.mean(blocks)), float(error)


def _squared_discrepancy(real: np.ndarray, fake: np.ndarray) -> float:
    """Returns the unbiased estimate of Binkowski et al."""

    def kernel(x, y):
        return (x @ y.T / x.shape[1] + 1) ** 3

    def mean_of_pairs(features):
        count = len(features)
        values = kernel(features, features)
        return (values.sum() - np.trace(values)) / (count * (count - 1))

    across = kernel(real, fake).mean()
    return mean_of_pairs(real) + mean_of_pairs(fake) - 2 * across


def precision_recall(
    real_features: ArrayLike, fake_features: ArrayLike, neighbors: int = 3
) -> tuple[float, float]:
    """Returns the precision and the recall of generated images.

    Precision measures quality: the fraction of generated images inside the
    region of the real images. Recall measures variety: the fraction of real
    images inside the region of the generated images. The region of a set of
    images is a union of spheres around their features. Each sphere reaches to
    the `neighbors`-th nearest feature vector of the same set.

    Args:
        real_features: Array `(images, features)`.
        fake_features: Array `(images, features)`, ideally with as many images.
        neighbors: Number of nearest neighbors inside each sphere, at least 1.
            Defaults to 3.

    Returns:
        `(precision, recall)`, two floats in [0, 1].

    Raises:
        ValueError: If the numbers of features differ, or if there are not
            more than `neighbors` real and generated images.

    Example:

    ```python
    import numpy as np
    from gan_blocks import metrics

    real = np.random.default_rng(0).normal(size=(500, 4))
    assert metrics.precision_recall(real, real) == (1.0, 1.0)
    assert metrics.precision_recall(real, real + 100) == (0.0, 0.0)
    ```

    Reference:
        Kynkaanniemi et al., 2019, Improved Precision and Recall Metric for
        Assessing Generative Models, https://arxiv.org/abs/1904.06991
    """
    real, fake = _check_features(real_features), _check_features(fake_features)
    _check_same_length(real[0], fake[0])
    if not 1 <= neighbors < min(len(real), len(fake)):
        raise ValueError(
            "`neighbors` must be at least 1 and less than the number of real "
            f"and of generated images. Received: neighbors={neighbors}, "
            f"{len(real)} real and {len(fake)} generated images"
        )
    return (
        _fraction_inside(fake, real, neighbors),
        _fraction_inside(real, fake, neighbors),
    )


def _fraction_inside(
    features: np.ndarray, centers: np.ndarray, neighbors: int
) -> float:
    """Returns the fraction of `features` inside a sphere around a center.

    Kynkaanniemi et al., equations 1 and 2.
    """
    radii = np.concatenate(
        [
            # Index 0 is the center itself.
            np.partition(distances, neighbors, axis=1)[:, neighbors]
            for distances in squared_distances(centers, centers)
        ]
    )
    inside = [
        (distances <= radii).any(axis=1)
        for distances in squared_distances(features, centers)
    ]
    return float(np.concatenate(inside).mean())


def mode_coverage(labels: ArrayLike, num_classes: int) -> tuple[int, float]:
    """Returns how many classes are generated, and how unevenly they are.

    Args:
        labels: Integer array, the predicted classes of generated images.
        num_classes: Number of classes, which must be equally frequent in the
            real data.

    Returns:
        `(covered, divergence)`. `covered` is the number of generated classes.
        `divergence` is the Kullback-Leibler divergence of their distribution
        from the uniform distribution, in nats. It is 0 if all classes are
        equally frequent, and `log(num_classes)` if there is only one.

    Raises:
        ValueError: If there are no labels, or if a label is out of range.

    Example:

    ```python
    from gan_blocks import metrics

    covered, divergence = metrics.mode_coverage([0, 1, 2, 2], num_classes=10)
    assert covered == 3
    ```

    Reference:
        Metz et al., 2017, Unrolled Generative Adversarial Networks,
        https://arxiv.org/abs/1611.02163
    """
    labels = np.asarray(labels).ravel()
    if not len(labels) or labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            "`labels` must hold at least one label, and all labels must be "
            f"integers from 0 to {num_classes - 1}. Received: {labels[:10]}"
        )
    counts = np.bincount(labels, minlength=num_classes)
    shares = counts[counts > 0] / len(labels)
    return len(shares), float((shares * np.log(shares * num_classes)).sum())


def _check_features(features: ArrayLike) -> np.ndarray:
    features = np.asarray(features, "float64")
    if features.ndim != 2 or not features.size:
        raise ValueError(
            "Features must have the shape (images, features). Received: "
            f"features of shape {features.shape}"
        )
    if not np.isfinite(features).all():
        raise ValueError("Features must be finite. Received: NaN or infinity")
    return features


def _check_same_length(real: np.ndarray, fake: np.ndarray) -> None:
    if len(real) != len(fake):
        raise ValueError(
            "Real and generated images must have the same number of features. "
            f"Received: {len(real)} and {len(fake)}"
        )
