"""The two optimizers of a GAN, combined into the one that Keras expects."""

from typing import Any

import keras
from keras import ops


def build_optimizer(
    network: keras.Model, optimizer: keras.optimizers.Optimizer
) -> keras.optimizers.Optimizer:
    """Builds an optimizer for a network, with loss scaling for float16."""
    computes_in_float16 = any(
        layer.compute_dtype == "float16" for layer in network._flatten_layers()
    )
    scaling = keras.optimizers.LossScaleOptimizer
    if computes_in_float16 and not isinstance(optimizer, scaling):
        optimizer = scaling(optimizer)
    optimizer.build(network.trainable_variables)
    return optimizer


def positions_without_decay(optimizer: keras.optimizers.Optimizer) -> list[int]:
    """Returns which variables `exclude_from_weight_decay` has excluded.

    Keras does not save them.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    variables = enumerate(optimizer._trainable_variables)
    return [i for i, v in variables if not optimizer._use_weight_decay(v)]


def exclude_from_weight_decay(
    optimizer: keras.optimizers.Optimizer,
    network: keras.Model,
    positions: list[int],
) -> None:
    """Excludes the variables of a network at these positions."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    variables = network.trainable_variables
    optimizer.exclude_from_weight_decay([variables[i] for i in positions])


class OptimizerPair(keras.optimizers.Optimizer):
    """The generator's optimizer and the discriminator's optimizer.

    `keras.optimizers.MultiOptimizer` refuses a `LossScaleOptimizer`, without
    which small gradients vanish under `mixed_float16`. `iterations` counts the
    training steps of the GAN.
    """

    def __init__(
        self,
        generator_optimizer: keras.optimizers.Optimizer,
        discriminator_optimizer: keras.optimizers.Optimizer,
    ) -> None:
        super().__init__(learning_rate=0.0, name="gan_optimizers")
        self.generator_optimizer = generator_optimizer
        self.discriminator_optimizer = discriminator_optimizer
        self.built = True

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """Both optimizers. The learning rate callbacks of Keras use them."""
        return [self.generator_optimizer, self.discriminator_optimizer]

    @property
    def variables(self):
        return [
            self.iterations,
            *(v for one in self.optimizers for v in one.variables),
        ]

    @property
    def learning_rate(self) -> Any:
        """Both learning rates, for loggers."""
        return tuple(one.learning_rate for one in self.optimizers)

    @learning_rate.setter
    def learning_rate(self, value):
        raise AttributeError(
            "A GAN has two learning rates. Set the learning rate of "
            "`gan.optimizer.generator_optimizer` or "
            "`gan.optimizer.discriminator_optimizer`."
        )

    def check_variables(self, *networks: keras.Model) -> None:
        """Checks that the optimizers were built for what the networks train."""
        for role, optimizer, network in zip(
            ("generator", "discriminator"),
            self.optimizers,
            networks,
            strict=True,
        ):
            built_for = [id(v) for v in optimizer._trainable_variables]
            if built_for != [id(v) for v in network.trainable_variables]:
                raise ValueError(
                    f"The optimizer of the {role} was built for other weights "
                    f"than the {role} trains now. Call `compile` with new "
                    "optimizers after you change `trainable` of a layer, and "
                    "do not use an optimizer in two models."
                )

    def get_config(self):
        # For experiment trackers. `GAN` saves both optimizers itself.
        return {
            f"{role}_{name}": value
            for role, optimizer in zip(
                ("generator", "discriminator"), self.optimizers, strict=True
            )
            for name, value in optimizer.get_config().items()
        }

    def finalize_variable_values(self, var_list):
        for optimizer in self.optimizers:
            known = {id(v) for v in optimizer._trainable_variables}
            optimizer.finalize_variable_values(
                [v for v in var_list if id(v) in known]
            )

    def save_own_variables(self, store):
        # Keras saves the variables of both optimizers.
        store["iterations"] = ops.convert_to_numpy(self.iterations)

    def load_own_variables(self, store):
        self.iterations.assign(store["iterations"])
