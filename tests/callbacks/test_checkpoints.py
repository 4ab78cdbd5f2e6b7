import os

import keras
import numpy as np
import pytest
from support.models import (
    StopAfter,
    assert_same_variables,
    list_names,
    make_data,
    make_model,
    train,
)
from support.processes import process_that_locks

from gan_blocks import GAN, datasets, networks, runs
from gan_blocks.callbacks import EpochCheckpoint, StopOnDivergence


def epochs(*numbers):
    return [f"epoch_{number:04d}.keras" for number in numbers]


def test_checkpoints_are_saved_every_n_epochs_and_at_the_end(tmp_path):
    checkpoint = EpochCheckpoint(tmp_path / "run", 3)
    model = make_model()
    saved = []
    save = model.save
    model.save = lambda path: (saved.append(path.name), save(path))
    train(model, checkpoint, steps=1, epochs=7)
    assert saved == list_names(tmp_path / "run") == epochs(3, 6, 7)
    train(model, checkpoint, steps=1, initial_epoch=7, epochs=9)
    assert saved == list_names(tmp_path / "run") == epochs(3, 6, 7, 9)


def test_the_default_is_a_checkpoint_every_5_epochs(tmp_path):
    train(make_model(), EpochCheckpoint(tmp_path), steps=1, epochs=10)
    assert list_names(tmp_path) == epochs(5, 10)


@pytest.mark.every_backend
def test_a_checkpoint_contains_the_model_at_that_step(tmp_path):
    model = make_model()
    train(model, EpochCheckpoint(tmp_path, 1), steps=3, epochs=2)
    loaded = keras.saving.load_model(runs.latest_checkpoint(tmp_path))
    assert_same_variables(loaded, model)
    earlier = keras.saving.load_model(tmp_path / "epoch_0001.keras")
    assert [runs.steps_done(each) for each in (earlier, loaded)] == [3, 6]


def test_keep_removes_the_oldest_checkpoints_and_no_other_files(tmp_path):
    others = ["best.keras", "epoch_12.keras", "epoch_0001.png", "epoch_best"]
    others += ["epoch_0001.keras.bak", "my_epoch_0001.keras"]
    for name in others:
        (tmp_path / name).write_text("not ours")
    train(make_model(), EpochCheckpoint(tmp_path, 1, 2), steps=1, epochs=5)
    assert list_names(tmp_path) == sorted(others + epochs(4, 5))


def test_keep_does_not_remove_checkpoints_of_a_longer_run(tmp_path):
    for name in epochs(90, 95):
        (tmp_path / name).write_text("from an earlier run")
    train(make_model(), EpochCheckpoint(tmp_path, 1, 1), steps=1, epochs=2)
    assert list_names(tmp_path) == epochs(2, 90, 95)


def test_keep_sorts_epochs_as_numbers_and_counts_those_of_earlier_runs(
    tmp_path,
):
    for first, last in ((9998, 10_000), (10_000, 10_001)):
        options = {"initial_epoch": first, "epochs": last}
        train(make_model(), EpochCheckpoint(tmp_path, 1, 2), steps=1, **options)
    assert list_names(tmp_path) == epochs(10_000, 10_001)
    path = runs.latest_checkpoint(tmp_path)
    assert path == tmp_path / "epoch_10001.keras"


@pytest.mark.parametrize("error", [OSError(28, "full"), KeyboardInterrupt()])
def test_a_failed_save_keeps_the_earlier_checkpoints(tmp_path, error):
    checkpoint = EpochCheckpoint(tmp_path, 1, keep=1)
    model = make_model()
    train(model, checkpoint, steps=1)
    before = (tmp_path / "epoch_0001.keras").read_bytes()

    def save_half(path):
        path.write_bytes(before[: len(before) // 2])
        raise error

    model.save = save_half
    with pytest.raises(type(error)):
        train(model, checkpoint, steps=1, initial_epoch=1, epochs=2)
    with pytest.raises(type(error)):
        train(model, checkpoint, steps=1)
    assert list_names(tmp_path) == epochs(1)
    assert (tmp_path / "epoch_0001.keras").read_bytes() == before


def test_the_old_checkpoint_is_removed_after_the_new_one_is_complete(
    tmp_path, monkeypatch
):
    checkpoint = EpochCheckpoint(tmp_path, 1, keep=1)
    model = make_model()
    train(model, checkpoint, steps=1)
    seen = []

    def replace(source, target):
        keras.saving.load_model(source)
        seen.append([name for name in list_names(tmp_path) if name[0] != "."])
        original(source, target)

    original = os.replace
    monkeypatch.setattr(os, "replace", replace)
    train(model, checkpoint, steps=1, initial_epoch=1, epochs=2)
    assert seen == [epochs(1)]
    assert list_names(tmp_path) == epochs(2)


@pytest.mark.every_backend
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_diverged_model_is_not_saved(tmp_path, caplog, value):
    checkpoint = EpochCheckpoint(tmp_path, 1, keep=1)
    model = make_model()
    train(model, checkpoint, steps=1)
    assert not caplog.records
    bias = model.layers[0].bias
    bias.assign(keras.ops.full(bias.shape, value))
    options = {"initial_epoch": 1, "epochs": 3}
    train(model, StopOnDivergence(), checkpoint, steps=1, **options)
    assert list_names(tmp_path) == epochs(1)
    assert "epoch_0002.keras was not saved" in caplog.text


def test_a_model_that_diverges_in_the_middle_of_an_epoch_is_not_saved(
    tmp_path, caplog
):
    x, y = make_data(6)
    y[2 * 4] = np.nan
    both = StopOnDivergence(), EpochCheckpoint(tmp_path)
    train(make_model(), *both, data=(x, y), epochs=3)
    assert list_names(tmp_path) == []
    assert "epoch_0000_step_0000005.keras was not saved" in caplog.text


@pytest.mark.parametrize("name", ["every_n_epochs", "keep"])
def test_numbers_must_be_positive_integers(name):
    with pytest.raises(ValueError, match=f"`{name}`.*{name}=0"):
        EpochCheckpoint("folder", **{name: 0})


def test_arguments_must_be_a_dictionary():
    with pytest.raises(ValueError, match="`arguments` must be"):
        EpochCheckpoint("folder", arguments=[1])


def test_a_folder_without_permission_is_an_error_before_training(tmp_path):
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):
        pytest.skip("root may write everywhere")
    model = make_model()
    with pytest.raises(PermissionError):
        train(model, EpochCheckpoint(tmp_path))
    assert runs.steps_done(model) == 0


def test_two_processes_cannot_save_in_the_same_folder(tmp_path):
    folder = tmp_path / "checkpoints"
    model = make_model()
    with process_that_locks(folder):
        with pytest.raises(ValueError, match=f"training in {folder}"):
            train(model, EpochCheckpoint(folder))
        assert runs.steps_done(model) == 0
    train(model, EpochCheckpoint(folder), steps=1)
    assert list_names(tmp_path) == ["checkpoints"]
    assert list_names(folder) == epochs(1)


# Epochs that become longer or shorter.


def small_gan():
    keras.utils.set_random_seed(0)
    gan = GAN(
        networks.mlp_generator((2, 2, 1), latent_dim=2, units=()),
        networks.mlp_discriminator((2, 2, 1), units=()),
        seed=0,
    )
    gan.compile("sgd", "sgd")
    return gan


def resume(folder, epochs, steps_per_epoch, keep=None):
    """Continues or starts a run. Returns its number of steps."""
    path = runs.latest_checkpoint(folder)
    gan = keras.saving.load_model(path) if path else small_gan()
    images = np.zeros((2 * steps_per_epoch, 2, 2, 1), "uint8")
    gan.fit(
        datasets.batches(images, 2, seed=0),
        epochs=epochs,
        resume=True,
        verbose=0,
        callbacks=[EpochCheckpoint(folder, 1, keep)],
    )
    return runs.steps_done(gan)


@pytest.mark.slow
@pytest.mark.every_backend
def test_longer_epochs_are_reported_and_the_newest_checkpoints_are_kept(
    tmp_path, caplog
):
    assert resume(tmp_path, 4, steps_per_epoch=2, keep=2) == 8
    assert not caplog.records
    assert resume(tmp_path, 2, steps_per_epoch=8, keep=2) == 16
    (message,) = caplog.messages
    assert "steps per epoch has changed to 8" in message
    assert "step 8 of this run, which was in epoch 4" in message
    assert message.endswith("is now step 8 of epoch 1.")
    assert list_names(tmp_path) == epochs(2, 4)
    assert runs.latest_checkpoint(tmp_path) == tmp_path / "epoch_0002.keras"


@pytest.mark.slow
def test_shorter_epochs_are_reported_in_the_middle_of_an_epoch(
    tmp_path, caplog
):
    assert resume(tmp_path, 1, steps_per_epoch=4) == 4
    assert resume(tmp_path, 2, steps_per_epoch=4) == 8
    assert not caplog.records
    assert resume(tmp_path, 3, steps_per_epoch=3) == 9
    (message,) = caplog.messages
    assert message.endswith("in epoch 2, is now step 2 of epoch 3.")


@pytest.mark.slow
@pytest.mark.every_backend
def test_short_epochs_resume_with_the_weights_of_one_long_epoch(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 2, 2, 1), "uint8")

    def fit(gan, *callbacks, **options):
        batches = datasets.batches(pixels, 2, seed=0)
        options = {"resume": True, "verbose": 0} | options
        gan.fit(batches, callbacks=list(callbacks), **options)
        return gan

    whole = fit(small_gan())
    assert runs.steps_done(whole) == 6
    checkpoint = EpochCheckpoint(tmp_path, every_n_epochs=1)
    short = {"steps_per_epoch": 2}
    fit(small_gan(), checkpoint, epochs=2, **short)
    assert list_names(tmp_path) == epochs(1, 2)
    gan = keras.saving.load_model(tmp_path / epochs(2)[0])
    assert_same_variables(fit(gan, epochs=3, **short), whole)


# Training that is stopped in the middle of an epoch.


executions = pytest.mark.skipif(
    keras.backend.backend() == "torch",
    reason="Keras has no steps_per_execution on torch",
)


@pytest.mark.every_backend
@pytest.mark.parametrize(
    ("executed", "stop", "name", "steps"),
    [
        (1, (3, 4), "epoch_0002_step_0000016", 16),
        (1, (2, 6), "epoch_0002", 12),
        pytest.param(4, (1, 4), "epoch_0000_step_0000004", 4, marks=executions),
        pytest.param(4, (1, 8), "epoch_0001", 6, marks=executions),
    ],
)
def test_only_an_incomplete_epoch_is_saved_with_its_step(
    tmp_path, executed, stop, name, steps
):
    model = make_model(steps_per_execution=executed)
    both = EpochCheckpoint(tmp_path), StopAfter(*stop)
    train(model, *both, steps=6, epochs=9)
    assert list_names(tmp_path) == [f"{name}.keras"]
    loaded = keras.saving.load_model(runs.latest_checkpoint(tmp_path))
    assert runs.steps_done(loaded) == steps


@pytest.mark.parametrize("order", [1, -1])
def test_training_that_stops_between_epochs_is_saved_as_complete(
    tmp_path, order
):
    # Stops because the loss does not grow.
    stop = keras.callbacks.EarlyStopping("loss", mode="max")
    both = [EpochCheckpoint(tmp_path), stop]
    train(make_model(), *both[::order], steps=3, epochs=9)
    assert list_names(tmp_path) == epochs(2)


def test_the_rest_of_an_epoch_completes_it(tmp_path):
    checkpoint = EpochCheckpoint(tmp_path, every_n_epochs=2)
    model = make_model()
    train(model, checkpoint, StopAfter(2, 2), steps=6, epochs=9)
    rest = {"initial_epoch": 1, "epochs": 2}
    train(model, checkpoint, StopAfter(2, 1), steps=4, **rest)
    partial = ["epoch_0001_step_0000008.keras", "epoch_0001_step_0000009.keras"]
    assert list_names(tmp_path) == partial
    train(model, checkpoint, steps=3, **rest)
    assert list_names(tmp_path) == [*partial, *epochs(2)]


def test_resuming_in_the_middle_of_an_epoch_gives_the_same_weights(tmp_path):
    def build():
        # With `use_ema`, averages replace the weights when training ends.
        return make_model(keras.optimizers.SGD(0.1, 0.9, use_ema=True))

    x, y = make_data(6)
    whole = build()
    train(whole, data=(x, y))
    train(build(), StopAfter(1, 2), EpochCheckpoint(tmp_path), data=(x, y))
    resumed = keras.saving.load_model(runs.latest_checkpoint(tmp_path))
    train(resumed, data=(x[4:], y[4:]))
    for one, other in zip(whole.weights, resumed.weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_an_epoch_of_unknown_length_counts_as_complete(tmp_path):
    x, y = make_data(6)
    pairs = ((x[i : i + 2], y[i : i + 2]) for i in range(0, 12, 2))
    both = [EpochCheckpoint(tmp_path), StopAfter(1, 3)]
    make_model().fit(pairs, shuffle=False, verbose=0, callbacks=both)
    assert list_names(tmp_path) == epochs(1)


def test_keep_and_latest_checkpoint_include_incomplete_epochs(tmp_path):
    checkpoint = EpochCheckpoint(tmp_path, 1, keep=2)
    model = make_model()
    train(model, checkpoint, StopAfter(3, 2), steps=3, epochs=9)
    partial = "epoch_0002_step_0000008.keras"
    assert list_names(tmp_path) == [*epochs(2), partial]
    assert runs.latest_checkpoint(tmp_path) == tmp_path / partial
    train(model, checkpoint, steps=1, initial_epoch=2, epochs=3)
    assert list_names(tmp_path) == [partial, *epochs(3)]
    assert runs.latest_checkpoint(tmp_path).name == epochs(3)[0]
    train(model, checkpoint, steps=3, initial_epoch=3, epochs=4)
    assert list_names(tmp_path) == epochs(3, 4)
