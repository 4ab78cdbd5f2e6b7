"""Shows how many images of a data set are done, and the time left."""

import shutil
import time
from typing import Any

from gan_blocks._screens import Nothing, Pipe, choose_screen, duration


class Progress:
    """A context manager that shows the progress of a loop in one line.

    A terminal or a notebook gets the line at most five times per second, a
    pipe or a file every ten seconds:

        1,200/5,153 pictures, 430 pictures/s, 9 s left

    Args:
        total: Number of images.
        verbose: If False, shows nothing.
    """

    def __init__(self, total: int, verbose: bool) -> None:
        self.total = total
        self.done = 0
        self._screen = choose_screen() if verbose else Nothing()
        self._show = self._screen.update
        self._seconds_between_updates = 0.2
        if isinstance(self._screen, Pipe):
            self._show = self._screen.keep
            self._seconds_between_updates = 10

    def __enter__(self) -> "Progress":
        self._begin = self._updated = time.monotonic()
        return self

    def advance(self) -> None:
        """Counts one more image, and shows the line if it is time."""
        self.done += 1
        now = time.monotonic()
        if now >= self._updated + self._seconds_between_updates:
            self._updated = now
            left = (self.total - self.done) / self.done * (now - self._begin)
            self._show(self._line(now, f"{duration(left)} left"))

    def __exit__(self, *error: Any) -> None:
        now = time.monotonic()
        self._screen.keep(self._line(now, duration(now - self._begin)))

    def _line(self, now: float, end: str) -> str:
        rate = self.done / max(now - self._begin, 1e-3)
        digits = 0 if rate >= 10 else 1
        line = (
            f"{self.done:,}/{self.total:,} pictures, "
            f"{rate:,.{digits}f} pictures/s, {end}"
        )
        return line[: shutil.get_terminal_size().columns - 1]
