"""Finds the images and the labels of a source."""

import contextlib
import dataclasses
import functools
import itertools
import os
import re
from collections.abc import Callable, Sequence

import numpy as np

from gan_blocks._types import PathLike
from gan_blocks.datasets import (
    archives,
    arrays,
    decoding,
    file_kinds,
    folders,
    labels,
    listing,
    tfds,
)
from gan_blocks.datasets.errors import SOURCES, escape, reading
from gan_blocks.datasets.report import Report
from gan_blocks.datasets.source_files import DiskFile


@dataclasses.dataclass
class Source:
    """The images of a source.

    Attributes:
        images: An array with the rank 4, or functions that open the images.
        read_labels: Returns the label of each image, in the same order. None
            if the source has no labels.
        report: What was found and what is left out. `load` completes it.
    """

    images: np.ndarray | arrays.Openers
    read_labels: Callable[[], np.ndarray] | None
    report: Report


def find(
    source: np.ndarray | PathLike | Sequence[PathLike],
    split: str,
    stack: contextlib.ExitStack,
) -> Source:
    """Finds the images of a source.

    `stack` closes files that must stay open until all images are read.
    """
    report = Report(describe(source))
    if isinstance(source, np.ndarray):
        folders.check_no_split(split, report)
        return Source(arrays.as_images(source, report.source), None, report)
    _check_paths(source, report)
    if str(source).startswith("tfds:"):
        builder = tfds.load_builder(str(source))
        return Source(*tfds.find_images(builder, split, report), report)
    path, *others = listing.find_paths(source)
    # The package `datasets` also writes this file, beside its .arrow files.
    is_tfds = (path / "dataset_info.json").is_file()
    if not others and is_tfds and not any(path.glob("*.arrow")):
        builder = tfds.builder_in(path)
        return Source(*tfds.find_images(builder, split, report), report)
    if not others and path.is_file() and arrays.idx_set(path.name):
        folders.check_no_split(split, report)
        with reading(report.source, "idx file"):  # Labels are beside it.
            beside = sorted(path.parent.iterdir())
        files = {file.name: DiskFile(str(file)) for file in beside}
        return Source(*_read_idx(files, path.name, report), report)
    files = listing.list_files(source, stack, report)
    return Source(*_find_in(files, split, stack, report), report)


def describe(source: np.ndarray | PathLike | Sequence[PathLike]) -> str:
    """Returns a short description of a source for messages."""
    if isinstance(source, np.ndarray):
        return f"array of shape {source.shape}"
    if isinstance(source, list | tuple):
        return f"list of {len(source)} paths"
    return repr(str(source))


def _check_paths(source, report):
    paths = source if isinstance(source, list | tuple) else [source]
    wrong = [path for path in paths if not isinstance(path, str | os.PathLike)]
    if wrong or not paths:
        found = type(wrong[0] if wrong else source).__name__
        raise ValueError(
            f"`source` must be a NumPy array, {SOURCES}, or 'tfds:NAME'. "
            f"Received: source of type {found}"
        )
    if re.match(r"[A-Za-z0-9]{2,}://", str(source)):
        raise ValueError(
            "`source` must be a path on this machine. Download the data first. "
            f"Received: source={report.source}"
        )


def _find_in(files, split, stack, report):
    """Returns the images in files, and a function that reads their labels."""
    idx = [name for name in files if arrays.idx_set(name)]
    npy, npz = _with_ending(files, ".npy"), _with_ending(files, ".npz")
    known = {*idx, *npy, *npz}
    names = [
        name
        for name, file in files.items()
        if name not in known and decoding.is_image(name, file)
    ]
    if not any("/" not in name for name in idx) and names:
        idx = []
    read = idx or names or (npz if len(npz) == 1 else npy)
    if not read:
        raise _no_images(files, report)
    folders.report_others(files, read, known.union(names), report)
    if idx:
        return _read_idx(files, _choose_idx(idx, split, report), report)
    if names:
        return folders.find_images(files, names, split, report)
    if read is npz:
        ((name, file),) = npz.items()
        members = archives.list_archive(file, name, stack, report)
        return _read_named(_with_ending(members, ".npy"), split, report)
    if len(npy) > 1 and not any(map(arrays.is_named, npy)):
        return _read_slices(npy, split, report)
    if len(npy) > 1:
        return _read_named(npy, split, report)
    folders.check_no_split(split, report)
    return _read_named(npy, split, report)[0], None


def _with_ending(files, ending):
    return {
        name: file
        for name, file in files.items()
        if file_kinds.ending(name) == ending
    }


def _choose_idx(names, split, report):
    """Returns the idx file with the images of a split."""
    words = {"train": ("train",), "test": ("test", "t10k")}
    if split not in words:
        raise ValueError(
            "`split` must be 'train' or 'test' for idx files. Received: "
            f"split={split!r} for source={report.source}"
        )
    found = {}  # The same file may be present twice, such as compressed.
    for name in names:
        stem = name.rpartition("/")[2]
        if "images" in stem and any(word in stem for word in words[split]):
            found.setdefault(arrays.idx_set(name), name)
    if len(found) != 1:
        held = ", ".join(map(escape, [*found.values()][:5] or names[:5]))
        raise ValueError(
            f"`source` must hold one idx file of images for split={split!r}. "
            f"Received: source={report.source}, which holds {held}. Pass the "
            "path of one file, or a pattern for the files of one data set, "
            "such as 'folder/emnist-letters-*'"
        )
    return found.popitem()[1]


def _read_idx(files, name, report):
    images = arrays.read_idx(files[name], report.source)
    images = arrays.as_images(images, report.source)
    if name.rpartition("/")[2].startswith("emnist"):
        images = images.swapaxes(1, 2)
        report.notes.append(
            "EMNIST stores rows and columns exchanged. The images were turned "
            "upright."
        )
    return images, functools.partial(
        arrays.read_idx_labels, files, name, report.source
    )


def _read_named(files, split, report):
    images = arrays.read_named_images(files, split, report.source)
    return arrays.as_images(images, report.source), functools.partial(
        arrays.read_named_labels, files, split, report.source
    )


def _read_slices(files, split, report):
    folders.check_no_split(split, report)
    images, counts = arrays.read_slices(files, report.source)
    report.notes.append(
        f"{len(files):,} .npy files hold {len(images):,} images of shape "
        f"{images.shape[1:]}."
    )
    # A file that holds several images is like a folder.
    names = [
        name if count == 1 else f"{name.removesuffix('.npy')}/{number}"
        for name, count in zip(files, counts, strict=True)
        for number in range(count)
    ]
    names = dict(zip(names, names, strict=True))
    if images.ndim == 3:
        images = images[..., np.newaxis]
    return arrays.as_images(images, report.source), functools.partial(
        labels.read_labels, files, names, {}, report
    )


def _no_images(files, report):
    """Returns the error for a source without images."""
    kinds = {}
    for name, file in itertools.islice(files.items(), 1000):
        if kind := folders.kind_of(name, file):
            kinds.setdefault(kind, name)
    found = [f"{escape(name)} ({kind})" for kind, name in kinds.items()]
    found += [
        f"{escape(names[0])} ({reason})"
        for reason, names in report.left_out.items()
    ]
    found = f"Found {'; '.join(found[:3])}. " if found else ""
    return ValueError(
        f"`source` holds no images: {report.source}. {found}"
        f"It must be {SOURCES}, or 'tfds:NAME'. Images are MNIST's idx files, "
        "arrays, or files such as .jpg and .png"
    )
