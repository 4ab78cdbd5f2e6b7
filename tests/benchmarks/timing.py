"""Times several candidates in turn.

A machine whose speed drifts then slows all candidates equally. A candidate is
a function `run(steps)` that makes `steps` steps and returns the seconds of one
step.
"""

import statistics
import time

import keras


def by_calls(call):
    """Returns a candidate for a function that makes one step.

    `call()` returns a function that waits until the step is done.
    """

    def run(steps):
        call()()
        start = time.perf_counter()
        for _ in range(steps):
            wait = call()
        wait()
        return (time.perf_counter() - start) / steps

    return run


class Clock(keras.callbacks.Callback):
    """Measures the time from the end of the first step to that of the last.

    The work of `fit` before the first step is not counted.
    """

    def on_train_batch_end(self, batch, logs=None):
        # The logs are available, so the step is done.
        self.end = time.perf_counter()
        if batch == 0:
            self.start = self.end

    def seconds(self, steps):
        """Returns the seconds of one step."""
        return (self.end - self.start) / steps


def by_fit(model, batches):
    """Returns a candidate that trains a model on endless batches."""

    def run(steps):
        clock = Clock()
        model.fit(
            batches,
            steps_per_epoch=1 + steps,
            verbose=0,
            shuffle=False,
            callbacks=[clock],
        )
        return clock.seconds(steps)

    return run


def in_turn(runs, rounds, steps):
    """Returns one row per round: the seconds per step of each candidate."""
    for run in runs:
        run(2)  # Compiles and warms up.
    table = []
    for i in range(rounds):
        row = [0.0] * len(runs)
        for j in range(len(runs)):  # The first candidate changes.
            k = (i + j) % len(runs)
            row[k] = runs[k](steps)
        table.append(row)
    return table


def median(table, column):
    """Returns the median of a column."""
    return statistics.median(row[column] for row in table)
