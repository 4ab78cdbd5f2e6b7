"""Kinds of data that Keras alone would not accept."""

import keras
import numpy as np
import pytest
from support import gans

from gan_blocks import GAN

pytestmark = [
    pytest.mark.every_backend,
    pytest.mark.filterwarnings("ignore:Your input ran out of data"),
    pytest.mark.filterwarnings("ignore:The real images range"),
]

IMAGES = gans.images(16)
LABELS = np.arange(16) % 3


def conditional():
    return gans.compiled(GAN(*gans.conditional_networks(), num_classes=3))


def loader(*arrays):
    torch = pytest.importorskip("torch")
    tensors = [torch.from_numpy(array) for array in arrays]
    data = torch.utils.data.TensorDataset(*tensors)
    if len(tensors) == 1:
        data = tensors[0]  # A data set of bare images.
    return torch.utils.data.DataLoader(data, batch_size=8)


@pytest.mark.slow  # The import of torch takes seconds.
def test_a_data_loader_yields_images_or_pairs():
    gan = gans.compiled()
    images = loader(IMAGES)
    gan.fit(images, epochs=2, shuffle=False, verbose=0, validation_data=images)
    assert int(gan.optimizer.iterations) == 4
    gan.evaluate(images, verbose=0)
    assert next(iter(images)).shape == (8, 4, 4, 1)  # It has not changed.
    conditional().fit(loader(IMAGES, LABELS), shuffle=False, verbose=0)


@pytest.mark.parametrize("form", [tuple, list])
def test_a_python_generator_yields_images_or_pairs(form):
    gan = gans.compiled()
    images = (IMAGES[:8] for _ in range(4))
    gan.fit(images, steps_per_epoch=2, epochs=2, shuffle=False, verbose=0)
    assert int(gan.optimizer.iterations) == 4
    gan.evaluate((IMAGES[:8] for _ in range(2)), verbose=0)
    pairs = (form([IMAGES[:8], LABELS[:8]]) for _ in range(2))
    conditional().fit(pairs, shuffle=False, verbose=0)


def test_images_from_a_generator_train_like_an_array():
    results = []
    for data in (IMAGES, (batch for batch in (IMAGES[:8], IMAGES[8:]))):
        keras.utils.set_random_seed(0)
        gan = gans.compiled()
        batch_size = 8 if data is IMAGES else None
        gan.fit(data, batch_size=batch_size, shuffle=False, verbose=0)
        results.append(gans.values(gan.weights))
    gans.assert_same(*results)


@pytest.mark.parametrize("dtype", ["uint8", "bool", "float64", "float16"])
def test_images_may_be_numbers_of_every_dtype(dtype):
    results = []
    ones = IMAGES[:8] > 0
    for images in (ones.astype(dtype), ones.astype("float32")):
        keras.utils.set_random_seed(0)
        gan = gans.compiled(run_eagerly=True)
        gan.fit(images, batch_size=8, shuffle=False, verbose=0)
        results.append(gans.values(gan.weights))
    gans.assert_same(*results)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "uint16"])
def test_labels_may_have_every_integer_dtype(dtype):
    gan = conditional()
    gan.fit(IMAGES, LABELS.astype(dtype), verbose=0)
    gan.fit(IMAGES, LABELS.tolist(), verbose=0)
