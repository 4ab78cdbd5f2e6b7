import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image
from test_cli import build_gan, names, run
from test_quality import pooled

from gan_blocks import GAN
from gan_blocks.cli.command import main


def command(*words):
    main([str(word) for word in words])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Returns the folder of a run whose GAN has a moving average."""

    def averaged(seed):
        plain = build_gan(seed)
        gan = GAN(
            plain.generator, plain.discriminator, ema_momentum=0.9, seed=seed
        )
        gan.compile("adam", "adam")
        return gan

    folder = tmp_path_factory.mktemp("trained")
    run("--output", folder, build=averaged)
    return folder


@pytest.fixture
def gan(trained):
    return keras.saving.load_model(trained / "checkpoints" / "epoch_0003.keras")


def test_a_run_and_its_last_checkpoint_draw_the_same_pictures(trained, capsys):
    checkpoint = trained / "checkpoints" / "epoch_0003.keras"
    pictures = []
    for model in (trained, checkpoint):
        command("generate", model, "--number", 6, "--seed", 3)
        path = capsys.readouterr().out.strip()
        assert path.endswith("generated_6_seed_3.png")
        with Image.open(path) as picture:
            pictures.append(np.asarray(picture))
    np.testing.assert_array_equal(*pictures)
    assert pictures[0].std() > 0


def test_an_exported_keras_file_is_the_averaged_generator(
    trained, gan, tmp_path
):
    command("export", trained, tmp_path / "new" / "generator.keras")
    generator = keras.saving.load_model(tmp_path / "new" / "generator.keras")
    latents = gan.sample_latents(5, seed=0)
    drawn = keras.ops.convert_to_numpy(generator(latents))
    expected = gan.generate(latents=latents)
    np.testing.assert_allclose(drawn, expected, atol=1e-6)
    moment = keras.ops.convert_to_numpy(gan.generator(latents))
    assert np.abs(drawn - moment).max() > 1e-4


READERS = {
    "": """
import tensorflow as tf
model = tf.saved_model.load(path)
images = model.serve(latents).numpy()
""",
    ".tflite": """
import tensorflow as tf
model = tf.lite.Interpreter(path)
place = model.get_input_details()[0]["index"]
model.resize_tensor_input(place, latents.shape)
model.allocate_tensors()
model.set_tensor(place, latents)
model.invoke()
images = model.get_tensor(model.get_output_details()[0]["index"])
""",
    ".onnx": """
import onnxruntime
model = onnxruntime.InferenceSession(path)
images, = model.run(None, {model.get_inputs()[0].name: latents})
""",
}


# Keras makes tf2onnx, which is older, find NumPy's former names.
@pytest.mark.filterwarnings("ignore:.*np.object:FutureWarning")
@pytest.mark.parametrize("suffix", READERS)
def test_an_exported_generator_draws_the_same_without_gan_blocks(
    suffix, trained, gan, tmp_path
):
    if suffix == ".onnx":
        pytest.importorskip("tf2onnx")
        pytest.importorskip("onnxruntime")
    exported = tmp_path / f"generator{suffix}"
    command("export", trained, exported)
    latents = gan.sample_latents(5, seed=0)
    np.save(tmp_path / "latents.npy", latents)
    code = f"""
import sys
import numpy as np
path, folder = sys.argv[1:]
latents = np.load(folder + "/latents.npy")
{READERS[suffix]}
np.save(folder + "/images.npy", images)
assert "gan_blocks" not in sys.modules
"""
    words = [sys.executable, "-c", code, exported, tmp_path]
    subprocess.run(words, check=True, capture_output=True)
    np.testing.assert_allclose(
        np.load(tmp_path / "images.npy"),
        gan.generate(latents=latents),
        atol=1e-5,
    )


def test_a_saved_gan_is_measured_against_pictures(trained, tmp_path, capsys):
    random = np.random.default_rng(0)
    np.save(tmp_path / "real.npy", random.integers(0, 256, (60, 8, 8), "uint8"))
    pooled().save(tmp_path / "features.keras")
    command(
        *("evaluate", trained, "--data", tmp_path / "real.npy"),
        *("--number", 60, "--features", tmp_path / "features.keras"),
    )
    assert "kid" in capsys.readouterr().out
    written = json.loads((trained / "quality_60_seed_0.json").read_text())
    assert written["protocol"]["model"] == "epoch_0003.keras"
    assert written["protocol"]["number_of_real_images"] == 60


def test_the_grids_of_a_run_become_a_film(trained, tmp_path):
    command("animate", trained, tmp_path / "run.gif")
    with Image.open(tmp_path / "run.gif") as film:
        assert film.n_frames == len(names(trained / "grids"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("generate", "{none}"), "there is no checkpoint in"),
        (("generate", "{none}/gan.keras"), "there is no file"),
        (("export", "{run}", "generator.h5"), "must end in .onnx"),
        (("evaluate", "{run}", "--data", "{none}"), "--data"),
        (("animate", "{none}"), "at least one frame"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    words, message, trained, tmp_path, capsys
):
    places = {"run": trained, "none": tmp_path / "none"}
    with pytest.raises(SystemExit) as exit_:
        command(*(word.format(**places) for word in words))
    assert exit_.value.code == 1
    assert message in capsys.readouterr().err
