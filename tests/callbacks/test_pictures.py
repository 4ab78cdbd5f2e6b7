import gc
import sys
import tracemalloc

import keras
import numpy as np
import pytest
from PIL import Image
from support.models import (
    StopAfter,
    assert_same_variables,
    list_names,
    make_data,
    make_model,
    train,
)
from support.notebooks import fake_notebook

from gan_blocks import GAN, networks, runs
from gan_blocks.callbacks import ImageGrid


def steps(*numbers):
    return [f"step_{number:07d}.png" for number in numbers]


def test_grids_are_saved_every_n_batches_across_epochs(tmp_path):
    grids = ImageGrid(tmp_path / "run", every_n_batches=4)
    train(make_model(), grids, steps=6, epochs=3)
    assert list_names(tmp_path / "run") == steps(4, 8, 12, 16)


def test_the_default_is_a_grid_every_10_batches(tmp_path):
    train(make_model(), ImageGrid(tmp_path), steps=7, epochs=3)
    assert list_names(tmp_path) == steps(10, 20)


def test_grids_are_saved_after_the_first_epoch_and_every_n_epochs(tmp_path):
    train(make_model(), ImageGrid(tmp_path, every_n_epochs=2), epochs=5)
    expected = [f"epoch_000{epoch}.png" for epoch in (1, 2, 4)]
    assert list_names(tmp_path) == expected


def test_a_first_grid_can_be_saved_before_the_first_epoch_ends(tmp_path):
    grids = ImageGrid(tmp_path / "epochs", every_n_epochs=2, first_step=4)
    train(make_model(), grids, steps=6, epochs=2)
    assert list_names(tmp_path / "epochs") == [
        "epoch_0000_step_0000004.png",
        "epoch_0001.png",
        "epoch_0002.png",
    ]
    grids = ImageGrid(tmp_path / "batches", every_n_batches=8, first_step=3)
    train(make_model(), grids, steps=6, epochs=2)
    assert list_names(tmp_path / "batches") == steps(3, 8)


@pytest.mark.every_backend
def test_the_first_grid_is_the_same_in_a_resumed_run(tmp_path):
    def first_grid(*parts):
        model = make_model()
        folder = tmp_path / str(len(parts))
        x, y = make_data(6)
        for part in parts:
            grids = ImageGrid(folder, every_n_epochs=9, first_step=4)
            options = {"data": (x[part], y[part]), "initial_epoch": 1}
            train(model, grids, epochs=2, **options)
        (path,) = folder.iterdir()
        assert path.name == "epoch_0001_step_0000004.png"
        return path.read_bytes()

    # Two steps, then the others.
    resumed = first_grid(slice(0, 4), slice(4, 12))
    assert resumed == first_grid(slice(0, 12))


@pytest.mark.every_backend
def test_a_grid_shows_the_model_at_that_step(tmp_path):
    grids = ImageGrid(tmp_path, 1, rows=2, columns=3)
    train(make_model(), grids, steps=4, epochs=2)
    assert list_names(tmp_path) == steps(*range(1, 9))
    saved = [(tmp_path / name).read_bytes() for name in list_names(tmp_path)]
    assert len(set(saved)) == 8
    with Image.open(tmp_path / "step_0000001.png") as picture:
        assert picture.size == (6, 4) and picture.mode == "RGB"

    x, y = make_data(4)
    for last in (1, 4):
        again = make_model()
        train(again, data=(x[: 2 * last], y[: 2 * last]))
        folder = tmp_path / str(last)
        # An epoch that changes nothing, to save a grid of the weights.
        again.optimizer.learning_rate = 0.0
        grids = ImageGrid(folder, every_n_epochs=1, rows=2, columns=3)
        train(again, grids, steps=1)
        assert saved[last - 1] == (folder / "epoch_0001.png").read_bytes()


def test_all_grids_show_the_same_latents(tmp_path):
    model = make_model(keras.optimizers.SGD(0.0))
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(model, ImageGrid(tmp_path / name, 2, seed=seed))
    grids = {
        name: {path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in "abc"
    }
    assert len(grids["a"]) == len(grids["c"]) == 1
    assert grids["a"] == grids["b"] != grids["c"]


@pytest.mark.every_backend
def test_grids_do_not_change_training(tmp_path):
    watched, alone = make_model(), make_model()
    train(watched, ImageGrid(tmp_path, 1), epochs=2)
    train(alone, keras.callbacks.Callback(), epochs=2)
    assert_same_variables(watched, alone)


def test_batch_statistics_are_passed_only_if_given(tmp_path):
    model = make_model()
    train(model, ImageGrid(tmp_path, 6))
    train(model, ImageGrid(tmp_path, 6, batch_statistics=False))
    assert model.calls == ({}, {"batch_statistics": False})


def test_step_numbers_continue_when_training_continues(tmp_path):
    model = make_model()
    grids = ImageGrid(tmp_path, every_n_batches=4)
    train(model, grids, steps=6)
    assert list_names(tmp_path) == steps(4)
    train(model, grids, steps=6)
    assert list_names(tmp_path) == steps(4, 8, 12)

    model.save(tmp_path / "model.keras")
    resumed = keras.saving.load_model(tmp_path / "model.keras")
    train(resumed, ImageGrid(tmp_path / "resumed", 4), steps=6)
    assert list_names(tmp_path / "resumed") == steps(16)


def test_step_numbers_continue_if_a_later_callback_restores_the_run(tmp_path):
    class Fail(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise RuntimeError

    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(RuntimeError):
        train(make_model(), Fail(), backup, steps=4, epochs=4)
    grids = ImageGrid(tmp_path / "run", every_n_batches=3)
    train(make_model(), grids, backup, steps=4, epochs=4)
    assert list_names(tmp_path / "run") == steps(9, 12, 15)


@pytest.mark.skipif(
    keras.backend.backend() == "torch",
    reason="Keras has no steps_per_execution on torch",
)
@pytest.mark.every_backend
@pytest.mark.parametrize(
    ("size", "epochs", "every_n_batches", "first_step", "expected"),
    [
        (12, 2, 6, 7, steps(8, 12, 20, 24)),
        # The second execution of an epoch has two steps.
        (6, 3, 5, 1, steps(4, 6, 10, 16)),
    ],
)
def test_several_steps_per_execution_save_at_most_one_grid(
    tmp_path, size, epochs, every_n_batches, first_step, expected
):
    model = make_model(steps_per_execution=4)
    grids = ImageGrid(tmp_path, every_n_batches, first_step=first_step)
    train(model, grids, steps=size, epochs=epochs)
    assert list_names(tmp_path) == expected
    assert runs.steps_done(model) == size * epochs


@pytest.mark.slow
@pytest.mark.every_backend
def test_hundreds_of_grids_do_not_fill_the_memory(tmp_path):
    model = make_model()
    grids = ImageGrid(tmp_path, every_n_batches=1)
    grids.set_model(model)
    grids.on_train_begin()
    grids.on_epoch_begin(0)

    def run(calls):
        for batch in range(calls):
            grids.on_train_batch_end(batch)
        model.calls = ()
        gc.collect()
        return len(gc.get_objects())

    run(20)
    tracemalloc.start()
    objects, memory = run(100), tracemalloc.get_traced_memory()[0]
    more_objects, more_memory = run(300), tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert more_objects - objects < 100
    assert more_memory - memory < 50_000


def test_a_notebook_shows_one_grid_that_is_updated(tmp_path, monkeypatch):
    shown = fake_notebook(monkeypatch)
    train(make_model(), ImageGrid(tmp_path, 2, show=True), steps=6)
    assert [how for how, _ in shown] == ["display", "update", "update"]
    with Image.open(tmp_path / "step_0000006.png") as saved:
        assert shown[-1][1].tobytes() == saved.tobytes()


def test_show_needs_ipython(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", None)
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    with pytest.raises(ImportError, match="`show=True` needs .* IPython"):
        ImageGrid(tmp_path, show=True)
    ImageGrid(tmp_path)


def test_tensorboard_logs_need_tensorflow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ImportError, match="pip install tensorflow"):
        ImageGrid(tmp_path, tensorboard=tmp_path)


@pytest.mark.parametrize(
    "name",
    ["every_n_batches", "every_n_epochs", "rows", "columns", "first_step"],
)
def test_numbers_must_be_positive_integers(name):
    with pytest.raises(ValueError, match=f"`{name}`.*{name}=0"):
        ImageGrid("folder", **{name: 0})


def test_batches_and_epochs_together_are_an_error():
    with pytest.raises(ValueError, match="Only one of"):
        ImageGrid("folder", every_n_batches=1, every_n_epochs=1)


def test_a_model_without_generate_is_an_error(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mean_squared_error")
    with pytest.raises(ValueError, match="`generate`.*Sequential"):
        train(model, ImageGrid(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def fit_gan(shape, grids):
    gan = GAN(
        networks.mlp_generator(shape, latent_dim=2, units=()),
        networks.mlp_discriminator(shape, units=()),
    )
    gan.compile("sgd", "sgd")
    images = np.zeros((4, *shape), "float32")
    gan.fit(images, batch_size=2, verbose=0, callbacks=[grids])


@pytest.mark.every_backend
@pytest.mark.parametrize(
    "shape", [(8, 8, 2), (4, 4, 4, 1), (16, 1), (5,), (3, 8, 8)], ids=str
)
def test_data_that_cannot_be_drawn_is_refused_before_training(tmp_path, shape):
    steps = []
    grids = ImageGrid(tmp_path / "run", every_n_epochs=1)
    grids.on_train_batch_end = lambda batch, logs=None: steps.append(batch)
    with pytest.raises(ValueError, match=r"`ImageGrid` draws .*image_shape=\("):
        fit_gan(shape, grids)
    assert not steps and not (tmp_path / "run").exists()


@pytest.fixture
def channels_first():
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


def test_the_grid_of_an_epoch_that_was_stopped_has_the_number_of_its_step(
    tmp_path,
):
    model, grids = make_model(), ImageGrid(tmp_path, every_n_epochs=2)
    train(model, StopAfter(2, 1), grids, steps=3, epochs=4)
    names = ["epoch_0001.png", "epoch_0001_step_0000004.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


@pytest.mark.every_backend
def test_images_with_channels_first_are_drawn(tmp_path, channels_first):
    fit_gan((3, 8, 4), ImageGrid(tmp_path, every_n_epochs=1, rows=2))
    with Image.open(tmp_path / "epoch_0001.png") as picture:
        assert picture.size == (4 * 4, 2 * 8) and picture.mode == "RGB"


def test_a_wrong_seed_is_an_error_before_training(tmp_path):
    model = make_model()
    with pytest.raises(ValueError):
        train(model, ImageGrid(tmp_path / "run", seed=-1))
    assert runs.steps_done(model) == 0
