import gc
import logging
import os
import sys
import tracemalloc
import types

import keras
import numpy as np
import pytest
from PIL import Image

from gan_blocks import callbacks

pytestmark = pytest.mark.every_backend

several_steps = pytest.mark.skipif(
    keras.backend.backend() == "torch",
    reason="Keras has no steps_per_execution on torch",
)

LATENT_DIM = 3


@keras.saving.register_keras_serializable(package="test_callbacks")
class Generator(keras.Sequential):
    """The part of a GAN that callbacks see, trained as a plain model."""

    calls = ()

    def sample_latents(self, number, seed):
        rng = np.random.default_rng(seed)
        return rng.normal(size=(number, LATENT_DIM)).astype("float32")

    def generate(self, num_images=None, latents=None, **options):
        self.calls = (*self.calls, options)
        return keras.ops.convert_to_numpy(self(latents))


def make_model(learning_rate=0.1, **options):
    keras.utils.set_random_seed(0)
    model = Generator(
        [
            keras.Input((LATENT_DIM,)),
            keras.layers.Dense(12, activation="tanh"),
            keras.layers.Reshape((2, 2, 3)),
        ]
    )
    optimizer = keras.optimizers.SGD(learning_rate)
    model.compile(optimizer, loss="mean_squared_error", **options)
    return model


def batches(number):
    rng = np.random.default_rng(1)
    latents = rng.normal(size=(2 * number, LATENT_DIM)).astype("float32")
    return latents, np.zeros((2 * number, 2, 2, 3), "float32")


def train(model, callback, number=6, **options):
    options = {"batch_size": 2, "verbose": 0, "shuffle": False} | options
    x, y = batches(number)
    # One that is in no list Keras would call from another thread, later.
    return model.fit(x, y, callbacks=keras.tree.flatten(callback), **options)


def names(folder):
    return sorted(os.listdir(folder))


def steps(*numbers):
    return [f"step_{number:07d}.png" for number in numbers]


def epochs(*numbers):
    return [f"epoch_{number:04d}.keras" for number in numbers]


class StopAfter(keras.callbacks.Callback):
    """Stops training when a batch of an epoch, counted from 1, is done."""

    def __init__(self, epoch, batch):
        super().__init__()
        self.place = epoch, batch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch + 1

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch + 1) == self.place:
            self.model.stop_training = True


def test_grids_are_saved_every_n_batches_across_epochs(tmp_path):
    pictures = callbacks.ImageGrid(tmp_path / "run", every_n_batches=4)
    train(make_model(), pictures, number=6, epochs=3)
    assert names(tmp_path / "run") == steps(4, 8, 12, 16)


def test_a_grid_is_saved_every_10_batches_if_nothing_is_said(tmp_path):
    train(make_model(), callbacks.ImageGrid(tmp_path), number=7, epochs=3)
    assert names(tmp_path) == steps(10, 20)


def test_grids_are_saved_after_the_first_epoch_and_every_n(tmp_path):
    pictures = callbacks.ImageGrid(tmp_path, every_n_epochs=2)
    train(make_model(), pictures, number=2, epochs=5)
    assert names(tmp_path) == [f"epoch_000{epoch}.png" for epoch in (1, 2, 4)]


def test_a_grid_shows_what_the_model_makes_at_that_very_step(tmp_path):
    pictures = callbacks.ImageGrid(tmp_path, 1, rows=2, columns=3)
    model = make_model()
    train(model, pictures, number=4, epochs=2)
    assert names(tmp_path) == steps(*range(1, 9))
    grids = [(tmp_path / name).read_bytes() for name in names(tmp_path)]
    assert len(set(grids)) == 8
    with Image.open(tmp_path / "step_0000001.png") as picture:
        assert picture.size == (6, 4) and picture.mode == "RGB"

    for last in (1, 4):
        retrained = make_model()
        x, y = batches(4)
        retrained.fit(
            x[: 2 * last], y[: 2 * last], batch_size=2, verbose=0, shuffle=False
        )
        folder = tmp_path / str(last)
        again = callbacks.ImageGrid(folder, every_n_epochs=1, rows=2, columns=3)
        # An epoch without a change, so that the picture shows the weights.
        retrained.optimizer.learning_rate = 0.0
        train(retrained, again, number=1)
        expected = (folder / "epoch_0001.png").read_bytes()
        assert grids[last - 1] == expected


def test_all_grids_come_from_the_same_latents(tmp_path):
    model = make_model(learning_rate=0.0)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(model, callbacks.ImageGrid(tmp_path / name, 2, seed=seed))
    grids = {
        name: {path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in "abc"
    }
    assert len(grids["a"]) == len(grids["c"]) == 1
    assert grids["a"] == grids["b"] != grids["c"]


def test_training_is_the_same_with_and_without_grids(tmp_path):
    watched, alone = make_model(), make_model()
    train(watched, callbacks.ImageGrid(tmp_path, 1), epochs=2)
    train(alone, keras.callbacks.Callback(), epochs=2)
    for one, other in zip(watched.weights, alone.weights, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(one), keras.ops.convert_to_numpy(other)
        )


def test_batch_statistics_are_passed_on_only_if_given(tmp_path):
    model = make_model()
    train(model, callbacks.ImageGrid(tmp_path, 6))
    train(model, callbacks.ImageGrid(tmp_path, 6, batch_statistics=False))
    assert model.calls == ({}, {"batch_statistics": False})


def test_the_count_goes_on_when_training_goes_on(tmp_path):
    model = make_model()
    pictures = callbacks.ImageGrid(tmp_path, every_n_batches=4)
    train(model, pictures, number=6)
    assert names(tmp_path) == steps(4)
    train(model, pictures, number=6)
    assert names(tmp_path) == steps(4, 8, 12)

    model.save(tmp_path / "model.keras")
    resumed = keras.saving.load_model(tmp_path / "model.keras")
    train(resumed, callbacks.ImageGrid(tmp_path / "resumed", 4), number=6)
    assert names(tmp_path / "resumed") == steps(16)


def test_the_count_goes_on_when_a_later_callback_restores_the_run(tmp_path):
    x, y = batches(4)

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise RuntimeError

    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    model = make_model()
    with pytest.raises(RuntimeError):
        model.fit(x, y, 2, epochs=4, verbose=0, callbacks=[Stop(), backup])
    model = make_model()
    pictures = callbacks.ImageGrid(tmp_path / "run", every_n_batches=3)
    model.fit(x, y, 2, epochs=4, verbose=0, callbacks=[pictures, backup])
    assert names(tmp_path / "run") == steps(9, 12, 15)


@several_steps
def test_several_steps_per_execution_give_one_grid_per_crossing(tmp_path):
    model = make_model(steps_per_execution=4)
    pictures = callbacks.ImageGrid(tmp_path, every_n_batches=6)
    train(model, pictures, number=12, epochs=2)
    assert names(tmp_path) == steps(8, 12, 20, 24)


@several_steps
def test_the_last_execution_of_an_epoch_counts_its_steps_only(tmp_path):
    model = make_model(steps_per_execution=4)
    pictures = callbacks.ImageGrid(tmp_path, every_n_batches=5)
    train(model, pictures, number=6, epochs=3)
    assert names(tmp_path) == steps(6, 10, 16)
    iterations = keras.ops.convert_to_numpy(model.optimizer.iterations)
    assert iterations == 18


def test_thousands_of_grids_do_not_fill_the_memory(tmp_path):
    model = make_model()
    pictures = callbacks.ImageGrid(tmp_path, every_n_batches=1)
    pictures.set_model(model)
    pictures.on_train_begin()
    pictures.on_epoch_begin(0)

    def run(calls):
        for batch in range(calls):
            pictures.on_train_batch_end(batch)
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


def test_a_notebook_shows_one_picture_that_is_replaced(tmp_path, monkeypatch):
    shown = []

    class Handle:
        def update(self, picture):
            shown.append(("update", picture))

    def display(picture, display_id):
        assert display_id is True
        shown.append(("new", picture))
        return Handle()

    module = types.ModuleType("IPython.display")
    module.display = display
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    pictures = callbacks.ImageGrid(tmp_path, 2, show=True)
    train(make_model(), pictures, number=6)
    assert [how for how, _ in shown] == ["new", "update", "update"]
    with Image.open(tmp_path / "step_0000006.png") as saved:
        assert shown[-1][1].tobytes() == saved.tobytes()


def test_showing_without_ipython_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", None)
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    with pytest.raises(ImportError, match="`show=True` needs IPython"):
        callbacks.ImageGrid(tmp_path, show=True)
    callbacks.ImageGrid(tmp_path)


@pytest.mark.parametrize(
    "name", ["every_n_batches", "every_n_epochs", "rows", "columns"]
)
@pytest.mark.parametrize("value", [0, -1, 2.5])
def test_image_grid_refuses_numbers_that_are_not_positive(name, value):
    with pytest.raises(ValueError, match=f"`{name}`.*{name}={value}"):
        callbacks.ImageGrid("folder", **{name: value})


def test_image_grid_refuses_batches_and_epochs_together():
    with pytest.raises(ValueError, match="Only one of"):
        callbacks.ImageGrid("folder", every_n_batches=1, every_n_epochs=1)


def test_image_grid_refuses_a_model_that_generates_nothing(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mean_squared_error")
    with pytest.raises(ValueError, match="`generate`.*Sequential"):
        model.fit(
            np.zeros((2, 3)),
            np.zeros((2, 1)),
            callbacks=[callbacks.ImageGrid(tmp_path / "run")],
            verbose=0,
        )
    assert not (tmp_path / "run").exists()


def test_checkpoints_are_saved_every_n_epochs_and_at_the_end(tmp_path):
    saved = []
    checkpoint = callbacks.EpochCheckpoint(tmp_path / "run", 3)
    model = make_model()
    save = model.save
    model.save = lambda path: (saved.append(path.name), save(path))
    train(model, checkpoint, number=1, epochs=7)
    assert saved == names(tmp_path / "run") == epochs(3, 6, 7)
    train(model, checkpoint, number=1, initial_epoch=7, epochs=9)
    assert saved == names(tmp_path / "run") == epochs(3, 6, 7, 9)


def test_a_checkpoint_every_5_epochs_if_nothing_is_said(tmp_path):
    train(make_model(), callbacks.EpochCheckpoint(tmp_path), 1, epochs=10)
    assert names(tmp_path) == epochs(5, 10)


def test_a_checkpoint_holds_the_model_as_it_was(tmp_path):
    model = make_model()
    train(model, callbacks.EpochCheckpoint(tmp_path, 1), number=3, epochs=2)
    loaded = keras.saving.load_model(callbacks.latest_checkpoint(tmp_path))
    for one, other in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(one), keras.ops.convert_to_numpy(other)
        )
    earlier = keras.saving.load_model(tmp_path / "epoch_0001.keras")
    iterations = [
        int(keras.ops.convert_to_numpy(each.optimizer.iterations))
        for each in (earlier, loaded)
    ]
    assert iterations == [3, 6]


def test_keep_removes_the_oldest_and_nothing_of_others(tmp_path):
    others = ["best.keras", "epoch_12.keras", "epoch_0001.png", "epoch_best"]
    others += ["epoch_0001.keras.bak", "my_epoch_0001.keras"]
    for name in others:
        (tmp_path / name).write_text("not ours")
    train(make_model(), callbacks.EpochCheckpoint(tmp_path, 1, 2), 1, epochs=5)
    assert names(tmp_path) == sorted(others + epochs(4, 5))


def test_keep_counts_the_checkpoints_from_before_a_resume(tmp_path):
    model = make_model()
    train(model, callbacks.EpochCheckpoint(tmp_path, 1, 2), 1, epochs=3)
    resumed = callbacks.EpochCheckpoint(tmp_path, 1, 2)
    train(model, resumed, 1, initial_epoch=3, epochs=4)
    assert names(tmp_path) == epochs(3, 4)


def test_keep_spares_the_new_checkpoint_next_to_a_longer_run(tmp_path):
    for name in epochs(90, 95):
        (tmp_path / name).write_text("of an earlier run")
    train(make_model(), callbacks.EpochCheckpoint(tmp_path, 1, 1), 1, epochs=2)
    assert names(tmp_path) == epochs(2, 90, 95)


def test_keep_sorts_epochs_as_numbers(tmp_path):
    checkpoint = callbacks.EpochCheckpoint(tmp_path, 1, 2)
    options = {"initial_epoch": 9997, "epochs": 10_000}
    train(make_model(), checkpoint, 1, **options)
    options = {"initial_epoch": 10_000, "epochs": 10_001}
    train(make_model(), checkpoint, 1, **options)
    assert names(tmp_path) == epochs(10_000, 10_001)
    path = callbacks.latest_checkpoint(tmp_path)
    assert path == tmp_path / "epoch_10001.keras"


@pytest.mark.parametrize("error", [OSError(28, "full"), KeyboardInterrupt()])
def test_a_save_that_fails_leaves_the_checkpoints_from_before(tmp_path, error):
    checkpoint = callbacks.EpochCheckpoint(tmp_path, 1, keep=1)
    model = make_model()
    train(model, checkpoint, number=1)
    before = (tmp_path / "epoch_0001.keras").read_bytes()

    def save_half(path):
        path.write_bytes(before[: len(before) // 2])
        raise error

    model.save = save_half
    with pytest.raises(type(error)):
        train(model, checkpoint, number=1, initial_epoch=1, epochs=2)
    with pytest.raises(type(error)):
        train(model, checkpoint, number=1)
    assert names(tmp_path) == epochs(1)
    assert (tmp_path / "epoch_0001.keras").read_bytes() == before


def test_the_old_checkpoint_goes_only_once_the_new_one_is_there(
    tmp_path, monkeypatch
):
    checkpoint = callbacks.EpochCheckpoint(tmp_path, 1, keep=1)
    model = make_model()
    train(model, checkpoint, number=1)
    seen = []

    def replace(source, target):
        keras.saving.load_model(source)
        seen.append([name for name in names(tmp_path) if name[0] != "."])
        original(source, target)

    original = os.replace
    monkeypatch.setattr(os, "replace", replace)
    train(model, checkpoint, number=1, initial_epoch=1, epochs=2)
    assert seen == [epochs(1)]
    assert names(tmp_path) == epochs(2)


def test_a_checkpoint_can_be_read_by_whoever_could_read_a_plain_file(tmp_path):
    train(make_model(), callbacks.EpochCheckpoint(tmp_path), number=1)
    (tmp_path / "plain").write_text("")
    path = callbacks.latest_checkpoint(tmp_path)
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_that_diverged_is_not_saved(tmp_path, caplog, value):
    checkpoint = callbacks.EpochCheckpoint(tmp_path, 1, keep=1)
    model = make_model()
    train(model, checkpoint, number=1)
    assert not caplog.records
    bias = model.layers[0].bias
    bias.assign(keras.ops.full(bias.shape, value))
    stop = callbacks.StopOnDivergence()
    x, y = batches(1)
    model.fit(
        x,
        y,
        initial_epoch=1,
        epochs=3,
        verbose=0,
        callbacks=[stop, checkpoint],
    )
    assert names(tmp_path) == epochs(1)
    assert "epoch_0002.keras was not saved" in caplog.text


@pytest.mark.parametrize("name", ["every_n_epochs", "keep"])
@pytest.mark.parametrize("value", [0, -1, 2.5])
def test_epoch_checkpoint_refuses_numbers_that_are_not_positive(name, value):
    with pytest.raises(ValueError, match=f"`{name}`.*{name}={value}"):
        callbacks.EpochCheckpoint("folder", **{name: value})


def test_the_latest_checkpoint_is_the_newest_complete_one(tmp_path):
    assert callbacks.latest_checkpoint(tmp_path / "none") is None
    assert callbacks.latest_checkpoint(tmp_path) is None
    (tmp_path / "best.keras").write_text("not ours")
    assert callbacks.latest_checkpoint(tmp_path) is None
    train(make_model(), callbacks.EpochCheckpoint(tmp_path, 1), 1, epochs=2)
    whole = tmp_path / "epoch_0002.keras"
    assert callbacks.latest_checkpoint(str(tmp_path)) == whole
    half = whole.read_bytes()[: whole.stat().st_size // 2]
    (tmp_path / "epoch_0003.keras").write_bytes(half)
    assert callbacks.latest_checkpoint(tmp_path) == whole


def test_training_that_stops_in_mid_epoch_is_saved_under_its_place(tmp_path):
    checkpoint = callbacks.EpochCheckpoint(tmp_path)
    train(make_model(), [checkpoint, StopAfter(3, 4)], number=6, epochs=9)
    assert names(tmp_path) == ["epoch_0002_step_0000016.keras"]
    loaded = keras.saving.load_model(callbacks.latest_checkpoint(tmp_path))
    assert keras.ops.convert_to_numpy(loaded.optimizer.iterations) == 16


@pytest.mark.parametrize("batch", [1, 6])
def test_the_last_batch_alone_makes_an_epoch_whole(tmp_path, batch):
    checkpoint = callbacks.EpochCheckpoint(tmp_path, every_n_epochs=2)
    train(make_model(), [StopAfter(2, batch), checkpoint], number=6, epochs=9)
    place = {1: "epoch_0001_step_0000007", 6: "epoch_0002"}[batch]
    assert names(tmp_path) == [f"{place}.keras"]


@pytest.mark.parametrize("first", [True, False])
def test_training_that_stops_between_epochs_has_whole_ones(tmp_path, first):
    # The loss does not grow.
    stop = keras.callbacks.EarlyStopping("loss", mode="max")
    both = [callbacks.EpochCheckpoint(tmp_path), stop]
    train(make_model(), both[:: -1 if first else 1], number=3, epochs=9)
    assert names(tmp_path) == epochs(2)


def test_the_rest_of_an_epoch_makes_it_whole(tmp_path):
    checkpoint = callbacks.EpochCheckpoint(tmp_path, every_n_epochs=2)
    model = make_model()
    train(model, [checkpoint, StopAfter(2, 2)], number=6, epochs=9)
    rest = {"number": 4, "initial_epoch": 1, "epochs": 2}
    train(model, [checkpoint, StopAfter(2, 1)], **rest)
    partial = ["epoch_0001_step_0000008.keras", "epoch_0001_step_0000009.keras"]
    assert names(tmp_path) == partial
    train(model, checkpoint, **rest | {"number": 3})
    assert names(tmp_path) == [*partial, *epochs(2)]


def test_a_run_stopped_in_mid_epoch_goes_on_as_if_it_had_not_been(tmp_path):
    def build():
        model = make_model()
        # Its averages take the weights' place when training ends.
        optimizer = keras.optimizers.SGD(0.1, 0.9, use_ema=True)
        model.compile(optimizer, "mean_squared_error")
        return model

    x, y = batches(6)
    options = {"batch_size": 2, "verbose": 0, "shuffle": False}
    whole = build()
    whole.fit(x, y, **options)
    checkpoint = callbacks.EpochCheckpoint(tmp_path)
    both = [StopAfter(1, 2), checkpoint]
    build().fit(x, y, callbacks=both, **options)
    resumed = keras.saving.load_model(callbacks.latest_checkpoint(tmp_path))
    resumed.fit(x[4:], y[4:], **options)
    for one, other in zip(whole.weights, resumed.weights, strict=True):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(one),
            keras.ops.convert_to_numpy(other),
            rtol=1e-6,
        )


@several_steps
@pytest.mark.parametrize("executed", [4, 8])
def test_the_last_execution_of_an_epoch_makes_it_whole(tmp_path, executed):
    model = make_model(steps_per_execution=4)
    both = [callbacks.EpochCheckpoint(tmp_path), StopAfter(1, executed)]
    train(model, both, number=6, epochs=3)
    place = {4: "epoch_0000_step_0000004", 8: "epoch_0001"}[executed]
    assert names(tmp_path) == [f"{place}.keras"]


def test_an_epoch_of_unknown_length_counts_as_whole(tmp_path):
    x, y = batches(6)
    pairs = ((x[i : i + 2], y[i : i + 2]) for i in range(0, 12, 2))
    both = [callbacks.EpochCheckpoint(tmp_path), StopAfter(1, 3)]
    make_model().fit(pairs, shuffle=False, verbose=0, callbacks=both)
    assert names(tmp_path) == epochs(1)


def test_keep_and_latest_take_both_kinds_of_checkpoints_in_order(tmp_path):
    checkpoint = callbacks.EpochCheckpoint(tmp_path, 1, keep=2)
    both = [checkpoint, StopAfter(3, 2)]
    model = make_model()
    train(model, both, number=3, epochs=9)
    partial = "epoch_0002_step_0000008.keras"
    assert names(tmp_path) == [*epochs(2), partial]
    assert callbacks.latest_checkpoint(tmp_path) == tmp_path / partial
    train(model, checkpoint, number=1, initial_epoch=2, epochs=3)
    assert names(tmp_path) == [partial, *epochs(3)]
    assert callbacks.latest_checkpoint(tmp_path).name == epochs(3)[0]
    train(model, checkpoint, number=3, initial_epoch=3, epochs=4)
    assert names(tmp_path) == epochs(3, 4)


def test_what_diverges_in_mid_epoch_is_not_saved(tmp_path, caplog):
    x, y = batches(6)
    y[2 * 4] = np.nan
    both = [callbacks.StopOnDivergence(), callbacks.EpochCheckpoint(tmp_path)]
    options = {"batch_size": 2, "verbose": 0, "shuffle": False}
    make_model().fit(x, y, callbacks=both, epochs=3, **options)
    assert names(tmp_path) == []
    assert "epoch_0000_step_0000005.keras was not saved" in caplog.text


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_training_stops_at_the_batch_that_diverges(value, caplog):
    class Seen(keras.callbacks.Callback):
        batches = ()

        def on_train_batch_end(self, batch, logs=None):
            self.batches = (*self.batches, batch)

    x, y = batches(6)
    y[2 * 4] = value
    stop, seen = callbacks.StopOnDivergence(), Seen()
    model = make_model()
    options = {"batch_size": 2, "verbose": 0, "shuffle": False}
    options |= {"initial_epoch": 2, "epochs": 5}
    with caplog.at_level(logging.WARNING, logger="gan_blocks.callbacks"):
        model.fit(x, y, callbacks=[stop, seen], **options)
    assert seen.batches == (0, 1, 2, 3, 4)
    assert model.stop_training and stop.diverged
    assert "at epoch 3, batch 5: `loss` is" in stop.message
    assert caplog.messages == [stop.message]

    # What one training met is no matter of the next.
    train(make_model(), stop, number=2)
    assert not stop.diverged and stop.message is None


def test_every_logged_value_is_looked_at():
    stop = callbacks.StopOnDivergence()
    stop.set_model(make_model())
    stop.on_train_begin()
    stop.on_epoch_begin(0)
    logs = {"d_loss": 1.0, "g_loss": 1e30, "epoch": 3, "note": "nan"}
    stop.on_train_batch_end(0, logs)
    stop.on_train_batch_end(1)
    assert not stop.diverged
    stop.on_train_batch_end(2, logs | {"g_loss": float("nan")})
    assert stop.message.endswith("epoch 1, batch 3: `g_loss` is nan.")
    assert stop.model.stop_training


def test_training_that_does_not_diverge_is_not_stopped():
    stop = callbacks.StopOnDivergence()
    history = train(make_model(), stop, epochs=3)
    assert len(history.epoch) == 3
    assert not stop.diverged
