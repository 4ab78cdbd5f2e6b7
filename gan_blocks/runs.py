"""The folder of a training run: file names, checkpoints and history."""

import contextlib
import csv
import json
import logging
import os
import pathlib
import re
import zipfile
from typing import Any

from gan_blocks._steps import steps_done as steps_done
from gan_blocks._types import PathLike
from gan_blocks._version import __version__
from gan_blocks.files import atomic_write, find_damage, read_json

__all__ = [
    "RunFolder",
    "checkpoint_name",
    "latest_checkpoint",
    "list_checkpoints",
    "read_history",
    "read_manifest",
    "steps_done",
    "write_manifest",
]

_logger = logging.getLogger(__name__)
_NUMBER = re.compile(r"\d{1,15}")
_MANIFEST = "gan_blocks.json"  # A member of the `.keras` archive.
_MANIFEST_TYPES = {
    "gan_blocks": str,
    "keras": str,
    "backend": str,
    "epoch": int,
    "step": int,
    "arguments": dict | None,
}
_CHECKPOINT = re.compile(r"epoch_(\d{4,})(?:_step_(\d{7,}))?\.keras")


class RunFolder:
    """The files that a run keeps in its folder.

    Nothing is created until something is written.

    Args:
        path: Folder of the run. It need not exist.

    Attributes:
        path: The folder.
        checkpoints: Folder of the checkpoints, `checkpoints`.
        grids: Folder of the image grids, `grids`.
        history: Table of the logs, `history.csv`.
        settings_file: Settings of the run, `arguments.json`.
        real_images: Grid of real images, `real.png`.
        best_model: Model with the best measured quality, `best.keras`.
        neighbors: Generated images beside the real images that are nearest
            to them, `neighbors.png`.
        summary_file: Summary of a finished run, `summary.json`.
        page: Web page of the run, `index.html`.

    Example:

    ```python
    from gan_blocks import runs

    run = runs.RunFolder("runs/cats")
    assert run.history.name == "history.csv"
    assert run.latest_checkpoint() is None
    ```
    """

    def __init__(self, path: PathLike) -> None:
        self.path = pathlib.Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.grids = self.path / "grids"
        self.history = self.path / "history.csv"
        self.settings_file = self.path / "arguments.json"
        self.real_images = self.path / "real.png"
        self.best_model = self.path / "best.keras"
        self.neighbors = self.path / "neighbors.png"
        self.summary_file = self.path / "summary.json"
        self.page = self.path / "index.html"

    def latest_checkpoint(self) -> pathlib.Path | None:
        """Returns the newest undamaged checkpoint, or `None`."""
        return latest_checkpoint(self.checkpoints)

    def best_checkpoint(self) -> pathlib.Path | None:
        """Returns the best model, or else the newest undamaged checkpoint.

        A run has a best model, `best.keras`, if it has measured its quality.
        """
        if find_damage(self.best_model) is None:
            return self.best_model
        return self.latest_checkpoint()

    def read_settings(self) -> dict[str, Any]:
        """Reads the settings that the run was started with.

        Raises:
            FileNotFoundError: If the folder has no settings.
            ValueError: If the file does not hold a JSON object.
        """
        with open(self.settings_file, "rb") as file:
            return read_json(file)

    def write_settings(self, settings: dict[str, Any]) -> None:
        """Writes the settings. Values unknown to JSON become strings."""
        text = json.dumps(settings, indent=2, default=str) + "\n"
        with atomic_write(self.settings_file, flush=True) as temporary:
            temporary.write_text(text, encoding="utf-8")


def checkpoint_name(epoch: int, step: int | None = None) -> str:
    """Returns the file name of a checkpoint.

    Args:
        epoch: Number of completed epochs.
        step: Number of training steps since the start of the run, for a
            checkpoint in the middle of an epoch. Defaults to `None`: the
            checkpoint is at the end of an epoch.

    Example:

    ```python
    from gan_blocks import runs

    assert runs.checkpoint_name(5) == "epoch_0005.keras"
    assert runs.checkpoint_name(5, 923) == "epoch_0005_step_0000923.keras"
    ```
    """
    suffix = "" if step is None else f"_step_{step:07d}"
    return f"epoch_{epoch:04d}{suffix}.keras"


def list_checkpoints(folder: PathLike) -> list[pathlib.Path]:
    """Returns the paths of all checkpoints in a folder, oldest first.

    Checkpoints are sorted by the step in their manifest, because a run can be
    resumed with longer or shorter epochs. A file without a usable manifest
    follows the file that precedes it by epoch.

    Args:
        folder: Folder of the checkpoints. It need not exist.
    """
    found = []
    for path in pathlib.Path(folder).glob("epoch_*.keras"):
        if match := _CHECKPOINT.fullmatch(path.name):
            # A completed epoch sorts before all steps of the next epoch.
            found.append((int(match[1]), int(match[2] or -1), path))
    steps, step = {}, 0
    for _, _, path in sorted(found):
        with contextlib.suppress(ValueError, OSError):
            manifest = read_manifest(path)
            # Fewer steps than epochs: `fit(initial_epoch=...)` of a new model.
            if manifest["step"] >= manifest["epoch"]:
                step = manifest["step"]
        steps[path] = step
    return sorted(steps, key=lambda path: steps[path])


def latest_checkpoint(folder: PathLike) -> pathlib.Path | None:
    """Returns the newest undamaged checkpoint in a folder.

    Each checkpoint contains checksums. A file that does not match them, for
    example because a copy was interrupted, is skipped with a warning of the
    logger `gan_blocks.runs`.

    Args:
        folder: Folder of the checkpoints. It need not exist.

    Returns:
        The checkpoint with the highest step: see `list_checkpoints`. `None`
        if the folder has no undamaged checkpoint.
    """
    for path in reversed(list_checkpoints(folder)):
        damage = find_damage(path)
        if damage is None:
            return path
        if not os.path.lexists(path):  # Training has just removed it.
            return latest_checkpoint(folder)
        _logger.warning(
            "The checkpoint %s is damaged (%s). The previous one is used "
            "instead.",
            path,
            damage,
        )
    return None


def write_manifest(
    path: PathLike,
    epoch: int,
    step: int,
    arguments: dict[str, Any] | None = None,
) -> None:
    """Adds a manifest to a saved `.keras` file.

    Args:
        path: The `.keras` file.
        epoch: Number of completed epochs.
        step: Number of training steps since the start of the run.
        arguments: Settings of the run. Values that JSON does not support become
            strings. Defaults to `None`.
    """
    import keras

    manifest = {
        "gan_blocks": __version__,
        "keras": keras.version(),
        "backend": keras.backend.backend(),
        "epoch": epoch,
        "step": step,
        "arguments": arguments,
    }
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(_MANIFEST, json.dumps(manifest, default=str))


def read_manifest(path: PathLike) -> dict[str, Any]:
    """Reads the manifest of a checkpoint, without loading the model.

    The manifest is the file `gan_blocks.json` in the `.keras` archive.

    Args:
        path: A file that `EpochCheckpoint` saved.

    Returns:
        Dictionary with the keys `gan_blocks` and `keras` (versions),
        `backend`, `epoch` (completed epochs), `step` (training steps since
        the start of the run) and `arguments` (as passed to
        `EpochCheckpoint`).

    Raises:
        ValueError: If the file is not a `.keras` archive or has no valid
            manifest.

    Example:

    ```python
    import keras
    from gan_blocks import runs

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.save("epoch_0001.keras")
    runs.write_manifest("epoch_0001.keras", epoch=1, step=625)
    assert runs.read_manifest("epoch_0001.keras")["step"] == 625
    ```
    """
    with open(path, "rb") as file:
        try:
            with (
                zipfile.ZipFile(file) as archive,
                archive.open(_MANIFEST) as member,
            ):
                manifest = read_json(member)
            for name, expected in _MANIFEST_TYPES.items():
                if not isinstance(manifest.get(name), expected):
                    raise ValueError(f"{_MANIFEST} has no valid {name!r}")
        except Exception as error:  # Damaged archives raise errors of any type.
            raise ValueError(
                "`path` must be a checkpoint that `EpochCheckpoint` saved. "
                f"Received: path={str(path)!r} ({error})"
            ) from error
    return manifest


def read_history(path: PathLike) -> list[dict[str, str]]:
    """Reads a table that `HistoryTable` wrote.

    Args:
        path: The `.csv` file.

    Returns:
        List of one dictionary per row, with the values as text. Missing
        values are empty strings. The list is empty if the file does not exist.

    Raises:
        ValueError: If the file is no such table, or if a row has no valid
            `epoch` or `step`.
    """
    path = pathlib.Path(path)
    if not path.exists():
        return []
    what = (
        "`path` must be a table that `HistoryTable` wrote, or not exist. "
        f"Received: path={str(path)!r}"
    )
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            rows = list(reader)
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{what} ({error})") from error
    if not {"epoch", "step"} <= {*(reader.fieldnames or ("epoch", "step"))}:
        raise ValueError(f"{what} with the columns {reader.fieldnames}"[:400])
    for row in rows:
        row.pop(None, None)  # Cells without a column.
        if not all(
            _NUMBER.fullmatch(row.get(x, "")) for x in ("epoch", "step")
        ):
            raise ValueError(f"{what} with the row {str(row)[:200]}")
    return rows
