"""Trains a tiny GAN by a script that may be killed anywhere.

    python train_until_done.py --output FOLDER [--epochs 30]

Started again with the same words, it goes on until all epochs are done. This
is the script of docs/resuming.md, for a script's own command line.
"""

import argparse
import pathlib
import sys

import keras
import numpy as np

import gan_blocks
from gan_blocks import callbacks, datasets, networks

STEPS_PER_EPOCH = 6

parser = argparse.ArgumentParser()
parser.add_argument("--output", type=pathlib.Path, required=True)
parser.add_argument("--epochs", type=int, default=30)
arguments = parser.parse_args()
images = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1), np.uint8)

latest = callbacks.latest_checkpoint(arguments.output / "checkpoints")
if latest:
    gan = keras.saving.load_model(latest)
else:
    keras.utils.set_random_seed(0)
    gan = gan_blocks.GAN(
        networks.mlp_generator((8, 8, 1), units=(16,)),
        networks.mlp_discriminator((8, 8, 1), units=(16,)),
        ema_momentum=0.9,
    )
    gan.compile("adam", "adam")

stop = callbacks.StopOnSignal()
recorders = [
    callbacks.ImageGrid(arguments.output / "grids", every_n_epochs=1),
    callbacks.HistoryTable(arguments.output / "history.csv"),
    callbacks.EpochCheckpoint(
        arguments.output / "checkpoints", every_n_epochs=2, keep=3
    ),
    stop,
]
for steps_done, rest in callbacks.rest_of_run(
    gan, arguments.epochs, STEPS_PER_EPOCH
):
    gan.fit(
        datasets.batches(images, 8, seed=0, repeat=True, skip=steps_done),
        **rest,
        shuffle=False,
        verbose=0,
        callbacks=recorders,
    )
sys.exit(128 + stop.signal if stop.signal else 0)
