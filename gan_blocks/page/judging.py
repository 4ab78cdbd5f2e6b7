"""Says in one or two sentences how a run went, by its history."""

import math
from collections.abc import Sequence

from gan_blocks._health import Health
from gan_blocks.page.plots import parse_number

__all__ = ["judge", "kernel_distances"]

_Rows = Sequence[dict[str, str]]


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
    """Returns the measured kernel distances, with their steps."""
    return [
        (value, int(row["step"]))
        for row in rows
        if (value := parse_number(row.get("kid", ""))) is not None
        and math.isfinite(value)
    ]


def _trend(rows: _Rows) -> str:
    measured = kernel_distances(rows)
    if len(measured) < 2:
        return ""
    lowest, step = min(measured)
    if lowest == measured[-1][0]:
        return (
            "The quality was still improving: the last kernel distance is the "
            "lowest. Longer training may help."
        )
    return f"The quality was best at step {step} and has not improved since."
