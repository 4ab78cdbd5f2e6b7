"""Whole trees of pictures with landmarks are prepared for training, once."""

import collections
import concurrent.futures
import contextlib
import functools
import json
import os
import pathlib
import threading
import warnings

import keras
from PIL import Image

from gan_blocks import files
from gan_blocks.faces import alignment

_MANIFEST = "prepared.json"
# Pillow decodes these by itself; the files of a dataset may come from anybody.
_FORMATS = ("JPEG", "PNG", "WEBP")
_LARGE = 2**25  # pixels; takes a tenth of a GB or more to decode
_alone = threading.Lock()  # held for what is large: only one at a time
_ENDINGS = (".jpg", ".jpeg", ".png", ".webp")


def has_landmarks(source):
    """Tells whether a folder holds a picture with landmarks, at any depth.

    Stops at the first, so that it is quick for what `prepare` is made for.

    Args:
        source: A path, or anything else, which is no such folder.

    Returns:
        `True` if there is a picture `X` with a file `X.cat` beside it.

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
        source = pathlib.Path(source).expanduser()
        return any(picture.is_file() for picture in _with_landmarks(source))
    except (OSError, RuntimeError, ValueError):  # a path of no use at all
        return False


def _with_landmarks(source, onerror=None):
    """Yields the paths of pictures, which may be missing, beside landmarks."""
    for parent, _, names in os.walk(source, onerror=onerror):
        for name in names:
            picture = pathlib.Path(parent, name).with_suffix("")
            hidden = any(
                part.startswith((".", "__MACOSX"))
                for part in picture.relative_to(source).parts
            )
            suffix = picture.suffix.lower()
            if name.endswith(".cat") and suffix in _ENDINGS and not hidden:
                yield picture


def prepare(source, folder, image_size, verbose=True):
    """Cuts the faces out of a whole tree of pictures, once.

    For the CAT dataset, as Kaggle unpacks it or otherwise. Of every picture
    `X` with landmarks `X.cat`, at any depth, the face as `align` returns it is
    saved in `folder`, under the same name with `.png` added. Then `folder` is
    what `gan_blocks.datasets.load` takes. All cores are used.

    Pictures are left out whose face is too small or cut off by the border,
    whose landmarks or pixels are missing, damaged or cannot be read, and which
    are copies of another of the same name (the archive of Kaggle holds
    everything twice). How many there are is printed; `prepared.json` in
    `folder` names them all.

    The folder appears when all is done, so an interrupted preparation leaves
    none and is done again. (A process that is killed leaves `.unfinished_*`
    beside it, which can go.) A folder that was prepared from the same source
    at the same size is used as it is; delete it when the source has changed.

    Args:
        source: Folder of pictures (JPEG, PNG or WebP) and landmarks.
        folder: Folder for the faces, which does not exist yet, is empty, or
            was prepared before.
        image_size: Height and width of the faces, in pixels.
        verbose: Whether to print what is done. Defaults to True.

    Returns:
        `pathlib.Path` of `folder`.

    Raises:
        ValueError: If `source` is not a folder, has no pictures with landmarks
            or none that can be used, `folder` holds something else, or
            `image_size` is not a positive integer.

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
        Simonini, 2018, CatDCGAN, whose faces are turned in the same way but
        cut closer, without the ears' tips,
        https://github.com/simoninithomas/CatDCGAN
    """
    alignment.check_size(image_size)
    source = _resolved(source)
    folder = pathlib.Path(folder).expanduser()
    if _is_prepared(source, folder, image_size):
        if verbose:
            print(f"The faces in {folder} were prepared before.")
        return folder
    if not source.is_dir():
        raise ValueError(
            "`source` must be a folder; an archive is to be unpacked first. "
            f"Received: source={str(source)!r}"
        )
    names, left_out = _survey(source)
    with files.atomic_write(folder) as aside, warnings.catch_warnings():
        # Of what is beside the pixels, and without the picture's name.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        aside.mkdir()
        unfit = _save_faces(source, aside, names, image_size, verbose)
        left_out = dict(sorted((left_out | unfit).items()))
        if len(unfit) == len(names):
            raise ValueError(
                "`source` must hold a picture X that gives a face, with its "
                f"landmarks in X.cat. Received: source={str(source)!r}; "
                f"{_counts(left_out)}"
            )
        manifest = {
            "source": str(source),
            "image_size": int(image_size),
            "prepared": len(names) - len(unfit),
            "left_out": left_out,
        }
        (aside / _MANIFEST).write_text(json.dumps(manifest, indent=1))
    if verbose:
        print(f"{folder}: {manifest['prepared']} faces; {_counts(left_out)}")
    return folder


def _resolved(source):
    try:
        source = pathlib.Path(source).expanduser().resolve()
        source.is_dir()  # It, too, fails for a path that cannot be.
        return source
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(
            "`source` must be a folder that can be read. Received: "
            f"source={str(source)!r} ({error})"
        ) from error


def _is_prepared(source, folder, image_size):
    if not folder.exists() or folder.is_dir() and not any(folder.iterdir()):
        return False
    try:
        manifest = json.loads((folder / _MANIFEST).read_text())
        found = manifest["source"], manifest["image_size"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        raise ValueError(
            "`folder` must be new or empty, or have been prepared before; give "
            f"another one. Received: folder={str(folder)!r}, which holds other "
            "files"
        ) from None
    if found != (str(source), image_size):
        raise ValueError(
            "`folder` must be another folder for each source and each size. "
            f"Received: folder={str(folder)!r}, which holds faces of "
            f"{found[1]} pixels from {found[0]!r}, for faces of {image_size} "
            f"pixels from {str(source)!r}"
        )
    return True


def _survey(source):
    """Returns the names of pictures, and why others need no look."""
    originals, left_out, failed = {}, {}, []
    for picture in sorted(_with_landmarks(source, failed.append)):
        name = picture.relative_to(source).as_posix()
        try:
            if not picture.is_file():
                left_out[name] = "picture missing: there are only its landmarks"
                continue
            landmarks = alignment.read_file(_landmarks_of(picture))
            identity = picture.name, picture.stat().st_size, landmarks
        except alignment.Unfit as error:
            left_out[name] = str(error)
            continue
        except OSError as error:
            left_out[name] = f"unreadable: {error!r}"
            continue
        first = originals.setdefault(identity, name)
        if first != name:
            left_out[name] = f"copy: of {first}"
    for error in failed:
        name = pathlib.Path(error.filename).relative_to(source).as_posix()
        left_out[f"{name}/"] = f"unreadable: {error!r}"
    return list(originals.values()), left_out


def _landmarks_of(picture):
    return picture.with_name(f"{picture.name}.cat")


def _save_faces(source, folder, names, image_size, verbose):
    """Saves faces and returns why there is none of some pictures, by name."""
    unfit = {}
    bar = keras.utils.Progbar(len(names), unit_name="picture")
    save = functools.partial(_save_face, source, folder, image_size)
    # Threads are enough: Pillow works outside of Python's lock.
    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    try:
        for name, reason in zip(names, pool.map(save, names), strict=True):
            if reason:
                unfit[name] = reason
            if verbose:
                bar.add(1)
    finally:
        # Who interrupts does not want to wait for the rest.
        pool.shutdown(cancel_futures=True)
    return unfit


def _save_face(source, folder, image_size, name):
    """Saves the face of one picture, or returns why there is none."""
    try:
        face = _read_face(source / name, image_size)
    except alignment.Unfit as error:
        return str(error)
    except MemoryError:
        raise
    except Exception as error:  # a damaged file makes Pillow raise anything
        return f"unreadable: {error!r}"
    path = folder / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    face.save(path, compress_level=1)  # Faster, and no larger.
    return None


def _read_face(picture, image_size):
    landmarks = alignment.read_landmarks(_landmarks_of(picture))
    with Image.open(picture, formats=_FORMATS) as image:
        width, height = image.size
        middle, across = alignment.square(landmarks, image.size, image_size)
        factor = alignment.shrinkage(across, image_size)
        # A JPEG much larger than needed is decoded at 1/2, 1/4 or 1/8.
        drafted = image.draft("RGB", (width // factor, height // factor))
        scale = drafted[1][2] / width if drafted else 1
        large = image.width * image.height > _LARGE
        with _alone if large else contextlib.nullcontext():
            return alignment.cut(
                image, middle * scale, across * scale, image_size
            )


def _counts(left_out):
    """Returns in words how many pictures are left out, and why."""
    reasons = collections.Counter(
        reason.partition(":")[0] for reason in left_out.values()
    )
    counts = [f"{count} {reason}" for reason, count in reasons.most_common()]
    shown = [repr(name)[1:-1] for name in [*left_out][:3]]
    shown += ["..."] * (len(left_out) > 3)
    return f"left out: {len(left_out)} " + (
        f"({', '.join(counts)}), such as {', '.join(shown)}" if shown else ""
    )
