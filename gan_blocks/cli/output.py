"""Text that the programs print: errors, hints, and a stdout that may break."""

import contextlib
import errno
import importlib
import importlib.util
import logging
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from typing import Any, NoReturn

__all__ = [
    "TolerantStream",
    "exit_with_one_line",
    "fail",
    "gan_blocks_command",
    "hide_tensorflow_log",
    "keep_tensorflow_unused",
    "plural",
    "python_command",
    "require",
    "shorten",
]

_LOG_LINE = re.compile(
    r"^([IWE]\d{4} .*|WARNING: All log messages before absl.*"
    r"|To enable the following instructions.*)\n?",
    re.MULTILINE,
)
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_logger = logging.getLogger(__name__)
# These modules raise a `ValueError` or a `RuntimeError` if the user's files or
# options are wrong. Elsewhere, such an error is a mistake in the code.
_CHECK_USER_INPUT = (
    *("gan_blocks._locks", "gan_blocks.callbacks", "gan_blocks.cli"),
    "gan_blocks.datasets",
    *("gan_blocks.faces", "gan_blocks.images", "gan_blocks.metrics"),
    "gan_blocks.page",
    *("gan_blocks.plan", "gan_blocks.runs", "gan_blocks.samples", "__main__"),
)


def fail(message: object, status: int = 1) -> NoReturn:
    """Prints one line on stderr and ends the process."""
    program = pathlib.Path(sys.argv[0]).name
    if program == "__main__.py":
        program = "gan_blocks"
    with contextlib.suppress(OSError):  # The exit status matters more.
        print(f"{program}: {message}", file=sys.stderr)
    raise SystemExit(status)


def require(package: str, purpose: str) -> None:
    """Ends the process with a hint if a Python package is not installed.

    TensorFlow is also imported, because it logs lines when it is imported.
    """
    if not importlib.util.find_spec(package.replace("-", "_")):
        command = python_command("-m", "pip", "install", package)
        fail(
            f'{purpose} needs the package "{package}", which is not installed. '
            f"Install it with: {command}"
        )
    if package == "tensorflow":
        with hide_tensorflow_log():
            importlib.import_module(package)


def keep_tensorflow_unused() -> None:
    """Keeps Keras from importing TensorFlow on JAX and torch.

    The import takes seconds, and Keras needs nothing from it there. If the
    program has imported TensorFlow itself, this function does nothing.
    """
    import keras  # Imported here, because `--help` must not wait for it.

    if keras.backend.backend() != "tensorflow" and (
        "tensorflow" not in sys.modules
    ):
        # This attribute is private, because Keras has no setting for it: if
        # TensorFlow is installed, Keras imports it for seeds and for configs.
        with contextlib.suppress(ImportError):
            from keras.src.utils import module_utils

            module_utils.tensorflow._available = False


@contextlib.contextmanager
def hide_tensorflow_log() -> Iterator[None]:
    """Hides the lines that TensorFlow logs while it is imported.

    `TF_CPP_MIN_LOG_LEVEL=3` hides the rest of the log, but not these lines.
    With a lower level, this context manager does nothing.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") != "3":
        yield
        return
    # C++ code writes to file descriptor 2. Replacing `sys.stderr` has no
    # effect on it.
    try:
        stderr = os.dup(2)
    except OSError:  # The process has no stderr.
        yield
        return
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            file.seek(0)
            text = file.read().decode(errors="replace")
            sys.stderr.write(_LOG_LINE.sub("", text))


def exit_with_one_line(error: BaseException) -> None:
    """Prints one line and ends the process, if the user can fix the error.

    Returns if it is a mistake in the code, such as layers that do not fit each
    other: its traceback helps.
    """
    if isinstance(error, KeyboardInterrupt):
        fail("Interrupted. Work that was not saved is lost.", 130)
    if _is_out_of_memory(error):
        fail(
            "Out of memory. Try a smaller --batch-size, or fewer or smaller "
            f"pictures. ({shorten(error)})"
        )
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        fail(f"A file cannot be written ({shorten(error)}). Make space first.")
    if _can_user_fix(error):
        fail(shorten(error))


def _can_user_fix(error):
    if isinstance(error, OSError | ImportError):
        return True
    if not isinstance(error, ValueError | RuntimeError):
        return False
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals.get("__name__", "").startswith(_CHECK_USER_INPUT)


def _is_out_of_memory(error):
    return (
        isinstance(error, MemoryError)
        or "RESOURCE_EXHAUSTED" in str(error)
        or type(error).__name__
        in ("OutOfMemoryError", "ResourceExhaustedError")
    )


def shorten(error: BaseException | str, width: int = 500) -> str:
    """Returns the message of an error as one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= width else f"{text[: width - 3]}..."


def plural(number: int, noun: str) -> str:
    """Returns, for example, "1 epoch" or "2,000 epochs"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def python_command(*words: Any) -> str:
    """Returns a shell command that runs the same Python with these words."""
    python = _relative(pathlib.Path(sys.executable))
    return _shell(
        sys.orig_argv[0] if python == sys.executable else python, *words
    )


def gan_blocks_command(*words: Any) -> str:
    """Returns a shell command that runs `gan_blocks` of the same Python."""
    installed = pathlib.Path(sys.executable).with_name("gan_blocks")
    if not installed.exists():
        return python_command("-m", "gan_blocks", *words)
    if shutil.which("gan_blocks") == str(installed):
        return _shell("gan_blocks", *words)
    return _shell(_relative(installed), *words)


def _shell(*words):
    # On Windows, a command cannot begin with `KERAS_BACKEND=...`. Users set it
    # for the whole terminal.
    if sys.platform == "win32":
        return subprocess.list2cmdline(map(str, words))
    command = shlex.join(map(str, words))
    backend = os.environ.get("KERAS_BACKEND")
    return f"KERAS_BACKEND={backend} {command}" if backend else command


def _relative(path):
    """Returns a path relative to the current folder if it is inside."""
    here = pathlib.Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


class TolerantStream:
    """A text stream that never fails and never waits.

    Text appears at once, in a pipe too. If printing fails, for example because
    the disk is full or the reader of a pipe has ended, a warning is logged and
    later text is dropped.
    """

    def __init__(self, stream: Any):
        # A process that was started without stdout has `None`.
        self._stream = stream or open(os.devnull, "w")
        # A path can have letters that the stream cannot encode. A stream that
        # is not a text file may have no such method.
        with contextlib.suppress(AttributeError):
            self._stream.reconfigure(errors="backslashreplace")

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError as error:
            # The stream's buffer still holds text. It needs a place to go.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)
            _logger.warning(
                "Printing failed (%s). Further output is dropped.", error
            )
        return len(text)
