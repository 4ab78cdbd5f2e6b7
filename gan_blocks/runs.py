"""The folder of a training run: file names, checkpoints and history."""

import csv
import json
import logging
import pathlib
import re
import zipfile
from typing import Any

from gan_blocks._steps import steps_done as steps_done
from gan_blocks._types import PathLike
from gan_blocks._version import __version__
from gan_blocks.files import atomic_write

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
_MANIFEST = "gan_blocks.json"  # A member of the `.keras` archive.
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
        self.page = self.path / "index.html"

    def latest_checkpoint(self) -> pathlib.Path | None:
        """Returns the newest undamaged checkpoint, or `None`."""
        return latest_checkpoint(self.checkpoints)

    def read_settings(self) -> dict[str, Any]:
        """Reads the settings that the run was started with.

        Raises:
            FileNotFoundError: If the folder has no settings.
            ValueError: If the file does not hold a JSON object.
        """
        value = json.loads(self.settings_file.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise ValueError(
                f"{self.settings_file} must hold a JSON object. "
                f"Received: {type(value).__name__}"
            )
        return value

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
    """Returns the paths of all checkpoints in a folder, oldest first."""
    found = []
    for path in pathlib.Path(folder).glob("epoch_*.keras"):
        if match := _CHECKPOINT.fullmatch(path.name):
            # A completed epoch sorts before all steps of the next epoch.
            found.append((int(match[1]), int(match[2] or -1), path))
    return [path for _, _, path in sorted(found)]


def latest_checkpoint(folder: PathLike) -> pathlib.Path | None:
    """Returns the newest undamaged checkpoint in a folder.

    Each checkpoint contains checksums. A file that does not match them, for
    example because a copy was interrupted, is skipped with a warning of the
    logger `gan_blocks.runs`.

    Args:
        folder: Folder of the checkpoints. It need not exist.

    Returns:
        The checkpoint with the highest epoch and, within that epoch, the
        highest step. `None` if the folder has no undamaged checkpoint.
    """
    for path in reversed(list_checkpoints(folder)):
        damage = _find_damage(path)
        if damage is None:
            return path
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
        ValueError: If the file is not a `.keras` archive or has no manifest.

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
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read(_MANIFEST))
    except (KeyError, zipfile.BadZipFile) as error:
        raise ValueError(
            "`path` must be a checkpoint that `EpochCheckpoint` saved. "
            f"Received: path={str(path)!r} ({error})"
        ) from error


def read_history(path: PathLike) -> list[dict[str, str]]:
    """Reads a table that `HistoryTable` wrote.

    Args:
        path: The `.csv` file.

    Returns:
        List of one dictionary per row, with the values as text. Missing
        values are empty strings. The list is empty if the file does not exist.

    Raises:
        ValueError: If a row has no valid `step`.
    """
    path = pathlib.Path(path)
    if not path.exists():
        return []
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file, restval=""))
    for row in rows:
        if not row.get("step", "").isdecimal():
            raise ValueError(
                "`path` must be a table that `HistoryTable` wrote, or not "
                f"exist. Received: path={str(path)!r} with the row {row}"
            )
    return rows


def _find_damage(path: pathlib.Path) -> str | None:
    """Returns what is wrong with an archive, or `None`."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as error:  # Damaged archives raise errors of any type.
        return f"{type(error).__name__}: {error}"
    return damaged and f"wrong checksum of its member {damaged}"
