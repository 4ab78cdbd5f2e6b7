import json
import re
import shutil
import signal

import keras
import numpy as np
import pytest
from PIL import Image
from support import gans
from support.models import assert_same_variables, pooling_model
from support.trained_runs import command

from gan_blocks import metrics, runs
from gan_blocks.cli import loading
from gan_blocks.plan import choosing

pytestmark = pytest.mark.usefixtures("quick_start")

SMALL = ("--base-filters", 4, "--batch-size", 8)

time_steps = choosing._seconds_per_step


def load(output):
    return keras.saving.load_model(runs.RunFolder(output).latest_checkpoint())


def test_pictures_become_a_run(pictures, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command("train", pictures, *SMALL, "--steps", 4)
    text = capsys.readouterr().out
    assert "8 x 8 pixels (height x width), gray: not larger than" in text
    run = runs.RunFolder("runs/pictures")
    assert run.page.is_file() and run.real_images.is_file()
    names = sorted(path.name for path in run.grids.iterdir())
    assert names == [f"epoch_000{number}.png" for number in (1, 2, 3, 4)]
    settings = run.read_settings()
    assert settings["data"] == str(pictures)
    assert settings["learning_rate"] == 8e-4
    assert "0.01 s for a step" in settings["reasons"]["Steps"]
    assert load(run.path).image_shape == (8, 8, 1)
    assert "kid" in runs.read_history(run.history)[0]
    step = runs.read_manifest(run.best_model)["step"]
    assert f"Model: {run.best_model}, step {step} of 4\n" in text
    purposes = re.findall("^  (.{22}).*gan_blocks ", text, re.MULTILINE)
    assert len(purposes) == 8 and "Compare two runs" in text


@pytest.mark.slow
def test_the_clock_ends_a_run(pictures, tmp_path, capsys):
    output = tmp_path / "run"
    words = ("train", pictures, *SMALL, "--output", output, "--minutes", 0.2)
    command(*words)
    text = capsys.readouterr().out
    assert "The time is up, after " in text
    assert "--minutes 0.4" in text  # How to train longer.
    used = float(runs.read_history(output / "history.csv")[-1]["seconds"])
    assert used > 5
    command("train", "--resume", "--output", output)
    again = capsys.readouterr().out
    assert "The run has made" in again and "The time is up" in again
    rows = runs.read_history(output / "history.csv")
    assert float(rows[-1]["seconds"]) == pytest.approx(used, abs=3)


def test_a_dry_run_shows_the_plan_and_a_sample(pictures, tmp_path, capsys):
    output = tmp_path / "run"
    words = ("train", pictures, *SMALL, "--output", output, "--dry-run")
    command(*words)
    text = capsys.readouterr().out
    assert "Time           1 h 00 min" in text
    assert [path.name for path in output.iterdir()] == ["real.png"]


@pytest.mark.slow
def test_a_resumed_run_ends_like_one_that_was_never_stopped(pictures, tmp_path):
    words = ("train", pictures, *SMALL, "--seed", 3, "--steps", 80)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for output in (whole, parts):
        command(*words, "--output", output)
    for path in runs.list_checkpoints(parts / "checkpoints")[1:]:
        path.unlink()
    command("train", "--resume", "--output", parts)
    assert_same_variables(load(parts), load(whole))
    one, other = (
        [
            (row["step"], row["d_loss"], row["spread"])
            for row in runs.read_history(path / "history.csv")
        ]
        for path in (whole, parts)
    )
    assert one == other


@pytest.mark.slow
def test_pictures_can_be_transparent_or_on_a_color(tmp_path):
    random = np.random.default_rng(0)
    for index in range(4):
        pixels = random.integers(0, 256, (8, 8, 4), "uint8")
        pixels[:, :4, 3] = 0
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
    words = ("--base-filters", 4, "--steps", 1)
    for option in (("--channels", 4), ("--alpha", "black")):
        run = runs.RunFolder(tmp_path / option[0])
        command("train", tmp_path, *words, *option, "--output", run.path)
        with Image.open(run.real_images) as grid:
            corner = grid.getpixel((3, 3))
        assert corner[3:] == (0,) or corner == (0, 0, 0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The Frechet distance")
def test_pictures_are_cropped_as_wanted(tmp_path, capsys):
    for index in range(4):
        tall = Image.new("L", (8, 20), 40 * index)
        tall.paste(200, (0, 8, 8, 20))
        tall.save(tmp_path / f"{index}.png")
    Image.new("L", (8, 7)).save(tmp_path / "low.png")
    run = runs.RunFolder(tmp_path / "run")
    words = ("--crop", "top", "--min-size", 8, "--resample", "nearest")
    words = ("--base-filters", 4, *words, "--image-size", 8, "--steps", 1)
    command("train", tmp_path, *words, "--output", run.path)
    with Image.open(run.real_images) as grid:
        assert np.asarray(grid.convert("L")).max() < 200
    pooling_model().save(run.path / "pool.keras")
    words = ("--features", run.path / "pool.keras", "--number", 4)
    command("evaluate", run.path, "--data", tmp_path, *words)
    assert capsys.readouterr().out.count("1 smaller than min_size=8") == 2


@pytest.mark.parametrize("side", [8, 32])
@pytest.mark.parametrize("gray", [False, True])
def test_the_colors_of_the_pictures_decide(side, gray, tmp_path, capsys):
    random = np.random.default_rng(0)
    array = random.integers(0, 256, (20, side, side, 3), np.uint8)
    array[:10] = array[:10, :, :, :1]
    if gray:
        array[10:] = array[:10]
    np.save(tmp_path / "a.npy", array)
    words = ("train", tmp_path / "a.npy", "--dry-run")
    command(*words, "--output", tmp_path / "run")
    assert f", {'gray' if gray else 'color'}" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--drawings", "--no-drawings"])
def test_an_option_says_whether_the_pictures_are_drawings(
    option, pictures, tmp_path, capsys
):
    words = ("train", pictures, *SMALL, "--output", tmp_path / "run", option)
    command(*words, "--dry-run")
    are_drawings = "Pictures       drawings" in capsys.readouterr().out
    assert are_drawings is (option == "--drawings")


def test_a_crop_leaves_fewer_pixels_to_train_on(tmp_path, capsys):
    array = np.random.default_rng(0).integers(0, 256, (20, 64, 64), np.uint8)
    np.save(tmp_path / "a.npy", array)
    words = ("train", tmp_path / "a.npy", "--dry-run", "--crop", 0.5)
    command(*words, "--output", tmp_path / "run")
    assert "Size           32 x 32 pixels" in capsys.readouterr().out


@pytest.mark.slow
def test_labels_are_learned_if_wanted(pictures, tmp_path):
    output = tmp_path / "run"
    words = (*SMALL, "--steps", 1, "--output", output)
    command("train", pictures, *words, "--labels")
    assert load(output).num_classes == 3
    shutil.rmtree(output / "checkpoints")
    command("train", "--resume", "--output", output)
    assert load(output).num_classes == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--image-size", "9"], "--image-size must have a shorter side"),
        (["--image-size", "8x8x8"], "must be like 64 or 64x96"),
        (["--batch-size", "21"], "at most the number of pictures"),
        (["--learning-rate", "0"], "must be positive"),
        (["--minutes", "0"], "must be positive"),
        (["--minutes", "1", "--steps", "1"], "not allowed with argument"),
    ],
)
def test_wrong_options_are_reported_in_one_line(
    pictures, tmp_path, words, message, capsys
):
    output = tmp_path / "run"
    with pytest.raises(SystemExit):
        command("train", pictures, *SMALL, "--output", output, *words)
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not output.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Pass the pictures to train on, before any --devices, or"),
        (["--output", "run"], "Pass the pictures to train on, before any"),
        (["--output", "run", "--resume"], "No run found in run"),
        (["--output", "run", "--resume", "--no-flip"], "Received: --flip"),
    ],
)
def test_pictures_or_a_run_must_be_given(words, message, capsys):
    with pytest.raises(SystemExit):
        command("train", *words)
    assert message in capsys.readouterr().err


def test_runs_of_recipes_are_resumed_by_their_recipe(tmp_path, capsys):
    (tmp_path / "arguments.json").write_text(json.dumps({"data": "sample"}))
    with pytest.raises(SystemExit):
        command("train", "--resume", "--output", tmp_path)
    assert "Continue it with the recipe." in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("module", "name", "message"),
    [
        (loading, "load_pictures", "Nothing was saved."),
        (metrics, "train_features", "Continue with: "),
        (metrics, "find_copies", "Continue with: "),
    ],
)
def test_a_signal_before_or_after_training_ends_it_in_one_line(
    module, name, message, number, pictures, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(
        module, name, lambda *_, **__: signal.raise_signal(number)
    )
    before = signal.getsignal(number)
    output = tmp_path / "run"
    with pytest.raises(SystemExit) as end:
        command("train", pictures, *SMALL, "--output", output, "--steps", 1)
    assert end.value.code == 128 + number
    line = capsys.readouterr().err.splitlines()[-1]
    assert f"Stopped by {number.name}. {message}" in line
    assert output.exists() == ("--resume" in line)
    assert signal.getsignal(number) == before


@pytest.mark.slow
def test_too_little_time_for_training_is_reported(pictures, tmp_path, capsys):
    output = tmp_path / "run"
    words = (*SMALL, "--output", output, "--minutes", 0.001)
    with pytest.raises(SystemExit):
        command("train", pictures, *words)
    message = capsys.readouterr().err
    assert "No time is left for training: loading, planning" in message
    assert "Pass at least --minutes 1." in message
    assert not (output / "arguments.json").exists()
    assert not (output / "real.png").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--features", "none.keras"], "none.keras cannot be used"),
        (["--features", "gan.keras"], "gan.keras cannot be used: `model` must"),
        (["--seed", 2**32], "--seed must be below 2**32"),
    ],
)
def test_wrong_settings_leave_no_run(
    words, message, pictures, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    gans.small_gan().save("gan.keras")
    words = (*SMALL, "--output", tmp_path / "run", "--steps", 1, *words)
    with pytest.raises(SystemExit):
        command("train", pictures, *words)
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_resumed_run_cannot_have_more_classes(pictures, tmp_path, capsys):
    output = tmp_path / "run"
    words = (*SMALL, "--output", output, "--labels", "--steps", 1)
    command("train", pictures, *words)
    images = np.load(pictures)["x_train"]
    np.savez(pictures, x_train=images, y_train=np.arange(20) % 4)
    with pytest.raises(SystemExit):
        command("train", "--resume", "--output", output, "--accept-new-data")
    message = "pictures.npz has 4 classes, and the GAN has 3."
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_a_damaged_network_of_features_is_trained_again(pictures, tmp_path):
    output = tmp_path / "run"
    command("train", pictures, *SMALL, "--output", output, "--steps", 1)
    path = output / "features.keras"
    path.write_bytes(path.read_bytes()[:1000])
    command("train", "--resume", "--output", output, "--steps", 2)
    assert keras.saving.load_model(path).name == "self_trained"


@pytest.mark.slow
def test_a_resumed_run_has_more_steps_in_more_time(pictures, tmp_path, capsys):
    output = tmp_path / "run"
    words = ("--output", output, "--dry-run", "--minutes")
    command("train", pictures, *SMALL, "--steps", 1, "--output", output)
    with pytest.raises(SystemExit):
        command("train", "--resume", *words, 20)
    assert "has a number of steps. Pass --steps" in capsys.readouterr().err
    settings = runs.RunFolder(output).read_settings()
    settings |= {"steps": None, "minutes": 10, "rounds": 40}
    runs.RunFolder(output).write_settings(settings)
    command("train", "--resume", *words, 20)
    text = capsys.readouterr().out
    assert "Steps          80 (1 per round)\n" in text
    assert "Time           20 min 00 s\n" in text


@pytest.mark.slow
def test_divergence_is_reported_with_what_to_do(pictures, tmp_path, capsys):
    words = ("--base-filters", 4, "--learning-rate", 1e30, "--steps", 80)
    with pytest.raises(SystemExit):
        command("train", pictures, *words, "--output", tmp_path / "run")
    message = capsys.readouterr().err.splitlines()[-1]
    assert "Training diverged and was stopped at epoch" in message
    assert "--resume" in message and "such as 2.5e+29." in message


@pytest.mark.slow
def test_a_resumed_run_cannot_have_fewer_steps(pictures, tmp_path, capsys):
    words = ("--output", tmp_path / "run", "--steps")
    command("train", pictures, *SMALL, *words, 2)
    with pytest.raises(SystemExit):
        command("train", "--resume", *words, 1)
    message = "The run has trained for 2 steps already. Pass --steps"
    assert message in capsys.readouterr().err


def test_pictures_must_be_at_least_four(tmp_path, capsys):
    np.save(tmp_path / "few.npy", np.zeros((3, 8, 8, 3), "uint8"))
    with pytest.raises(SystemExit):
        command("train", tmp_path / "few.npy", "--output", tmp_path / "run")
    assert "few.npy has 3 pictures. At least 4" in capsys.readouterr().err


def test_several_processes_need_a_number_of_steps(
    pictures, tmp_path, monkeypatch, capsys
):
    names = "TF_CONFIG", "KERAS_DISTRIBUTION_JOB_ADDRESSES", "LOCAL_RANK"
    for name in names:
        monkeypatch.setenv(name, "0")
    output = tmp_path / "run"
    with pytest.raises(SystemExit):
        command("train", pictures, "--devices", "all", "--output", output)
    assert "pass --steps instead of --minutes" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.every_backend
def test_the_clock_ends_a_run_on_every_backend(
    pictures, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(choosing, "_seconds_per_step", time_steps)
    output = tmp_path / "run"
    command("train", pictures, "--output", output, "--minutes", 1)
    assert "The time is up, after " in capsys.readouterr().out
    assert (output / "summary.json").is_file()
