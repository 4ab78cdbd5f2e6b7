"""Gradient penalties: what keeps a discriminator smooth."""

import keras
from keras import ops

from gan_blocks import gradients


class Penalty:
    """A term that is added to the discriminator's loss.

    Subclass it to bring your own: define
    `__call__(self, discriminator, real_images, fake_images)`, which returns a
    scalar, already weighted; register the class with
    `keras.saving.register_keras_serializable`, and extend `get_config` if the
    constructor takes more than the weight. `gradients.input_gradient` gives a
    gradient that can be differentiated again, on every backend.

    A penalty that draws random numbers does so with a
    `keras.random.SeedGenerator` in its attribute `seed_generator`, whose
    state then belongs to the `GAN` and is saved with it.

    Args:
        weight: Factor of the penalty, at least 0.
        interval: Lazy regularization: the `GAN` computes the penalty in every
            so many of its steps only, and multiplies it by that number. R1
            with an interval of 16 costs almost nothing (Karras et al., 2020,
            section 3.1, https://arxiv.org/abs/1912.04958). Called directly
            the penalty does not know of it. Not for one that draws random
            numbers. Defaults to 1: in each step.

    Call arguments:
        discriminator: Keras model: images to logits.
        real_images: Tensor `(batch, ...)`.
        fake_images: Tensor of the same shape.

    Raises:
        ValueError: If the weight is negative, or the interval less than 1.

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

    seed_generator = None

    def __init__(self, weight, interval=1):
        if weight < 0:
            raise ValueError(
                f"`weight` must not be negative. Received: weight={weight}"
            )
        if interval < 1 or int(interval) != interval:
            raise ValueError(
                "`interval` must be an integer of at least 1. Received: "
                f"interval={interval}"
            )
        self.weight = weight
        self.interval = int(interval)

    def __call__(self, discriminator, real_images, fake_images):
        """Returns the weighted penalty, a scalar."""
        raise NotImplementedError

    def get_config(self):
        """Returns the constructor's arguments."""
        config = {"weight": self.weight}
        # Subclasses need not know of it.
        if self.interval > 1:
            config["interval"] = self.interval
        return config

    @classmethod
    def from_config(cls, config):
        """Creates the penalty from `get_config`'s dictionary."""
        return cls(**config)


@keras.saving.register_keras_serializable(package="gan_blocks")
class R1(Penalty):
    """The squared gradient of the discriminator at the real images.

    `weight / 2 * mean(||grad D(real)||^2)`: makes GAN training converge near
    the solution, whichever loss it goes with.

    Args:
        weight: The paper's gamma. Defaults to 10. What suits depends on the
            image size; for small images try 0.1 to 1 as well.
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

    def __init__(self, weight=10.0, interval=1):
        super().__init__(weight, interval)

    def __call__(self, discriminator, real_images, fake_images):
        """Returns the weighted penalty, a scalar."""
        return 0.5 * self.weight * _squared_norm(discriminator, real_images)


@keras.saving.register_keras_serializable(package="gan_blocks")
class R2(Penalty):
    """The squared gradient of the discriminator at the generated images.

    `weight / 2 * mean(||grad D(fake)||^2)`: the counterpart of `R1`.

    Args:
        weight: The paper's gamma. Defaults to 10.
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

    def __init__(self, weight=10.0, interval=1):
        super().__init__(weight, interval)

    def __call__(self, discriminator, real_images, fake_images):
        """Returns the weighted penalty, a scalar."""
        return 0.5 * self.weight * _squared_norm(discriminator, fake_images)


@keras.saving.register_keras_serializable(package="gan_blocks")
class GradientPenalty(Penalty):
    """Pulls the gradient's norm to 1 on lines between real and fake images.

    `weight * mean((||grad D(x)|| - 1)^2)`, each `x` at a uniformly drawn
    point between a real and a generated image: the WGAN-GP penalty, for
    `losses.Wasserstein`. A discriminator with batch normalization has no
    gradient of a single image, so the paper uses none, or layer
    normalization.

    Args:
        weight: The paper's lambda. Defaults to 10.
        seed: Integer seed of the points. Defaults to `None`: drawn anew.

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

    def __init__(self, weight=10.0, seed=None):
        super().__init__(weight)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def __call__(self, discriminator, real_images, fake_images):
        """Returns the weighted penalty, a scalar."""
        shape = (ops.shape(real_images)[0],) + (1,) * (real_images.ndim - 1)
        mix = keras.random.uniform(
            shape, dtype=real_images.dtype, seed=self.seed_generator
        )
        points = mix * real_images + (1.0 - mix) * fake_images
        # The square root has no derivative at 0.
        norm = ops.sqrt(_squared_norms(discriminator, points) + 1e-12)
        return self.weight * ops.mean(ops.square(norm - 1.0))

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "seed": self.seed}


def _squared_norm(discriminator, images):
    return ops.mean(_squared_norms(discriminator, images))


def _squared_norms(discriminator, images):
    """Returns the squared norm of each image's gradient, `(batch,)`."""
    gradient = gradients.input_gradient(discriminator, images)
    return ops.sum(
        ops.square(ops.reshape(gradient, (ops.shape(gradient)[0], -1))), axis=1
    )
