"""Compares the folders of two runs, file by file and bit by bit."""

import collections
import csv
import re
import zipfile


def newest_checkpoint(run):
    return max(run.glob("checkpoints/*.keras"))


def is_damaged(path):
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is not None
    except zipfile.BadZipFile:
        return True


def differences(expected_run, run, stopped_by_sigterm):
    """Lists the files of a run that differ from an uninterrupted run.

    SIGTERM in the middle of an epoch adds a checkpoint and a row for a part of
    the epoch. If `stopped_by_sigterm` is true, only the newest checkpoint and
    the last row of each epoch are compared.
    """
    found, ignored = [], set()
    if stopped_by_sigterm:
        found = _different_epochs(
            expected_run / "history.csv", run / "history.csv"
        )
        ignored = {"history.csv"}
        for folder in expected_run, run:
            paths = {*folder.glob("checkpoints/*")} - {
                newest_checkpoint(folder)
            }
            ignored |= {str(path.relative_to(folder)) for path in paths}
    expected, received = (
        {
            str(path.relative_to(folder)): _content(path)
            for path in folder.glob("**/*")
        }
        for folder in (expected_run, run)
    )
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
    found, received = [], _rows_of_epochs(table)
    for epoch, (expected,) in _rows_of_epochs(expected_table).items():
        *parts, last = received.get(epoch, [{}])
        # The values of a resumed epoch are the means of its second part.
        resumed = parts and last["step"] == expected["step"]
        if last != expected and not resumed:
            found.append(f"history.csv: epoch {epoch} is not {expected}")
    return found


def _rows_of_epochs(path):
    rows = collections.defaultdict(list)
    if path.exists():
        with open(path, newline="") as file:
            for row in csv.DictReader(file):
                rows[row["epoch"]].append(row)
    return rows


def _content(path):
    """Returns the content of a file, without the dates in a checkpoint."""
    if path.is_dir():
        return None
    if path.suffix != ".keras" or is_damaged(path):
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    del parts["metadata.json"]  # It contains the date.
    # Keras uses memory addresses as ids.
    parts["config.json"] = re.sub(
        rb', "shared_object_id": \d+', b"", parts["config.json"]
    )
    return parts
