"""SVG plots of the history of a run."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape

__all__ = ["columns", "draw", "parse_number", "position"]

_Rows = Sequence[dict[str, str]]
_Points = Sequence[tuple[float, float]]

# The title of a plot, the label of its axis, and the columns that it shows.
_PLOTS = (
    ("Losses", "loss", ("d_loss", "g_loss")),
    ("Scores", "mean logit", ("real_score", "fake_score")),
    ("Accuracies", "share", ("real_accuracy", "fake_accuracy")),
    ("Spread", "generated : real", ("spread",)),
    ("Penalty", "penalty", ("penalty",)),
    ("Fréchet distance", "fid", ("fid",)),
    ("Kernel distance", "kid", ("kid", "kid_error")),
    ("Precision and recall", "share", ("precision", "recall")),
)
_NOT_PLOTTED = {"seconds"}  # They are in the table.
_AT_LEAST_1 = ("share", "generated : real")  # Their axes reach 1.

# The edges of a plot, in the units of its SVG.
_WIDTH, _HEIGHT = 400, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 390, 10, 178


def columns(rows: _Rows) -> list[str]:
    """Returns the names of the logs."""
    names = rows[0] if rows else ()
    return [name for name in names if name and name not in ("epoch", "step")]


def parse_number(text: str) -> float | None:
    """Returns the number in a cell, or `None` if it has none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < 1e100 else math.nan  # Too large for an axis.


def position(step: int, last_step: int) -> str:
    """Returns the attribute with the x coordinate of a step in all plots."""
    return f'data-x="{_x(step, last_step):.1f}"'


def draw(runs: Mapping[str, _Rows], last_step: int) -> Iterator[str]:
    """Yields plots of all columns that contain numbers.

    Args:
        runs: Names of one or several runs, and their rows. Plots of several
            runs show one column each.
        last_step: The step at the right edge of the plots.
    """
    several = len(runs) > 1
    names = {name: None for rows in runs.values() for name in columns(rows)}
    grouped = {name for _, _, group in _PLOTS for name in group}
    grouped |= _NOT_PLOTTED
    others = [name.removeprefix("val_") for name in names]
    others = [name for name in dict.fromkeys(others) if name not in grouped]
    plots = [*_PLOTS, *((name, name, (name,)) for name in others)]
    if several:
        plots = [
            (title if len(group) == 1 else f"{title}: {name}", label, (name,))
            for title, label, group in plots
            for name in group
        ]
    for title, label, group in plots:
        series = {}
        for i, (name, run) in enumerate(itertools.product(group, runs)):
            for style, column in (
                (f"s{i}", name),
                (f"s{i} val", f"val_{name}"),
            ):
                points = [
                    (int(row["step"]), value)
                    for row in runs[run]
                    if (value := parse_number(row.get(column, ""))) is not None
                ]
                if points:
                    text = column
                    if several:
                        text = run if column == name else f"{run}, {column}"
                    # The tables start with the step and the epoch.
                    place = 2 + columns(runs[run]).index(column)
                    key = _key(text, style, [*runs].index(run), place)
                    series[text] = style, points, key
        if series:
            yield _plot(title, label, series, last_step)


def _plot(
    title: str,
    label: str,
    series: dict[str, tuple[str, _Points, str]],
    last_step: int,
) -> str:
    """Returns a plot of columns: their style, points and legend entry."""
    values = [v for _, points, _ in series.values() for _, v in points]
    values = [value for value in values if math.isfinite(value)]
    low, high = min([0, *values]), max([0, *values])
    if label in _AT_LEAST_1:
        high = max(1, high)
    if high - low < 1e-100:
        high = low + 1

    def y(value: float) -> float:
        return _BOTTOM - (value - low) / (high - low) * (_BOTTOM - _TOP)

    curves = [
        _curve([(_x(step, last_step), y(v)) for step, v in points], style)
        for style, points, _ in series.values()
    ]
    axes = [
        f'<path d="M{_LEFT} {y(tick):.1f}H{_RIGHT}"/><text class="y" '
        f'x="{_LEFT - 6}" y="{y(tick) + 4:.1f}">{tick:.6g}</text>'
        for tick in _ticks(low, high)
    ]
    axes += [
        f'<text x="{_x(tick, last_step):.1f}" y="{_BOTTOM + 16}">{tick:.6g}'
        "</text>"
        for tick in _ticks(0, last_step)
        if tick == int(tick)
    ]
    middle = (_TOP + _BOTTOM) / 2
    return f"""<figure class="plot">
<figcaption><h3>{escape(title)}</h3><span class="where"></span>
<p>{" ".join(key for _, _, key in series.values())}</p>{_warning(series)}
</figcaption>
<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}. \
Plot of {escape(", ".join(series))} over steps. The table has the values.">
<g class="axes">{"".join(axes)}
<text x="{(_LEFT + _RIGHT) / 2}" y="{_HEIGHT - 6}">step</text>
<text transform="translate(12 {middle}) rotate(-90)">{escape(label)}</text></g>
<line class="now" y1="{_TOP}" y2="{_BOTTOM}" visibility="hidden"/>
{"".join(curves)}</svg></figure>"""


def _key(name: str, style: str, run: int, column: int) -> str:
    """Returns a legend entry with a place for the current value."""
    return (
        f'<span class="pair"><span class="key {style}">{escape(name)}</span> '
        f'<b data-run="{run}" data-column="{column}"></b></span>'
    )


def _warning(series: dict[str, tuple[str, _Points, str]]) -> str:
    """Returns a line that names the first values which are not finite."""
    first = [
        f"{name} at step {next(s for s, v in points if not math.isfinite(v))}"
        for name, (_, points, _) in series.items()
        if not all(math.isfinite(v) for _, v in points)
    ]
    text = escape("first NaN or infinite: " + ", ".join(first))
    return f'<p class="warning">{text}</p>' if first else ""


def _curve(points: _Points, style: str) -> str:
    """Returns lines between neighboring points, with gaps at NaN."""
    parts, dots = [], []
    for i, (x, y) in enumerate(points):
        if not math.isfinite(y):
            continue
        before, after = points[max(i - 1, 0)][1], points[i + 1 : i + 2]
        starts = i == 0 or not math.isfinite(before)
        parts.append(f"{'M' if starts else 'L'}{x:.1f} {y:.1f}")
        if starts and not (after and math.isfinite(after[0][1])):
            dots.append(
                f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'
            )
    return f'<path class="{style}" d="{"".join(parts)}"/>{"".join(dots)}'


def _x(step: float, last_step: float) -> float:
    return _LEFT + step / last_step * (_RIGHT - _LEFT)


def _ticks(low: float, high: float) -> list[float]:
    """Returns three to seven round numbers in a range."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    sizes = (power, 2 * power, 5 * power, 10 * power)
    size = min(sizes, key=lambda size: abs(size - rough))
    multiples = range(math.ceil(low / size), math.floor(high / size) + 1)
    return [multiple * size for multiple in multiples]
