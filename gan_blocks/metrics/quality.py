"""All metrics of a GAN in one call."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from gan_blocks._checks import check_positive_integer
from gan_blocks.metrics.distances import (
    GaussianFit,
    frechet_distance,
    kernel_distance,
    mode_coverage,
    precision_recall,
)
from gan_blocks.metrics.features import FeatureExtractor

__all__ = ["Quality", "QualityResult"]

_BATCH_SIZE = 500  # Images in memory at a time.


@dataclasses.dataclass(frozen=True)
class QualityResult:
    """Values of the metrics, and the protocol of the measurement.

    Two results are comparable only if their protocols are equal.

    Attributes:
        values: Metrics by name, described in `Quality`.
        protocol: Everything that affects the values, such as the number of
            images and the features.

    Example:

    ```python
    from gan_blocks import metrics

    result = metrics.QualityResult({"kid": 0.25}, {"number_of_images": 5000})
    print(result)  # kid 0.25, then the protocol in parentheses
    ```
    """

    values: dict[str, float]
    protocol: dict[str, Any]

    def __str__(self) -> str:
        values = "  ".join(f"{k} {v:.4g}" for k, v in self.values.items())
        protocol = ", ".join(f"{k}: {v}" for k, v in self.protocol.items())
        return f"{values}\n({protocol})"


class Quality:
    """Measures the quality of a GAN by comparing its images with real ones.

    The metrics are:

    - `fid`: the Frechet distance (`frechet_distance`).
    - `kid`, `kid_error`: the kernel distance and its standard error
      (`kernel_distance`). Prefer `kid` to `fid` for few images.
    - `precision`, `recall`: the fraction of generated images that look real,
      and the fraction of real images that the GAN covers
      (`precision_recall`).
    - `modes`, `mode_kl`, if the model also returns logits: the number of
      generated classes, and how unevenly they are generated
      (`mode_coverage`).

    Args:
        real_images: Array `(images, height, width, channels)` of uint8, or of
            floats in the generator's range. Prefer images that were not used
            in training. Their features are computed once.
        features: `FeatureExtractor`, or its model. Defaults to `None`:
            InceptionV3.
        num_images: Number of generated images, at least 4. Do not compare
            distances for different numbers of images. A conditional GAN
            generates all classes in turn. Defaults to 10,000.
        seed: Integer seed of the latents, which are the same in each call.
            Defaults to 0.
        batch_statistics: See `GAN.generate`. Defaults to False.

    Raises:
        ValueError: If `num_images` is less than 4.

    Example:

    ```python
    import keras
    import numpy as np
    from gan_blocks import GAN, metrics, networks

    gan = GAN(
        networks.mlp_generator((8, 8, 1), latent_dim=4),
        networks.mlp_discriminator((8, 8, 1)),
    )
    real_images = np.random.default_rng(0).uniform(-1, 1, (200, 8, 8, 1))
    features = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.AveragePooling2D(4),
         keras.layers.Flatten()]
    )
    quality = metrics.Quality(real_images, features, num_images=200)
    result = quality(gan)
    print(result.values["kid"], result.protocol["number_of_images"])
    ```
    """

    def __init__(
        self,
        real_images: np.ndarray,
        features: FeatureExtractor | keras.Model | None = None,
        num_images: int = 10_000,
        seed: int = 0,
        batch_statistics: bool = False,
    ) -> None:
        if not isinstance(features, FeatureExtractor):
            features = FeatureExtractor(features)
        check_positive_integer("num_images", num_images, minimum=4)
        self.features = features
        self.num_images = num_images
        self.seed = seed
        self.batch_statistics = batch_statistics
        self._real = _Features(features)
        for i in range(0, len(real_images), _BATCH_SIZE):
            self._real.update(real_images[i : i + _BATCH_SIZE])

    def __call__(self, gan: Any) -> QualityResult:
        """Generates images and measures their quality.

        Args:
            gan: A `GAN`.
        """
        return self.evaluate_images(
            self._generate(gan),
            seed=self.seed,
            normalization="batch"
            if self.batch_statistics
            else "moving averages",
        )

    def _generate(self, gan: Any) -> Iterator[np.ndarray]:
        """Yields the generated images, all classes in turn."""
        latents = gan.sample_latents(self.num_images, self.seed)
        labels = None
        if gan.num_classes is not None:
            labels = np.arange(self.num_images) % gan.num_classes
        for start in range(0, self.num_images, _BATCH_SIZE):
            part = slice(start, start + _BATCH_SIZE)
            yield gan.generate(
                latents=latents[part],
                labels=None if labels is None else labels[part],
                batch_statistics=self.batch_statistics,
            )

    def evaluate_images(
        self, batches: Iterable[ArrayLike], **protocol: Any
    ) -> QualityResult:
        """Measures the quality of images from any source.

        Args:
            batches: Arrays of images, in the format of the real images.
            **protocol: Further entries of the result's protocol.
        """
        fake, real = _Features(self.features), self._real
        for images in batches:
            fake.update(images)
        kid, kid_error = kernel_distance(real.features, fake.features)
        precision, recall = precision_recall(real.features, fake.features)
        values = {
            "fid": frechet_distance(real.fit, fake.fit),
            "kid": kid,
            "kid_error": kid_error,
            "precision": precision,
            "recall": recall,
        }
        if fake.logits:
            logits = np.concatenate(fake.logits)
            modes, divergence = mode_coverage(
                logits.argmax(axis=1), logits.shape[1]
            )
            values |= {"modes": float(modes), "mode_kl": divergence}
        return QualityResult(
            values,
            {
                "number_of_images": fake.fit.count,
                "number_of_real_images": real.fit.count,
                **self.features.protocol,
                "backend": keras.backend.backend(),
                **protocol,
            },
        )


class _Features:
    """Collects the features of images, batch by batch."""

    def __init__(self, extract: FeatureExtractor) -> None:
        self.extract = extract
        self.fit = GaussianFit()
        self.batches: list[np.ndarray] = []
        self.logits: list[np.ndarray] = []

    def update(self, images: ArrayLike) -> None:
        features, logits = self.extract(images)
        self.fit.update(features)
        self.batches.append(features)
        if logits is not None:
            self.logits.append(logits)

    @property
    def features(self) -> np.ndarray:
        return np.concatenate(self.batches)
