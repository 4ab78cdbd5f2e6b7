"""The training step: algorithm 1 of Goodfellow et al., 2014.

    fake_images, pullback = G(latents)
    D: one step down the gradient of loss(D(real), D(fake)) + penalties
    G: one step down the gradient of loss(D(fake)), with the updated D

The generator runs once. Its step takes the gradient of its loss with respect
to the fake images and pulls it back to the weights of G, which is the chain
rule. https://arxiv.org/abs/1406.2661
"""

import keras
from keras import ops

from gan_blocks import gradients
from gan_blocks.backend.scope import NestedScope


def generate_images(generator, latents):
    """Returns fake images, and the pullback from them to the weights of G."""

    def generate():
        images = generator(latents, training=True)
        return ops.cast(images, keras.config.floatx()), None

    fake_images, _, pullback = gradients.vjp(
        generate, generator.trainable_variables
    )
    return fake_images, pullback


def discriminator_step(
    discriminator,
    optimizer,
    loss,
    penalties,
    real_images,
    fake_images,
    step_number,
):
    """Updates the discriminator once.

    Returns:
        `(d_loss, penalty, real_logits, fake_logits)`, from before the update.
    """

    def objective():
        real_logits = discriminator(real_images, training=True)
        fake_logits = discriminator(fake_images, training=True)
        d_loss = loss.discriminator(real_logits, fake_logits)
        sum_of_penalties = ops.zeros_like(d_loss)
        for penalty in penalties:
            value = _penalty_at(
                step_number, penalty, discriminator, real_images, fake_images
            )
            sum_of_penalties += ops.cast(value, d_loss.dtype)
        results = d_loss, sum_of_penalties, real_logits, fake_logits
        return d_loss + sum_of_penalties, results

    variables = discriminator.trainable_variables
    total, results, pullback = gradients.vjp(objective, variables)
    cotangent = gradients.loss_cotangent(total, optimizer)
    gradients.apply(optimizer, pullback(cotangent), variables)
    return results


def generator_step(
    generator,
    optimizer,
    loss,
    discriminator,
    real_images,
    fake_images,
    pullback,
):
    """Updates the generator once. Returns `g_loss` from before the update."""

    def objective(fake_images):
        real_logits = None
        if getattr(loss, "generator_needs_real_logits", False):
            real_logits = discriminator(real_images, training=True)
        fake_logits = discriminator(fake_images, training=True)
        return loss.generator(real_logits, fake_logits)

    g_loss, pull_to_images = gradients.input_vjp(objective, fake_images)
    cotangent = gradients.loss_cotangent(g_loss, optimizer)
    gradients.apply(
        optimizer,
        pullback(pull_to_images(cotangent)),
        generator.trainable_variables,
    )
    return g_loss


def _penalty_at(step_number, penalty, discriminator, real_images, fake_images):
    """Returns the penalty, which is 0 between the steps of its interval."""
    interval = getattr(penalty, "interval", 1)

    def value():
        result = interval * penalty(discriminator, real_images, fake_images)
        return ops.cast(result, "float32")

    def value_without_updates():
        with NestedScope():  # On JAX, a branch must not assign variables.
            return value()

    if interval == 1:
        return value()
    return ops.cond(
        step_number % interval == 0,
        value_without_updates,
        lambda: ops.zeros((), "float32"),
    )
