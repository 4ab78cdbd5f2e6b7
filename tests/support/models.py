"""Comparisons of Keras models."""

import keras
import numpy as np


def assert_same_variables(model, expected):
    """Checks that all variables of two models have the same bits."""
    for one, other in zip(model.variables, expected.variables, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(one),
            keras.ops.convert_to_numpy(other),
            err_msg=one.path,
        )
