"""Gradient penalties, which keep the discriminator smooth."""

import keras
from keras import ops

from gan_blocks import gradients
from gan_blocks._checks import as_seed, check_positive_integer
from gan_blocks._configurable import Configurable
from gan_blocks._types import Tensor

__all__ = ["GradientPenalty", "Penalty", "R1", "R2"]


class Penalty(Configurable):
    """Base class of penalties, which are added to the discriminator's loss.

    To write your own penalty, subclass this class, define
    `__call__(self, discriminator, real_images, fake_images)`, and register
    the subclass with `keras.saving.register_keras_serializable`. The call
    returns a scalar that is already multiplied by the weight. Store the
    constructor's arguments as attributes of the same name, so that the
    penalty can be saved. `gradients.input_gradient` returns gradients that
    can be differentiated again on every backend.

    If the penalty draws random numbers, store a `keras.random.SeedGenerator`
    in the attribute `seed_generator`. The `GAN` saves its state.

    Args:
        weight: Factor of the penalty, at least 0.
        interval: Lazy regularization: the `GAN` computes the penalty only in
            every `interval`-th step, and multiplies it by `interval`. R1 with
            an interval of 16 takes little time (Karras et al., 2020, section
            3.1, https://arxiv.org/abs/1912.04958). With an interval above 1,
            the penalty changes no variables, such as the statistics of batch
            normalization, so it cannot draw random numbers. A direct call
            ignores the interval. Defaults to 1.

    Call arguments:
        discriminator: Keras model from images to logits.
        real_images: Tensor `(batch, ...)`.
        fake_images: Tensor of the same shape.

    Raises:
        ValueError: If the weight is negative, or the interval is not a
            positive integer.

    Example:

    ```python
    import keras
    import gan_blocks

    @keras.saving.register_keras_serializable(package="example")
    class Drift(gan_blocks.penalties.Penalty):
        '''Keeps the logits of real images near zero.'''

        def __call__(self, discriminator, real_images, fake_images):
            logits = discriminator(real_images, training=True)
            return self.weight * keras.ops.mean(keras.ops.square(logits))

    print(Drift(weight=0.001).weight)
    ```
    """

    seed_generator: keras.random.SeedGenerator | None = None

    def __init__(self, weight: float, interval: int = 1) -> None:
        if weight < 0:
            raise ValueError(
                f"`weight` must not be negative. Received: weight={weight}"
            )
        check_positive_integer("interval", interval)
        self.weight = weight
        self.interval = interval

    def __call__(
        self,
        discriminator: keras.Model,
        real_images: Tensor,
        fake_images: Tensor,
    ) -> Tensor:
        """Returns the weighted penalty, a scalar."""
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="gan_blocks")
class R1(Penalty):
    """Penalizes the discriminator's gradient at the real images.

    `weight / 2 * mean(||grad D(real)||^2)`. With this penalty, training
    converges near the solution, with any loss.

    Args:
        weight: Gamma in the paper. The best value depends on the image size.
            For small images, also try 0.1 to 1. Defaults to 10.
        interval: See `Penalty`. Defaults to 1.

    Example:

    ```python
    import keras
    import gan_blocks

    discriminator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    images = keras.ops.ones((4, 2))
    print(gan_blocks.penalties.R1()(discriminator, images, images))
    ```

    Reference:
        Mescheder et al., 2018, Which Training Methods for GANs do actually
        Converge?, equation 9, https://arxiv.org/abs/1801.04406
    """

    def __init__(self, weight: float = 10.0, interval: int = 1) -> None:
        super().__init__(weight, interval)

    def __call__(
        self,
        discriminator: keras.Model,
        real_images: Tensor,
        fake_images: Tensor,
    ) -> Tensor:
        squared_norms = _squared_gradient_norms(discriminator, real_images)
        return 0.5 * self.weight * ops.mean(squared_norms)


@keras.saving.register_keras_serializable(package="gan_blocks")
class R2(Penalty):
    """Penalizes the discriminator's gradient at the generated images.

    `weight / 2 * mean(||grad D(fake)||^2)`, the counterpart of `R1`.

    Args:
        weight: Gamma in the paper. Defaults to 10.
        interval: See `Penalty`. Defaults to 1.

    Example:

    ```python
    import keras
    import gan_blocks

    discriminator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    images = keras.ops.ones((4, 2))
    print(gan_blocks.penalties.R2()(discriminator, images, images))
    ```

    Reference:
        Mescheder et al., 2018, Which Training Methods for GANs do actually
        Converge?, equation 10, https://arxiv.org/abs/1801.04406
    """

    def __init__(self, weight: float = 10.0, interval: int = 1) -> None:
        super().__init__(weight, interval)

    def __call__(
        self,
        discriminator: keras.Model,
        real_images: Tensor,
        fake_images: Tensor,
    ) -> Tensor:
        squared_norms = _squared_gradient_norms(discriminator, fake_images)
        return 0.5 * self.weight * ops.mean(squared_norms)


@keras.saving.register_keras_serializable(package="gan_blocks")
class GradientPenalty(Penalty):
    """Pulls the norm of the gradient towards 1 between real and fake images.

    `weight * mean((||grad D(x)|| - 1)^2)`, where each `x` is a random point
    on the line between a real and a generated image. This is the WGAN-GP
    penalty, for `losses.Wasserstein`. Do not use batch normalization in the
    discriminator, because it mixes the gradients of the images in a batch.
    Layer normalization works.

    Args:
        weight: Lambda in the paper. Defaults to 10.
        seed: Integer seed of the random points. Defaults to `None`: drawn from
            Python's `random`.

    Example:

    ```python
    import keras
    import gan_blocks

    discriminator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    images = keras.ops.ones((4, 2))
    penalty = gan_blocks.penalties.GradientPenalty(seed=0)
    print(penalty(discriminator, images, -images))
    ```

    Reference:
        Gulrajani et al., 2017, Improved Training of Wasserstein GANs,
        equation 3, https://arxiv.org/abs/1704.00028
    """

    def __init__(self, weight: float = 10.0, seed: int | None = None) -> None:
        super().__init__(weight)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(as_seed(seed))

    def __call__(
        self,
        discriminator: keras.Model,
        real_images: Tensor,
        fake_images: Tensor,
    ) -> Tensor:
        shape = (ops.shape(real_images)[0],) + (1,) * (real_images.ndim - 1)
        mix = keras.random.uniform(
            shape, dtype=real_images.dtype, seed=self.seed_generator
        )
        points = mix * real_images + (1.0 - mix) * fake_images
        squared_norms = _squared_gradient_norms(discriminator, points)
        norms = ops.sqrt(squared_norms + 1e-12)  # No derivative at 0.
        return self.weight * ops.mean(ops.square(norms - 1.0))


def _squared_gradient_norms(
    discriminator: keras.Model, images: Tensor
) -> Tensor:
    """Returns the squared norm of each image's gradient, `(batch,)`."""
    gradient = gradients.input_gradient(discriminator, images)
    gradient = ops.reshape(gradient, (ops.shape(gradient)[0], -1))
    return ops.sum(ops.square(gradient), axis=1)
