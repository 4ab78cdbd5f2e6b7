"""The action `train`: a GAN from a folder of pictures."""

import dataclasses
import math
import pathlib
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from gan_blocks import datasets, replicas
from gan_blocks.cli import loading, options
from gan_blocks.cli.devices import several_processes
from gan_blocks.cli.output import fail, plural
from gan_blocks.cli.planned_run import PlannedRun
from gan_blocks.gan.model import GAN
from gan_blocks.plan import Plan, choose_image_size, fine_tune, make_plan

__all__ = ["train"]

_PLAN_FIELDS = {field.name for field in dataclasses.fields(Plan)}
_MINUTES = 60.0
_FINE_TUNING_MINUTES = 20.0
_FEWEST_PICTURES = 4  # For the measures of quality.
_SAMPLE = 200  # Pictures that are looked at before the size is chosen.
_GRAY = 2  # Largest mean difference between the colors of a gray picture.
_CHOOSABLE = {"augment", "base_filters", "batch_size", "drawings", "flip"}
_CHOOSABLE |= {"learning_rate", "precision", "seed", "start_from"}
_CHANGEABLE = {"minutes", "steps"}  # In a resumed run.


def train(
    pictures: str | None,
    output: pathlib.Path | None = None,
    resume: bool = False,
    devices: Sequence[str] | None = None,
    accept_new_data: bool = False,
    dry_run: bool = False,
    begin: float | None = None,
    **chosen: Any,
) -> None:
    """Trains a GAN on pictures in a given time, or continues a run.

    Args:
        pictures: The images, see `datasets.load`. A resumed run knows them.
        output: Folder of the run. Defaults to `None`: runs/NAME.
        resume: If True, continues the run in `output`. Defaults to False.
        devices: Names of devices, see `Run`. Defaults to `None`.
        accept_new_data: If True, the pictures of a resumed run may have
            changed. Defaults to False.
        dry_run: If True, prints the plan and does not train. Defaults to
            False.
        begin: When the program began, see `PlannedRun`.
        **chosen: Arguments of `datasets.load` and settings of the plan.
            `None` stands for a setting that is chosen here.
    """
    if output is None and pictures is not None:
        output = _default_output(pictures)
    if output is None or (pictures is None and not resume):
        fail(
            "Pass the pictures to train on, before any --devices, or --resume "
            "--output FOLDER."
        )
    chosen = {name: v for name, v in chosen.items() if v is not None}
    saved = _settings_of_run(output, chosen) if resume else {}
    trained = None
    if "start_from" in chosen:
        trained = _load_trained(chosen)
    settings = {"seed": 0, "labels": False, **saved, **chosen}
    if pictures is not None:
        settings["data"] = pictures
    if devices and not settings.get("steps") and several_processes():
        fail(
            "If several processes train together, pass --steps instead of "
            "--minutes: each process would plan with its own clock."
        )
    run = PlannedRun(output, settings, resume, devices, accept_new_data, begin)
    with run.ended_by_signals():
        _train(run, settings, resume, dry_run, trained)


def _train(
    run: PlannedRun,
    settings: dict[str, Any],
    resume: bool,
    dry_run: bool,
    trained: GAN | None,
) -> None:
    if resume:
        plan = _resumed_plan(settings)
        shape = plan.image_shape
    else:
        plan = None
        shape, reason = _choose_shape(settings)
        _check_size(shape, settings)
    *size, channels = shape
    pixels = loading.load_pictures(
        run.data,
        size,
        channels=channels,
        labels=run.labels,
        **loading.load_options(settings),
    )
    labels = None
    if run.labels:
        pixels, labels = pixels
    if len(pixels) < _FEWEST_PICTURES:
        fail(
            f"{run.data} has {plural(len(pixels), 'picture')}. At least "
            f"{_FEWEST_PICTURES} are needed, and good results need hundreds."
        )
    if plan is None:
        seconds_used = run.seconds_before_training()
        plan = _make_plan(
            pixels, labels, settings, seconds_used, reason, trained
        )
    run.plan = plan
    if dry_run:
        print(plan)
        run.show_sample(pixels)
        return
    gan = run.load_gan()
    if gan is None:
        gan = _build(plan, trained)
    if replicas.is_chief(gan):
        print(plan)
    run.prepare(gan, pixels, labels)
    gan.fit(
        datasets.batches(
            pixels, plan.batch_size, plan.seed, flip=plan.flip, labels=labels
        ),
        steps_per_epoch=plan.steps_per_round,
        epochs=run.epochs,
        resume=True,
        verbose=0,
        callbacks=run.callbacks(),
    )
    run.finish(gan)


def _load_trained(chosen: dict[str, Any]) -> GAN:
    """Loads the GAN of --start-from, and chooses what this GAN decides."""
    path = loading.find_model(chosen["start_from"])
    gan = loading.load_gan(path)
    *size, channels = gan.image_shape
    decided = {
        "image_size": tuple(size),
        "channels": channels,
        "labels": gan.num_classes is not None,
    }
    for name, value in decided.items():
        if chosen.get(name, value) != value:
            fail(
                f"--{name.replace('_', '-')} must be {options.show(value)}, "
                "because the networks are those of the trained GAN. Received: "
                f"{options.show(chosen[name])}"
            )
    chosen |= {"start_from": str(path), **decided}
    if "steps" not in chosen:
        chosen.setdefault("minutes", _FINE_TUNING_MINUTES)
    return gan


def _build(plan: Plan, trained: GAN | None) -> GAN:
    if plan.start_from is None:
        return plan.build()
    # A run that was killed before its first checkpoint begins again.
    path = pathlib.Path(plan.start_from)
    return fine_tune(trained or loading.load_gan(path), plan)


def _choose_shape(settings: dict[str, Any]) -> tuple[tuple[int, ...], str]:
    """Returns the shape of the images, and why they have this size.

    A sample of the pictures decides what the user has not chosen.
    """
    size, channels = settings.get("image_size"), settings.get("channels")
    if size and channels:
        return (*size, channels), ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # They follow when all are loaded.
        pixels, report = loading.load_pictures(
            settings["data"],
            (32, 32),
            number=_SAMPLE,
            report=True,
            verbose=False,
            **loading.load_options(settings),
        )
    if channels is None:
        colors = np.ptp(pixels[..., :3], axis=-1).mean(axis=(1, 2)).max()
        channels = 1 if colors < _GRAY else 3
    if size:
        return (*size, channels), ""
    sizes, crop = report.sizes, settings.get("crop")
    if isinstance(crop, float):
        sizes = Counter(
            {(int(crop * w), int(crop * h)): n for (w, h), n in sizes.items()}
        )
    minutes = None if "steps" in settings else settings.get("minutes", _MINUTES)
    size, reason = choose_image_size(
        sizes,
        minutes,
        channels,
        **_plan_settings(settings),
    )
    return (*size, channels), reason


def _check_size(shape, settings):
    """Ends the process if the networks cannot have this size."""
    try:
        if "start_from" not in settings:
            Plan(shape)
    except ValueError as error:
        fail(str(error).replace("`image_shape`", "--image-size"))


def _make_plan(pixels, labels, settings, seconds_used, reason, trained) -> Plan:
    try:
        return make_plan(
            pixels,
            settings.get("minutes", _MINUTES),
            labels,
            settings.get("steps"),
            seconds_used,
            trained,
            reasons={"Size": reason} if reason else {},
            **_plan_settings(settings),
        )
    except ValueError as error:
        text = str(error).replace("`num_classes`", "The number of classes")
        fail(re.sub("`(.*?)`", lambda m: "--" + m[1].replace("_", "-"), text))


def _plan_settings(settings):
    return {k: settings[k] for k in _CHOOSABLE & set(settings)}


def _resumed_plan(settings: dict[str, Any]) -> Plan:
    plan = Plan(**{k: settings[k] for k in _PLAN_FIELDS & set(settings)})
    if steps := settings.get("steps"):
        plan.minutes = None
        plan.rounds = math.ceil(steps / plan.steps_per_round)
    return plan


def _settings_of_run(
    output: pathlib.Path, chosen: dict[str, Any]
) -> dict[str, Any]:
    """Reads the settings of a run. Only its length can be changed."""
    fixed = sorted(set(chosen) - _CHANGEABLE)
    if fixed:
        fail(
            "A resumed run keeps its settings, except for --minutes and "
            f"--steps. Received: --{' --'.join(fixed).replace('_', '-')}"
        )
    settings = options.read_settings(output)
    if "image_shape" not in settings:
        fail(
            f"{output} contains the run of a recipe. Continue it with the "
            "recipe."
        )
    if chosen:  # These reasons are about another length.
        for name in ("Augmentation", "Steps", "Time"):
            settings["reasons"].pop(name, None)
    if "minutes" in chosen:
        if not settings.get("minutes"):
            fail(
                f"{output} has a number of steps. Pass --steps, not --minutes."
            )
        settings["steps"] = None
        longer = chosen["minutes"] / settings["minutes"]
        settings["rounds"] = math.ceil(settings["rounds"] * longer)
    return settings


def _default_output(pictures: str) -> pathlib.Path:
    path = pathlib.Path(pictures.removeprefix("tfds:")).resolve()
    name = path.stem if path.is_file() else path.name
    # Windows does not allow these characters in names.
    return pathlib.Path("runs", re.sub(r'[<>:"|?*]', "_", name))
