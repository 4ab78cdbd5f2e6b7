"""The table of what was logged, which outlives an interrupted run."""

import csv

import keras


class HistoryTable(keras.callbacks.Callback):
    """Adds the logs of each epoch, or part of one, to a table.

    `keras.callbacks.CSVLogger` keeps the file open when training is
    interrupted, and has columns of a validation that there is not.
    """

    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch, logs=None):
        """Adds a row."""
        step = int(self.model.optimizer.iterations)
        row = {"epoch": epoch + 1, "step": step, **(logs or {})}
        new = not self.path.exists()
        with open(self.path, "a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if new:
                writer.writeheader()
            writer.writerow(row)


def keep_steps(path, number):
    """Leaves out of a table what will be trained again.

    Args:
        path: `pathlib.Path` of the table; it need not exist.
        number: Number of steps that are not trained again.
    """
    if not path.exists():
        return
    with open(path, newline="") as file:
        header, *rows = csv.reader(file)
    rows = [row for row in rows if int(row[header.index("step")]) <= number]
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
