import pathlib
import signal

import kill_and_resume
import pytest
from kill_and_resume import Blow

OWN_SCRIPT = pathlib.Path(__file__).with_name("train_until_done.py")


def test_a_run_that_is_killed_ends_as_if_it_never_was(tmp_path):
    blows = [Blow("saving"), Blow("the table")]
    report = kill_and_resume.kill_and_resume([OWN_SCRIPT], tmp_path, blows)
    assert report.damaged == report.lost == report.different == []
    # On a busy machine, a run may be over before it is struck.
    assert 0 < sum(report.fell.values()) <= 2
    # There is a checkpoint after every two epochs.
    assert set(report.drawn_again) <= {0, 1, 2}


# Stands in for training: counts to 30 and draws what it counts.
COUNTING = """
import os, pathlib, sys, time, zipfile

folder = pathlib.Path(sys.argv[sys.argv.index("--output") + 1])
for name in ("grids", "checkpoints"):
    (folder / name).mkdir(parents=True, exist_ok=True)
(folder / "history.csv").write_text("epoch,step\\n30,30\\n")

def save(path, text):
    aside = path.with_name("aside")
    with zipfile.ZipFile(aside, "w") as archive:
        archive.writestr("metadata.json", str(os.getpid()))
        archive.writestr("config.json", text)
    aside.replace(path)

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
    """Counts, with a fault and a blow, and returns the report."""

    def count(fault="", first=0.05, **options):
        script = tmp_path / "counting.py"
        script.write_text(COUNTING.format(fault=fault))
        blow = Blow("just saved", first, **options)
        return kill_and_resume.kill_and_resume([script], tmp_path, [blow])

    return count


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_without_a_fault_nothing_is_reported(number, count):
    report = count(number=number)
    assert report.runs == 1
    assert report.fell == {("just saved", "training"): 1}
    assert max(report.drawn_again) <= 1
    assert report.damaged == report.lost == report.different == []


def test_a_refused_resume_is_a_run_lost(count):
    report = count("if saved: sys.exit('there is a run already')")
    (line,) = report.lost
    assert line.startswith("killed_1 ended with status 1")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_another_end_is_seen(number, count):
    report = count("counted = 0", number=number)
    assert "killed_1: checkpoints/30.keras is another" in report.different
    assert report.damaged == report.lost == []


def test_what_is_left_over_or_missing_is_seen(count):
    grids = "folder / 'grids'"
    report = count(f"if saved: ({grids} / '01.png').rename({grids} / 'a.png')")
    assert report.different == [
        "killed_1: grids/01.png is missing",
        "killed_1: grids/a.png is left over",
    ]


def test_a_damaged_checkpoint_is_seen(count):
    report = count("(folder / 'checkpoints' / '00.keras').write_text('half')")
    assert {path.name for path in report.damaged} == {"00.keras"}
    assert report.lost == report.different == []


def test_going_back_too_far_is_seen(count):
    report = count("number = counted = 0", first=0.1)
    assert max(report.drawn_again) > 1
    assert report.damaged == report.lost == report.different == []


def test_the_moments_depend_on_the_seed_alone():
    blows = [
        [*kill_and_resume.choose_blows(20, seed, terminate=0.5)]
        for seed in (0, 0, 1)
    ]
    assert blows[0] == blows[1] != blows[2]
    numbers = {blow.number for blow in blows[0]}
    assert numbers == {signal.SIGKILL, signal.SIGTERM}
