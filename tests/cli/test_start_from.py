import keras
import pytest
from support.models import assert_same_variables, pooling_model
from support.trained_runs import command

from gan_blocks import runs
from gan_blocks.plan import Plan

pytestmark = pytest.mark.usefixtures("quick_start")


@pytest.fixture
def old_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = runs.RunFolder("old")
    run.checkpoints.mkdir(parents=True)
    gan = Plan((8, 8, 3), base_filters=4, learning_rate=0.002).build()
    gan.save(run.checkpoints / "epoch_0001.keras")
    return run


def load(output):
    return keras.saving.load_model(runs.RunFolder(output).latest_checkpoint())


def start(pictures, old, output, *words):
    words = ("--start-from", old, "--output", output, *words)
    command("train", pictures, *words)


@pytest.fixture
def features(tmp_path):
    """Options for features that need no training."""
    pooling_model(channels=3).save(tmp_path / "features.keras")
    return "--features", tmp_path / "features.keras"


@pytest.mark.slow
def test_training_continues_on_other_pictures(
    pictures, old_run, features, tmp_path, capsys
):
    words = ("--steps", 2, *features)
    start(pictures, old_run.path, tmp_path / "new", *words)
    text = capsys.readouterr().out
    assert "Starts from    old/checkpoints/epoch_0001.keras\n" in text
    assert "8 x 8 pixels (height x width), color: like those of the" in text
    run = runs.RunFolder(tmp_path / "new")
    settings = run.read_settings()
    assert settings["start_from"] == "old/checkpoints/epoch_0001.keras"
    assert settings["learning_rate"] == pytest.approx(0.002)
    gan = load(run.path)
    assert gan.optimizer.iterations == 2
    (rate, _) = gan.optimizer.learning_rate
    assert float(rate) == pytest.approx(0.002)


def test_the_best_model_is_the_start_if_there_is_one(
    pictures, old_run, tmp_path, capsys
):
    load(old_run.path).save(old_run.best_model)
    start(pictures, old_run.path, tmp_path / "new", "--dry-run")
    text = capsys.readouterr().out
    assert "Starts from    old/best.keras\n" in text
    assert "Time           20 min 00 s" in text


@pytest.mark.slow
def test_a_resumed_run_ends_like_one_that_was_never_stopped(
    pictures, old_run, features, tmp_path
):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    words = ("--steps", 8, "--augment", "diff", *features)
    for output in (whole, parts):
        start(pictures, old_run.path, output, *words)
    for path in runs.list_checkpoints(parts / "checkpoints"):
        path.unlink()
    command("train", "--resume", "--output", parts)  # From the old model.
    assert_same_variables(load(parts), load(whole))
    for path in runs.list_checkpoints(parts / "checkpoints")[1:]:
        path.unlink()
    old_run.latest_checkpoint().unlink()
    command("train", "--resume", "--output", parts)
    assert_same_variables(load(parts), load(whole))


@pytest.mark.slow
def test_a_model_with_classes_learns_the_labels_of_the_pictures(
    pictures, features, tmp_path, capsys
):
    old = tmp_path / "old.keras"
    Plan((8, 8, 3), num_classes=3, base_filters=4).build().save(old)
    start(pictures, old, tmp_path / "new", "--steps", 1, *features)
    assert load(tmp_path / "new").num_classes == 3
    with pytest.raises(SystemExit):
        start(pictures, old, tmp_path / "other", "--no-labels")
    assert "--labels must be yes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--image-size", 16], "--image-size must be 8x8, because the"),
        (["--channels", 1], "--channels must be 3, because the"),
        (["--labels"], "--labels must be no, because the networks are"),
        (["--base-filters", 8], "--base-filters cannot be chosen, because"),
        (["--precision", "bfloat16"], "--precision must be float32, because"),
        (["--resume"], "Received: --start-from"),
    ],
)
def test_what_the_model_decides_cannot_be_chosen(
    pictures, old_run, tmp_path, words, message, capsys
):
    with pytest.raises(SystemExit):
        start(pictures, old_run.path, tmp_path / "new", *words)
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "new").exists()


def test_what_holds_no_gan_is_reported_in_one_line(pictures, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    pooling_model().save(tmp_path / "model.keras")
    (tmp_path / "text.keras").write_text("no model")
    for name, message in (
        ("missing", "does not exist"),
        ("empty", "No checkpoint found in"),
        ("model.keras", "contains a Sequential, not a GAN."),
        ("text.keras", "cannot be loaded"),
        ("pictures.npz", "neither the folder of a run nor a .keras file"),
    ):
        with pytest.raises(SystemExit):
            start(pictures, tmp_path / name, tmp_path / "new")
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
