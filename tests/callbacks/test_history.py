import keras
import pytest
from support.models import make_model, train

from gan_blocks import runs
from gan_blocks.callbacks import HistoryTable


def places(path):
    return [(row["epoch"], row["step"]) for row in runs.read_history(path)]


def test_each_epoch_has_a_row_and_repeated_epochs_are_replaced(tmp_path):
    path = tmp_path / "run" / "history.csv"
    assert runs.read_history(path) == []
    table = HistoryTable(path)
    model = make_model()
    train(model, table, steps=4, epochs=2)
    model.save(tmp_path / "two.keras")
    train(model, table, steps=4, epochs=4, initial_epoch=2)
    expected = [("1", "4"), ("2", "8"), ("3", "12"), ("4", "16")]
    assert places(path) == expected
    before = runs.read_history(path)
    # The run is killed, and its last checkpoint is that of epoch 2.
    model = keras.saving.load_model(tmp_path / "two.keras")
    train(model, HistoryTable(path), steps=4, epochs=3, initial_epoch=2)
    assert runs.read_history(path) == before[:3]


def test_rows_are_kept_if_a_later_callback_restores_the_run(tmp_path):
    table = HistoryTable(tmp_path / "history.csv")
    backup = keras.callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)
    train(make_model(), table, backup, steps=4, epochs=2)
    train(make_model(), table, backup, steps=4, epochs=3)
    expected = [("1", "4"), ("2", "8"), ("3", "12")]
    assert places(tmp_path / "history.csv") == expected


def test_new_logs_get_new_columns(tmp_path):
    log = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.update(fid=7.0)
    )
    table = HistoryTable(tmp_path / "history.csv")
    model = make_model()
    train(model, table, epochs=1)
    train(model, log, table, epochs=2, initial_epoch=1)
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert lines[0] == "epoch,step,loss,fid"
    assert lines[1].endswith(",")
    assert lines[2].endswith(",7.0")


@pytest.mark.parametrize(
    "text", ["name,age\nTom,3\n", "step\nmany\n", "Ages\n"]
)
def test_another_table_is_not_overwritten(tmp_path, text):
    path = tmp_path / "ages.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match="`path` must be a table .*ages.csv"):
        train(make_model(), HistoryTable(path))
    assert path.read_text() == text


def test_a_log_does_not_replace_the_step(tmp_path):
    log = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.update(step=0.5, epoch=7)
    )
    table = HistoryTable(tmp_path / "history.csv")
    train(make_model(), log, table, steps=4)
    assert places(tmp_path / "history.csv") == [("1", "4")]
