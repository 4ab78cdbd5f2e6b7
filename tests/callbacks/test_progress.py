import contextlib
import io
import re
import shutil
import sys
import time
import types

import pytest
from support.models import StopAfter, make_data, make_model, train
from support.notebooks import fake_notebook

from gan_blocks import replicas
from gan_blocks.callbacks import ProgressLine, TimeLimit

LOGS = {
    "d_loss": 1.234,
    "g_loss": 0.876,
    "real_accuracy": 0.713,
    "fake_accuracy": 0.782,
    "spread": 0.8234,
}


@pytest.fixture
def clock(monkeypatch):
    """A clock that advances only when a test says so."""
    clock = types.SimpleNamespace(now=0.0)
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    return clock


class Terminal(io.StringIO):
    """A terminal, to which stdout is redirected."""

    def isatty(self):
        return True

    def lines(self):
        """Returns all lines that were shown."""
        return re.split("[\r\n]", self.getvalue())

    def screen(self):
        """Returns the lines that are visible in the end."""
        lines = self.getvalue().split("\n")
        return [line.split("\r")[-1].rstrip() for line in lines]


class Run:
    """Calls the hooks of a callback as `fit` does, on the test's clock."""

    def __init__(self, progress, clock, logs=LOGS, pause=0.0, terminal=None):
        self.progress, self.clock = progress, clock
        self.logs, self.pause = logs, pause
        self.terminal = terminal
        progress.set_model(make_model())

    def fit(self, steps, epochs, first=0, seconds=1.0, unknown=False):
        params = {"epochs": epochs, "steps": None if unknown else steps}
        self.progress.set_params(params)
        with contextlib.redirect_stdout(self.terminal or sys.stdout):
            self.progress.on_train_begin()
            for epoch in range(first, epochs):
                self.progress.on_epoch_begin(epoch)
                for batch in range(steps):
                    self.clock.now += seconds
                    self.progress.on_train_batch_end(batch, dict(self.logs))
                self.progress.on_epoch_end(epoch, dict(self.logs))
                self.clock.now += self.pause
            self.progress.on_train_end()


def test_a_pipe_gets_one_line_per_epoch_and_one_estimate(clock, capsys):
    Run(ProgressLine(), clock).fit(steps=100, epochs=3, seconds=0.1)
    estimate, *lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"3 epochs of 100 steps will take about 25 s on .+\.", estimate
    )
    values = "d 1.23 g 0.88 acc 71% 78% spread 0.82 100 ms/step"
    assert lines == [
        f"Epoch 1/3 {values} 20 s left",
        f"Epoch 2/3 {values} 10 s left",
        f"Epoch 3/3 {values}",
    ]


def test_a_terminal_line_is_updated_in_place(clock):
    terminal = Terminal()
    run = Run(ProgressLine(), clock, terminal=terminal)
    run.fit(steps=100, epochs=2, seconds=0.06)
    estimate, first, second, rest = terminal.screen()
    assert estimate.startswith("2 epochs of 100 steps will take about 7 s on ")
    assert first.startswith("Epoch 1/2 d 1.23") and first.endswith("6 s left")
    assert second.startswith("Epoch 2/2 d 1.23") and rest == ""
    # Twelve seconds of training, with at most five updates per second.
    updates = terminal.getvalue().count("\r")
    assert 45 <= updates <= 65
    lines = terminal.lines()
    assert max(map(len, lines)) <= 79
    assert any("1/2 53/100 d 1.23 g 0.88" in line for line in lines)


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_line_fits_the_terminal(columns, clock, monkeypatch):
    size = shutil.os.terminal_size((columns, 24))
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: size)
    logs = LOGS | {"d_loss": -1234.5, "g_loss": float("nan")}
    terminal = Terminal()
    progress = ProgressLine(epochs=1000, steps_per_epoch=50_000)
    run = Run(progress, clock, logs, terminal=terminal)
    run.fit(steps=10, epochs=1000, first=999, seconds=7.0)
    lines = terminal.lines()
    assert max(len(line) for line in lines if "about" not in line) < min(
        columns, 80
    )
    if columns >= 80:
        values = "d -1.23e+03 g nan acc 71% 78% spread 0.82 7 s left"
        assert f"1000/1000 49999/50000 {values}" in map(str.rstrip, lines)


def test_a_resumed_run_counts_the_steps_of_the_whole_run(clock):
    progress = ProgressLine(epochs=5, steps_per_epoch=100)
    terminal = Terminal()
    run = Run(progress, clock, terminal=terminal)
    run.fit(steps=40, epochs=3, first=2)  # 60 steps of epoch 3 are done.
    run.fit(steps=100, epochs=5, first=3)
    lines = terminal.lines()
    (estimate,) = [line for line in lines if "about" in line]
    # After step 5 of 240, of 1 second each.
    assert estimate.startswith(
        "The rest of 5 epochs will take about 3 min 55 s on "
    )
    assert any("3/5 61/100 d" in line for line in lines)
    assert any("4/5 1/100 d" in line for line in lines)
    ends = [line for line in terminal.screen() if line.startswith("Epoch")]
    assert [line[6:9] for line in ends] == ["3/5", "4/5", "5/5"]
    assert ends[0].endswith("1.0 s/step 3 min 20 s left")


def test_time_left_includes_pauses_but_not_compilation(clock, capsys):
    run = Run(ProgressLine(), clock, pause=30.0)
    original = run.progress.on_epoch_begin

    def compile_first(epoch, logs=None):
        original(epoch)
        clock.now += 100.0 * (epoch == 0)

    run.progress.on_epoch_begin = compile_first
    run.fit(steps=10, epochs=3)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].endswith(" 1.0 s/step 20 s left")
    # One more epoch of ten steps, and one more pause.
    assert lines[2].endswith(" 1.0 s/step 40 s left")


def test_an_epoch_that_is_stopped_shows_its_step(capsys):
    train(make_model(), ProgressLine(), StopAfter(1, 4), steps=6, epochs=2)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("Epoch 1/2 4/6 loss ")


def test_the_number_of_steps_may_be_unknown(clock):
    terminal = Terminal()
    run = Run(ProgressLine(), clock, terminal=terminal)
    run.fit(steps=8, epochs=2, unknown=True)
    lines = terminal.lines()
    assert any(line.startswith("Epoch 1/2 step 3 d 1.23") for line in lines)
    # The first epoch shows how long the second one is.
    assert any("2/2 1/8 d 1.23" in line for line in lines)


class Limit:
    """A time limit on the test's clock."""

    def __init__(self, clock, seconds):
        self.seconds_left = lambda: max(0, seconds - clock.now)


def test_a_time_limit_is_counted_down(clock, capsys):
    # A run that is resumed in the middle of its fourth epoch.
    progress = ProgressLine(10**6, 100, time_limit=Limit(clock, 1200))
    run = Run(progress, clock, pause=10)
    run.fit(steps=40, epochs=4, first=3, seconds=2.0)
    run.fit(steps=100, epochs=999, first=997, seconds=5.0)
    sentence, *lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"Training will take at most 20 min 00 s on .+\.", sentence
    )
    values = "d 1.23 g 0.88 acc 71% 78% spread 0.82"
    assert lines == [
        f"Step 400 {values} 2.0 s/step 18 min 40 s left",
        f"Step 99,800 {values} 5.0 s/step 10 min 10 s left",
        f"Step 99,900 {values} 5.0 s/step 1 min 40 s left",
    ]


def test_the_line_of_a_time_limit_is_updated_in_a_terminal(clock):
    terminal = Terminal()
    progress = ProgressLine(time_limit=Limit(clock, 30))
    Run(progress, clock, terminal=terminal).fit(10, 3, seconds=1.0)
    lines = [line.rstrip() for line in terminal.lines()]
    values = "d 1.23 g 0.88 acc 71% 78% spread 0.82"
    assert f"Step 1 {values} 29 s left" in lines
    assert f"Step 13 {values} 1.0 s/step 17 s left" in lines
    assert terminal.screen()[-2] == f"Step 30 {values} 1.0 s/step"


def test_fewer_epochs_than_the_time_allows_shorten_the_time_left(clock, capsys):
    progress = ProgressLine(time_limit=Limit(clock, 3600))
    Run(progress, clock).fit(steps=100, epochs=2, seconds=0.1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Training will take at most 1 h 00 min on ")
    assert lines[1].endswith(" 10 s left")


@pytest.mark.every_backend
def test_a_training_with_a_time_limit_shows_its_step(capsys):
    limit = TimeLimit(20)
    both = ProgressLine(time_limit=limit), limit
    train(make_model(), *both, StopAfter(2, 3), steps=6, epochs=10**6)
    sentence, first, second = capsys.readouterr().out.splitlines()
    assert sentence.startswith("Training will take at most 20 min 00 s on CPU")
    assert re.fullmatch(
        r"Step 6 loss \d\.\d\d \d+ ms/step \d+ min \d\d s left", first
    )
    assert second.startswith("Step 9 loss ")


@pytest.mark.every_backend
def test_any_keras_model_shows_its_loss(capsys):
    train(make_model(), ProgressLine(), steps=6, epochs=2)
    first, second = capsys.readouterr().out.splitlines()
    assert re.match(r"Epoch 1/2 loss \d\.\d\d \d+ ms/step 1 s left$", first)
    assert re.match(r"Epoch 2/2 loss \d\.\d\d \d+ ms/step$", second)


@pytest.mark.every_backend
def test_the_estimate_names_the_device(clock, capsys):
    Run(ProgressLine(), clock).fit(steps=10, epochs=1)
    estimate = capsys.readouterr().out.splitlines()[0]
    assert re.search(r"about 5 s on CPU, \d+ cores?\.$", estimate)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.03, "3 s"), (2, "3 min 20 s"), (75, "2 h 05 min"), (3600, "100 h 00")],
)
def test_durations_have_two_units(seconds, text, clock, capsys):
    Run(ProgressLine(), clock).fit(steps=100, epochs=2, seconds=seconds)
    output = capsys.readouterr().out
    assert f" {text}" in output


def test_a_notebook_updates_one_output(clock, monkeypatch, capsys):
    shown = fake_notebook(monkeypatch)
    Run(ProgressLine(), clock).fit(steps=10, epochs=30)
    assert [how for how, _ in shown].count("display") == 1
    lines = shown[-1][1]["text/plain"].splitlines()
    assert len(lines) <= 11
    assert lines[-1].startswith("Epoch 30/30 d 1.23")
    assert capsys.readouterr().out == ""


def test_only_the_chief_process_prints(monkeypatch, capsys):
    monkeypatch.setattr(replicas, "is_chief", lambda model: False)
    train(make_model(), ProgressLine())
    assert capsys.readouterr().out == ""


def test_a_closed_stdout_is_one_warning(monkeypatch, caplog):
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(sys, "stdout", Closed())
    model = make_model()
    train(model, ProgressLine(), data=make_data(3), epochs=3)
    (message,) = caplog.messages
    assert "Progress cannot be shown" in message


@pytest.mark.parametrize("name", ["epochs", "steps_per_epoch"])
def test_numbers_must_be_positive_integers(name):
    with pytest.raises(ValueError, match=f"`{name}` must be a positive"):
        ProgressLine(**{name: 0})


def test_a_wrong_number_of_steps_does_not_stop_training(capsys):
    progress = ProgressLine(epochs=1, steps_per_epoch=2)
    history = train(make_model(), progress, steps=6, epochs=3)
    assert history.epoch == [0, 1, 2]
