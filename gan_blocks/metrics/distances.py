"""How close generated images are to real ones, by the features of both.

The features are vectors, one for each image, of any network that looks at
images; all of this is NumPy in float64. A distance depends on the features,
on how images were resized for them and on how many there were, so that two
distances can be compared only if all three are the same.
"""

import warnings

import numpy as np

_CHUNK = 1024  # Rows of a matrix of distances that are in memory at a time.


class GaussianFit:
    """The mean and the covariance of features that come in batches.

    Nothing is kept but the two; they are merged batch by batch without the
    cancellation of a sum of squares.

    Attributes:
        number: How many feature vectors there were.
        mean: Array of float64, `(features,)`; `None` at first.
        covariance: Array of float64, `(features, features)`, with Bessel's
            correction (divided by `number - 1`).

    Example:

    ```python
    import numpy as np
    from gan_blocks.metrics import GaussianFit

    fit = GaussianFit()
    for batch in np.random.default_rng(0).normal(size=(10, 64, 5)):
        fit.update(batch)
    assert fit.number == 640 and fit.covariance.shape == (5, 5)
    ```

    Reference:
        Chan, Golub, LeVeque, 1979, Updating Formulae and a Pairwise Algorithm
        for Computing Sample Variances,
        http://i.stanford.edu/pub/cstr/reports/cs/tr/79/773/CS-TR-79-773.pdf
    """

    def __init__(self):
        self.number = 0
        self.mean = None
        self._scatter = None

    def update(self, features):
        """Takes in a batch of features, `(number, features)`.

        Raises:
            ValueError: If they are not such an array of finite numbers, or
                not as many features as before.
        """
        features = _checked(features)
        number, mean = len(features), features.mean(axis=0)
        centred = features - mean
        scatter = centred.T @ centred
        if self.number:
            _check_alike(self.mean, mean)
            total = self.number + number
            shift = mean - self.mean
            scatter += np.outer(shift, shift) * self.number * number / total
            scatter += self._scatter
            mean = self.mean + shift * number / total
        self.number += number
        self.mean, self._scatter = mean, scatter

    @property
    def covariance(self):
        """The covariance; there must have been two feature vectors."""
        if self.number < 2:
            raise ValueError(
                "A covariance takes at least 2 feature vectors. Received: "
                f"{self.number}"
            )
        return self._scatter / (self.number - 1)


def frechet_distance(real, fake):
    """Returns the squared Frechet distance of two Gaussian fits.

    With the features of Inception it is called FID. It is 0 for equal
    distributions, but positive for two samples of the same one, the more so
    the fewer there are: compare only among equal numbers of images.

    Args:
        real: `GaussianFit` of the real images' features.
        fake: `GaussianFit` of the generated images' features.

    Returns:
        Float of at least 0, in squared units of the features.

    Raises:
        ValueError: If they have different numbers of features, or one has
            fewer than 2 vectors.

    Warns:
        UserWarning: If one has no more vectors than features, which are then
            too few to tell its covariance.

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
        Dowson, Landau, 1982, The Frechet Distance between Multivariate Normal
        Distributions, https://doi.org/10.1016/0047-259X(82)90077-X
    """
    covariances = real.covariance, fake.covariance
    _check_alike(real.mean, fake.mean)
    if min(real.number, fake.number) <= len(real.mean):
        warnings.warn(
            f"The Frechet distance of {len(real.mean)} features is taken from "
            f"{real.number} real and {fake.number} generated images: with no "
            "more images than features it is far too large. Use more images, "
            "or the kernel distance.",
            stacklevel=2,
        )
    # The trace of the root of a product is that of a symmetric matrix, whose
    # eigenvalues are real, and negative only by rounding.
    values, vectors = np.linalg.eigh(covariances[0])
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    values = np.linalg.eigvalsh(root @ covariances[1] @ root)
    shift = real.mean - fake.mean
    distance = (
        shift @ shift
        + np.trace(covariances[0])
        + np.trace(covariances[1])
        - 2 * np.sqrt(values.clip(0)).sum()
    )
    return max(float(distance), 0.0)


def kernel_distance(real_features, fake_features, block_size=1000, seed=0):
    """Returns the squared kernel distance and its standard error.

    The maximum mean discrepancy under the polynomial kernel
    `(x @ y / features + 1) ** 3`; with the features of Inception it is called
    KID. The estimate is unbiased, so it does not depend on the number of
    images, and may be negative if there is no difference. It is the mean over
    disjoint blocks of images, drawn at random, which are independent: their
    spread gives the standard error.

    Args:
        real_features: Array `(number, features)`.
        fake_features: Array `(number, features)`; the numbers may differ.
        block_size: Images in a block, at least 2. Where there are not enough
            for two blocks, two of half of the images are taken. Defaults to
            1000.
        seed: Integer seed of the blocks. Defaults to 0.

    Returns:
        `(distance, standard_error)`, two floats.

    Raises:
        ValueError: If they have different numbers of features, or one has
            fewer than 4 vectors.

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
    real, fake = _checked(real_features), _checked(fake_features)
    _check_alike(real[0], fake[0])
    number = min(len(real), len(fake))
    if block_size < 2 or number < 4:
        raise ValueError(
            "`block_size` must be at least 2, and there must be 4 images of "
            f"each kind. Received: block_size={block_size}, {len(real)} real "
            f"and {len(fake)} generated images"
        )
    size = min(block_size, number // 2)
    random = np.random.default_rng(seed)
    real, fake = random.permutation(real), random.permutation(fake)
    blocks = [
        _discrepancy(real[i : i + size], fake[i : i + size])
        for i in range(0, number - size + 1, size)
    ]
    error = np.std(blocks, ddof=1) / np.sqrt(len(blocks))
    return float(np.mean(blocks)), float(error)


def _discrepancy(real, fake):
    """Returns the unbiased estimate for as many real as fake features."""

    def kernel(one, other):
        return (one @ other.T / one.shape[1] + 1) ** 3

    def mean_of_pairs(features):
        number = len(features)
        values = kernel(features, features)
        return (values.sum() - np.trace(values)) / (number * (number - 1))

    across = kernel(real, fake).mean()
    return mean_of_pairs(real) + mean_of_pairs(fake) - 2 * across


def precision_recall(real_features, fake_features, neighbours=3):
    """Returns how many images are good, and how much of the data is covered.

    Each set of images is taken for the region of the spheres around its
    features that reach to the `neighbours`-th nearest other one. Precision is
    the share of the generated images within the real ones' region, recall
    the share of the real ones within that of the generated.

    Args:
        real_features: Array `(number, features)`.
        fake_features: Array `(number, features)`; best as many.
        neighbours: Integer from 1. Defaults to 3.

    Returns:
        `(precision, recall)`, two floats in [0, 1].

    Raises:
        ValueError: If they have different numbers of features, or one has
            no more vectors than `neighbours`.

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
    real, fake = _checked(real_features), _checked(fake_features)
    _check_alike(real[0], fake[0])
    if not 1 <= neighbours < min(len(real), len(fake)):
        raise ValueError(
            "`neighbours` must be at least 1 and less than the number of "
            f"images of each kind. Received: neighbours={neighbours}, "
            f"{len(real)} real and {len(fake)} generated images"
        )
    return (
        _share_within(fake, real, neighbours),
        _share_within(real, fake, neighbours),
    )


def _share_within(features, others, neighbours):
    """Returns the share of features in a sphere around one of the others."""
    radii = np.concatenate(
        [
            # The nearest of all is the image itself.
            np.partition(distances, neighbours, axis=1)[:, neighbours]
            for distances in _squared_distances(others, others)
        ]
    )
    within = [
        (distances <= radii).any(axis=1)
        for distances in _squared_distances(features, others)
    ]
    return float(np.concatenate(within).mean())


def _squared_distances(features, others):
    """Yields the rows of the matrix of squared distances, chunk by chunk."""
    # Around zero, so that little cancels.
    centre = others.mean(axis=0)
    features, others = features - centre, others - centre
    squares = np.square(others).sum(axis=1)
    for i in range(0, len(features), _CHUNK):
        rows = features[i : i + _CHUNK]
        products = rows @ others.T
        yield np.square(rows).sum(axis=1)[:, None] + squares - 2 * products


def mode_coverage(labels, num_classes):
    """Returns how many classes are there, and how unevenly.

    Args:
        labels: Integer array, the classes that a classifier gives to generated
            images.
        num_classes: How many classes there are, equally frequent in the data.

    Returns:
        `(covered, divergence)`: the number of classes that occur, and the
        Kullback-Leibler divergence of their histogram from equal shares, in
        nats: 0 if all are equally frequent, `log(num_classes)` if there is
        only one.

    Raises:
        ValueError: If there are no labels, or one is out of range.

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
            f"`labels` must be at least one integer from 0 to {num_classes - 1}"
            f". Received: {labels[:10]}"
        )
    counts = np.bincount(labels, minlength=num_classes)
    shares = counts[counts > 0] / len(labels)
    return len(shares), float((shares * np.log(shares * num_classes)).sum())


def _checked(features):
    features = np.asarray(features, "float64")
    if features.ndim != 2 or not features.size:
        raise ValueError(
            "Features must have the shape (number, features). Received: "
            f"features of shape {features.shape}"
        )
    if not np.isfinite(features).all():
        raise ValueError("Features must be finite. Received: NaN or infinity")
    return features


def _check_alike(real, fake):
    if len(real) != len(fake):
        raise ValueError(
            "Both must have the same number of features. Received: "
            f"{len(real)} and {len(fake)}"
        )
