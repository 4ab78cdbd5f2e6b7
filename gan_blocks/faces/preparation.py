"""Prepares the faces of a whole image folder for training, once."""

import collections
import concurrent.futures
import contextlib
import functools
import json
import os
import pathlib
import threading
import warnings
from collections.abc import Callable, Iterator

import keras
from PIL import Image

from gan_blocks import files
from gan_blocks._checks import check_positive_integer
from gan_blocks._types import PathLike
from gan_blocks.faces import alignment

_MANIFEST = "prepared.json"
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
# Files from the internet are opened only by these decoders of Pillow.
_FORMATS = ("JPEG", "PNG", "WEBP")
_LARGE = 2**25  # pixels; decoding takes 0.1 GB or more
_large_image_lock = threading.Lock()  # Large images are decoded one at a time.


def has_landmarks(source: object) -> bool:
    """Returns whether a folder holds an image with landmarks, at any depth.

    Stops at the first such image.

    Args:
        source: A path. Other objects are accepted; the result is then `False`.

    Returns:
        `True` if there is an image `X` with a file `X.cat` beside it.

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
        folder = pathlib.Path(source).expanduser()
        return any(path.is_file() for path in _find_images(folder))
    except (OSError, RuntimeError, ValueError):  # not a usable path
        return False


def _find_images(
    source: pathlib.Path, onerror: Callable[[OSError], object] | None = None
) -> Iterator[pathlib.Path]:
    """Yields the image path of each landmark file. The image may be missing."""
    for parent, _, names in os.walk(source, onerror=onerror):
        for name in names:
            path = pathlib.Path(parent, name).with_suffix("")
            hidden = any(
                part.startswith((".", "__MACOSX"))
                for part in path.relative_to(source).parts
            )
            suffix = path.suffix.lower()
            if name.endswith(".cat") and suffix in _SUFFIXES and not hidden:
                yield path


def prepare(
    source: PathLike, folder: PathLike, image_size: int, verbose: bool = True
) -> pathlib.Path:
    """Crops the faces out of all images in a folder tree, once.

    The tree can be the CAT dataset as unpacked from Kaggle, or any folder in
    its format. For each image `X` with landmarks `X.cat`, at any depth, the
    result of `align` is saved in `folder` under the same name with `.png`
    added. `gan_blocks.datasets.load` can then load `folder`. All CPU cores are
    used.

    An image is skipped if its face is too small or cut off by the border, if
    its landmarks or pixels are missing, damaged or unreadable, or if it is a
    copy of another image of the same name (Kaggle's archive holds each image
    twice). The number of skipped images is printed. `prepared.json` in
    `folder` lists all of them.

    `folder` appears only when all faces are ready. An interrupted preparation
    leaves no folder and must be repeated. (A killed process leaves a folder
    `.unfinished_*` beside it, which can be deleted.) If `folder` was already
    prepared from the same source at the same size, it is used unchanged.
    Delete it if the source has changed.

    Args:
        source: Folder of images (JPEG, PNG or WebP) and landmarks.
        folder: Folder for the faces: new, empty, or already prepared.
        image_size: Height and width of the faces, in pixels.
        verbose: If True, prints progress and a summary. Defaults to True.

    Returns:
        The path of `folder`.

    Raises:
        ValueError: If `source` is not a folder, if it has no usable image with
            landmarks, if `folder` holds something else, or if `image_size` is
            not a positive integer.

    Example:

    ```python
    import pathlib
    import tempfile

    from PIL import Image

    from gan_blocks import datasets, faces

    with tempfile.TemporaryDirectory() as root:
        source = pathlib.Path(root, "CAT_00")
        source.mkdir()
        Image.new("RGB", (200, 180)).save(source / "tom.jpg")
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
    source = _resolve(source)
    folder = pathlib.Path(folder).expanduser()
    if _is_prepared(source, folder, image_size):
        if verbose:
            print(f"Using the faces in {folder}, prepared earlier.")
        return folder
    if not source.is_dir():
        raise ValueError(
            "`source` must be a folder; unpack an archive first. "
            f"Received: source={str(source)!r}"
        )
    names, skipped = _list_images(source)
    with files.atomic_write(folder) as unfinished, warnings.catch_warnings():
        # Pillow warns about metadata, without the name of the image.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        unfinished.mkdir()
        unusable = _save_faces(source, unfinished, names, image_size, verbose)
        skipped = dict(sorted((skipped | unusable).items()))
        if len(unusable) == len(names):
            raise ValueError(
                "`source` must hold at least one usable image X with landmarks "
                f"X.cat. Received: source={str(source)!r}; {_summary(skipped)}"
            )
        manifest = {
            "source": str(source),
            "image_size": int(image_size),
            "prepared": len(names) - len(unusable),
            "left_out": skipped,
        }
        (unfinished / _MANIFEST).write_text(json.dumps(manifest, indent=1))
    if verbose:
        print(f"{folder}: {manifest['prepared']} faces; {_summary(skipped)}")
    return folder


def _resolve(source: PathLike) -> pathlib.Path:
    try:
        path = pathlib.Path(source).expanduser().resolve()
        path.is_dir()  # This also fails for an impossible path.
        return path
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(
            "`source` must be a folder that can be read. Received: "
            f"source={str(source)!r} ({error})"
        ) from error


def _is_prepared(
    source: pathlib.Path, folder: pathlib.Path, image_size: int
) -> bool:
    if not folder.exists() or folder.is_dir() and not any(folder.iterdir()):
        return False
    try:
        manifest = json.loads((folder / _MANIFEST).read_text())
        found = manifest["source"], manifest["image_size"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        raise ValueError(
            "`folder` must be new, empty, or already prepared. "
            f"Received: folder={str(folder)!r}, which holds other files"
        ) from None
    if found != (str(source), image_size):
        raise ValueError(
            "`folder` must be another folder for each source and each size. "
            f"Received: folder={str(folder)!r}, which holds faces of "
            f"{found[1]} pixels from {found[0]!r}, for faces of {image_size} "
            f"pixels from {str(source)!r}"
        )
    return True


def _list_images(source: pathlib.Path) -> tuple[list[str], dict[str, str]]:
    """Returns the names of the images to try, and why others are skipped."""
    originals, skipped, errors = {}, {}, []
    for path in sorted(_find_images(source, errors.append)):
        name = path.relative_to(source).as_posix()
        try:
            if not path.is_file():
                skipped[name] = "image missing: only its landmarks exist"
                continue
            landmarks = alignment.read_landmark_bytes(_landmarks_path(path))
            identity = path.name, path.stat().st_size, landmarks
        except alignment.UnusableFace as error:
            skipped[name] = str(error)
            continue
        except OSError as error:
            skipped[name] = f"unreadable: {error!r}"
            continue
        first = originals.setdefault(identity, name)
        if first != name:
            skipped[name] = f"copy: of {first}"
    for error in errors:
        name = pathlib.Path(error.filename).relative_to(source).as_posix()
        skipped[f"{name}/"] = f"unreadable: {error!r}"
    return list(originals.values()), skipped


def _landmarks_path(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f"{path.name}.cat")


def _save_faces(
    source: pathlib.Path,
    folder: pathlib.Path,
    names: list[str],
    image_size: int,
    verbose: bool,
) -> dict[str, str]:
    """Saves the faces. Returns the reason for each image that has none."""
    unusable = {}
    bar = keras.utils.Progbar(len(names), unit_name="image")
    save = functools.partial(_save_face, source, folder, image_size)
    # Threads are enough, because Pillow releases Python's lock.
    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    try:
        for name, reason in zip(names, pool.map(save, names), strict=True):
            if reason:
                unusable[name] = reason
            if verbose:
                bar.add(1)
    finally:
        # Ctrl-C must not wait for the remaining images.
        pool.shutdown(cancel_futures=True)
    return unusable


def _save_face(
    source: pathlib.Path, folder: pathlib.Path, image_size: int, name: str
) -> str | None:
    """Saves the face of one image, or returns why there is none."""
    try:
        face = _read_face(source / name, image_size)
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


def _read_face(path: pathlib.Path, image_size: int) -> Image.Image:
    landmarks = alignment.read_landmarks(_landmarks_path(path))
    with Image.open(path, formats=_FORMATS) as image:
        width, height = image.size
        center, to_right = alignment.find_square(
            landmarks, image.size, image_size
        )
        factor = alignment.reduction_factor(to_right, image_size)
        # A large JPEG is decoded at 1/2, 1/4 or 1/8 of its size.
        drafted = image.draft("RGB", (width // factor, height // factor))
        scale = drafted[1][2] / width if drafted else 1
        large = image.width * image.height > _LARGE
        with _large_image_lock if large else contextlib.nullcontext():
            return alignment.crop(
                image, center * scale, to_right * scale, image_size
            )


def _summary(skipped: dict[str, str]) -> str:
    """Returns how many images are skipped, why, and the first three names."""
    reasons = collections.Counter(
        reason.partition(":")[0] for reason in skipped.values()
    )
    counts = [f"{count} {reason}" for reason, count in reasons.most_common()]
    names = [repr(name)[1:-1] for name in [*skipped][:3]]
    names += ["..."] * (len(skipped) > 3)
    details = f" ({', '.join(counts)}), such as {', '.join(names)}"
    return f"{len(skipped)} skipped" + details * bool(skipped)
