"""Text that the programs print: errors, hints, and a stdout that may break."""

import contextlib
import logging
import os
import pathlib
import re
import shlex
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator
from typing import Any, NoReturn

__all__ = [
    "TolerantStream",
    "fail",
    "gan_blocks_command",
    "hide_tensorflow_log",
    "option",
    "plural",
    "python_command",
    "report_errors_in_one_line",
    "tolerate_broken_stdout",
]

_LOG_LINE = re.compile(
    r"^([IWE]\d{4} .*|WARNING: All log messages before absl.*"
    r"|To enable the following instructions.*)\n?",
    re.MULTILINE,
)
_logger = logging.getLogger(__name__)
# These modules raise a `ValueError` or a `RuntimeError` if the user's files or
# options are wrong. Elsewhere, such an error is a mistake in the code.
_CHECK_USER_INPUT = tuple(
    f"gan_blocks.{name}"
    for name in (
        *("callbacks", "cli", "datasets", "faces", "metrics", "page"),
        *("plan", "runs", "samples"),
    )
)


def fail(message: object, status: int = 1) -> NoReturn:
    """Prints one line on stderr and ends the process."""
    with contextlib.suppress(OSError):  # The exit status matters more.
        print(f"{sys.argv[0]}: {message}", file=sys.stderr)
    raise SystemExit(status)


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


def report_errors_in_one_line() -> None:
    """Replaces the traceback of errors that the user can fix by one line.

    This applies to the rest of the process. Mistakes in the code, such as
    layers that do not fit each other, keep their traceback.
    """
    sys.excepthook = _report


def _report(kind, error, trace):
    if issubclass(kind, KeyboardInterrupt):
        fail("Stopped. Work since the last checkpoint is lost.", 130)
    if _is_out_of_memory(error):
        fail(f"Out of memory. Try a smaller --batch-size. ({_shorten(error)})")
    if not _can_user_fix(error, trace):
        sys.__excepthook__(kind, error, trace)
        return
    fail(_shorten(error))


def _can_user_fix(error, trace):
    if isinstance(error, OSError | ImportError):
        return True
    if not isinstance(error, ValueError | RuntimeError):
        return False
    *_, (frame, _) = traceback.walk_tb(trace)
    module = frame.f_globals.get("__name__", "")
    return module == "__main__" or module.startswith(_CHECK_USER_INPUT)


def _is_out_of_memory(error):
    return (
        isinstance(error, MemoryError)
        or "RESOURCE_EXHAUSTED" in str(error)
        or type(error).__name__
        in ("OutOfMemoryError", "ResourceExhaustedError")
    )


def _shorten(error):
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 500 else text[:497] + "..."


def plural(number: int, noun: str) -> str:
    """Returns, for example, "1 epoch" or "2,000 epochs"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def option(name: str, value: Any) -> list[str]:
    """Returns the words of an option, for example `--image-size 64`."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    return [f"--{flag}", str(value)]


def python_command(*words: Any) -> str:
    """Returns a shell command that runs the same Python with these words."""
    return _shell([_python(), *words])


def gan_blocks_command(*words: Any) -> str:
    """Returns a shell command that runs `gan_blocks` of the same Python."""
    installed = pathlib.Path(sys.executable).with_name("gan_blocks")
    if not installed.exists():
        return python_command("-m", "gan_blocks", *words)
    if shutil.which("gan_blocks") == str(installed):
        return _shell(["gan_blocks", *words])
    return _shell([_relative(installed), *words])


def _shell(words):
    command = shlex.join(str(word) for word in words)
    backend = os.environ.get("KERAS_BACKEND")
    return f"KERAS_BACKEND={backend} {command}" if backend else command


def _python():
    python = _relative(pathlib.Path(sys.executable))
    return sys.orig_argv[0] if python == sys.executable else python


def _relative(path):
    """Returns a path relative to the current folder if it is inside."""
    here = pathlib.Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


@contextlib.contextmanager
def tolerate_broken_stdout() -> Iterator[None]:
    """Lets a program continue if its output cannot be printed.

    For example, stdout is redirected to a full disk, or is a pipe that nobody
    reads any more. A warning is logged, and later output is dropped.
    """
    with contextlib.redirect_stdout(TolerantStream(sys.stdout)):
        yield


class TolerantStream:
    """A text stream that drops its text after the first error."""

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        with self._drop_if_broken():
            self._stream.write(text)
        return len(text)

    def flush(self):
        with self._drop_if_broken():
            self._stream.flush()

    @contextlib.contextmanager
    def _drop_if_broken(self):
        try:
            yield
        except OSError as error:
            # The stream's buffer still holds text. It needs a place to go.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)
            _logger.warning(
                "Printing failed (%s). Further output is dropped.", error
            )
