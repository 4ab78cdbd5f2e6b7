"""Archives: zip and tar, compressed or not, and archives in archives."""

import gzip
import io
import tarfile
import tempfile
from unittest import mock

import numpy as np
import pytest
from PIL import Image
from support.bad_files import (
    PNG,
    change_zip,
    little_memory,
    npy,
    tarred,
    zipped,
)
from support.image_sources import (
    encode,
    encode_idx,
    noise,
    write_folder,
    write_zip,
)

from gan_blocks import datasets
from gan_blocks.datasets import archives

FILES = {
    f"{name}/{i}.png": encode(Image.fromarray(noise(8, 8, 3, seed=i)))
    for name in ("b", "a")
    for i in range(3)
} | {"notes.txt": b"not an image", "a/._0.png": b"hidden"}
TAR_KINDS = {
    "a.tar": "w",
    "a.tar.gz": "w:gz",
    "a.tgz": "w:gz",
    "a.tar.bz2": "w:bz2",
    "a.tar.xz": "w:xz",
}


@pytest.mark.parametrize("name", TAR_KINDS)
def test_a_tar_archive_is_read_like_a_folder(name, tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "folder", FILES)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    archive = tmp_path / name
    archive.write_bytes(tarred(FILES, TAR_KINDS[name]))
    expected, labels, report = datasets.load(
        folder, 8, labels=True, report=True
    )
    found, found_labels, found_report = datasets.load(
        archive, 8, labels=True, report=True
    )
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found_labels, labels)
    assert found_report.names == report.names
    assert found_report.other_files == {".txt": 1}
    assert not list((tmp_path / "temporary").iterdir())


def test_links_and_paths_in_a_tar_archive_do_no_harm(tmp_path):
    (tmp_path / "secret.png").write_bytes(PNG)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for kind, name in (
            (tarfile.SYMTYPE, "link.png"),
            (tarfile.LNKTYPE, "hard.png"),
            (tarfile.FIFOTYPE, "pipe.png"),
            (tarfile.CHRTYPE, "device.png"),
            (tarfile.DIRTYPE, "folder.png"),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, str(tmp_path / "secret.png")
            archive.addfile(member)
        for name in ("../up.png", "/root.png", "good.png"):
            member = tarfile.TarInfo(name)
            content = FILES["a/0.png"]
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    path = tmp_path / "in" / "a.tar"
    path.parent.mkdir()
    path.write_bytes(stream.getvalue())
    with pytest.warns(UserWarning, match="2 skipped .path outside"):
        _, report = datasets.load(path, 8, report=True)
    assert report.names == ["good.png"]
    files = {p for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {path, tmp_path / "secret.png"}


BAD_TARS = {
    "empty": (b"", "empty file: download it again"),
    "text": (b"hello" * 999, "must be a valid tar archive"),
    "cut off in a file": (tarred(FILES)[:700], "valid tar archive"),
    "cut off between files": (tarred(FILES)[:1024], "cut off .* after 1 file"),
    "damaged header": (
        tarred(FILES).replace(b"b/1.png", b"b/9.png"),
        "cut off or damaged after 1 file",
    ),
    "gz cut off": (tarred(FILES, "w:gz")[:-30], "valid tar archive"),
    "gz of no archive": (gzip.compress(b"hello" * 999), "valid tar archive"),
    "bz2 cut off": (tarred(FILES, "w:bz2")[:-30], "valid tar archive"),
    "xz cut off": (tarred(FILES, "w:xz")[:-30], "valid tar archive"),
}


@pytest.mark.parametrize("kind", BAD_TARS)
def test_a_damaged_tar_archive_raises_an_error(kind, tmp_path):
    content, reason = BAD_TARS[kind]
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"`source` .*{reason}") as error:
        datasets.load(path, 8)
    assert str(path) in str(error.value)


def test_a_tar_archive_with_a_huge_header_needs_little_memory(tmp_path):
    member = tarfile.TarInfo("x")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 2**32
    path = tmp_path / "a.tar"
    path.write_bytes(member.tobuf() + bytes(2**20))
    with (
        little_memory(),
        pytest.raises(ValueError, match="header of 4294967296"),
    ):
        datasets.load(path, 8)


def test_an_archive_that_unpacks_to_too_much_raises_an_error(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(archives, "_ARCHIVE_LIMIT", 2**22)
    path = tmp_path / "a.tar.gz"
    path.write_bytes(tarred({"a.bmp": bytes(2**23)}, "w:gz"))
    with pytest.raises(ValueError, match="more than 4194304 bytes.*unpack it"):
        datasets.load(path, 8)
    path = write_zip(tmp_path / "a.zip", {"b.tar.gz": path.read_bytes()})
    with pytest.raises(ValueError, match="more than 4194304 bytes.*unpack it"):
        datasets.load(path, 8)


# Archives in archives


@pytest.mark.parametrize("outer", ["folder", "a.zip", "a.tar.gz"])
@pytest.mark.parametrize("inner", ["train.zip", "train.tgz"])
def test_a_single_archive_in_a_source_is_read(outer, inner, tmp_path):
    content = zipped(FILES) if inner == "train.zip" else tarred(FILES, "w:gz")
    files = {f"in/{inner}": content, "readme.txt": b"x", "._train.zip": b"x"}
    source = tmp_path / outer
    if outer == "folder":
        write_folder(source, files)
    else:
        source.write_bytes(
            zipped(files) if outer == "a.zip" else tarred(files, "w:gz")
        )
    images, labels, report = datasets.load(source, 8, labels=True, report=True)
    assert len(images) == 6 and labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert f"in/{inner}" in report.notes[0]


def test_several_archives_are_named_and_not_read(tmp_path):
    files = {"test.zip": zipped(FILES), "train.zip": zipped(FILES)}
    write_folder(tmp_path, files)
    with pytest.raises(ValueError, match=r"no images.*test.zip \(zip or tar"):
        datasets.load(tmp_path, 8)
    (tmp_path / "a.png").write_bytes(FILES["a/0.png"])
    with pytest.warns(
        UserWarning, match="2 skipped .zip or tar archive: .*test.zip"
    ):
        datasets.load(tmp_path, 8)


def test_an_archive_in_an_archive_in_an_archive_is_not_read(tmp_path):
    content = zipped({"a.zip": zipped({"b.zip": zipped(FILES)})})
    (tmp_path / "c.zip").write_bytes(content)
    with pytest.raises(ValueError, match=r"no images.*b.zip \(zip or tar arch"):
        datasets.load(tmp_path / "c.zip", 8)


# Members of zip archives


def test_a_dot_is_no_folder(tmp_path):
    contents = [content for name, content in FILES.items() if "png" in name]
    names = ("./a/0.png", "./a/1.png", "b/2.png")
    files = dict(zip(names, contents, strict=False))
    path = write_zip(tmp_path / "a.zip", files)
    _, labels = datasets.load(path, 8, labels=True)
    assert labels.tolist() == [0, 0, 1]


def test_backslashes_in_a_zip_archive_separate_folders(tmp_path):
    files = {n.replace("/", "\\"): content for n, content in FILES.items()}
    files |= {"__MACOSX\\a\\._0.png": b"x", "c\\": b""}
    path = write_zip(tmp_path / "a.zip", files)
    images, labels, report = datasets.load(path, 8, labels=True, report=True)
    assert len(images) == 6 and labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert report.class_names == ["a", "b"]


@pytest.mark.parametrize(
    ("offsets", "value", "reason"),
    [
        ((8, 10), 9, "Deflate64: unpack .*7z x"),
        ((8, 10), 93, "Zstandard: unpack .*7z x"),
        ((6, 8), 1, "encrypted: unpack .* password"),
    ],
)
def test_a_zip_archive_that_cannot_be_unpacked_says_what_to_do(
    offsets, value, reason, tmp_path
):
    content = change_zip(zipped({"a.png": PNG}), *offsets, value)
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ValueError, match=reason):
        datasets.load(tmp_path / "a.zip", 8)


# Arrays in archives


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_in_an_archive_are_read(packed, tmp_path):
    images, labels = noise(5, 28, 28), np.arange(5, dtype="uint8")
    contents = {
        "MNIST/raw/train-images-idx3-ubyte": encode_idx(images),
        "MNIST/raw/train-labels-idx1-ubyte": encode_idx(labels),
        "MNIST/raw/t10k-images-idx3-ubyte": encode_idx(images[:2]),
    }
    if packed:
        contents = {f"{n}.gz": gzip.compress(c) for n, c in contents.items()}
    sources = [tmp_path / "a.zip", tmp_path / "a.tar", tmp_path / "folder"]
    sources[0].write_bytes(zipped(contents))
    sources[1].write_bytes(tarred(contents))
    write_folder(sources[2], contents)
    for source in sources:
        found, found_labels = datasets.load(source, 28, 1, labels=True)
        np.testing.assert_array_equal(found[..., 0], images)
        np.testing.assert_array_equal(found_labels, labels)
        assert len(datasets.load(source, 28, 1, split="test")) == 2


@pytest.mark.parametrize("kind", ["npy", "npz", "named"])
def test_numpy_files_in_an_archive_are_read(kind, tmp_path):
    images = noise(5, 8, 8, 3)
    files = {
        "npy": {"data/cats.npy": npy(images), "data/readme.txt": b""},
        "npz": {"data/cats.npz": zipped({"arr_0.npy": npy(images)})},
        "named": {"x_train.npy": npy(images), "y_train.npy": npy(np.arange(5))},
    }[kind]
    path = write_zip(tmp_path / "a.zip", files)
    np.testing.assert_array_equal(datasets.load(path, 8), images)
    folder = write_folder(tmp_path / "folder", files)
    np.testing.assert_array_equal(datasets.load(folder, 8), images)
    if kind == "named":
        _, labels = datasets.load(folder, 8, labels=True)
        assert labels.tolist() == [0, 1, 2, 3, 4]


def test_the_members_of_an_archive_are_read_by_many_threads(tmp_path):
    files = {
        f"{i:03}.bmp": encode(Image.fromarray(noise(8, 8, 3, seed=i)), "BMP")
        for i in range(300)
    }
    (tmp_path / "a.tar").write_bytes(tarred(files))
    with mock.patch("os.cpu_count", return_value=16):
        found = datasets.load(tmp_path / "a.tar", 8)
    expected = [noise(8, 8, 3, seed=i) for i in range(300)]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_files_outside_of_an_archive_are_left_out(pack, tmp_path):
    outside = ["../up.png", "a/../../up.png", "/root.png", "..\\up.png"]
    source = tmp_path / ("x.zip" if pack is zipped else "x.tar")
    source.write_bytes(pack(dict.fromkeys(["a/0.png", *outside], PNG)))
    with pytest.warns(UserWarning, match="4 skipped .path outside"):
        _, report = datasets.load(source, 8, report=True)
    assert report.names == ["a/0.png"]


def test_an_archive_beside_other_images_is_not_read(tmp_path):
    files = {"0.jpg_large": PNG, "captions.zip": zipped({"a.png": PNG})}
    write_folder(tmp_path, files)
    with pytest.warns(UserWarning, match="zip or tar archive"):
        _, report = datasets.load(tmp_path, 8, report=True)
    assert report.names == ["0.jpg_large"]


def test_hard_links_in_a_tar_archive_are_read(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        member = tarfile.TarInfo("a.png")
        member.size = len(PNG)
        archive.addfile(member, io.BytesIO(PNG))
        link = tarfile.TarInfo("b.png")
        link.type, link.linkname = tarfile.LNKTYPE, "a.png"
        archive.addfile(link)
        link.name, link.type = "c.png", tarfile.SYMTYPE
        archive.addfile(link)
    with pytest.warns(UserWarning, match="1 skipped .no ordinary file.: c.png"):
        _, report = datasets.load(tmp_path / "x.tar", 8, report=True)
    assert report.names == ["a.png", "b.png"]
