import keras
import numpy as np
import pytest
from keras import ops
from support import gans

pytestmark = pytest.mark.every_backend


def test_the_first_images_of_a_seed_do_not_depend_on_their_number():
    gan = gans.compiled()
    for statistics in (False, True):
        options = {"seed": 3, "batch_size": 4, "batch_statistics": statistics}
        many = gan.generate(num_images=10, **options)
        assert many.shape == (10, 4, 4, 1)
        assert many.dtype == np.float32
        assert np.abs(many).max() <= 1
        few = gan.generate(num_images=3, **options)
        np.testing.assert_allclose(few, many[:3], atol=1e-6)


def test_generate_draws_new_images_without_a_seed():
    gan = gans.compiled()
    assert (gan.generate(4) != gan.generate(4)).any()
    gans.assert_same([gan.generate(4, seed=1)], [gan.generate(4, seed=1)])


def test_an_image_does_not_depend_on_its_batch_with_moving_statistics():
    gan = gans.compiled()
    gan.fit(gans.images(), batch_size=8, verbose=0)
    latents = gan.sample_latents(6, seed=0)
    together = gan.generate(latents=latents)
    alone = np.concatenate(
        [gan.generate(latents=latents[i : i + 1]) for i in range(6)]
    )
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_batch_statistics_do_not_normalize_a_single_image_away():
    gan = gans.compiled()
    a, b = (
        gan.generate(
            latents=gan.sample_latents(1, seed=seed), batch_statistics=True
        )
        for seed in (1, 2)
    )
    assert np.abs(a - b).max() > 1e-3


def test_generate_and_evaluate_change_nothing():
    gan = gans.compiled(gans.small_gan(ema_momentum=0.9))
    gan.fit(gans.images(), verbose=0)
    noise = gan.evaluation_noise.state
    state = [v for v in gan.variables if v is not noise]
    before = gans.values([*state, *gan.optimizer.variables])
    gan.generate(10, batch_statistics=True)
    logs = gan.evaluate(gans.images(), verbose=0, return_dict=True)
    assert set(logs) == gans.LOGS
    gans.assert_same(before, gans.values([*state, *gan.optimizer.variables]))


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("Exactly one of", {}),
        ("Exactly one of", {"num_images": 3, "latents": np.zeros((3, 6))}),
        ("`latents` must be numbers", {"latents": np.zeros((3, 7))}),
        ("`latents` must be numbers", {"latents": np.zeros((0, 6))}),
        ("`latents` must be numbers", {"latents": np.full((3, 6), "a")}),
        ("`latents` must be numbers", {"latents": 3.0}),
        ("`num_images` must be", {"num_images": 0}),
        ("`num_images` must be", {"num_images": 2.5}),
        ("`batch_size` must be", {"num_images": 3, "batch_size": 0}),
        ("`seed` must be", {"num_images": 3, "seed": 2.5}),
        ("`seed` must be", {"num_images": 3, "seed": "a"}),
    ],
)
def test_generate_refuses_invalid_arguments(message, arguments):
    with pytest.raises(ValueError, match=message):
        gans.compiled().generate(**arguments)


def test_numpy_integers_and_every_seed_are_accepted():
    gan = gans.compiled()
    expected = gan.generate(3, seed=5, batch_size=2)
    found = gan.generate(np.int64(3), seed=np.uint8(5), batch_size=np.int32(2))
    gans.assert_same([expected], [found])
    seeds = [0, -1, 2**31 + 1, 2**40 + 2, np.int64(-3)]
    latents = [gan.sample_latents(2, seed=seed).tobytes() for seed in seeds]
    assert len(set(latents)) == len(seeds)


def test_an_export_contains_the_averaged_generator(tmp_path):
    gan = gans.compiled(gans.small_gan(ema_momentum=0.9))
    gan.fit(gans.images(), batch_size=8, verbose=0)
    latents = gan.sample_latents(3, seed=0)
    if keras.backend.backend() != "tensorflow":
        with pytest.raises(ValueError, match=r"averaged_generator\(\)"):
            gan.export(tmp_path / "gan", format="no format")
        return
    gan.export(tmp_path / "gan", verbose=False)
    exported = keras.layers.TFSMLayer(tmp_path / "gan", "serve")
    images = ops.convert_to_numpy(exported(latents))
    np.testing.assert_allclose(images, gan.generate(latents=latents), atol=1e-6)
