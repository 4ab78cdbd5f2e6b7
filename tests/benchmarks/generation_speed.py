"""Compares the speed of `GAN.generate` with that of the bare generator.

    python tests/benchmarks/generation_speed.py [NETWORKS] [ROUNDS]

The bare generator runs as a compiled function on the same latents in batches
of the same size. In one variant its images are dropped. In the other they are
collected in one NumPy array, like those of `generate`: allocating memory costs
time.
"""

import os
import sys

os.environ["KERAS_BACKEND"] = "tensorflow"

import numpy as np  # noqa: E402
import peers  # noqa: E402
import tensorflow as tf  # noqa: E402
import timing  # noqa: E402

BATCHES = 8


def main():
    name, rounds = [*sys.argv[1:], *("digits", 9)[len(sys.argv) - 1 :]]
    gan = peers.our_gan(peers.NETWORKS[name][0])

    @tf.function
    def forward(latents):
        return gan.generator(latents, training=False)

    for batch_size in (16, 64, 256):
        latents = gan.sample_latents(BATCHES * batch_size, seed=0)

        def bare(latents=latents, batch_size=batch_size):
            for i in range(0, len(latents), batch_size):
                yield forward(tf.constant(latents[i : i + batch_size])).numpy()

        def drop(bare=bare):
            for _ in bare():
                pass
            return lambda: None

        def keep(bare=bare):
            np.concatenate(list(bare()))
            return lambda: None

        def ours(latents=latents, batch_size=batch_size):
            gan.generate(latents=latents, batch_size=batch_size)
            return lambda: None

        runs = [timing.by_calls(run) for run in (ours, drop, keep)]
        table = timing.in_turn(runs, int(rounds), 3)
        dropping, keeping = (
            np.median([row[k] / row[0] for row in table]) for k in (1, 2)
        )
        rate = len(latents) / timing.median(table, 0)
        print(
            f"{name}, batches of {batch_size}: {rate:.0f} images per second, "
            f"{dropping:.3f} of the bare generator's rate, {keeping:.3f} if "
            "it keeps its images"
        )


if __name__ == "__main__":
    main()
