"""What is left of a run, and the table of what was."""

import csv
import itertools

import keras
import numpy as np
import pytest

from gan_blocks import callbacks


def make_model():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mean_squared_error")
    return model


def fit(model, *recorders, steps=4, **options):
    data = np.ones((2 * steps, 2)), np.zeros((2 * steps, 1))
    options = {"batch_size": 2, "verbose": 0, "shuffle": False} | options
    model.fit(*data, callbacks=list(recorders), **options)


def train(model, epochs, steps_per_epoch, *recorders):
    """Trains what is left, and returns the arguments that were to be used."""
    used = []
    for steps_done, rest in callbacks.rest_of_run(
        model, epochs, steps_per_epoch
    ):
        used.append((steps_done, *rest.values()))
        batch = np.ones((2, 2)), np.zeros((2, 1))
        stream = (batch for _ in itertools.count())
        options = {"verbose": 0, "shuffle": False, **rest}
        model.fit(stream, callbacks=list(recorders), **options)
    return used


def test_a_new_run_is_one_fit():
    model = make_model()
    assert train(model, 3, 4) == [(0, 0, 3, 4)]
    assert int(model.optimizer.iterations) == 12


def test_a_run_that_has_all_its_epochs_has_nothing_left():
    model = make_model()
    train(model, 3, 4)
    assert train(model, 3, 4) == []
    assert train(model, 2, 4) == []
    assert train(model, 4, 4) == [(12, 3, 4, 4)]


def test_a_broken_epoch_is_ended_first():
    model = make_model()
    fit(model, steps=5, epochs=1)
    assert train(model, 3, 4) == [(5, 1, 2, 3), (8, 2, 3, 4)]
    assert int(model.optimizer.iterations) == 12


def test_after_a_stop_there_is_nothing_more_to_do():
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = True

    model = make_model()
    assert train(model, 3, 4, Stop()) == [(0, 0, 3, 4)]
    assert train(model, 3, 4, Stop()) == [(1, 0, 1, 3)]
    # An old stop does not keep a new run from its beginning.
    assert train(model, 3, 4) == [(2, 0, 1, 2), (4, 1, 3, 4)]


def test_whoever_trains_nothing_is_not_asked_for_ever():
    assert len(list(callbacks.rest_of_run(make_model(), 3, 4))) == 1


@pytest.mark.parametrize("numbers", [(0, 4), (3, 0), (3, 2.5)])
def test_numbers_that_make_no_run_are_refused(numbers):
    with pytest.raises(ValueError, match="must be a positive integer"):
        next(callbacks.rest_of_run(make_model(), *numbers))


def rows(path):
    with open(path, newline="") as file:
        return [list(row.values()) for row in csv.DictReader(file)]


def test_a_table_has_a_row_for_each_epoch_and_leaves_out_what_is_repeated(
    tmp_path,
):
    path = tmp_path / "run" / "history.csv"
    table = callbacks.HistoryTable(path)
    model = make_model()
    fit(model, table, epochs=2)
    model.save(tmp_path / "two.keras")
    fit(model, table, epochs=4, initial_epoch=2)
    assert [row[:2] for row in rows(path)] == [
        ["1", "4"], ["2", "8"], ["3", "12"], ["4", "16"]
    ]  # fmt: skip
    before = rows(path)
    # The run is killed, and its last checkpoint is that of the second epoch.
    model = keras.saving.load_model(tmp_path / "two.keras")
    fit(model, callbacks.HistoryTable(path), epochs=3, initial_epoch=2)
    assert rows(path) == before[:3]


def test_a_table_counts_from_where_a_later_callback_restored_the_run(tmp_path):
    table = callbacks.HistoryTable(tmp_path / "history.csv")
    backup = keras.callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)
    fit(make_model(), table, backup, epochs=2)
    fit(make_model(), table, backup, epochs=3)
    found = [row[:2] for row in rows(tmp_path / "history.csv")]
    assert found == [["1", "4"], ["2", "8"], ["3", "12"]]


def test_a_table_gets_columns_for_new_logs(tmp_path):
    class Log(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["fid"] = 7.0

    table = callbacks.HistoryTable(tmp_path / "history.csv")
    model = make_model()
    fit(model, table, epochs=1)
    fit(model, Log(), table, epochs=2, initial_epoch=1)
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert lines[0] == "epoch,step,loss,fid"
    assert lines[1].endswith(",")
    assert lines[2].endswith(",7.0")


@pytest.mark.parametrize("text", ["name,age\nTom,3\n", "step\nmany\n"])
def test_a_table_of_somebody_else_is_not_written_over(tmp_path, text):
    path = tmp_path / "ages.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match="`path` must be a table .*ages.csv"):
        fit(make_model(), callbacks.HistoryTable(path))
    assert path.read_text() == text
