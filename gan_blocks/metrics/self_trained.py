"""Features of a small network that needs no labels and no download."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from gan_blocks._checks import check_positive_integer
from gan_blocks._precision import dtype_policy
from gan_blocks.metrics.features import as_floats

__all__ = ["train_features"]

_FILTERS = (16, 32, 64, 128)
_FEATURES = 64  # Few features need few images.
_BATCH_SIZE = 64
_MAX_IMAGES = 5000  # Images that are used, drawn at random.
# Larger images are made smaller. Pretrained networks hardly see grain of single
# pixels, and would rank checkpoints differently if these features did.
_MAX_SIDE = 32


@dtype_policy("float32")
def train_features(
    images: np.ndarray, steps: int = 300, seed: int = 0
) -> keras.Model:
    """Trains a small network whose features need no labels and no download.

    Use it to compare the checkpoints of one run, on any images. The network
    learns to recognize damage: it sees images of the data set that are blurred,
    noisy, bent, blended with another image, or patched with another image, and
    it tells these kinds of damage apart. Generated images have similar faults.
    The 64 features are random projections of the means and standard deviations
    of all feature maps.

    The distances rank checkpoints much like the distances of a network trained
    on ImageNet. Compare only distances of the same network: keep the model, or
    save it with `model.save`.

    Args:
        images: Array `(images, height, width, channels)` of uint8, or of
            floats in [-1, 1]. At most 5,000 images are used, drawn at random.
            Images whose shorter side is over 32 pixels are made smaller.
        steps: Number of training steps with 64 images each. Defaults to 300,
            which takes about 10 seconds for color images of 64 pixels on one
            core.
        seed: Integer seed of the weights and of the damage. Defaults to 0.

    Returns:
        Keras model for `Quality` and `FeatureExtractor`. It takes images in
        [-1, 1] and returns features.

    Raises:
        ValueError: If there are fewer than 2 images, or if `steps` is not a
            positive integer.

    Example:

    ```python
    import numpy as np
    from gan_blocks import metrics

    real = np.random.default_rng(0).uniform(-1, 1, (100, 8, 8, 1))
    features = metrics.train_features(real, steps=2)
    quality = metrics.Quality(real, features, num_images=100)
    result = quality.evaluate_images([real])
    print(result.values["kid"])
    ```
    """
    images = np.asarray(images)
    check_positive_integer("steps", steps)
    if images.ndim != 4 or len(images) < 2:
        raise ValueError(
            "`images` must have the shape (images, height, width, channels) "
            f"with at least 2 images. Received: images of shape {images.shape}"
        )
    random = np.random.default_rng(seed)
    images = images[np.sort(random.permutation(len(images))[:_MAX_IMAGES])]
    images = _shrink(images)
    inputs = outputs = keras.Input(images.shape[1:])
    features = []
    for i, filters in enumerate(_FILTERS):
        outputs = keras.layers.Conv2D(
            filters,
            kernel_size=3,
            strides=1 if i == 0 else 2,
            padding="same",
            use_bias=False,
            kernel_initializer=keras.initializers.GlorotUniform(seed + i),
        )(outputs)
        outputs = keras.layers.BatchNormalization(momentum=0.9)(outputs)
        outputs = keras.layers.ReLU()(outputs)
        features += [ops.mean(outputs, (1, 2)), ops.std(outputs, (1, 2))]
    logits = keras.layers.Dense(
        1 + len(_DAMAGES),
        kernel_initializer=keras.initializers.GlorotUniform(seed),
    )(keras.layers.GlobalAveragePooling2D()(outputs))
    detector = keras.Model(inputs, logits)
    detector.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(2e-3, steps)
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    detector.fit(_DamagedImages(images, steps, seed), shuffle=False, verbose=0)  # pyright: ignore[reportArgumentType]
    model = keras.Model(inputs, keras.layers.Concatenate()(features))
    values = model.predict(images[:1000], _BATCH_SIZE, verbose=0)
    variance = values.var(axis=0)
    # Features that hardly vary among real images must not explode.
    variance += 1e-3 * variance.mean()
    normalize = keras.layers.Normalization(
        mean=values.mean(axis=0), variance=variance
    )
    # A random projection to fewer features changes the distances little.
    project = keras.layers.Dense(
        _FEATURES,
        use_bias=False,
        kernel_initializer=keras.initializers.Orthogonal(seed=seed),
    )
    outputs = project(normalize(model.output))
    return keras.Model(inputs, outputs, name="self_trained")


def _shrink(images: np.ndarray) -> np.ndarray:
    """Returns images of floats, of at most `_MAX_SIDE` pixels."""
    number, *sides, channels = images.shape
    scale = min(1, _MAX_SIDE / min(sides))
    size = [math.ceil(side * scale) for side in sides]
    small = np.empty((number, *size, channels), "float32")
    for i in range(0, number, _BATCH_SIZE):  # Few large floats in memory.
        part: Any = as_floats(images[i : i + _BATCH_SIZE])
        if scale < 1:
            part = ops.image.resize(
                part,
                size,
                interpolation="bicubic",
                antialias=True,
                data_format="channels_last",
            )
        small[i : i + _BATCH_SIZE] = ops.convert_to_numpy(part)
    return small


def _blur(images, random):
    """Removes high frequencies."""
    height, width = images.shape[1:3]
    y = np.fft.fftfreq(height)[:, None]
    x = np.fft.rfftfreq(width)
    sigma = random.uniform(0.5, 2.5, (len(images), 1, 1))
    keep = np.exp(-2 * (np.pi * sigma) ** 2 * (y**2 + x**2))[..., None]
    spectrum = np.fft.rfft2(images, axes=(1, 2))
    return np.fft.irfft2(spectrum * keep, s=(height, width), axes=(1, 2))


def _noise(images, random):
    deviation = random.uniform(0.05, 0.3, (len(images), 1, 1, 1))
    return images + deviation * random.standard_normal(images.shape)


def _warp(images, random):
    """Bends the images along waves."""
    number, height, width = images.shape[:3]
    y, x = np.mgrid[:height, :width]
    side = min(height, width)

    def wave():
        fy, fx = random.uniform(-2, 2, (2, number, 1, 1))
        phase = random.uniform(0, 2 * np.pi, (number, 1, 1))
        angle = 2 * np.pi * (fy * y / height + fx * x / width) + phase
        return random.uniform(0.03, 0.1, (number, 1, 1)) * side * np.sin(angle)

    rows = np.rint(y + wave()).clip(0, height - 1).astype(int)
    columns = np.rint(x + wave()).clip(0, width - 1).astype(int)
    return images[np.arange(number)[:, None, None], rows, columns]


def _blend(images, random):
    """Mixes each image with another one."""
    share = random.uniform(0.3, 0.7, (len(images), 1, 1, 1))
    return share * images + (1 - share) * np.roll(images, 1, axis=0)


def _patch(images, random):
    """Replaces a rectangle by that of another image."""
    number, height, width = images.shape[:3]
    inside = np.ones((number, height, width, 1), bool)
    for axis, side in ((1, height), (2, width)):
        shape = [number, 1, 1, 1]
        start = random.uniform(0, 0.7, shape) * side
        place = np.arange(side).reshape(
            [-1 if i == axis else 1 for i in range(4)]
        )
        inside &= (place >= start) & (
            place < start + random.uniform(0.2, 0.6, shape) * side
        )
    return np.where(inside, np.roll(images, 1, axis=0), images)


_DAMAGES = (_blur, _noise, _warp, _blend, _patch)


class _DamagedImages(keras.utils.PyDataset):
    """Batches in which each kind of damage is equally frequent."""

    def __init__(self, images: np.ndarray, steps: int, seed: int) -> None:
        super().__init__()
        self.images, self.steps, self.seed = images, steps, seed

    def __len__(self):
        return self.steps

    def __getitem__(self, index: int) -> Any:
        random = np.random.default_rng([self.seed, index])
        images = self.images[random.integers(0, len(self.images), _BATCH_SIZE)]
        labels = np.arange(_BATCH_SIZE) % (1 + len(_DAMAGES))
        damaged = images.copy()
        for label, damage in enumerate(_DAMAGES, 1):
            damaged[labels == label] = damage(images[labels == label], random)
        # Brightness, contrast and color must not reveal the damage.
        shape = (_BATCH_SIZE, 1, 1, 1)
        contrast = random.uniform(0.6, 1.4, shape)
        brightness = random.uniform(-0.3, 0.3, shape)
        color = random.uniform(-0.1, 0.1, (*shape[:3], images.shape[3]))
        return damaged * contrast + brightness + color, labels
