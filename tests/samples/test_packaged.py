import socket
import sys
from unittest import mock

import numpy as np
import pytest
from skimage.data import lfw_subset
from sklearn.datasets import load_digits

from gan_blocks import samples


def test_digits_have_the_format_of_mnist():
    digits = samples.digits()
    assert digits.shape == (1797, 28, 28, 1)
    assert digits.dtype == np.uint8
    assert digits.min() == 0
    assert digits.max() == 255
    border = np.ones((28, 28), bool)
    border[3:-3, 3:-3] = False
    assert not digits[:, border].any()
    assert 20 < digits.mean() < 60  # MNIST's is 33


def test_digits_are_the_enlarged_digits_of_scikit_learn():
    original = load_digits().images / 16 * 255
    # Centers of the cells of 2.5 by 2.5 pixels, which start at pixel 4.
    centers = (4 + 2.5 * (np.arange(8) + 0.5)).astype(int)
    found = samples.digits()[:, centers[:, None], centers, 0].astype(float)
    assert np.corrcoef(found.ravel(), original.ravel())[0, 1] > 0.98
    turned = found.transpose(0, 2, 1)
    assert np.corrcoef(turned.ravel(), original.ravel())[0, 1] < 0.9


def test_labels_match_the_digits():
    digits, labels = samples.digits(labels=True)
    np.testing.assert_array_equal(digits, samples.digits())
    np.testing.assert_array_equal(labels, load_digits().target)
    assert labels.dtype == np.int32
    means = [digits[labels == digit].mean(axis=0) for digit in range(10)]
    nearest = [
        np.argmin([((digit - mean) ** 2).sum() for mean in means])
        for digit in digits[::10].astype(float)
    ]
    assert (nearest == labels[::10]).mean() > 0.85


def test_faces_are_gray_in_three_channels():
    faces = samples.faces()
    assert faces.shape == (100, 28, 28, 3)
    assert faces.dtype == np.uint8
    np.testing.assert_array_equal(faces[..., 0], faces[..., 1])
    np.testing.assert_array_equal(faces[..., 0], faces[..., 2])
    assert 80 < faces.mean() < 150
    assert faces.std(axis=(1, 2, 3)).min() > 10


def test_faces_are_the_first_half_of_the_subset():
    subset = lfw_subset()
    # For each of 28 pixels, the nearest of 25.
    nearest = ((np.arange(28) + 0.5) * 25 / 28).astype(int)
    original = subset[:, nearest[:, None], nearest]
    faces = samples.faces()[..., 0].astype(float)
    assert np.corrcoef(faces.ravel(), original[:100].ravel())[0, 1] > 0.95
    assert abs(np.corrcoef(faces.ravel(), original[100:].ravel())[0, 1]) < 0.5
    mean = faces.mean(axis=0).ravel()

    def similarity(images):
        return np.mean([np.corrcoef(mean, i.ravel())[0, 1] for i in images])

    assert similarity(original[:100]) > 0.4 > similarity(original[100:]) + 0.2


def test_faces_need_no_network(monkeypatch):
    monkeypatch.setattr(socket, "socket", mock.Mock(side_effect=OSError))
    assert len(samples.faces()) == 100


@pytest.mark.parametrize(
    ("load", "module"),
    [(samples.digits, "sklearn.datasets"), (samples.faces, "skimage.data")],
)
def test_a_missing_package_is_an_error_that_says_what_to_install(
    load, module, monkeypatch
):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match="pip install scikit-"):
        load()
