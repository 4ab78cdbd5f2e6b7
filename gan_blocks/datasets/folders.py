"""Selects the images among the files of a folder or an archive."""

import functools
import os
import posixpath
import re
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from gan_blocks.datasets import decoding, file_kinds, labels
from gan_blocks.datasets.arrays import Openers
from gan_blocks.datasets.errors import escape
from gan_blocks.datasets.report import Report
from gan_blocks.datasets.source_files import File

# Words in the names of masks, or of their folders.
_MASK = re.compile(
    r"(?<![a-z])(mask|trimap|annotation|label|segmentation|seg|groundtruth|"
    r"ground_truth|gt|depth)s?(?![a-z])",
    re.IGNORECASE,
)


def find_images(
    files: Mapping[str, File], names: Sequence[str], split: str, report: Report
) -> tuple[Openers, Callable[[], np.ndarray]]:
    """Returns the images of a split, and a function that reads their labels.

    Args:
        files: All files of the source.
        names: Names of the images.
        split: Name of the split, or several names joined by `+`.
        report: Receives what was left out.
    """
    groups = labels.group_by_split(names)
    chosen = _select(groups, split, report)
    chosen = {name: chosen[name] for name in names if name in chosen}
    _warn_of_masks(chosen, report)
    openers = (
        (name, functools.partial(decoding.open_image, files[name]))
        for name in chosen
    )
    others = groups.get("train", {})
    return (len(chosen), openers), functools.partial(
        labels.read_labels, files, chosen, others, report
    )


def _select(groups, split, report):
    """Returns the groups of images that belong to a split."""
    if groups.keys() == {None}:
        check_no_split(split, report)
        return groups[None]
    wanted = {labels.SPLITS.get(word) for word in split.split("+")}
    if not wanted <= groups.keys() - {None}:
        known = ", ".join(repr(key) for key in groups if key)
        raise ValueError(
            f"`split` must be one of {known}, or several joined by '+'. "
            f"Received: split={split!r} for source={report.source}"
        )
    splits = "+".join(sorted(filter(None, groups)))
    report.notes.append(f"The folders are splits. split={splits!r} reads all.")
    chosen = {}
    for key, group in groups.items():
        if key in wanted:
            chosen |= group
        else:
            reason = f"in the split {key!r}" if key else "in no split"
            for name in group:
                report.leave_out(name, reason)
    return chosen


def check_no_split(split: str, report: Report) -> None:
    """Checks the argument `split` of a source that has no splits."""
    if split != "train":
        raise ValueError(
            "`split` must be 'train' for a source without splits. "
            f"Received: split={split!r} for source={report.source}"
        )


def report_others(
    files: Mapping[str, File],
    read: Collection[str],
    readable: Collection[str],
    report: Report,
) -> None:
    """Reports the files that are not read, and those that could be read."""
    for name in sorted(files.keys() - {*read}):
        kind = kind_of(name, files[name])
        if name in readable:
            report.leave_out(
                name, "skipped (another kind of file; pass its path to read it)"
            )
        elif kind and kind.is_image:
            report.leave_out(name, f"skipped ({kind})")
        else:
            report.other_files[file_kinds.ending(name) or "no ending"] += 1


def kind_of(name: str, file: File) -> file_kinds.Kind | None:
    """Returns the kind of a file that cannot be read, if it is known."""
    if file_kinds.ending(name) in decoding.TEXTS:
        return file_kinds.find_kind(name)
    try:
        return file_kinds.find_kind(name, file.head())
    except Exception:  # Damaged archives can cause any exception.
        return None


def _warn_of_masks(names, report):
    """Warns of masks that have the same names as other images."""
    # The folder around all images does not tell images from masks.
    folders = {posixpath.dirname(name) for name in names}
    top = len(os.path.commonprefix([*folders]).rpartition("/")[0])
    masks = [name for name in names if _MASK.search(name, top)]
    others = {_stem(name) for name in names.keys() - {*masks}} if masks else ()
    masks = [name for name in masks if _stem(name) in others]
    if masks:
        report.warnings.append(
            f"{len(masks):,} files look like masks or labels of other images, "
            f"such as {escape(masks[0])}. If they are, pass the folder of the "
            "images, or a list of their paths."
        )


def _stem(name):
    """Returns the name of a file without folder, ending and words of masks."""
    stem = _MASK.sub("", name.rpartition("/")[2].rpartition(".")[0])
    return stem.strip(" _-")
