"""Chooses the settings that suit the images and the time for training."""

import dataclasses
import functools
import json
import math
import pathlib
import time
from collections import Counter
from typing import Any

import keras
import numpy as np

from gan_blocks import backend
from gan_blocks._checks import check_positive_integer
from gan_blocks._device import device_name
from gan_blocks._screens import duration
from gan_blocks.gan.model import GAN
from gan_blocks.plan.fine_tuning import continued
from gan_blocks.plan.settings import Plan
from gan_blocks.plan.speed import measure_seconds_per_step

__all__ = ["choose_image_size", "make_plan"]

_SIDES = (8, 16, 28, 32, 48, 64, 96, 128)  # pixels
# Training steps of 64 after which photographs of this size look better than
# smaller ones that are enlarged. One takes as long as four steps of 16. Cats of
# 96 pixels were better after 6,000 steps of 16, and cats of 128 after 14,000.
_STEPS_NEEDED = {48: 700, 64: 1200, 96: 2500, 128: 4500}
_USEFUL_STEPS = 300  # With fewer, the pictures show colors and blobs only.
_ROUNDS = 40
_ROUND_SECONDS = 5.0, 60.0  # The shortest and the longest round.
_SHARE_OF_TRAINING = 0.92  # The rest is for pictures, files and measuring.
_BATCH_SIZE = 64
_BATCH_SIZE_OF_PHOTOGRAPHS = 16  # On a CPU.
_NARROW = {"base_filters": 32}
_STEPS_OF_WIDE_NETWORKS = 3000  # With fewer steps, narrow networks are better.
# A discriminator memorizes photographs that it sees more often. Measured
# with 4,853 cats, seen 135 times, and 300 cats, seen 730 and 2,300 times.
# Digits are better without augmentation even after 2,500 times.
_AUGMENTATIONS = {"diff": 300, "adaptive": 100}
# With 16 shades of gray, the most frequent one has 61% to 83% of the pixels of
# digits and sketches, even after strong JPEG compression, and 9% of those of
# cats and faces.
_SHADES = 16
_SAMPLE = 1000  # Images.
_SQUARE = 1.3  # Pictures with a smaller aspect ratio are cropped to squares.
_SAME_ASPECT = 0.1  # Relative difference.


def choose_image_size(
    sizes: Counter[tuple[int, int]],
    minutes: float | None = None,
    channels: int = 3,
    **settings: Any,
) -> tuple[tuple[int, int], str]:
    """Chooses a size for training: what the images and the time allow.

    The size is not larger than most of the images. It is not square if most of
    the images have the same shape and are much wider or taller than a square.
    The time for a step of several sizes is estimated from a few steps of one
    size.

    Args:
        sizes: Number of images of each size, `(width, height)`, such as
            `Report.sizes`.
        minutes: Time for training. Defaults to `None`: it does not matter, and
            the size is at most 64 pixels.
        channels: Number of channels. Defaults to 3.
        **settings: Settings of the `Plan` that affect its speed.

    Returns:
        `(height, width)` in pixels, and the reason in a few words.

    Raises:
        ValueError: If `sizes` is empty.

    Example:

    ```python
    from collections import Counter

    from gan_blocks.plan import choose_image_size

    size, reason = choose_image_size(Counter({(1280, 960): 500}))
    assert size == (64, 80)
    ```
    """
    if not sizes:
        raise ValueError("`sizes` must not be empty.")
    pairs = np.array([*sizes.elements()])
    shorter = float(np.median(pairs.min(axis=1)))
    sides = [side for side in _SIDES if side <= shorter] or [_SIDES[0]]
    aspect = _common_aspect(pairs)
    side = min(64, sides[-1])
    shape = (*_with_aspect(side, aspect), channels)
    if minutes is not None:
        plan = Plan(shape, **{**_NARROW, **_complete(settings)})
        pixels_per_second = side**2 / _seconds_per_step(plan)
        side = max(
            other
            for other in sides
            if 60 * minutes * pixels_per_second
            >= other**2 * _STEPS_NEEDED.get(other, 0)
        )
    larger = [other for other in sides if other > side]
    if larger and minutes is None:
        reason = "the largest without a time limit"
    elif larger:
        reason = f"{larger[0]} pixels would need more time"
    elif side == shorter:
        reason = "the size of the pictures"
    elif side < _SIDES[-1]:
        reason = "not larger than most of the pictures"
    else:
        reason = "the largest size that was tried"
    return _with_aspect(side, aspect), reason


def make_plan(
    images: np.ndarray,
    minutes: float = 60.0,
    labels: np.ndarray | None = None,
    steps: int | None = None,
    seconds_used: float = 0.0,
    gan: GAN | None = None,
    **settings: Any,
) -> Plan:
    """Chooses the settings to train on images in a given time.

    A few training steps are timed on this machine. The printed plan says why
    each setting was chosen.

    Args:
        images: uint8 array of shape `(number, height, width, channels)`, as
            returned by `datasets.load`.
        minutes: Time for the whole run. Defaults to 60.
        labels: Integer array of the label of each image, for a conditional
            GAN. Defaults to `None`.
        steps: Number of training steps, instead of `minutes`. Defaults to
            `None`.
        seconds_used: Part of `minutes` that is not left for training. Defaults
            to 0.
        gan: A trained GAN that `fine_tune` will continue. It decides the size
            and the classes of the images, the precision and, unless you choose
            it, the learning rate. Defaults to `None`: the networks are new.
        **settings: Settings of the `Plan` that you choose yourself. `None`
            stands for a setting that is chosen for you, and so do `"auto"` for
            `augment` and `precision`.

    Raises:
        ValueError: If a setting is out of its range, if there are fewer than
            two images, or if the images or a setting do not fit `gan`.

    Example:

    ```python
    from gan_blocks import datasets, samples
    from gan_blocks.plan import make_plan

    images = samples.synthetic_cats(64, 16)
    plan = make_plan(images, minutes=0.1, base_filters=4)
    print(plan)
    gan = plan.build()
    gan.fit(
        datasets.batches(images, plan.batch_size, plan.seed, flip=plan.flip),
        steps_per_epoch=plan.steps_per_round,
        epochs=1,
    )
    ```
    """
    begin = time.monotonic()
    number = len(images)
    if number < 2:
        raise ValueError(f"`images` must be at least two. Received: {number}")
    if steps is not None:
        check_positive_integer("steps", steps)
    settings["image_shape"] = images.shape[1:]
    settings["num_classes"] = None if labels is None else int(labels.max()) + 1
    if settings.get("drawings") is None:
        settings["drawings"] = _are_drawings(images)
    if gan is not None:
        settings = continued(gan, settings)
    chosen = _complete(settings)
    reasons = chosen["reasons"]
    if "batch_size" not in chosen:
        chosen["batch_size"], reason = _batch_size(number, chosen["drawings"])
        if reason:
            reasons["Batch size"] = reason
    if chosen["batch_size"] > number:
        raise ValueError(
            "`batch_size` must be at most the number of pictures. Received: "
            f"batch_size={chosen['batch_size']} and {number:,} pictures"
        )
    plan = Plan(**chosen)
    seconds = _seconds_per_step(plan, gan)

    def used():
        return seconds_used + time.monotonic() - begin

    def possible_steps():
        left = max(0.0, 60 * minutes - used()) * _SHARE_OF_TRAINING
        return steps or left / seconds

    is_slow = not steps and possible_steps() < _STEPS_OF_WIDE_NETWORKS
    is_wide = gan is None and plan.base_filters > _NARROW["base_filters"]
    if is_slow and is_wide and "base_filters" not in chosen:
        reasons["Networks"] = "the time is short"
        plan = Plan(**{**chosen, **_NARROW})
        seconds = _seconds_per_step(plan)
    if "augment" not in chosen:
        times = possible_steps() * plan.batch_size / number
        augment, reasons["Augmentation"] = _augmentation(plan, times)
        if augment != plan.augment:
            plan = dataclasses.replace(plan, augment=augment)
            seconds = _seconds_per_step(plan, gan)
    if steps is None:
        plan.minutes = minutes
        steps = max(1, int(possible_steps()))
        shortest, longest = (max(1, int(x / seconds)) for x in _ROUND_SECONDS)
        in_round = min(max(steps // _ROUNDS, shortest), longest, steps)
    else:  # The same on every machine.
        in_round = math.ceil(steps / _ROUNDS)
    plan.steps_per_round, plan.rounds = in_round, math.ceil(steps / in_round)
    passes = plan.steps * plan.batch_size / number
    plan.reasons["Steps"] = (
        f"{seconds:.2g} s for a step on {device_name()}; each picture is seen "
        f"about {passes:,.0f} times"
    )
    if gan is None and plan.steps < _USEFUL_STEPS:
        needed = _USEFUL_STEPS * seconds / _SHARE_OF_TRAINING + used()
        text = (
            "too little for more than colors and blobs; at least "
            f"{_USEFUL_STEPS} steps are useful, in {duration(needed)}"
        )
        if plan.minutes:
            plan.reasons["Time"] = text
        else:
            plan.reasons["Steps"] += f"; {text}"
    return plan


def _complete(settings: dict[str, Any]) -> dict[str, Any]:
    """Removes the settings that are chosen later, and adds a precision."""
    chosen = {
        name: value
        for name, value in settings.items()
        if value is not None and value != "auto"
    }
    reasons = chosen["reasons"] = dict(chosen.get("reasons", {}))
    if "precision" not in chosen and _has_fast_bfloat16():
        chosen["precision"] = "bfloat16"
        reasons["Precision"] = "this processor is much faster with it"
    return chosen


def _are_drawings(images: np.ndarray) -> bool:
    """Returns whether the images are gray and most pixels are background."""
    if images.shape[3] > 1:
        return False
    some = images[:: math.ceil(len(images) / _SAMPLE)]
    shades = some.ravel() // (256 // _SHADES)
    return bool(np.bincount(shades).max() > some.size / 2)


def _batch_size(number: int, drawings: bool) -> tuple[int, str]:
    """Chooses a batch size, and returns the reason for a small one."""
    use_small_batches = not drawings and not backend.gpu_names()
    usual = _BATCH_SIZE_OF_PHOTOGRAPHS if use_small_batches else _BATCH_SIZE
    largest = 2 ** int(math.log2(max(2, number // 2)))
    if largest < usual:
        return largest, f"there are only {number} pictures"
    if use_small_batches:
        return usual, "many quick steps are better than large batches"
    return usual, ""


def _augmentation(plan: Plan, times: float) -> tuple[str, str]:
    """Chooses an augmentation by how often each picture will be seen."""
    if plan.drawings:
        return "none", "digits are better without"
    for augmentation, limit in _AUGMENTATIONS.items():
        if times > limit:
            return augmentation, f"each picture is seen more than {limit} times"
    limit = min(_AUGMENTATIONS.values())
    return "none", f"each picture is seen fewer than {limit} times"


def _common_aspect(pairs: np.ndarray) -> float:
    """Returns the width divided by the height, or 1 for mixed shapes."""
    aspects = pairs[:, 0] / pairs[:, 1]
    aspect = float(np.median(aspects))
    is_common = np.mean(np.abs(aspects / aspect - 1) < _SAME_ASPECT) > 0.8
    is_square = 1 / _SQUARE < aspect < _SQUARE
    return aspect if is_common and not is_square else 1.0


def _with_aspect(side: int, aspect: float) -> tuple[int, int]:
    """Returns a height and a width that the networks of a plan can have."""
    unit = 1 << (side // 4).bit_length() - 1
    longer = max(
        side, round(side * min(2, max(aspect, 1 / aspect)) / unit) * unit
    )
    return (side, longer) if aspect >= 1 else (longer, side)


@functools.lru_cache
def _seconds_for(settings: str) -> float:
    return measure_seconds_per_step(Plan(**json.loads(settings)))


def _seconds_per_step(plan: Plan, gan: GAN | None = None) -> float:
    if gan is not None:
        return measure_seconds_per_step(plan, gan)
    settings = dataclasses.asdict(plan)
    del settings["reasons"]
    return _seconds_for(json.dumps(settings))


def _has_fast_bfloat16() -> bool:
    """Returns whether TensorFlow computes faster with bfloat16 on this CPU."""
    if keras.backend.backend() != "tensorflow" or backend.gpu_names():
        return False
    try:
        flags = pathlib.Path("/proc/cpuinfo").read_text().split()
    except OSError:  # Not on Linux.
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
