import json

import keras
import numpy as np
import pytest

from gan_blocks import GAN, callbacks, cli

EPOCHS = 3


def build_gan(seed=None):
    gan = GAN(
        keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(64, activation="tanh"),
                keras.layers.Reshape((8, 8, 1)),
            ]
        ),
        keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                keras.layers.Flatten(),
                keras.layers.Dropout(0.2),
                keras.layers.Dense(1),
            ]
        ),
        seed=seed,
    )
    gan.compile("adam", "adam")
    return gan


def sample():
    return np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), np.uint8)


def run(*words, build=build_gan):
    arguments = cli.parse_arguments(
        "A recipe.",
        data="sample",
        epochs=EPOCHS,
        batch_size=8,
        argv=[str(word) for word in words],
    )
    if arguments.generate:
        return cli.generate(arguments)
    return cli.train(
        arguments,
        build,
        sample=sample,
        grids=lambda folder: callbacks.ImageGrid(
            folder, every_n_batches=5, rows=2, columns=2
        ),
        image_size=8,
        channels=1,
    )


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_run_leaves_all_that_belongs_to_it(tmp_path, capsys):
    run("--output", tmp_path / "run")
    assert names(tmp_path / "run") == [
        "arguments.json",
        "checkpoints",
        "grids",
        "history.csv",
        "real.png",
    ]
    assert names(tmp_path / "run" / "grids") == [
        f"step_00000{step:02}.png" for step in (5, 10, 15)
    ]
    history = (tmp_path / "run" / "history.csv").read_text().splitlines()
    assert len(history) == 1 + EPOCHS
    assert "g_loss" in history[0]
    arguments = json.loads((tmp_path / "run" / "arguments.json").read_text())
    assert arguments["batch_size"] == 8
    assert "40 pictures, 5 steps of 8 an epoch" in capsys.readouterr().out


def test_a_resumed_run_ends_as_one_that_was_never_stopped(tmp_path):
    run("--output", tmp_path / "whole", "--seed", 3)
    run("--output", tmp_path / "parts", "--seed", 3, "--epochs", 2)
    # What an epoch that was cut short leaves behind.
    history = tmp_path / "parts" / "history.csv"
    history.write_text(history.read_text() + "2,0,0,0,0\n")
    run("--output", tmp_path / "parts", "--resume", "--epochs", EPOCHS)
    whole, parts = (
        keras.saving.load_model(
            tmp_path / name / "checkpoints" / "epoch_0003.keras"
        )
        for name in ("whole", "parts")
    )
    for one, two in zip(whole.variables, parts.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())
    expected = (tmp_path / "whole" / "history.csv").read_text()
    assert history.read_text() == expected
    arguments = json.loads((tmp_path / "parts" / "arguments.json").read_text())
    assert (arguments["seed"], arguments["epochs"]) == (3, EPOCHS)


def test_generate_draws_from_a_checkpoint_without_data(tmp_path, capsys):
    run("--output", tmp_path, "--epochs", 1)
    run("--output", tmp_path, "--generate", 7, "--seed", 2)
    path = tmp_path / "generated_7_seed_2.png"
    first = path.read_bytes()
    assert str(path) in capsys.readouterr().out
    other = tmp_path / "elsewhere"
    checkpoint = tmp_path / "checkpoints" / "epoch_0001.keras"
    run(
        *("--output", other, "--generate", 7, "--seed", 2),
        *("--checkpoint", checkpoint),
    )
    assert (other / path.name).read_bytes() == first


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--batch-size", "41"], "more than the 40 pictures"),
        (["--resume"], "no run in"),
        (["--generate", "4"], "no checkpoint in"),
        (["--generate", "4", "--checkpoint", "no.keras"], "no file no.keras"),
        (["--checkpoint", "no.keras"], "goes with --generate"),
        (["--epochs", "0"], "not at least 1"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    tmp_path, words, message, capsys
):
    with pytest.raises(SystemExit) as exit_:
        run("--output", tmp_path / "run", *words)
    assert exit_.value.code != 0
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_a_run_is_not_written_over(tmp_path, capsys):
    run("--output", tmp_path, "--epochs", 1)
    with pytest.raises(SystemExit):
        run("--output", tmp_path)
    assert "--resume goes on with it" in capsys.readouterr().err


def test_a_run_that_has_all_its_epochs_says_how_to_make_it_longer(
    tmp_path, capsys
):
    run("--output", tmp_path, "--epochs", 2)
    with pytest.raises(SystemExit):
        run("--output", tmp_path, "--resume")
    message = capsys.readouterr().err
    assert "2 epochs are done already" in message
    assert "--epochs 4" in message


def test_a_run_that_diverges_says_so_and_fails(tmp_path, capsys):
    def diverging(seed):
        gan = build_gan(seed)
        gan.compile(keras.optimizers.SGD(1e30), keras.optimizers.SGD(1e30))
        return gan

    with pytest.raises(SystemExit) as exit_:
        run("--output", tmp_path, build=diverging)
    assert exit_.value.code == 1
    assert "Training stopped at epoch 1" in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(tmp_path, capsys):
    def interrupted(seed):
        gan = build_gan(seed)
        step = gan._train
        calls = []

        def train(images):
            calls.append(1)
            if len(calls) == 7:
                raise KeyboardInterrupt
            return step(images)

        gan._train = train
        gan.compile("adam", "adam", run_eagerly=True)
        return gan

    with pytest.raises(SystemExit) as exit_:
        run("--output", tmp_path, build=interrupted)
    assert exit_.value.code == 130
    assert "--resume" in capsys.readouterr().err
    assert names(tmp_path / "checkpoints") == ["epoch_0001.keras"]
