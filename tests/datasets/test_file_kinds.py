"""A source that cannot be read gets an error that says what to do."""

import pytest
from PIL import Image
from support.image_sources import encode, noise, write_folder, write_zip

from gan_blocks import datasets

HTML = b"<!DOCTYPE html><html><title>Quota exceeded</title></html>"
KINDS = {
    "a.zip": (HTML, "web page.*download the file again"),
    "a.tar.gz": (HTML, "web page.*download the file again"),
    "a.npy": (b"\n<html>" + HTML, "web page.*download the file again"),
    "a.npz": (HTML, "web page.*download the file again"),
    "bom.zip": (b"\xef\xbb\xbf" + HTML, "web page"),
    "comment.zip": (b"<!-- x -->\n" + HTML, "web page"),
    "head.zip": (b"<head><title>Sign in</title>", "web page"),
    "error.zip": (b"<?xml version='1.0'?><Error>", "web page"),
    "b.zip": (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
    "c.zip": (b"Rar!\x1a\x07\x00", "unpack it"),
    "a.7z": (b"7z\xbc\xaf\x27\x1c", "unpack it.*7z x"),
    "a.rar": (b"Rar!\x1a\x07\x00", "unpack it"),
    "a.tar.zst": (b"\x28\xb5\x2f\xfd", "unpack it"),
    "a.mat": (b"MATLAB 5.0 MAT-file", "scipy.io.loadmat.*np.save"),
    "b.mat": (b"\x89HDF\r\n\x1a\n", "h5py.*np.save"),
    "a.h5": (b"\x89HDF\r\n\x1a\n", "h5py.*np.save"),
    "a.hdf5": (b"x", "h5py.*np.save"),
    "a.parquet": (b"PAR1", "package `datasets`"),
    "a.csv": (b"label,pixel0", "table.*np.loadtxt.*np.save"),
    "data.mdb": (b"\0\0\0", "package `lmdb`"),
    "a.tfrecord-00000-of-00002": (b"\1", "TFRecord.*tf.data"),
    "a.pkl": (b"\x80\x04\x95", "pickle.*never read"),
    "data_batch_1": (b"\x80\x02}q\x01", "pickle.*never read"),
    "a.pt": (b"x", "pickle.*never read"),
    "a.mp4": (b"\0\0\0\x20ftypisom", "ffmpeg"),
    "a.dcm": (bytes(128) + b"DICM", "pydicom"),
    "a.nii": (b"\\\x01", "nibabel"),
    "a.heic": (b"\0\0\0\x18ftypheic", "pillow-heif"),
    "a.psd": (b"8BPS", "convert it to PNG"),
    "a.svg": (b"<svg>", "convert it to PNG"),
    "b.svg": (b"<?xml version='1.0'?><svg>", "convert it to PNG"),
    "a.zip.crdownload": (b"x", "unfinished download"),
    "a.xyz": (b"hello", "must be a folder"),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_file_that_cannot_be_read_gets_advice(name, tmp_path):
    content, advice = KINDS[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"(?s)`source` .*{advice}") as error:
        datasets.load(path, 8)
    text = str(error.value)
    assert str(path) in text and text.isprintable() and len(text) < 900


@pytest.mark.parametrize("name", ["a.h5", "a.csv", "data.mdb", "data_batch_1"])
def test_a_folder_or_archive_without_images_gets_advice(name, tmp_path):
    content, advice = KINDS[name]
    files = {f"deep/{name}": content, "readme.txt": b"hello"}
    for source in (
        write_folder(tmp_path / "folder", files),
        write_zip(tmp_path / "a.zip", files),
    ):
        with pytest.raises(
            ValueError, match=f"no images.*deep/{name}.*{advice}"
        ):
            datasets.load(source, 8)


def test_a_folder_of_the_package_datasets_is_not_taken_for_tfds(tmp_path):
    files = {"dataset_info.json": b"{}", "data-00000-of-00001.arrow": b"ARROW1"}
    write_folder(tmp_path, files | {"state.json": b"{}"})
    with pytest.raises(ValueError, match="no images.*package `datasets`"):
        datasets.load(tmp_path, 8)


@pytest.mark.parametrize("start", [b"II*\0", b"MM\0*"])
def test_a_tiff_that_pillow_cannot_read_gets_advice(start, tmp_path):
    (tmp_path / "a.tif").write_bytes(start + bytes(100))
    with pytest.raises(ValueError, match="TIFF .*tifffile.*np.save"):
        datasets.load(tmp_path, 8)


@pytest.mark.parametrize(
    "source",
    [
        "https://example.org/a.zip",
        "s3://pictures",
        "gs://bucket/tfds",
        "file:///a",
    ],
)
def test_an_address_on_the_internet_must_be_downloaded_first(source):
    with pytest.raises(ValueError, match=f"Download the data first.*{source}"):
        datasets.load(source, 8)


def test_a_web_page_among_images_is_named(tmp_path):
    image = encode(Image.fromarray(noise(8, 8, 3)))
    write_folder(tmp_path, {"a.jpg": image, "b.jpg": HTML, "c.jpg": b""})
    with pytest.warns(
        UserWarning, match="b.jpg .*web page.*c.jpg .*empty file"
    ):
        datasets.load(tmp_path, 8)
