"""Distances between all pairs of feature vectors."""

from collections.abc import Iterator

import numpy as np

_CHUNK = 1024  # Rows of a distance matrix in memory at a time,
_VALUES = 2**24  # unless these rows would have more values than this.


def squared_distances(
    features: np.ndarray, centers: np.ndarray
) -> Iterator[np.ndarray]:
    """Yields chunks of rows of the matrix of squared distances."""
    # A mean of zero keeps rounding errors small.
    mean = centers.mean(axis=0)
    features, centers = features - mean, centers - mean
    squares = np.square(centers).sum(axis=1)
    count = max(1, min(_CHUNK, _VALUES // len(centers)))
    for i in range(0, len(features), count):
        rows = features[i : i + count]
        products = rows @ centers.T
        yield np.square(rows).sum(axis=1)[:, None] + squares - 2 * products
