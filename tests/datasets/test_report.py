"""The text of a report."""

import numpy as np
import pytest
from PIL import ExifTags, Image

from gan_blocks import datasets
from gan_blocks.datasets import Report


def lines(report):
    return str(report).splitlines()


def test_a_report_without_problems_is_short_and_has_no_warning():
    report = Report("'pets'")
    for index in range(1200):
        report.add(f"{index}.jpg", "JPEG", "RGB", (1024, 768))
    report.add("icon.png", "PNG", "RGBA", (32, 16))
    assert lines(report) == [
        "Pictures       1,201 from 'pets'",
        "Formats        1,200 JPEG, 1 PNG",
        "Sizes          32 x 16 to 1,024 x 768 pixels (width x height)",
        "Colors         1,200 color, 1 color with transparency",
    ]
    assert report.warning() == ""


def test_the_images_of_each_folder_are_counted():
    report = Report("'pets'")
    report.add("cover.jpg")
    for index in range(14):
        for number in range(index + 1):
            report.add(f"CAT_{index:02}/deep/{number}.jpg")
    text = lines(report)
    assert text[1:4] == [
        "Folders        (no folder): 1",
        "               CAT_00/deep: 1",
        "               CAT_01/deep: 2",
    ]
    assert text[-1] == "               ... and 5 others: 60"
    assert len(text) == 12


def test_files_that_were_left_out_are_counted_and_three_are_named():
    report = Report("'pets'")
    report.add("tom.jpg")
    for index in range(4):
        error = ValueError("no\npixels")
        report.leave_out(f"{index}.jpg", "could not be read", error)
    report.leave_out("more/", "skipped (link to a folder)")
    report.frames_left_out = 7
    found = (
        "4 could not be read: 0.jpg (no\\npixels), 1.jpg (no\\npixels), "
        "2.jpg (no\\npixels), ...; 1 skipped (link to a folder): more/; "
        "7 after the first page or frame of their file"
    )
    assert report.warning() == f"'pets': {found}; 1 were read."
    rows = " ".join(line[15:] for line in lines(report)[1:])
    assert rows == found.replace(";", "")


def test_decisions_are_shown_and_only_changes_are_warnings():
    report = Report("'scans'")
    report.add("a.png")
    report.notes.append("16-bit values are divided by 257.")
    report.other_files.update([".txt", ".txt", ".csv"])
    report.duplicates = 3
    report.class_names = ["cat", "dog"]
    assert lines(report)[1:] == [
        "Labels         2: cat, dog",
        "Duplicates     3 of the pictures equal an earlier one",
        "Notes          16-bit values are divided by 257.",
        "Other files    2 .txt, 1 .csv",
    ]
    assert report.warning() == ""
    report.warnings.append("Most images are nearly black.")
    assert lines(report)[-1] == "Warning        Most images are nearly black."
    assert report.warning() == "'scans': Most images are nearly black."


@pytest.mark.parametrize("name", ["a\nb.jpg", "\x1b[31m.jpg", "\udcff.jpg"])
def test_names_that_cannot_be_printed_are_escaped(name):
    report = Report("'pets'", class_names=[name])
    report.leave_out(name, "could not be read")
    report.add(f"{name}/a.jpg")
    report.add("tom/a.jpg")
    for text in (str(report).replace("\n", ""), report.warning()):
        assert text.isprintable()
        assert repr(name)[1:-1] in text


def test_a_report_counts_the_sizes(tmp_path):
    for index, size in enumerate([(8, 9), (8, 9), (30, 20)]):
        Image.effect_noise(size, 100).save(tmp_path / f"{index}.png")
    *_, report = datasets.load(tmp_path, 8, report=True)
    assert report.sizes == {(8, 9): 2, (30, 20): 1}
    assert "Sizes          8 x 9 to 30 x 20 pixels" in str(report)


def test_a_rotated_photograph_is_counted_upright(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    photo = Image.effect_noise((30, 20), 100)
    photo.save(tmp_path / "photo.jpg", exif=exif)
    *_, report = datasets.load(tmp_path, 8, report=True)
    assert report.sizes == {(20, 30): 1}


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_arrays_that_need_no_resizing_have_colors_in_the_report(channels, mode):
    random = np.random.default_rng(0)
    array = random.integers(0, 256, (5, 8, 8, channels), np.uint8)
    *_, report = datasets.load(array, 8, channels=channels, report=True)
    assert report.modes == {mode: 5}
