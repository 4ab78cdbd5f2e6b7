"""Plots of a history over its steps, as SVG."""

import math
from html import escape

# What shares a plot: title, label of its axis, columns of the history.
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
_UP_TO_1 = ("share", "generated : real")  # Or further, if values are larger.

# The places of a plot's edges, in the units of its SVG.
_WIDTH, _HEIGHT = 400, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 390, 10, 178


def columns(rows):
    """Returns the names of what was logged."""
    names = rows[0] if rows else ()
    return [name for name in names if name and name not in ("epoch", "step")]


def number(text):
    """Returns the number in a cell; `None` if there is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < 1e100 else math.nan  # Beyond any axis.


def place(step, last_step):
    """Returns the attribute that says where a step stands in all plots."""
    return f'data-x="{_x(step, last_step):.1f}"'


def draw(rows, last_step):
    """Yields the plots of all columns that hold numbers."""
    names = columns(rows)
    grouped = {name for _, _, group in _PLOTS for name in group}
    alone = [name.removeprefix("val_") for name in names]
    alone = [name for name in dict.fromkeys(alone) if name not in grouped]
    for title, label, group in (*_PLOTS, *((n, n, (n,)) for n in alone)):
        series = {}
        for i, name in enumerate(group):
            for style, column in (
                (f"s{i}", name),
                (f"s{i} val", f"val_{name}"),
            ):
                if column not in names:
                    continue
                points = [
                    (int(row["step"]), value)
                    for row in rows
                    if (value := number(row[column])) is not None
                ]
                if points:
                    # The table has the step and the epoch first.
                    key = _key(column, style, 2 + names.index(column))
                    series[column] = style, points, key
        if series:
            yield _plot(title, label, series, last_step)


def _plot(title, label, series, last_step):
    values = [v for _, points, _ in series.values() for _, v in points]
    values = [value for value in values if math.isfinite(value)]
    low, high = min([0, *values]), max([0, *values])
    if label in _UP_TO_1:
        high = max(1, high)
    if high - low < 1e-100:
        high = low + 1

    def y(value):
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
<p>{" ".join(key for _, _, key in series.values())}</p>{_trouble(series)}
</figcaption>
<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Plot of \
{escape(", ".join(series))} over steps; the table below has the values">
<g class="axes">{"".join(axes)}
<text x="{(_LEFT + _RIGHT) / 2}" y="{_HEIGHT - 6}">step</text>
<text transform="translate(12 {middle}) rotate(-90)">{escape(label)}</text></g>
<line class="now" y1="{_TOP}" y2="{_BOTTOM}" visibility="hidden"/>
{"".join(curves)}</svg></figure>"""


def _key(name, style, column):
    return (
        f'<span class="pair"><span class="key {style}">{escape(name)}</span> '
        f'<b data-column="{column}"></b></span>'
    )


def _trouble(series):
    """Returns a line about values that no plot can show."""
    first = [
        f"{name} at step {next(s for s, v in points if not math.isfinite(v))}"
        for name, (_, points, _) in series.items()
        if not all(math.isfinite(v) for _, v in points)
    ]
    text = escape("first NaN or infinite: " + ", ".join(first))
    return f'<p class="trouble">{text}</p>' if first else ""


def _curve(points, style):
    """Returns the lines between points that follow each other."""
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


def _x(step, last_step):
    return _LEFT + step / last_step * (_RIGHT - _LEFT)


def _ticks(low, high):
    """Returns round numbers in a range, three to seven of them."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    sizes = (power, 2 * power, 5 * power, 10 * power)
    size = min(sizes, key=lambda size: abs(size - rough))
    numbers = range(math.ceil(low / size), math.floor(high / size) + 1)
    return [number * size for number in numbers]
