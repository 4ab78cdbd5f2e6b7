"""The action `train`: a GAN from a folder of pictures."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Any

from gan_blocks import callbacks, datasets, replicas
from gan_blocks.cli import loading, options
from gan_blocks.cli.output import fail, gan_blocks_command
from gan_blocks.cli.run import Run
from gan_blocks.plan import Plan

__all__ = ["train"]

_PLAN_FIELDS = {field.name for field in dataclasses.fields(Plan)}


def train(
    pictures: str | None,
    output: pathlib.Path | None = None,
    resume: bool = False,
    devices: Sequence[str] | None = None,
    accept_new_data: bool = False,
    **chosen: Any,
) -> None:
    """Trains a GAN with the settings of a `Plan`, or continues a run.

    Args:
        pictures: The images, see `datasets.load`. A resumed run knows them.
        output: Folder of the run. Defaults to `None`: runs/NAME.
        resume: If True, continues the run in `output`. Defaults to False.
        devices: Names of devices, see `Run`. Defaults to `None`.
        accept_new_data: If True, the pictures of a resumed run may have
            changed. Defaults to False.
        **chosen: `image_size`, `channels`, `classes`, `alpha`, `crop`,
            `min_size`, `resample` and fields of the plan. `None` stands for
            the default.
    """
    if output is None and pictures is not None:
        output = _default_output(pictures)
    if output is None or (pictures is None and not resume):
        fail("Pass the pictures to train on, or --resume --output FOLDER.")
    chosen = {name: v for name, v in chosen.items() if v is not None}
    if resume:
        settings = _settings_of_run(output, chosen)
    else:
        size = chosen.pop("image_size", (64, 64))
        shape = (*size, chosen.pop("channels", 3))
        settings = {"image_shape": shape, "classes": False, **chosen}
    if pictures is not None:
        settings["data"] = pictures
    try:
        plan = Plan(**{k: settings[k] for k in _PLAN_FIELDS & set(settings)})
    except ValueError as error:
        fail(str(error).replace("`image_shape`", "--image-size"))
    run = Run(
        output,
        {"steps_per_epoch": None, **settings, **dataclasses.asdict(plan)},
        resume,
        devices,
        program=functools.partial(gan_blocks_command, "train"),
        accept_new_data=accept_new_data,
    )
    *size, channels = plan.image_shape
    images = loading.load_pictures(
        run.data,
        size,
        channels=channels,
        labels=run.classes,
        **loading.load_options(settings),
    )
    labels = None
    if run.classes:
        images, labels = images
        plan.num_classes = run.settings["num_classes"] = int(labels.max()) + 1
    gan = run.load_gan() or plan.build()
    run.prepare(gan, images, labels)
    if replicas.is_chief(gan):
        print(plan)
    gan.fit(
        datasets.batches(
            images, plan.batch_size, plan.seed, flip=plan.flip, labels=labels
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
