"""Compares the folders of two runs, file by file and bit by bit."""

import collections
import csv
import re
import zipfile


def newest_checkpoint(output):
    return max(output.glob("checkpoints/*.keras"))


def is_damaged(path):
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is not None
    except zipfile.BadZipFile:
        return True


def differences(whole, output, softly):
    """Lists what is not as in the run that nobody disturbed.

    Softly: an epoch that SIGTERM has stopped has rows and checkpoints for its
    parts, so that only the last checkpoint and the other epochs' rows count.
    """
    found, ignored = [], set()
    if softly:
        ignored = {"history.csv"}
        for run in whole, output:
            paths = {*run.glob("checkpoints/*")} - {newest_checkpoint(run)}
            ignored |= {str(path.relative_to(run)) for path in paths}
        tables = [
            rows_of_epochs(run / "history.csv") for run in (whole, output)
        ]
        for epoch, (expected,) in tables[0].items():
            *parts, last = tables[1].get(epoch, [{}])
            if last != expected and not (
                parts and last["step"] == expected["step"]
            ):
                found.append(f"history.csv: epoch {epoch} is not {expected}")
    expected, received = (
        {
            str(path.relative_to(run)): contents(path)
            for path in run.glob("**/*")
        }
        for run in (whole, output)
    )
    for name in sorted((expected.keys() | received.keys()) - ignored):
        if name not in received:
            found.append(f"{name} is missing")
        elif name not in expected:
            found.append(f"{name} is left over")
        elif expected[name] != received[name]:
            found.append(f"{name} is another")
    return [f"{output.name}: {line}" for line in found]


def rows_of_epochs(path):
    rows = collections.defaultdict(list)
    if not path.exists():
        return rows
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            rows[row["epoch"]].append(row)
    return rows


def contents(path):
    """Returns what a file holds; of a model, without dates and addresses."""
    if path.is_dir():
        return None
    if path.suffix != ".keras" or is_damaged(path):
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    del parts["metadata.json"]
    address = rb', "shared_object_id": \d+'
    parts["config.json"] = re.sub(address, b"", parts["config.json"])
    return parts
