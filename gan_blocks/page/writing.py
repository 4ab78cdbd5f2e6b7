"""Writes the page of a run."""

import base64
import json
import math
import pathlib
import platform
import re
import string
import struct
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Any, TypeVar

from gan_blocks._types import PathLike
from gan_blocks._version import __version__
from gan_blocks.files import atomic_write, read_json
from gan_blocks.page import plots
from gan_blocks.runs import RunFolder, read_history, read_manifest

__all__ = ["write_page"]

_MAX_PICTURES = 60
_MAX_BYTES = 24_000_000  # Of their files, so that the page opens at once.
_PICTURE_WIDTH = 420  # Approximate width on the page, in pixels.
_PICTURE = re.compile(r"(epoch|step)_(\d+)\.png")

_Content = TypeVar("_Content")
# Step (if known), name and path.
_Picture = tuple[int | None, str, pathlib.Path]


def write_page(run: PathLike) -> pathlib.Path:
    r"""Writes a web page, `index.html`, that shows a run.

    The page is one file. Any browser opens it, without a network. It has:

    - plots of the history that `HistoryTable` wrote;
    - a slider through the grids that `ImageGrid` saved;
    - the settings, the versions and the measured quality.

    The page can be written while training continues, and the recipes write it
    at the end. It shows at most 60 grids and 24 MB of them: the first, the
    last, and evenly spaced ones between. Files that cannot be read are left
    out and listed at the end of the page.

    Args:
        run: Folder of the run. It must have a history with at least one row,
            or at least one grid. All other files are optional.

    Returns:
        Path of the page.

    Raises:
        ValueError: If the folder has neither a history nor grids.
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
    folder = RunFolder(run)
    notes: list[str] = []
    rows = _read(folder.history, read_history, notes) or []
    pictures = _find_pictures(folder.grids, rows)
    if not rows and not pictures:
        raise ValueError(
            "`run` must be the folder of a run, with a history.csv file or "
            f"with grids. Received: run={str(folder.path)!r}"
        )
    steps = [int(row["step"]) for row in rows]
    steps += [step for step, _, _ in pictures if step is not None]
    last_step = max([1, *steps])
    manifest = _read_latest_manifest(folder, notes)
    settings = _read(
        folder.settings_file, lambda _: folder.read_settings(), notes
    )
    settings = settings or manifest.get("arguments") or {}
    template = pathlib.Path(__file__).with_name("page.html")
    text = string.Template(template.read_text(encoding="utf-8")).substitute(
        title=escape(folder.path.resolve().name),
        pictures=_slides(pictures, last_step, notes),
        real=_image(folder.real_images, "Real pictures", notes),
        plots="\n".join(plots.draw(rows, last_step)),
        quality=_quality(folder.path, notes),
        settings=_table([], [[k, _text(v)] for k, v in settings.items()]),
        versions=_table([], _versions(manifest)),
        history=_history(rows, last_step),
        notes="".join(f"<li>{escape(note)}</li>" for note in notes),
    )
    with atomic_write(folder.page) as temporary:
        # Names of folders may contain bytes that are not valid text.
        temporary.write_text(text, encoding="utf-8", errors="replace")
    return folder.page


def _read(
    path: pathlib.Path,
    reader: Callable[[pathlib.Path], _Content],
    notes: list[str],
) -> _Content | None:
    """Returns the content of a file, or `None`; notes why it is unreadable."""
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is not a file")
        return reader(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        notes.append(f"{path.name} cannot be read: {error}")
        return None


def _read_quality(path: pathlib.Path) -> dict[str, dict[str, Any]]:
    with open(path, "rb") as file:
        result = read_json(file)
    for name in ("values", "protocol"):
        if not isinstance(result.get(name), dict):
            raise ValueError(f"it has no {name}")
    return result


def _read_png(path: pathlib.Path) -> bytes:
    data = path.read_bytes()
    if data[:8] != b"\x89PNG\r\n\x1a\n" or len(data) < 24:
        raise ValueError("it is not a PNG file")
    return data


def _find_pictures(
    folder: pathlib.Path, rows: Iterable[dict[str, str]]
) -> list[_Picture]:
    """Returns the grids, oldest first."""
    ends = {row["epoch"]: int(row["step"]) for row in rows}
    found: list[tuple[tuple[float, str, int], _Picture]] = []
    for path in folder.glob("*.png"):
        match = _PICTURE.fullmatch(path.name)
        if not match:
            continue
        kind, number = match[1], int(match[2])
        step = number if kind == "step" else ends.get(str(number))
        name = f"{kind} {number}"
        if kind == "epoch" and step is not None:
            name += f", step {step}"
        order = math.inf if step is None else step
        found.append(((order, kind, number), (step, name, path)))
    return [picture for _, picture in sorted(found)]


def _slides(pictures: list[_Picture], last_step: int, notes: list[str]) -> str:
    """Returns the first, the last, and evenly spaced grids as elements."""
    size = sum(path.stat().st_size for *_, path in pictures if path.exists())
    count = min(_MAX_PICTURES, _MAX_BYTES * len(pictures) // max(1, size))
    count = max(2, count)
    if len(pictures) > count:
        notes.append(
            f"The page shows {count} of the {len(pictures)} grids, evenly "
            "spaced."
        )
        last = len(pictures) - 1
        pictures = [pictures[i * last // (count - 1)] for i in range(count)]
    elements = []
    for step, name, path in pictures:
        position = "" if step is None else plots.position(step, last_step)
        text = f"Generated after {name}"
        elements.append(_image(path, text, notes, position))
    return "\n".join(filter(None, elements))


def _image(
    path: pathlib.Path, text: str, notes: list[str], attributes: str = ""
) -> str:
    """Returns a picture as an element. Small pictures are enlarged."""
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


def _read_latest_manifest(
    folder: RunFolder, notes: list[str]
) -> dict[str, Any]:
    """Returns the manifest of the newest checkpoint, and its name."""
    path = folder.latest_checkpoint()
    manifest = path and _read(path, read_manifest, notes)
    return {"checkpoint": path.name, **manifest} if path and manifest else {}


def _versions(manifest: dict[str, Any]) -> Iterable[list[str]]:
    for name, value in manifest.items():
        if name != "arguments":
            yield [name, _text(value)]
    yield ["this page", f"gan_blocks {__version__}"]
    yield ["Python of this page", platform.python_version()]


def _quality(folder: pathlib.Path, notes: list[str]) -> str:
    """Returns a table of the measured quality, newest last."""
    files = sorted(
        folder.glob("quality_*.json"), key=lambda path: path.lstat().st_mtime
    )
    read = {path.name: _read(path, _read_quality, notes) for path in files}
    results = {name: result for name, result in read.items() if result}
    names = dict.fromkeys(k for r in results.values() for k in r["values"])
    rows = []
    for name, result in results.items():
        values = [_cell(_text(result["values"].get(k, ""))) for k in names]
        protocol = result["protocol"].items()
        how = ", ".join(f"{k}: {_text(v)}" for k, v in protocol)
        rows.append([name, *values, how])
    return _table(["measured", *names, "how"], rows)


def _history(rows: list[dict[str, str]], last_step: int) -> str:
    names = ["step", "epoch", *plots.columns(rows)]
    positions = [plots.position(int(row["step"]), last_step) for row in rows]
    cells = [
        [row["step"], row["epoch"], *(_cell(row[name]) for name in names[2:])]
        for row in rows
    ]
    return _table(names, cells, positions)


def _table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    attributes: Sequence[str] | None = None,
) -> str:
    """Returns a table, or an empty string if there are no rows.

    Args:
        head: Texts of the header row. May be empty.
        rows: Texts of the rows. The first text is the header of its row.
        attributes: Attributes of the rows. Defaults to `None`.
    """
    lines = []
    for i, (first, *others) in enumerate(rows):
        cells = "".join(f"<td>{escape(text)}</td>" for text in others)
        extra = " " + attributes[i] if attributes else ""
        lines.append(
            f'<tr{extra}><th scope="row">{escape(first)}</th>{cells}</tr>'
        )
    if not lines:
        return ""
    cells = "".join(f'<th scope="col">{escape(text)}</th>' for text in head)
    header = f"<thead><tr>{cells}</tr></thead>" if head else ""
    body = "\n".join(lines)
    return f"<table>{header}<tbody>\n{body}\n</tbody></table>"


def _cell(text: str) -> str:
    number = plots.parse_number(text)
    return text if number is None else f"{number:.4g}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
