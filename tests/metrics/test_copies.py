import numpy as np
import pytest
from support.models import pooling_model, random_images

from gan_blocks import images, metrics


def training_images(count=200, size=16, seed=0):
    """Returns smooth random images, as uint8."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(-1, 1, (count, 4, 4, 3))
    smooth = coarse.repeat(size // 4, axis=1).repeat(size // 4, axis=2)
    return images.to_uint8(smooth)


@pytest.mark.every_backend
def test_a_gan_that_repeats_its_training_images_is_reported():
    real = training_images()
    fake = images.from_uint8(real[50:150]) * 0.9
    copies = metrics.find_copies(real, fake)
    assert copies.indices[:, 0].tolist() == [*range(50, 150)]
    assert copies.share == 1 and copies.memorized
    assert "100 of 100 generated pictures" in str(copies)
    assert "copies training pictures" in str(copies)


@pytest.mark.every_backend
def test_new_images_are_not_reported():
    copies = metrics.find_copies(
        training_images(), training_images(count=100, seed=1)
    )
    assert copies.share < 0.25 and not copies.memorized
    assert copies.expected == pytest.approx(0.1)
    assert "about 10 would be" in str(copies) and "no sign" in str(copies)


@pytest.mark.every_backend
@pytest.mark.parametrize("blended", [50, 200])
def test_blurred_images_are_not_copies(blended):
    real = training_images()
    order = np.random.default_rng(0).permuted([np.arange(200)] * 40, axis=1)
    parts = images.from_uint8(real)[order[:, :blended]]
    copies = metrics.find_copies(real, parts.mean(axis=1))
    assert copies.ratios.min() > 0.9
    assert copies.share < 0.25 and not copies.memorized


def test_darker_noisy_copies_are_found():
    real = training_images()
    noise = np.random.default_rng(0).normal(0, 0.1, real.shape)
    fake = (0.8 * images.from_uint8(real) - 0.1 + noise).clip(-1, 1)
    copies = metrics.find_copies(real, fake)
    assert copies.share > 0.9 and copies.memorized


def test_shifted_copies_are_found():
    real = training_images(size=32)
    fake = np.roll(real, (1, -1), axis=(1, 2))
    copies = metrics.find_copies(real, fake)
    assert (copies.indices[:, 0] == np.arange(200)).all()
    assert copies.memorized


def test_mirrored_copies_are_found_if_asked_for():
    real = training_images()
    fake = real[:20, :, ::-1]
    assert not metrics.find_copies(real, fake).memorized
    copies = metrics.find_copies(real, fake, mirror=True)
    assert copies.indices[:, 0].tolist() == [*range(20)]
    assert copies.mirrored[:, 0].all()
    assert copies.distances[:, 0].max() < 1e-3


def test_identical_training_images_count_once():
    real = training_images()
    once = metrics.find_copies(real, real[:20])
    doubled = metrics.find_copies(np.concatenate([real, real]), real[:20])
    assert doubled.threshold == pytest.approx(once.threshold, rel=1e-4)
    assert doubled.indices.max() < len(real)
    assert len(set(doubled.indices[0])) == 3


def test_training_images_that_mirror_each_other_count_once_if_mirrored():
    real = training_images()
    twins = np.concatenate([real, real[:, :, ::-1]])
    once = metrics.find_copies(real, real[:20], mirror=True)
    copies = metrics.find_copies(twins, real[:20], mirror=True)
    assert copies.memorized and copies.indices.max() < len(real)
    assert copies.threshold == pytest.approx(once.threshold, rel=1e-4)
    # Without `mirror`, they are different images.
    copies = metrics.find_copies(twins, twins[-20:])
    assert copies.indices[:, 0].tolist() == [*range(380, 400)]


def test_the_result_is_the_same_in_each_process(monkeypatch):
    monkeypatch.setattr("gan_blocks.metrics.copies._SAMPLE", 50)
    real = training_images()
    expected = metrics.find_copies(real, real[:5]).threshold
    for salt in (b"1", b"2"):  # Python's hashes differ from process to process.
        monkeypatch.setattr(
            "gan_blocks.metrics.copies.hash",
            lambda value, salt=salt: hash(value + salt),
            raising=False,
        )
        assert metrics.find_copies(real, real[:5]).threshold == expected


def test_more_neighbors_than_the_ratio_compares_can_be_found():
    real = training_images()
    copies = metrics.find_copies(real, real[:5], neighbors=30)
    assert copies.distances.shape == copies.mirrored.shape == (5, 30)
    few = metrics.find_copies(real, real[:5])
    np.testing.assert_allclose(copies.ratios, few.ratios, atol=1e-4)


def test_the_nearest_training_images_come_first():
    real = random_images(40)
    copies = metrics.find_copies(real, real[:5], 4, features=pooling_model())
    quarters = real.reshape(40, 2, 4, 2, 4).mean((2, 4)).reshape(40, 4)
    squares = np.square(quarters[:5, None] - quarters).mean(axis=2)
    expected = np.argsort(squares)[:, :4]
    np.testing.assert_array_equal(copies.indices, expected)
    distances = np.sqrt(np.take_along_axis(squares, expected, axis=1))
    np.testing.assert_allclose(copies.distances, distances, atol=1e-3)


def test_a_large_training_set_is_compared_in_chunks(monkeypatch):
    real, fake = training_images(), training_images(count=9, seed=1)
    whole = metrics.find_copies(real, fake)
    monkeypatch.setattr("gan_blocks.metrics._neighbors._VALUES", 400)
    parts = metrics.find_copies(real, fake)
    np.testing.assert_array_equal(parts.indices, whole.indices)
    assert parts.threshold == pytest.approx(whole.threshold, rel=1e-4)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_generated_images_are_drawn_beside_their_neighbors(channels):
    random = np.random.default_rng(0)
    real = random.integers(0, 256, (30, 8, 6, channels), "uint8")
    fake = images.from_uint8(real[[5, 3, 7], :, ::-1])
    fake[1] *= 0.5
    copies = metrics.find_copies(real, fake, mirror=True)
    sheet = metrics.draw_neighbors(copies, real, fake, number=3)
    pixels = np.asarray(sheet).reshape(2, 8, 9, 6, channels).swapaxes(1, 2)
    np.testing.assert_array_equal(pixels[0, 0], pixels[0, 1])
    np.testing.assert_array_equal(pixels[0, 5], pixels[0, 6])
    assert not pixels[0, 4].any()
    # The worst copy is the last one, beside its mirrored training image.
    np.testing.assert_array_equal(pixels[1, 1], real[3, :, ::-1])


def test_images_of_another_size_are_an_error():
    real = training_images(20)
    with pytest.raises(ValueError, match="same height, width and channels"):
        metrics.find_copies(real, real[:, :8])


def test_too_few_training_images_are_an_error():
    real = training_images(2)
    with pytest.raises(ValueError, match="more than `neighbors` different"):
        metrics.find_copies(real[[0, 1, 1, 0]], real)
