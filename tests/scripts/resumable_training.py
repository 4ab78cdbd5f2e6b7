"""Trains a tiny GAN and resumes after any interruption.

    python resumable_training.py --output FOLDER [--epochs 30]

Run the same command again to continue until all epochs are done. Docs:
docs/resuming.md.
"""

import argparse
import sys

import keras
import numpy as np

from gan_blocks import GAN, callbacks, datasets, networks, runs

parser = argparse.ArgumentParser()
parser.add_argument("--output", required=True)
parser.add_argument("--epochs", type=int, default=30)
arguments = parser.parse_args()
images = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1), np.uint8)

run = runs.RunFolder(arguments.output)
latest = run.latest_checkpoint()
if latest:
    gan = keras.saving.load_model(latest)
else:
    keras.utils.set_random_seed(0)
    gan = GAN(
        networks.mlp_generator((8, 8, 1), units=(16,)),
        networks.mlp_discriminator((8, 8, 1), units=(16,)),
        ema_momentum=0.9,
    )
    gan.compile("adam", "adam")

stop = callbacks.StopOnSignal()
gan.fit(
    datasets.batches(images, 8, seed=0),
    epochs=arguments.epochs,
    resume=True,
    verbose=0,
    callbacks=[
        callbacks.ImageGrid(run.grids, every_n_epochs=1),
        callbacks.HistoryTable(run.history),
        callbacks.EpochCheckpoint(run.checkpoints, every_n_epochs=2, keep=3),
        stop,
    ],
)
sys.exit(128 + stop.signal if stop.signal else 0)
