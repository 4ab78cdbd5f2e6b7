import types
from collections import Counter

import numpy as np
import pytest

from gan_blocks.plan import choose_image_size, choosing, make_plan

SMALL = {"base_filters": 4, "precision": "float32"}


@pytest.fixture(autouse=True)
def speed(monkeypatch):
    """A machine on which 64 x 64 pixels take a quarter of a second.

    Augmentation makes the steps slower.
    """

    def seconds(plan):
        height, width, _ = plan.image_shape
        factor = 1 if plan.augment == "none" else 1.5
        return 0.25 * factor * height * width / 64**2

    monkeypatch.setattr(choosing, "measure_seconds_per_step", seconds)
    choosing._seconds_for.cache_clear()
    yield
    choosing._seconds_for.cache_clear()


def images(number, shape=(64, 64, 3)):
    return np.zeros((number, *shape), "uint8")


@pytest.mark.parametrize(
    ("size", "minutes", "chosen", "reason"),
    [
        ((128, 128), 1, (32, 32), "48 pixels would need more time"),
        ((128, 128), 20, (64, 64), "96 pixels would need more time"),
        ((128, 128), 3000, (128, 128), "the size of the pictures"),
        ((4000, 4000), 3000, (128, 128), "the largest size that was tried"),
        ((89, 109), 3000, (64, 64), "not larger than most of the pictures"),
        ((28, 28), 3000, (28, 28), "the size of the pictures"),
        ((6, 6), 20, (8, 8), "not larger than most of the pictures"),
        ((640, 480), 20, (64, 80), "96 pixels would need more time"),
        ((100, 300), 20, (128, 64), "96 pixels would need more time"),
        ((640, 480), None, (64, 80), "the largest without a time limit"),
    ],
)
def test_the_size_is_what_pictures_and_time_allow(
    size, minutes, chosen, reason
):
    sizes = Counter({size: 9, (50, 50): 1})
    assert choose_image_size(sizes, minutes, **SMALL) == (chosen, reason)


def test_pictures_of_mixed_shapes_become_square():
    sizes = Counter({(640, 480): 5, (480, 640): 5})
    assert choose_image_size(sizes, 20, **SMALL)[0] == (64, 64)


def test_the_time_decides_the_number_of_steps():
    plan = make_plan(images(1000), minutes=10, seconds_used=60, **SMALL)
    assert 0.9 * 9 * 60 * 4 < plan.steps < 9 * 60 * 4
    assert 30 <= plan.rounds <= 50
    assert plan.minutes == 10
    assert "0.25 s for a step on CPU" in str(plan)
    assert "Time           10 min 00 s" in str(plan)


def test_a_number_of_steps_gives_the_same_plan_on_every_machine(monkeypatch):
    plan = make_plan(images(1000), steps=1000, **SMALL)
    monkeypatch.setattr(choosing, "_seconds_per_step", lambda *_: 7.0)
    slow = make_plan(images(1000), steps=1000, **SMALL)
    assert (plan.rounds, plan.steps) == (slow.rounds, slow.steps) == (40, 1000)
    assert plan.minutes is None


def test_too_little_time_is_said_with_what_is_needed(monkeypatch):
    clock = types.SimpleNamespace(monotonic=lambda: 0.0)
    monkeypatch.setattr(choosing, "time", clock)
    plan = make_plan(images(1000), minutes=0.5, **SMALL)
    assert "too little for more than colors and blobs" in plan.reasons["Time"]
    assert "300 steps are useful, in 1 min 22 s" in plan.reasons["Time"]
    assert "Time" not in make_plan(images(1000), minutes=5, **SMALL).reasons


@pytest.mark.parametrize(
    ("number", "batch_size"), [(2, 2), (31, 8), (32, 16), (5000, 16)]
)
def test_few_pictures_get_small_batches(number, batch_size):
    plan = make_plan(images(number), 5, **SMALL)
    assert plan.batch_size == batch_size
    assert ("there are only" in str(plan)) is (batch_size < 16)


def test_gray_pictures_on_an_empty_background_are_drawings():
    random = np.random.default_rng(0)
    photographs = random.integers(0, 256, (1500, 28, 28, 1), "uint8")
    background = random.random(photographs.shape) < 0.6
    paper = random.integers(241, 256, photographs.shape, "uint8")
    drawings = np.where(background, paper, photographs)
    in_color = np.repeat(drawings, 3, axis=3)
    for pictures, are_drawings in (
        (photographs, False),
        (drawings, True),
        (in_color, False),
    ):
        plan = make_plan(pictures, steps=6000, **SMALL)
        assert plan.drawings is are_drawings
        assert plan.flip is not are_drawings
        assert plan.batch_size == (64 if are_drawings else 16)
        assert ("digits are" in plan.reasons["Augmentation"]) is are_drawings
    plan = make_plan(drawings, steps=6000, drawings=False, **SMALL)
    assert not plan.drawings
    assert plan.batch_size == 16


@pytest.mark.parametrize(
    ("number", "channels", "augment", "reason"),
    [
        (300, 3, "diff", "each picture is seen more than 300 times"),
        (300, 4, "diff", "each picture is seen more than 300 times"),
        (400, 3, "adaptive", "each picture is seen more than 100 times"),
        (1200, 3, "none", "each picture is seen fewer than 100 times"),
        (300, 1, "none", "digits are better without"),
    ],
)
def test_photographs_that_are_often_seen_are_augmented(
    number, channels, augment, reason
):
    pictures = images(number, (64, 64, channels))
    plan = make_plan(pictures, steps=6000, batch_size=16, **SMALL)
    assert plan.augment == augment
    assert plan.reasons["Augmentation"] == reason
    # Steps with augmentation take longer, so fewer fit into the time.
    plan = make_plan(pictures, 30, batch_size=16, **SMALL)
    assert plan.augment == augment
    assert plan.steps < 30 * 60 * 4 / (1 if augment == "none" else 1.5)


def test_settings_of_the_user_are_kept():
    plan = make_plan(
        images(100),
        5,
        labels=np.arange(100) % 3,
        batch_size=8,
        flip=False,
        learning_rate=None,
        augment="auto",
        **SMALL,
    )
    assert (plan.num_classes, plan.batch_size, plan.flip) == (3, 8, False)
    assert (plan.learning_rate, plan.augment) == (4e-4, "none")
    plan = make_plan(images(100), 5, augment="none", **SMALL)
    assert "Augmentation   none\n" in str(plan)


def test_one_image_is_not_enough():
    with pytest.raises(ValueError, match="at least two"):
        make_plan(images(1), 5)
    with pytest.raises(ValueError, match="`steps` must be a positive"):
        make_plan(images(9), steps=0)
    with pytest.raises(ValueError, match="Received: batch_size=10 and 9"):
        make_plan(images(9), batch_size=10)


@pytest.mark.parametrize(("minutes", "filters"), [(2, 32), (60, 64)])
def test_networks_for_small_pictures_are_narrow_if_the_time_is_short(
    minutes, filters
):
    plan = make_plan(images(1000, (32, 32, 3)), minutes)
    assert plan.base_filters == filters
    assert ("the time is short" in str(plan)) is (filters == 32)
