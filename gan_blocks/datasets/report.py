"""The report of what `load` read and what it left out."""

import collections
import dataclasses

__all__ = ["Report"]


@dataclasses.dataclass
class Report:
    """What `load` read from a source, and what it left out.

    Attributes:
        source: Description of the source.
        names: Name of each image that was read, in the order of the images.
        class_names: Name of each label, if the labels have names.
        formats: Number of images of each file format.
        modes: Number of images of each color mode.
        folders: Number of images in each folder.
        smallest: Width and height of the smallest image, in pixels.
        largest: Width and height of the largest image, in pixels.
        left_out: For each reason, the names of the files that were left out.
        notes: Sentences about decisions, such as the range of the pixels.
        duplicates: Number of images whose pixels equal an earlier image.
        fingerprint: Hash of the images and labels.
    """

    source: str
    names: list[str] = dataclasses.field(default_factory=list)
    class_names: list[str] = dataclasses.field(default_factory=list)
    formats: collections.Counter = dataclasses.field(
        default_factory=collections.Counter
    )
    modes: collections.Counter = dataclasses.field(
        default_factory=collections.Counter
    )
    folders: collections.Counter = dataclasses.field(
        default_factory=collections.Counter
    )
    smallest: tuple[int, int] | None = None
    largest: tuple[int, int] | None = None
    left_out: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)
    duplicates: int = 0
    fingerprint: str = ""

    def leave_out(self, name: str, reason: str) -> None:
        """Records a file that was left out."""
        self.left_out.setdefault(reason, []).append(name)
