"""The line that shows how many images are loaded."""

import io
import sys
import time
import types

import pytest
from support.image_sources import noise
from support.notebooks import fake_notebook

from gan_blocks import datasets

NUMBER = 230


@pytest.fixture
def clock(monkeypatch):
    """A clock that advances by 1/8 of a second per image."""
    clock = types.SimpleNamespace(now=0.0, seconds=0.125)

    def monotonic():
        clock.now += clock.seconds
        return clock.now - clock.seconds

    monkeypatch.setattr(time, "monotonic", monotonic)
    return clock


def load(verbose=True):
    pictures = noise(NUMBER, 4, 4, 1)
    datasets.load(pictures, image_size=2, channels=1, verbose=verbose)


def test_a_pipe_gets_a_line_every_ten_seconds(clock, capsys):
    load()
    lines = [x for x in capsys.readouterr().out.splitlines() if "/s" in x]
    assert lines == [
        "80/230 pictures, 8.0 pictures/s, 19 s left",
        "160/230 pictures, 8.0 pictures/s, 9 s left",
        "230/230 pictures, 8.0 pictures/s, 29 s",
    ]


def test_a_terminal_line_moves_by_time_and_not_by_number(
    clock, capsys, monkeypatch
):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    load()
    lines = capsys.readouterr().out.split("\r")[1:]
    assert len(lines) == NUMBER / 2 + 1  # And the last one.
    assert lines[0].rstrip() == "2/230 pictures, 8.0 pictures/s, 28 s left"


def test_a_slow_rate_has_a_decimal(clock, capsys):
    clock.seconds = 4
    load()
    lines = capsys.readouterr().out.splitlines()
    assert "3/230 pictures, 0.2 pictures/s, 15 min 08 s left" in lines


def test_a_notebook_updates_one_output(clock, monkeypatch):
    shown = fake_notebook(monkeypatch)
    load()
    assert [how for how, _ in shown].count("display") == 1
    assert shown[-1][1]["text/plain"].startswith("230/230 pictures")


def test_nothing_is_shown_without_verbose(clock, monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    load(verbose=False)
    assert out.getvalue() == ""
