"""Adversarial losses on logits: one class per pair of formulas.

Every loss takes the discriminator's logits, never probabilities, so that
nothing overflows; any shape of logits will do, a column `(batch, 1)` as well
as the patches `(batch, height, width, 1)` of a PatchGAN: the loss is the mean
over all of them. Half precision logits are raised to float32 first.
"""

import re

import keras
from keras import ops


class AdversarialLoss:
    """A pair of losses, for the discriminator and for the generator.

    Subclass it to bring your own: define `discriminator` and `generator`,
    register the class with `keras.saving.register_keras_serializable`, and
    define `get_config` if the constructor takes arguments. Both methods take
    both logits, real before fake, and return a scalar to minimise.

    Losses are plain means over the batch. Where the training is spread over
    several replicas the `GAN` divides by their number, so a loss must not.

    Attributes:
        generator_needs_real_logits: Whether `generator` looks at its first
            argument. Where it does not (the default), the `GAN` saves the
            pass of the discriminator over the real images and gives `None`.
        decision_threshold: The logit above which the discriminator calls an
            image real, for the logs `real_accuracy` and `fake_accuracy`.
            Defaults to 0.0. `None` where a logit says nothing by itself, but
            only compared to others: there the two are not logged.

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

    generator_needs_real_logits = False
    decision_threshold = 0.0

    def discriminator(self, real_logits, fake_logits):
        """Returns the scalar that the discriminator minimises."""
        raise NotImplementedError

    def generator(self, real_logits, fake_logits):
        """Returns the scalar that the generator minimises."""
        raise NotImplementedError

    def get_config(self):
        """Returns the constructor's arguments."""
        return {}

    @classmethod
    def from_config(cls, config):
        """Creates the loss from `get_config`'s dictionary."""
        return cls(**config)


@keras.saving.register_keras_serializable(package="gan_blocks")
class LabelSmoothedBinaryCrossentropy(keras.losses.Loss):
    """Binary cross-entropy on logits with one-sided label smoothing.

    Only the real label is smoothed: 1 becomes `1 - label_smoothing`, and 0
    stays 0. `keras.losses.BinaryCrossentropy(label_smoothing=...)` moves both
    labels towards 0.5, and a fake label above 0 rewards the generator for
    samples that it already draws too often.

    A plain Keras loss, for your own training loops; inside a `GAN` use
    `NonSaturating(label_smoothing=0.1)`.

    Args:
        label_smoothing: What is taken from the real label, in [0, 1).
            Defaults to 0.1: real labels of 0.9.
        reduction: As in `keras.losses.Loss`. Defaults to
            `"sum_over_batch_size"`, the mean over everything.
        name: Name of the loss.
        dtype: Dtype of the computation, as in `keras.losses.Loss`.

    Call arguments:
        y_true: Labels, 1 for real and 0 for fake, of the logits' shape.
        y_pred: Logits, `(batch, ..., 1)`.

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
        label_smoothing=0.1,
        reduction="sum_over_batch_size",
        name="label_smoothed_binary_crossentropy",
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.label_smoothing = _check_label_smoothing(label_smoothing)

    def call(self, y_true, y_pred):
        """Returns the loss of each sample: the mean over the last axis."""
        logits = ops.convert_to_tensor(y_pred)
        labels = (1.0 - self.label_smoothing) * ops.cast(y_true, logits.dtype)
        return ops.mean(_cross_entropy(labels, logits), axis=-1)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
        }


@keras.saving.register_keras_serializable(package="gan_blocks")
class NonSaturating(AdversarialLoss):
    """The loss that most GANs start from: cross-entropy for both networks.

    With `D` the sigmoid of the logits, the discriminator minimises
    `-log D(real) - log(1 - D(fake))`, and the generator `-log D(fake)`, which
    keeps its gradient where the discriminator is sure, unlike `Minimax`.

    Args:
        label_smoothing: What is taken from the discriminator's real label
            (one-sided: the fake label stays 0, and so does the generator's
            target of 1), in [0, 1). Defaults to 0: none.

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

    def __init__(self, label_smoothing=0.0):
        self.label_smoothing = _check_label_smoothing(label_smoothing)

    def discriminator(self, real_logits, fake_logits):
        """Returns the scalar that the discriminator minimises."""
        real_label = 1.0 - self.label_smoothing
        return ops.mean(
            _cross_entropy(real_label, _full(real_logits))
        ) + ops.mean(_cross_entropy(0.0, _full(fake_logits)))

    def generator(self, real_logits, fake_logits):
        """Returns the scalar that the generator minimises."""
        return ops.mean(_cross_entropy(1.0, _full(fake_logits)))

    def get_config(self):
        """Returns the constructor's arguments."""
        return {"label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable(package="gan_blocks")
class Minimax(AdversarialLoss):
    """The value function itself, `log D(real) + log(1 - D(fake))`.

    The discriminator maximises it and the generator minimises it (its own
    half: the other does not depend on the generator). The generator's
    gradient vanishes where the discriminator is sure that an image is fake,
    so this loss is for study; `NonSaturating` has the same fixed point.

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

    def discriminator(self, real_logits, fake_logits):
        """Returns the scalar that the discriminator minimises."""
        return ops.mean(ops.softplus(-_full(real_logits))) + ops.mean(
            ops.softplus(_full(fake_logits))
        )

    def generator(self, real_logits, fake_logits):
        """Returns the scalar that the generator minimises."""
        return -ops.mean(ops.softplus(_full(fake_logits)))


@keras.saving.register_keras_serializable(package="gan_blocks")
class LeastSquares(AdversarialLoss):
    """Squared distance of the logits to 1 (real) and 0 (fake).

    Images far on the right side of the boundary still give a gradient. The
    labels are those of the paper's equation 9.

    Example:

    ```python
    import gan_blocks

    loss = gan_blocks.losses.LeastSquares()
    print(float(loss.discriminator(1.0, 1.0)))  # 0.5
    ```

    Reference:
        Mao et al., 2017, Least Squares Generative Adversarial Networks,
        https://arxiv.org/abs/1611.04076
    """

    decision_threshold = 0.5  # Half way between the labels.

    def discriminator(self, real_logits, fake_logits):
        """Returns the scalar that the discriminator minimises."""
        return 0.5 * (
            ops.mean(ops.square(_full(real_logits) - 1.0))
            + ops.mean(ops.square(_full(fake_logits)))
        )

    def generator(self, real_logits, fake_logits):
        """Returns the scalar that the generator minimises."""
        return 0.5 * ops.mean(ops.square(_full(fake_logits) - 1.0))


@keras.saving.register_keras_serializable(package="gan_blocks")
class Hinge(AdversarialLoss):
    """The discriminator learns only from what is inside the margin of 1.

    Usual with spectral normalisation.

    Example:

    ```python
    import gan_blocks

    loss = gan_blocks.losses.Hinge()
    print(float(loss.discriminator(2.0, 0.5)))  # 1.5
    ```

    Reference:
        Lim and Ye, 2017, Geometric GAN, https://arxiv.org/abs/1705.02894
    """

    def discriminator(self, real_logits, fake_logits):
        """Returns the scalar that the discriminator minimises."""
        return ops.mean(ops.relu(1.0 - _full(real_logits))) + ops.mean(
            ops.relu(1.0 + _full(fake_logits))
        )

    def generator(self, real_logits, fake_logits):
        """Returns the scalar that the generator minimises."""
        return -ops.mean(_full(fake_logits))


@keras.saving.register_keras_serializable(package="gan_blocks")
class Wasserstein(AdversarialLoss):
    """The difference of the mean logits: the critic's estimate of a distance.

    It is one only while the discriminator is close to 1-Lipschitz: use it
    with `penalties.GradientPenalty`, and several discriminator steps.

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

    def discriminator(self, real_logits, fake_logits):
        """Returns the scalar that the discriminator minimises."""
        return ops.mean(_full(fake_logits)) - ops.mean(_full(real_logits))

    def generator(self, real_logits, fake_logits):
        """Returns the scalar that the generator minimises."""
        return -ops.mean(_full(fake_logits))


@keras.saving.register_keras_serializable(package="gan_blocks")
class RelativisticPairing(AdversarialLoss):
    """Each real image against one fake: which of the two is the real one?

    The discriminator minimises `softplus(fake - real)` over the pairs, the
    generator `softplus(real - fake)`. There is no state in which all fakes
    lie on one side of the boundary, so fewer modes are dropped. It converges
    with both penalties, `[R1(), R2()]`.

    Real and fake logits must have the same shape.

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

    def discriminator(self, real_logits, fake_logits):
        """Returns the scalar that the discriminator minimises."""
        return ops.mean(ops.softplus(_full(fake_logits) - _full(real_logits)))

    def generator(self, real_logits, fake_logits):
        """Returns the scalar that the generator minimises."""
        return ops.mean(ops.softplus(_full(real_logits) - _full(fake_logits)))


_BY_NAME = {
    re.sub(r"(?<=[a-z])([A-Z])", r"_\1", loss.__name__).lower(): loss
    for loss in (
        NonSaturating,
        Minimax,
        LeastSquares,
        Hinge,
        Wasserstein,
        RelativisticPairing,
    )
}


def get(identifier):
    """Returns the adversarial loss that an identifier stands for.

    Args:
        identifier: A loss (returned as it is), the name of one of ours in
            snake_case, such as `"hinge"` or `"relativistic_pairing"`, or the
            dictionary of `keras.saving.serialize_keras_object(loss)`.

    Returns:
        An `AdversarialLoss`, or any object with its two methods.

    Raises:
        ValueError: If the identifier stands for no loss.

    Example:

    ```python
    import gan_blocks

    print(gan_blocks.losses.get("least_squares"))
    ```
    """
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, str) and identifier in _BY_NAME:
        return _BY_NAME[identifier]()
    if not isinstance(identifier, type) and all(
        callable(getattr(identifier, method, None))
        for method in ("discriminator", "generator")
    ):
        return identifier
    raise ValueError(
        "`loss` must be an `AdversarialLoss` or one of "
        f"{sorted(_BY_NAME)}. Received: {identifier!r}"
    )


def _full(logits):
    """Returns the logits as a tensor of at least float32."""
    logits = ops.convert_to_tensor(logits)
    return ops.cast(logits, keras.backend.result_type(logits.dtype, "float32"))


def _cross_entropy(labels, logits):
    """Elementwise `-labels log p - (1 - labels) log(1 - p)`, p = sigmoid."""
    return ops.softplus(logits) - labels * logits


def _check_label_smoothing(label_smoothing):
    if not 0.0 <= label_smoothing < 1.0:
        raise ValueError(
            "`label_smoothing` must be in [0, 1). "
            f"Received: label_smoothing={label_smoothing}"
        )
    return float(label_smoothing)
