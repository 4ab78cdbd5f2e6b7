import sys

import numpy as np
import pytest

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


def test_digits_shrink_back_to_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    original = load_digits().images / 16 * 255
    # Middles of the cells of 2.5 by 2.5 pixels, from pixel 4 on.
    middles = (4 + 2.5 * (np.arange(8) + 0.5)).astype(int)
    found = samples.digits()[:, middles[:, None], middles, 0].astype(float)
    assert np.corrcoef(found.ravel(), original.ravel())[0, 1] > 0.98
    turned = found.transpose(0, 2, 1)
    assert np.corrcoef(turned.ravel(), original.ravel())[0, 1] < 0.9


def test_digits_name_the_remedy_where_scikit_learn_is_absent(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"gan-blocks\[samples\]"):
        samples.digits()
