"""The half of a GAN that draws images."""

import keras
import numpy as np
from keras import ops


class Sampler(keras.Model):
    """A generator with its latents and, if wanted, its moving average.

    Abstract: `GAN` describes the arguments, and adds the training.
    """

    def __init__(
        self,
        generator,
        latent_shape,
        latent_distribution,
        ema_momentum,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if latent_distribution not in ("normal", "uniform"):
            raise ValueError(
                '`latent_distribution` must be "normal" or "uniform". '
                f"Received: latent_distribution={latent_distribution!r}"
            )
        if ema_momentum is not None and not 0.0 < ema_momentum < 1.0:
            raise ValueError(
                "`ema_momentum` must be between 0 and 1, or `None`. "
                f"Received: ema_momentum={ema_momentum}"
            )
        self.generator = generator
        self.latent_shape = latent_shape
        self.latent_distribution = latent_distribution
        self.ema_momentum = ema_momentum
        self.generator_averages = []
        if ema_momentum is not None:
            self.generator_averages = [
                self._average_of(weight) for weight in generator.weights
            ]

    def call(self, latents, training=False):
        """Returns images: latents through the generator.

        Args:
            latents: Tensor `(batch, ...)` of the generator's input shape.
            training: Where it is `False`, the default, the averaged generator
                is used, if there is one.
        """
        if training:
            return self.generator(latents, training=True)
        return self._sample(latents, training=False)

    def generate(
        self,
        num_images=None,
        latents=None,
        seed=None,
        batch_statistics=False,
        batch_size=64,
    ):
        """Generates images; nothing in the model changes.

        Args:
            num_images: Number of images from new latents.
            latents: Or the latents themselves, `(number, ...)`.
            seed: Integer seed of the new latents; the first images of a seed
                are the same, however many are asked for. Defaults to `None`:
                different images each time.
            batch_statistics: Whether batch normalization uses the statistics
                of the batch, as in training (dropout is active then, too),
                rather than the moving averages. An image then depends on its
                batch; batches are filled up with other latents, always the
                same, so that a few images look like many. Defaults to
                `False`.
            batch_size: How many images are generated at a time. Defaults to
                64.

        Returns:
            NumPy array of float32 images, `(number, height, width,
            channels)`, in the generator's range.

        Raises:
            ValueError: If not exactly one of `num_images` and `latents` is
                given, or the latents are not of the generator's input shape.
        """
        if (num_images is None) == (latents is None):
            raise ValueError(
                "Exactly one of `num_images` and `latents` must be given. "
                f"Received: num_images={num_images}, latents={latents}"
            )
        number = len(latents) if num_images is None else num_images
        fill = -number % batch_size if batch_statistics else 0
        if latents is None:
            latents = self.sample_latents(number + fill, seed)
        else:
            latents = ops.convert_to_numpy(latents)
            if latents.shape[1:] != self.latent_shape:
                raise ValueError(
                    "`latents` must have the shape (number, "
                    f"{', '.join(map(str, self.latent_shape))}). Received: "
                    f"latents of shape {latents.shape}"
                )
            others = self.sample_latents(fill, seed=0) if fill else latents[:0]
            latents = np.concatenate([latents, others])
        if keras.backend.backend() == "jax":
            self.jax_state_sync()
        batches = [
            self._sample(latents[i : i + batch_size], batch_statistics)
            for i in range(0, len(latents), batch_size)
        ]
        images = [ops.convert_to_numpy(batch) for batch in batches]
        return np.concatenate(images)[:number].astype("float32")

    def sample_latents(self, number, seed=None):
        """Draws latents with NumPy, the same ones on every backend.

        Args:
            number: How many, at least 1.
            seed: Integer seed. Defaults to `None`: different ones each time.

        Returns:
            NumPy array of float32, `(number, ...)`.
        """
        if number < 1:
            raise ValueError(
                f"`number` must be at least 1. Received: number={number}"
            )
        random = np.random.default_rng(seed)
        shape = (number, *self.latent_shape)
        if self.latent_distribution == "uniform":
            return random.uniform(-1.0, 1.0, shape).astype("float32")
        return random.standard_normal(shape).astype("float32")

    def _noise_like(self, images, seed_generator):
        """Draws one latent per image, as part of the model's state."""
        shape = (ops.shape(images)[0], *self.latent_shape)
        if self.latent_distribution == "uniform":
            return keras.random.uniform(shape, -1.0, 1.0, seed=seed_generator)
        return keras.random.normal(shape, seed=seed_generator)

    def _sample(self, latents, training):
        """Runs the (averaged) generator and changes none of its variables."""
        averages = {
            id(weight): average
            for weight, average in zip(
                self.generator.weights, self.generator_averages, strict=False
            )
        }
        mapping = [
            (variable, averages.get(id(variable), variable))
            for variable in self.generator.variables
        ]
        with keras.StatelessScope(state_mapping=mapping):
            return self.generator(latents, training=training)

    def _average_of(self, weight):
        average = self.add_weight(
            shape=weight.shape,
            dtype=weight.dtype,
            trainable=False,
            autocast=False,
            name=f"average_{weight.path.replace('/', '_')}",
        )
        # A copy: JAX may not be given the same buffer twice.
        average.assign(ops.copy(weight))
        return average

    def _update_averages(self, step):
        step = ops.cast(step, "float32")
        momentum = ops.minimum(self.ema_momentum, (1 + step) / (10 + step))
        for average, weight in zip(
            self.generator_averages, self.generator.weights, strict=True
        ):
            rate = ops.cast(1.0 - momentum, weight.dtype)
            average.assign(average + rate * (weight - average))
