"""The half of a GAN that draws images."""

import itertools

import keras
import numpy as np
from keras import ops

from gan_blocks import gradients, replicas


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
        num_classes,
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
        if num_classes is not None and num_classes < 1:
            raise ValueError(
                "`num_classes` must be at least 1, or `None`. "
                f"Received: num_classes={num_classes}"
            )
        self.generator = generator
        self.num_classes = num_classes
        self.latent_shape = latent_shape
        self.latent_distribution = latent_distribution
        self.ema_momentum = ema_momentum
        self._compiled_run = gradients.inference(self._run_generator)
        self.generator_averages = []
        if ema_momentum is not None:
            self.generator_averages = [
                self._average_of(weight) for weight in generator.weights
            ]

    def call(self, inputs, training=False):
        """Returns images: latents through the generator.

        Args:
            inputs: Latents `(batch, ...)` of the generator's input shape; with
                `num_classes` a list of latents and labels.
            training: Where it is `False`, the default, the averaged generator
                is used, if there is one.
        """
        if training:
            return self.generator(inputs, training=True)
        return self._sample(inputs, training=False)

    def generate(
        self,
        num_images=None,
        latents=None,
        labels=None,
        seed=None,
        batch_statistics=False,
        batch_size=64,
    ):
        """Generates images; nothing in the model changes.

        Args:
            num_images: Number of images from new latents.
            latents: Or the latents themselves, `(number, ...)`.
            labels: The class of each image, an integer array `(number,)`, or
                one integer for all; only with `num_classes`. Defaults to
                `None`: all classes in turn.
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
                given, the latents are not of the generator's input shape, or
                the labels not classes.
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
            latents = self._checked(latents)
            others = self.sample_latents(fill, seed=0) if fill else latents[:0]
            latents = np.concatenate([latents, others])
        labels = self._checked_labels(labels, number, fill)
        if keras.backend.backend() == "jax":
            self.jax_state_sync()
        run = self._run_generator if self.run_eagerly else self._compiled_run
        values = [variable.value for variable in self._shown_variables()]
        images = None
        for i in range(0, len(latents), batch_size):
            here = slice(i, i + batch_size)
            inputs = latents[here]
            if labels is not None:
                inputs = [inputs, labels[here]]
            batch = run(values, inputs, bool(batch_statistics))
            if images is None:
                shape = (len(latents), *batch.shape[1:])
                images = np.empty(shape, "float32")
            images[here] = ops.convert_to_numpy(batch)
        return images[:number]

    def averaged_generator(self):
        """Returns the generator that `generate` draws with, by itself.

        To save or export it without the GAN. It takes latents (with
        `num_classes`, a list of latents and labels) and returns images.

        Returns:
            A copy of `generator` with the moving averages for its weights; of
            a GAN without averages, with the weights of the moment.

        Example:

        ```python
        import gan_blocks

        gan = gan_blocks.GAN(
            gan_blocks.networks.mlp_generator((8, 8, 1), latent_dim=16),
            gan_blocks.networks.mlp_discriminator((8, 8, 1)),
            ema_momentum=0.999,
        )
        generator = gan.averaged_generator()
        generator.save("generator.keras")
        images = generator(gan.sample_latents(5, seed=0))
        assert images.shape == (5, 8, 8, 1)
        ```
        """
        if keras.backend.backend() == "jax":
            self.jax_state_sync()
        config = self.generator.get_config()
        generator = type(self.generator).from_config(config)
        # Builds it, and Keras exports only what was called.
        latents = self.sample_latents(1, seed=0)
        labels = self._checked_labels(None, 1, 0)
        generator(latents if labels is None else [latents, labels])
        shown = self._shown_variables()
        for variable, value in zip(generator.variables, shown, strict=True):
            variable.assign(value)
        return generator

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

    def interpolate_latents(self, latents, steps, closed=False):
        """Returns latents in even steps on a way through the given ones.

        What `generate` makes of them changes gradually from one image to the
        next, if the generator is smooth. Uniform latents are joined by
        straight lines, which stay among the latents of training. Normal
        latents are joined by arcs around zero (slerp): their lengths are all
        about the same, and the middle of a straight line is far too short.
        On an arc the length goes evenly from one latent's to the next's.

        Draw them by the moving averages, the default of `generate`: with
        `batch_statistics` neighbours, which are all alike, would be normalized
        by each other.

        Args:
            latents: The latents to pass through, `(number, ...)`, at least 2,
                as drawn by `sample_latents`.
            steps: Number of steps from each latent to the next, at least 1.
            closed: Whether to go on from the last latent to the first, for an
                animation that repeats; the first is not repeated at the end.
                Defaults to `False`: the last latent is the end.

        Returns:
            NumPy array of float32, `((number - 1) * steps + 1, ...)`, or
            `(number * steps, ...)` if `closed`. Every `steps`-th of them is
            one of the given latents.

        Raises:
            ValueError: If there are fewer than 2 latents, they are not of the
                generator's input shape, or `steps` is less than 1.

        Example:

        ```python
        import gan_blocks

        gan = gan_blocks.GAN(
            gan_blocks.networks.mlp_generator((8, 8, 1), latent_dim=16),
            gan_blocks.networks.mlp_discriminator((8, 8, 1)),
        )
        latents = gan.sample_latents(5, seed=0)
        way = gan.interpolate_latents(latents, steps=8, closed=True)
        frames = [
            gan_blocks.images.grid(image[None], scale=4)
            for image in gan.generate(latents=way)
        ]
        gan_blocks.images.animation(frames, "way.gif", 20, hold_last=0)
        ```

        Reference:
            White, 2016, Sampling Generative Networks,
            https://arxiv.org/abs/1609.04468
        """
        latents = self._checked(latents)
        if len(latents) < 2:
            raise ValueError(
                "`latents` must be at least 2 to go from one to another. "
                f"Received: latents of shape {latents.shape}"
            )
        if steps < 1:
            raise ValueError(
                f"`steps` must be at least 1. Received: steps={steps}"
            )
        points = latents.reshape(len(latents), -1).astype("float64")
        if closed:
            points = np.concatenate([points, points[:1]])
        join = _line if self.latent_distribution == "uniform" else _arc
        way = [join(*pair, steps) for pair in itertools.pairwise(points)]
        if not closed:
            way.append(points[-1:])
        way = np.concatenate(way).astype("float32")
        return way.reshape(-1, *self.latent_shape)

    def _checked(self, latents):
        """Returns latents as an array of the generator's input shape."""
        latents = ops.convert_to_numpy(latents)
        if latents.shape[1:] != self.latent_shape:
            raise ValueError(
                "`latents` must have the shape (number, "
                f"{', '.join(map(str, self.latent_shape))}). Received: "
                f"latents of shape {latents.shape}"
            )
        return latents

    def _checked_labels(self, labels, number, fill):
        """Returns a label for each image to generate and to fill up with."""
        if self.num_classes is None:
            if labels is not None:
                raise ValueError(
                    "`labels` need a GAN with `num_classes`. Received: "
                    f"labels={labels}"
                )
            return None
        in_turn = np.arange(number + fill, dtype="int32") % self.num_classes
        if labels is None:
            return in_turn
        labels = ops.convert_to_numpy(labels)
        if labels.ndim == 0:
            labels = np.repeat(labels, number)
        if (
            labels.shape != (number,)
            or labels.dtype.kind not in "iu"
            or not 0 <= labels.min() <= labels.max() < self.num_classes
        ):
            raise ValueError(
                f"`labels` must be {number} integers from 0 to "
                f"{self.num_classes - 1}, or one. Received: labels={labels}"
            )
        return np.concatenate([labels.astype("int32"), in_turn[number:]])

    def _noise_like(self, images, seed_generator):
        """Draws one latent per image, as part of the model's state.

        All replicas have the same seed: each draws the latents of the whole
        batch, and takes its share of them.
        """
        share = ops.shape(images)[0]
        shape = (share * replicas.number(), *self.latent_shape)
        if self.latent_distribution == "uniform":
            noise = keras.random.uniform(shape, -1.0, 1.0, seed=seed_generator)
        else:
            noise = keras.random.normal(shape, seed=seed_generator)
        if replicas.number() == 1:
            return noise
        start = replicas.index() * share
        return noise[start : start + share]

    def _sample(self, inputs, training):
        """Runs the (averaged) generator and changes none of its variables."""
        return self._run_generator(self._shown_variables(), inputs, training)

    def _run_generator(self, values, inputs, training):
        """Runs the generator with other values of all of its variables."""
        mapping = list(zip(self.generator.variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return self.generator(inputs, training=training)

    def _shown_variables(self):
        """Returns those of the generator, with the averages of its weights."""
        averages = {
            id(weight): average
            for weight, average in zip(
                self.generator.weights, self.generator_averages, strict=False
            )
        }
        return [
            averages.get(id(variable), variable)
            for variable in self.generator.variables
        ]

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


def _line(start, end, steps):
    """Returns even steps from `start`, without `end`."""
    return np.linspace(start, end, steps, endpoint=False)


def _arc(start, end, steps):
    """Returns steps of even angles from `start`, without `end`."""
    lengths = np.linalg.norm(start), np.linalg.norm(end)
    if 0 in lengths:  # Zero lies in no direction.
        return _line(start, end, steps)
    start, end = start / lengths[0], end / lengths[1]
    across = end - (start @ end) * start
    angle = np.arctan2(np.linalg.norm(across), start @ end)
    if np.linalg.norm(across) < 1e-8:
        # Opposite latents have many arcs between them: any of them will do.
        across = np.eye(1, start.size, np.abs(start).argmin())[0]
        across -= (start @ across) * start
    across /= np.linalg.norm(across) or 1.0  # A single number has no arc.
    angles = _line(0.0, angle, steps)[:, None]
    directions = np.cos(angles) * start + np.sin(angles) * across
    return _line(*lengths, steps)[:, None] * directions
