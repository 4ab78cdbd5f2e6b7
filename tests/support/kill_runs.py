"""Kills and resumes runs many times and compares the results.

    cd tests
    python -m support.kill_runs --kills 50 --seed 0
    python -m support.kill_runs --kills 50 --terminate 0.5
    python -m support.kill_runs --script ../recipes/digits_dcgan.py \\
        -- --data sample --epochs 10 --steps-per-epoch 3
    python -m support.kill_runs --train --kills 10
    python -m support.kill_runs --train --kills 10 --minutes 1

First, the script runs once without interruption. Then it runs in other
folders, where SIGKILL ends it at random moments, most of them while a certain
file is being written. Each run is resumed until it ends by itself, and new
runs are started until all kills are used up. In the end, every folder must be
the same as that of the uninterrupted run: the bits of each checkpoint and
image, and each row of the history. Only one old checkpoint may be left. A
process that ends neither by the signal nor with status 0 counts as a failed
run. With `--terminate`, some of the signals are SIGTERM, after which a run
saves a checkpoint.

The script can be any script that has an option `--output`. It must have an
option `--resume` if it writes the file `arguments.json`. The number of grids
that a resumed run draws again shows how far back it started.

With `--train`, the command `gan_blocks train` runs instead of a script. A
resumed run measures its quality at other steps, so the measurements, the best
model and its pictures are not compared. With `--minutes`, the clock ends each
run at a step of its own. The time that a run has trained must be within the
limit. Its whole rounds are trained once more, without kills and without a
limit, and compared.
"""

import argparse
import collections
import contextlib
import dataclasses
import functools
import io
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import zipfile

import h5py
import numpy as np

from gan_blocks import runs

SCRIPT = pathlib.Path(__file__).parents[2] / "recipes" / "digits_gan.py"
# An epoch takes less than 0.1 s.
ARGUMENTS = "--data sample --epochs 100 --steps-per-epoch 5".split()
TIMEOUT = 300  # Seconds without a new file, after which a run has failed.
UNFINISHED = ".unfinished_"
TRAIN = ["-m", "gan_blocks", "train"]
QUALITY = {"fid", "kid", "kid_error", "precision", "recall"}
# Beside the files of `QUALITY`, these contain names of folders or times.
NOT_COMPARED = {"index.html", "best.keras", "summary.json"}
OF_BEST_MODEL = {"generated_64_seed_0.png", "neighbors.png"}

# The moments to kill at: the file that must be new, and a relative frequency.
# All but the first two wait for the first grid and for some time after it.
MOMENTS = {
    "start": (None, 3),
    "first file": ("*", 3),
    "step": ("grids/*.png", 3),
    "drawing": (f"grids/{UNFINISHED}*", 3),
    "saving": (f"checkpoints/{UNFINISHED}*", 6),
    "saved": ("checkpoints/*.keras", 4),
    "history": (f"{UNFINISHED}*", 2),
    "end": ("checkpoints/{last}", 2),
}
# Further moments of `gan_blocks train`. The first does not wait for a grid.
TRAIN_MOMENTS = {
    "features": ("arguments.json", 2),
    "judging": ("neighbors.png", 2),
    "summary": ("summary.json", 2),
}
EARLY = ("*", "arguments.json")


@dataclasses.dataclass
class Kill:
    """When and how to end a process.

    Attributes:
        moment: A key of `MOMENTS` or `TRAIN_MOMENTS`.
        wait_before: Time to wait before looking for the file: a share of the
            time that a start takes, or seconds once the run is training.
        wait_after: Seconds between the appearance of the file and the signal.
        signal: SIGKILL or SIGTERM.
        second_signal_after: Seconds until the signal is sent again, or None.
    """

    moment: str
    wait_before: float = 0.2
    wait_after: float = 0.001
    signal: int = signal.SIGKILL
    second_signal_after: float | None = None


class Report:
    """The results of all runs."""

    def __init__(self):
        self.runs = 0
        self.kills = collections.Counter()  # (moment, activity): kills
        self.grids_drawn_again = collections.Counter()  # grids: starts
        self.damaged = []  # checkpoints
        self.failed = []  # runs that ended neither by a kill nor with 0
        self.different = []  # files that differ from the uninterrupted run


def choose_kills(number, seed, terminate=0.0, choices=MOMENTS):
    """Yields kills that depend only on the seed."""
    rng = random.Random(seed)
    moments = []
    for _ in range(number):
        if not moments:
            moments = [
                name
                for name, (_, often) in choices.items()
                for _ in range(often)
            ]
            rng.shuffle(moments)
        # `wait_after`: log-uniform between 0.1 ms and 0.1 s.
        kill = Kill(moments.pop(), rng.random(), 10 ** rng.uniform(-4, -1))
        if rng.random() < terminate:
            kill.signal = signal.SIGTERM
            kill.second_signal_after = rng.choice([None, rng.random()])
        yield kill


def kill_and_resume(command, folder, kills, resume=None, compare=None):
    """Runs a script without interruption, then kills it until none is left.

    Args:
        command: Words after `python` that start a run.
        folder: Folder of all runs.
        kills: The kills.
        resume: Words that resume a run. Defaults to `None`: those of `command`
            and `--resume`.
        compare: Function that lists the faults of a run, like `_differences`,
            which is the default.
    """
    resume = resume or [*command, "--resume"]
    compare = compare or _differences
    report, kills, uninterrupted = Report(), [*kills], folder / "uninterrupted"
    sigterm = any(kill.signal == signal.SIGTERM for kill in kills)
    begin = time.monotonic()
    process = _start(command, resume, uninterrupted)
    _wait_for_change(process, uninterrupted, "grids/*.png", set())
    start_time = time.monotonic() - begin
    if process.wait(TIMEOUT):
        raise RuntimeError(f"The script fails. See {uninterrupted}.txt")
    while kills:
        report.runs += 1
        output = folder / f"killed_{report.runs}"
        end = "killed"
        while end == "killed":
            end = _run_once(command, resume, output, kills, start_time, report)
        if end == "finished":
            report.different += compare(uninterrupted, output, sigterm)
        else:
            report.failed.append(f"{output.name} {end}; see {output.name}.txt")
    return report


def _run_once(command, resume, output, kills, start_time, report):
    """Starts or resumes a run and returns how its process ended."""
    before = _snapshot(output)
    known_paths = {path for path, *_ in before}
    expected = output.with_name("uninterrupted").glob("checkpoints/*.keras")
    last = max(expected).name
    process = _start(command, resume, output)
    kill, sent = kills.pop(0) if kills else None, False
    try:
        if kill:
            _wait_for_moment(process, output, kill, start_time, last, before)
            sent = _send(process, kill)
        status = process.wait(TIMEOUT)
    except (TimeoutError, subprocess.TimeoutExpired):
        return "did not end"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    changed = {path for path, *_ in _snapshot(output) - before}
    if sent and status:
        report.kills[kill.moment, _activity(changed, last)] += 1
    drawn = {path for path in changed if path.match("grids/*.png")}
    if known_paths and drawn:
        report.grids_drawn_again[len(known_paths & drawn)] += 1
    report.damaged += filter(_is_damaged, output.glob("checkpoints/*.keras"))
    # A process that handles the signal ends like a shell, with 128 added.
    if sent and status in (-kill.signal, 128 + kill.signal):
        return "killed"
    return f"ended with status {status}" if status else "finished"


def _start(command, resume, output):
    output.parent.mkdir(parents=True, exist_ok=True)
    words = resume if (output / "arguments.json").exists() else command
    with open(f"{output}.txt", "ab") as log:
        return subprocess.Popen(
            [sys.executable, *words, "--output", output],
            stdout=log,
            stderr=log,
            start_new_session=True,  # A process group that is killed as one.
        )


def _wait_for_moment(process, output, kill, start_time, last, before):
    """Waits until it is time to send the signal, or the process has ended."""
    pattern = {**MOMENTS, **TRAIN_MOMENTS}[kill.moment][0]
    if pattern is None:
        _wait(process, kill.wait_before * start_time)
        return
    pattern = pattern.format(last=last)
    if pattern not in EARLY:
        _wait_for_change(process, output, "grids/*.png", before)
        _wait(process, kill.wait_before)
        before = set() if kill.moment == "end" else _snapshot(output, pattern)
    _wait_for_change(process, output, pattern, before)
    _wait(process, kill.wait_after)


def _send(process, kill):
    """Sends the signal. Returns False if the process had already ended."""
    if process.poll() is not None:
        return False
    os.killpg(process.pid, kill.signal)
    if kill.second_signal_after:
        _wait(process, kill.second_signal_after)
        if process.poll() is None:
            os.killpg(process.pid, kill.signal)
    return True


def _wait(process, seconds):
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def _wait_for_change(process, output, pattern, before):
    """Waits for a file that matches the pattern and is new or rewritten."""
    end = time.monotonic() + TIMEOUT
    while process.poll() is None and _snapshot(output, pattern) <= before:
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(2e-4)


def _snapshot(output, pattern="**/*"):
    """Returns paths with numbers that change when a file is rewritten."""
    found = set()
    for path in output.glob(pattern):
        with contextlib.suppress(FileNotFoundError):  # It was just deleted.
            status = path.stat()
            found.add((path, status.st_ino, status.st_mtime_ns))
    return found


def _activity(changed, last):
    """Tells from the changed files what a process did when it was killed."""
    activities = {"checkpoints": "saving", "grids": "drawing"}
    for path in changed:
        if path.name.startswith(UNFINISHED):
            return activities.get(path.parent.name, "writing history")
    if any(path.name == last for path in changed):
        return "after the last save"
    drawn = any(path.match("grids/*.png") for path in changed)
    return "training" if drawn else "starting"


def _is_damaged(path):
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is not None
    except zipfile.BadZipFile:
        return True


def _differences(expected_run, run, stopped_by_sigterm):
    """Lists the files of a run that differ from an uninterrupted run.

    SIGTERM in the middle of an epoch adds a checkpoint and a row for a part of
    the epoch. If `stopped_by_sigterm` is true, only the newest checkpoint and
    the last row of each epoch are compared.
    """
    expected, received = (
        {
            str(path.relative_to(folder)): _content(path)
            for path in folder.glob("**/*")
        }
        for folder in (expected_run, run)
    )
    whole, resumed = (
        sorted(name for name in names if name.startswith("checkpoints/"))
        for names in (expected, received)
    )
    # A process that is killed after its last save, but before it removes an
    # older checkpoint, leaves that one. Only another save would remove it.
    found, ignored = [], {*[name for name in resumed if name < whole[0]][-1:]}
    if stopped_by_sigterm:
        found = _different_epochs(
            expected_run / "history.csv", run / "history.csv"
        )
        ignored |= {"history.csv", *whole[:-1], *resumed[:-1]}
    for name in sorted((expected.keys() | received.keys()) - ignored):
        if name not in received:
            found.append(f"{name} is missing")
        elif name not in expected:
            found.append(f"{name} is unexpected")
        elif expected[name] != received[name]:
            found.append(f"{name} is different")
    return [f"{run.name}: {line}" for line in found]


def _different_epochs(expected_table, table):
    """Lists the epochs whose last row differs."""
    found, received = [], collections.defaultdict(list)
    for row in _rows(table):
        received[row["epoch"]].append(row)
    for expected in _rows(expected_table):
        *parts, last = received[expected["epoch"]] or [{}]
        # The values of a resumed epoch are the means of its second part.
        resumed = parts and last["step"] == expected["step"]
        if last != expected and not resumed:
            found.append(f"history.csv: no row is {expected}")
    return found


def _content(path):
    """Returns the content of a file, without the dates in a checkpoint."""
    if path.is_dir() or path.name in NOT_COMPARED:
        return None
    if path.name in OF_BEST_MODEL and path.with_name("best.keras").exists():
        return None
    if path.name == "history.csv":
        return _rows(path)
    if path.name == "arguments.json":
        return _without_times(path.read_bytes())
    if path.suffix != ".keras" or _is_damaged(path):
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    manifest = parts.get("gan_blocks.json", b"{}")
    if path.name == "features.keras" or b'"image_shape"' in manifest:
        # Of `train`. It builds networks to time them, so names of layers vary.
        return _arrays(parts["model.weights.h5"])
    del parts["metadata.json"]  # It contains the date.
    # Keras uses memory addresses as ids.
    parts["config.json"] = re.sub(
        rb', "shared_object_id": \d+', b"", parts["config.json"]
    )
    return parts


def _arrays(weights):
    """Returns the bits of all variables in a weights file, by their paths."""
    found = {}

    def add(path, item):
        if isinstance(item, h5py.Dataset):
            found[path] = np.array(item).tobytes()

    h5py.File(io.BytesIO(weights)).visititems(add)
    return found


def _rows(table):
    """Returns the rows of a history, without the measured quality."""
    rows = runs.read_history(table)
    return [{k: row[k] for k in row.keys() - QUALITY} for row in rows]


def _without_times(text):
    """Returns settings without the reasons, which contain measured times."""
    settings = json.loads(text)
    settings.pop("reasons", None)
    return settings


def _differences_of_rounds(minutes, uninterrupted, run, stopped_by_sigterm):
    """Lists the faults of a run with a time limit.

    Its plan is its own, so its rounds are trained again, with the same plan.
    """
    del uninterrupted, stopped_by_sigterm
    *_, last = runs.read_history(run / "history.csv")
    settings = json.loads((run / "arguments.json").read_bytes())
    rounds = int(last["step"]) // settings["steps_per_round"]
    steps = rounds * settings["steps_per_round"]
    again = run.with_name(f"{run.name}_again")
    again.mkdir()
    limit = {"minutes": None, "steps": steps, "rounds": rounds}
    (again / "arguments.json").write_text(json.dumps(settings | limit))
    process = _start([], [*TRAIN, "--resume"], again)
    if process.wait():
        raise RuntimeError(f"The rounds cannot be trained. See {again}.txt")
    found = []
    if not (run / "summary.json").exists():
        found.append("there is no summary")
    if float(last["seconds"]) > 60 * minutes:
        found.append("the training was too long")
    one, other = (
        [
            {name: value for name, value in row.items() if name != "seconds"}
            for row in _rows(folder / "history.csv")
            if int(row["step"]) <= steps
        ]
        for folder in (run, again)
    )
    if one != other:
        found.append("history.csv is different")
    compared = 0
    for path in again.glob("*/epoch_????.*"):  # Checkpoints and grids.
        same = run / path.relative_to(again)
        if same.exists():
            compared += 1
            if _content(same) != _content(path):
                found.append(f"{path.relative_to(again)} is different")
    print(
        f"{run.name} has trained for {float(last['seconds']):.1f} s and "
        f"{last['step']} steps. {rounds} rounds were trained again: {len(one)} "
        f"rows and {compared} files were compared."
    )
    return [f"{run.name}: {line}" for line in found]


def train_command(folder, minutes=None):
    """Writes pictures and returns words that train on them."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    pictures = folder / "pictures.npz"
    np.savez(pictures, x_train=random.integers(0, 256, (20, 8, 8), "uint8"))
    length = ["--minutes", str(minutes)] if minutes else ["--steps", "200"]
    return [*TRAIN, pictures, "--base-filters", "4", *length]


def _print_report(report):
    print(f"{'moment':12}{'killed while':22}kills")
    for (moment, activity), number in sorted(report.kills.items()):
        print(f"{moment:12}{activity:22}{number:5}")
    print(f"{'sum':34}{sum(report.kills.values()):5} in {report.runs} runs")
    print("grids drawn again (number of starts):", end=" ")
    table = sorted(report.grids_drawn_again.items())
    print(", ".join(f"{grids} ({starts})" for grids, starts in table))
    for name in ("damaged", "failed", "different"):
        lines = getattr(report, name)
        print(f"{name}: {len(lines)}", *lines, sep="\n    ")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--terminate", type=float, default=0, metavar="SHARE")
    parser.add_argument("--script", type=pathlib.Path, default=SCRIPT)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--minutes", type=float, help="with --train")
    parser.add_argument("--folder", type=pathlib.Path, help="keeps the runs")
    parser.add_argument("arguments", nargs="*", default=ARGUMENTS)
    options = parser.parse_args()
    begin = time.monotonic()
    command, resume, compare = [options.script, *options.arguments], None, None
    moments = MOMENTS
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or pathlib.Path(temporary)
        if options.train:
            command = train_command(folder, options.minutes)
            resume = [*TRAIN, "--resume"]
            moments = {**MOMENTS, **TRAIN_MOMENTS}
        if options.minutes:
            compare = functools.partial(_differences_of_rounds, options.minutes)
            del moments["end"]  # The name of the last checkpoint is unknown.
        kills = choose_kills(
            options.kills, options.seed, options.terminate, moments
        )
        report = kill_and_resume(command, folder, kills, resume, compare)
    _print_report(report)
    print(f"{time.monotonic() - begin:.0f} s")
    return bool(report.damaged or report.failed or report.different)


if __name__ == "__main__":
    sys.exit(main())
