"""Continues the training of a GAN on other images."""

from typing import Any

import keras

from gan_blocks import layers
from gan_blocks.gan.model import GAN
from gan_blocks.plan.settings import EMA_MOMENTUM, Plan, compile_gan

__all__ = ["continued", "fine_tune"]


def fine_tune(gan: GAN, plan: Plan) -> GAN:
    """Makes a new GAN from a trained one, to train it on other images.

    Training that starts from a GAN of similar images needs fewer images and
    fewer steps than training from the beginning.

    - Both networks keep their weights and their precision. The moving average
      begins again, so that it soon shows the new images.
    - The loss, the penalties and the number of discriminator steps are those
      of the trained GAN. A GAN that is not compiled gets those of `Plan`.
    - The optimizers have the settings of the trained ones, but no state. The
      larger learning rate is that of the plan, and the ratio of both rates
      stays.
    - The number of steps starts at 0.

    The given GAN does not change.

    Args:
        gan: A trained GAN with any networks.
        plan: Plan with a `start_from`, usually from `make_plan(images,
            gan=gan)`. Its `augment` is put in front of a discriminator that
            has no augmentation.

    Returns:
        A compiled GAN. A loaded copy of it needs nothing of the given one.

    Raises:
        ValueError: If the plan has another image shape, number of classes or
            augmentation than the GAN.

    Example:

    ```python
    from gan_blocks import datasets, samples
    from gan_blocks.plan import Plan, fine_tune, make_plan

    trained = Plan((16, 16, 3), base_filters=4).build()  # Or load a GAN.
    images = samples.synthetic_cats(32, 16)
    plan = make_plan(images, minutes=0.1, gan=trained)
    print(plan)
    gan = fine_tune(trained, plan)
    gan.fit(
        datasets.batches(images, plan.batch_size, plan.seed, flip=plan.flip),
        steps_per_epoch=plan.steps_per_round,
        epochs=1,
    )
    ```
    """
    keras.utils.set_random_seed(plan.seed)
    _decided_settings(gan, vars(plan))
    config = gan.get_config()
    generator, discriminator = (
        keras.saving.deserialize_keras_object(config[name])
        for name in ("generator", "discriminator")
    )
    generator.set_weights(gan.generator.get_weights())
    discriminator.set_weights(gan.discriminator.get_weights())
    layer = plan.augmentation()
    if layer is not None and not _augmentations(discriminator):
        images = keras.Input(gan.image_shape, name="images")
        inputs, augmented = images, layer(images)
        if gan.num_classes is not None:
            labels = keras.Input((), dtype="int32", name="labels")
            inputs, augmented = [images, labels], [augmented, labels]
        discriminator = keras.Model(
            inputs, discriminator(augmented), name="augmented_discriminator"
        )
    tuned = GAN(
        generator,
        discriminator,
        gan.latent_distribution,  # pyright: ignore
        gan.ema_momentum or EMA_MOMENTUM,
        gan.num_classes,
        plan.seed,
    )
    if not gan.compiled:
        compile_gan(tuned, plan.learning_rate)
        return tuned
    config = gan.get_compile_config()
    config.pop("steps_per_execution", None)  # It must divide a round.
    rates = _learning_rates(gan)
    for role, rate in zip(("generator", "discriminator"), rates, strict=True):
        optimizer = config[f"{role}_optimizer"]["config"]
        if "inner_optimizer" in optimizer:  # Of a `LossScaleOptimizer`.
            optimizer = optimizer["inner_optimizer"]["config"]
        optimizer["learning_rate"] = plan.learning_rate * rate / max(rates)
    tuned.compile_from_config(config)
    return tuned


def continued(gan: GAN, settings: dict[str, Any]) -> dict[str, Any]:
    """Returns settings of a plan, with those that a trained GAN decides."""
    reasons = {
        "Size": "like those of the trained GAN",
        **settings.get("reasons", {}),
    }
    decided = _decided_settings(gan, settings)
    if gan.compiled and settings.get("learning_rate") is None:
        decided["learning_rate"] = max(_learning_rates(gan))
        reasons["Learning rate"] = "like that of the trained GAN"
    settings = {"start_from": gan.name, **settings, **decided}
    return {**settings, "reasons": reasons}


def _decided_settings(gan, settings):
    """Returns the settings that a GAN decides, which others must not change."""
    dtypes = {layer.compute_dtype for layer in gan._flatten_layers()}
    decided: dict[str, Any] = {
        "image_shape": gan.image_shape,
        "num_classes": gan.num_classes,
        "base_filters": None,
        "precision": "bfloat16" if "bfloat16" in dtypes else "float32",
    }
    for kind in _augmentations(gan.discriminator):
        decided["augment"] = kind
    for name, value in decided.items():
        other = settings.get(name, value)
        is_chosen = name == "num_classes" or other not in (None, "auto")
        if is_chosen and other != value:
            no_choice = name == "base_filters"
            must = "cannot be chosen" if no_choice else f"must be {value}"
            raise ValueError(
                f"`{name}` {must}, because the networks are those of the "
                f"trained GAN. Received: {name}={other}"
            )
    return decided


def _augmentations(network):
    kinds = {layers.DiffAugment: "diff", layers.AdaptiveAugment: "adaptive"}
    found = map(type, network._flatten_layers())
    return [kinds[kind] for kind in found if kind in kinds]


def _learning_rates(gan):
    """Returns the current rates of the generator and the discriminator."""
    rates = gan.optimizer.learning_rate
    return [float(keras.ops.convert_to_numpy(rate)) for rate in rates]
