"""Reads the files of a run, which may be missing, damaged or still growing."""

import dataclasses
import math
import pathlib
import re
import struct
import zipfile
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from gan_blocks._types import PathLike
from gan_blocks.files import read_json
from gan_blocks.runs import (
    RunFolder,
    list_checkpoints,
    read_history,
    read_manifest,
)

__all__ = ["Picture", "Run", "read_run"]

_MAX_PICTURES = 60
_MAX_BYTES = 24_000_000  # Of their files, so that the page opens at once.
_GRID = re.compile(r"(?:epoch_\d+_)?(epoch|step)_(\d+)\.png")

_Content = TypeVar("_Content")
# Step (if known), name and path.
_Grid = tuple[int | None, str, pathlib.Path]


@dataclasses.dataclass
class Picture:
    """A PNG file."""

    text: str
    data: bytes
    step: int | None = None  # The training step, if it is known.
    best: bool = False  # If True, it shows the best model.

    @property
    def size(self) -> tuple[int, int]:
        width, height = struct.unpack(">II", self.data[16:24])
        return max(1, width), max(1, height)


@dataclasses.dataclass
class Run:
    """The content of the folder of a run."""

    folder: RunFolder
    name: str
    rows: list[dict[str, str]]  # Of the history.
    grids: list[Picture]  # Oldest first.
    real: Picture | None
    neighbors: Picture | None
    settings: dict[str, Any]
    manifest: dict[str, Any]  # Of the newest checkpoint, with its name.
    best: dict[str, Any]  # The manifest of the best model.
    summary: dict[str, Any]
    quality: dict[str, dict[str, Any]]  # File name: measured quality.
    notes: list[str]  # What could not be read, and what was left out.

    @property
    def last_step(self) -> int:
        steps = [int(row["step"]) for row in self.rows]
        steps += [grid.step for grid in self.grids if grid.step is not None]
        return max([1, *steps])

    @property
    def latents(self) -> Any:
        """Inputs that determine the latents of the grids; `None` if unknown."""
        if not self.manifest or not self.grids:
            return None
        path = self.folder.checkpoints / self.manifest["checkpoint"]
        try:
            with (
                zipfile.ZipFile(path) as archive,
                archive.open("config.json") as member,
            ):
                config = read_json(member)["config"]
            shapes = [
                layer["config"]["batch_shape"]
                for network in ("generator", "discriminator")
                for layer in config[network]["config"]["layers"]
                if layer["class_name"] == "InputLayer"
            ]
            kind = config["latent_distribution"], config["num_classes"]
        except Exception:  # Damaged archives raise errors of any type.
            return None
        return [shapes, kind, self.grids[-1].size]


def read_run(path: PathLike) -> Run:
    """Reads the files of a run.

    Raises:
        ValueError: If the folder has neither a history nor grids.
    """
    folder = RunFolder(path)
    notes: list[str] = []
    rows = _read(folder.history, read_history, notes) or []
    grids = _find_grids(folder.grids, rows)
    if not rows and not grids:
        raise ValueError(
            "`run` must be the folder of a run, with a history.csv file or "
            f"with grids. Received: run={str(folder.path)!r}"
        )
    manifest: dict[str, Any] = {}
    for checkpoint in list_checkpoints(folder.checkpoints)[-1:]:
        found = _read(checkpoint, read_manifest, notes)
        manifest = {"checkpoint": checkpoint.name, **found} if found else {}
    best = _read(folder.best_model, read_manifest, notes) or {}
    settings = _read(folder.settings_file, _read_json, notes)
    summary = _read(folder.summary_file, _read_json, notes) or {}
    if rows and isinstance(steps := summary.get("steps"), int):
        # A run that was continued has an old summary until it ends.
        summary = summary if steps >= int(rows[-1]["step"]) else {}
    return Run(
        folder,
        folder.path.resolve().name,
        rows,
        _read_grids(grids, best.get("step"), notes),
        _read_picture(folder.real_images, "Real pictures", notes),
        _read_picture(
            folder.neighbors,
            "Generated pictures beside the nearest real pictures",
            notes,
        ),
        settings or manifest.get("arguments") or {},
        manifest,
        best,
        summary,
        _read_quality_files(folder.path, notes),
        notes,
    )


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


def _read_json(path: pathlib.Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        return read_json(file)


def _read_quality(path: pathlib.Path) -> dict[str, Any]:
    result = _read_json(path)
    for name in ("values", "protocol"):
        if not isinstance(result.get(name), dict):
            raise ValueError(f"it has no {name}")
    return result


def _read_quality_files(
    folder: pathlib.Path, notes: list[str]
) -> dict[str, dict[str, Any]]:
    """Returns the results of `gan_blocks evaluate`, newest last."""
    files = sorted(
        folder.glob("quality_*.json"), key=lambda path: path.lstat().st_mtime
    )
    read = {path.name: _read(path, _read_quality, notes) for path in files}
    return {name: result for name, result in read.items() if result}


def _read_png(path: pathlib.Path) -> bytes:
    data = path.read_bytes()
    if data[:8] != b"\x89PNG\r\n\x1a\n" or len(data) < 24:
        raise ValueError("it is not a PNG file")
    return data


def _read_picture(
    path: pathlib.Path, text: str, notes: list[str], step: int | None = None
) -> Picture | None:
    data = _read(path, _read_png, notes)
    return None if data is None else Picture(text, data, step)


def _find_grids(
    folder: pathlib.Path, rows: Iterable[dict[str, str]]
) -> list[_Grid]:
    """Returns the grids, oldest first."""
    ends = {row["epoch"]: int(row["step"]) for row in rows}
    found: list[tuple[tuple[float, str, int], _Grid]] = []
    for path in folder.glob("*.png"):
        match = _GRID.fullmatch(path.name)
        if not match:
            continue
        kind, number = match[1], int(match[2])
        step = number if kind == "step" else ends.get(str(number))
        name = f"{kind} {number}"
        if kind == "epoch" and step is not None:
            name += f", step {step}"
        order = math.inf if step is None else step
        found.append(((order, kind, number), (step, name, path)))
    return [grid for _, grid in sorted(found)]


def _read_grids(
    grids: list[_Grid], best_step: int | None, notes: list[str]
) -> list[Picture]:
    """Reads the first, the last, the best, and evenly spaced grids."""
    size = sum(path.stat().st_size for *_, path in grids if path.exists())
    count = min(_MAX_PICTURES, _MAX_BYTES * len(grids) // max(1, size))
    count, last = max(2, count), len(grids) - 1
    best = [i for i, (step, *_) in enumerate(grids) if step == best_step][-1:]
    best = [] if best_step is None else best
    chosen = range(len(grids))
    if len(grids) > count:
        chosen = {i * last // (count - 1) for i in range(count)}
        chosen = sorted(chosen.union(best))
        notes.append(
            f"The page shows {len(chosen)} of the {len(grids)} grids, evenly "
            "spaced."
        )
    pictures = []
    for i in chosen:
        step, name, path = grids[i]
        text = f"Generated after {name}"
        if picture := _read_picture(path, text, notes, step):
            picture.best = i in best
            if picture.best:
                picture.text += ": the best model (best.keras)"
            pictures.append(picture)
    return pictures
