"""Finds splits and labels in the names of images."""

import functools
import json
import os
import re
from collections.abc import Mapping, Sequence

import numpy as np

from gan_blocks.datasets.errors import escape, reading
from gan_blocks.datasets.report import Report
from gan_blocks.datasets.source_files import File

SPLITS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "eval": "validation",
    "evaluation": "validation",
}


@functools.cache
def split_of(folder: str) -> str | None:
    """Returns the split in a folder such as "train", "test_set" or "testA"."""
    words = re.findall("[A-Z]?[a-z]+|[A-Z]+", folder)
    words = {word.lower().removesuffix("set") for word in words}
    found = {SPLITS[word] for word in words if word in SPLITS}
    return found.pop() if len(found) == 1 else None


def group_by_split(
    names: Sequence[str],
) -> dict[str | None, dict[str, str]]:
    """Groups images by the folder of their split, such as `train` or `test`.

    The folders of the splits are at the top or one folder deeper. Two or more
    splits are needed, because a single folder `train` may be a class.

    Images beside such a deeper folder belong to no split.

    Returns:
        For each split, the name of each image, and this name without the folder
        of the split. Images outside of the splits are in the split None, as are
        all images if there are no splits.
    """
    paths = {name: name.split("/") for name in names}
    top = len(os.path.commonprefix([path[:-1] for path in paths.values()]))
    for level in (top, top + 1):
        groups = {}
        for name, path in paths.items():
            split = split_of(path[level]) if len(path) > level + 1 else None
            rest = path[:level] + path[level + (split is not None) :]
            groups.setdefault(split, {})[name] = "/".join(rest)
        outside = (paths[name] for name in groups.get(None, ()))
        beside = all(len(path) == top + 1 for path in outside)
        if len({*groups} - {None}) > 1 and (level == top or beside):
            for split, group in groups.items():
                _remove_repetition(group, split, level)
            return groups
    return {None: {name: name for name in names}}


def _remove_repetition(group, split, level):
    """Removes a second folder of the split, as in `train/train/cats/1.png`."""
    paths = {name: rest.split("/") for name, rest in group.items()}
    common = os.path.commonprefix([path[:-1] for path in paths.values()])
    if split and len(common) > level and split_of(common[level]) == split:
        for name, path in paths.items():
            group[name] = "/".join(path[:level] + path[level + 1 :])


def read_labels(
    files: Mapping[str, File],
    names: Mapping[str, str],
    others: Mapping[str, str],
    report: Report,
) -> np.ndarray:
    """Reads the labels of images from a `dataset.json` or from their folders.

    Args:
        files: All files of the source.
        names: Names of the images, and names without the folder of the split.
        others: The same for the images of the training split.
        report: Describes the source, and receives the names of the labels.
    """
    with reading(report.source, "source with a dataset.json"):
        found = [_read_json(name, file) for name, file in files.items()]
        if tables := dict(filter(None, found)):
            return _from_json(tables, names)
    return _from_folders(names, others, report)


def _read_json(name, file):
    """Reads the format of StyleGAN: pairs of a name and a label."""
    top, _, last = name.rpartition("/")
    if last == "dataset.json":
        content = json.loads(file.read())
        if isinstance(content, dict) and "labels" in content:
            pairs = content["labels"] or ()
            return top, {name.replace("\\", "/"): each for name, each in pairs}


def _from_json(tables, names):
    """Returns the labels from the `dataset.json` nearest above each image."""
    labels = []
    for name in names:
        top = name
        while top and top not in tables:
            top = top.rpartition("/")[0]
        inner = name.removeprefix(f"{top}/")
        if inner not in tables.get(top, ()):
            raise ValueError(f"dataset.json has no label for {name}")
        labels.append(tables[top][inner])
    return np.array(labels)


def _from_folders(names, others, report):
    """Numbers the folders that hold images, in the order of their names."""
    paths = {name: rest.split("/") for name, rest in names.items()}
    both = [*paths.values(), *(rest.split("/") for rest in others.values())]
    # Many archives hold a single folder with everything in it.
    depth = len(os.path.commonprefix(both))
    for name, path in paths.items():
        if len(path) < depth + 2:
            folders = {each.rpartition("/")[0] for each in (*names, *others)}
            alone = len(folders) == 1
            where = "the same folder as all others" if alone else "none of them"
            raise ValueError(
                "`source` must hold two or more folders, one for each label. "
                f"Received: source={report.source}, where "
                f"{escape(name)} is in {where}. Move the images of each label "
                "to a folder of their own, or load the images without labels"
            )
    classes = {path[depth] for path in both if len(path) > depth + 1}
    report.class_names = sorted(classes, key=_natural)
    labels = {name: label for label, name in enumerate(report.class_names)}
    return np.array([labels[path[depth]] for path in paths.values()])


def _natural(name):
    """Returns a key that sorts "class_2" before "class_10"."""
    # `int` raises an error for more than 4300 digits.
    return re.sub("[0-9]+", lambda digits: digits[0].zfill(255), name), name
