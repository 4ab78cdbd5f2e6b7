"""Text for a terminal, a notebook or a pipe: progress and tables."""

import collections
import sys
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

_WIDTH = 79
_TITLE_WIDTH = 15


class Nothing:
    """Shows nothing. The other screens have its methods."""

    def update(self, line: str) -> None:
        """Shows a line that the next one replaces."""

    def keep(self, line: str) -> None:
        """Shows a line that stays."""


class Pipe(Nothing):
    """Prints the lines that stay."""

    def keep(self, line: str) -> None:
        print(line, flush=True)


class Terminal(Nothing):
    """Replaces its last line until one stays."""

    def __init__(self) -> None:
        self.shown = ""

    def update(self, line: str, end: str = "") -> None:
        # Spaces erase what is left of the previous line.
        padded = line.ljust(len(self.shown))
        self.shown = "" if end else line
        print(f"\r{padded}", end=end, flush=True)

    def keep(self, line: str) -> None:
        self.update(line, end="\n")


class Notebook(Nothing):
    """Replaces the output of a cell. It has the last ten lines that stay."""

    lines_kept = 10

    def __init__(self) -> None:
        self.kept = collections.deque(maxlen=self.lines_kept)
        self.handle: Any = None

    def update(self, line: str) -> None:
        text = {"text/plain": "\n".join([*self.kept, line])}
        if self.handle is None:
            from IPython.display import display  # pyright: ignore

            self.handle = display(text, raw=True, display_id=True)
        else:
            self.handle.update(text, raw=True)

    def keep(self, line: str) -> None:
        self.update(line)
        self.kept.append(line)


def choose_screen() -> Nothing:
    """Returns the screen for the current stdout."""
    if in_notebook():
        return Notebook()
    return Terminal() if sys.stdout.isatty() else Pipe()


def in_notebook() -> bool:
    """Returns True if a notebook shows what this process displays."""
    ipython = sys.modules.get("IPython")
    return bool(ipython) and hasattr(ipython.get_ipython(), "kernel")


def duration(seconds: float) -> str:
    """Returns text such as "2 h 05 min" or "3 min 20 s"."""
    minutes, seconds = divmod(max(1, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


def table(rows: Mapping[str, Iterable[str]]) -> str:
    """Returns rows with a title and wrapped lines. Empty lines are left out."""
    return "\n".join(
        textwrap.fill(
            f"{'' if number else title:<{_TITLE_WIDTH}}{line}",
            _WIDTH,
            subsequent_indent=" " * _TITLE_WIDTH,
            break_long_words=False,  # Paths can be copied.
            break_on_hyphens=False,
        )
        for title, lines in rows.items()
        for number, line in enumerate(filter(None, lines))
    )
