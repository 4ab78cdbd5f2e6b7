"""All the metrics of a GAN at once, with what they were taken from."""

import dataclasses

import keras
import numpy as np

from gan_blocks.images import from_uint8
from gan_blocks.metrics.distances import (
    GaussianFit,
    frechet_distance,
    kernel_distance,
    mode_coverage,
    precision_recall,
)
from gan_blocks.metrics.features import FeatureExtractor

_BATCH = 500  # Images in memory at a time.


@dataclasses.dataclass(frozen=True)
class QualityResult:
    """Values, and the protocol without which they mean nothing.

    Attributes:
        values: Dictionary of floats, as `Quality` describes them.
        protocol: Dictionary of what they were taken from: two results can be
            compared if their protocols are equal.

    Example:

    ```python
    from gan_blocks import metrics

    result = metrics.QualityResult({"kid": 0.25}, {"number_of_images": 5000})
    print(result)  # kid 0.25, and in brackets the protocol
    ```
    """

    values: dict
    protocol: dict

    def __str__(self):
        """Returns both in two lines."""
        values = "  ".join(f"{k} {v:.4g}" for k, v in self.values.items())
        protocol = ", ".join(f"{k}: {v}" for k, v in self.protocol.items())
        return f"{values}\n({protocol})"


class Quality:
    """Compares what a GAN generates with real images.

    The values of a result:

    - `fid`: the Frechet distance (`frechet_distance`);
    - `kid`, `kid_error`: the kernel distance and its standard error
      (`kernel_distance`), for few images the better one;
    - `precision`, `recall`: how many of the generated images look real, and
      how much of the real variety is generated (`precision_recall`);
    - `modes`, `mode_kl`, if the features come with logits: how many classes
      are generated, and how unevenly (`mode_coverage`).

    Args:
        real_images: Array `(number, height, width, channels)` of uint8, or of
            floats in the generator's range; best such as were not trained
            with. Their features are computed once.
        features: `FeatureExtractor`, or a Keras model for one. Defaults to
            `None`: InceptionV3.
        num_images: How many images to generate. Defaults to 10,000; distances
            of different numbers must not be compared.
        seed: Integer seed of the latents, the same at each call. Defaults to
            0.
        batch_statistics: As of `GAN.generate`. Defaults to `False`.

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
        real_images,
        features=None,
        num_images=10_000,
        seed=0,
        batch_statistics=False,
    ):
        if not isinstance(features, FeatureExtractor):
            features = FeatureExtractor(features)
        if num_images < 4:
            raise ValueError(
                "`num_images` must be at least 4. Received: "
                f"num_images={num_images}"
            )
        self.features = features
        self.num_images = num_images
        self.seed = seed
        self.batch_statistics = batch_statistics
        self._real = _Features(features)
        for i in range(0, len(real_images), _BATCH):
            self._real.update(real_images[i : i + _BATCH])

    def __call__(self, gan):
        """Returns the `QualityResult` of a `GAN`."""
        latents = gan.sample_latents(self.num_images, self.seed)
        how = "batch" if self.batch_statistics else "moving averages"
        return self.of_images(
            (
                gan.generate(
                    latents=latents[i : i + _BATCH],
                    batch_statistics=self.batch_statistics,
                )
                for i in range(0, len(latents), _BATCH)
            ),
            seed=self.seed,
            normalization=how,
        )

    def of_images(self, batches, **protocol):
        """Returns the `QualityResult` of images, from anywhere.

        Args:
            batches: Iterable of arrays of images like the real ones.
            **protocol: What else to write down in the result's protocol.
        """
        fake, real = _Features(self.features), self._real
        for images in batches:
            fake.update(images)
        kid, kid_error = kernel_distance(real.all, fake.all)
        precision, recall = precision_recall(real.all, fake.all)
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
                "number_of_images": fake.fit.number,
                "number_of_real_images": real.fit.number,
                **self.features.protocol,
                "backend": keras.backend.backend(),
                **protocol,
            },
        )


class _Features:
    """The features of images that come in batches."""

    def __init__(self, extract):
        self.extract = extract
        self.fit = GaussianFit()
        self.parts, self.logits = [], []

    def update(self, images):
        images = np.asarray(images)
        if images.dtype == np.uint8:
            images = from_uint8(images)
        features, logits = self.extract(images)
        self.fit.update(features)
        self.parts.append(features)
        if logits is not None:
            self.logits.append(logits)

    @property
    def all(self):
        return np.concatenate(self.parts)
