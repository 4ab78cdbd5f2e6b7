"""Draws latents and interpolates between them."""

import itertools
from typing import Any

import keras
import numpy as np

from gan_blocks import replicas
from gan_blocks._checks import as_seed, check_positive_integer
from gan_blocks._types import Tensor


def draw_latents(
    number: int, shape: tuple[int, ...], distribution: str, seed: int | None
) -> np.ndarray:
    """Draws latents with NumPy, so that they are equal on every backend."""
    random = np.random.default_rng(as_seed(seed))
    if distribution == "uniform":
        latents = random.uniform(-1.0, 1.0, (number, *shape))
    else:
        latents = random.standard_normal((number, *shape))
    return latents.astype("float32")


def draw_latents_in_step(
    number: Tensor,
    shape: tuple[int, ...],
    distribution: str,
    seed_generator: keras.random.SeedGenerator,
) -> Tensor:
    """Draws latents inside a training step, `number` for each replica.

    All replicas have the same seed, so each replica draws the latents of the
    whole batch and returns its share.
    """
    replica_count = replicas.count()
    whole = (number * replica_count, *shape)
    if distribution == "uniform":
        noise = keras.random.uniform(whole, -1.0, 1.0, seed=seed_generator)
    else:
        noise = keras.random.normal(whole, seed=seed_generator)
    if replica_count == 1:
        return noise
    start = replicas.index() * number
    return noise[start : start + number]


def as_latents(latents: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Returns latents as a NumPy array; checks their shape."""
    latents = keras.ops.convert_to_numpy(latents)
    if (
        latents.shape[1:] != shape
        or latents.size == 0
        or latents.dtype.kind not in "fiu"
    ):
        raise ValueError(
            f"`latents` must be numbers of shape {('number', *shape)}, with a "
            f"number of at least 1. Received: latents of shape {latents.shape} "
            f"and dtype {latents.dtype}"
        )
    return latents


def latent_path(
    latents: np.ndarray, steps: int, closed: bool, distribution: str
) -> np.ndarray:
    """Returns a path through the latents: see `GAN.interpolate_latents`."""
    if len(latents) < 2:
        raise ValueError(
            "`latents` must hold at least 2 latents. Received: latents of "
            f"shape {latents.shape}"
        )
    check_positive_integer("steps", steps)
    points = latents.reshape(len(latents), -1).astype("float64")
    if closed:
        points = np.concatenate([points, points[:1]])
    segment = _line if distribution == "uniform" else _arc
    path = [segment(*pair, steps) for pair in itertools.pairwise(points)]
    if not closed:
        path.append(points[-1:])
    return (
        np.concatenate(path).astype("float32").reshape(-1, *latents.shape[1:])
    )


def _line(start, end, steps):
    """Returns points in even steps on a line, without `end`."""
    return np.linspace(start, end, steps, endpoint=False)


def _arc(start, end, steps):
    """Returns points in steps of equal angle on an arc, without `end`.

    This is spherical linear interpolation (White, 2016,
    https://arxiv.org/abs/1609.04468) with a linear change of length.
    """
    lengths = np.linalg.norm(start), np.linalg.norm(end)
    if 0 in lengths:  # Zero has no direction.
        return _line(start, end, steps)
    start, end = start / lengths[0], end / lengths[1]
    across = end - (start @ end) * start
    angle = np.arctan2(np.linalg.norm(across), start @ end)
    if np.linalg.norm(across) < 1e-8:
        # Many arcs join opposite latents. This chooses one of them.
        across = np.eye(1, start.size, np.abs(start).argmin())[0]
        across -= (start @ across) * start
    across /= np.linalg.norm(across) or 1.0  # A single number has no arc.
    angles = _line(0.0, angle, steps)[:, None]
    directions = np.cos(angles) * start + np.sin(angles) * across
    return _line(*lengths, steps)[:, None] * directions
