"""Adversarial losses on logits.

The losses take the discriminator's logits, not probabilities, so they do not
overflow. Logits may have any shape, such as `(batch, 1)`, or
`(batch, height, width, 1)` for a PatchGAN. A loss is the mean over all logits,
computed in float32 under mixed precision.
"""

from typing import Any, Literal, cast

import keras
from keras import ops

from gan_blocks._configurable import Configurable
from gan_blocks._types import Tensor

__all__ = [
    "AdversarialLoss",
    "Hinge",
    "LabelSmoothedBinaryCrossentropy",
    "LeastSquares",
    "LossName",
    "Minimax",
    "NonSaturating",
    "RelativisticPairing",
    "Wasserstein",
    "get",
]

LossName = Literal[
    "non_saturating",
    "minimax",
    "least_squares",
    "hinge",
    "wasserstein",
    "relativistic_pairing",
]


class AdversarialLoss(Configurable):
    """Base class of losses for a discriminator and its generator.

    To write your own loss, subclass this class, define `discriminator` and
    `generator`, and register the subclass with
    `keras.saving.register_keras_serializable`. Both methods take the real
    logits first and return a scalar to minimize. Store the constructor's
    arguments as attributes of the same name, so that the loss can be saved.

    With several replicas the `GAN` divides the loss by their number, so a
    loss must be a plain mean over the batch.

    Attributes:
        generator_needs_real_logits: If True, the `GAN` passes the real logits
            to `generator`. If False, it passes `None` and saves a forward pass
            of the discriminator. Defaults to False.
        decision_threshold: Logit above which an image counts as real, for the
            logs `real_accuracy` and `fake_accuracy`. Defaults to 0.0. If
            `None`, the accuracies are not logged. Use `None` if only
            differences between logits have a meaning.

    Example:

    ```python
    import keras
    import gan_blocks

    @keras.saving.register_keras_serializable(package="example")
    class SquaredHinge(gan_blocks.losses.AdversarialLoss):
        def discriminator(self, real_logits, fake_logits):
            return keras.ops.mean(
                keras.ops.square(keras.ops.relu(1.0 - real_logits))
            ) + keras.ops.mean(
                keras.ops.square(keras.ops.relu(1.0 + fake_logits))
            )

        def generator(self, real_logits, fake_logits):
            return -keras.ops.mean(fake_logits)

    loss = SquaredHinge()
    real_logits, fake_logits = keras.ops.ones((4, 1)), keras.ops.zeros((4, 1))
    print(float(loss.discriminator(real_logits, fake_logits)))
    ```
    """

    generator_needs_real_logits: bool = False
    decision_threshold: float | None = 0.0

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Returns the scalar that the discriminator minimizes."""
        raise NotImplementedError

    def generator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Returns the scalar that the generator minimizes."""
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="gan_blocks")
class LabelSmoothedBinaryCrossentropy(keras.losses.Loss):
    """Binary cross-entropy on logits with one-sided label smoothing.

    Only the real label is smoothed, from 1 to `1 - label_smoothing`. The fake
    label stays 0, because a higher one would reward the generator for samples
    that it already produces too often. In contrast,
    `keras.losses.BinaryCrossentropy` smooths both labels.

    This is a plain Keras loss for your own training loops. In a `GAN`, use
    `NonSaturating(label_smoothing=0.1)` instead.

    Args:
        label_smoothing: Amount subtracted from the real label, in [0, 1).
            Defaults to 0.1.
        reduction: See `keras.losses.Loss`. Defaults to
            `"sum_over_batch_size"`, the mean over all logits.
        name: Name of the loss. Defaults to
            `"label_smoothed_binary_crossentropy"`.
        dtype: See `keras.losses.Loss`. Defaults to `None`.

    Call arguments:
        y_true: Labels, 1 for real and 0 for fake, of the logits' shape.
        y_pred: Logits, `(batch, ..., 1)`.

    Raises:
        ValueError: If `label_smoothing` is out of range.

    Example:

    ```python
    import gan_blocks

    loss = gan_blocks.losses.LabelSmoothedBinaryCrossentropy()
    print(float(loss([[1.0], [0.0]], [[2.0], [-3.0]])))
    ```

    Reference:
        Salimans et al., 2016, Improved Techniques for Training GANs,
        section 3.4, https://arxiv.org/abs/1606.03498
    """

    def __init__(
        self,
        label_smoothing: float = 0.1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "label_smoothed_binary_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.label_smoothing = _check_label_smoothing(label_smoothing)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        logits = ops.convert_to_tensor(y_pred)
        labels = (1.0 - self.label_smoothing) * ops.cast(y_true, logits.dtype)
        return ops.mean(_cross_entropy(labels, logits), axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
        }


@keras.saving.register_keras_serializable(package="gan_blocks")
class NonSaturating(AdversarialLoss):
    """Binary cross-entropy for both networks, the usual first choice.

    ```
    discriminator: -mean(log D(real)) - mean(log(1 - D(fake)))
    generator:     -mean(log D(fake))
    ```

    `D` is the sigmoid of the logits. The generator's gradient does not vanish
    when the discriminator is certain that an image is fake, unlike with
    `Minimax`.

    Args:
        label_smoothing: Amount subtracted from the discriminator's real
            label, in [0, 1). The fake label stays 0, and the generator's
            label stays 1. Defaults to 0.0.

    Raises:
        ValueError: If `label_smoothing` is out of range.

    Example:

    ```python
    import gan_blocks

    loss = gan_blocks.losses.NonSaturating(label_smoothing=0.1)
    print(float(loss.generator(None, 0.0)))  # log 2
    ```

    Reference:
        Goodfellow et al., 2014, Generative Adversarial Nets,
        https://arxiv.org/abs/1406.2661
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = _check_label_smoothing(label_smoothing)

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        real, fake = _upcast(real_logits), _upcast(fake_logits)
        on_real = _cross_entropy(1.0 - self.label_smoothing, real)
        return ops.mean(on_real) + ops.mean(_cross_entropy(0.0, fake))

    def generator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return ops.mean(_cross_entropy(1.0, _upcast(fake_logits)))


@keras.saving.register_keras_serializable(package="gan_blocks")
class Minimax(AdversarialLoss):
    """The original minimax game, for study.

    ```
    discriminator: -mean(log D(real)) - mean(log(1 - D(fake)))
    generator:     mean(log(1 - D(fake)))
    ```

    `D` is the sigmoid of the logits. The generator's gradient vanishes when
    the discriminator is certain that an image is fake. `NonSaturating` avoids
    this and has the same fixed point.

    Example:

    ```python
    import gan_blocks

    loss = gan_blocks.losses.Minimax()
    print(float(loss.generator(None, 0.0)))  # -log 2
    ```

    Reference:
        Goodfellow et al., 2014, Generative Adversarial Nets, equation 1,
        https://arxiv.org/abs/1406.2661
    """

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        real, fake = _upcast(real_logits), _upcast(fake_logits)
        return ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(fake))

    def generator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return -ops.mean(ops.softplus(_upcast(fake_logits)))


@keras.saving.register_keras_serializable(package="gan_blocks")
class LeastSquares(AdversarialLoss):
    """Squared distance of the logits from 1 (real) and 0 (fake).

    ```
    discriminator: (mean((real - 1)**2) + mean(fake**2)) / 2
    generator:     mean((fake - 1)**2) / 2
    ```

    Images that are classified correctly, but with logits far from the label,
    still give a gradient.

    Both losses have the factor 1/2 of the paper. Much code omits it, so its
    losses and gradients are twice as large. The factor matters for the weights
    of penalties, and for optimizers that do not scale gradients as Adam does.

    Example:

    ```python
    import gan_blocks

    loss = gan_blocks.losses.LeastSquares()
    print(float(loss.discriminator(1.0, 1.0)))  # 0.5
    ```

    Reference:
        Mao et al., 2017, Least Squares Generative Adversarial Networks,
        equation 9, https://arxiv.org/abs/1611.04076
    """

    decision_threshold = 0.5  # Halfway between the labels.

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        real, fake = _upcast(real_logits), _upcast(fake_logits)
        on_real = ops.mean(ops.square(real - 1.0))
        return 0.5 * (on_real + ops.mean(ops.square(fake)))

    def generator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return 0.5 * ops.mean(ops.square(_upcast(fake_logits) - 1.0))


@keras.saving.register_keras_serializable(package="gan_blocks")
class Hinge(AdversarialLoss):
    """Hinge loss with a margin of 1, often used with spectral normalization.

    ```
    discriminator: mean(max(0, 1 - real)) + mean(max(0, 1 + fake))
    generator:     -mean(fake)
    ```

    The discriminator ignores images beyond the margin.

    Example:

    ```python
    import gan_blocks

    loss = gan_blocks.losses.Hinge()
    print(float(loss.discriminator(2.0, 0.5)))  # 1.5
    ```

    Reference:
        Lim and Ye, 2017, Geometric GAN, https://arxiv.org/abs/1705.02894
    """

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        real, fake = _upcast(real_logits), _upcast(fake_logits)
        return ops.mean(ops.relu(1.0 - real)) + ops.mean(ops.relu(1.0 + fake))

    def generator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return -ops.mean(_upcast(fake_logits))


@keras.saving.register_keras_serializable(package="gan_blocks")
class Wasserstein(AdversarialLoss):
    """Difference of the mean logits, which estimates the Wasserstein distance.

    ```
    discriminator: mean(fake) - mean(real)
    generator:     -mean(fake)
    ```

    The estimate is valid only while the discriminator is close to
    1-Lipschitz. Use `penalties.GradientPenalty` and several discriminator
    steps per generator step.

    Example:

    ```python
    import gan_blocks

    loss = gan_blocks.losses.Wasserstein()
    print(float(loss.discriminator(3.0, 1.0)))  # -2.0
    ```

    Reference:
        Arjovsky et al., 2017, Wasserstein GAN,
        https://arxiv.org/abs/1701.07875
    """

    decision_threshold = None

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return ops.mean(_upcast(fake_logits)) - ops.mean(_upcast(real_logits))

    def generator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return -ops.mean(_upcast(fake_logits))


@keras.saving.register_keras_serializable(package="gan_blocks")
class RelativisticPairing(AdversarialLoss):
    """Compares each real image with one fake image.

    ```
    discriminator: mean(softplus(fake - real))
    generator:     mean(softplus(real - fake))
    ```

    The discriminator decides which image of a pair is real. The generator drops
    fewer modes, because the loss has no minimum in which all fake images lie on
    one side of a decision boundary. The loss converges with both penalties,
    `[R1(), R2()]`. Real and fake logits must have the same shape.

    Example:

    ```python
    import gan_blocks

    loss = gan_blocks.losses.RelativisticPairing()
    print(float(loss.generator(1.0, 1.0)))  # log 2
    ```

    Reference:
        Jolicoeur-Martineau, 2019, The relativistic discriminator,
        https://arxiv.org/abs/1807.00734; Huang et al., 2024, The GAN is dead;
        long live the GAN! (R3GAN), https://arxiv.org/abs/2501.05441
    """

    generator_needs_real_logits = True
    decision_threshold = None

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        real, fake = _upcast(real_logits), _upcast(fake_logits)
        return ops.mean(ops.softplus(fake - real))

    def generator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        real, fake = _upcast(real_logits), _upcast(fake_logits)
        return ops.mean(ops.softplus(real - fake))


_LOSSES: dict[str, type[AdversarialLoss]] = {
    "non_saturating": NonSaturating,
    "minimax": Minimax,
    "least_squares": LeastSquares,
    "hinge": Hinge,
    "wasserstein": Wasserstein,
    "relativistic_pairing": RelativisticPairing,
}


def get(
    identifier: LossName | AdversarialLoss | dict[str, Any],
) -> AdversarialLoss:
    """Returns an adversarial loss.

    Args:
        identifier: Name of a loss, such as `"hinge"`; a loss, which is
            returned unchanged; or the dictionary of
            `keras.saving.serialize_keras_object(loss)`.

    Returns:
        An `AdversarialLoss`, or another object with its two methods.

    Raises:
        ValueError: If `identifier` is none of these.

    Example:

    ```python
    import gan_blocks

    print(gan_blocks.losses.get("least_squares"))
    ```
    """
    loss = identifier
    if isinstance(identifier, dict):
        loss = keras.saving.deserialize_keras_object(identifier)
    elif isinstance(identifier, str) and identifier in _LOSSES:
        loss = _LOSSES[identifier]()
    if not isinstance(loss, type) and all(
        callable(getattr(loss, method, None))
        for method in ("discriminator", "generator")
    ):
        return cast(AdversarialLoss, loss)
    raise ValueError(
        f"`loss` must be one of {sorted(_LOSSES)}, or an object with the two "
        "methods `discriminator(real_logits, fake_logits)` and "
        "`generator(real_logits, fake_logits)`: see `AdversarialLoss`. "
        f"Received: loss={identifier!r}"
    )


def _upcast(logits: Tensor) -> Tensor:
    """Converts logits of half precision to float32."""
    logits = ops.convert_to_tensor(logits)
    return ops.cast(logits, keras.backend.result_type(logits.dtype, "float32"))


def _cross_entropy(labels: Tensor | float, logits: Tensor) -> Tensor:
    """Returns `-labels log p - (1 - labels) log(1 - p)`, p the sigmoid."""
    return ops.softplus(logits) - labels * logits


def _check_label_smoothing(label_smoothing: float) -> float:
    if not 0.0 <= label_smoothing < 1.0:
        raise ValueError(
            "`label_smoothing` must be in [0, 1). "
            f"Received: label_smoothing={label_smoothing}"
        )
    return float(label_smoothing)
