"""Networks and settings that suit the images and the time for training."""

from gan_blocks.plan.choosing import choose_image_size, make_plan
from gan_blocks.plan.fine_tuning import fine_tune
from gan_blocks.plan.settings import Plan
from gan_blocks.plan.speed import measure_seconds_per_step

__all__ = [
    "Plan",
    "choose_image_size",
    "fine_tune",
    "make_plan",
    "measure_seconds_per_step",
]
