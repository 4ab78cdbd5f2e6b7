"""Times the training step of a DCGAN for image sizes, widths and batch sizes.

    python tests/benchmarks/scaling.py [ROUNDS]

The networks are those of `gan_blocks.networks`. The number of filters is that
of the largest feature map; it doubles each time the size is halved. All rows
take turns. Prints medians, and the time relative to the first row.
KERAS_BACKEND chooses the backend.
"""

import sys

import keras
import native_step
import peers
import timing

from gan_blocks import networks

MIDDLE = 64, 32, 64  # Side of the images, filters, batch.
ROWS = [
    MIDDLE,
    (32, 32, 64),
    (128, 32, 64),
    (64, 16, 64),
    (64, 64, 64),
    (64, 32, 8),
    (64, 32, 16),
    (64, 32, 32),
    (64, 32, 128),
]
STEPS = 4


def candidate(side, filters, batch):
    shape = side, side, 3

    def dcgan(module):
        return (
            networks.dcgan_generator(shape, base_filters=filters),
            networks.dcgan_discriminator(shape, base_filters=filters),
        )

    return native_step.ours(dcgan, peers.images((batch, *shape)))


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    runs = [candidate(*row) for row in ROWS]
    table = timing.in_turn(runs, rounds, STEPS)
    print(f"{keras.backend.backend()}, {rounds} rounds of {STEPS} steps")
    print("| side | filters | batch | ms per step | images/s | relative |")
    print("|---|---|---|---|---|---|")
    first = timing.median(table, 0)
    for k, (side, filters, batch) in enumerate(ROWS):
        step = timing.median(table, k)
        print(
            f"| {side} | {filters} | {batch} | {1000 * step:.0f} "
            f"| {batch / step:.0f} | {step / first:.2f} |"
        )


if __name__ == "__main__":
    main()
