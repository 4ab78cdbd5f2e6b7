"""Kills runs again and again, resumes them, and compares how they end.

    python tests/kill_and_resume.py --kills 50 --seed 0
    python tests/kill_and_resume.py --kills 50 --terminate 0.5
    python tests/kill_and_resume.py --recipe recipes/digits_dcgan.py \\
        -- --data sample --epochs 10 --steps-per-epoch 3

A recipe is run once undisturbed. Then it is run in other folders, where
SIGKILL ends it at random moments, most of them chosen by what it is writing.
It is resumed each time until it ends by itself, and so on until all kills are
made. What is in the folders at the end must be the same: the bits of every
checkpoint and picture, and every row. A start that ends neither by the kill
nor with status 0 is a run lost. A share of the stops can be SIGTERMs, after
which a run saves what it has.

The recipe can be any script that has an option `--output`, and `--resume` if
it writes an `arguments.json` there. Grids that are drawn again tell how far
back a resume went.
"""

import argparse
import collections
import contextlib
import dataclasses
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

from compare_runs import differences, is_damaged, newest_checkpoint

RECIPE = pathlib.Path(__file__).parents[1] / "recipes" / "digits_gan.py"
# Small, and a checkpoint after each epoch of less than 0.1 s.
WORDS = "--data sample --epochs 100 --steps-per-epoch 5".split()
PATIENCE = 300  # seconds without anything new, after which a run is lost
UNFINISHED = ".unfinished_"

# What a kill can be aimed at: what must be new for it, and how often it is
# chosen. All but the first two let the run draw first, and go on for a while.
AIMS = {
    "start-up": (None, 3),
    "beginning": ("*", 3),
    "a step": ("grids/*.png", 3),
    "drawing": (f"grids/{UNFINISHED}*", 3),
    "saving": (f"checkpoints/{UNFINISHED}*", 6),
    "just saved": ("checkpoints/*.keras", 4),
    "the table": (f"{UNFINISHED}*", 2),
    "the end": ("checkpoints/{last}", 2),
}


@dataclasses.dataclass
class Blow:
    """When and how to end a process.

    It is left alone for `first`, a share of what a start takes or, while it
    trains, of a second; `then` seconds pass from what was waited for to the
    signal, and `again` from there to a second SIGTERM.
    """

    aim: str
    first: float = 0.2
    then: float = 0.001
    number: int = signal.SIGKILL
    again: float | None = None


class Report:
    """What was met."""

    def __init__(self):
        self.runs = 0
        self.fell = collections.Counter()  # kills, by aim and place
        self.drawn_again = collections.Counter()  # resumes, by grids
        self.damaged = []  # checkpoints
        self.lost = []  # starts that ended neither by a kill nor well
        self.different = []  # from the run that nobody disturbed


def choose_blows(number, seed, terminate=0.0):
    """Chooses all moments, so that they depend on the seed alone."""
    rng = random.Random(seed)
    aims = []
    for _ in range(number):
        if not aims:
            aims = [
                aim for aim, (_, often) in AIMS.items() for _ in range(often)
            ]
            rng.shuffle(aims)
        # From 0.1 ms to 0.1 s, every order of magnitude alike.
        blow = Blow(aims.pop(), rng.random(), 10 ** rng.uniform(-4, -1))
        if rng.random() < terminate:
            blow.number = signal.SIGTERM
            blow.again = rng.choice([None, rng.random()])
        yield blow


def kill_and_resume(command, folder, blows):
    """Runs a script undisturbed, then strikes until all blows are used up."""
    report, blows, whole = Report(), [*blows], folder / "whole"
    softly = any(blow.number == signal.SIGTERM for blow in blows)
    begun = time.monotonic()
    process = start(command, whole)
    wait_for_change(process, whole, "grids/*.png", set())
    start_up = time.monotonic() - begun
    if process.wait(PATIENCE):
        raise RuntimeError(f"The script fails: see {whole}.txt")
    while blows:
        report.runs += 1
        output = folder / f"killed_{report.runs}"
        end = "killed"
        while end == "killed":
            end = run_on(command, output, blows, start_up, report)
        if end == "well":
            report.different += differences(whole, output, softly)
        else:
            report.lost.append(f"{output.name} ended with {end}; see the .txt")
    return report


def run_on(command, output, blows, start_up, report):
    """Starts the run or resumes it; returns how that ended."""
    before = snapshot(output)
    names = {path for path, *_ in before}
    last = newest_checkpoint(output.with_name("whole"))
    process = start(command, output)
    blow, struck = blows.pop(0) if blows else None, False
    try:
        if blow:
            approach(process, output, blow, start_up, last.name, before)
            struck = strike(process, blow)
        status = process.wait(PATIENCE)
    except (TimeoutError, subprocess.TimeoutExpired):
        return "nothing, it hung"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    changed = {path for path, *_ in snapshot(output) - before}
    if struck and status:
        report.fell[blow.aim, place(changed, last.name)] += 1
    drawn = {path for path in changed if path.match("grids/*.png")}
    if names and drawn:
        report.drawn_again[len(names & drawn)] += 1
    report.damaged += filter(is_damaged, output.glob("checkpoints/*.keras"))
    # A shell's way to tell a signal is that of who handles it, too.
    if struck and status in (-blow.number, 128 + blow.number):
        return "killed"
    return f"status {status}" if status else "well"


def start(command, output):
    output.parent.mkdir(parents=True, exist_ok=True)
    resume = ["--resume"] if (output / "arguments.json").exists() else []
    with open(f"{output}.txt", "ab") as log:
        return subprocess.Popen(
            [sys.executable, *command, "--output", output, *resume],
            stdout=log,
            stderr=log,
            start_new_session=True,  # A group, to be killed as one.
        )


def approach(process, output, blow, start_up, last, before):
    """Waits for the moment, or the end of the process."""
    pattern = AIMS[blow.aim][0]
    if pattern is None:
        wait(process, blow.first * start_up)
        return
    pattern = pattern.format(last=last)
    if pattern != "*":
        wait_for_change(process, output, "grids/*.png", before)
        wait(process, blow.first)
        before = set() if blow.aim == "the end" else snapshot(output, pattern)
    wait_for_change(process, output, pattern, before)
    wait(process, blow.then)


def strike(process, blow):
    """Sends the signal; returns whether the process was still there."""
    if process.poll() is not None:
        return False
    os.killpg(process.pid, blow.number)
    if blow.again:
        wait(process, blow.again)
        if process.poll() is None:
            os.killpg(process.pid, blow.number)
    return True


def wait(process, seconds):
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def wait_for_change(process, output, pattern, before):
    """Waits for a file that matches and is new or written anew."""
    end = time.monotonic() + PATIENCE
    while process.poll() is None and snapshot(output, pattern) <= before:
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(2e-4)


def snapshot(output, pattern="**/*"):
    """Returns the paths that match, with what changes when one is written."""
    found = set()
    for path in output.glob(pattern):
        with contextlib.suppress(FileNotFoundError):  # Gone by now.
            status = path.stat()
            found.add((path, status.st_ino, status.st_mtime_ns))
    return found


def place(changed, last):
    """Says where a process was when it ended, from what it left."""
    about = {"checkpoints": "saving", "grids": "drawing"}
    for path in changed:
        if path.name.startswith(UNFINISHED):
            return about.get(path.parent.name, "writing a table")
    if any(path.name == last for path in changed):
        return "after the last save"
    drawn = any(path.match("grids/*.png") for path in changed)
    return "training" if drawn else "start-up"


def print_report(report):
    print(f"{'aimed at':12}{'fell in':22}kills")
    for (aim, fell_in), number in sorted(report.fell.items()):
        print(f"{aim:12}{fell_in:22}{number:5}")
    print(f"{'sum':34}{sum(report.fell.values()):5} in {report.runs} runs")
    print("grids drawn again by a start (and by how many starts):", end=" ")
    table = sorted(report.drawn_again.items())
    print(", ".join(f"{grids} ({starts})" for grids, starts in table))
    for name in ("damaged", "lost", "different"):
        lines = getattr(report, name)
        print(f"{name}: {len(lines)}", *lines, sep="\n    ")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--terminate", type=float, default=0, metavar="SHARE")
    parser.add_argument("--recipe", type=pathlib.Path, default=RECIPE)
    parser.add_argument("--folder", type=pathlib.Path, help="kept if given")
    parser.add_argument("words", nargs="*", default=WORDS)
    arguments = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = kill_and_resume(
            [arguments.recipe, *arguments.words],
            arguments.folder or pathlib.Path(folder),
            choose_blows(arguments.kills, arguments.seed, arguments.terminate),
        )
    print_report(report)
    print(f"{time.monotonic() - begun:.0f} s")
    return bool(report.damaged or report.lost or report.different)


if __name__ == "__main__":
    sys.exit(main())
