"""Killed and resumed runs, and the harness that kills them."""

import signal

import pytest
from support.kill_runs import (
    SCRIPT,
    TRAIN,
    Kill,
    choose_kills,
    kill_and_resume,
    train_command,
)

pytestmark = pytest.mark.slow
both_signals = pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"]
)


def test_a_killed_and_resumed_run_ends_like_an_uninterrupted_run(tmp_path):
    words = "--data sample --epochs 30 --steps-per-epoch 5".split()
    kills = [Kill("saving"), Kill("history")]
    report = kill_and_resume([SCRIPT, *words], tmp_path, kills)
    assert report.damaged == report.failed == report.different == []
    # On a busy machine a run may end before it is killed.
    assert 0 < sum(report.kills.values()) <= 2
    # A checkpoint is saved after every epoch.
    assert set(report.grids_drawn_again) <= {0, 1}


def test_a_killed_run_of_train_ends_like_an_uninterrupted_run(tmp_path):
    kills = [
        Kill("features", wait_after=1.0),
        Kill("saving"),
        Kill("judging", signal=signal.SIGTERM),
    ]
    words = train_command(tmp_path)
    resume = [*TRAIN, "--resume"]
    report = kill_and_resume(words, tmp_path, kills, resume)
    assert report.damaged == report.failed == report.different == []
    assert 0 < sum(report.kills.values()) <= 3


# A replacement for training: counts to 30 and writes each number to a file.
COUNTER = """
import os, pathlib, sys, time, zipfile

folder = pathlib.Path(sys.argv[sys.argv.index("--output") + 1])
for name in ("grids", "checkpoints"):
    (folder / name).mkdir(parents=True, exist_ok=True)
(folder / "history.csv").write_text("epoch,step\\n30,30\\n")
(folder / "index.html").write_text(str(folder))  # Is not compared.

def save(path, text):
    temporary = path.with_name("temporary")
    with zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr("metadata.json", str(os.getpid()))
        archive.writestr("config.json", text)
    temporary.replace(path)

saved = sorted(folder.glob("checkpoints/*.keras"))
number = counted = int(saved[-1].stem) if saved else 0
{fault}
while number < 30:
    number += 1
    counted += 1
    time.sleep(0.01)
    (folder / "grids" / f"{{number:02d}}.png").write_text(str(number))
    save(folder / "checkpoints" / f"{{number:02d}}.keras", str(counted))
"""


@pytest.fixture
def count(tmp_path):
    """Runs the counter with a fault, kills it once and returns the report."""

    def count(fault="", wait_before=0.05, **options):
        script = tmp_path / "counter.py"
        script.write_text(COUNTER.format(fault=fault))
        kill = Kill("saved", wait_before, **options)
        return kill_and_resume([script], tmp_path, [kill])

    return count


@both_signals
def test_a_run_without_a_fault_has_a_clean_report(number, count):
    report = count(signal=number)
    assert report.runs == 1
    assert report.kills == {("saved", "training"): 1}
    assert max(report.grids_drawn_again) <= 1
    assert report.damaged == report.failed == report.different == []


def test_a_run_that_cannot_be_resumed_is_reported(count):
    report = count("if saved: sys.exit('the run exists already')")
    (line,) = report.failed
    assert line.startswith("killed_1 ended with status 1")


@both_signals
def test_a_different_result_is_reported(number, count):
    report = count("counted = 0", signal=number)
    assert "killed_1: checkpoints/30.keras is different" in report.different
    assert report.damaged == report.failed == []


def test_unexpected_and_missing_files_are_reported(count):
    grids = "folder / 'grids'"
    report = count(f"if saved: ({grids} / '01.png').rename({grids} / 'a.png')")
    assert report.different == [
        "killed_1: grids/01.png is missing",
        "killed_1: grids/a.png is unexpected",
    ]


def test_only_one_old_checkpoint_may_be_left(count):
    old = "[save(folder / f'checkpoints/{i}.keras', '') for i in ('00', '000')]"
    report = count(f"if saved: {old}")
    assert report.different == ["killed_1: checkpoints/00.keras is unexpected"]


def test_a_damaged_checkpoint_is_reported(count):
    report = count("(folder / 'checkpoints' / '00.keras').write_text('half')")
    assert {path.name for path in report.damaged} == {"00.keras"}
    assert report.failed == report.different == []


def test_a_resume_from_too_early_a_step_is_reported(count):
    report = count("number = counted = 0", wait_before=0.1)
    assert max(report.grids_drawn_again) > 1
    assert report.damaged == report.failed == report.different == []


def test_the_kills_depend_only_on_the_seed():
    kills = [[*choose_kills(20, seed, terminate=0.5)] for seed in (0, 0, 1)]
    assert kills[0] == kills[1] != kills[2]
    signals = {kill.signal for kill in kills[0]}
    assert signals == {signal.SIGKILL, signal.SIGTERM}
