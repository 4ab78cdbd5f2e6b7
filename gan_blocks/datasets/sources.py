"""Where images come from: finds out what a source is and opens it.

What is found is an array, or the number of images and an iterator of
`(name, opener)`, where `with opener() as image` gives a `PIL.Image.Image`.
"""

import contextlib
import functools
import io
import logging
import os
import pathlib
import textwrap
import zipfile

import numpy as np
from PIL import Image

from gan_blocks.datasets import arrays

# Formats that Pillow decodes by itself: EPS starts another program, and the
# pictures in an archive may come from anybody.
_FORMATS = "AVIF BMP GIF JPEG JPEG2000 PNG PPM TGA TIFF WEBP".split()
_DOWNLOAD_RETRIES = 4  # 3 seconds; TFDS' own 10 take more than 3 minutes
_PATHS = (
    "a folder, a .zip archive of images, a .npy or .npz file, or an idx file"
)


def find(source, split, stack):
    """Returns an array of images, or their number and what opens each.

    What must stay open until all images are read is left to `stack`.
    """
    if isinstance(source, np.ndarray):
        _check_whole(source, split)
        return arrays.as_images(source)
    if str(source).startswith("tfds:"):
        return _tfds_pictures(_tfds_builder(str(source)), split)
    path = pathlib.Path(source).expanduser()
    if not path.exists():
        raise FileNotFoundError(
            f"`source` must be {_PATHS}, which exists, or 'tfds:NAME'. "
            f"Received: source={str(source)!r}"
        )
    if path.is_dir():
        return _find_in_folder(path, split)
    return _find_in_file(path, split, stack)


def described(source):
    """Returns what to call a source in a message."""
    if isinstance(source, np.ndarray):
        return f"array of shape {source.shape}"
    return repr(str(source))


def _find_in_file(path, split, stack):
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return arrays.as_images(arrays.read_npz(path, split))
    _check_whole(path, split)
    if suffix == ".npy":
        return arrays.as_images(arrays.read_npy(path))
    if suffix == ".zip":
        return _zip_pictures(path, stack)
    if arrays.IDX_NAME.search(path.name):
        return arrays.as_images(arrays.read_idx(path))
    raise ValueError(
        f"`source` must be {_PATHS}, or 'tfds:NAME'. Received: "
        f"source={str(path)!r}"
    )


def _check_whole(source, split):
    if split != "train":
        raise ValueError(
            "`split` must be 'train' for a source that has no parts. "
            f"Received: split={split!r} for source={described(source)}"
        )


def _find_in_folder(folder, split):
    if (folder / "dataset_info.json").is_file():
        import tensorflow_datasets as tfds

        return _tfds_pictures(tfds.builder_from_directory(folder), split)
    idx_files = [
        path
        for path in sorted(folder.iterdir())
        if "images" in path.name and arrays.IDX_NAME.search(path.name)
    ]
    if idx_files:
        path = _idx_file(idx_files, folder, split)
        return arrays.as_images(arrays.read_idx(path))
    _check_whole(folder, split)
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*")}
    names = [name for name in _image_names(files) if files[name].is_file()]
    if not names:
        raise ValueError(
            f"`source` holds no images: {str(folder)!r}. Looked for MNIST's "
            "idx files, for the dataset_info.json of a TFDS dataset and, at "
            f"any depth, for {_endings()}"
        )
    return len(names), (
        (name, functools.partial(_open, files[name])) for name in names
    )


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
            part.startswith((".", "__MACOSX")) for part in name.split("/")
        )
    )


def _open(file):
    return Image.open(file, formats=_readable())


def _zip_pictures(path, stack):
    try:
        archive = stack.enter_context(zipfile.ZipFile(path))
    except zipfile.BadZipFile as error:
        raise ValueError(
            "`source` must be a whole zip archive. Received: "
            f"source={str(path)!r} ({error})"
        ) from error
    names = _image_names(
        member.filename for member in archive.infolist() if not member.is_dir()
    )
    if not names:
        raise ValueError(
            f"`source` holds no images: {str(path)!r}. Looked in it for "
            f"{_endings()}"
        )
    return len(names), (
        (name, functools.partial(_open_in_zip, archive, name)) for name in names
    )


@contextlib.contextmanager
def _open_in_zip(archive, name):
    # As a stream, of which Pillow refuses a picture that is too large before
    # more than its beginning is unpacked.
    with archive.open(name) as file, _open(file) as image:
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

    feature = _tfds_image_feature(builder.info)
    try:
        count = builder.info.splits[split].num_examples
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"`split` must be a split of {builder.info.full_name}: "
            f"{', '.join(builder.info.splits)}. Received: split={split!r}"
        ) from error
    with _quickly_and_quietly():
        examples = builder.as_dataset(
            split,
            decoders=tfds.decode.PartialDecoding(
                {feature: True}, {feature: tfds.decode.SkipDecoding()}
            ),
            read_config=tfds.ReadConfig(try_autocache=False),
        )
    return count, (
        (f"image {i}", functools.partial(_open, io.BytesIO(example[feature])))
        for i, example in enumerate(examples.as_numpy_iterator())
    )


def _tfds_image_feature(info):
    import tensorflow_datasets as tfds

    found = [
        name
        for name, feature in info.features.items()
        if isinstance(feature, tfds.features.Image)
        and feature.np_dtype == np.uint8
    ]
    if "image" in found:
        return "image"
    if len(found) != 1:
        raise ValueError(
            "`source` must have an image feature called 'image', or only one. "
            f"Received: {info.full_name} with {', '.join(info.features)}"
        )
    return found[0]
