"""Detects the kind of a source of images and opens it."""

import contextlib
import dataclasses
import functools
import io
import os
import pathlib
import stat
import textwrap
import threading
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from gan_blocks._types import PathLike
from gan_blocks.datasets import arrays
from gan_blocks.datasets.report import Report

# Formats that Pillow decodes by itself. Others, such as EPS, start a program,
# which is not safe for files from an unknown source.
_FORMATS = "AVIF BMP GIF JPEG JPEG2000 PNG PPM TGA TIFF WEBP".split()
_FILE_LIMIT = 1024**3  # bytes; Pillow reads some formats into memory
# Large files and images take 0.1 GB or more to decode, so one thread at a time
# decodes them.
_LARGE = 2**25  # bytes or pixels
_large_lock = threading.RLock()
_PATHS = (
    "a folder, a .zip archive of images, a .npy or .npz file, or an idx file"
)


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
    source: np.ndarray | PathLike, split: str, stack: contextlib.ExitStack
) -> Source:
    """Finds the images of a source.

    `stack` closes files that must stay open until all images are read.
    """
    report = Report(describe(source))
    return Source(*_find(source, split, stack), report)


def _find(source, split, stack):
    if isinstance(source, np.ndarray):
        _check_no_split(source, split)
        return arrays.as_images(source, describe(source)), None
    if not isinstance(source, str | os.PathLike):
        raise ValueError(
            f"`source` must be a NumPy array, {_PATHS}, or 'tfds:NAME'. "
            f"Received: source of type {type(source).__name__}"
        )
    if str(source).startswith("tfds:"):
        return _tfds_images(_tfds_builder(str(source)), split)
    try:
        path = pathlib.Path(source).expanduser()
        if not path.exists():
            raise FileNotFoundError(
                f"`source` must exist and be {_PATHS}, or be 'tfds:NAME'. "
                f"Received: source={str(source)!r}"
            )
        if path.is_dir():
            return _find_in_folder(path, split)
    except FileNotFoundError:
        raise
    except (OSError, RuntimeError) as error:  # RuntimeError: "~no_such_user"
        raise ValueError(
            "`source` must be a readable path. Received: "
            f"source={str(source)!r} ({error})"
        ) from error
    return _find_in_file(path, split, stack)


def describe(source: np.ndarray | PathLike) -> str:
    """Returns a short description of a source for messages."""
    if isinstance(source, np.ndarray):
        return f"array of shape {source.shape}"
    return repr(str(source))


def _find_in_file(path, split, stack):
    _check_regular(path)
    suffix = path.suffix.lower()
    if suffix == ".npz":
        images = arrays.as_images(arrays.read_npz(path, split), describe(path))
        return images, functools.partial(arrays.read_npz_labels, path, split)
    _check_no_split(path, split)
    if suffix == ".npy":
        return arrays.as_images(arrays.read_npy(path), describe(path)), None
    if suffix == ".zip":
        return _zip_images(path, stack)
    if arrays.IDX_NAME.search(path.name):
        return _idx_images(path)
    raise ValueError(
        f"`source` must be {_PATHS}, or 'tfds:NAME'. Received: "
        f"source={str(path)!r}"
    )


def _check_regular(path):
    # Reading from a pipe could block, and a device has no end.
    if not path.is_file():
        raise ValueError(
            "`source` must be a folder or a file, not a pipe or a device. "
            f"Received: source={str(path)!r}"
        )


def _check_no_split(source, split):
    if split != "train":
        raise ValueError(
            "`split` must be 'train' for a source without splits. "
            f"Received: split={split!r} for source={describe(source)}"
        )


def _find_in_folder(folder, split):
    if (folder / "dataset_info.json").is_file():
        return _tfds_images(_tfds_builder_in(folder), split)
    idx_files = [
        path
        for path in sorted(folder.iterdir())
        if "images" in path.name and arrays.IDX_NAME.search(path.name)
    ]
    if idx_files:
        path = _idx_file(idx_files, folder, split)
        _check_regular(path)
        return _idx_images(path)
    _check_no_split(folder, split)
    openers = _openers(folder)
    if not openers:
        raise ValueError(
            f"`source` holds no images: {str(folder)!r}. Expected MNIST's idx "
            "files, the dataset_info.json of a TFDS dataset or, at any depth, "
            f"{_endings()}"
        )
    found = len(openers), iter(openers.items())
    return found, functools.partial(_folder_labels, list(openers), folder)


def _folder_labels(names, source):
    """Numbers the folders that hold images, in the order of their names."""
    paths = [name.split("/") for name in names]
    # Many archives hold a single folder with everything in it.
    depth = len(os.path.commonprefix(paths))
    for name, path in zip(names, paths, strict=True):
        if len(path) < depth + 2:
            raise ValueError(
                "`source` must hold two or more folders, one for each label. "
                f"Received: source={describe(source)}, where "
                f"{arrays.escape(name)} is in none of them"
            )
    classes = [path[depth] for path in paths]
    return np.unique(classes, return_inverse=True)[1]


def _openers(folder):
    """Returns a function for each image by name, which opens the image.

    Unreadable folders are included; their functions raise the error.
    """
    failed, files = [], {}
    for parent, _, names in os.walk(folder, onerror=failed.append):
        parent = pathlib.Path(parent)
        inside = parent.relative_to(folder)
        files |= {(inside / name).as_posix(): parent / name for name in names}
    openers = {
        name: functools.partial(_open_file, files[name])
        for name in _image_names(files)
    }
    for error in failed:
        name = pathlib.Path(error.filename).relative_to(folder).as_posix()
        openers[f"{name}/"] = functools.partial(_fail, error)
    return openers


def _fail(error):
    raise error


def _idx_images(path):
    images = arrays.as_images(arrays.read_idx(path), describe(path))
    return images, functools.partial(arrays.read_idx_labels, path)


def _idx_file(files, folder, split):
    words = {"train": ("train",), "test": ("test", "t10k")}.get(split, ())
    # A file may be present both compressed and uncompressed.
    found = {
        path.name.removesuffix(".gz"): path
        for path in files
        if any(word in path.name for word in words)
    }
    if len(found) != 1:
        raise ValueError(
            "`split` must be 'train' or 'test', and the folder must hold one "
            f"idx file of images for it. Received: split={split!r} for "
            f"source={str(folder)!r}, which holds "
            f"{', '.join(path.name for path in files)}"
        )
    return found.popitem()[1]


@functools.cache
def _formats():
    """Returns the formats that this installation of Pillow can decode."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


@functools.cache
def _extensions():
    endings = Image.registered_extensions().items()
    return {ending for ending, name in endings if name in _formats()}


def _endings():
    return f"files ending in {', '.join(sorted(_extensions()))}"


def _image_names(names):
    """Returns the names of images, sorted."""
    return sorted(
        name
        for name in names
        if pathlib.PurePosixPath(name).suffix.lower() in _extensions()
        and not any(
            part.startswith((".", "__MACOSX")) and part not in (".", "..")
            for part in name.split("/")
        )
    )


@contextlib.contextmanager
def _open(file):
    try:
        image = Image.open(file, formats=_formats())
    except UnidentifiedImageError as error:
        # Pillow's message names an object in memory instead of the file.
        raise UnidentifiedImageError("unknown image format") from error
    with image, _lock_if_large(image.width * image.height):
        yield image


def _check_size(size):
    if size > _FILE_LIMIT:
        raise ValueError(
            f"a file of {size} bytes is larger than the limit of {_FILE_LIMIT}"
        )


def _lock_if_large(size):
    return _large_lock if size > _LARGE else contextlib.nullcontext()


@contextlib.contextmanager
def _open_file(path):
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # Reading from a pipe could block.
        raise ValueError("not a regular file")
    _check_size(status.st_size)
    with _lock_if_large(status.st_size):
        # From the file itself, Pillow would request as many bytes as a damaged
        # header states.
        content = path.read_bytes()
        with _open(io.BytesIO(content)) as image:
            yield image


def _zip_images(path, stack):
    with arrays.reading(path, "zip archive"):
        archive = stack.enter_context(zipfile.ZipFile(path))
    # If several members have the same name, the last one is valid.
    members = {
        member.filename: member
        for member in archive.infolist()
        if not member.filename.endswith("/")  # a folder
    }
    names = _image_names(members)
    if not names:
        raise ValueError(
            f"`source` holds no images: {str(path)!r}. Expected {_endings()}"
        )
    found = (
        (name, functools.partial(_open_in_zip, archive, members[name]))
        for name in names
    )
    return (len(names), found), functools.partial(_folder_labels, names, path)


@contextlib.contextmanager
def _open_in_zip(archive, member):
    if member.compress_type == zipfile.ZIP_LZMA:
        raise ValueError("LZMA compression could need too much memory")
    _check_size(member.file_size)
    # Reading from a stream: Pillow rejects an image with too many pixels before
    # all of it is unpacked.
    with (
        _lock_if_large(member.file_size),
        archive.open(member) as file,
        _open(file) as image,
    ):
        yield image


def _tfds_builder(source):
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(
            source.removeprefix("tfds:"),
            # TFDS reads this variable only when it is imported.
            data_dir=os.environ.get("TFDS_DATA_DIR"),
        )
        builder.download_and_prepare()
    except Exception as error:  # TFDS raises many kinds of exceptions.
        reason = textwrap.shorten(str(error), 160, placeholder="...")
        raise ValueError(
            "`source` must be a TFDS dataset that is prepared on this machine "
            f"or can be downloaded. Otherwise pass a path: {_PATHS}. Received: "
            f"source={source!r} ({type(error).__name__}: {reason})"
        ) from error
    return builder


def _tfds_builder_in(folder):
    import tensorflow_datasets as tfds

    with arrays.reading(folder, "dataset prepared by TFDS"):
        return tfds.builder_from_directory(folder)


def _tfds_images(builder, split):
    import tensorflow_datasets as tfds

    info = builder.info
    feature = _tfds_feature(info, "image", tfds.features.Image, np.uint8)
    try:
        count = info.splits[split].num_examples
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"`split` must be a split of {info.full_name}: "
            f"{', '.join(info.splits)}. Received: split={split!r}"
        ) from error
    images = (
        (f"image {i}", functools.partial(_open, io.BytesIO(content)))
        for i, content in enumerate(_tfds_values(builder, split, feature))
    )
    return (count, images), functools.partial(_tfds_labels, builder, split)


def _tfds_labels(builder, split):
    import tensorflow_datasets as tfds

    kind = tfds.features.ClassLabel
    feature = _tfds_feature(builder.info, "label", kind, np.int64)
    return np.array(list(_tfds_values(builder, split, feature)), np.int64)


def _tfds_values(builder, split, feature):
    """Yields one feature of each example, always in the same order.

    Images are yielded as the content of their files.
    """
    import tensorflow_datasets as tfds

    class OneFeature(tfds.decode.PartialDecoding):
        # TFDS' own method logs a warning that an attribute is deprecated.
        def extract_features(self, features: Any) -> Any:
            return tfds.features.FeaturesDict({feature: features[feature]})

    with arrays.reading(builder.data_dir, "dataset prepared by TFDS"):
        examples = builder.as_dataset(
            split,
            decoders=OneFeature(
                {feature: True}, {feature: tfds.decode.SkipDecoding()}
            ),
            read_config=tfds.ReadConfig(try_autocache=False),
        )
        for example in examples.as_numpy_iterator():
            yield example[feature]


def _tfds_feature(info, name, kind, dtype):
    """Returns the feature called `name`, or the only one of this kind."""
    found = [
        found
        for found, feature in info.features.items()
        if isinstance(feature, kind) and feature.np_dtype == dtype
    ]
    if name in found:
        return name
    if len(found) != 1:
        raise ValueError(
            f"`source` must have one {kind.__name__} feature, or one called "
            f"{name!r}. Received: {info.full_name} with "
            f"{', '.join(info.features)}"
        )
    return found[0]
