"""Compares `GAN.fit` on JAX or torch with a step written in that framework.

    KERAS_BACKEND=jax python tests/benchmarks/native_step.py [NETWORKS] [ROUNDS]
    KERAS_BACKEND=torch python tests/benchmarks/native_step.py ...

Both train the same Keras networks with the same update: one forward pass of
the generator, the discriminator step, the generator step. The hand-written
step is one compiled function with `jax.grad` on JAX, and `backward` with
`torch.optim.Adam` on torch.
"""

import itertools
import statistics
import sys

import keras
import peers
import timing

from gan_blocks import layers


def ours(networks, images):
    batches = ((images,) for _ in itertools.count())
    return timing.by_fit(peers.our_gan(networks), batches)


def by_hand_jax(networks, images):
    import jax

    generator, discriminator = networks(layers)
    optimizers = peers.adam(), peers.adam()
    for optimizer, network in zip(
        optimizers, (generator, discriminator), strict=True
    ):
        optimizer.build(network.trainable_variables)

    def cross_entropy(label, logits):
        return (jax.nn.softplus(logits) - label * logits).mean()

    def values(variables):
        return [variable.value for variable in variables]

    def apply(optimizer, slots, gradients, weights):
        return optimizer.stateless_apply(slots, gradients, weights)

    @jax.jit
    def step(state, real):
        (g, g_rest, g_slots), (d, d_rest, d_slots), key = state
        key, now = jax.random.split(key)
        latents = jax.random.normal(now, (len(real), 1, 1, peers.LATENT_DIM))

        def generate(g):
            return generator.stateless_call(g, g_rest, latents, training=True)

        fake, pullback, g_rest = jax.vjp(generate, g, has_aux=True)

        def d_loss(d):
            real_logits, rest = discriminator.stateless_call(
                d, d_rest, real, training=True
            )
            fake_logits, rest = discriminator.stateless_call(
                d, rest, fake, training=True
            )
            loss = cross_entropy(1.0, real_logits)
            return loss + cross_entropy(0.0, fake_logits), rest

        (first, d_rest), gradients = jax.value_and_grad(d_loss, has_aux=True)(d)
        d, d_slots = apply(optimizers[1], d_slots, gradients, d)

        def g_loss(fake):
            logits, _ = discriminator.stateless_call(
                d, d_rest, fake, training=True
            )
            return cross_entropy(1.0, logits)

        second, to_images = jax.value_and_grad(g_loss)(fake)
        (gradients,) = pullback(to_images)
        g, g_slots = apply(optimizers[0], g_slots, gradients, g)
        state = (g, g_rest, g_slots), (d, d_rest, d_slots), key
        return state, (first, second)

    box = [
        (
            *(
                (
                    values(network.trainable_variables),
                    values(network.non_trainable_variables),
                    values(optimizer.variables),
                )
                for network, optimizer in zip(
                    (generator, discriminator), optimizers, strict=True
                )
            ),
            jax.random.key(0),
        )
    ]

    def call():
        box[0], losses = step(box[0], images)
        return lambda: jax.block_until_ready(losses)

    return timing.by_calls(call)


def by_hand_torch(networks, images):
    import torch

    generator, discriminator = networks(layers)
    g_optimizer, d_optimizer = (
        torch.optim.Adam(
            [variable.value for variable in network.trainable_variables],
            lr=2e-4,
            betas=(0.5, 0.999),
        )
        for network in (generator, discriminator)
    )
    criterion = torch.nn.BCEWithLogitsLoss()
    device = generator.trainable_variables[0].value.device

    def call():
        real = torch.as_tensor(images, device=device)
        shape = (len(real), 1, 1, peers.LATENT_DIM)
        fake = generator(torch.randn(shape, device=device), training=True)
        real_logits = discriminator(real, training=True)
        fake_logits = discriminator(fake.detach(), training=True)
        d_optimizer.zero_grad()
        loss = criterion(real_logits, torch.ones_like(real_logits))
        loss = loss + criterion(fake_logits, torch.zeros_like(fake_logits))
        loss.backward()
        d_optimizer.step()
        logits = discriminator(fake, training=True)
        g_optimizer.zero_grad()
        criterion(logits, torch.ones_like(logits)).backward()
        g_optimizer.step()
        return loss.item

    return timing.by_calls(call)


def main():
    name, rounds = [*sys.argv[1:], *("tiny", 9)[len(sys.argv) - 1 :]]
    networks, shape = peers.NETWORKS[name]
    images = peers.images(shape)
    backend = keras.backend.backend()
    by_hand = {"jax": by_hand_jax, "torch": by_hand_torch}[backend]
    runs = [ours(networks, images), by_hand(networks, images)]
    table = timing.in_turn(runs, int(rounds), 20)
    ratios = [hand / ours for ours, hand in table]
    print(
        f"{backend}, {name}: ours {1000 * timing.median(table, 0):.1f} ms per "
        f"step, by hand {1000 * timing.median(table, 1):.1f} ms; by hand / "
        f"ours: median {statistics.median(ratios):.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f})"
    )


if __name__ == "__main__":
    main()
