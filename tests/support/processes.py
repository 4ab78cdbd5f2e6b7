"""Other processes that use a folder at the same time."""

import contextlib
import subprocess
import sys

_LOCK = """
import sys
from gan_blocks._locks import lock
lock(sys.argv[1])
print("ready", flush=True)
sys.stdin.read()
"""
_WRITE = """
import sys
from gan_blocks.files import atomic_write
with atomic_write(sys.argv[1]) as temporary:
    temporary.write_text("whole")
    print("ready", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def _process(code, path):
    with subprocess.Popen(
        [sys.executable, "-c", code, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


def process_that_locks(folder):
    """Starts a process that has reserved a folder. It is killed at the end."""
    return _process(_LOCK, folder)


def process_that_writes(path):
    """Starts a process that writes a file until its stdin is closed."""
    return _process(_WRITE, path)
