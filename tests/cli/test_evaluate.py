import json
import shutil

import keras
import numpy as np
import pytest
from support.models import pooling_model
from support.trained_runs import command

from gan_blocks import metrics, runs


@pytest.fixture
def data(tmp_path):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (60, 4, 4), "uint8")
    path = tmp_path / "real.npz"
    np.savez(
        path, x_train=images, y_train=np.arange(60) % 3, x_test=images[:20]
    )
    return path


@pytest.fixture
def features(tmp_path):
    path = tmp_path / "features.keras"
    pooling_model(4).save(path)
    return path


def evaluate(run, *words):
    command("evaluate", run, *words)
    folder = run.parent if run.suffix else run
    path = max(folder.glob("quality_*.json"), key=lambda p: p.stat().st_mtime)
    return json.loads(path.read_text())


def test_a_run_is_compared_with_real_pictures(run, data, features, capsys):
    words = ("--data", data, "--features", features, "--number", 30)
    result = evaluate(run.path, *words, "--seed", 2)
    text = capsys.readouterr().out
    assert f"fid {result['values']['fid']:.4g}" in text
    assert str(run.path / "quality_30_seed_2_features.json") in text
    protocol = result["protocol"]
    assert protocol["model"] == "epoch_0002.keras"
    assert protocol["step"] == 4
    assert protocol["number_of_images"] == 30
    assert protocol["number_of_real_images"] == 60
    assert (protocol["data"], protocol["split"]) == (str(data), "train")
    first = run.checkpoints / "epoch_0001.keras"
    other = evaluate(first, *words, "--seed", 2)
    assert other["protocol"]["model"] == "epoch_0001.keras"
    assert other["values"] != result["values"]


def test_a_model_file_is_compared_with_the_pictures_that_trained_it(
    run, data, features, tmp_path
):
    path = tmp_path / "model.keras"
    keras.saving.load_model(run.latest_checkpoint()).save(path)
    words = ("--data", data, "--features", features, "--number", 30)
    whole = evaluate(path, *words)
    runs.write_manifest(path, 1, 4, {"crop": 0.5})
    center = evaluate(path, *words)
    assert center["values"] != whole["values"]
    names = [file.name for file in tmp_path.glob("quality*")]
    assert names == ["quality_30_seed_0_features_model.json"]


def test_results_with_other_pictures_than_those_of_the_run_are_kept(
    run, data, features, tmp_path
):
    path = tmp_path / "model.keras"
    keras.saving.load_model(run.latest_checkpoint()).save(path)
    runs.write_manifest(path, 1, 4, {"data": str(data)})
    other = shutil.copy(data, tmp_path / "other.npz")
    for source in (data, other):
        evaluate(
            path,
            *("--data", source, "--features", features, "--number", 30),
        )
    assert {file.name for file in tmp_path.glob("quality*")} == {
        "quality_30_seed_0_features_model.json",
        "quality_30_seed_0_other_features_model.json",
    }


def test_the_split_chooses_the_real_pictures(run, data, features):
    words = ("--data", data, "--features", features, "--number", 30)
    result = evaluate(run.path, *words, "--split", "test")
    assert result["protocol"]["number_of_real_images"] == 20


def test_a_classifier_of_the_labels_can_give_the_features(
    run, data, monkeypatch
):
    trained = []

    def train_classifier(images, labels):
        trained.append((images.shape, labels.tolist()))
        return pooling_model(4)

    monkeypatch.setattr(metrics, "train_classifier", train_classifier)
    evaluate(
        run.path,
        *("--data", data, "--split", "test", "--number", 30),
        *("--features", "classifier"),
    )
    assert trained == [((60, 4, 4, 1), [i % 3 for i in range(60)])]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--features", "none.keras"], "none.keras cannot be used"),
        (["--split", "other"], "real.npz: "),
        (["--number", "3"], "must be at least 4"),
    ],
)
def test_wrong_options_are_reported_in_one_line(
    run, data, words, message, capsys
):
    with pytest.raises(SystemExit):
        command("evaluate", run.path, "--data", data, *words)
    assert message in capsys.readouterr().err.splitlines()[-1]
