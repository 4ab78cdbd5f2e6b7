"""Compares the peak memory of training steps.

    python tests/benchmarks/memory.py [NETWORKS]

Each step of `step_speed.py` trains in a new process, which prints its peak
memory and its memory before the first step.
"""

import os
import resource
import subprocess
import sys

STEPS = 20


def measure(candidate, name):
    import step_speed

    run = getattr(step_speed, candidate)(*step_speed.setting(name))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run(STEPS)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{candidate}: peak {peak // 1024} MiB, {before // 1024} MiB before")


def main():
    name = sys.argv[1] if len(sys.argv) > 1 else "digits"
    if len(sys.argv) > 2:
        measure(sys.argv[2], name)
        return
    for candidate in ("ours", "hand_written", "keras_io", "tutorial") * 2:
        subprocess.run(
            [sys.executable, __file__, name, candidate],
            env={**os.environ, "KERAS_BACKEND": "tensorflow"},
            check=True,
        )


if __name__ == "__main__":
    main()
