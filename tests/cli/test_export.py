import importlib.util
import re
import shlex
import subprocess
import sys

import keras
import numpy as np
import pytest
from support.trained_runs import command

from gan_blocks.runs import latest_checkpoint

# Programs without gan_blocks that use the inputs in `arrays`, by name.
READERS = {
    "": """
import tensorflow as tf
model = tf.saved_model.load(path)
images = model.signatures["serving_default"](
    **{name: tf.constant(array) for name, array in arrays.items()}
)["images"].numpy()
""",
    ".tflite": """
import tensorflow as tf
model = tf.lite.Interpreter(path)
for place in model.get_input_details():
    name = place["name"].removeprefix("serving_default_").split(":")[0]
    model.resize_tensor_input(place["index"], arrays[name].shape)
images = model.get_signature_runner()(**arrays)["images"]
""",
    ".onnx": """
import onnxruntime
model = onnxruntime.InferenceSession(path)
images, = model.run(["images"], arrays)
""",
}
READ = """
import sys
import numpy as np
path, folder = sys.argv[1:]
arrays = dict(np.load(folder + "/inputs.npz"))
{}
np.save(folder + "/images.npy", images)
assert "gan_blocks" not in sys.modules
"""


def test_an_exported_keras_file_is_the_averaged_generator(run, gan, tmp_path):
    file = tmp_path / "new" / "generator.keras"
    command("export", run.path, file)
    generator = keras.saving.load_model(file)
    latents = gan.sample_latents(5, seed=0)
    generated = keras.ops.convert_to_numpy(generator(latents))
    expected = gan.generate(latents=latents)
    np.testing.assert_allclose(generated, expected, atol=1e-6)
    current = keras.ops.convert_to_numpy(gan.generator(latents))
    assert np.abs(generated - current).max() > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("conditional", [False, True], ids=["plain", "classes"])
@pytest.mark.parametrize("suffix", READERS)
def test_other_programs_generate_the_same_from_an_exported_file(
    suffix, conditional, run, class_run, tmp_path
):
    if suffix == ".onnx":
        pytest.importorskip("tf2onnx")
        pytest.importorskip("onnxruntime")
    folder = class_run if conditional else run.path
    exported = tmp_path / f"generator{suffix}"
    command("export", folder, exported)
    checkpoint = latest_checkpoint(folder / "checkpoints")
    gan = keras.saving.load_model(checkpoint)
    arrays = {"latents": gan.sample_latents(5, seed=0)}
    if conditional:
        arrays["labels"] = np.array([2, 0, 1, 1, 2], "int32")
    np.savez(tmp_path / "inputs.npz", **arrays)
    code = READ.format(READERS[suffix])
    words = [sys.executable, "-c", code, exported, tmp_path]
    subprocess.run(words, check=True, capture_output=True)
    np.testing.assert_allclose(
        np.load(tmp_path / "images.npy"), gan.generate(**arrays), atol=1e-5
    )


def test_an_export_tells_what_goes_in_and_comes_out(
    run, class_run, tmp_path, capsys
):
    file = tmp_path / "generator.keras"
    command("export", run.path, file)
    assert capsys.readouterr().out.splitlines() == [
        str(file),
        "Inputs:",
        "  latents: float32, shape (batch, 6), normal: mean 0, standard "
        "deviation 1",
        "Output:",
        "  images: float32, shape (batch, 4, 4, 1), from -1 to 1",
    ]
    command("export", class_run, file)
    assert "labels: int32, shape (batch,), classes, from 0 to 2" in (
        capsys.readouterr().out
    )


def test_a_missing_package_is_named_with_the_command_to_install_it(
    run, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as exit_:
        command("export", run.path, tmp_path / "generator.onnx")
    assert exit_.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    name, shell = re.search('the package "(.+)", .* with: (.+)', line).groups()
    *_, python, minus, pip, install, package = shlex.split(shell)
    assert [minus, pip, install, package] == ["-m", "pip", "install", name]
    code = "import importlib.util as u; assert u.find_spec('gan_blocks')"
    assert subprocess.run([python, "-c", code], check=False).returncode == 0


def test_a_failed_export_is_reported_in_one_line(
    run, tmp_path, monkeypatch, capsys
):
    def fail(*args, **kwargs):
        raise TypeError("first line\nsecond line")

    monkeypatch.setattr(keras.Model, "export", fail)
    with pytest.raises(SystemExit) as exit_:
        command("export", run.path, tmp_path / "generator")
    assert exit_.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("first line second line") or "KERAS_BACKEND" in line


def test_an_unknown_format_is_refused(run, capsys):
    with pytest.raises(SystemExit):
        command("export", run.path, "generator.h5")
    message = "must end in .onnx, .tflite, .keras or nothing"
    assert message in capsys.readouterr().err
