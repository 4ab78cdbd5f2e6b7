"""Prepares the faces of a whole data set for training, once."""

import concurrent.futures
import contextlib
import errno
import functools
import json
import os
import pathlib
import warnings
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from PIL import Image

from gan_blocks import files
from gan_blocks._checks import check_positive_integer
from gan_blocks._types import PathLike
from gan_blocks.datasets import Report, decoding, file_kinds, listing, pixels
from gan_blocks.datasets.progress import Progress
from gan_blocks.datasets.source_files import File
from gan_blocks.faces import alignment

_MANIFEST = "prepared.json"


def has_landmarks(source: object) -> bool:
    """Returns whether a source holds an image with landmarks, at any depth.

    Args:
        source: A folder or an archive. Other objects are accepted; the result
            is then `False`.

    Returns:
        `True` if there is a file `X` with a file `X.cat` beside it.

    Example:

    ```python
    import pathlib
    import tempfile

    from gan_blocks import faces

    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "tom.jpg").touch()
        assert not faces.has_landmarks(folder)
        pathlib.Path(folder, "tom.jpg.cat").touch()
        assert faces.has_landmarks(folder)
    ```
    """
    if not isinstance(source, str | os.PathLike):
        return False
    try:
        with contextlib.ExitStack() as stack:
            found = listing.list_files(source, stack, Report(""))
            return any(f"{name}.cat" in found for name in found)
    except Exception:  # It is missing, or damaged in any way.
        return False


def prepare(
    source: PathLike, folder: PathLike, image_size: int, verbose: bool = True
) -> pathlib.Path:
    """Crops the faces out of all images in a folder or an archive, once.

    The source can be the CAT dataset as downloaded from Kaggle, unpacked or
    not, or any folder in its format. For each image `X` with landmarks `X.cat`,
    at any depth, the result of `align` is saved in `folder` under the same name
    with `.png` added. `gan_blocks.datasets.load` can then load `folder`. All
    CPU cores are used.

    An image is skipped if its face is too small or cut off by the border, if
    its landmarks or pixels are missing, damaged or unreadable, or if it is a
    copy of another image of the same name (Kaggle's archive holds each image
    twice). A report counts and names the skipped images. `prepared.json` in
    `folder` lists all of them.

    `folder` appears only when all faces are ready. An interrupted preparation
    leaves no folder and must be repeated. (A killed process leaves a folder
    `.unfinished_*` beside it, which can be deleted.) If `folder` was already
    prepared from the same source at the same size, it is used unchanged. If
    images or landmarks of the source have changed since then, the faces are
    prepared again and replace those in `folder`.

    Args:
        source: Folder or archive of images and landmarks.
        folder: Folder for the faces: new, empty, or already prepared.
        image_size: Height and width of the faces, in pixels.
        verbose: If True, prints progress and a report. Defaults to True.

    Returns:
        The path of `folder`.

    Raises:
        ValueError: If `source` cannot be read or has no usable image with
            landmarks, if `folder` holds something else, or if `image_size` is
            not a positive integer.
        FileNotFoundError: If `source` does not exist.

    Example:

    ```python
    import pathlib
    import tempfile

    from PIL import Image

    from gan_blocks import datasets, faces

    with tempfile.TemporaryDirectory() as root:
        source = pathlib.Path(root, "CAT_00")
        source.mkdir()
        Image.effect_noise((200, 180), 99).save(source / "tom.jpg")
        (source / "tom.jpg.cat").write_text(
            "9 80 90 120 90 100 130 60 80 65 50 80 60 120 60 135 50 140 80"
        )
        folder = faces.prepare(source, f"{root}/faces_64", image_size=64)
        assert datasets.load(folder, image_size=64).shape == (1, 64, 64, 3)
    ```

    Reference:
        Simonini, 2018, CatDCGAN. It rotates faces in the same way but crops
        them tighter, without the tips of the ears,
        https://github.com/simoninithomas/CatDCGAN
    """
    check_positive_integer("image_size", image_size)
    folder = pathlib.Path(folder).expanduser()
    before = _read_manifest(folder)
    report = Report(repr(str(source)))
    with contextlib.ExitStack() as stack:
        try:
            found = listing.list_files(source, stack, report)
        except FileNotFoundError:
            if before is None:
                raise
            found = {}  # The prepared faces do not need their source.
        source = pathlib.Path(source).expanduser().resolve()
        manifest = {"source": str(source), "image_size": int(image_size)}
        manifest |= _fingerprint(source, found)
        if before is not None:
            _check_same_faces(before, manifest, folder)
            changes = _changes(before, manifest) if found else ""
            if verbose:
                print(
                    changes or f"Using the faces in {folder}, prepared earlier."
                )
            if not changes:
                return folder
            _check_no_other_files(folder)
        names, skipped = _list_images(found)
        with _replace(folder) as unfinished, warnings.catch_warnings():
            # Pillow warns about metadata, without the name of the image.
            warnings.filterwarnings("ignore", module=r"PIL\.")
            unfinished.mkdir()
            skipped |= _save_faces(
                found, unfinished, names, image_size, verbose
            )
            skipped = dict(sorted(skipped.items()))
            for name in names:
                if name not in skipped:
                    report.add(name)
            for name, reason in skipped.items():
                report.leave_out(name, reason.partition(":")[0])
            if not report.names:
                raise ValueError(
                    "`source` must hold at least one usable image X with "
                    "landmarks X.cat. Received: "
                    f"{report.warning() or report.source}"
                )
            manifest |= {"prepared": len(report.names), "left_out": skipped}
            (unfinished / _MANIFEST).write_text(json.dumps(manifest, indent=1))
    if verbose:
        print(f"Faces of {image_size} pixels: {folder}\n{report}")
    return folder


@contextlib.contextmanager
def _replace(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a temporary path that takes the place of a folder at the end."""
    try:
        with files.atomic_write(folder) as unfinished:
            yield unfinished
            with contextlib.suppress(FileNotFoundError):
                os.replace(folder, unfinished.with_name("replaced"))
    except OSError as error:
        # Another process has prepared the same faces in this moment.
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise


def _read_manifest(folder: pathlib.Path) -> dict[str, Any] | None:
    """Returns the manifest of prepared faces, or None for a new folder."""
    if not folder.exists() or folder.is_dir() and not any(folder.iterdir()):
        return None
    try:
        manifest = json.loads((folder / _MANIFEST).read_text())
        _ = manifest["source"], manifest["image_size"]
        return manifest
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        raise ValueError(
            "`folder` must be new, empty, or already prepared. "
            f"Received: folder={str(folder)!r}, which holds other files"
        ) from None


def _fingerprint(
    source: pathlib.Path, found: Mapping[str, File]
) -> dict[str, Any]:
    """Returns the number and a checksum of the images with landmarks."""
    versions = []
    for name, file in found.items():
        if name.endswith(".cat") or f"{name}.cat" in found:
            with contextlib.suppress(OSError, ValueError):  # unreadable
                modified = os.stat(file.path or source).st_mtime_ns
                versions.append((name, file.size(), modified))
    return {
        "images": sum(f"{name}.cat" in found for name in found),
        "fingerprint": f"{zlib.crc32(repr(versions).encode()):08x}",
    }


def _check_same_faces(
    before: dict[str, Any], now: dict[str, Any], folder: pathlib.Path
) -> None:
    for name in ("source", "image_size"):
        if before[name] != now[name]:
            raise ValueError(
                "`folder` must be another folder for each source and each "
                f"size. Received: folder={str(folder)!r}, which holds faces of "
                f"{before['image_size']} pixels from {before['source']!r}, for "
                f"faces of {now['image_size']} pixels from {now['source']!r}"
            )


def _check_no_other_files(folder: pathlib.Path) -> None:
    """Checks that only faces are lost when a folder is replaced."""
    for path in folder.rglob("*"):
        if path.suffix != ".png" and path.name != _MANIFEST and path.is_file():
            raise ValueError(
                "`folder` must hold nothing but prepared faces, because they "
                f"are prepared again. Received: folder={str(folder)!r}, which "
                f"also holds {path.relative_to(folder).as_posix()!r}"
            )


def _changes(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Returns what has changed in the source, or an empty text."""
    # Folders of version 0.1 have no fingerprint.
    if before.get("fingerprint", now["fingerprint"]) == now["fingerprint"]:
        return ""
    change = f"{now['images']:,} instead of {before['images']:,}"
    if now["images"] == before["images"]:
        change = f"{now['images']:,} as before, but some files have changed"
    return (
        f"Images with landmarks in {now['source']}: {change}. The faces are "
        "prepared again."
    )


def _list_images(
    found: Mapping[str, File],
) -> tuple[list[str], dict[str, str]]:
    """Returns the names of the images to try, and why others are skipped."""
    originals, skipped = {}, {}
    manifests = [name for name in found if name.endswith(f"/{_MANIFEST}")]
    prepared = tuple(name.removesuffix(_MANIFEST) for name in manifests)
    for name, file in found.items():
        if name.startswith(prepared):
            continue
        image = name.removesuffix(".cat")
        is_image = file_kinds.ending(image) in file_kinds.image_endings()
        if image != name and is_image and image not in found:
            skipped[image] = f"with landmarks but no image: {name}"
        if not decoding.is_image(name, file):
            continue
        try:
            size = file.size()
            if f"{name}.cat" not in found:
                skipped[name] = f"without landmarks: {name}.cat is missing"
                continue
            landmarks = alignment.read_landmark_bytes(
                found[f"{name}.cat"], f"{name}.cat"
            )
        except alignment.UnusableFace as error:
            skipped[name] = str(error)
        except Exception as error:  # Damaged archives raise many types.
            skipped[name] = f"unreadable: {error!r}"
        else:
            identity = name.rpartition("/")[2], size, landmarks
            first = originals.setdefault(identity, name)
            if first != name:
                skipped[name] = f"duplicate: of {first}"
    return list(originals.values()), skipped


def _save_faces(
    found: Mapping[str, File],
    folder: pathlib.Path,
    names: list[str],
    image_size: int,
    verbose: bool,
) -> dict[str, str]:
    """Saves the faces. Returns the reason for each image that has none."""
    unusable = {}
    save = functools.partial(_save_face, found, folder, image_size)
    # Threads are enough, because Pillow releases Python's lock.
    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    with Progress(len(names), verbose) as progress:
        try:
            for name, reason in zip(names, pool.map(save, names), strict=True):
                if reason:
                    unusable[name] = reason
                progress.advance()
        finally:
            # Ctrl-C must not wait for the remaining images.
            pool.shutdown(cancel_futures=True)
    return unusable


def _save_face(
    found: Mapping[str, File], folder: pathlib.Path, image_size: int, name: str
) -> str | None:
    """Saves the face of one image, or returns why there is none."""
    try:
        landmarks = alignment.parse_landmarks(
            found[f"{name}.cat"], f"{name}.cat"
        )
        face = _read_face(found[name], landmarks, image_size)
    except alignment.UnusableFace as error:
        return str(error)
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises many types for damaged files.
        return f"unreadable: {error!r}"
    path = folder / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    face.save(path, compress_level=1)  # faster, and no larger
    return None


def _read_face(
    file: File, landmarks: np.ndarray, image_size: int
) -> Image.Image:
    with decoding.open_image(file) as image:
        width, height = image.size
        center, to_right = alignment.find_square(
            landmarks, image.size, image_size
        )
        factor = alignment.reduction_factor(to_right, image_size)
        # A large JPEG is decoded at 1/2, 1/4 or 1/8 of its size.
        size = width // factor, height // factor
        drafted = pixels.draft(image, "RGB", size)
        scale = drafted[1][2] / width if drafted else 1
        image = pixels.to_rgb(image)
        return alignment.crop(
            image, center * scale, to_right * scale, image_size
        )
