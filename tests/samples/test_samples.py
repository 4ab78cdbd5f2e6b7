import math
import sys

import numpy as np
import pytest

from gan_blocks import datasets, samples
from gan_blocks.samples.cat_attributes import cat_attributes
from gan_blocks.samples.cats import draw_cat

ATTRIBUTES = samples.CAT_ATTRIBUTES
CONTINUOUS = {
    "tilt": (-9, 9),
    "whiskers": (-10, 15),
    "size": (0.92, 1),
    "x": (-0.03, 0.03),
    "y": (-0.03, 0.03),
}
UPRIGHT = dict.fromkeys(ATTRIBUTES, 0) | {
    "tilt": 0,
    "whiskers": 0,
    "size": 0.96,
    "x": 0,
    "y": 0,
}
drawings = pytest.mark.parametrize(
    "draw", [samples.synthetic_cats, samples.line_cats]
)


def place(name, value):
    return {name: ATTRIBUTES[name].index(value)}


def drawn(image_size=64, **changes):
    cat = draw_cat(UPRIGHT | changes, image_size)
    return np.asarray(cat).astype(float)


@pytest.fixture(scope="module")
def attributes():
    found = [cat_attributes(0, index) for index in range(4000)]
    return {name: np.array([cat[name] for cat in found]) for name in found[0]}


@drawings
@pytest.mark.parametrize("image_size", [1, 16, 28, 64, 100])
def test_cats_are_uint8_of_the_size_asked_for(draw, image_size):
    channels = 3 if draw is samples.synthetic_cats else 1
    cats = draw(3, image_size)
    assert cats.shape == (3, image_size, image_size, channels)
    assert cats.dtype == np.uint8


@drawings
def test_a_cat_is_told_by_its_seed_and_index_alone(draw):
    cats = draw(5, 32, seed=7)
    np.testing.assert_array_equal(draw(5, 32, seed=7), cats)
    np.testing.assert_array_equal(draw(2, 32, seed=7), cats[:2])
    assert (draw(5, 32, seed=8) != cats).any(axis=(1, 2, 3)).all()
    assert len(np.unique(cats, axis=0)) == 5


@drawings
def test_a_cat_of_another_size_is_the_same_cat(draw):
    large = draw(5, 64).astype(float)
    halved = large.reshape(5, 32, 2, 32, 2, -1).mean(axis=(2, 4))
    small = draw(5, 32).astype(float)
    assert np.abs(halved - small).mean() < 5
    assert np.abs(halved - np.roll(small, 1, axis=0)).mean() > 20


def test_the_attributes_of_cats_do_not_depend_on_number_or_size():
    _, few = samples.synthetic_cats(3, 16, 5, return_attributes=True)
    _, many = samples.synthetic_cats(9, 32, 5, return_attributes=True)
    assert list(few) == [*ATTRIBUTES, *CONTINUOUS]
    for name in few:
        assert few[name].shape == (3,)
        np.testing.assert_array_equal(few[name], many[name][:3])
        assert few[name].dtype.kind == ("i" if name in ATTRIBUTES else "f")


def test_the_attributes_are_those_of_the_picture():
    cats, found = samples.synthetic_cats(4, 32, return_attributes=True)
    for index, cat in enumerate(cats):
        of_one = {name: values[index] for name, values in found.items()}
        np.testing.assert_array_equal(draw_cat(of_one, 32), cat)


def test_datasets_offer_the_cats_too():
    assert datasets.synthetic_cats is samples.synthetic_cats


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_the_values_of_an_attribute_are_equally_likely(attributes, name):
    kinds = len(ATTRIBUTES[name])
    counts = np.bincount(attributes[name], minlength=kinds)
    expected = 4000 / kinds
    # The mean of chi-square plus four times its standard deviation.
    limit = kinds - 1 + 4 * math.sqrt(2 * (kinds - 1))
    assert len(counts) == kinds
    assert ((counts - expected) ** 2 / expected).sum() < limit


@pytest.mark.parametrize("name", CONTINUOUS)
def test_a_continuous_attribute_is_uniform_in_its_range(attributes, name):
    low, high = CONTINUOUS[name]
    ranks = (np.sort(attributes[name]) - low) / (high - low)
    assert 0 <= ranks[0] < 0.01
    assert 0.99 < ranks[-1] <= 1
    # Kolmogorov and Smirnov's distance; 0.03 is met by one in 700.
    assert np.abs(ranks - (np.arange(4000) + 0.5) / 4000).max() < 0.03


def test_attributes_are_independent(attributes):
    values = np.stack(list(attributes.values())).astype(float)
    correlations = np.corrcoef(values)
    np.fill_diagonal(correlations, 0)
    assert np.abs(correlations).max() < 4 / math.sqrt(4000)


def test_the_docstring_says_how_many_kinds_of_cat_there_are():
    kinds = math.prod(map(len, ATTRIBUTES.values()))
    assert f"{kinds:,} kinds" in samples.synthetic_cats.__doc__


@pytest.mark.parametrize("image_size", [32, 64])
@pytest.mark.parametrize("name", ATTRIBUTES)
def test_every_value_of_an_attribute_shows(name, image_size):
    pictures = [
        drawn(image_size, **{name: value})
        for value in range(len(ATTRIBUTES[name]))
    ]
    for index, picture in enumerate(pictures):
        for other in pictures[:index]:
            differs = np.abs(picture - other).max(axis=2) > 25
            assert differs.sum() * (64 / image_size) ** 2 > 20


@pytest.mark.parametrize("fur", ATTRIBUTES["fur"])
@pytest.mark.parametrize("pattern", ATTRIBUTES["pattern"])
def test_no_fur_hides_a_pattern(fur, pattern):
    plain = drawn(**place("fur", fur))
    other = drawn(**place("fur", fur), **place("pattern", pattern))
    differs = np.abs(plain - other).sum(axis=2) > 25
    if pattern == "plain":
        assert not differs.any()
    else:
        assert differs.mean() > 0.04


def test_fur_has_the_colour_of_its_name():
    cheek = {
        fur: drawn(**place("fur", fur))[31:34, 31:34].mean(axis=(0, 1))
        for fur in ATTRIBUTES["fur"]
    }
    assert cheek["white"].min() > 240
    assert cheek["black"].max() < 100
    assert np.ptp(cheek["grey"]) < 30
    red, green, blue = cheek["orange"]
    assert red > green + 50 > blue + 100
    assert cheek["brown"].mean() < cheek["orange"].mean()
    assert cheek["cream"].mean() < cheek["white"].mean()


def test_backgrounds_change_the_corners_and_not_the_face():
    for value in range(1, len(ATTRIBUTES["background"])):
        change = np.abs(drawn(background=value) - drawn()).max(axis=2)
        assert change[[0, 0, -1, -1], [0, -1, 0, -1]].min() > 25
        assert change[20:50, 14:50].max() == 0


def test_odd_eyes_are_a_gold_and_a_blue_one():
    blue, gold, odd = (
        drawn(**place("eyes", eyes)) for eyes in ("blue", "gold", "odd")
    )
    np.testing.assert_array_equal(odd[:, :32], blue[:, :32])
    np.testing.assert_array_equal(odd[:, 32:], gold[:, 32:])


def test_a_face_turned_the_other_way_is_mirrored():
    left, right = drawn(tilt=-9), drawn(tilt=9)
    mirrored = right[:, ::-1]
    # All but the glints in the eyes, and whose pixels edges fall on.
    assert (np.abs(left - mirrored).max(axis=2) > 60).mean() < 0.02
    assert (np.abs(left - right).max(axis=2) > 60).mean() > 0.1
    # Turned clockwise, the right ear is the lower one.
    background = drawn()[0, 0]
    ears = np.abs(right - background).max(axis=2)[:12] > 60
    assert ears[:, :32].sum() > ears[:, 32:].sum() + 20


@pytest.mark.parametrize(("name", "axis"), [("x", 1), ("y", 0)])
def test_a_face_moved_is_the_same_face_elsewhere(name, axis):
    moved = drawn(**{name: 2 / 32})  # 2 pixels
    back = np.roll(moved, -2, axis=axis)
    inside = np.s_[10:-10, 10:-10]
    # The background, which stays, is not inside.
    assert np.abs(back - drawn())[inside].mean() < 1
    assert np.abs(moved - drawn())[inside].mean() > 10


def test_edges_are_smooth_at_every_size():
    for image_size in (16, 64, 200):
        white = drawn(image_size, **place("fur", "white"))
        row = white[image_size // 2, : image_size // 3].mean(axis=1)
        assert len(np.unique(row)) > 4
    assert len(np.unique(drawn(64).reshape(-1, 3), axis=0)) > 300


def test_whole_faces_are_in_the_picture():
    cats = samples.line_cats(200)[..., 0]
    edge = np.concatenate([cats[:, 0], cats[:, -1]], axis=1)
    assert (edge > 0).mean() < 0.02  # a whisker, or the tip of an ear


def test_line_cats_are_white_lines_on_black():
    cats = samples.line_cats(200)
    assert cats.max() == 255
    assert (cats == 0).mean() > 0.5
    assert 0.2 < (cats > 128).mean() < 0.35
    assert 50 < cats.mean() < 85  # Quick, Draw!'s is 51, with fewer lines
    # Lines are so narrow that most of them is edge.
    bright = cats[..., 0] > 128
    core = bright[:, 1:-1, 1:-1]
    for y, x in ((0, 1), (2, 1), (1, 0), (1, 2)):
        core = core & bright[:, y : y + 26, x : x + 26]
    assert core.sum() < 0.2 * bright.sum()


def test_line_cats_have_the_attributes_of_the_coloured_ones():
    _, found = samples.synthetic_cats(400, 1, return_attributes=True)
    cats = samples.line_cats(400)[..., 0].astype(float)

    def mean(name, value):
        return cats[found[name] == ATTRIBUTES[name].index(value)].mean(axis=0)

    ears = np.s_[:5]
    assert mean("ears", "pointed")[ears].sum() > (
        1.3 * mean("ears", "folded")[ears].sum()
    )
    forehead = np.s_[7:11, 11:17]
    assert mean("pattern", "tabby")[forehead].mean() > (
        1.5 * mean("pattern", "plain")[forehead].mean()
    )
    turned = np.sign(found["tilt"])
    assert (
        np.corrcoef(
            cats[:, :6, :14].sum(axis=(1, 2))
            - cats[:, :6, 14:].sum(axis=(1, 2)),
            turned,
        )[0, 1]
        > 0.3
    )


@drawings
@pytest.mark.parametrize("name", ["number", "image_size"])
@pytest.mark.parametrize("value", [0, -1, 2.0, "8", None])
def test_cats_need_a_positive_number_and_size(draw, name, value):
    with pytest.raises(ValueError, match=f"`{name}`.*{name}={value!r}"):
        draw(**({"number": 2} | {name: value}))


@drawings
@pytest.mark.parametrize("seed", [-1, 0.5, None])
def test_cats_need_a_seed_of_at_least_zero(draw, seed):
    with pytest.raises(ValueError, match=f"`seed`.*seed={seed!r}"):
        draw(2, seed=seed)


@drawings
def test_numbers_of_numpy_will_do(draw):
    cats = draw(np.int64(2), np.int32(16), np.uint8(3))
    np.testing.assert_array_equal(cats, draw(2, 16, 3))


def test_digits_have_the_format_of_mnist():
    digits = samples.digits()
    assert digits.shape == (1797, 28, 28, 1)
    assert digits.dtype == np.uint8
    assert digits.min() == 0
    assert digits.max() == 255
    border = np.ones((28, 28), bool)
    border[3:-3, 3:-3] = False
    assert not digits[:, border].any()
    assert 20 < digits.mean() < 60  # MNIST's is 33


def test_digits_shrink_back_to_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    original = load_digits().images / 16 * 255
    # Middles of the cells of 2.5 by 2.5 pixels, from pixel 4 on.
    middles = (4 + 2.5 * (np.arange(8) + 0.5)).astype(int)
    found = samples.digits()[:, middles[:, None], middles, 0].astype(float)
    assert np.corrcoef(found.ravel(), original.ravel())[0, 1] > 0.98
    turned = found.transpose(0, 2, 1)
    assert np.corrcoef(turned.ravel(), original.ravel())[0, 1] < 0.9


def test_labels_of_digits_say_which_they_are():
    from sklearn.datasets import load_digits

    digits, labels = samples.digits(labels=True)
    np.testing.assert_array_equal(digits, samples.digits())
    np.testing.assert_array_equal(labels, load_digits().target)
    assert labels.dtype == np.int32
    means = [digits[labels == digit].mean(axis=0) for digit in range(10)]
    nearest = [
        np.argmin([((digit - mean) ** 2).sum() for mean in means])
        for digit in digits[::10].astype(float)
    ]
    assert (nearest == labels[::10]).mean() > 0.85


def test_digits_name_the_remedy_where_scikit_learn_is_absent(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"gan-blocks\[samples\]"):
        samples.digits()


def test_faces_are_grey_in_three_channels():
    faces = samples.faces()
    assert faces.shape == (100, 28, 28, 3)
    assert faces.dtype == np.uint8
    np.testing.assert_array_equal(faces[..., 0], faces[..., 1])
    np.testing.assert_array_equal(faces[..., 0], faces[..., 2])
    assert 80 < faces.mean() < 150
    assert faces.std(axis=(1, 2, 3)).min() > 10


def test_faces_are_the_first_half_of_the_subset_and_look_alike():
    from skimage.data import lfw_subset

    subset = lfw_subset()
    # The nearest of 25 pixels to each of 28.
    nearest = ((np.arange(28) + 0.5) * 25 / 28).astype(int)
    original = subset[:, nearest[:, None], nearest]
    faces = samples.faces()[..., 0].astype(float)
    assert np.corrcoef(faces.ravel(), original[:100].ravel())[0, 1] > 0.95
    assert abs(np.corrcoef(faces.ravel(), original[100:].ravel())[0, 1]) < 0.5
    mean = faces.mean(axis=0).ravel()

    def likeness(images):
        return np.mean([np.corrcoef(mean, i.ravel())[0, 1] for i in images])

    assert likeness(original[:100]) > 0.4 > likeness(original[100:]) + 0.2


def test_faces_need_no_network(monkeypatch):
    import socket

    def refuse(*_, **__):
        raise OSError("No network")

    monkeypatch.setattr(socket, "socket", refuse)
    assert len(samples.faces()) == 100


def test_faces_name_the_remedy_where_scikit_image_is_absent(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    with pytest.raises(ImportError, match=r"gan-blocks\[samples\]"):
        samples.faces()
