"""A table of the logs that survives interruptions."""

import csv
import pathlib
from typing import Any

import keras

from gan_blocks import files, replicas, runs
from gan_blocks._types import PathLike

__all__ = ["HistoryTable"]


class HistoryTable(keras.callbacks.Callback):
    """Writes the logs of each epoch to a CSV file that resuming keeps correct.

    Use it instead of `keras.callbacks.CSVLogger` for runs that may be
    interrupted: `CSVLogger` then loses or repeats rows.

    Columns: `epoch`, counted from 1, `step`, the number of steps at the end of
    the epoch since the start of the run (`optimizer.iterations`), and all
    logs. An epoch that was stopped and resumed has one row for each part. When
    training begins, rows of later steps are removed, because those steps are
    trained again. New logs get new columns.

    Put it before `EpochCheckpoint`. A run that is killed between the two then
    misses no row.

    The file is replaced atomically. If it cannot be written, for example
    because the disk is full, one warning is logged and training continues. If
    several processes train together, one of them writes.

    Args:
        path: The `.csv` file. The file and its folder need not exist.

    Raises:
        ValueError: When training begins, if the file exists and was not
            written by `HistoryTable`.

    Example:

    ```python
    import tempfile

    import keras
    import numpy as np

    from gan_blocks import callbacks, runs

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mean_squared_error")
    data = np.zeros((8, 2)), np.zeros((8, 1))
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/history.csv"
        table = callbacks.HistoryTable(path)
        model.fit(*data, batch_size=4, epochs=2, callbacks=[table], verbose=0)
        rows = runs.read_history(path)
    assert rows[1] == {"epoch": "2", "step": "4", "loss": "0.0"}
    ```
    """

    model: Any

    def __init__(self, path: PathLike) -> None:
        super().__init__()
        self.path = pathlib.Path(path)
        self._rows: Any = None

    def on_train_begin(self, logs=None):
        self._rows = None
        self._best_effort = files.BestEffort(f"{self.path} cannot be written")
        if replicas.is_chief(self.model):
            with self._best_effort():
                files.remove_leftovers(self.path.parent)

    def on_epoch_begin(self, epoch, logs=None):
        # Not in `on_train_begin`: a later callback, such as
        # `BackupAndRestore`, may restore the model there.
        if self._rows is None:
            done = runs.steps_done(self.model)
            self._rows = [
                row
                for row in runs.read_history(self.path)
                if int(row["step"]) <= done
            ]

    def on_epoch_end(self, epoch, logs=None):
        step = runs.steps_done(self.model)
        place = {"epoch": epoch + 1, "step": step}
        # A log of the same name must not replace the place of the row.
        self._rows.append({**place, **(logs or {}), **place})
        if not replicas.is_chief(self.model):
            return
        columns = dict.fromkeys(name for row in self._rows for name in row)
        with (
            self._best_effort(),
            files.atomic_write(self.path, flush=True) as temporary,
            open(temporary, "w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(self._rows)
