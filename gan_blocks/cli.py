"""The command line that all recipes share."""

import argparse
import csv
import json
import os
import pathlib
import sys

import keras

from gan_blocks import callbacks, datasets, images

_CHECKPOINTS = "checkpoints"


def parse_arguments(description, data, epochs, batch_size, argv=None):
    """Reads the command line of a recipe.

    Args:
        description: The recipe's docstring, shown by `--help`.
        data: Default of `--data`.
        epochs: Default of `--epochs`.
        batch_size: Default of `--batch-size`.
        argv: List of words. Defaults to `None`: those of the process.

    Returns:
        `argparse.Namespace` with `data`, `epochs`, `batch_size`,
        `steps_per_epoch`, `output` (a path), `seed`, `resume`, `generate` and
        `checkpoint`. With `--resume` what is not on the command line is as it
        was in the run that is resumed.
    """
    recipe = pathlib.Path(sys.argv[0]).stem
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--data",
        default=data,
        help="pictures to learn from: a file (.npy, .npz, idx, .zip), a "
        "folder, tfds:NAME, or 'sample' for the small set that needs no "
        f"download (default: {data})",
    )
    add(
        "--epochs",
        type=_positive,
        default=epochs,
        help=f"passes over the pictures (default: {epochs})",
    )
    add(
        "--batch-size",
        type=_positive,
        default=batch_size,
        help=f"pictures per training step (default: {batch_size})",
    )
    add(
        "--steps-per-epoch",
        type=_positive,
        help="training steps that make an epoch (default: one pass over the "
        "pictures)",
    )
    add(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path("runs", recipe),
        help="folder of the run: grids of pictures, checkpoints, history.csv, "
        f"arguments.json (default: runs/{recipe})",
    )
    add(
        "--seed",
        type=int,
        default=0,
        help="seed of weights, noise and order of the pictures (default: 0)",
    )
    add(
        "--resume",
        action="store_true",
        help="go on from the last checkpoint in --output, with the arguments "
        "of that run; --epochs 40 makes it longer",
    )
    add(
        "--generate",
        type=_positive,
        metavar="N",
        help="train nothing: draw N pictures with a trained generator",
    )
    add(
        "--checkpoint",
        type=pathlib.Path,
        metavar="FILE",
        help="saved model for --generate (default: the last one in --output)",
    )
    arguments = parser.parse_args(argv)
    if arguments.checkpoint and not arguments.generate:
        parser.error("--checkpoint FILE goes with --generate N")
    if arguments.resume:
        saved = arguments.output / "arguments.json"
        if not saved.is_file():
            parser.error(f"--resume: there is no run in {arguments.output}")
        parser.set_defaults(**json.loads(saved.read_text()))
        arguments = parser.parse_args(argv)
    return arguments


def train(arguments, build_gan, sample, grids, image_size, channels):
    """Trains a recipe's GAN as the command line says, or resumes it.

    Args:
        arguments: Of `parse_arguments`.
        build_gan: Function of a seed that returns a compiled `GAN`.
        sample: Function that returns the images of `--data sample`.
        grids: Function of a folder that returns the recipe's `ImageGrid`.
        image_size: Pixels, as in `datasets.load`.
        channels: 1 or 3.
    """
    latest = _checkpoint_to_resume(arguments)
    real_images = _load(arguments, sample, image_size, channels)
    steps = arguments.steps_per_epoch
    steps = steps or len(real_images) // arguments.batch_size
    keras.utils.set_random_seed(arguments.seed)
    gan = keras.saving.load_model(latest) if latest else None
    gan = gan or build_gan(arguments.seed)
    epochs_done = int(gan.optimizer.iterations) // steps
    if epochs_done >= arguments.epochs:
        _fail(
            f"{epochs_done} epochs are done already; --resume --epochs "
            f"{2 * epochs_done} goes on to twice as many"
        )
    _prepare(arguments, epochs_done)
    if not latest:
        picture = images.grid(real_images[:100], 10, 10)
        images.save_png(picture, arguments.output / "real.png")
    print(
        f"{len(real_images)} pictures, {steps} steps of "
        f"{arguments.batch_size} an epoch, {arguments.epochs} epochs"
        + (f", {epochs_done} of them done" if epochs_done else "")
        + f".\nGrids and checkpoints: {arguments.output.resolve()}",
        flush=True,
    )
    _fit(gan, real_images, steps, arguments, grids)
    latest = callbacks.latest_checkpoint(arguments.output / _CHECKPOINTS)
    print(
        f"Done. Grids: {arguments.output / 'grids'}\nMore pictures: python "
        f"{sys.argv[0]} --generate 64 --checkpoint {latest}"
    )


def _fit(gan, real_images, steps, arguments, grids):
    """Trains from the batch and the epoch that the GAN has come to."""
    steps_done = int(gan.optimizer.iterations)
    dataset = datasets.batches(
        real_images,
        arguments.batch_size,
        seed=arguments.seed,
        repeat=True,
        skip=steps_done,
    )
    stop = callbacks.StopOnDivergence()
    try:
        gan.fit(
            dataset,
            epochs=arguments.epochs,
            initial_epoch=steps_done // steps,
            steps_per_epoch=steps,
            shuffle=False,  # Done by `batches`.
            verbose=1 if sys.stdout.isatty() else 2,
            callbacks=[stop, *_recorders(arguments.output, grids)],
        )
    except KeyboardInterrupt:
        _fail("stopped; --resume goes on from the last checkpoint", status=130)
    if stop.diverged:
        _fail(stop.message)


def generate(arguments, batch_statistics=False):
    """Draws pictures with a trained generator, as the command line says.

    Args:
        arguments: Of `parse_arguments`.
        batch_statistics: As in `GAN.generate`. Defaults to `False`.
    """
    path = arguments.checkpoint
    path = path or callbacks.latest_checkpoint(arguments.output / _CHECKPOINTS)
    if path is None:
        _fail(f"there is no checkpoint in {arguments.output}; see --checkpoint")
    if not path.is_file():
        _fail(f"there is no file {path}")
    gan = keras.saving.load_model(path)
    generated = gan.generate(
        arguments.generate,
        seed=arguments.seed,
        batch_statistics=batch_statistics,
    )
    name = f"generated_{arguments.generate}_seed_{arguments.seed}.png"
    images.save_png(images.grid(generated), arguments.output / name)
    print(f"{arguments.generate} pictures: {arguments.output / name}")


def _checkpoint_to_resume(arguments):
    """Returns the checkpoint to go on from; `None` begins anew."""
    output = arguments.output
    if not arguments.resume:
        if (output / "arguments.json").exists():
            _fail(
                f"{output} holds a run: --resume goes on with it, --output "
                "FOLDER begins another"
            )
        return None
    latest = callbacks.latest_checkpoint(output / _CHECKPOINTS)
    if latest is None:
        _fail(f"there is no checkpoint in {output / _CHECKPOINTS}")
    return latest


def _load(arguments, sample, image_size, channels):
    data, batch_size = arguments.data, arguments.batch_size
    try:
        if data == "sample":
            real_images = sample()
        else:
            real_images = datasets.load(
                data, image_size, channels, verbose=True
            )
    except (ValueError, OSError, ImportError) as error:
        _fail(f"--data {data}: {error}")
    if batch_size > len(real_images):
        _fail(
            f"--batch-size {batch_size} is more than the {len(real_images)} "
            f"pictures of {data}"
        )
    return real_images


def _recorders(output, grids):
    """Returns the callbacks that leave something in the run's folder."""
    history = output / "history.csv"
    return [
        grids(output / "grids"),
        callbacks.EpochCheckpoint(
            output / _CHECKPOINTS, every_n_epochs=1, keep=3
        ),
        keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: _append(
                history, {"epoch": epoch + 1, **logs}
            )
        ),
    ]


def _prepare(arguments, epochs_done):
    """Makes the folder of the run and writes down its arguments."""
    arguments.output.mkdir(parents=True, exist_ok=True)
    _keep_epochs(arguments.output / "history.csv", epochs_done)
    values = {
        name: str(value) if isinstance(value, os.PathLike) else value
        for name, value in vars(arguments).items()
        if name not in ("resume", "generate", "checkpoint", "output")
    }
    text = json.dumps(values, indent=2) + "\n"
    (arguments.output / "arguments.json").write_text(text)


def _append(history, row):
    """Adds a row to a table, and its header if it is the first.

    `keras.callbacks.CSVLogger` keeps the file open when training is
    interrupted, and has columns of a validation that there is not.
    """
    new = not history.exists()
    with open(history, "a", newline="") as file:
        writer = csv.DictWriter(file, row)
        if new:
            writer.writeheader()
        writer.writerow(row)


def _keep_epochs(history, number):
    """Leaves out the epochs of a history that will be trained again."""
    if not history.exists():
        return
    with open(history, newline="") as file:
        rows = list(csv.reader(file))
    with open(history, "w", newline="") as file:
        csv.writer(file).writerows(rows[: number + 1])


def _positive(word):
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{word} is not at least 1")
    return number


def _fail(message, status=1):
    print(f"{sys.argv[0]}: {message}", file=sys.stderr)
    raise SystemExit(status)
