import sys

import keras
import numpy as np
import pytest
from support import gans
from support.trained_runs import train_run

from gan_blocks import GAN
from gan_blocks.cli import planned_run
from gan_blocks.plan import choosing


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
def quick_start(monkeypatch):
    """Steps are not timed, and features hardly trained: both take seconds."""
    monkeypatch.setattr(choosing, "_seconds_per_step", lambda *_: 0.01)
    monkeypatch.setattr(planned_run, "_FEATURE_STEPS", 2)


@pytest.fixture
def pictures(tmp_path):
    """Twenty gray pictures of three classes, to train on."""
    path = tmp_path / "pictures.npz"
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (20, 12, 12), "uint8")
    np.savez(path, x_train=images, y_train=np.arange(20) % 3)
    return path


@pytest.fixture
def gan(run):
    return keras.saving.load_model(run.latest_checkpoint())
