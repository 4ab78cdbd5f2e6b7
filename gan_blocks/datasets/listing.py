"""Lists the files of a folder, an archive or a list of paths."""

import collections
import contextlib
import dataclasses
import glob
import itertools
import os
import pathlib
import re
from collections.abc import Mapping, Sequence

from gan_blocks._types import PathLike
from gan_blocks.datasets import archives, decoding, file_kinds
from gan_blocks.datasets.errors import SOURCES, reading
from gan_blocks.datasets.report import Report
from gan_blocks.datasets.source_files import DiskFile, File
from gan_blocks.runs import RunFolder


@dataclasses.dataclass(frozen=True, slots=True)
class _UnreadableFolder(File):
    error: OSError

    def size(self) -> int:
        raise self.error


def list_files(
    source: PathLike | Sequence[PathLike],
    stack: contextlib.ExitStack,
    report: Report,
) -> Mapping[str, File]:
    """Returns the files of a source by name, with `/` between folders.

    Hidden files and the folders of training runs are left out. If there is one
    archive and no image, the files in this archive are returned.

    Args:
        source: A folder, an archive, a file, a pattern such as `"cats/*.jpg"`,
            or a list of paths. The files are sorted by name, but the order of a
            list is kept.
        stack: Closes archives, which stay open while files are read.
        report: Receives what was left out.

    Raises:
        FileNotFoundError: If a path does not exist.
        ValueError: If a path cannot be read, or an archive is damaged.
    """
    files = _list_source(source, stack, report)
    packed = [name for name in files if file_kinds.is_archive(name)]
    if len(packed) == 1 and not any(map(_is_data, files, files.values())):
        file = files.pop(packed[0])
        report.other_files.update(
            file_kinds.ending(name) or "no ending" for name in files
        )
        report.notes.append(f"The archive {packed[0]} in the source was read.")
        files = archives.list_archive(file, packed[0], stack, report)
        files = _visible(_sorted(files))
    return _leave_out_runs(files, report)


def _is_data(name, file):
    """Returns whether a file, which is no archive, holds images."""
    if file_kinds.is_archive(name):
        return False
    return (
        file_kinds.ending(name) in (".npy", ".npz")
        or file_kinds.IDX_NAME.search(name) is not None
        or decoding.is_image(name, file)
    )


def find_paths(source: PathLike | Sequence[PathLike]) -> list[pathlib.Path]:
    """Returns the paths of a source: one, or those that fit a pattern.

    Raises:
        FileNotFoundError: If nothing exists at a path.
        ValueError: If a path cannot be used.
    """
    if not isinstance(source, str | os.PathLike):
        return [path for each in source for path in find_paths(each)]
    try:
        path = pathlib.Path(source).expanduser()
        paths = [path] if path.exists() else []
        if not paths and re.search(r"[*?[]", str(path)):
            found = glob.glob(str(path), recursive=True)
            paths = [*map(pathlib.Path, sorted(found))]
        regular = all(path.is_file() or path.is_dir() for path in paths)
    # RuntimeError: "~no_such_user"
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"`source` must be {SOURCES}. Received: source={str(source)!r} "
            f"({error})"
        ) from error
    if not paths:
        raise FileNotFoundError(
            f"`source` must exist and be {SOURCES}, or be 'tfds:NAME'. "
            f"Received: source={str(source)!r}"
        )
    if not regular:  # Reading from a pipe could block.
        raise ValueError(
            "`source` must be a folder or a file, not a pipe or a device. "
            f"Received: source={str(source)!r}"
        )
    return paths


def _list_source(source, stack, report):
    paths = find_paths(source)
    if len(paths) != 1:
        return _list_paths(paths, report)
    (path,) = paths
    if path.is_dir():
        return _sorted(_list_folder(path, report))
    file, name = DiskFile(str(path)), path.name
    with reading(report.source, "file"):
        head = file.head()
    kind = file_kinds.find_kind(name, head)
    if kind not in (None, file_kinds.ARCHIVE):
        if not file_kinds.has_image_start(head):
            raise ValueError(
                f"`source` must be {SOURCES}, or 'tfds:NAME'. Received: "
                f"source={report.source} ({kind})"
            )
    is_zip = head.startswith(b"PK") and not name.endswith(".npz")
    if is_zip or file_kinds.is_archive(name) or file_kinds.is_tar("", head):
        files = archives.list_archive(file, name, stack, report)
        return _visible(_sorted(files))
    return {name: file}


def _sorted(files):
    return {name: files[name] for name in sorted(files)}


def _visible(files):
    return {
        name: file
        for name, file in files.items()
        if not any(map(_is_hidden, name.split("/")))
    }


def _is_hidden(name):
    return name.startswith((".", "__MACOSX")) and name not in (".", "..")


def _leave_out_runs(files, report):
    """Leaves out the folders of training runs, which hold generated images."""
    run = RunFolder("")
    marks = (run.settings_file, run.history, run.real_images, run.best_model)
    marks = {path.name for path in (*marks, run.checkpoints, run.grids)}
    found = collections.defaultdict(set)
    for name in files:
        parts = name.split("/")
        for mark in marks.intersection(parts):
            folder = parts[: parts.index(mark)]
            found["".join(f"{part}/" for part in folder)].add(mark)
    written = {run.settings_file.name, run.history.name}
    runs = (name for name in found if len(found[name]) > 1)
    runs = {name for name in runs if found[name] & written}
    # `gan_blocks train --dry-run` saves a sample of the images, and nothing
    # else. More such folders are images of the user.
    inside = collections.Counter(
        f"{parent}/"
        for name in files
        for parent in pathlib.PurePosixPath(name).parents
    )
    sample = run.real_images.name
    samples = [n for n in found if inside[n] == 1 and n + sample in files]
    if len(samples) == 1:
        runs.update(samples)
    runs = tuple(sorted(runs))
    for name in runs:
        report.leave_out(name or "./", "skipped (folder of a training run)")
    return {
        name: file for name, file in files.items() if not name.startswith(runs)
    }


def _list_folder(folder, report):
    """Returns the files of a folder at any depth.

    Links to folders are not followed, because they may form a loop. A folder
    that cannot be read is listed as a file that cannot be read.
    """
    failed, files = [], {}
    # Strings, because objects of `pathlib` take most of the time.
    for parent, folders, names in os.walk(folder, onerror=failed.append):
        inside = f"{_relative(parent, folder)}/".removeprefix("./")
        folders[:] = [name for name in folders if not _is_hidden(name)]
        for name in folders:
            if os.path.islink(os.path.join(parent, name)):
                report.leave_out(
                    f"{inside}{name}/", "skipped (link to a folder)"
                )
        for name in itertools.filterfalse(_is_hidden, names):
            files[f"{inside}{name}"] = DiskFile(os.path.join(parent, name))
    for error in failed:
        name = _relative(error.filename, folder)
        files[f"{name}/"] = _UnreadableFolder(error)
    return files


def _relative(path, folder):
    return os.path.relpath(path, folder).replace(os.sep, "/")


def _list_paths(paths, report):
    """Returns the files of several paths. Folders stand for their files.

    Names start at the folder that all paths have in common.
    """
    paths = [path.absolute() for path in paths]
    top = os.path.commonpath([path.parent for path in paths]) if paths else ""
    files = {}
    for path in paths:
        name = path.relative_to(top).as_posix()
        if path.is_dir():
            inside = _sorted(_list_folder(path, report))
            files |= {f"{name}/{key}": file for key, file in inside.items()}
        else:
            files[name] = DiskFile(str(path))
    return files
