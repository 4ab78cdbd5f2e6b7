"""Says in one or two sentences how a run went, by its history."""

import math
from collections.abc import Sequence

from gan_blocks._health import Health
from gan_blocks.page.plots import parse_number

__all__ = ["judge", "kernel_distances"]

_Rows = Sequence[dict[str, str]]
_MEASUREMENTS = 4  # Fewer show no trend.
_ERRORS = 2  # Differences of fewer standard errors may be chance.


def judge(rows: _Rows) -> str:
    """Returns the sentences, or an empty string if nothing is known."""
    health, logs, step = Health(), {}, 0
    for row in rows:
        values = {name: parse_number(text) for name, text in row.items()}
        logs = {name: x for name, x in values.items() if x is not None}
        step = int(row["step"])
        health.update(int(row["epoch"]), step, logs)
    for name in ("d_loss", "g_loss"):
        if not math.isfinite(logs.get(name, 0)):
            return f"Training diverged: {name} is NaN or infinite, step {step}."
    return " ".join(filter(None, [health.verdict, _trend(rows)]))


def kernel_distances(rows: _Rows) -> list[tuple[float, int]]:
    """Returns the measured kernel distances, with their steps.

    Rows between two measurements repeat the last one. They are left out.
    """
    measured: list[tuple[float, int]] = []
    for row in rows:
        value = parse_number(row.get("kid", ""))
        if value is None or not math.isfinite(value):
            continue
        if not measured or value != measured[-1][0]:
            measured.append((value, int(row["step"])))
    return measured


def _trend(rows: _Rows) -> str:
    """Compares the last kernel distance with earlier ones."""
    measured = kernel_distances(rows)
    if len(measured) < _MEASUREMENTS:
        return ""
    last = measured[-1][0]
    lowest, step = min(measured)
    noise = _ERRORS * (parse_number(rows[-1].get("kid_error", "")) or 0.0)
    if last > lowest + noise:
        return f"The quality was best at step {step:,}, and worse at the end."
    before = measured[-1 - len(measured) // 3][0]
    if before > last + noise:
        return "The quality was still improving. Longer training may help."
    return "In the last third of the run, the quality hardly improved."
