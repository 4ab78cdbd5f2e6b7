"""The name of the device that trains, for people."""

import os

from gan_blocks import backend


def device_name() -> str:
    """Returns the names of the GPUs, or the number of CPU cores."""
    names = backend.gpu_names()
    if names:
        number = f"{len(names)} x " if len(names) > 1 else ""
        return f"{number}{names[0]}"
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # On macOS and Windows.
        cores = os.cpu_count() or 1
    return f"CPU, {cores} core{'s' * (cores > 1)}"
