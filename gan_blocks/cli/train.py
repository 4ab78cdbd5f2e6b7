"""The action `train`: a GAN from a folder of pictures."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from gan_blocks import callbacks, datasets, replicas
from gan_blocks.cli import loading, options
from gan_blocks.cli.output import fail, gan_blocks_command
from gan_blocks.cli.run import Run
from gan_blocks.plan import Plan

__all__ = ["train"]

_PLAN_FIELDS = [field.name for field in dataclasses.fields(Plan)]
# Settings of a `Run` that this action has no options for.
_RUN_DEFAULTS = {
    "steps_per_epoch": None,
    "rollbacks": 0,
    "evaluate_every": 0,
    "features": None,
    "tensorboard": False,
}


def train(
    pictures: str | None,
    output: pathlib.Path | None = None,
    resume: bool = False,
    devices: Sequence[str] | None = None,
    **chosen: Any,
) -> None:
    """Trains a GAN with the settings of a `Plan`, or continues a run.

    Args:
        pictures: The images, see `datasets.load`. A resumed run knows them.
        output: Folder of the run. Defaults to `None`: runs/NAME.
        resume: If True, continues the run in `output`. Defaults to False.
        devices: Names of devices, see `Run`. Defaults to `None`.
        **chosen: `image_size`, `channels`, `classes` and fields of the plan.
            `None` stands for the default.
    """
    if output is None:
        if pictures is None:
            fail("Pass the pictures to train on, or --resume --output FOLDER.")
        output = _default_output(pictures)
    chosen = {name: v for name, v in chosen.items() if v is not None}
    if resume:
        settings = _settings_of_run(output, chosen)
    else:
        size = chosen.pop("image_size", (64, 64))
        settings = {
            "data": None,
            "image_shape": (*size, chosen.pop("channels", 3)),
            "classes": False,
            **chosen,
        }
    if pictures is not None:
        settings["data"] = pictures
    elif not resume:
        fail("Pass the pictures to train on.")
    try:
        plan = Plan(**{k: v for k, v in settings.items() if k in _PLAN_FIELDS})
    except ValueError as error:
        fail(error)
    settings = {**settings, **dataclasses.asdict(plan), **_RUN_DEFAULTS}
    del settings["num_classes"]  # Counted below.
    words = ["train", "--resume", "--output", output]
    if devices:
        words += ["--devices", *devices]
    run = Run(
        output,
        settings,
        resume,
        devices,
        resume_command=gan_blocks_command(*words),
    )
    height, width, channels = plan.image_shape
    loaded = loading.load_pictures(
        run.data, (height, width), channels=channels, labels=run.classes
    )
    images, labels = loaded if run.classes else (loaded, None)
    if labels is not None:
        plan.num_classes = int(labels.max()) + 1
    gan = run.load_gan() or plan.build()
    if replicas.is_chief(gan):
        print(plan, flush=True)
    run.prepare(gan, images)
    gan.fit(
        datasets.batches(
            images,
            plan.batch_size,
            seed=plan.seed,
            flip=plan.flip,
            labels=labels,
        ),
        epochs=plan.epochs,
        resume=True,
        verbose=0,
        callbacks=run.callbacks(
            callbacks.ImageGrid(run.grids, every_n_epochs=1, rows=8, columns=8),
            callbacks.EpochCheckpoint(
                run.checkpoints, every_n_epochs=1, keep=3
            ),
        ),
    )
    run.finish(gan)


def _settings_of_run(
    output: pathlib.Path, chosen: dict[str, Any]
) -> dict[str, Any]:
    """Reads the settings of a run. Only `epochs` can be changed."""
    fixed = sorted(set(chosen) - {"epochs"})
    if fixed:
        fail(
            "A resumed run keeps its settings, except for --epochs. Received: "
            f"--{' --'.join(fixed).replace('_', '-')}"
        )
    settings = options.read_settings(output)
    if "image_shape" not in settings:
        fail(
            f"{output} contains the run of a recipe. Continue it with the "
            "recipe."
        )
    return {**settings, **chosen}


def _default_output(pictures: str) -> pathlib.Path:
    path = pathlib.Path(pictures.removeprefix("tfds:")).resolve()
    name = path.stem if path.is_file() else path.name
    return pathlib.Path("runs", name.replace(":", "_"))
