"""The folder of a finished run, and the command that uses it."""

from support import gans

from gan_blocks import callbacks
from gan_blocks.cli.command import main
from gan_blocks.runs import RunFolder


def train_run(folder, gan=None, epochs=2):
    """Trains a small GAN as the recipes do, with an average by default."""
    run = RunFolder(folder)
    gan = gan or gans.small_gan(ema_momentum=0.9)
    gans.compiled(gan).fit(
        gans.images(),
        batch_size=16,
        epochs=epochs,
        verbose=0,
        callbacks=[
            callbacks.HistoryTable(run.history),
            callbacks.ImageGrid(run.grids, every_n_epochs=1),
            callbacks.EpochCheckpoint(run.checkpoints, every_n_epochs=1),
        ],
    )
    return run


def command(*words):
    """Runs the command `gan_blocks` in this process."""
    main([str(word) for word in words])
