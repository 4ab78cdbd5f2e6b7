"""Times candidates in turn, so that a machine that drifts slows all alike.

A candidate is a function `run(steps)` that makes so many steps, and returns
the seconds that one of them took.
"""

import statistics
import time

import keras


def by_calls(call):
    """Makes a candidate of a function that makes one step.

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
    """Takes the time from the end of `fit`'s first step to that of its last.

    What `fit` does before the first is done once, not at every step.
    """

    def on_train_batch_end(self, batch, logs=None):
        # Keras has waited for the logs, and so for the step.
        self.end = time.perf_counter()
        if batch == 0:
            self.start = self.end

    def seconds(self, steps):
        """Returns how long one of so many steps took."""
        return (self.end - self.start) / steps


def by_fit(model, batches):
    """Makes a candidate of a model's training on batches without end."""

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
    """Returns a row for each round, of the seconds that a step of each took."""
    for run in runs:
        run(2)  # Compiles, and warms up.
    table = []
    for i in range(rounds):
        row = [0.0] * len(runs)
        for j in range(len(runs)):  # Another one goes first each time.
            k = (i + j) % len(runs)
            row[k] = runs[k](steps)
        table.append(row)
    return table


def median(table, column):
    """Returns the median of a column."""
    return statistics.median(row[column] for row in table)
