"""The GAN: two networks, trained by `fit` on every Keras backend."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from gan_blocks import backend, gradients, losses, replicas
from gan_blocks._checks import as_seed, check_positive_integer
from gan_blocks._steps import remaining_fits, steps_done
from gan_blocks._types import PathLike, Tensor
from gan_blocks.gan import (
    averages,
    checks,
    data,
    logs,
    ranges,
    seeds,
    step,
)
from gan_blocks.gan.data import INVALID_LABELS
from gan_blocks.gan.labels import labels_to_generate, with_labels
from gan_blocks.gan.latents import (
    as_latents,
    draw_latents,
    draw_latents_in_step,
    latent_path,
)
from gan_blocks.gan.optimizers import (
    OptimizerPair,
    build_optimizer,
    exclude_from_weight_decay,
    positions_without_decay,
)


@keras.saving.register_keras_serializable(package="gan_blocks")
class GAN(keras.Model):
    """Trains a generator and a discriminator against each other.

    Takes any two built Keras models and trains them under plain `fit`, on
    TensorFlow, JAX and torch. A training step updates the discriminator, once
    or several times, and then the generator.

    All state of the training is part of the model: `save` and
    `keras.saving.load_model` restore both networks, both optimizers, the
    random seeds and the moving average. A loaded GAN continues exactly where
    the saved one stopped.

    Args:
        generator: Keras model that maps latents `(batch, ...)` to images.
        discriminator: Keras model that maps images to logits, `(batch, 1)` or
            patches `(batch, height, width, 1)`. It has no sigmoid at its end,
            because the losses take logits. Put augmentation into its first
            layers, so that it changes both real and generated images. If a
            layer has a method `observe`, like `layers.AdaptiveAugment`, each
            step calls this method with the logits of the real images, minus
            the loss's `decision_threshold`.
        latent_distribution: `"normal"` (mean 0, deviation 1) or `"uniform"`
            (from -1 to 1). Defaults to `"normal"`.
        ema_momentum: Momentum of a moving average of the generator's weights,
            between 0 and 1. Each step updates the average, and `generate` and
            `call` use it. It includes the statistics of batch normalization.
            In step `n` the momentum is at most `(1 + n) / (10 + n)`, so that
            short trainings do not show the initial weights. Before the first
            step, the average is the generator itself. Defaults to `None`: no
            average.
        num_classes: Number of classes of a conditional GAN. The generator then
            takes `[latents, labels]` and the discriminator `[images, labels]`,
            with integer labels `(batch,)` from 0. Each step generates images
            for the labels of its real images. Defaults to `None`: no labels.
        seed: Integer seed of the noise for training. Defaults to `None`: drawn
            from Python's `random`, which `keras.utils.set_random_seed` seeds.
        **kwargs: Further arguments of `keras.Model`, such as `name`.

    Input shape:
        `fit` and `evaluate` take real images `(batch, height, width,
        channels)` in the range of the generator's output, in any form that
        Keras accepts: an array, a `tf.data.Dataset`, a `PyDataset`, a
        `DataLoader`. With `num_classes` they take pairs of images and labels.
        `call` and `predict` take what the generator takes.

    Logs:
        All logs are means over the batches, and over the replicas that share
        a batch.

        - `d_loss`, `g_loss`: the adversarial losses, without penalties.
        - `penalty`: the sum of the penalties, if there are any.
        - `real_score`, `fake_score`: the mean logits. Equal scores mean that
          the discriminator cannot tell real from generated images.
        - `real_accuracy`, `fake_accuracy`: the share of the real and of the
          generated images that the discriminator classifies correctly, from 0
          to 1. A logit on the loss's `decision_threshold` counts as half. The
          accuracies are logged only if the loss has a threshold. If both are
          near 1, the discriminator dominates.
        - `spread`: how varied the generated images are, relative to the real
          images of the batch: the root mean squared deviation from the mean
          image, generated divided by real. 0 means that all generated images
          are equal (mode collapse). 1 means that they vary as much as the real
          images.

    Raises:
        ValueError: If the networks do not fit each other or are not built, or
            an argument is out of its range.

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
        generator: keras.Model,
        discriminator: keras.Model,
        latent_distribution: Literal["normal", "uniform"] = "normal",
        ema_momentum: float | None = None,
        num_classes: int | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
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
        if num_classes is not None:
            check_positive_integer("num_classes", num_classes)
        self.latent_shape, self.image_shape = checks.matching_shapes(
            generator, discriminator, conditional=num_classes is not None
        )
        self.generator = generator
        self.discriminator = discriminator
        self.latent_distribution = latent_distribution
        self.ema_momentum = ema_momentum
        self.num_classes = num_classes
        self.seed = as_seed(seed)
        self.generator_averages = []
        if ema_momentum is not None:
            self.generator_averages = averages.create_averages(self, generator)
        # Until the first step, the average is the generator itself.
        self._average_is_generator = ema_momentum is not None
        self._steps_when_loaded = 0
        self.noise = keras.random.SeedGenerator(self.seed)
        # Evaluation has its own noise, so that it does not change training.
        self.evaluation_noise = keras.random.SeedGenerator(self.seed)
        self._penalties = []
        self._penalty_noise = []
        self._observers = [
            layer
            for layer in discriminator._flatten_layers()
            if hasattr(layer, "observe")
        ]
        self._compiled_generator = gradients.compiled_inference(
            self._run_generator
        )
        self.built = True

    # Compiling.

    def compile(
        self,
        generator_optimizer: keras.optimizers.Optimizer | str | None = None,
        discriminator_optimizer: keras.optimizers.Optimizer | str | None = None,
        loss: losses.LossName | losses.AdversarialLoss = "non_saturating",
        discriminator_steps: int = 1,
        penalty: Callable | Sequence[Callable] | None = None,
        **kwargs: Any,
    ) -> None:
        """Configures the training.

        A GAN that is compiled again keeps its number of steps, which
        `optimizer.iterations` counts, and its moving average.

        Args:
            generator_optimizer: Keras optimizer, or its name. Required.
            discriminator_optimizer: Another Keras optimizer, or its name.
                Required.
            loss: `AdversarialLoss`, or its name: see `losses.get`. Defaults
                to `"non_saturating"`.
            discriminator_steps: Number of updates of the discriminator per
                batch, each with newly generated images, before the one update
                of the generator. Defaults to 1.
            penalty: `Penalty`, or any function `(discriminator, real_images,
                fake_images)` that returns a scalar, or a list of these. It is
                added to the discriminator's loss. A penalty with an `interval`
                is computed only in every `interval`-th step, and multiplied by
                `interval`. Defaults to `None`: no penalty.
            **kwargs: `run_eagerly`, `steps_per_execution` and `jit_compile`,
                as in `keras.Model.compile`.

        Raises:
            ValueError: If an argument has the wrong type or is out of range.
        """
        g_optimizer, d_optimizer = checks.two_optimizers(
            generator_optimizer, discriminator_optimizer, kwargs
        )
        check_positive_integer("discriminator_steps", discriminator_steps)
        penalties = checks.list_of_penalties(penalty)
        self.loss = checks.adversarial_loss(loss, self._observers)
        self.discriminator_steps = discriminator_steps
        self._penalties = penalties
        # As an attribute of the model, Keras tracks their state.
        self._penalty_noise = [
            penalty.seed_generator
            for penalty in penalties
            if getattr(penalty, "seed_generator", None) is not None
        ]
        self._log_names = logs.names(self._threshold, bool(penalties))
        names = [*self._log_names, *ranges.EXTREMES]
        if self.num_classes is not None:
            names.append(INVALID_LABELS)
        self.means = logs.Means(names)
        steps = self._step_count()
        super().compile(
            optimizer=OptimizerPair(
                build_optimizer(self.generator, g_optimizer),
                build_optimizer(self.discriminator, d_optimizer),
            ),
            auto_scale_loss=False,
            **kwargs,
        )
        self._compile_kwargs = kwargs
        # The data and the moving average continue at the step of the GAN.
        self.optimizer.iterations.assign(steps)
        self.optimizer.check_variables(self.generator, self.discriminator)

    def make_train_function(self, force=False):
        self.optimizer.check_variables(self.generator, self.discriminator)
        self._copy_generator_to_average()
        self._set_average_is_generator(False)
        return super().make_train_function(force)

    @property
    def _threshold(self):
        return getattr(self.loss, "decision_threshold", None)

    @property
    def metrics(self):
        return [self.means] if self.compiled else []

    @property
    def metrics_names(self):
        """The names of the values that `evaluate` returns, in order."""
        return sorted(logs.names(self._threshold))

    def get_metrics_result(self):
        means = self.means.result()
        return {name: means[name] for name in self._log_names}

    # Training.

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Any = None,
        *,
        resume: bool = False,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Trains on real images.

        Warns after the first batch if the images have another range than the
        outputs of the generator.

        Args:
            x: Real images, or with `num_classes` images and labels: see the
                class. `datasets.batches` starts at the step that the GAN has
                reached (`optimizer.iterations`).
            y: Labels, if `x` is an array.
            batch_size: As in `keras.Model.fit`.
            epochs: Number of epochs. Defaults to 1.
            verbose: As in `keras.Model.fit`.
            callbacks: As in `keras.Model.fit`.
            resume: If True, `epochs` is the total number of epochs, and
                training continues at the step that the GAN has reached, even
                in the middle of an epoch. Needs data that can start at any
                step, such as `datasets.batches`. Defaults to False.
            **kwargs: As in `keras.Model.fit`.

        Raises:
            ValueError: If the GAN is not compiled, if `resume` is True and
                `x` cannot start at any step, or if the data is not suitable.
                Arrays are checked in full before the first step. Labels in
                other data are checked after the first batch and after each
                epoch; until then, a label that is not a class counts as the
                nearest class.

        Example:

        ```python
        import keras
        import numpy as np
        from gan_blocks import GAN, datasets, networks

        gan = GAN(
            networks.mlp_generator((8, 8, 1), latent_dim=16),
            networks.mlp_discriminator((8, 8, 1)),
        )
        gan.compile("adam", "adam")
        batches = datasets.batches(np.zeros((32, 8, 8, 1), "uint8"), 8)
        gan.fit(batches, epochs=2, resume=True, verbose=0)
        gan.save("gan.keras")

        gan = keras.saving.load_model("gan.keras")
        gan.fit(batches, epochs=3, resume=True, verbose=0)  # The third epoch.
        assert gan.optimizer.iterations == 12
        ```
        """
        x, y = self._prepare("fit", x, y, batch_size=batch_size, **kwargs)
        if kwargs.get("validation_data") is not None:
            parts = data.as_tuple(kwargs["validation_data"])
            parts = parts if len(parts) <= 3 else [parts]
            kwargs["validation_data"] = self._prepare("fit", *parts)
        replicas.broadcast([*self.variables, *self.optimizer.variables])
        with self._before_first_step(), backend.keep_values(self) as added:
            added += [ranges.RangeCheck(), data.DataCheck()]
            callbacks = data.with_callbacks(callbacks, added, self)
            options = {"verbose": verbose, "callbacks": callbacks, **kwargs}
            if hasattr(x, "from_step"):
                return self._fit_from_step(x, y, epochs, resume, **options)
            if resume:
                raise ValueError(
                    "`resume=True` needs data that can start at any step, such "
                    "as `datasets.batches(...)`. Received: x of type "
                    f"{type(x).__name__}"
                )
            self._check_steps(kwargs.get("steps_per_epoch"))
            return super().fit(x, y, batch_size, epochs, **options)

    def _fit_from_step(self, x, y, epochs, resume, **options):
        steps_per_epoch = options.pop("steps_per_epoch", None) or len(x)
        parts = [{"epochs": epochs, "steps_per_epoch": steps_per_epoch}]
        if resume:
            parts = remaining_fits(self, epochs, steps_per_epoch)
        history = keras.callbacks.History()
        history.set_model(self)
        history.on_train_begin()
        self._check_steps(steps_per_epoch)
        for part in parts:
            batches = x.from_step(steps_done(self))
            batches, y = self._prepare("fit", batches, y)
            reading = getattr(batches, "reading", contextlib.nullcontext)
            with (
                self._executions_that_divide(part["steps_per_epoch"]),
                reading(),
            ):
                part_history = super().fit(
                    batches, y, **{**options, "shuffle": False, **part}
                )
            history.epoch += part_history.epoch
            for name, values in part_history.history.items():
                history.history.setdefault(name, []).extend(values)
        self.history = history
        return history

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: None = None,
        steps: int | None = None,
        callbacks: Any = None,
        **kwargs: Any,
    ) -> Any:
        if kwargs.get("_use_cached_eval_dataset"):
            # `fit` evaluates before it calls `on_epoch_end`.
            backend.sync_variables(self)
            data.check_means(self.means.result(), self.num_classes)
        else:
            x, y = self._prepare(
                "evaluate", x, y, sample_weight, batch_size=batch_size
            )
        with backend.keep_values(self) as added:
            callbacks = data.with_callbacks(callbacks, added, self)
            result = super().evaluate(
                x, y, batch_size, verbose, None, steps, callbacks, **kwargs
            )
        data.check_means(self.means.result(), self.num_classes)
        return result

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        if batch_size is not None:
            check_positive_integer("batch_size", batch_size)
        if self.num_classes is not None and isinstance(x, (list, tuple)):
            if len(x) != 2:
                raise ValueError(
                    "`x` must be `[latents, labels]`. Received: a "
                    f"{type(x).__name__} of {len(x)} elements"
                )
            data.check_labels(x[1], self.num_classes)
        with backend.keep_values(self) as added:
            callbacks = data.with_callbacks(callbacks, added, self)
            return super().predict(x, batch_size, verbose, steps, callbacks)

    def train_on_batch(self, x, y=None, *args, **kwargs):
        x, y = self._prepare("train_on_batch", x, y, **kwargs)
        return super().train_on_batch(x, y, *args, **kwargs)

    def test_on_batch(self, x, y=None, *args, **kwargs):
        x, y = self._prepare("test_on_batch", x, y, **kwargs)
        return super().test_on_batch(x, y, *args, **kwargs)

    @contextlib.contextmanager
    def _executions_that_divide(self, steps):
        """Executes fewer steps at once in the rest of an epoch if needed."""
        whole = self.steps_per_execution
        self.steps_per_execution = math.gcd(whole, steps)
        if self.steps_per_execution == whole:
            yield
            return
        self.train_function = None  # It was compiled for another number.
        try:
            yield
        finally:
            self.steps_per_execution = whole
            self.train_function = None

    def _check_steps(self, steps_per_epoch):
        if steps_per_epoch and steps_per_epoch % self.steps_per_execution:
            raise ValueError(
                "`steps_per_execution` of `compile` must divide the number of "
                "steps in an epoch. Received: steps_per_execution="
                f"{self.steps_per_execution} and {steps_per_epoch} steps"
            )

    def _prepare(self, method, x, y=None, sample_weight=None, **arguments):
        """Checks the data and the arguments of a method of Keras."""
        if not self.compiled:
            raise ValueError(
                f"The GAN must be compiled before `{method}`. Example: "
                "gan.compile(keras.optimizers.Adam(2e-4, 0.5), "
                'keras.optimizers.Adam(2e-4, 0.5), loss="non_saturating")'
            )
        for name, value in {
            "sample_weight": sample_weight,
            **arguments,
        }.items():
            if name in ("sample_weight", "class_weight") and value is not None:
                raise ValueError(
                    f"A `GAN` takes no `{name}`, because all images count "
                    f"equally. Received: {name} of type {type(value).__name__}"
                )
        if arguments.get("batch_size") is not None:
            check_positive_integer("batch_size", arguments["batch_size"])
        return data.prepare(x, y, self.image_shape, self.num_classes)

    @backend.training_step
    def train_step(self, data):
        real_images, labels, invalid = self._images_and_labels(data)
        generator = with_labels(self.generator, labels)
        discriminator = with_labels(self.discriminator, labels)
        g_optimizer, d_optimizer = self.optimizer.optimizers
        batch_logs = []
        for _ in range(self.discriminator_steps):
            fake_images, pullback = step.generate_images(
                generator, self._latents_like(real_images, self.noise)
            )
            results = step.discriminator_step(
                discriminator,
                d_optimizer,
                self.loss,
                self._penalties,
                real_images,
                fake_images,
                step_number=self.optimizer.iterations,
            )
            d_loss, penalty, real_logits, fake_logits = results
            for layer in self._observers:
                layer.observe(real_logits - self._threshold)
            batch_logs.append(
                logs.values(
                    real_images,
                    fake_images,
                    real_logits,
                    fake_logits,
                    self._threshold,
                    d_loss=d_loss,
                    penalty=penalty,
                )
            )
        g_loss = step.generator_step(
            generator,
            g_optimizer,
            self.loss,
            discriminator,
            real_images,
            fake_images,
            pullback,
        )
        self.optimizer.iterations.assign_add(1)
        if self.ema_momentum is not None:
            averages.update_averages(
                self.generator_averages,
                self.generator,
                self.ema_momentum,
                self.optimizer.iterations,
            )
        self.means.update_state(
            {
                **logs.mean(batch_logs),
                "g_loss": g_loss,
                **ranges.extremes(real_images),
                INVALID_LABELS: invalid,
            }
        )
        return replicas.as_reducible_logs(self.get_metrics_result())

    @backend.evaluation_step
    def test_step(self, data):
        real_images, labels, invalid = self._images_and_labels(data)
        latents = self._latents_like(real_images, self.evaluation_noise)
        fake_images = self._run_inference(
            latents if labels is None else [latents, labels]
        )
        discriminator = with_labels(self.discriminator, labels)
        real_logits = discriminator(real_images, training=False)
        fake_logits = discriminator(fake_images, training=False)
        batch_logs = logs.values(
            real_images,
            fake_images,
            real_logits,
            fake_logits,
            self._threshold,
            d_loss=self.loss.discriminator(real_logits, fake_logits),
            g_loss=self.loss.generator(real_logits, fake_logits),
        )
        self.means.update_state({**batch_logs, INVALID_LABELS: invalid})
        means = self.means.result()
        return replicas.as_reducible_logs(
            {name: means[name] for name in batch_logs}
        )

    def _images_and_labels(self, batch):
        return data.images_and_labels(batch, self.image_shape, self.num_classes)

    def _latents_like(self, images, seed_generator):
        return draw_latents_in_step(
            ops.shape(images)[0],
            self.latent_shape,
            self.latent_distribution,
            seed_generator,
        )

    # Generating.

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Returns images.

        Args:
            inputs: Latents `(batch, ...)` with the input shape of the
                generator; with `num_classes` a list of latents and labels.
            training: If False, the default, the moving average of the
                generator is used if there is one.
        """
        if training:
            return self.generator(inputs, training=True)
        return self._run_inference(inputs)

    def generate(
        self,
        num_images: int | None = None,
        latents: Any = None,
        labels: Any = None,
        seed: int | None = None,
        batch_statistics: bool = False,
        batch_size: int = 64,
    ) -> np.ndarray:
        """Generates images. The GAN does not change.

        Args:
            num_images: Number of images to generate from random latents.
            latents: The latents, `(number, ...)`, instead of `num_images`.
            labels: The class of each image, an integer array `(number,)`, or
                one integer for all images. Only with `num_classes`. Defaults
                to `None`: all classes in turn.
            seed: Integer seed of the random latents. The first images of a
                seed are the same for every `num_images`. Defaults to `None`:
                different images in each call.
            batch_statistics: If True, the generator runs as in training: batch
                normalization uses the statistics of the batch, and dropout is
                active. An image then depends on its batch, so the last batch
                is filled with further latents. Defaults to False.
            batch_size: Number of images per batch. Defaults to 64.

        Returns:
            NumPy array of float32 images, `(number, height, width, channels)`,
            in the range of the generator's output.

        Raises:
            ValueError: If not exactly one of `num_images` and `latents` is
                given, if the latents do not have the input shape of the
                generator, if the labels are not classes, or if a number is out
                of range.
        """
        if (num_images is None) == (latents is None):
            raise ValueError(
                "Exactly one of `num_images` and `latents` must be given. "
                f"Received: num_images={num_images}, latents={latents}"
            )
        check_positive_integer("batch_size", batch_size)
        if latents is not None:
            latents = as_latents(latents, self.latent_shape)
            num_images = len(latents)
        check_positive_integer("num_images", num_images)
        number: Any = num_images
        filled = batch_statistics or backend.COMPILES_EACH_SHAPE
        fill = -number % batch_size if filled else 0
        if latents is None:
            latents = self.sample_latents(number + fill, seed)
        elif fill:
            others = self.sample_latents(fill, seed=0)
            latents = np.concatenate([latents, others])
        labels = labels_to_generate(labels, number, self.num_classes, fill)
        backend.sync_variables(self)
        run = self._compiled_generator
        if self.run_eagerly:
            run = self._run_generator
        values = [variable.value for variable in self._inference_variables()]
        images: Any = None
        for start in range(0, len(latents), batch_size):
            part = slice(start, start + batch_size)
            inputs = latents[part]
            if labels is not None:
                inputs = [inputs, labels[part]]
            batch = run(values, inputs, bool(batch_statistics))
            if images is None:
                shape = (len(latents), *batch.shape[1:])
                images = np.empty(shape, "float32")
            images[part] = ops.convert_to_numpy(batch)
        return images[:number]

    def averaged_generator(self) -> keras.Model:
        """Returns a copy of the generator that `generate` uses.

        Use it to save or export the generator without the GAN. It takes
        latents, or with `num_classes` a list of latents and labels, and
        returns images. After training with mixed precision, the copy computes
        with float32, which every program supports.

        Returns:
            A copy of `generator` with the moving average of its weights, or
            with its current weights if the GAN has no moving average.

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
        backend.sync_variables(self)
        config = self.generator.get_config()
        generator = type(self.generator).from_config(config)
        for layer in generator._flatten_layers():
            policy = layer.dtype_policy
            if policy.name.startswith("mixed_"):
                layer.dtype_policy = keras.DTypePolicy(policy.variable_dtype)
        # Keras exports only models that have been called.
        latents = self.sample_latents(1, seed=0)
        labels = labels_to_generate(None, 1, self.num_classes)
        generator(latents if labels is None else [latents, labels])
        values = self._inference_variables()
        for variable, value in zip(generator.variables, values, strict=True):
            variable.assign(ops.copy(value))  # JAX deletes used buffers.
        return generator

    def export(self, filepath: PathLike, *args: Any, **kwargs: Any) -> None:
        try:
            self.averaged_generator().export(str(filepath), *args, **kwargs)
        except Exception as error:  # Keras converts with other packages.
            raise ValueError(
                "`export` exports `averaged_generator()`, which Keras could "
                f"not do on {keras.backend.backend()}. Try another `format`, "
                f"or another backend. Received: {error}"
            ) from error

    def sample_latents(
        self, number: int, seed: int | None = None
    ) -> np.ndarray:
        """Draws random latents, which are the same on every backend.

        Args:
            number: Number of latents, at least 1.
            seed: Integer seed. Defaults to `None`: different latents in each
                call.

        Returns:
            NumPy array of float32, `(number, ...)`.
        """
        check_positive_integer("number", number)
        return draw_latents(
            number, self.latent_shape, self.latent_distribution, seed
        )

    def interpolate_latents(
        self, latents: Any, steps: int, closed: bool = False
    ) -> np.ndarray:
        """Returns a path through the given latents, in even steps.

        Images that are generated along the path change gradually. Uniform
        latents are joined by straight lines. Normal latents are joined by arcs
        around zero (spherical linear interpolation), because their lengths are
        nearly equal and the middle of a straight line is much too short.

        Generate the images without `batch_statistics`: the images of a path
        are similar, so their statistics differ from those of a random batch.

        Args:
            latents: The latents to pass through, `(number, ...)`, at least 2,
                for example from `sample_latents`.
            steps: Number of steps from each latent to the next, at least 1.
            closed: If True, the path returns to the first latent, for an
                animation that repeats. The first latent is not repeated at the
                end. Defaults to False.

        Returns:
            NumPy array of float32, `((number - 1) * steps + 1, ...)`, or
            `(number * steps, ...)` if `closed`. Every `steps`-th element is one
            of the given latents.

        Raises:
            ValueError: If there are fewer than 2 latents, they do not have the
                input shape of the generator, or `steps` is less than 1.

        Example:

        ```python
        import gan_blocks

        gan = gan_blocks.GAN(
            gan_blocks.networks.mlp_generator((8, 8, 1), latent_dim=16),
            gan_blocks.networks.mlp_discriminator((8, 8, 1)),
        )
        latents = gan.sample_latents(5, seed=0)
        path = gan.interpolate_latents(latents, steps=8, closed=True)
        frames = [
            gan_blocks.images.grid(image[None], scale=4)
            for image in gan.generate(latents=path)
        ]
        gan_blocks.images.save_animation(frames, "path.gif", 20, hold_last=0)
        ```

        Reference:
            White, 2016, Sampling Generative Networks,
            https://arxiv.org/abs/1609.04468
        """
        latents = as_latents(latents, self.latent_shape)
        return latent_path(latents, steps, closed, self.latent_distribution)

    def _inference_variables(self):
        if self._average_is_generator:
            return self.generator.variables
        return averages.averaged_variables(
            self.generator_averages, self.generator
        )

    def _copy_generator_to_average(self):
        if self._average_is_generator:
            averages.copy_weights(self.generator_averages, self.generator)

    @contextlib.contextmanager
    def _before_first_step(self):
        """Keeps the average equal to the generator if no step is made."""
        if not self._average_is_generator:
            yield
            return
        try:
            yield
        finally:
            # A step that fails on JAX deletes the number of steps too.
            with contextlib.suppress(RuntimeError):
                self._set_average_is_generator(self._step_count() == 0)

    def _set_average_is_generator(self, value):
        if value != self._average_is_generator:
            self._average_is_generator = value
            # They were compiled for the other value.
            self.test_function = self.predict_function = None

    def _run_inference(self, inputs):
        """Runs the (averaged) generator in inference mode."""
        return self._run_generator(
            self._inference_variables(), inputs, training=False
        )

    def _run_generator(self, values, inputs, training):
        """Runs the generator with other values of all its variables."""
        mapping = list(zip(self.generator.variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return self.generator(inputs, training=training)

    # Saving.

    def get_config(self):
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
        networks = {
            name: keras.saving.deserialize_keras_object(
                config[name], custom_objects=custom_objects
            )
            for name in ("generator", "discriminator")
        }
        return cls(**{**config, **networks})

    def get_compile_config(self):
        if not self.compiled:
            return {}
        generator_optimizer, discriminator_optimizer = self.optimizer.optimizers
        config = {
            "generator_optimizer": generator_optimizer,
            "discriminator_optimizer": discriminator_optimizer,
            "loss": self.loss,
            "discriminator_steps": self.discriminator_steps,
            "penalty": list(self._penalties),
            **self._compile_kwargs,
        }
        positions = [*map(positions_without_decay, self.optimizer.optimizers)]
        if any(positions):
            config["positions_without_decay"] = positions
        return keras.saving.serialize_keras_object(config)

    def compile_from_config(self, config):
        config = keras.saving.deserialize_keras_object(config)
        for positions, optimizer, network in zip(
            config.pop("positions_without_decay", ()),
            (config["generator_optimizer"], config["discriminator_optimizer"]),
            (self.generator, self.discriminator),
            strict=False,
        ):
            exclude_from_weight_decay(optimizer, network, positions)
        self.compile(**config)

    def save_own_variables(self, store):
        self._copy_generator_to_average()
        super().save_own_variables(store)
        seeds.store(store, self._seed_states())
        store["steps"] = np.asarray(self._step_count())
        store["average_is_generator"] = np.asarray(self._average_is_generator)

    def load_own_variables(self, store):
        store = seeds.restore(store, self._seed_states(), self.compiled)
        # Version 0.1.0 did not save the next two values.
        self._steps_when_loaded = int(np.asarray(store.pop("steps", 0)))
        is_generator = bool(np.asarray(store.pop("average_is_generator", 0)))
        # The file or this GAN may be without a moving average.
        has_average = bool(store and self.generator_averages)
        # The averages, and the variables of a subclass.
        own = self._trainable_variables + self._non_trainable_variables
        if store and own:
            super().load_own_variables(store)
        self._set_average_is_generator(
            bool(self.generator_averages) and (is_generator or not has_average)
        )

    def get_weights(self):
        self._copy_generator_to_average()
        return super().get_weights()

    def set_weights(self, weights):
        super().set_weights(weights)
        self._set_average_is_generator(False)

    def _step_count(self):
        return steps_done(self) if self.compiled else self._steps_when_loaded

    def _seed_states(self):
        return seeds.states(
            (self.generator, self.discriminator),
            (self.noise, self.evaluation_noise, *self._penalty_noise),
        )
