"""Data and arguments that are refused, before any weight changes."""

import keras
import numpy as np
import pytest
from support import gans

from gan_blocks import GAN, datasets

pytestmark = pytest.mark.every_backend

IMAGES = gans.images(16)
LABELS = np.arange(16, dtype="int32") % 3
TEXT = np.full((16, 4, 4, 1), "a")


def conditional():
    return gans.compiled(GAN(*gans.conditional_networks(), num_classes=3))


def generator_of(*batches):
    yield from batches


def assert_refuses(gan, message, *data, method="fit", **options):
    """Checks that the data is refused, and that the GAN can still be used."""
    before = gans.values([*gan.variables, *gan.optimizer.variables])
    with pytest.raises(ValueError, match=message) as raised:
        if method == "fit":
            options = {"shuffle": False} | options
        getattr(gan, method)(*data, verbose=0, **options)
    assert len(str(raised.value)) < 600
    after = gans.values([*gan.variables, *gan.optimizer.variables])
    gans.assert_same(before, after)
    assert np.isfinite(gan.generate(2, seed=0)).all()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS - 1, "from 0 to 2. Received: labels from -1 to 1"),
        (LABELS + 1, "from 0 to 2. Received: labels from 1 to 3"),
        (LABELS + 0.5, r"integers.*Received: .*\(16,\) and dtype float64"),
        (LABELS.astype("float32"), "integers.*dtype float32"),
        (LABELS[:, None], r"shape \(batch,\).*\(16, 1\)"),
        ([0, 3] * 8, "labels from 0 to 3"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_labels_in_arrays_must_be_classes(labels, message, method):
    assert_refuses(conditional(), message, IMAGES, labels, method=method)


def test_labels_of_batches_must_be_classes():
    images = np.zeros((16, 4, 4, 1), "uint8")
    batches = datasets.batches(images, 8, labels=LABELS + 1)
    assert_refuses(conditional(), "labels from 1 to 3", batches)


def test_other_data_must_have_integer_labels():
    for data in (
        gans.Batches((IMAGES, LABELS + 0.5)),
        generator_of((IMAGES, LABELS + 0.5)),
    ):
        assert_refuses(conditional(), "must be integers.*float", data)


@pytest.mark.parametrize("wrong", [-1, 3])
def test_other_data_reports_wrong_labels_after_the_first_batch(wrong):
    labels = LABELS.copy()
    labels[0] = wrong
    gan = conditional()
    with pytest.raises(ValueError, match="0 to 2.*labels of which 12.50%"):
        gan.fit(gans.Batches((IMAGES, labels)), shuffle=False, verbose=0)
    assert int(gan.optimizer.iterations) == 1
    assert all(np.isfinite(value).all() for value in gans.values(gan.variables))
    with pytest.raises(ValueError, match="labels of which 6.25% are not"):
        gan.evaluate(gans.Batches((IMAGES, labels)), verbose=0)


def test_wrong_labels_of_a_later_batch_are_reported_after_the_epoch():
    labels = LABELS.copy()
    labels[-1] = 7
    with pytest.raises(ValueError, match=r"labels of which 6.25%"):
        conditional().fit(
            gans.Batches((IMAGES, labels)), shuffle=False, verbose=0
        )


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((16, 5, 5, 1)), r"\(4, 4, 1\).*\(5, 5, 1\)"),
        (np.zeros((16, 4, 4)), r"\(4, 4, 1\).*\(4, 4\)"),
        (np.zeros((4, 4, 1)), r"\(4, 4, 1\).*\(4, 1\)"),
        (TEXT, "must be numbers.*dtype <U1"),
        (TEXT.astype(object), "must be numbers.*dtype object"),
        (IMAGES.astype("complex64"), "must be numbers.*complex"),
        (IMAGES * np.nan, "must be finite.*NaN"),
        (IMAGES * np.inf, "must be finite"),
        (IMAGES[:0], "at least one image"),
        (IMAGES.tolist(), "images only.*type list"),
        ([IMAGES], "images only.*type list"),
        ((IMAGES, LABELS), "images only.*tuple of 2"),
        ({"image": IMAGES}, "images only.*type dict"),
    ],
    ids=["size", "no channels", "one image", "text", "objects", "complex"]
    + ["NaN", "infinite", "none", "numbers", "list", "pair", "dictionary"],
)
def test_images_in_arrays_must_be_finite_numbers_of_the_right_shape(
    images, message
):
    gan = gans.compiled()
    for method in ("fit", "evaluate"):
        assert_refuses(gan, message, images, method=method)
    if not isinstance(images, list | tuple):
        assert_refuses(gan, message, IMAGES, validation_data=images)


@pytest.mark.parametrize("make", [gans.Batches, generator_of])
def test_other_data_must_have_images_of_the_right_shape(make):
    gan = gans.compiled()
    wrong = np.zeros((8, 5, 5, 1), "float32")
    for method in ("fit", "evaluate"):
        assert_refuses(gan, r"\(5, 5, 1\)", make(wrong), method=method)
    gan.fit(IMAGES, verbose=0)
    assert_refuses(gan, r"\(5, 5, 1\)", make(wrong))


def test_text_in_a_dataset_is_refused():
    data = pytest.importorskip("tensorflow").data.Dataset
    text = data.from_tensor_slices(TEXT).batch(8)
    assert_refuses(gans.compiled(), "must be numbers", text)


def test_nan_in_other_data_causes_a_warning():
    images = gans.Batches(np.where(IMAGES > 0.99, np.nan, IMAGES))
    with pytest.warns(UserWarning, match="images contain NaN or infinite"):
        gans.compiled().fit(images, shuffle=False, verbose=0)


@pytest.mark.parametrize("name", ["sample_weight", "class_weight"])
def test_weights_of_images_are_refused(name):
    weights = {"sample_weight": np.ones(16), "class_weight": {0: 1.0}}[name]
    for gan, data in (
        (gans.compiled(), (IMAGES,)),
        (conditional(), (IMAGES, LABELS)),
        (conditional(), (gans.Batches((IMAGES, LABELS)),)),
    ):
        message = f"takes no `{name}`.*Received"
        assert_refuses(gan, message, *data, **{name: weights})
        if name == "sample_weight":
            options = {"method": "evaluate", name: weights}
            assert_refuses(gan, message, *data, **options)


def test_weights_in_data_are_refused():
    weights = np.ones(16, "float32")
    data = gans.Batches((IMAGES, LABELS, weights))
    assert_refuses(conditional(), "pairs of images.*tuple of 3", data)
    assert_refuses(gans.compiled(), "images only.*tuple of 3", data)
    options = {"validation_data": (IMAGES, LABELS, weights)}
    data = IMAGES, LABELS
    assert_refuses(conditional(), "no `sample_weight`", *data, **options)


@pytest.mark.parametrize("size", [0, -1, 2.5])
def test_the_batch_size_must_be_a_positive_integer(size):
    gan = gans.compiled()
    for method in ("fit", "evaluate"):
        options = {"method": method, "batch_size": size}
        assert_refuses(gan, "`batch_size` must be", IMAGES, **options)
    with pytest.raises(ValueError, match="`batch_size` must be"):
        gan.predict(gan.sample_latents(3), batch_size=size, verbose=0)


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch"])
def test_the_gan_must_be_compiled_first(method):
    with pytest.raises(ValueError, match=f"compiled before `{method}`.*gan.co"):
        getattr(gans.small_gan(), method)(IMAGES)


def test_single_batches_are_checked():
    gan = conditional()
    for method in (gan.train_on_batch, gan.test_on_batch):
        with pytest.raises(ValueError, match="labels from 1 to 3"):
            method(IMAGES, LABELS + 1)


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="Keras refuses it on torch"
)
def test_the_steps_per_execution_must_divide_an_epoch():
    images = np.zeros((40, 4, 4, 1), "uint8")
    gan = gans.compiled(steps_per_execution=4)
    batches = datasets.batches(images, 4)
    message = "`steps_per_execution`.*divide.*steps_per_execution=4 and 10"
    assert_refuses(gan, message, batches, epochs=2)
    assert_refuses(gan, message, batches, epochs=2, resume=True)
    gan.fit(batches, epochs=2, steps_per_epoch=8, verbose=0)
    gan.fit(IMAGES, batch_size=4, epochs=2, verbose=0)
    # A data set that ends needs no whole number of executions.
    gan.fit(gans.Batches(gans.images(20), 4), shuffle=False, verbose=0)
    assert int(gan.optimizer.iterations) == 16 + 8 + 5


def test_wrong_labels_are_found_with_validation_data_too():
    gan = conditional()
    labels = LABELS.copy()
    labels[12] = 77
    with pytest.raises(ValueError, match="labels of which .* not in range"):
        gan.fit(
            generator_of(*zip(IMAGES[:, None], labels[:, None], strict=True)),
            steps_per_epoch=16,
            shuffle=False,
            validation_data=(IMAGES, LABELS),
            verbose=0,
        )
