import math

import numpy as np
import pytest

from gan_blocks import samples
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
UPRIGHT = dict.fromkeys([*ATTRIBUTES, *CONTINUOUS], 0) | {"size": 0.96}
drawings = pytest.mark.parametrize(
    "draw", [samples.synthetic_cats, samples.line_cats]
)


def index_of(name, value):
    return {name: ATTRIBUTES[name].index(value)}


def drawn(image_size=64, **changes):
    cat = draw_cat(UPRIGHT | changes, image_size, image_size)
    return np.asarray(cat).astype(float)


@pytest.fixture(scope="module")
def attributes():
    found = [cat_attributes(0, index) for index in range(4000)]
    return {name: np.array([cat[name] for cat in found]) for name in found[0]}


@drawings
@pytest.mark.parametrize("image_size", [1, 16, 28, 64, 100])
def test_cats_are_uint8_of_the_given_size(draw, image_size):
    channels = 3 if draw is samples.synthetic_cats else 1
    cats = draw(3, image_size)
    assert cats.shape == (3, image_size, image_size, channels)
    assert cats.dtype == np.uint8


def test_a_wide_or_tall_cat_is_a_square_cat_with_more_ground():
    square = samples.synthetic_cats(3, 32)[:, 2:30, 2:30].astype(float)
    for size, middle in (
        ((32, 48), np.s_[:, 2:30, 10:38]),
        ((48, 32), np.s_[:, 10:38, 2:30]),
    ):
        cats = samples.synthetic_cats(3, size)
        assert cats.shape == (3, *size, 3)
        # The ground differs a little.
        assert np.median(np.abs(cats[middle] - square)) < 2


@drawings
def test_a_cat_depends_on_its_seed_and_index_only(draw):
    cats = draw(5, 32, seed=7)
    np.testing.assert_array_equal(draw(5, 32, seed=7), cats)
    np.testing.assert_array_equal(draw(2, 32, seed=7), cats[:2])
    assert (draw(5, 32, seed=8) != cats).any(axis=(1, 2, 3)).all()
    assert len(np.unique(cats, axis=0)) == 5


@drawings
def test_a_cat_is_the_same_at_every_size(draw):
    large = draw(5, 64).astype(float)
    halved = large.reshape(5, 32, 2, 32, 2, -1).mean(axis=(2, 4))
    small = draw(5, 32).astype(float)
    assert np.abs(halved - small).mean() < 5
    assert np.abs(halved - np.roll(small, 1, axis=0)).mean() > 20


def test_attributes_do_not_depend_on_number_or_size():
    _, few = samples.synthetic_cats(3, 16, 5, return_attributes=True)
    _, many = samples.synthetic_cats(9, 32, 5, return_attributes=True)
    assert list(few) == [*ATTRIBUTES, *CONTINUOUS]
    for name in few:
        assert few[name].shape == (3,)
        np.testing.assert_array_equal(few[name], many[name][:3])
        assert few[name].dtype.kind == ("i" if name in ATTRIBUTES else "f")


def test_returned_attributes_belong_to_the_images():
    cats, found = samples.synthetic_cats(4, 32, return_attributes=True)
    for index, cat in enumerate(cats):
        of_one = {name: values[index] for name, values in found.items()}
        np.testing.assert_array_equal(draw_cat(of_one, 32, 32), cat)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_all_values_of_an_attribute_are_equally_likely(attributes, name):
    kinds = len(ATTRIBUTES[name])
    counts = np.bincount(attributes[name], minlength=kinds)
    expected = 4000 / kinds
    # Mean of the chi-square distribution plus four standard deviations.
    limit = kinds - 1 + 4 * math.sqrt(2 * (kinds - 1))
    assert len(counts) == kinds
    assert ((counts - expected) ** 2 / expected).sum() < limit


@pytest.mark.parametrize("name", CONTINUOUS)
def test_a_continuous_attribute_is_uniform_in_its_range(attributes, name):
    low, high = CONTINUOUS[name]
    ranks = (np.sort(attributes[name]) - low) / (high - low)
    assert 0 <= ranks[0] < 0.01
    assert 0.99 < ranks[-1] <= 1
    # Kolmogorov-Smirnov distance. Chance exceeds 0.03 once in 700 seeds.
    assert np.abs(ranks - (np.arange(4000) + 0.5) / 4000).max() < 0.03


def test_attributes_are_independent(attributes):
    values = np.stack(list(attributes.values())).astype(float)
    correlations = np.corrcoef(values)
    np.fill_diagonal(correlations, 0)
    assert np.abs(correlations).max() < 4 / math.sqrt(4000)


@pytest.mark.parametrize("image_size", [32, 64])
@pytest.mark.parametrize("name", ATTRIBUTES)
def test_every_value_of_an_attribute_is_visible(name, image_size):
    cats = [
        drawn(image_size, **{name: value})
        for value in range(len(ATTRIBUTES[name]))
    ]
    for index, cat in enumerate(cats):
        for other in cats[:index]:
            differs = np.abs(cat - other).max(axis=2) > 25
            assert differs.sum() * (64 / image_size) ** 2 > 20


@pytest.mark.parametrize("fur", ATTRIBUTES["fur"])
@pytest.mark.parametrize("pattern", ATTRIBUTES["pattern"])
def test_patterns_are_visible_on_every_fur(fur, pattern):
    plain = drawn(**index_of("fur", fur))
    other = drawn(**index_of("fur", fur), **index_of("pattern", pattern))
    differs = np.abs(plain - other).sum(axis=2) > 25
    if pattern == "plain":
        assert not differs.any()
    else:
        assert differs.mean() > 0.04


def test_fur_has_the_color_of_its_name():
    cheek = {
        fur: drawn(**index_of("fur", fur))[31:34, 31:34].mean(axis=(0, 1))
        for fur in ATTRIBUTES["fur"]
    }
    assert cheek["white"].min() > 240
    assert cheek["black"].max() < 100
    assert np.ptp(cheek["gray"]) < 30
    red, green, blue = cheek["orange"]
    assert red > green + 50 > blue + 100
    assert cheek["brown"].mean() < cheek["orange"].mean()
    assert cheek["cream"].mean() < cheek["white"].mean()


def test_a_face_with_opposite_tilt_is_mirrored():
    left, right = drawn(tilt=-9), drawn(tilt=9)
    mirrored = right[:, ::-1]
    # The glints in the eyes are not mirrored, and edges differ by a pixel.
    assert (np.abs(left - mirrored).max(axis=2) > 60).mean() < 0.02
    assert (np.abs(left - right).max(axis=2) > 60).mean() > 0.1
    # A clockwise tilt lowers the right ear.
    background = drawn()[0, 0]
    ears = np.abs(right - background).max(axis=2)[:12] > 60
    assert ears[:, :32].sum() > ears[:, 32:].sum() + 20


@pytest.mark.parametrize(("name", "axis"), [("x", 1), ("y", 0)])
def test_x_and_y_move_the_face(name, axis):
    moved = drawn(**{name: 2 / 32})  # 2 pixels
    back = np.roll(moved, -2, axis=axis)
    inside = np.s_[10:-10, 10:-10]
    # The background does not move; it is outside this area.
    assert np.abs(back - drawn())[inside].mean() < 1
    assert np.abs(moved - drawn())[inside].mean() > 10


def test_line_cats_are_white_lines_on_black_inside_the_image():
    cats = samples.line_cats(200)
    # Whiskers and tips of ears may touch the edge.
    assert (cats[:, [0, -1]] > 0).mean() < 0.02
    assert cats.max() == 255
    assert (cats == 0).mean() > 0.5
    assert 0.2 < (cats > 128).mean() < 0.35
    assert 50 < cats.mean() < 85  # 51 for Quick, Draw!, with fewer lines
    # Most pixels of such narrow lines are at an edge.
    bright = cats[..., 0] > 128
    core = bright[:, 1:-1, 1:-1]
    for y, x in ((0, 1), (2, 1), (1, 0), (1, 2)):
        core = core & bright[:, y : y + 26, x : x + 26]
    assert core.sum() < 0.2 * bright.sum()


def test_line_cats_have_the_attributes_of_the_color_cats():
    _, found = samples.synthetic_cats(400, 1, return_attributes=True)
    cats = samples.line_cats(400)[..., 0].astype(float)

    def mean(name, value):
        return cats[found[name] == ATTRIBUTES[name].index(value)].mean(axis=0)

    pointed, folded = (mean("ears", kind)[:5] for kind in ("pointed", "folded"))
    assert pointed.sum() > 1.3 * folded.sum()
    forehead = np.s_[7:11, 11:17]
    tabby, plain = (mean("pattern", kind) for kind in ("tabby", "plain"))
    assert tabby[forehead].mean() > 1.5 * plain[forehead].mean()
    left, right = cats[:, :6, :14].sum((1, 2)), cats[:, :6, 14:].sum((1, 2))
    assert np.corrcoef(left - right, np.sign(found["tilt"]))[0, 1] > 0.3


@drawings
@pytest.mark.parametrize(
    ("name", "value"), [("number", 0), ("image_size", 2.0), ("seed", -1)]
)
def test_an_invalid_argument_is_named(draw, name, value):
    with pytest.raises(ValueError, match=f"`{name}`.*{name}={value}"):
        draw(**{"number": 2} | {name: value})
