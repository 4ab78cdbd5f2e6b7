import sys

import keras
import pytest
from support import gans
from support.trained_runs import train_run

from gan_blocks import GAN


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """The run of a GAN with a moving average."""
    return train_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def class_run(tmp_path_factory):
    """The run of a GAN with three classes, which has only a checkpoint."""
    run = tmp_path_factory.mktemp("classes")
    gan = GAN(*gans.conditional_networks(), num_classes=3, seed=0)
    (run / "checkpoints").mkdir()
    gans.compiled(gan).save(run / "checkpoints" / "epoch_0001.keras")
    return run


@pytest.fixture(autouse=True)
def restore_excepthook(monkeypatch):
    """Undoes what the command does to the whole process."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)


@pytest.fixture
def gan(run):
    return keras.saving.load_model(run.latest_checkpoint())
