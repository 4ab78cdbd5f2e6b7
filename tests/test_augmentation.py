import keras
import numpy as np
import pytest
from keras import ops

from gan_blocks import GAN, gradients, layers, networks, penalties

every_backend = pytest.mark.every_backend
DEFAULT = ("color", "translation", "cutout")
ALL = ("color", "flip", "rotation", "translation", "cutout")


def pictures(*shape, seed=0):
    random = np.random.default_rng(seed)
    return random.uniform(-1, 1, shape).astype("float32")


def augmented(images, *policy, seed=1, **options):
    layer = layers.DiffAugment(policy or DEFAULT, seed=seed, **options)
    return ops.convert_to_numpy(layer(images, training=True))


@every_backend
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_nothing_leaks_at_a_probability_of_zero_or_out_of_training(dtype):
    images = ops.cast(pictures(4, 8, 8, 3), dtype.removeprefix("mixed_"))
    never = layers.DiffAugment(ALL, probability=0.0, dtype=dtype)
    adaptive = layers.AdaptiveAugment(ALL, dtype=dtype)
    always = layers.DiffAugment(ALL, dtype=dtype)
    for outputs in (
        never(images, training=True),
        adaptive(images, training=True),
        always(images, training=False),
        always(images),
    ):
        assert outputs.dtype == images.dtype
        np.testing.assert_array_equal(
            *(
                ops.convert_to_numpy(ops.cast(x, "float32"))
                for x in (images, outputs)
            )
        )


def test_brightness_saturation_and_contrast_are_affine_in_their_ranges():
    # Of images of one value in each channel, all changes are of the channels.
    channels = np.array([-0.5, 0.2, 0.7], "float32")
    images = np.broadcast_to(channels, (512, 8, 8, 3))
    changed = augmented(images, "color")
    assert np.ptp(changed, axis=(1, 2)).max() < 1e-6
    changed = changed[:, 0, 0]
    gray = channels.mean()
    brightness = changed.mean(axis=1) - gray
    assert -0.5 <= brightness.min() < -0.45 and 0.45 < brightness.max() <= 0.5
    # Saturation times contrast: 0 to 2 times 0.5 to 1.5.
    scales = (changed - changed.mean(1, keepdims=True)) / (channels - gray)
    np.testing.assert_allclose(scales.std(axis=1), 0, atol=1e-5)
    assert 0 <= scales.min() and 2 < scales.max() <= 3
    # Gray pictures have no saturation: this is the contrast alone.
    images = np.concatenate(
        [-np.ones((512, 8, 4, 1)), np.ones((512, 8, 4, 1))], 2
    )
    changed = augmented(images.astype("float32"), "color")[:, 0, :, 0]
    contrasts = (changed[:, -1] - changed[:, 0]) / 2
    assert 0.5 <= contrasts.min() < 0.55 and 1.45 < contrasts.max() <= 1.5


@every_backend
def test_translation_moves_by_up_to_an_eighth_and_fills_with_zeros():
    images = np.zeros((400, 16, 24, 1), "float32")
    images[:, 8, 12] = 1
    moved = augmented(images, "translation")[..., 0]
    assert (moved.sum((1, 2)) == 1).all()
    _, rows, columns = moved.nonzero()
    assert set(rows) == set(range(6, 11))
    assert set(columns) == set(range(9, 16))
    edge = augmented(np.ones((50, 16, 16, 1), "float32"), "translation")
    assert set(np.unique(edge)) == {0.0, 1.0}


def test_cutout_zeroes_a_rectangle_of_half_the_size_or_what_the_border_leaves():
    cut = augmented(np.ones((300, 12, 8, 2), "float32"), "cutout") == 0
    assert (cut[..., 0] == cut[..., 1]).all()
    heights, widths = cut[..., 0].any(2).sum(1), cut[..., 0].any(1).sum(1)
    np.testing.assert_array_equal(cut[..., 0].sum((1, 2)), heights * widths)
    assert (heights.max(), widths.max()) == (6, 4)
    assert (heights.min(), widths.min()) == (3, 2)


def test_flips_and_turns_are_those_of_numpy():
    images = np.broadcast_to(pictures(1, 5, 5, 2), (200, 5, 5, 2))
    flipped = augmented(images, "flip")
    mirrored = (flipped == images[:, :, ::-1]).all((1, 2, 3))
    same = (flipped == images).all((1, 2, 3))
    assert (mirrored ^ same).all() and 60 < mirrored.sum() < 140
    turned = augmented(images, "rotation")
    counts = [
        (turned == np.rot90(images, k, (1, 2))).all((1, 2, 3)).sum()
        for k in range(4)
    ]
    assert sum(counts) == 200 and min(counts) > 25


def test_each_operation_is_done_with_the_probability_to_each_image():
    images = np.zeros((1000, 8, 8, 1), "float32")
    images[:, 4, 4] = 1
    moved = augmented(images, "translation", probability=0.3) != images
    share = moved.any((1, 2, 3)).mean() / (1 - 1 / 9)  # Some move by nothing.
    assert 0.25 < share < 0.35


@every_backend
@pytest.mark.parametrize("operation", ALL)
def test_gradients_are_those_of_an_affine_function(operation):
    images = pictures(3, 8, 8, 3)
    direction = pictures(3, 8, 8, 3, seed=5)
    cotangent = pictures(3, 8, 8, 3, seed=6)

    def run(inputs):  # A new layer each time, to draw the same numbers.
        layer = layers.DiffAugment((operation,), seed=3)
        return layer(inputs, training=True)

    outputs, pullback = gradients.input_vjp(
        run, ops.convert_to_tensor(images), differentiable=True
    )
    gradient = ops.convert_to_numpy(pullback(ops.convert_to_tensor(cotangent)))
    along = ops.convert_to_numpy(
        run(images + direction)
    ) - ops.convert_to_numpy(outputs)
    np.testing.assert_allclose(
        (gradient * direction).sum(), (along * cotangent).sum(), rtol=1e-4
    )


@every_backend
def test_the_probability_follows_what_the_discriminator_is_sure_of():
    layer = layers.AdaptiveAugment(images_to_adapt=100, maximum=0.5)
    seen = []
    for logits in ([[1.0]] * 20, [[1.0]] * 8 + [[-1.0]] * 2, [[3.0]] * 50):
        layer.observe(ops.convert_to_tensor(logits))
        seen.append(float(ops.convert_to_numpy(layer.probability)))
    # 100% are positive: up. 80% are no more than the target: down.
    assert seen == pytest.approx([0.2, 0.1, 0.5])
    layer.observe(ops.convert_to_tensor([[-1.0]] * 90))
    assert float(ops.convert_to_numpy(layer.probability)) == 0


@every_backend
def test_a_gan_trains_through_it_and_saves_the_probability(tmp_path):
    augment = layers.AdaptiveAugment(images_to_adapt=40, target=-0.9)
    discriminator = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            augment,
            networks.mlp_discriminator((8, 8, 1), units=(4,)),
        ]
    )
    gan = GAN(
        networks.mlp_generator((8, 8, 1), latent_dim=2, units=(4,)),
        discriminator,
        seed=0,
    )
    gan.compile("adam", "adam", penalty=penalties.R1(0.1))
    gan.fit(pictures(16, 8, 8, 1), batch_size=8, verbose=0)
    probability = float(ops.convert_to_numpy(augment.probability))
    # Two steps, each of which rises by 0.2 unless all are taken for generated.
    assert probability in (pytest.approx(0.2), pytest.approx(0.4), 0.0)
    gan.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    again = loaded.discriminator.layers[0]
    assert float(ops.convert_to_numpy(again.probability)) == probability
    histories = [
        one.fit(pictures(16, 8, 8, 1), verbose=0, shuffle=False).history
        for one in (gan, loaded)
    ]
    for name, values in histories[0].items():
        assert values == pytest.approx(histories[1][name], rel=1e-5)


@every_backend
def test_channels_may_come_first():
    images = pictures(4, 8, 6, 3)
    last = augmented(images)
    first = augmented(
        images.transpose(0, 3, 1, 2), data_format="channels_first"
    )
    np.testing.assert_allclose(first.transpose(0, 2, 3, 1), last, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.DiffAugment(("colour",)), "`policy` must be"),
        (lambda: layers.DiffAugment(()), "`policy` must be"),
        (lambda: layers.DiffAugment(probability=1.1), "`probability`"),
        (lambda: layers.AdaptiveAugment(target=1), "`target`"),
        (
            lambda: layers.AdaptiveAugment(images_to_adapt=0),
            "`images_to_adapt`",
        ),
        (lambda: layers.AdaptiveAugment(maximum=-0.1), "`maximum`"),
        (
            lambda: layers.AdaptiveAugment()(np.zeros((1, 8, 6, 1))),
            "not square",
        ),
    ],
)
def test_what_cannot_be_augmented_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
