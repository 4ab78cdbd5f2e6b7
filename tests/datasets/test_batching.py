import itertools
import pickle
import subprocess
import sys
import threading
import time

import keras
import numpy as np
import pytest
from support import gans
from support.image_sources import noise, numbered

from gan_blocks import datasets, images, replicas


def take(batches, count):
    """Returns a list of the first batches, as NumPy arrays."""
    found = [*itertools.islice(batches, count)]
    assert len(found) == count
    return keras.tree.map_structure(keras.ops.convert_to_numpy, found)


def first(batches, count):
    """Returns the first batches as one array."""
    return np.stack(take(batches, count))


def indices(batches, count):
    """Returns the indices of the `numbered` images in the first batches."""
    return images.to_uint8(first(batches, count))[:, :, 0, 0, 0].tolist()


# Content


def test_pixels_are_mapped_from_0_to_255_to_minus_1_to_1_exactly():
    every_value = np.arange(256, dtype="uint8").reshape(4, 8, 8, 1)
    batches = datasets.batches(every_value, 4, shuffle=False)
    expected = every_value.astype("float32") / np.float32(127.5) - 1
    for batch in (batches[0], *take(batches.from_step(0), 1)):
        np.testing.assert_array_equal(batch, expected)
        assert np.min(batch) == -1
        assert np.max(batch) == 1


@pytest.mark.every_backend
def test_batches_have_a_known_shape_and_dtype():
    batches = datasets.batches(noise(9, 8, 6, 3), 4, labels=np.arange(9))
    spec, label_spec = batches.from_step(0).element_spec
    assert tuple(spec.shape) == (4, 8, 6, 3)
    assert spec.dtype == "float32"
    assert tuple(label_spec.shape) == (4,)
    assert label_spec.dtype == "int32"
    batch, labels = batches[0]
    assert type(batch) is type(labels) is np.ndarray
    assert (batch.shape, batch.dtype) == ((4, 8, 6, 3), "float32")
    assert (labels.shape, labels.dtype) == ((4,), "int32")


def test_flipping_mirrors_about_half_of_the_images_differently_in_each_epoch():
    array = noise(200, 6, 6, 1)
    original = first(datasets.batches(array, 100), 2)
    flipped = first(datasets.batches(array, 100, flip=True), 2)
    same = (original == flipped).all(axis=(2, 3, 4))
    mirrored = (original[:, :, :, ::-1] == flipped).all(axis=(2, 3, 4))
    assert (same ^ mirrored).all()
    assert 70 < mirrored.sum() < 130
    batches = datasets.batches(array, 200, flip=True, shuffle=False)
    one, two = take(batches.from_step(0), 2)
    assert (one != two).any()
    np.testing.assert_array_equal(array, noise(200, 6, 6, 1))


def test_a_memory_mapped_array_can_be_batched(tmp_path):
    np.save(tmp_path / "a.npy", numbered(10))
    with pytest.warns(UserWarning, match="images look black"):
        mapped = datasets.load(tmp_path / "a.npy", 4, channels=1)
    assert isinstance(mapped, np.memmap)
    batches = datasets.batches(mapped, 5, flip=True)
    assert type(batches[0]) is np.ndarray
    assert sorted(sum(indices(batches, 2), [])) == list(range(10))


@pytest.mark.parametrize("options", [{}, {"shuffle": False}, {"flip": True}])
def test_labels_stay_with_their_images_and_do_not_change_the_order(options):
    array, labels = numbered(22), np.arange(22)[::-1]
    unlabeled = datasets.batches(array, 5, **options)
    labeled = datasets.batches(array, 5, labels=labels, **options)
    expected = first(unlabeled.from_step(0), 9)
    for step in (0, 6):
        pairs = take(labeled.from_step(step), 9 - step)
        batch, label = zip(*pairs, strict=True)
        np.testing.assert_array_equal(np.stack(batch), expected[step:])
        index = images.to_uint8(np.stack(batch))[:, :, 0, 0, 0]
        np.testing.assert_array_equal(np.stack(label), 21 - index)


# Order


def test_an_epoch_has_no_incomplete_batch_and_leaves_out_different_images():
    batches = datasets.batches(numbered(10), 3)
    assert len(batches) == 3
    assert [len(batch) for batch in batches] == [3, 3, 3]
    epochs = [
        sum(images.to_uint8(list(batches))[..., 0, 0, 0].tolist(), [])
        for _ in range(20)
    ]
    assert all(len(set(epoch)) == 9 for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert {index for epoch in epochs for index in epoch} == set(range(10))


def test_images_keep_their_order_without_shuffling():
    batches = datasets.batches(numbered(7), 3, shuffle=False)
    assert indices(batches.from_step(0), 4) == [[0, 1, 2], [3, 4, 5]] * 2


@pytest.mark.every_backend
def test_the_order_is_the_same_in_every_release_and_on_every_backend():
    batches = datasets.batches(numbered(5), 2, seed=3)
    assert indices(batches.from_step(0), 4) == [[4, 2], [1, 3], [1, 4], [0, 2]]
    another_seed = datasets.batches(numbered(5), 2, seed=4)
    assert indices(another_seed, 2) != [[4, 2], [1, 3]]


def test_batches_can_be_indexed_like_a_sequence():
    batches = datasets.batches(numbered(10), 3)
    np.testing.assert_array_equal(batches[-1], batches[2])
    for index in (3, -4):
        with pytest.raises(IndexError):
            batches[index]


@pytest.mark.every_backend
def test_epochs_and_from_step_give_the_same_batches():
    batches = datasets.batches(noise(10, 6, 5, 3), 3, flip=True)
    expected = first(batches.from_step(0), 9)
    epochs = [list(batches) for _ in range(3)]
    np.testing.assert_array_equal(sum(epochs, []), expected)
    assert batches.epoch == 3
    # Reading from a step ignores the current epoch.
    np.testing.assert_array_equal(first(batches.from_step(0), 9), expected)


@pytest.mark.every_backend
def test_reading_can_start_at_any_step():
    batches = datasets.batches(noise(11, 6, 5, 3), 3, seed=7, flip=True)
    expected = first(batches.from_step(0), 10)
    for step in range(10):
        rest = first(batches.from_step(step), 10 - step)
        np.testing.assert_array_equal(rest, expected[step:])


@pytest.mark.every_backend
def test_starting_at_a_large_step_reads_no_images_before_it():
    class Counting(np.ndarray):
        def __getitem__(self, index):
            read.append(index)
            return super().__getitem__(index)

    read = []
    batches = datasets.batches(numbered(10).view(Counting), 5)
    start = time.monotonic()
    take(batches.from_step(10**15 + 1), 1)
    assert time.monotonic() - start < 2
    assert 1 <= len(read) <= 10  # Some batches are read ahead.


def test_batches_can_be_sent_to_another_process():
    batches = datasets.batches(numbered(10), 3)
    list(batches)
    copy = pickle.loads(pickle.dumps(batches))
    np.testing.assert_array_equal(copy[1], batches[1])


# Several processes


@pytest.mark.every_backend
def test_each_process_gets_its_rows_of_each_batch(monkeypatch):
    batches = datasets.batches(
        noise(14, 6, 5, 3), 6, flip=True, labels=np.arange(14)
    )
    expected = take(batches.from_step(3), 4)
    parts = []
    for rows in (slice(0, 2), slice(2, 4), slice(4, 6)):
        monkeypatch.setattr(replicas, "rows", lambda size, rows=rows: rows)
        parts.append(take(batches.from_step(3), 4))
    for whole, *shares in zip(expected, *parts, strict=True):
        for array, *pieces in zip(whole, *shares, strict=True):
            assert [len(piece) for piece in pieces] == [2, 2, 2]
            np.testing.assert_array_equal(np.concatenate(pieces), array)


class WatchSetting(keras.callbacks.Callback):
    """Notes whether Keras divides data in training and in validation."""

    found = ()

    def on_epoch_begin(self, epoch, logs=None):
        distribution = keras.distribution.distribution()
        self.found += (distribution.auto_shard_dataset,)

    def on_test_begin(self, logs=None):
        self.on_epoch_begin(None)


@pytest.mark.every_backend
@pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="keras.distribution needs JAX"
)
@pytest.mark.parametrize("divide", [True, False])
def test_fit_divides_validation_data_as_the_user_has_set_it(divide):
    distribution = keras.distribution.DataParallel(auto_shard_dataset=divide)
    keras.distribution.set_distribution(distribution)
    watch = WatchSetting()
    gans.compiled().fit(
        datasets.batches(noise(8, 4, 4, 1), 4),
        validation_data=gans.images(8),
        callbacks=[watch],
        verbose=0,
    )
    assert watch.found == (divide, divide)
    assert distribution.auto_shard_dataset == divide


# Invalid arguments


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("images", np.zeros((10, 4, 4, 1), "float32")),
        ("images", np.zeros((10, 4, 4), "uint8")),
        ("images", [[1, 2]]),
        ("batch_size", 0),
        ("batch_size", 11),
        ("seed", None),
        ("labels", list(range(10))),
    ],
)
def test_invalid_arguments_are_named(name, value):
    arguments = {"images": numbered(10), "batch_size": 2, name: value}
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        datasets.batches(**arguments)


@pytest.mark.parametrize("step", [-1, 1.0, None])
def test_an_invalid_step_is_named(step):
    with pytest.raises(ValueError, match="`step` must be an integer of at lea"):
        datasets.batches(numbered(10), 2).from_step(step)


# Fitting a Keras model


class Recorder(keras.Model):
    """Records which of the `numbered` images and labels it sees."""

    def __init__(self):
        super().__init__()
        self.scale = self.add_weight((), "zeros")
        self.images, self.labels = [], []
        self.built = True
        self.compile("sgd", run_eagerly=True)

    def call(self, x):
        self.images += [indices([x], 1)[0]]
        return x

    def compute_loss(self, x, y, y_pred, *args, **kwargs):
        if y is not None:
            self.labels += [keras.ops.convert_to_numpy(y).tolist()]
        return keras.ops.sum(y_pred) * self.scale


@pytest.mark.every_backend
@pytest.mark.parametrize("step", [0, 3])
def test_fit_trains_on_the_batches_from_a_step_in_order(step):
    batches = datasets.batches(numbered(22), 5, labels=np.arange(22))
    model = Recorder()
    dataset = batches.from_step(step)
    model.fit(dataset, epochs=2, steps_per_epoch=4, shuffle=False, verbose=0)
    unlabeled = datasets.batches(numbered(22), 5)
    expected = indices(unlabeled.from_step(step), 8)
    assert model.images == model.labels == expected


@pytest.mark.every_backend
@pytest.mark.parametrize("epochs", [[2], [1, 1]])
def test_fit_trains_on_the_epochs_in_order(epochs):
    batches = datasets.batches(numbered(22), 5)
    model = Recorder()
    for number in epochs:
        model.fit(batches, epochs=number, shuffle=False, verbose=0)
    assert model.images == indices(batches.from_step(0), 8)
    assert batches.epoch == 2


# The threads that read ahead


def reading_threads():
    return {x for x in threading.enumerate() if "ThreadPool" in x.name}


class Flaky(np.ndarray):
    """Images of which some cannot be read."""

    def __getitem__(self, index):
        if np.size(index) and np.max(index) >= 6:
            raise OSError("Input/output error")
        return np.asarray(super().__getitem__(index))


@pytest.mark.every_backend
def test_an_error_while_reading_ends_fit_with_its_message():
    model = Recorder()
    array = numbered(8).view(Flaky)
    batches = datasets.batches(array, 2, shuffle=False).from_step(0)
    with pytest.raises(Exception, match="Input/output error"):
        model.fit(batches, steps_per_epoch=9, shuffle=False, verbose=0)
    assert model.images == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.every_backend
def test_no_thread_is_left_after_a_loop():
    before = reading_threads()
    for batch in datasets.batches(numbered(8), 2).from_step(0):
        assert len(batch) == 2
        break
    assert_threads_end(before)


def assert_threads_end(before):
    limit = time.monotonic() + 5
    while reading_threads() - before and time.monotonic() < limit:
        time.sleep(0.01)
    assert not reading_threads() - before


# Installations without TensorFlow


TRAIN = """
import sys
sys.modules["tensorflow"] = None  # An import raises an error.
import keras, numpy as np
from gan_blocks import GAN, callbacks, datasets, networks
gan = GAN(networks.mlp_generator((8, 8, 1), 4),
          networks.mlp_discriminator((8, 8, 1)))
gan.compile("adam", "adam")
batches = datasets.batches(np.zeros((32, 8, 8, 1), "uint8"), 8)
gan.fit(batches, epochs=2, verbose=0, callbacks=[
    callbacks.ImageGrid("grids"), callbacks.EpochCheckpoint("checkpoints")])
gan = keras.saving.load_model("checkpoints/epoch_0002.keras")
gan.fit(batches, epochs=3, resume=True, verbose=0)
assert gan.optimizer.iterations == 12
"""


@pytest.mark.slow
@pytest.mark.every_backend
@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow", reason="Keras imports TensorFlow"
)
def test_training_works_without_tensorflow(tmp_path):
    subprocess.run([sys.executable, "-c", TRAIN], cwd=tmp_path, check=True)
