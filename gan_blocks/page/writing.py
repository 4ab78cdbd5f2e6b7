"""Writes the page of a run, or of two runs side by side."""

import base64
import itertools
import json
import math
import os
import pathlib
import platform
import string
from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from gan_blocks._screens import duration
from gan_blocks._types import PathLike
from gan_blocks._version import __version__
from gan_blocks.files import atomic_write
from gan_blocks.page import plots
from gan_blocks.page.judging import judge, kernel_distances
from gan_blocks.page.reading import Picture, Run

__all__ = ["write_page"]

_PICTURE_WIDTH = 576  # Largest width of small pictures on the page, in pixels.
_Runs = Mapping[str, Run]  # One or two runs, by the names that tell them apart.


def write_page(
    run: PathLike, other: PathLike | None = None, path: PathLike | None = None
) -> pathlib.Path:
    r"""Writes a web page that shows a run, or two runs side by side.

    The page is one file. Any browser opens it, without a network. It has:

    - how the run went, in a few words;
    - the grid of the best model, or the last grid that `ImageGrid` saved,
      beside real images at the same scale;
    - a film of the training: a slider through the grids;
    - how long the training took, on which device and with which data, if the
      files of the run tell it;
    - plots of the history that `HistoryTable` wrote;
    - the measured quality, the settings and the versions.

    The page of two runs has the grids and the curves of both, and the settings
    in which they differ.

    The page can be written at any time while training continues, and takes
    about 0.1 seconds. It shows at most 60 grids and about 24 MB of them: the
    first, the last, the best, and evenly spaced ones between. Files that
    cannot be read are left out and listed at the end of the page.

    Args:
        run: Folder of the run. It must have a history with at least one row,
            or at least one grid. All other files are optional.
        other: Folder of a run to compare with. Defaults to `None`: the page
            shows one run.
        path: The file to write. Defaults to `None`: `index.html` in the folder
            of the run, or `compare_NAME.html` with the name of the other run.

    Returns:
        Path of the page.

    Raises:
        ValueError: If a folder has neither a history nor grids, or if the two
            folders are the same.
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
    found = [Run(folder) for folder in (run, other) if folder is not None]
    first, last = found[0], found[-1]
    if path is None:
        path = first.folder.page
        if other is not None:
            path = path.with_name(f"compare_{last.name}.html")
    path = pathlib.Path(path)
    runs = {one.name: one for one in found}
    if len(runs) < len(found):
        runs = {str(one.folder.path.resolve()): one for one in found}
    if len(runs) < len(found):
        raise ValueError(
            f"`other` must be another run than `run`. Received: {str(run)!r} "
            "twice"
        )
    last_step = max(one.last_step for one in found)
    template = pathlib.Path(__file__).with_name("page.html")
    text = string.Template(template.read_text(encoding="utf-8")).substitute(
        title=escape(" and ".join(runs)),
        verdict=_verdicts(runs),
        pictures=_pictures(runs, last_step, path),
        neighbors=_neighbors(runs),
        facts=_side_by_side({n: _facts(one) for n, one in runs.items()}),
        plots="\n".join(
            plots.draw({n: one.rows for n, one in runs.items()}, last_step)
        ),
        quality=_quality(runs),
        differ=" that differ" if len(runs) > 1 else "",
        settings=_settings(runs),
        history=_histories(runs, last_step),
        notes=_notes(runs),
    )
    with atomic_write(path) as temporary:
        # Names of folders may contain bytes that are not valid text.
        temporary.write_text(text, encoding="utf-8", errors="replace")
    return path


def _verdicts(runs: _Runs) -> str:
    """Returns how each run went, as paragraphs."""
    lines = []
    for name, run in runs.items():
        text = run.summary.get("text") or judge(run.rows, run.comparable_after)
        text = _text(text)
        title = f"<b>{escape(name)}</b> " if len(runs) > 1 else ""
        if text:
            lines.append(f"<p>{title}{escape(text)}</p>")
    return "\n".join(lines)


def _pictures(runs: _Runs, last_step: int, path: pathlib.Path) -> str:
    """Returns the grids, and the real pictures at the same scale."""
    generated, real = [], {}
    for name, run in runs.items():
        size = None
        if run.grids:
            size = run.grids[-1].size
            title = f"<h3>{escape(name)}</h3>" if len(runs) > 1 else ""
            generated.append(
                '<figure class="film">'
                f"{_enlargeable(_frames(run.grids, last_step), size)}{title}"
                f"<figcaption></figcaption>{_link(run, path)}</figure>"
            )
        if run.real:
            # Runs with the same data show it once.
            real.setdefault(run.real.data, (name, run.real, size))
    names = runs if len(real) > 1 else ()
    figures = [
        _figure(picture, f"Real pictures{_of(name, names)}", size)
        for name, picture, size in real.values()
    ]
    figures = "\n".join([*generated, *figures])
    return f'<div class="beside">{figures}</div>{_compare_latents(runs)}'


def _frames(grids: Sequence[Picture], last_step: int) -> str:
    """Returns the images of a film."""
    elements, at = [], 0
    for grid in grids:
        # Grids without a known step follow the others.
        at = at + 1 if grid.step is None else grid.step
        attributes = f'data-at="{at}" '
        if grid.step is not None:
            attributes += plots.position(grid.step, last_step)
        if grid.best:
            attributes += " data-best"
        elements.append(_image(grid, attributes))
    return "\n".join(elements)


def _link(run: Run, path: pathlib.Path) -> str:
    """Returns a link to the explorer of a run, if it has one."""
    explorer = run.folder.path / "explorer.html"
    if not explorer.is_file():
        return ""
    relative = pathlib.Path(os.path.relpath(explorer, path.parent))
    target = quote(os.fsencode(relative.as_posix()))
    return f'<p><a href="{target}">Make new pictures in the explorer</a></p>'


def _compare_latents(runs: _Runs) -> str:
    """Returns if the grids of two runs show the same latents, if known."""
    latents = [run.latents for run in runs.values()]
    if len(runs) == 1 or None in latents:
        return ""
    same = "the same" if latents[0] == latents[-1] else "different"
    return (
        '<p class="faint">Pictures at the same place of both grids come from '
        f"{same} random numbers.</p>"
    )


def _neighbors(runs: _Runs) -> str:
    return "\n".join(
        _figure(
            run.neighbors,
            f"Generated pictures{_of(name, runs)}, each with the nearest real "
            "pictures to its right. A generator that copies draws nearly the "
            "same picture.",
        )
        for name, run in runs.items()
        if run.neighbors
    )


def _figure(
    picture: Picture, caption: str, like: tuple[int, int] | None = None
) -> str:
    if like and (picture.size[0] > like[0] or picture.size[1] > like[1]):
        caption += ". Click for more."
    return (
        f"<figure>{_enlargeable(_image(picture), picture.size, like)}"
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _image(picture: Picture, attributes: str = "") -> str:
    data = base64.b64encode(picture.data).decode()
    return (
        f'<img alt="{escape(picture.text)}" {attributes} '
        f'src="data:image/png;base64,{data}">'
    )


def _enlargeable(
    images: str, size: tuple[int, int], like: tuple[int, int] | None = None
) -> str:
    """Returns images as a button that shows them at full size.

    Args:
        images: The images, as elements.
        size: Width and height of the images.
        like: Size of other images. The button shows no more than their width
            and height, at their scale. Defaults to `None`: the whole images.
    """
    like = like or size
    width, height = (min(pair) for pair in zip(size, like, strict=True))
    scale = max(1, _PICTURE_WIDTH // like[0])
    return (
        f'<button type="button" class="enlarge{" small" * (scale > 1)}" '
        f'title="Show at full size" style="width: min({width / like[0]:.2%}, '
        f"{scale * width}px); aspect-ratio: {width} / {height}; --zoom: "
        f'{size[0] / width:.2%}">\n{images}\n</button>'
    )


def _facts(run: Run) -> dict[str, str]:
    """Returns what the files of a run tell about its training."""
    row = run.rows[-1] if run.rows else {}
    seconds = plots.parse_number(row.get("seconds", "")) or math.nan
    minutes = run.summary.get("minutes")
    if isinstance(minutes, int | float):
        seconds = 60 * minutes
    settings = run.settings
    distances = kernel_distances(run.rows, run.comparable_after)
    facts = {
        "Training time": math.isfinite(seconds) and duration(seconds),
        "Training steps": row.get("step"),
        "Device": run.summary.get("device"),
        "Pictures": settings.get("pictures"),
        "Source": settings.get("data"),
        "Fingerprint": settings.get("data_checksum"),
        "Kernel distance": distances
        and f"{distances[-1][0]:.4g} at the end, lowest {min(distances)[0]:.4g}"
        f" at step {min(distances)[1]}",
        "Best model": run.best
        and f"{run.folder.best_model.name}, step {run.best['step']}",
        "Newest checkpoint": run.manifest.get("checkpoint"),
    }
    return {name: _text(value) for name, value in facts.items() if value}


def _settings(runs: _Runs) -> str:
    """Returns the settings and versions, or those in which two runs differ."""
    columns = {}
    for name, run in runs.items():
        values = {k: v for k, v in run.manifest.items() if k != "arguments"}
        if len(runs) == 1:
            values["this page"] = f"gan_blocks {__version__}"
            values["Python of this page"] = platform.python_version()
        settings = {**run.settings, **values}
        if isinstance(settings.get("reasons"), dict):
            for row, reason in settings.pop("reasons").items():
                settings[f"reason for {row.lower()}"] = reason
        columns[name] = {k: _text(v) for k, v in settings.items()}
    return _side_by_side(columns, only_differences=len(runs) > 1)


def _side_by_side(
    columns: Mapping[str, Mapping[str, str]], only_differences: bool = False
) -> str:
    """Returns a table with a row for each key of the dictionaries."""
    rows = [
        [key, *(column.get(key, "") for column in columns.values())]
        for key in dict.fromkeys(itertools.chain(*columns.values()))
    ]
    if only_differences:
        rows = [row for row in rows if len(set(row[1:])) > 1]
    return _table(["", *columns] if len(columns) > 1 else [], rows)


def _quality(runs: _Runs) -> str:
    """Returns a table of the measured quality, newest last."""
    results = {
        f"{name}, {file}" if len(runs) > 1 else file: result
        for name, run in runs.items()
        for file, result in run.quality.items()
    }
    names = dict.fromkeys(k for r in results.values() for k in r["values"])
    rows = []
    for name, result in results.items():
        values = [_cell(_text(result["values"].get(k, ""))) for k in names]
        protocol = result["protocol"].items()
        how = ", ".join(f"{k}: {_text(v)}" for k, v in protocol)
        rows.append([name, *values, how])
    return _table(["measured", *names, "how"], rows)


def _histories(runs: _Runs, last_step: int) -> str:
    """Returns the tables in which the plots look up their values."""
    return "\n".join(
        f"<details><summary>All values{escape(_of(name, runs))}</summary>"
        '<div class="scroll history" tabindex="0" role="group" '
        'aria-label="Table of all values">'
        f"{_history(run.rows, last_step)}</div></details>"
        for name, run in runs.items()
    )


def _history(rows: list[dict[str, str]], last_step: int) -> str:
    names = ["step", "epoch", *plots.columns(rows)]
    positions = [plots.position(int(row["step"]), last_step) for row in rows]
    cells = [
        [row["step"], row["epoch"], *(_cell(row[name]) for name in names[2:])]
        for row in rows
    ]
    return _table(names, cells, positions)


def _notes(runs: _Runs) -> str:
    return "".join(
        f"<li>{escape(name + ': ' if len(runs) > 1 else '')}{escape(note)}</li>"
        for name, run in runs.items()
        for note in run.notes
    )


def _of(name: str, runs: Collection[str]) -> str:
    """Returns " of NAME" if there are several runs."""
    return f" of {name}" if len(runs) > 1 else ""


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
