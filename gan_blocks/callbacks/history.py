"""The table of what was logged, which outlives an interrupted run."""

import csv
import pathlib

import keras

from gan_blocks import images, replicas
from gan_blocks.callbacks import counts
from gan_blocks.callbacks.writing import WarnOnce


class HistoryTable(keras.callbacks.Callback):
    """Keeps a table of the logs of each epoch, or part of one, of a run.

    For runs that are interrupted and go on, in which
    `keras.callbacks.CSVLogger` would lose rows or have them twice. Each row
    has the `epoch`, counted from 1, the `step` at its end, counted by the
    model's optimizer over the whole run, and what was logged. An epoch that
    was stopped in its middle has a row for each part. When training begins,
    rows of later steps are left out, since these are trained again. The table
    is never seen half written, and gets another column where logs have new
    names.

    Put it before `EpochCheckpoint`: then a run that is killed between the two
    has no row too few. A table that cannot be written, because the disk is
    full, is a warning of the logger `gan_blocks.callbacks`; training goes on.
    Of several processes that train together, one writes it.

    Args:
        path: The table, a file of comma-separated values (`.csv`). It need
            not exist, nor need its folder.

    Raises:
        ValueError: When training begins, if there is a file which is not such
            a table.

    Example:

    ```python
    import pathlib
    import tempfile

    import keras
    import numpy as np

    from gan_blocks import callbacks

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mean_squared_error")
    data = np.zeros((8, 2)), np.zeros((8, 1))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "history.csv")
        table = callbacks.HistoryTable(path)
        model.fit(*data, batch_size=4, epochs=2, callbacks=[table], verbose=0)
        lines = path.read_text().splitlines()
    assert lines == ["epoch,step,loss", "1,2,0.0", "2,4,0.0"]
    ```
    """

    def __init__(self, path):
        super().__init__()
        self.path = pathlib.Path(path)
        self._rows = None

    def on_train_begin(self, logs=None):
        """Prepares to read what is there."""
        self._rows = None
        self._written = WarnOnce(f"{self.path} cannot be written")
        if replicas.is_chief(self.model):
            with self._written():
                images.remove_unfinished(self.path.parent)

    def on_epoch_begin(self, epoch, logs=None):
        """Takes up the rows of the steps that are done."""
        # Not in `on_train_begin`, where the callback that restores an
        # interrupted run may come after this one.
        if self._rows is None:
            done = counts.iterations(self.model)
            self._rows = [
                row for row in read_rows(self.path) if int(row["step"]) <= done
            ]

    def on_epoch_end(self, epoch, logs=None):
        """Adds a row."""
        step = counts.iterations(self.model)
        self._rows.append({"epoch": epoch + 1, "step": step, **(logs or {})})
        if not replicas.is_chief(self.model):
            return
        columns = dict.fromkeys(name for row in self._rows for name in row)
        with (
            self._written(),
            images.written_aside(self.path, flush=True) as aside,
        ):
            with open(aside, "w", newline="") as file:
                writer = csv.DictWriter(file, columns)
                writer.writeheader()
                writer.writerows(self._rows)


def read_rows(path):
    """Returns the rows of a table, as dictionaries of texts."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file, restval=""))
    for row in rows:
        if not row.get("step", "").isdecimal():
            raise ValueError(
                "`path` must be a table that `HistoryTable` wrote, or not "
                f"exist. Received: path={str(path)!r} with the row {row}"
            )
    return rows
