"""Points in the plane on which a GAN trains in a minute, and their measures."""

import numpy as np
from numpy.typing import ArrayLike

from gan_blocks._checks import as_seed, check_positive_integer

__all__ = ["Mixture", "grid", "ring", "spiral"]


class Mixture:
    """A mixture of round Gaussians in the plane.

    A GAN that trains on points instead of images takes a minute, and all of it
    can be drawn: the data, the generated points, and the logits of the
    discriminator. Because the modes are known, mode collapse can be counted.
    `ring`, `grid` and `spiral` return mixtures.

    Args:
        centers: Centers of the Gaussians, `(number, 2)`. All Gaussians have the
            same weight.
        deviation: Standard deviation of each Gaussian in both directions,
            above 0.
        modes: The mode of each Gaussian, integers `(number,)` from 0. Defaults
            to `None`: each Gaussian is a mode.

    Raises:
        ValueError: If an argument has the wrong shape or is out of range.

    Example:

    ```python
    from gan_blocks import toy

    pair = toy.Mixture([[-1, 0], [1, 0]], deviation=0.1)
    points = pair.sample(1000, seed=0)
    assert points.shape == (1000, 2)
    print(pair.measure(points[points[:, 0] > 0]))  # Half of the modes.
    ```
    """

    def __init__(
        self,
        centers: ArrayLike,
        deviation: float,
        modes: ArrayLike | None = None,
    ) -> None:
        self.centers = _as_points("centers", centers)
        if not deviation > 0:
            raise ValueError(
                f"`deviation` must be above 0. Received: deviation={deviation}"
            )
        self.deviation = deviation
        number = len(self.centers)
        self.modes = np.asarray(np.arange(number) if modes is None else modes)
        if self.modes.shape != (number,) or self.modes.dtype.kind not in "iu":
            raise ValueError(
                "`modes` must be one integer for each center. Received: "
                f"modes={modes} for {number} centers"
            )

    def sample(self, number: int, seed: int | None = None) -> np.ndarray:
        """Draws points.

        Args:
            number: Number of points, at least 1.
            seed: Integer seed. Defaults to `None`: different points in each
                call.

        Returns:
            NumPy array of float32, `(number, 2)`.
        """
        check_positive_integer("number", number)
        random = np.random.default_rng(as_seed(seed))
        chosen = self.centers[random.integers(len(self.centers), size=number)]
        noise = self.deviation * random.standard_normal((number, 2))
        return (chosen + noise).astype("float32")

    def measure(self, points: ArrayLike) -> dict[str, float]:
        """Measures generated points.

        A point is good if it is at most three standard deviations away from
        the nearest center. A mode is found if a good point is nearest to one
        of its centers. Random noise finds all modes with few good points, and
        a collapsed generator has good points in few modes, so look at both
        values. The number of modes depends on the number of points. The papers
        use 2,500.

        Args:
            points: Generated points, `(number, 2)`.

        Returns:
            A dictionary with two shares from 0 to 1: `"modes"`, the share of
            modes that are found, and `"good"`, the share of good points. For
            points of the mixture itself, about 0.99 are good.

        Reference:
            Srivastava et al., 2017, VEEGAN: Reducing Mode Collapse in GANs
            using Implicit Variational Learning, section 4.1,
            https://arxiv.org/abs/1705.07761
        """
        points = _as_points("points", points)
        offsets = points[:, np.newaxis] - self.centers
        distances = np.sqrt(np.square(offsets).sum(axis=-1))
        good = distances.min(axis=1) <= 3 * self.deviation
        found = self.modes[distances.argmin(axis=1)[good]]
        return {
            "modes": len(np.unique(found)) / len(np.unique(self.modes)),
            "good": float(good.mean()),
        }


def ring(modes: int = 8, deviation: float = 0.01) -> Mixture:
    """Returns Gaussians on a circle of radius 1.

    The defaults are the "2D ring" of PacGAN. VEEGAN and unrolled GANs were
    tested on similar rings.

    Args:
        modes: Number of Gaussians. Defaults to 8.
        deviation: Standard deviation of each Gaussian. Defaults to 0.01.

    Returns:
        A `Mixture`.

    Example:

    ```python
    from gan_blocks import GAN, networks, toy

    ring = toy.ring()
    gan = GAN(
        networks.mlp_generator((2,), 16, (64, 64), output_activation=None),
        networks.mlp_discriminator((2,), (64, 64)),
    )
    gan.compile("adam", "adam")
    gan.fit(ring.sample(256, seed=0), batch_size=64, verbose=0)
    print(ring.measure(gan.generate(2500, seed=0)))
    ```

    Reference:
        Lin et al., 2017, PacGAN: The power of two samples in generative
        adversarial networks, section 4.1, https://arxiv.org/abs/1712.04086;
        Metz et al., 2017, Unrolled Generative Adversarial Networks,
        https://arxiv.org/abs/1611.02163
    """
    check_positive_integer("modes", modes)
    angles = 2 * np.pi * np.arange(modes) / modes
    return Mixture(np.stack([np.cos(angles), np.sin(angles)], 1), deviation)


def grid(side: int = 5, deviation: float = 0.0125) -> Mixture:
    """Returns Gaussians on a square grid, from -1 to 1.

    The defaults are the "2D grid" of PacGAN, a quarter of its size.

    Args:
        side: Number of Gaussians in each row and column, at least 2. Defaults
            to 5.
        deviation: Standard deviation of each Gaussian. Defaults to 0.0125.

    Returns:
        A `Mixture`.

    Example:

    ```python
    from gan_blocks import toy

    grid = toy.grid()
    print(grid.measure(grid.sample(2500, seed=0)))
    ```

    Reference:
        Lin et al., 2017, PacGAN: The power of two samples in generative
        adversarial networks, section 4.1, https://arxiv.org/abs/1712.04086
    """
    check_positive_integer("side", side, minimum=2)
    line = np.linspace(-1, 1, side)
    centers = np.stack(np.meshgrid(line, line), axis=-1)
    return Mixture(centers.reshape(-1, 2), deviation)


def spiral(turns: float = 2.0, deviation: float = 0.02) -> Mixture:
    """Returns a spiral from the center to a radius of 1.

    The density is the same all along the curve. The curve is divided into 25
    pieces of equal length, which are the modes, so `measure` shows how much of
    the curve is covered.

    Args:
        turns: Number of turns, above 0. Defaults to 2.
        deviation: Standard deviation across the curve. Defaults to 0.02.

    Returns:
        A `Mixture` of 500 Gaussians in 25 modes.

    Raises:
        ValueError: If `turns` or `deviation` is not above 0.

    Example:

    ```python
    from gan_blocks import toy

    spiral = toy.spiral()
    points = spiral.sample(2500, seed=0)
    outer_half = points[(points**2).sum(axis=1) > 0.5]
    print(spiral.measure(outer_half))
    ```
    """
    if not turns > 0:
        raise ValueError(f"`turns` must be above 0. Received: turns={turns}")
    radii = np.linspace(0, 1, 10_000)
    angles = 2 * np.pi * turns * radii
    curve = radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    steps = np.sqrt(np.square(np.diff(curve, axis=0)).sum(axis=1))
    lengths = np.concatenate([[0], np.cumsum(steps)])
    even = np.linspace(0, lengths[-1], 500)
    centers = [np.interp(even, lengths, axis) for axis in curve.T]
    return Mixture(np.stack(centers, 1), deviation, np.arange(500) // 20)


def _as_points(name: str, values: ArrayLike) -> np.ndarray:
    points = np.asarray(values)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0:
        raise ValueError(
            f"`{name}` must be points in the plane, of shape (number, 2). "
            f"Received: {name} of shape {points.shape}"
        )
    return points
