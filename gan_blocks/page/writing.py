"""What a run has left in its folder, as one page."""

import base64
import csv
import json
import math
import pathlib
import platform
import re
import string
import struct
from html import escape

from gan_blocks import __version__, callbacks, images
from gan_blocks.callbacks.history import read_rows
from gan_blocks.page import plots

_MOST_PICTURES = 60
_MOST_BYTES = 24_000_000  # of their files, so that the page opens at once
_PICTURE_WIDTH = 420  # pixels on the page, about
_PICTURE = re.compile(r"(epoch|step)_(\d+)\.png")


def write_page(run):
    r"""Writes what a run has left in its folder as one page, `index.html`.

    To look at a run, while it is going on or later, and to show it: the page
    is one file that any browser opens without a network. It has plots of what
    `HistoryTable` logged, a slider through the pictures of `ImageGrid`, and
    the arguments, versions and measurements. The recipes write it when their
    epochs are done.

    Of many pictures, 60 or as many as fit in 24 MB are shown, evenly chosen,
    the first and the last among them. What cannot be read is named on the page
    and left out.

    Args:
        run: Folder of the run. Of it are read `history.csv`, `real.png`,
            `arguments.json`, `quality_*.json`, the pictures in `grids` and
            the last checkpoint in `checkpoints`; none of them need exist, but
            either a row of the history or a picture must.

    Returns:
        `pathlib.Path` of the page.

    Raises:
        ValueError: If there is neither a history nor a picture in the folder.
        OSError: If the page cannot be written.

    Example:

    ```python
    import pathlib
    import tempfile

    from gan_blocks import page

    with tempfile.TemporaryDirectory() as folder:
        history = pathlib.Path(folder, "history.csv")
        history.write_text("epoch,step,d_loss\n1,40,1.3\n2,80,1.2\n")
        path = page.write_page(folder)
        assert "d_loss" in path.read_text(encoding="utf-8")
    ```
    """
    run = pathlib.Path(run)
    notes = []
    rows = _read(run / "history.csv", read_rows, notes) or []
    pictures = _pictures(run / "grids", rows)
    if not rows and not pictures:
        raise ValueError(
            "`run` must be the folder of a run, with a history.csv or with "
            f"pictures in grids. Received: run={str(run)!r}"
        )
    steps = [int(row["step"]) for row in rows]
    steps += [step for step, _, _ in pictures if step is not None]
    last_step = max([1, *steps])
    manifest = _manifest(run, notes)
    arguments = _read(run / "arguments.json", _read_json, notes)
    arguments = arguments or manifest.get("arguments") or {}
    template = pathlib.Path(__file__).with_name("page.html")
    text = string.Template(template.read_text(encoding="utf-8")).substitute(
        title=escape(run.resolve().name),
        pictures=_slides(pictures, last_step, notes),
        real=_image(run / "real.png", "Real pictures", notes),
        plots="\n".join(plots.draw(rows, last_step)),
        quality=_quality(run, notes),
        arguments=_table([], [[k, _shown(v)] for k, v in arguments.items()]),
        versions=_table([], _versions(manifest)),
        history=_history(rows, last_step),
        notes="".join(f"<li>{escape(note)}</li>" for note in notes),
    )
    path = run / "index.html"
    with images.written_aside(path) as aside:
        # The name of a folder need not be text.
        aside.write_text(text, encoding="utf-8", errors="replace")
    return path


def _read(path, reader, notes):
    """Returns what is in a file; `None` if it is missing or unreadable."""
    try:
        return reader(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, csv.Error) as error:
        notes.append(f"{path.name} cannot be read: {error}")
        return None


def _read_json(path):
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ValueError(f"it holds a {type(value).__name__}")
    return value


def _read_quality(path):
    parts = _read_json(path)
    if not all(isinstance(parts.get(k), dict) for k in ("values", "protocol")):
        raise ValueError("it has no values and protocol")
    return parts


def _read_png(path):
    data = path.read_bytes()
    if data[:8] != b"\x89PNG\r\n\x1a\n" or len(data) < 24:
        raise ValueError("it is no PNG file")
    return data


def _pictures(folder, rows):
    """Returns the step, if known, the name and the path of each, in order."""
    ends = {row["epoch"]: int(row["step"]) for row in rows}
    found = []
    for path in folder.glob("*.png"):
        match = _PICTURE.fullmatch(path.name)
        if not match:
            continue
        kind, number = match[1], int(match[2])
        step = number if kind == "step" else ends.get(str(number))
        name = f"{kind} {number}"
        if kind == "epoch" and step is not None:
            name += f", step {step}"
        place = math.inf if step is None else step
        found.append(((place, kind, number), (step, name, path)))
    return [picture for _, picture in sorted(found)]


def _slides(pictures, last_step, notes):
    """Returns the pictures as elements: first, last, and evenly between."""
    size = sum(path.stat().st_size for _, _, path in pictures)
    most = min(_MOST_PICTURES, _MOST_BYTES * len(pictures) // max(1, size))
    most = max(2, most)
    if len(pictures) > most:
        notes.append(
            f"{most} of the {len(pictures)} pictures in grids are shown, "
            "evenly chosen."
        )
        last = len(pictures) - 1
        pictures = [pictures[i * last // (most - 1)] for i in range(most)]
    elements = []
    for step, name, path in pictures:
        place = "" if step is None else plots.place(step, last_step)
        text = f"Generated after {name}"
        elements.append(_image(path, text, notes, place))
    return "\n".join(filter(None, elements))


def _image(path, text, notes, attributes=""):
    """Returns a picture as an element, enlarged if it is small."""
    data = _read(path, _read_png, notes)
    if data is None:
        return ""
    width, height = struct.unpack(">II", data[16:24])
    scale = max(1, round(_PICTURE_WIDTH / max(1, width)))
    if scale > 1:
        attributes += ' class="small"'
    return (
        f'<img alt="{escape(text)}" width="{scale * width}" '
        f'height="{scale * height}" {attributes} '
        f'src="data:image/png;base64,{base64.b64encode(data).decode()}">'
    )


def _manifest(run, notes):
    """Returns the last checkpoint's name and what it says of itself."""
    path = callbacks.latest_checkpoint(run / "checkpoints")
    manifest = path and _read(path, callbacks.read_manifest, notes)
    return {"checkpoint": path.name, **manifest} if manifest else {}


def _versions(manifest):
    for name, value in manifest.items():
        if name != "arguments":
            yield name, _shown(value)
    yield "this page", f"gan_blocks {__version__}"
    yield "its Python", platform.python_version()


def _quality(run, notes):
    """Returns a table of the measurements, newest last."""
    files = sorted(
        run.glob("quality_*.json"), key=lambda path: path.stat().st_mtime
    )
    read = {path.name: _read(path, _read_quality, notes) for path in files}
    results = {name: result for name, result in read.items() if result}
    names = dict.fromkeys(k for r in results.values() for k in r["values"])
    rows = []
    for name, result in results.items():
        values = [_cell(_shown(result["values"].get(k, ""))) for k in names]
        protocol = result["protocol"].items()
        how = ", ".join(f"{k}: {_shown(v)}" for k, v in protocol)
        rows.append([name, *values, how])
    return _table(["measured", *names, "how"], rows)


def _history(rows, last_step):
    names = ["step", "epoch", *plots.columns(rows)]
    places = [plots.place(int(row["step"]), last_step) for row in rows]
    cells = [
        [row["step"], row["epoch"], *(_cell(row[name]) for name in names[2:])]
        for row in rows
    ]
    return _table(names, cells, places)


def _table(head, rows, attributes=None):
    """Returns a table whose rows begin with what they are about, or nothing.

    Args:
        head: List of the texts of the first row; empty for none.
        rows: Iterable of lists of texts.
        attributes: List of those of the rows. Defaults to `None`.
    """
    lines = []
    for i, (first, *others) in enumerate(rows):
        cells = "".join(f"<td>{escape(text)}</td>" for text in others)
        own = " " + attributes[i] if attributes else ""
        lines.append(
            f'<tr{own}><th scope="row">{escape(first)}</th>{cells}</tr>'
        )
    if not lines:
        return ""
    cells = "".join(f'<th scope="col">{escape(text)}</th>' for text in head)
    head = f"<thead><tr>{cells}</tr></thead>" if head else ""
    body = "\n".join(lines)
    return f"<table>{head}<tbody>\n{body}\n</tbody></table>"


def _cell(text):
    number = plots.number(text)
    return text if number is None else f"{number:.4g}"


def _shown(value):
    return value if isinstance(value, str) else json.dumps(value)
