import subprocess
import sys
import types

import keras
import pytest
from support import gans
from support.trained_runs import command, train_run

from gan_blocks import GAN
from gan_blocks._version import __version__
from gan_blocks.cli.command import main

ACTIONS = (
    *("train", "generate", "interpolate", "evaluate", "animate", "export"),
    *("explore", "page"),
)


def test_help_does_not_import_keras_or_numpy():
    code = """
import sys
from gan_blocks.cli.command import main
for words in (["--help"], ["generate", "--help"]):
    try:
        main(words)
    except SystemExit:
        pass
print({"keras", "numpy"} & set(sys.modules), file=sys.stderr)
"""
    words = [sys.executable, "-c", code]
    result = subprocess.run(words, capture_output=True, text=True, check=True)
    assert result.stderr == "set()\n"


@pytest.mark.parametrize("action", ACTIONS)
def test_each_action_has_help_with_a_valid_example(action, capsys, monkeypatch):
    with pytest.raises(SystemExit) as exit_:
        command(action, "--help")
    assert exit_.value.code == 0
    *_, before, example = capsys.readouterr().out.splitlines()
    assert before == "Example:"
    words = example.split()
    assert words[:2] == ["gan_blocks", action]
    calls = []
    module = types.SimpleNamespace()
    setattr(module, action, lambda **arguments: calls.append(arguments))
    monkeypatch.setattr("importlib.import_module", lambda name: module)
    command(*words[1:])
    assert len(calls) == 1


def test_python_can_run_the_package():
    words = [sys.executable, "-m", "gan_blocks", "--version"]
    result = subprocess.run(words, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == __version__


@pytest.mark.slow
def test_nothing_but_the_answer_is_printed(run):
    words = [sys.executable, "-m", "gan_blocks", "generate", run.path]
    result = subprocess.run(words, capture_output=True, text=True, check=True)
    assert result.stdout == f"{run.path / 'generated_64_seed_0.png'}\n"
    assert result.stderr == ""


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
            lambda path: gans.generator().save(path),
            "contains a Sequential, not a GAN",
        ),
    ],
    ids=["empty", "text", "lambda", "no GAN"],
)
def test_other_files_are_refused_in_one_line(tmp_path, write, message, capsys):
    path = tmp_path / "other.keras"
    write(path)
    with pytest.raises(SystemExit) as exit_:
        command("generate", path)
    assert exit_.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line and message in line


def test_a_model_that_cannot_be_loaded_says_which_versions_saved_it(
    tmp_path, capsys
):
    @keras.saving.register_keras_serializable("somebody")
    class Own(keras.layers.Layer):
        def call(self, images):
            return images

    generator = keras.Sequential([*gans.generator().layers, Own()])
    generator.build((None, 6))
    run = train_run(tmp_path, GAN(generator, gans.discriminator()), epochs=1)
    keras.saving.get_custom_objects().pop("somebody>Own")
    with pytest.raises(SystemExit):
        command("generate", run.path)
    (line,) = capsys.readouterr().err.splitlines()
    versions = f"gan_blocks {__version__} and Keras {keras.version()}"
    assert f"saved with {versions}" in line
    assert "Own" in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("generate", "{none}"),
            "{none} does not exist. Pass the folder of a run.",
        ),
        (("export", "{empty}", "g.keras"), "No checkpoint found in {empty}"),
        (("interpolate", "{none}/gan.keras"), "gan.keras does not exist."),
        (("animate", "{none}"), "No grids found in {none}/grids"),
        (
            ("page", "{none}"),
            "{none} does not exist. Pass the folder of a run.",
        ),
        (("evaluate", "{run}", "--data", "{none}"), "{none} does not exist."),
        (("train", "{none}"), "{none} does not exist. Pass pictures: "),
    ],
)
def test_a_missing_file_is_reported_in_one_line(
    words, message, run, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    places = {"run": run.path, "none": tmp_path / "none"}
    places["empty"] = run.path / "grids"
    with pytest.raises(SystemExit) as exit_:
        command(*(word.format(**places) for word in words))
    assert exit_.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message.format(**places) in line
    assert not list(tmp_path.iterdir())


def test_ctrl_c_leaves_no_traceback(run, monkeypatch, capsys):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(keras.saving, "load_model", interrupt)
    with pytest.raises(SystemExit) as exit_:
        main(["generate", str(run.path)])
    assert exit_.value.code == 130
    assert "Interrupted" in capsys.readouterr().err
