import functools

import keras
import numpy as np
import pytest
from support import gans

from gan_blocks import GAN, penalties

pytestmark = pytest.mark.every_backend


def conditional_gan(**options):
    gan = GAN(*gans.conditional_networks(), num_classes=3, seed=0, **options)
    adam = functools.partial(keras.optimizers.Adam, beta_1=0.5)
    return gans.compiled(gan, adam, 0.01, penalty=penalties.R1(1.0))


def three_shades(number):
    """Returns images of a single shade, and their class, the shade."""
    labels = np.arange(number) % 3
    shades = (labels - 1) * np.float32(0.7)
    return np.tile(shades[:, None, None, None], (1, 4, 4, 1)), labels


def test_a_penalty_can_use_the_layers_of_a_conditional_discriminator():
    def penalty(discriminator, real_images, fake_images):
        kernel = discriminator.layers[-1].judge.kernel
        return keras.ops.sum(keras.ops.square(kernel))

    gan = GAN(*gans.conditional_networks(), num_classes=3, seed=0)
    gans.compiled(gan, penalty=penalty)
    logs = gan.train_on_batch(*three_shades(8), return_dict=True)
    assert logs["penalty"] > 0


def test_a_conditional_gan_learns_each_class_and_can_be_saved(tmp_path):
    gan = conditional_gan(ema_momentum=0.9)
    gan.fit(*three_shades(32 * 120), batch_size=32, verbose=0)
    shades = gan.generate(30, seed=0).mean((1, 2, 3)).reshape(10, 3).mean(0)
    assert shades[0] < -0.3 and abs(shades[1]) < 0.3 and shades[2] > 0.3
    gan.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    assert loaded.num_classes == 3
    np.testing.assert_array_equal(
        loaded.generate(5, labels=2, seed=1), gan.generate(5, labels=2, seed=1)
    )
    loaded.fit(*three_shades(32), verbose=0)


def test_generate_takes_one_label_one_per_image_or_none():
    gan = conditional_gan()
    latents = gan.sample_latents(4, seed=0)
    in_turn = gan.generate(latents=latents)
    given = gan.generate(latents=latents, labels=[0, 1, 2, 0])
    np.testing.assert_array_equal(in_turn, given)
    ones = gan.generate(latents=latents, labels=1)
    np.testing.assert_array_equal(ones[1], given[1])
    assert abs(ones[0] - given[0]).max() > 1e-6
    filled = gan.generate(latents=latents, labels=1, batch_statistics=True)
    np.testing.assert_allclose(filled, ones, atol=1e-6)


@pytest.mark.parametrize("labels", [3, -1, [0, 1], [0.5, 1.0, 0.0], [[0]] * 3])
def test_generate_refuses_labels_that_are_not_classes(labels):
    with pytest.raises(ValueError, match="3 integers from 0 to 2"):
        conditional_gan().generate(3, labels=labels)


def test_labels_and_num_classes_need_each_other():
    images, labels = three_shades(8)
    with pytest.raises(
        ValueError, match="must yield pairs of images and labels"
    ):
        conditional_gan().evaluate(images, verbose=0)
    with pytest.raises(ValueError, match=r"shape \(batch,\)"):
        conditional_gan().evaluate(images, np.eye(3)[labels], verbose=0)
    with pytest.raises(ValueError, match="must have one input. A second"):
        GAN(*gans.conditional_networks())
    with pytest.raises(ValueError, match="a label"):
        GAN(*gans.conditional_networks(label_shape=(1, 2)), num_classes=3)
    with pytest.raises(ValueError, match="num_classes"):
        GAN(*gans.conditional_networks(), num_classes=0)
    with pytest.raises(ValueError, match="must have two inputs"):
        GAN(gans.generator(), gans.conditional_networks()[1], num_classes=3)


def test_evaluate_and_predict_take_labels():
    gan = conditional_gan()
    logs = gan.evaluate(*three_shades(8), return_dict=True, verbose=0)
    assert np.isfinite(logs["d_loss"])
    latents, labels = gan.sample_latents(3, seed=0), np.arange(3)
    np.testing.assert_allclose(
        gan.predict([latents, labels], verbose=0),
        gan.generate(latents=latents),
        atol=1e-6,
    )
    with pytest.raises(ValueError, match=r"\[latents, labels\].*1 elements"):
        gan.predict([latents])
