"""Which files of a folder are read, and what the report says of the others."""

import os
import sys
from unittest import mock

import numpy as np
import pytest
from PIL import Image
from support.bad_files import needs_posix
from support.image_sources import encode, noise, write_folder, write_zip

from gan_blocks import datasets


def picture(seed=0, format="PNG"):
    return encode(Image.fromarray(noise(8, 8, 3, seed=seed)), format)


def load(source, **options):
    """Returns the images and the report."""
    return datasets.load(source, 8, report=True, **options)


# Which files are images


def test_the_content_tells_whether_a_file_is_an_image(tmp_path):
    formats = {"a": "JPEG", "b.jpg_large": "JPEG", "c.jpg!d": "PNG"}
    formats |= {"d.x": "GIF", "e.php": "WEBP", "f.tmp": "BMP", "g.png": "TIFF"}
    formats |= {"h.download": "PPM"}
    files = {name: picture(1, kind) for name, kind in formats.items()}
    files |= {"notes": b"not an image", "z.pdf": b"%PDF", "z.txt": picture()}
    for source in (
        write_folder(tmp_path / "folder", files),
        write_zip(tmp_path / "a.zip", files),
    ):
        images, report = load(source)
        assert report.names == sorted(formats)
        assert len(images) == 8
        assert report.other_files == {"no ending": 1, ".pdf": 1, ".txt": 1}


def test_texts_beside_images_are_not_opened(tmp_path):
    files = {"a.jpg": picture(), "a.txt": b"a cat", "a.jpg.cat": b"9 1 1"}
    write_folder(tmp_path, files)
    opened = []

    def remember(path, *args, **kwargs):
        opened.append(os.path.basename(path))
        return open(path, *args, **kwargs)

    with mock.patch(
        "gan_blocks.datasets.source_files.open", remember, create=True
    ):
        load(tmp_path)
    assert opened == ["a.jpg"]


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)


def test_images_of_formats_that_cannot_be_read_are_named(tmp_path):
    files = {"a.png": picture(), "b.HEIC": HEIC, "c": HEIC, "d.psd": b"8BPS"}
    write_folder(tmp_path, files)
    with pytest.warns(
        UserWarning, match="2 skipped .HEIC image: .*pillow-heif"
    ) as warned:
        images, report = load(tmp_path)
    assert len(images) == 1
    assert "1 skipped (unsupported image: convert" in str(warned[0].message)
    (tmp_path / "d.psd").unlink()
    (tmp_path / "b.HEIC").rename(tmp_path / "b.jpg")
    with pytest.warns(UserWarning, match=r"b.jpg \(.*install .*pillow-heif"):
        load(tmp_path)


def test_heic_images_are_read_if_the_package_is_installed(
    tmp_path, monkeypatch
):
    from gan_blocks.datasets import file_kinds

    def register():  # As `pillow_heif.register_heif_opener`.
        Image.register_open(
            "HEIF", open_heif, lambda head: head[4:8] == b"ftyp"
        )
        Image.register_extension("HEIF", ".heic")

    def open_heif(stream, name):
        return Image.fromarray(noise(8, 8, 3))

    write_folder(tmp_path, {"a.heic": HEIC, "b": HEIC})
    module = mock.Mock(register_heif_opener=register)
    monkeypatch.setitem(sys.modules, "pillow_heif", module)
    for function in (file_kinds.image_formats, file_kinds.image_endings):
        function.cache_clear()
    try:
        images, report = load(tmp_path)
        assert len(images) == 2 and report.names == ["a.heic", "b"]
    finally:
        del Image.OPEN["HEIF"], Image.EXTENSION[".heic"]
        Image.ID.remove("HEIF")
        for function in (file_kinds.image_formats, file_kinds.image_endings):
            function.cache_clear()


@needs_posix
def test_links_to_folders_are_not_followed_but_named(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.png").write_bytes(picture())
    folder = write_folder(tmp_path / "folder", {"deep/a.png": picture(1)})
    (folder / "more").symlink_to(tmp_path / "elsewhere")
    (folder / "deep" / "loop").symlink_to(folder)
    with pytest.warns(
        UserWarning, match="2 skipped .link to a folder.: more/, deep/loop/"
    ):
        images, report = load(folder)
    assert report.names == ["deep/a.png"]


def test_folders_of_training_runs_are_left_out(tmp_path):
    run = {
        "arguments.json": b"{}",
        "history.csv": b"epoch",
        "real.png": picture(),
        "grids/epoch_0001.png": picture(),
        "checkpoints/epoch_0001.keras": b"",
    }
    files = {f"runs/cats/{name}": content for name, content in run.items()}
    files |= {"a.png": picture(1), "checkpoints/b.png": picture(2)}
    for source in (
        write_folder(tmp_path / "folder", files),
        write_zip(tmp_path / "a.zip", files),
    ):
        with pytest.warns(
            UserWarning,
            match="1 skipped .folder of a training run.: runs/cats/",
        ):
            images, report = load(source)
        assert report.names == ["a.png", "checkpoints/b.png"]
    with pytest.raises(ValueError, match="no images.*folder of a training run"):
        load(write_folder(tmp_path / "run", run))


def test_the_sample_of_a_dry_run_is_left_out(tmp_path):
    files = {"a.png": picture(1), "real.png": picture(2)}
    files |= {"runs/cats/real.png": picture(3), "b/real.png": picture(4)}
    files["b/c.png"] = picture(5)
    with pytest.warns(UserWarning, match="training run.: runs/cats/"):
        _, report = load(write_folder(tmp_path, files))
    assert report.names == ["a.png", "b/c.png", "b/real.png", "real.png"]


def test_one_image_with_the_name_of_a_sample_in_each_folder_is_kept(tmp_path):
    files = {f"{i}/real.png": picture(i) for i in range(3)}
    _, report = load(write_folder(tmp_path, files))
    assert report.names == [*files]


def test_hidden_files_are_ignored(tmp_path):
    names = [".a.png", "__MACOSX/._a.png", ".cache/deep/a.png", "a.png"]
    files = {name: picture(i) for i, name in enumerate(names)}
    _, report = load(write_folder(tmp_path, files))
    assert report.names == ["a.png"]
    assert not report.left_out and not report.other_files


@pytest.mark.parametrize(
    "names",
    [
        ["images/tom.jpg", "annotations/trimaps/tom.png"],
        ["all/train/tom.jpg", "all/train_masks/tom_mask.gif"],
        ["tom (1).png", "tom (1)_mask.png"],
        ["masks/image/1.png", "masks/label/1.png"],
    ],
)
def test_masks_beside_images_cause_a_warning(names, tmp_path):
    files = {name: picture(i) for i, name in enumerate(names)}
    mask = names[1]
    write_folder(tmp_path, files | {f"{mask[:-4]}2.png": picture(2)})
    with pytest.warns(UserWarning, match=r"1 files look like masks.*such as "):
        images, report = load(tmp_path)
    assert len(images) == 3 and mask in report.warnings[0]


@pytest.mark.parametrize(
    "names",
    [
        ["0/1.png", "1/1.png"],
        ["with_mask/1.png", "without_mask/1.png"],
        ["masks/1.png", "masks/2.png"],
        ["unmasked/1.png", "landmarks/1.png"],
    ],
)
def test_folders_with_the_same_names_are_not_always_masks(names, tmp_path):
    write_folder(tmp_path, {n: picture(i) for i, n in enumerate(names)})
    _, report = load(tmp_path)
    assert not report.warnings


# Splits


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "test"),
        ("Training", "Testing"),
        ("all/training_set", "all/test_set"),
        ("fruits/Train", "fruits/VAL"),
        ("images/train2017", "images/val2017"),
        ("cats/train", "cats/valid"),
        ("trainA", "testA"),
        ("TrainSet", "TestSet"),
        ("train", "dev"),
        ("train", "evaluation"),
    ],
)
def test_folders_of_splits_are_read_one_at_a_time(train, test, tmp_path):
    files = {f"{train}/{i}.png": picture(i) for i in range(3)}
    files |= {f"{test}/{i}.png": picture(i) for i in range(3, 5)}
    write_folder(tmp_path, files)
    split = "test" if "est" in test else "val"
    with pytest.warns(UserWarning, match="2 in the split '(test|val)"):
        images, report = load(tmp_path)
    assert report.names == [f"{train}/{i}.png" for i in range(3)]
    with pytest.warns(UserWarning, match="3 in the split 'train'"):
        rest, report = load(tmp_path, split=split)
    assert report.names == [f"{test}/{i}.png" for i in range(3, 5)]
    both, report = load(tmp_path, split=f"train+{split}")
    assert report.names == sorted(files)
    assert sorted(both.sum((1, 2, 3))) == sorted(
        [*images.sum((1, 2, 3)), *rest.sum((1, 2, 3))]
    )
    for unknown in ("unknown", "train[:10%]", ""):
        with pytest.raises(ValueError, match="`split` must be one of.*'train'"):
            load(tmp_path, split=unknown)


@pytest.mark.parametrize(
    "names",
    [
        ["car/1.png", "train/1.png"],  # a class of vehicles
        ["train/1.png", "train/2.png"],
        ["contest/1.png", "test/1.png"],
        ["latest/1.png", "trains/1.png"],
        ["trainA/1.png", "trainB/1.png"],
    ],
)
def test_other_folders_are_not_splits(names, tmp_path):
    write_folder(tmp_path, {n: picture(i) for i, n in enumerate(names)})
    _, report = load(tmp_path)
    assert report.names == names and not report.left_out
    with pytest.raises(ValueError, match="`split` must be 'train' for"):
        load(tmp_path, split="test")


def test_images_beside_the_folders_of_splits_are_in_no_split(tmp_path):
    names = ["sample.png", "test/1.png", "train/1.png", "extra/1.png"]
    write_folder(tmp_path, {n: picture(i) for i, n in enumerate(names)})
    with pytest.warns(UserWarning, match="2 in no split: .*sample.png"):
        _, report = load(tmp_path)
    assert report.names == ["train/1.png"]


def test_one_image_beside_a_folder_of_splits_does_not_mix_them(tmp_path):
    names = ["data/test/1.png", "data/train/1.png", "preview.png"]
    write_folder(tmp_path, {n: picture(i) for i, n in enumerate(names)})
    with pytest.warns(UserWarning, match="1 in no split: preview.png"):
        _, report = load(tmp_path)
    assert report.names == ["data/train/1.png"]


# Lists of paths, patterns and single files


def test_a_list_of_paths_keeps_its_order(tmp_path):
    files = {f"{name}/{i}.png": picture(i) for name in "ba" for i in range(2)}
    files["c/deep/.hidden.png"] = b""
    files["c/deep/x.png"] = picture(9)
    write_folder(tmp_path, files)
    paths = [tmp_path / "b" / "1.png", str(tmp_path / "a" / "0.png")]
    images, report = load(paths)
    assert report.names == ["b/1.png", "a/0.png"]
    np.testing.assert_array_equal(images[0], noise(8, 8, 3, seed=1))
    _, report = load((tmp_path / "c", tmp_path / "a"))
    assert report.names == ["c/deep/x.png", "a/0.png", "a/1.png"]
    _, labels, report = load([paths[0], paths[1]], labels=True)
    assert labels.tolist() == [1, 0] and report.class_names == ["a", "b"]
    with pytest.raises(FileNotFoundError, match="missing.png"):
        load([*paths, tmp_path / "missing.png"])
    for wrong in ([], [paths[0], 7], [["a.png"]], {"a.png": 1}):
        with pytest.raises(ValueError, match="`source` must be a NumPy array"):
            load(wrong)


def test_a_pattern_finds_files_in_the_order_of_their_paths(tmp_path):
    names = ["b/2.png", "b/1.png", "a/3.png", "a/4.jpg", "[c]/5.png"]
    write_folder(tmp_path, {n: picture(i) for i, n in enumerate(names)})
    _, report = load(f"{tmp_path}/*/*.png")
    assert report.names == ["[c]/5.png", "a/3.png", "b/1.png", "b/2.png"]
    _, report = load(tmp_path / "[c]")  # A folder with this name.
    assert report.names == ["5.png"]
    with pytest.raises(FileNotFoundError, match="nothing"):
        load(tmp_path / "nothing*.png")


def test_a_single_image_is_read(tmp_path):
    write_folder(tmp_path, {"a.png": picture(1), "b.png": picture(2)})
    images, report = load(tmp_path / "a.png")
    assert report.names == ["a.png"]
    np.testing.assert_array_equal(images[0], noise(8, 8, 3, seed=1))
