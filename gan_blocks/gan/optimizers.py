"""The two optimizers of a GAN, and the one that Keras sees."""

import keras
from keras import ops


def build_for(network, optimizer):
    """Returns the optimizer, built, with loss scaling where float16 needs it.

    Args:
        network: Keras model.
        optimizer: Keras optimizer for its trainable variables.

    Returns:
        The optimizer, inside a `LossScaleOptimizer` if any layer of the
        network computes in float16.
    """
    half = any(
        layer.compute_dtype == "float16" for layer in network._flatten_layers()
    )
    scale = keras.optimizers.LossScaleOptimizer
    if half and not isinstance(optimizer, scale):
        optimizer = scale(optimizer)
    optimizer.build(network.trainable_variables)
    return optimizer


class OptimizerPair(keras.optimizers.Optimizer):
    """Both optimizers, as the one that Keras expects a model to have.

    `keras.optimizers.MultiOptimizer` refuses a `LossScaleOptimizer` inside,
    and without one `mixed_float16` would lose small gradients silently.
    `iterations` counts the training steps of the GAN.
    """

    def __init__(self, generator_optimizer, discriminator_optimizer):
        super().__init__(learning_rate=0.0, name="gan_optimizers")
        self.generator_optimizer = generator_optimizer
        self.discriminator_optimizer = discriminator_optimizer
        self.built = True

    @property
    def optimizers(self):
        """What Keras' learning rate callbacks look for."""
        return [self.generator_optimizer, self.discriminator_optimizer]

    @property
    def variables(self):
        """All state of both, and the count of training steps."""
        return [
            self.iterations,
            *(v for one in self.optimizers for v in one.variables),
        ]

    @property
    def learning_rate(self):
        """Both learning rates, as a pair, for loggers that ask for one."""
        return tuple(one.learning_rate for one in self.optimizers)

    @learning_rate.setter
    def learning_rate(self, value):
        raise AttributeError(
            "A GAN has two learning rates: set that of one of "
            "`gan.optimizer.optimizers`, the generator's first."
        )

    def get_config(self):
        """Returns the settings of both, which loggers of experiments note."""
        return {
            f"{role}_{name}": value
            for role, optimizer in zip(
                ("generator", "discriminator"), self.optimizers, strict=True
            )
            for name, value in optimizer.get_config().items()
        }

    def finalize_variable_values(self, var_list):
        """Lets each put its own averages in place at the end of training."""
        for optimizer in self.optimizers:
            known = {id(v) for v in optimizer._trainable_variables}
            optimizer.finalize_variable_values(
                [v for v in var_list if id(v) in known]
            )

    def save_own_variables(self, store):
        """Stores the count; Keras goes on to both optimizers by itself."""
        store["iterations"] = ops.convert_to_numpy(self.iterations)

    def load_own_variables(self, store):
        """Restores the count."""
        self.iterations.assign(store["iterations"])
