import csv
import json
import re
import signal
import sys

import keras
import numpy as np
import pytest
from PIL import Image
from test_conditional import conditional_networks
from test_quality import pooled

from gan_blocks import GAN, callbacks, cli, datasets

EPOCHS = 3
DEFAULTS = {"data": "sample", "epochs": EPOCHS, "batch_size": 8}


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


def load_images(arguments):
    return np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), np.uint8)


def recorders(output):
    return [
        callbacks.ImageGrid(
            output / "grids", every_n_batches=5, rows=2, columns=2
        ),
        callbacks.EpochCheckpoint(
            output / "checkpoints", every_n_epochs=1, keep=3
        ),
    ]


def parse(*words, defaults=DEFAULTS, **others):
    argv = [str(word) for word in words]
    return cli.parse_arguments("A recipe.", defaults, argv=argv, **others)


def run(*words, build=build_gan, images=load_images, recorders=recorders):
    cli.run(parse(*words), build, images, recorders)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def table(run):
    with open(run / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def load(run, name):
    return keras.saving.load_model(run / "checkpoints" / f"{name}.keras")


def assert_equal(one, other):
    for a, b in zip(one.variables, other.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_a_run_leaves_all_that_belongs_to_it(tmp_path, capsys):
    output = tmp_path / "run"
    run("--output", output)
    assert names(output) == [
        "arguments.json",
        "checkpoints",
        "generated_64_seed_0.png",
        "grids",
        "history.csv",
        "index.html",
        "real.png",
    ]
    assert names(output / "grids") == [
        f"step_00000{step:02}.png" for step in (5, 10, 15)
    ]
    rows = table(output)
    assert [row["step"] for row in rows] == ["5", "10", "15"]
    assert float(rows[-1]["g_loss"]) > 0
    arguments = json.loads((output / "arguments.json").read_text())
    assert arguments["batch_size"] == 8
    text = capsys.readouterr().out
    assert "40 pictures, 5 steps of 8 an epoch" in text
    for path in (
        "generated_64_seed_0.png",
        "grids",
        "checkpoints/epoch_0003.keras",
        "history.csv",
    ):
        assert str(output / path) in text


def test_a_resumed_run_ends_as_one_that_was_never_stopped(tmp_path):
    run("--output", tmp_path / "whole", "--seed", 3)
    run("--output", tmp_path / "parts", "--seed", 3, "--epochs", 2)
    # What a run that was killed after its last checkpoint leaves behind.
    history = tmp_path / "parts" / "history.csv"
    history.write_text(history.read_text() + "3,15,0,0,0,0\n")
    run("--output", tmp_path / "parts", "--resume", "--epochs", EPOCHS)
    whole, parts = (
        load(tmp_path / name, "epoch_0003") for name in ("whole", "parts")
    )
    assert_equal(whole, parts)
    expected = (tmp_path / "whole" / "history.csv").read_text()
    assert history.read_text() == expected
    arguments = json.loads((tmp_path / "parts" / "arguments.json").read_text())
    assert (arguments["seed"], arguments["epochs"]) == (3, EPOCHS)


class Interrupt(keras.callbacks.Callback):
    """Sends signals to this process in a certain step of the run."""

    def __init__(self, step, *signals):
        super().__init__()
        self.step = step
        self.signals = signals
        self.count = 0

    def on_train_batch_begin(self, batch, logs=None):
        self.count += 1
        if self.count == self.step:
            for number in self.signals:
                signal.raise_signal(number)


def interrupted(*arguments):
    return lambda output: [*recorders(output), Interrupt(*arguments)]


def test_a_run_stopped_in_mid_epoch_goes_on_with_nothing_repeated(
    tmp_path, capsys
):
    run("--output", tmp_path / "whole", "--seed", 3)
    parts = tmp_path / "parts"
    words = ("--output", parts, "--seed", 3)
    with pytest.raises(SystemExit) as exit_:
        run(*words, recorders=interrupted(7, signal.SIGTERM))
    assert exit_.value.code == 128 + signal.SIGTERM
    message = capsys.readouterr().err
    assert "stopped by SIGTERM after step 7, which is saved" in message
    assert f"--resume --output {parts}" in message
    assert "epoch_0001_step_0000007.keras" in names(parts / "checkpoints")
    with pytest.raises(SystemExit):
        run(
            *("--output", parts, "--resume"),
            recorders=interrupted(2, signal.SIGINT),
        )
    assert "1 of them done and 2 steps more" in capsys.readouterr().out
    run("--output", parts, "--resume")
    assert_equal(
        load(parts, "epoch_0003"), load(tmp_path / "whole", "epoch_0003")
    )
    rows = [(row["epoch"], row["step"]) for row in table(parts)]
    assert rows == [
        *(("1", "5"), ("2", "7"), ("2", "9"), ("2", "10"), ("3", "15")),
    ]
    assert names(parts / "grids") == names(tmp_path / "whole" / "grids")


def test_a_run_stopped_in_its_last_step_is_done(tmp_path, capsys):
    run("--output", tmp_path, recorders=interrupted(15, signal.SIGTERM))
    assert "3 epochs are done" in capsys.readouterr().out
    assert "epoch_0003.keras" in names(tmp_path / "checkpoints")


def test_a_run_stopped_in_its_first_epoch_goes_on(tmp_path):
    with pytest.raises(SystemExit):
        run(
            *("--output", tmp_path, "--epochs", 1),
            recorders=interrupted(2, signal.SIGINT),
        )
    assert names(tmp_path / "checkpoints") == ["epoch_0000_step_0000002.keras"]
    run("--output", tmp_path, "--resume")
    assert "epoch_0001.keras" in names(tmp_path / "checkpoints")


def test_ctrl_c_before_training_leaves_no_traceback(tmp_path, capsys):
    def interrupted(arguments):
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as exit_:
        run("--output", tmp_path / "run", images=interrupted)
    assert exit_.value.code == 130
    assert "nothing since the last checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


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


def test_interpolate_draws_strips_and_an_animation_that_closes(
    tmp_path, capsys
):
    run("--output", tmp_path, "--epochs", 1)
    run("--output", tmp_path, "--interpolate", 3, "--seed", 5)
    strips = tmp_path / "interpolated_3_seed_5.png"
    text = capsys.readouterr().out
    assert str(strips) in text and str(strips.with_suffix(".gif")) in text
    gan = load(tmp_path, "epoch_0001")
    latents = gan.sample_latents(3, seed=5)
    ends = (gan.generate(latents=latents)[..., 0] + 1) * 127.5
    with Image.open(strips) as picture:
        pixels = np.asarray(picture).astype(float)
    assert pixels.shape == (3 * 8, 8 * 8)
    for row, end in enumerate(ends):
        tile = pixels[8 * row : 8 * row + 8, :8]
        np.testing.assert_allclose(tile, end, atol=1)
    with Image.open(strips.with_suffix(".gif")) as animation:
        frames = []
        for i in range(animation.n_frames):
            animation.seek(i)
            frames.append(np.asarray(animation.convert("L")).astype(float))
    assert np.ptp(frames, axis=0).max() > 5
    steps = np.abs(np.diff([*frames, frames[0]], axis=0)).mean((1, 2))
    assert steps[-1] < 3 * np.median(steps)  # The last is next to the first.


def test_settings_become_flags_only_where_the_recipe_has_them(capsys):
    with pytest.raises(SystemExit):
        parse("--image-size", 32)
    with pytest.raises(SystemExit):
        parse("--flip")
    capsys.readouterr()
    assert parse().flip is False
    sized = {**DEFAULTS, "image_size": 64, "flip": True}
    assert vars(parse(defaults=sized)).items() >= sized.items()
    arguments = parse("--image-size", 32, "--no-flip", defaults=sized)
    assert (arguments.image_size, arguments.flip) == (32, False)


def test_the_sample_has_settings_of_its_own_which_flags_replace(capsys):
    sample = {"epochs": 7, "batch_size": 5}
    assert parse(sample=sample).epochs == 7
    arguments = parse("--epochs", 4, sample=sample)
    assert (arguments.epochs, arguments.batch_size) == (4, 5)
    arguments = parse("--data", "photographs", sample=sample)
    assert (arguments.epochs, arguments.batch_size) == (EPOCHS, 8)
    with pytest.raises(SystemExit):
        parse("--help", sample=sample)
    text = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert f"(default: {EPOCHS}; with --data sample 7)" in text


def test_modern_has_settings_of_its_own_which_a_resumed_run_keeps(
    tmp_path, capsys
):
    modern = {"batch_size": 4}
    assert parse(modern=modern).batch_size == 8
    words = ("--modern", "--output", tmp_path)
    assert parse(*words, modern=modern).batch_size == 4
    assert parse(*words, "--batch-size", 9, modern=modern).batch_size == 9
    assert parse().modern is False
    with pytest.raises(SystemExit):
        parse("--modern")
    capsys.readouterr()
    arguments = parse(*words, "--epochs", 1, modern=modern)
    cli.run(arguments, build_gan, load_images, recorders)
    resumed = parse("--resume", "--output", tmp_path, modern=modern)
    assert (resumed.modern, resumed.batch_size) == (True, 4)


def test_evaluate_measures_the_last_checkpoint_or_another(tmp_path, capsys):
    output = ("--output", tmp_path)
    run(*output, "--epochs", 2)

    def evaluate(*words, features=lambda arguments: pooled()):
        arguments = parse(*output, "--evaluate", 12, *words)
        cli.run(arguments, None, load_images, None, features)
        found = json.loads((tmp_path / "quality_12_seed_0.json").read_text())
        assert f"fid {found['values']['fid']:.4g}" in capsys.readouterr().out
        return found

    last = evaluate()
    assert last["protocol"]["model"] == "epoch_0002.keras"
    assert last["protocol"]["step"] == 10
    assert last["protocol"]["number_of_images"] == 12
    assert last["protocol"]["number_of_real_images"] == 40
    first = tmp_path / "checkpoints" / "epoch_0001.keras"
    assert evaluate("--checkpoint", first)["values"] != last["values"]
    pooled().save(tmp_path / "features.keras")
    again = evaluate("--features", tmp_path / "features.keras", features=None)
    assert again["values"] == pytest.approx(last["values"])


def test_pictures_with_labels_train_a_gan_of_classes(tmp_path):
    def build(seed):
        return GAN(*conditional_networks(), num_classes=3, seed=seed)

    def compiled(seed):
        gan = build(seed)
        gan.compile("adam", "adam")
        return gan

    def load_pairs(arguments):
        images = np.zeros((12, 4, 4, 1), "uint8")
        return images, np.arange(12) % 3

    output = ("--output", tmp_path)
    run(*output, "--epochs", 1, build=compiled, images=load_pairs)
    run(*output, "--resume", "--epochs", 2, build=None, images=load_pairs)
    assert int(load(tmp_path, "epoch_0002").optimizer.iterations) == 2
    run(*output, "--interpolate", 2)
    assert (tmp_path / "interpolated_2_seed_0.gif").exists()


def test_flip_mirrors_what_is_trained_on(tmp_path, monkeypatch):
    calls = []
    batches = datasets.batches

    def spy(*args, **kwargs):
        calls.append(kwargs)
        return batches(*args, **kwargs)

    monkeypatch.setattr(datasets, "batches", spy)
    arguments = parse(
        *("--flip", "--output", tmp_path, "--epochs", 1),
        defaults={**DEFAULTS, "flip": False},
    )
    cli.run(arguments, build_gan, load_images, recorders)
    assert calls[0]["flip"] is True


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "nowhere"], "--data nowhere: no such pictures"),
        (["--batch-size", "41"], "more than the 40 pictures"),
        (["--resume"], "no run in"),
        (["--generate", "4"], "no checkpoint in"),
        (["--generate", "4", "--checkpoint", "no.keras"], "no file no.keras"),
        (["--checkpoint", "no.keras"], "goes with --generate"),
        (["--epochs", "0"], "not at least 1"),
        (["--interpolate", "1"], "not at least 2"),
        (["--evaluate"], "there is no run in"),
        (["--evaluate", "3"], "not at least 4"),
        (["--epochs", "many"], "invalid"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    tmp_path, words, message, capsys
):
    def images(arguments):
        if "nowhere" in words:
            raise FileNotFoundError("no such pictures")
        return load_images(arguments)

    with pytest.raises(SystemExit) as exit_:
        run("--output", tmp_path / "run", *words, images=images)
    assert exit_.value.code != 0
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_a_gan_that_cannot_be_built_is_said_in_one_line(tmp_path, capsys):
    def build(seed):
        raise ValueError("`image_size` must be even")

    with pytest.raises(SystemExit):
        run("--output", tmp_path / "run", build=build)
    assert "`image_size` must be even" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_a_run_is_not_written_over(tmp_path, capsys):
    run("--output", tmp_path, "--epochs", 1)
    with pytest.raises(SystemExit):
        run("--output", tmp_path)
    assert "--resume goes on with it" in capsys.readouterr().err


def test_a_run_that_has_all_its_epochs_is_done_when_it_is_resumed(
    tmp_path, capsys
):
    run("--output", tmp_path, "--epochs", 2)
    # It was killed after its last checkpoint.
    picture = tmp_path / "generated_64_seed_0.png"
    before = picture.read_bytes()
    picture.unlink()
    capsys.readouterr()
    run("--output", tmp_path, "--resume")
    assert picture.read_bytes() == before
    assert "--resume --epochs 4" in capsys.readouterr().out
    assert [row["step"] for row in table(tmp_path)] == ["5", "10"]


def diverging(seed):
    gan = build_gan(seed)
    gan.compile(keras.optimizers.SGD(1e30), keras.optimizers.SGD(1e30))
    return gan


def test_a_run_that_diverges_says_so_and_fails(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_:
        run("--output", tmp_path, build=diverging)
    assert exit_.value.code == 1
    assert "Training stopped at epoch 1" in capsys.readouterr().err


def test_a_run_that_diverges_goes_back_if_asked(tmp_path, capsys, caplog):
    with pytest.raises(SystemExit):
        run("--output", tmp_path, "--rollbacks", 2, build=diverging)
    assert [text[:10] for text in caplog.messages[:2]] == ["At epoch 1"] * 2
    assert "Training stopped at epoch 1" in capsys.readouterr().err


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_anew(
    tmp_path, capsys
):
    run("--output", tmp_path / "whole")
    run("--output", tmp_path / "killed")
    for path in (tmp_path / "killed" / "checkpoints").iterdir():
        path.unlink()
    run("--output", tmp_path / "killed", "--resume")
    output = capsys.readouterr().out
    assert "There is no whole checkpoint in" in output
    assert_equal(
        load(tmp_path / "whole", "epoch_0003"),
        load(tmp_path / "killed", "epoch_0003"),
    )
    assert table(tmp_path / "whole") == table(tmp_path / "killed")


def test_checkpoints_hold_the_arguments_of_the_run(tmp_path):
    run("--output", tmp_path, "--epochs", 1)
    path = callbacks.latest_checkpoint(tmp_path / "checkpoints")
    manifest = callbacks.read_manifest(path)
    saved = json.loads((tmp_path / "arguments.json").read_text())
    assert manifest["arguments"] == saved
    assert saved["epochs"] == 1


def test_damaged_arguments_are_said_in_one_line(tmp_path, capsys):
    run("--output", tmp_path, "--epochs", 1)
    for text in ('{"epochs": 1', "[1]"):
        (tmp_path / "arguments.json").write_text(text)
        with pytest.raises(SystemExit):
            run("--output", tmp_path, "--resume")
        last = capsys.readouterr().err.splitlines()[-1]
        assert "arguments.json is damaged" in last


def test_a_checkpoint_that_cannot_be_written_is_said_in_one_line(
    tmp_path, capsys
):
    def recorders(output):
        def block(epoch, logs):
            if epoch == 1:
                (output / "checkpoints").rename(output / "moved")
                (output / "checkpoints").touch()

        gate = keras.callbacks.LambdaCallback(on_epoch_begin=block)
        checkpoint = callbacks.EpochCheckpoint(output / "checkpoints", 1)
        return [gate, checkpoint]

    with pytest.raises(SystemExit) as exit_:
        run("--output", tmp_path, recorders=recorders)
    assert exit_.value.code == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert "epoch_0002.keras could not be saved" in last


def lambda_model():
    doubled = keras.layers.Lambda(lambda x: 2 * x)
    return keras.Sequential([keras.Input((2,)), doubled])


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_bytes(b""), "cannot be loaded: "),
        (lambda path: path.write_text("text"), "cannot be loaded: "),
        (lambda path: lambda_model().save(path), "Python lambda"),
        (
            lambda path: build_gan().generator.save(path),
            "holds a Sequential, not a GAN",
        ),
    ],
)
def test_models_from_elsewhere_are_refused_in_one_line(
    tmp_path, write, message, capsys
):
    path = tmp_path / "other.keras"
    write(path)
    with pytest.raises(SystemExit) as exit_:
        run("--generate", 4, "--checkpoint", path, "--output", tmp_path)
    assert exit_.value.code == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"{path}" in last and message in last


def test_a_model_that_cannot_be_loaded_says_who_saved_it(tmp_path, capsys):
    @keras.saving.register_keras_serializable("somebody")
    class Own(keras.layers.Layer):
        def call(self, images):
            return images

    def build(seed):
        gan = build_gan(seed)
        networks = keras.Sequential([*gan.generator.layers, Own()])
        networks.build((None, 4))
        gan = GAN(networks, gan.discriminator)
        gan.compile("adam", "adam")
        return gan

    run("--output", tmp_path, "--epochs", 1, build=build)
    keras.saving.get_custom_objects().pop("somebody>Own")
    with pytest.raises(SystemExit):
        run("--output", tmp_path, "--generate", 4)
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"saved by gan_blocks 0.1.0 and Keras {keras.version()}" in last
    assert "Own" in last


def test_a_full_disk_under_the_output_does_not_end_the_run(
    tmp_path, monkeypatch, caplog
):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        run("--output", tmp_path)
    assert (tmp_path / "checkpoints" / "epoch_0003.keras").exists()
    (message,) = caplog.messages
    assert message.startswith("nothing more is printed")


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="has processes, see below"
)
def test_a_run_on_the_devices_it_is_told(tmp_path, capsys):
    (device, *_) = keras.distribution.list_devices()
    run("--output", tmp_path / "one", "--devices", device)
    run("--output", tmp_path / "all", "--devices", "all", "--epochs", 1)
    assert [row["step"] for row in table(tmp_path / "one")] == ["5", "10", "15"]
    arguments = json.loads((tmp_path / "one" / "arguments.json").read_text())
    assert "devices" not in arguments  # It may go on elsewhere.
    capsys.readouterr()
    with pytest.raises(SystemExit):
        run("--output", tmp_path / "none", "--devices", device, "gpu:77")
    message = capsys.readouterr().err
    assert f"there is no gpu:77 here; there is {device}" in message
    assert not (tmp_path / "none").exists()


def test_a_batch_that_devices_cannot_share_is_refused(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(cli.training.devices, "number", lambda: 3)
    with pytest.raises(SystemExit):
        run("--output", tmp_path)
    message = "--batch-size 8 cannot be shared by 3 devices"
    assert message in capsys.readouterr().err


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="of torch")
@pytest.mark.every_backend
def test_devices_of_torch_want_a_process_each(tmp_path, capsys):
    for words, message in (
        (["all"], "torchrun --nproc-per-node=gpu"),
        (["gpu:0"], "--devices all"),
    ):
        with pytest.raises(SystemExit):
            run("--output", tmp_path, "--devices", *words)
        assert message in capsys.readouterr().err
