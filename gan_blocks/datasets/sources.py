"""Where images come from: finds out what a source is and opens it.

What is found is an array, or the number of images and an iterator of
`(name, opener)`, where `with opener() as image` gives a `PIL.Image.Image`.
With it comes what reads the labels of all of them, in the same order, or None.
"""

import contextlib
import functools
import io
import logging
import os
import pathlib
import stat
import textwrap
import threading
import zipfile

import numpy as np
from PIL import Image, UnidentifiedImageError

from gan_blocks.datasets import arrays

# Formats that Pillow decodes by itself: EPS starts another program, and the
# pictures in an archive may come from anybody.
_FORMATS = "AVIF BMP GIF JPEG JPEG2000 PNG PPM TGA TIFF WEBP".split()
_FILE_LIMIT = 1024**3  # bytes; of some formats Pillow reads all at once
_LARGE = 2**25  # bytes or pixels; takes a tenth of a GB or more to decode
_alone = threading.RLock()  # held for what is large: only one at a time
_DOWNLOAD_RETRIES = 4  # 3 seconds; TFDS' own 10 take more than 3 minutes
_PATHS = (
    "a folder, a .zip archive of images, a .npy or .npz file, or an idx file"
)


def find(source, split, stack):
    """Returns images, as above, and what reads their labels, or None.

    What must stay open until all images are read is left to `stack`.
    """
    if isinstance(source, np.ndarray):
        _check_whole(source, split)
        return arrays.as_images(source, described(source)), None
    if not isinstance(source, str | os.PathLike):
        raise ValueError(
            f"`source` must be a NumPy array, {_PATHS}, or 'tfds:NAME'. "
            f"Received: source of type {type(source).__name__}"
        )
    if str(source).startswith("tfds:"):
        return _tfds_pictures(_tfds_builder(str(source)), split)
    try:
        path = pathlib.Path(source).expanduser()
        if not path.exists():
            raise FileNotFoundError(
                f"`source` must be {_PATHS}, which exists, or 'tfds:NAME'. "
                f"Received: source={str(source)!r}"
            )
        if path.is_dir():
            return _find_in_folder(path, split)
    except FileNotFoundError:
        raise
    except (OSError, RuntimeError) as error:  # the latter of "~nobody"
        raise ValueError(
            "`source` must be a path that can be read. Received: "
            f"source={str(source)!r} ({error})"
        ) from error
    return _find_in_file(path, split, stack)


def described(source):
    """Returns what to call a source in a message."""
    if isinstance(source, np.ndarray):
        return f"array of shape {source.shape}"
    return repr(str(source))


def _find_in_file(path, split, stack):
    _check_regular(path)
    suffix = path.suffix.lower()
    if suffix == ".npz":
        images = arrays.as_images(arrays.read_npz(path, split), described(path))
        return images, functools.partial(arrays.read_npz_labels, path, split)
    _check_whole(path, split)
    if suffix == ".npy":
        return arrays.as_images(arrays.read_npy(path), described(path)), None
    if suffix == ".zip":
        return _zip_pictures(path, stack)
    if arrays.IDX_NAME.search(path.name):
        return _idx_images(path)
    raise ValueError(
        f"`source` must be {_PATHS}, or 'tfds:NAME'. Received: "
        f"source={str(path)!r}"
    )


def _check_regular(path):
    # A pipe would be waited for, and a device has no end.
    if not path.is_file():
        raise ValueError(
            "`source` must be a folder or a file, no pipe or device. "
            f"Received: source={str(path)!r}"
        )


def _check_whole(source, split):
    if split != "train":
        raise ValueError(
            "`split` must be 'train' for a source that has no parts. "
            f"Received: split={split!r} for source={described(source)}"
        )


def _find_in_folder(folder, split):
    if (folder / "dataset_info.json").is_file():
        return _tfds_pictures(_tfds_builder_in(folder), split)
    idx_files = [
        path
        for path in sorted(folder.iterdir())
        if "images" in path.name and arrays.IDX_NAME.search(path.name)
    ]
    if idx_files:
        path = _idx_file(idx_files, folder, split)
        _check_regular(path)
        return _idx_images(path)
    _check_whole(folder, split)
    openers = _openers(folder)
    if not openers:
        raise ValueError(
            f"`source` holds no images: {str(folder)!r}. Looked for MNIST's "
            "idx files, for the dataset_info.json of a TFDS dataset and, at "
            f"any depth, for {_endings()}"
        )
    found = len(openers), iter(openers.items())
    return found, functools.partial(_folder_labels, list(openers), folder)


def _folder_labels(names, source):
    """Returns the places of the pictures' folders among the sorted folders."""
    paths = [name.split("/") for name in names]
    # Of an archive, often all is in one folder.
    depth = len(os.path.commonprefix(paths))
    for name, path in zip(names, paths, strict=True):
        if len(path) < depth + 2:
            raise ValueError(
                "`source` must hold two or more folders, each with all images "
                f"of a label. Received: source={described(source)}, where "
                f"{arrays.shown(name)} is in none of them"
            )
    classes = [path[depth] for path in paths]
    return np.unique(classes, return_inverse=True)[1]


def _openers(folder):
    """Returns what opens each image, or fails as its folder did, by name."""
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
    images = arrays.as_images(arrays.read_idx(path), described(path))
    return images, functools.partial(arrays.read_idx_labels, path)


def _idx_file(files, folder, split):
    words = {"train": ("train",), "test": ("test", "t10k")}.get(split, ())
    # Of a file and its compressed twin either will do.
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
def _readable():
    """Those of the formats that this build of Pillow knows."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


@functools.cache
def _extensions():
    endings = Image.registered_extensions().items()
    return {ending for ending, name in endings if name in _readable()}


def _endings():
    return f"files that end in {', '.join(sorted(_extensions()))}"


def _image_names(names):
    """Sorts the names which are those of images, at the same time."""
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
        image = Image.open(file, formats=_readable())
    except UnidentifiedImageError as error:
        # Pillow's own message is about an object in memory.
        raise UnidentifiedImageError("no picture of a known format") from error
    with image, _turn(image.width * image.height):
        yield image


def _check_size(size):
    if size > _FILE_LIMIT:
        raise ValueError(f"a file of {size} bytes, more than {_FILE_LIMIT}")


def _turn(size):
    """Returns what to wait for with so many bytes or pixels."""
    return _alone if size > _LARGE else contextlib.nullcontext()


@contextlib.contextmanager
def _open_file(path):
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # A pipe would be waited for.
        raise ValueError("no regular file")
    _check_size(status.st_size)
    with _turn(status.st_size):
        # At once, since Pillow asks a file for as much as is written in it.
        content = path.read_bytes()
        with _open(io.BytesIO(content)) as image:
            yield image


def _zip_pictures(path, stack):
    with arrays.reading(path, "zip archive"):
        archive = stack.enter_context(zipfile.ZipFile(path))
    # Of members of the same name the last is the valid one.
    members = {
        member.filename: member
        for member in archive.infolist()
        if not member.filename.endswith("/")  # a folder
    }
    names = _image_names(members)
    if not names:
        raise ValueError(
            f"`source` holds no images: {str(path)!r}. Looked in it for "
            f"{_endings()}"
        )
    found = (
        (name, functools.partial(_open_in_zip, archive, members[name]))
        for name in names
    )
    return (len(names), found), functools.partial(_folder_labels, names, path)


@contextlib.contextmanager
def _open_in_zip(archive, member):
    if member.compress_type == zipfile.ZIP_LZMA:
        raise ValueError("LZMA takes as much memory as a file asks for")
    _check_size(member.file_size)
    # As a stream, of which Pillow refuses a picture that is too large before
    # more than its beginning is unpacked.
    with (
        _turn(member.file_size),
        archive.open(member) as file,
        _open(file) as image,
    ):
        yield image


def _tfds_builder(source):
    import tensorflow_datasets as tfds

    try:
        with _quickly_and_quietly():
            builder = tfds.builder(
                source.removeprefix("tfds:"),
                # TFDS reads the variable only once, when it is imported.
                data_dir=os.environ.get("TFDS_DATA_DIR"),
            )
            builder.download_and_prepare()
    except Exception as error:  # TFDS and its downloads raise many kinds
        reason = textwrap.shorten(str(error), 160, placeholder="...")
        raise ValueError(
            "`source` must be a TFDS dataset that is prepared on this machine "
            f"or can be downloaded; otherwise pass a path: {_PATHS}. Received: "
            f"source={source!r} ({type(error).__name__}: {reason})"
        ) from error
    return builder


def _tfds_builder_in(folder):
    import tensorflow_datasets as tfds

    with arrays.reading(folder, "dataset prepared by TFDS"):
        return tfds.builder_from_directory(folder)


@contextlib.contextmanager
def _quickly_and_quietly():
    """Gives a machine without a network its error soon, and no warnings."""
    from tensorflow_datasets.core.download import downloader

    retries, disabled = downloader.MAX_RETRIES, logging.root.manager.disable
    downloader.MAX_RETRIES = _DOWNLOAD_RETRIES
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        downloader.MAX_RETRIES = retries
        logging.disable(disabled)


def _tfds_pictures(builder, split):
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
    pictures = (
        (f"image {i}", functools.partial(_open, io.BytesIO(content)))
        for i, content in enumerate(_tfds_values(builder, split, feature))
    )
    return (count, pictures), functools.partial(_tfds_labels, builder, split)


def _tfds_labels(builder, split):
    import tensorflow_datasets as tfds

    kind = tfds.features.ClassLabel
    feature = _tfds_feature(builder.info, "label", kind, np.int64)
    return np.array(list(_tfds_values(builder, split, feature)), np.int64)


def _tfds_values(builder, split, feature):
    """Gives one feature of each example, in an order that is always the same.

    Of an image it is the content of its file.
    """
    import tensorflow_datasets as tfds

    with arrays.reading(builder.data_dir, "dataset prepared by TFDS"):
        with _quickly_and_quietly():
            examples = builder.as_dataset(
                split,
                decoders=tfds.decode.PartialDecoding(
                    {feature: True}, {feature: tfds.decode.SkipDecoding()}
                ),
                read_config=tfds.ReadConfig(try_autocache=False),
            )
        for example in examples.as_numpy_iterator():
            yield example[feature]


def _tfds_feature(info, name, kind, dtype):
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
