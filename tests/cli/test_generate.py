import shutil

import keras
import numpy as np
import pytest
from PIL import Image
from support import gans
from support.trained_runs import command

from gan_blocks import GAN, images, runs


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_a_run_and_its_newest_checkpoint_generate_the_same_pictures(
    run, gan, capsys
):
    expected = images.grid(gan.generate(6, seed=3))
    for model, name in (
        (run.path, "generated_6_seed_3.png"),
        (run.latest_checkpoint(), "generated_6_seed_3_epoch_0002.png"),
    ):
        command("generate", model, "--number", 6, "--seed", 3)
        path = capsys.readouterr().out.strip()
        assert path.endswith(name)
        np.testing.assert_array_equal(pixels(path), np.asarray(expected))
    assert pixels(path).std() > 0


def test_the_best_model_of_a_run_is_used_if_it_has_one(run, tmp_path, capsys):
    shutil.copytree(run.path, tmp_path, dirs_exist_ok=True)
    best = tmp_path / "best.keras"
    first, last = runs.list_checkpoints(run.checkpoints)
    for model, text in (
        (first, f"Model: {best}, step 2 of 4\n"),
        (last, f"Model: {best}, step 4 of 4\n"),
    ):
        shutil.copy(model, best)
        command("generate", tmp_path, "--number", 6)
        *lines, path = capsys.readouterr().out.splitlines(keepends=True)
        assert "".join(lines) == text
        gan = keras.saving.load_model(model)
        expected = images.grid(gan.generate(6, seed=0))
        np.testing.assert_array_equal(pixels(path.strip()), expected)
    best.write_bytes(b"damaged")
    command("generate", tmp_path, "--number", 6)
    (path,) = capsys.readouterr().out.splitlines()
    np.testing.assert_array_equal(pixels(path), expected)


def test_scale_enlarges_each_pixel_of_the_grid(run, tmp_path):
    output = tmp_path / "new" / "grid.png"
    command(
        "generate", run.path, "--number", 2, "--scale", 5, "--output", output
    )
    picture = pixels(output)
    assert picture.shape == (20, 40)
    assert (picture.reshape(4, 5, 8, 5).std(axis=(1, 3)) == 0).all()


def test_each_picture_can_have_a_file_of_its_own(run, gan, tmp_path, capsys):
    words = ("--number", 5, "--separate", "--folder", tmp_path)
    command("generate", run.path, *words)
    assert capsys.readouterr().out.strip() == str(tmp_path)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == [f"0000{i}.png" for i in range(5)]
    expected = images.to_uint8(gan.generate(5, seed=0))[..., 0]
    np.testing.assert_array_equal([pixels(file) for file in files], expected)


def test_truncation_multiplies_the_latents(run, gan, tmp_path):
    output = tmp_path / "grid.png"
    words = ("--number", 1, "--truncation", 0.5, "--output", output)
    command("generate", run.path, *words)
    (image,) = gan.generate(latents=0.5 * gan.sample_latents(1, seed=0))
    np.testing.assert_array_equal(
        pixels(output), images.to_uint8(image)[..., 0]
    )


def test_labels_choose_the_classes_in_turn(class_run, tmp_path):
    gan = keras.saving.load_model(class_run / "checkpoints/epoch_0001.keras")
    output = tmp_path / "grid.png"
    for word, labels in (("2", [2] * 5), ("1,0", [1, 0, 1, 0, 1])):
        words = ("--number", 5, "--labels", word, "--output", output)
        command("generate", class_run, *words)
        expected = gan.generate(5, labels=np.array(labels), seed=0)
        np.testing.assert_array_equal(
            pixels(output), np.asarray(images.grid(expected))
        )


def test_models_of_one_folder_have_pictures_of_their_own(run, tmp_path):
    for path in runs.list_checkpoints(run.checkpoints):
        shutil.copy(path, tmp_path)
    for path in sorted(tmp_path.glob("*.keras")):
        command("generate", path, "--number", 2)
        command("interpolate", path, "--number", 2, "--steps", 3)
        command("explore", path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        name.format(f"epoch_000{epoch}")
        for epoch in (1, 2)
        for name in (
            "{}.keras",
            "explorer_{}.html",
            "generated_2_seed_0_{}.png",
            "interpolated_2_seed_0_{}.gif",
            "interpolated_2_seed_0_{}_strips.png",
        )
    )


def test_the_file_names_tell_labels_and_truncation(class_run):
    words = ("--labels", "0,2", "--truncation", 0.7)
    command("generate", class_run, *words)
    name = "generated_64_seed_0_truncation_0.7_labels_0_2.png"
    assert (class_run / name).is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--labels", "3"], "--labels must be from 0 to 2"),
        (["--truncation", "0"], "must be positive"),
        (["--labels", "a"], "must be like 3 or 0,1,2"),
        (["--folder", "f"], "--folder needs --separate"),
        (["--output", "grid.jpg"], "must end in .png"),
        (["--number", "0"], "must be at least 1"),
    ],
)
def test_wrong_options_are_reported_in_one_line(
    class_run, words, message, capsys
):
    with pytest.raises(SystemExit):
        command("generate", class_run, *words)
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_options_that_the_gan_lacks_are_reported(run, tmp_path, capsys):
    with pytest.raises(SystemExit):
        command("generate", run.path, "--labels", 0)
    assert "--labels needs a GAN with classes" in capsys.readouterr().err
    path = tmp_path / "gan.keras"
    gans.compiled(GAN(gans.generator(), gans.discriminator(), "uniform")).save(
        path
    )
    with pytest.raises(SystemExit):
        command("generate", path, "--truncation", 0.5)
    assert "needs a GAN with normal latents" in capsys.readouterr().err
