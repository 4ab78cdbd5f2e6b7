"""Says in one or two sentences how a run went, by its history."""

import math
from collections.abc import Sequence

from gan_blocks._health import Health
from gan_blocks.page.plots import parse_number

__all__ = ["judge", "kernel_distances"]

_Rows = Sequence[dict[str, str]]
_MEASUREMENTS = 4  # Fewer show no trend.
_ERRORS = 2  # Differences of fewer standard errors may be chance.


def judge(rows: _Rows, comparable_after: int = 0) -> str:
    """Returns the sentences, or an empty string if nothing is known.

    Args:
        rows: Rows of the history.
        comparable_after: Step after which the same images and features
            measured the quality. Defaults to 0.
    """
    health, logs, step = Health(), {}, 0
    for row in rows:
        values = {name: parse_number(text) for name, text in row.items()}
        logs = {name: x for name, x in values.items() if x is not None}
        step = int(row["step"])
        health.update(int(row["epoch"]), step, logs)
    for name in ("d_loss", "g_loss"):
        if not math.isfinite(logs.get(name, 0)):
            return f"Training diverged: {name} is NaN or infinite, step {step}."
    trend = _trend(rows, kernel_distances(rows, comparable_after))
    return " ".join(filter(None, [health.verdict, trend]))


def kernel_distances(rows: _Rows, after: int = 0) -> list[tuple[float, int]]:
    """Returns the kernel distances measured after a step, with their steps.

    Rows between two measurements repeat the last one. They are left out.
    """
    measured: list[tuple[float, int]] = []
    for row in rows:
        value = parse_number(row.get("kid", ""))
        step = int(row["step"])
        if value is None or not math.isfinite(value) or step <= after:
            continue
        if not measured or value != measured[-1][0]:
            measured.append((value, step))
    return measured


def _trend(rows: _Rows, measured: Sequence[tuple[float, int]]) -> str:
    """Compares the last kernel distance with earlier ones."""
    if len(measured) < _MEASUREMENTS:
        return ""
    last = measured[-1][0]
    lowest, step = min(measured)
    noise = _ERRORS * (parse_number(rows[-1].get("kid_error", "")) or 0.0)
    if last > lowest + noise:
        return (
            f"The quality was best around step {step:,}, and worse at the end."
        )
    before = measured[-1 - len(measured) // 3][0]
    if before > last + noise:
        return "The quality was still improving. Longer training may help."
    return "In the last third of the run, the quality hardly improved."
