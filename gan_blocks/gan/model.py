"""The GAN: two networks, one training step, for every Keras backend."""

import inspect

import keras
from keras import ops

from gan_blocks import gradients, losses, replicas
from gan_blocks.gan import seeds
from gan_blocks.gan.conditioning import given
from gan_blocks.gan.matching import compatible, matching_shapes, output_range
from gan_blocks.gan.means import Means
from gan_blocks.gan.optimizers import OptimizerPair, build_for
from gan_blocks.gan.range_check import EXTREMES, RangeCheck, extremes
from gan_blocks.gan.sampling import Sampler
from gan_blocks.gan.scores import scores, spread


@keras.saving.register_keras_serializable(package="gan_blocks")
class GAN(Sampler):
    """A generator and a discriminator that are trained against each other.

    Takes any two built Keras models and trains them under plain `fit`, on
    TensorFlow, JAX and torch. One training step is one step of the
    discriminator (or several) and then one of the generator, which shares its
    forward pass with the discriminator's step.

    Everything that a run needs is part of the model: `save` and
    `keras.saving.load_model` give back a GAN that goes on exactly where it
    was, with both optimizers, the noise and the moving average.

    Args:
        generator: Keras model: latents `(batch, ...)` to images.
        discriminator: Keras model: images to logits, `(batch, 1)` or patches
            `(batch, height, width, 1)`. No sigmoid at its end: the losses
            are computed from logits. What is done to real and generated
            images alike (augmentation) goes in as its first layers. A layer
            with a method `observe` is given the logits of the real images
            in each step, less the loss's `decision_threshold`, as
            `layers.AdaptiveAugment` is.
        latent_distribution: `"normal"` (mean 0, deviation 1, the default) or
            `"uniform"` (from -1 to 1).
        ema_momentum: Momentum of a moving average of the generator's
            weights, in (0, 1), updated at every step; `generate` and `call`
            then show the averaged generator. Batch-norm statistics are
            averaged alike, so that they belong to the averaged weights. In
            step `n` the momentum is at most `(1 + n) / (10 + n)`, so that
            short runs do not show the initial weights. Defaults to `None`:
            no average.
        num_classes: Number of classes, for a conditional GAN. The generator
            then takes `[latents, labels]`, the discriminator `[images,
            labels]`, with integer labels `(batch,)` from 0, and images are
            generated for the labels of the real ones of the batch. Defaults
            to `None`: the networks know nothing of classes.
        seed: Integer seed of the training noise. Defaults to `None`: drawn
            from Python's `random`, and so from `keras.utils.set_random_seed`.
        **kwargs: `name` and so on, as in `keras.Model`.

    Input shape:
        `fit` and `evaluate` take real images, `(batch, height, width,
        channels)`, in the range of the generator, from anything that Keras
        takes: arrays, a `tf.data.Dataset`, a `PyDataset`, a `DataLoader`.
        With `num_classes`, pairs of images and labels: `fit(images, labels)`.
        `call` and `predict` take what the generator takes.

    Logs:
        `d_loss`, `g_loss`: the adversarial losses, without the penalties;
        `penalty`: the sum of the penalties, where there are any;
        `real_score`, `fake_score`: the mean logits. Equal scores mean that
        the discriminator cannot tell the difference;
        `real_accuracy`, `fake_accuracy`: the shares of the real and of the
        generated images that the discriminator takes for what they are, in
        [0, 1], if the loss has a `decision_threshold`; a logit on it counts
        half, a patch of logits by its mean share. Both near 1, the
        discriminator has won;
        `spread`: how varied the generated images are, compared to the real
        ones of the same batch: the root mean squared deviation from the
        batch's mean image, generated divided by real. 0 where all generated
        images are alike (collapse), 1 where they are as varied as the data,
        or the real ones of the batch are all alike, as a single image is.
        All are means over the batches, and over the replicas of a
        `tf.distribute` strategy, each of which looks at its own share.

    Raises:
        ValueError: If the networks do not fit each other, or are not built.

    Example:

    ```python
    import keras
    import numpy as np
    import gan_blocks

    generator = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(16, activation="tanh"),
         keras.layers.Reshape((4, 4, 1))]
    )
    discriminator = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(1)]
    )
    gan = gan_blocks.GAN(generator, discriminator, ema_momentum=0.999)
    gan.compile(
        generator_optimizer=keras.optimizers.Adam(2e-4, beta_1=0.5),
        discriminator_optimizer=keras.optimizers.Adam(2e-4, beta_1=0.5),
        loss="non_saturating",
    )
    gan.fit(np.zeros((32, 4, 4, 1), "float32"), batch_size=8, verbose=0)
    print(gan.generate(num_images=5, seed=0).shape)
    ```

    Reference:
        Goodfellow et al., 2014, Generative Adversarial Nets, algorithm 1,
        https://arxiv.org/abs/1406.2661
    """

    def __init__(
        self,
        generator,
        discriminator,
        latent_distribution="normal",
        ema_momentum=None,
        num_classes=None,
        seed=None,
        **kwargs,
    ):
        latent_shape, image_shape = matching_shapes(
            generator, discriminator, conditional=num_classes is not None
        )
        super().__init__(
            generator,
            latent_shape,
            latent_distribution,
            ema_momentum,
            num_classes,
            **kwargs,
        )
        self.discriminator = discriminator
        self.image_shape = image_shape
        self.seed = seed
        self.noise = keras.random.SeedGenerator(seed)
        # Evaluating must not change the noise that training goes on with.
        self.evaluation_noise = keras.random.SeedGenerator(seed)
        self._penalties = []
        self._penalty_noise = []
        self._image_range = output_range(generator)
        self._observers = list(_observers(discriminator))
        self.built = True

    # Setting up.

    def compile(
        self,
        generator_optimizer,
        discriminator_optimizer,
        loss="non_saturating",
        discriminator_steps=1,
        penalty=None,
        **kwargs,
    ):
        """Configures the training.

        Args:
            generator_optimizer: A Keras optimizer or the name of one.
            discriminator_optimizer: Another one; not the same object.
            loss: An `AdversarialLoss` or the name of one: see `losses.get`.
                Defaults to `"non_saturating"`.
            discriminator_steps: How often the discriminator is trained on
                each batch, each time against newly generated images, before
                the generator is trained once. Defaults to 1.
            penalty: A `Penalty`, a list of them, or any function
                `(discriminator, real_images, fake_images)` that returns a
                scalar, added to the discriminator's loss. One with an
                `interval` is computed, and multiplied by it, in every so
                many steps only. Defaults to `None`.
            **kwargs: `run_eagerly`, `steps_per_execution` and `jit_compile`,
                as in `keras.Model.compile`. As Keras decides by default, XLA
                is not used by TensorFlow on a machine without accelerators.

        Raises:
            ValueError: If an argument is not of its kind.
        """
        if discriminator_steps < 1:
            raise ValueError(
                "`discriminator_steps` must be at least 1. "
                f"Received: discriminator_steps={discriminator_steps}"
            )
        generator_optimizer = keras.optimizers.get(generator_optimizer)
        discriminator_optimizer = keras.optimizers.get(discriminator_optimizer)
        if generator_optimizer is discriminator_optimizer:
            raise ValueError(
                "`generator_optimizer` and `discriminator_optimizer` must be "
                f"two objects. Received twice: {generator_optimizer}"
            )
        if not isinstance(penalty, (list, tuple)):
            penalty = [] if penalty is None else [penalty]
        if not all(callable(one) for one in penalty):
            raise ValueError(
                "`penalty` must be a `Penalty`, a function, or a list of "
                f"them. Received: penalty={penalty}"
            )
        self.loss = losses.get(loss)
        self.discriminator_steps = discriminator_steps
        self._penalties = list(penalty)
        # Keras tracks seed generators, and JAX takes their state from there.
        self._penalty_noise = [
            one.seed_generator
            for one in penalty
            if getattr(one, "seed_generator", None) is not None
        ]
        self._means = Means([*self._logged_names(), *EXTREMES])
        super().compile(
            optimizer=OptimizerPair(
                build_for(self.generator, generator_optimizer),
                build_for(self.discriminator, discriminator_optimizer),
            ),
            auto_scale_loss=False,
            **kwargs,
        )
        self._compile_kwargs = kwargs

    def _logged_names(self):
        names = ["d_loss", "g_loss", "real_score", "fake_score"]
        if self._threshold is not None:
            names += ["real_accuracy", "fake_accuracy"]
        names += ["spread"]
        return names + ["penalty"] * bool(self._penalties)

    @property
    def _threshold(self):
        return getattr(self.loss, "decision_threshold", None)

    @property
    def metrics(self):
        """The means of all that is logged (and of what is only looked at)."""
        return [self._means] if self.compiled else []

    @property
    def metrics_names(self):
        """The names of what `evaluate` returns, in its order."""
        return sorted(set(self._logged_names()) - {"penalty"})

    def get_metrics_result(self):
        """Returns the logs."""
        means = self._means.result()
        return {name: means[name] for name in self._logged_names()}

    # Training.

    def fit(self, *args, **kwargs):
        """Trains on real images; arguments as of `keras.Model.fit`.

        Images out of the generator's range are reported after the first
        batch, with a warning.
        """
        arguments = inspect.signature(super().fit).bind(*args, **kwargs)
        arguments = arguments.arguments
        callbacks = arguments.pop("callbacks", None)
        check = RangeCheck()
        if isinstance(callbacks, keras.callbacks.CallbackList):
            check.set_model(self)
            callbacks.callbacks.append(check)
        else:
            if not isinstance(callbacks, (list, tuple)):
                callbacks = [] if callbacks is None else [callbacks]
            callbacks = [*callbacks, check]
        replicas.align([*self.variables, *self.optimizer.variables])
        return super().fit(**arguments, callbacks=callbacks)

    def evaluate(self, *args, quality=None, **kwargs):
        """Evaluates on real images; arguments as of `keras.Model.evaluate`.

        Args:
            *args: Those of Keras, of which `x` may be left out for the quality
                alone.
            quality: `metrics.Quality`: what its result holds (Frechet and
                kernel distance, ...) is then added to the logs, which are
                returned as a dictionary. Defaults to `None`.
            **kwargs: Those of Keras.
        """
        if quality is None:
            return super().evaluate(*args, **kwargs)
        logs = {}
        if args or "x" in kwargs:
            kwargs["return_dict"] = True
            logs = super().evaluate(*args, **kwargs)
        return {**logs, **quality(self).values}

    def train_step(self, *args):
        """Trains on one batch; called by Keras."""
        return self._run(self._train, *args)

    def test_step(self, *args):
        """Evaluates one batch; called by Keras."""
        return self._run(self._evaluate, *args)

    def _run(self, update, *args):
        """Runs `update(images, labels)`; on JAX, from state to state."""
        images, labels = self._images_and_labels(args[-1])
        if len(args) == 1:
            return replicas.reducible(update(images, labels))
        state = args[0]
        variables = [self.trainable_variables, self.non_trainable_variables]
        if len(state) == 4:  # Training.
            variables.append(self.optimizer.variables)
        variables.append(self.metrics_variables)
        mapping = [
            pair
            for group in zip(variables, state, strict=True)
            for pair in zip(*group, strict=True)
        ]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            logs = update(images, labels)
            state = tuple(
                [scope.get_current_value(variable) for variable in group]
                for group in variables
            )
        return logs, state

    def _train(self, real_images, labels):
        logs = []
        for _ in range(self.discriminator_steps):
            latents = self._noise_like(real_images, self.noise)
            fake_images, pullback = self._generate_for_training(latents, labels)
            logs.append(
                self._train_discriminator(real_images, fake_images, labels)
            )
        g_loss = self._train_generator(
            real_images, fake_images, pullback, labels
        )
        means = {
            name: sum(one[name] for one in logs) / len(logs) for name in logs[0]
        }
        self._means.update_state(
            {**means, "g_loss": g_loss, **extremes(real_images)}
        )
        self.optimizer.iterations.assign_add(1)
        if self.ema_momentum is not None:
            self._update_averages(self.optimizer.iterations)
        return self.get_metrics_result()

    def _generate_for_training(self, latents, labels=None):
        def generate():
            images = given(self.generator, labels)(latents, training=True)
            return ops.cast(images, keras.config.floatx()), None

        fake_images, _, pullback = gradients.vjp(
            generate,
            self.generator.trainable_variables,
            self.generator.variables,
        )
        return fake_images, pullback

    def _train_discriminator(self, real_images, fake_images, labels=None):
        discriminator = given(self.discriminator, labels)
        # Read here: on JAX, the function sees only the state that it is given.
        step = ops.convert_to_tensor(self.optimizer.iterations)

        def penalized_loss():
            real_logits = discriminator(real_images, training=True)
            for layer in self._observers:
                layer.observe(real_logits - (self._threshold or 0.0))
            fake_logits = discriminator(fake_images, training=True)
            loss = self.loss.discriminator(real_logits, fake_logits)
            images = (real_images, fake_images)
            penalty = sum(
                (
                    _penalty_at(step, penalty, discriminator, *images)
                    for penalty in self._penalties
                ),
                start=ops.zeros_like(loss),
            )
            return loss + penalty, {
                "d_loss": loss,
                "penalty": penalty,
                **self._scores(real_logits, fake_logits),
            }

        state = [
            *discriminator.variables,
            *(noise.state for noise in self._penalty_noise),
        ]
        variables = self.discriminator.trainable_variables
        loss, logs, pullback = gradients.vjp(penalized_loss, variables, state)
        optimizer = self.optimizer.discriminator_optimizer
        cotangent = gradients.loss_cotangent(loss, optimizer)
        gradients.apply(optimizer, pullback(cotangent), variables)
        return {**logs, "spread": spread(real_images, fake_images)}

    def _train_generator(self, real_images, fake_images, pullback, labels=None):
        discriminator = given(self.discriminator, labels)

        def loss_of(fake_images):
            real_logits = None
            if getattr(self.loss, "generator_needs_real_logits", False):
                real_logits = discriminator(real_images, training=True)
            fake_logits = discriminator(fake_images, training=True)
            return self.loss.generator(real_logits, fake_logits)

        loss, pull_to_images = gradients.input_vjp(
            loss_of, fake_images, discriminator.variables
        )
        optimizer = self.optimizer.generator_optimizer
        cotangent = gradients.loss_cotangent(loss, optimizer)
        gradients.apply(
            optimizer,
            pullback(pull_to_images(cotangent)),
            self.generator.trainable_variables,
        )
        return loss

    def _evaluate(self, real_images, labels):
        latents = self._noise_like(real_images, self.evaluation_noise)
        inputs = latents if labels is None else [latents, labels]
        fake_images = self._sample(inputs, training=False)
        discriminator = given(self.discriminator, labels)
        real_logits = discriminator(real_images, training=False)
        fake_logits = discriminator(fake_images, training=False)
        logs = {
            "d_loss": self.loss.discriminator(real_logits, fake_logits),
            "g_loss": self.loss.generator(real_logits, fake_logits),
            **self._scores(real_logits, fake_logits),
            "spread": spread(real_images, fake_images),
        }
        self._means.update_state(logs)
        means = self._means.result()
        return {name: means[name] for name in logs}

    def _scores(self, real_logits, fake_logits):
        return scores(real_logits, fake_logits, self._threshold)

    def _images_and_labels(self, data):
        """Returns what the data set yields, or explains what it should."""
        images, labels, weight = keras.utils.unpack_x_y_sample_weight(data)
        conditional = self.num_classes is not None
        if (
            isinstance(images, (list, tuple, dict))
            or conditional == (labels is None)
            or weight is not None
        ):
            wanted = (
                "images and labels, `(images, labels)`"
                if conditional
                else "images alone; leave out the rest, as by "
                "`dataset.map(lambda images, labels: images)`"
            )
            received = type(data).__name__
            if isinstance(data, (list, tuple, dict)):
                received += f" of {len(data)}"
            raise ValueError(
                f"This `GAN` is trained on {wanted}. The data set yields: "
                f"{received}"
            )
        if not compatible(images.shape[1:], self.image_shape):
            raise ValueError(
                "The real images must have the shape of the generated ones, "
                f"{self.image_shape}. Received images of shape "
                f"{tuple(images.shape[1:])}"
            )
        images = ops.cast(images, keras.config.floatx())
        if not conditional:
            return images, None
        if len(labels.shape) != 1:
            raise ValueError(
                "The labels must be integers of shape (batch,). Received: "
                f"labels of shape {tuple(labels.shape)}"
            )
        return images, ops.cast(labels, "int32")

    # Saving.

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            "name": self.name,
            "generator": keras.saving.serialize_keras_object(self.generator),
            "discriminator": keras.saving.serialize_keras_object(
                self.discriminator
            ),
            "latent_distribution": self.latent_distribution,
            "ema_momentum": self.ema_momentum,
            "num_classes": self.num_classes,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Creates the GAN from `get_config`'s dictionary."""
        networks = {
            name: keras.saving.deserialize_keras_object(
                config[name], custom_objects=custom_objects
            )
            for name in ("generator", "discriminator")
        }
        return cls(**{**config, **networks})

    def get_compile_config(self):
        """Returns the arguments of `compile`."""
        if not self.compiled:
            return {}
        return keras.saving.serialize_keras_object(
            {
                "generator_optimizer": self.optimizer.generator_optimizer,
                "discriminator_optimizer": (
                    self.optimizer.discriminator_optimizer
                ),
                "loss": self.loss,
                "discriminator_steps": self.discriminator_steps,
                "penalty": list(self._penalties),
                **self._compile_kwargs,
            }
        )

    def compile_from_config(self, config):
        """Compiles with the arguments of `get_compile_config`."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    def save_own_variables(self, store):
        """Stores the averages and, as Keras does not, the random seeds."""
        super().save_own_variables(store)
        seeds.store(store, self._seed_states())

    def load_own_variables(self, store):
        """Restores what `save_own_variables` stored."""
        super().load_own_variables(seeds.restore(store, self._seed_states()))

    def _seed_states(self):
        return seeds.states(
            (self.generator, self.discriminator),
            (self.noise, self.evaluation_noise, *self._penalty_noise),
        )


def _penalty_at(step, penalty, *arguments):
    """Returns the penalty, or 0 between the steps of its interval."""
    interval = getattr(penalty, "interval", 1)

    def value():
        return ops.cast(interval * penalty(*arguments), "float32")

    if interval == 1:
        return value()
    return ops.cond(step % interval == 0, value, lambda: ops.zeros(()))


def _observers(network):
    """Yields the layers that want to see the logits of real images."""
    for layer in getattr(network, "layers", ()):
        if hasattr(layer, "observe"):
            yield layer
        elif isinstance(layer, keras.Model):
            yield from _observers(layer)
