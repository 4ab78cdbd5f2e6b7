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

__all__ = ["Picture", "Run"]

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


class Run:
    """The content of the folder of a run.

    Args:
        path: The folder.

    Attributes:
        folder: The names of the files.
        name: Name of the folder.
        rows: Rows of the history.
        grids: Grids of generated images, oldest first.
        real: Real images, or `None`.
        neighbors: Generated images beside the nearest real images, or `None`.
        manifest: Manifest of the newest checkpoint, with its name.
        best: Manifest of the best model.
        settings: Settings of the run.
        comparable_after: Step after which the same images and features
            measured the quality.
        summary: Summary of a finished run.
        quality: File names and results of `gan_blocks evaluate`, newest last.
        last_step: Number of training steps.
        notes: What could not be read, and what was left out.

    Raises:
        ValueError: If the folder has neither a history nor grids.
    """

    def __init__(self, path: PathLike) -> None:
        self.folder = folder = RunFolder(path)
        self.name = folder.path.resolve().name
        self.notes: list[str] = []
        self.rows = self._read(folder.history, read_history) or []
        grids = _find_grids(folder.grids, self.rows)
        if not self.rows and not grids:
            raise ValueError(
                "`run` must be the folder of a run, with a history.csv file or "
                f"with grids. Received: run={str(folder.path)!r}"
            )
        self.manifest: dict[str, Any] = {}
        for checkpoint in list_checkpoints(folder.checkpoints)[-1:]:
            if found := self._read(checkpoint, read_manifest):
                self.manifest = {"checkpoint": checkpoint.name, **found}
        self.best = self._read(folder.best_model, read_manifest) or {}
        settings = self._read(folder.settings_file, _read_json)
        self.settings = settings or self.manifest.get("arguments") or {}
        after = self.settings.get("comparable_after_step")
        self.comparable_after = after if isinstance(after, int) else 0
        self.grids = self._read_grids(grids)
        steps = [int(row["step"]) for row in self.rows[-1:]]
        steps += [grid.step for grid in self.grids if grid.step is not None]
        self.last_step = max([1, *steps])
        self.real = self._read_picture(folder.real_images, "Real pictures")
        text = "Generated pictures beside the nearest real pictures"
        self.neighbors = self._read_picture(folder.neighbors, text)
        self.summary = self._read(folder.summary_file, _read_json) or {}
        done = self.summary.get("steps")
        if self.rows and isinstance(done, int) and done < steps[0]:
            self.summary = {}  # The run was continued and has not ended.
        files = sorted(
            folder.path.glob("quality_*.json"),
            key=lambda path: path.lstat().st_mtime,
        )
        read = {path.name: self._read(path, _read_quality) for path in files}
        self.quality = {name: x for name, x in read.items() if x}

    @property
    def latents(self) -> Any:
        """Inputs that determine the latents of the grids; `None` if unknown."""
        path = self.folder.checkpoints / self.manifest.get("checkpoint", "")
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
            return shapes, kind, self.grids[-1].size
        except Exception:  # Damaged archives raise errors of any type.
            return None

    def _read(
        self, path: pathlib.Path, reader: Callable[[pathlib.Path], _Content]
    ) -> _Content | None:
        """Returns the content of a file, or `None`; notes what is wrong."""
        try:
            if path.exists() and not path.is_file():
                raise ValueError("it is not a file")
            return reader(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self.notes.append(f"{path.name} cannot be read: {error}")
            return None

    def _read_picture(
        self, path: pathlib.Path, text: str, step: int | None = None
    ) -> Picture | None:
        data = self._read(path, _read_png)
        return None if data is None else Picture(text, data, step)

    def _read_grids(self, grids: list[_Grid]) -> list[Picture]:
        """Reads the first, the last, the best, and evenly spaced grids."""
        size = sum(path.stat().st_size for *_, path in grids if path.exists())
        count = min(_MAX_PICTURES, _MAX_BYTES * len(grids) // max(1, size))
        count, last = max(2, count), len(grids) - 1
        steps = [step for step, *_ in grids if step is not None]
        best = self.best.get("step")
        chosen = range(len(grids))
        if len(grids) > count:
            chosen = {i * last // (count - 1) for i in range(count)}
            if best in steps:
                chosen.add(steps.index(best))
            self.notes.append(
                f"The page shows {len(chosen)} of the {len(grids)} grids, "
                "evenly spaced."
            )
        pictures = []
        for step, name, path in (grids[i] for i in sorted(chosen)):
            text = f"Generated after {name}"
            if step is not None and step == best:
                text += ": the best model (best.keras)"
            if picture := self._read_picture(path, text, step):
                picture.best = step is not None and step == best
                pictures.append(picture)
        return pictures


def _read_json(path: pathlib.Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        return read_json(file)


def _read_quality(path: pathlib.Path) -> dict[str, Any]:
    result = _read_json(path)
    for name in ("values", "protocol"):
        if not isinstance(result.get(name), dict):
            raise ValueError(f"it has no {name}")
    return result


def _read_png(path: pathlib.Path) -> bytes:
    data = path.read_bytes()
    if data[:8] != b"\x89PNG\r\n\x1a\n" or len(data) < 24:
        raise ValueError("it is not a PNG file")
    return data


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
