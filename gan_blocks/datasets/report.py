"""The report of what `load` read and what it left out."""

import math
from collections import Counter
from dataclasses import dataclass, field

from gan_blocks._screens import table
from gan_blocks.datasets.errors import escape

__all__ = ["Report"]

_NAMES = 3  # At most so many files of each kind are named.
_LINES = 10  # At most so many folders and labels are shown.
_MODES = {
    "1": "black and white",
    "CMYK": "CMYK color",
    "F": "floats",
    "I": "32-bit gray",
    "I;16": "16-bit gray",
    "L": "gray",
    "LA": "gray with transparency",
    "P": "palette",
    "PA": "palette with transparency",
    "RGB": "color",
    "RGB;16": "16-bit color",
    "RGBA": "color with transparency",
    "RGBA;16": "16-bit color with a fourth channel",
    "YCbCr": "color",
}


@dataclass
class Report:
    """The images that `load` read from a source, and the files left out.

    `print(report)` shows a table of a few lines. Rows without content are left
    out.

    Args:
        source: Description of the source.

    Attributes:
        names: Name of each image that was read, in the order of the images.
        class_names: Name of each label, if the labels have names.
        formats: Number of images of each file format.
        modes: Number of images of each color mode of Pillow.
        folders: Number of images in each folder.
        sizes: Number of images of each size, `(width, height)` in pixels.
        left_out: For each reason, the files that were left out.
        other_files: Number of files that are not images, by their ending.
        frames_left_out: Number of pages and frames after the first of a file.
        duplicates: Number of images that equal an earlier image.
        notes: Sentences about decisions, such as the range of the pixels.
        warnings: Sentences about images that look wrong or were changed.

    Example:

    ```python
    from gan_blocks.datasets import Report

    report = Report("'pets'")
    report.add("cats/tom.jpg", "JPEG", "RGB", (640, 480))
    report.leave_out("cats/torn.jpg", "could not be read")
    print(report)
    assert "1 could not be read: cats/torn.jpg" in report.warning()
    ```
    """

    source: str
    names: list[str] = field(default_factory=list)
    class_names: list[str] = field(default_factory=list)
    formats: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    folders: Counter[str] = field(default_factory=Counter)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    other_files: Counter[str] = field(default_factory=Counter)
    frames_left_out: int = 0
    duplicates: int = 0
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(
        self,
        name: str,
        format: str | None = None,
        mode: str | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        """Records an image that was read.

        Args:
            name: Name of the image, with `/` between its folders.
            format: File format, such as "JPEG". Defaults to `None`.
            mode: Color mode of Pillow, such as "RGB". Defaults to `None`.
            size: Width and height in pixels. Defaults to `None`.
        """
        self.names.append(name)
        self.folders[name.rpartition("/")[0]] += 1
        if format:
            self.formats[format] += 1
        if mode:
            self.modes[mode] += 1
        if size:
            self.sizes[size] += 1

    def leave_out(self, name: str, reason: str, detail: object = "") -> None:
        """Records a file that was left out.

        Args:
            name: Name of the file.
            reason: Words after a number, such as "could not be read".
            detail: What is different for each file, such as an error. Defaults
                to none.
        """
        file = f"{name} ({str(detail)[:200]})" if detail else name
        self.left_out.setdefault(reason, []).append(file)

    def warning(self) -> str:
        """Returns what was left out and what looks wrong.

        The text is empty if there is nothing to warn about.
        """
        parts = self._left_out_lines()
        if not (parts or self.warnings):
            return ""
        if parts:
            parts = ["; ".join([*parts, f"{len(self.names):,} were read."])]
        return " ".join([f"{self.source}:", *parts, *self.warnings])

    def __str__(self) -> str:
        modes = Counter()
        for mode, number in self.modes.items():
            modes[_MODES.get(mode, mode)] += number
        by_area = sorted(self.sizes, key=math.prod)
        ends = dict.fromkeys(by_area[:1] + by_area[-1:])
        sizes = " to ".join(f"{w:,} x {h:,}" for w, h in ends)
        labels = self.class_names
        rows = {
            "Pictures": [f"{len(self.names):,} from {self.source}"],
            "Formats": [_counts(self.formats)],
            "Sizes": [f"{sizes} pixels (width x height)" * bool(sizes)],
            "Colors": [_counts(modes)],
            "Folders": self._folder_lines(),
            "Labels": [
                f"{len(labels):,}: {_some(labels, _LINES)}" * bool(labels)
            ],
            "Duplicates": [
                f"{self.duplicates:,} of the pictures equal an earlier one"
                * bool(self.duplicates)
            ],
            "Notes": self.notes,
            "Left out": self._left_out_lines(),
            "Other files": [_counts(self.other_files)],
            "Warning": self.warnings,
        }
        return table(rows)

    def _folder_lines(self):
        if len(self.folders) < 2:
            return []
        names = list(self.folders)[:_LINES]
        rest = self.folders.total() - sum(self.folders[n] for n in names)
        lines = [
            f"{escape(name) or '(no folder)'}: {self.folders[name]:,}"
            for name in names
        ]
        others = len(self.folders) - len(names)
        return lines + [f"... and {others:,} others: {rest:,}"] * bool(others)

    def _left_out_lines(self):
        lines = [
            f"{len(names):,} {reason}: {_some(names, _NAMES)}"
            for reason, names in self.left_out.items()
        ]
        number = self.frames_left_out
        frames = f"{number:,} after the first page or frame of their file"
        return lines + [frames] * bool(number)


def _some(names, number):
    """Returns the first names of a list."""
    shown = [escape(name) for name in names[:number]]
    return ", ".join(shown + ["..."] * (len(names) > number))


def _counts(counter):
    """Returns the numbers of images, largest first."""
    return ", ".join(
        f"{number:,} {escape(name)}" for name, number in counter.most_common()
    )
