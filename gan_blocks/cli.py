"""The command line that all recipes share."""

import argparse
import csv
import json
import os
import pathlib
import sys

import keras
import numpy as np

from gan_blocks import callbacks, datasets, images

_CHECKPOINTS = "checkpoints"
_STRIP_STEPS = 8  # From one latent to the next, in a strip of pictures
_FRAME_STEPS = 24  # and in an animation,
_FRAMES_PER_SECOND = 20
_FRAME_SIZE = 128  # which smaller pictures are enlarged to.

# What belongs to one use of the command line rather than to the run.
_NOT_OF_THE_RUN = ("resume", "generate", "interpolate", "checkpoint", "output")


def parse_arguments(description, defaults, sample=None, argv=None):
    """Reads the command line of a recipe.

    Args:
        description: The recipe's docstring, shown by `--help`.
        defaults: Dictionary of the recipe's settings: `data`, `epochs`,
            `batch_size` and, where the recipe has such flags, `image_size`,
            `filters`, `generator_rate`, `discriminator_rate`, `crop` and
            `flip`.
        sample: Those which are others with `--data sample`. Defaults to
            `None`: none are.
        argv: List of words. Defaults to `None`: those of the process.

    Returns:
        `argparse.Namespace` with these settings and `steps_per_epoch`,
        `output` (a path), `seed`, `resume`, `generate`, `interpolate` and
        `checkpoint`. With `--resume` what is not on the command line is as it
        was in the run that is resumed.
    """
    parser = _parser(description, defaults, sample or {})
    arguments = parser.parse_args(argv)
    drawing = arguments.generate or arguments.interpolate
    if arguments.checkpoint and not drawing:
        parser.error("--checkpoint FILE goes with --generate or --interpolate")
    if arguments.resume:
        saved = arguments.output / "arguments.json"
        if not saved.is_file():
            parser.error(f"--resume: there is no run in {arguments.output}")
        parser.set_defaults(**json.loads(saved.read_text()))
    elif arguments.data == "sample":
        parser.set_defaults(**(sample or {}))
    return parser.parse_args(argv)


def _parser(description, defaults, sample):
    recipe = pathlib.Path(sys.argv[0]).stem
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )

    def add(flag, text, **options):
        parser.add_argument(flag, help=text, **options)

    def setting(flag, text, kind=_positive):
        name = flag[2:].replace("-", "_")
        if name not in defaults:
            return
        value = defaults[name]
        text += f" (default: {value}"
        if name in sample:
            text += f"; with --data sample {sample[name]}"
        add(flag, text + ")", type=kind, default=value)

    setting(
        "--data",
        "pictures to learn from: a file (.npy, .npz, idx, .zip), a folder, "
        "tfds:NAME, or 'sample' for a set that needs no download",
        str,
    )
    setting("--epochs", "passes over the pictures")
    setting("--batch-size", "pictures per training step")
    setting("--image-size", "height and width of the pictures in pixels")
    setting(
        "--filters",
        "channels of the discriminator's first convolution; all others follow",
    )
    setting("--generator-rate", "learning rate of the generator", float)
    setting("--discriminator-rate", "learning rate of the discriminator", float)
    setting(
        "--crop",
        "how much of the height and width of each picture's centred square to "
        "keep, from 0 to 1",
        float,
    )
    if "flip" in defaults:
        add(
            "--flip",
            "mirror half of the pictures, left to right",
            action=argparse.BooleanOptionalAction,
        )
    parser.set_defaults(flip=defaults.get("flip", False))
    add(
        "--steps-per-epoch",
        "training steps that make an epoch (default: one pass over the "
        "pictures)",
        type=_positive,
    )
    add(
        "--output",
        "folder of the run: grids of pictures, checkpoints, history.csv, "
        f"arguments.json (default: runs/{recipe})",
        type=pathlib.Path,
        default=pathlib.Path("runs", recipe),
    )
    add(
        "--seed",
        "seed of weights, noise and order of the pictures (default: 0)",
        type=int,
        default=0,
    )
    add(
        "--resume",
        "go on from the last checkpoint in --output, with the arguments of "
        "that run; --epochs 40 makes it longer",
        action="store_true",
    )
    add(
        "--generate",
        "train nothing: draw N pictures with a trained generator",
        type=_positive,
        metavar="N",
    )
    add(
        "--interpolate",
        "train nothing: draw what lies between N pictures of a trained "
        "generator, as strips and as an animation",
        type=_at_least_two,
        metavar="N",
    )
    add(
        "--checkpoint",
        "saved model for --generate and --interpolate (default: the last one "
        "in --output)",
        type=pathlib.Path,
        metavar="FILE",
    )
    return parser


def run(arguments, build_gan, load_images, recorders):
    """Trains, resumes or draws, as the command line says.

    Args:
        arguments: Of `parse_arguments`.
        build_gan: Function of a seed that returns a compiled `GAN`.
        load_images: Function without arguments that returns the real images,
            an array of uint8 as of `datasets.load`.
        recorders: Function of a folder that returns the callbacks which save
            pictures and checkpoints in it, the latter in `checkpoints`.
    """
    try:
        if arguments.generate:
            generate(arguments)
        elif arguments.interpolate:
            interpolate(arguments)
        else:
            train(arguments, build_gan, load_images, recorders)
    except KeyboardInterrupt:
        _fail(
            "stopped at once; nothing since the last checkpoint is saved", 130
        )


def train(arguments, build_gan, load_images, recorders):
    """Trains a recipe's GAN, or resumes it; arguments as of `run`."""
    latest = _checkpoint_to_resume(arguments)
    real_images = _load(arguments, load_images)
    steps = arguments.steps_per_epoch
    steps = steps or len(real_images) // arguments.batch_size
    keras.utils.set_random_seed(arguments.seed)
    gan = (
        keras.saving.load_model(latest)
        if latest
        else _built(build_gan, arguments.seed)
    )
    steps_done = int(gan.optimizer.iterations)
    epochs_done, steps_into = divmod(steps_done, steps)
    if epochs_done >= arguments.epochs:
        _fail(
            f"{epochs_done} epochs are done already; --resume --epochs "
            f"{2 * epochs_done} goes on to twice as many"
        )
    _prepare(arguments, steps_done)
    if not latest:
        picture = images.grid(real_images[:100], 10, 10)
        images.save_png(picture, arguments.output / "real.png")
    done = f", {epochs_done} of them done" if steps_done else ""
    done += f" and {steps_into} steps more" if steps_into else ""
    print(
        f"{len(real_images)} pictures, {steps} steps of "
        f"{arguments.batch_size} an epoch, {arguments.epochs} epochs{done}.\n"
        f"Pictures and checkpoints: {arguments.output.resolve()}",
        flush=True,
    )
    _fit(gan, real_images, steps, arguments, recorders)
    _say_what_is_there(arguments, gan)


def _fit(gan, real_images, steps, arguments, recorders):
    """Trains from the step that the GAN has come to."""
    diverged = callbacks.StopOnDivergence()
    stop = callbacks.StopOnSignal()
    recording = [
        *recorders(arguments.output),
        _HistoryTable(arguments.output / "history.csv"),
    ]
    while not (diverged.diverged or stop.signal):
        steps_done = int(gan.optimizer.iterations)
        epoch, step = divmod(steps_done, steps)
        if epoch >= arguments.epochs:
            return
        dataset = datasets.batches(
            real_images,
            arguments.batch_size,
            seed=arguments.seed,
            repeat=True,
            skip=steps_done,
            flip=arguments.flip,
        )
        gan.fit(
            dataset,
            initial_epoch=epoch,
            # An epoch that was stopped in its middle is ended first.
            epochs=epoch + 1 if step else arguments.epochs,
            steps_per_epoch=steps - step,
            shuffle=False,  # Done by `batches`.
            verbose=1 if sys.stdout.isatty() else 2,
            callbacks=[diverged, *recording, stop],
        )
    if diverged.diverged:
        _fail(diverged.message)
    _fail(
        f"stopped by {stop.signal.name} after step "
        f"{int(gan.optimizer.iterations)}, which is saved; to go on: "
        f"python {sys.argv[0]} --resume --output {arguments.output}",
        status=128 + stop.signal,
    )


def _say_what_is_there(arguments, gan):
    output = arguments.output
    checkpoint = callbacks.latest_checkpoint(output / _CHECKPOINTS)
    picture = _draw(gan, 64, arguments)
    print(
        f"\n{arguments.epochs} epochs are done.\n"
        f"64 pictures: {picture}\n"
        f"pictures of the run: {output / 'grids'}\n"
        f"trained model: {checkpoint}\n"
        f"losses and scores: {output / 'history.csv'}\n"
        f"more pictures: python {sys.argv[0]} --generate 64 --seed 1 "
        f"--checkpoint {checkpoint}\n"
        f"between pictures: python {sys.argv[0]} --interpolate 8 "
        f"--checkpoint {checkpoint}\n"
        f"longer: python {sys.argv[0]} --resume --epochs "
        f"{2 * arguments.epochs} --output {output}",
        flush=True,
    )


def generate(arguments):
    """Draws pictures with a trained generator; `arguments` as of `run`."""
    gan = _trained(arguments)
    path = _draw(gan, arguments.generate, arguments)
    print(f"{arguments.generate} pictures: {path}")


def interpolate(arguments):
    """Draws the way through some latents; `arguments` as of `run`."""
    gan = _trained(arguments)
    number, seed = arguments.interpolate, arguments.seed
    latents = gan.sample_latents(number, seed)
    path = arguments.output / f"interpolated_{number}_seed_{seed}.png"
    way = gan.interpolate_latents(latents, _STRIP_STEPS, closed=True)
    strips = images.grid(gan.generate(latents=way), number, _STRIP_STEPS)
    images.save_png(strips, path)
    way = gan.interpolate_latents(latents, _FRAME_STEPS, closed=True)
    frames = gan.generate(latents=way)
    scale = max(1, _FRAME_SIZE // frames.shape[1])
    images.animation(
        [images.grid(frame[np.newaxis], scale=scale) for frame in frames],
        path.with_suffix(".gif"),
        _FRAMES_PER_SECOND,
        hold_last=0,
    )
    print(f"strips: {path}\nanimation: {path.with_suffix('.gif')}")


def _draw(gan, number, arguments):
    path = arguments.output / f"generated_{number}_seed_{arguments.seed}.png"
    generated = gan.generate(number, seed=arguments.seed)
    images.save_png(images.grid(generated), path)
    return path


def _trained(arguments):
    """Loads the GAN that is to draw."""
    path = arguments.checkpoint
    path = path or callbacks.latest_checkpoint(arguments.output / _CHECKPOINTS)
    if path is None:
        _fail(f"there is no checkpoint in {arguments.output}; see --checkpoint")
    if not path.is_file():
        _fail(f"there is no file {path}")
    return keras.saving.load_model(path)


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


def _load(arguments, load_images):
    data, batch_size = arguments.data, arguments.batch_size
    try:
        real_images = load_images()
    except (ValueError, OSError, ImportError) as error:
        _fail(f"--data {data}: {error}")
    if batch_size > len(real_images):
        _fail(
            f"--batch-size {batch_size} is more than the {len(real_images)} "
            f"pictures of {data}"
        )
    return real_images


def _built(build_gan, seed):
    try:
        return build_gan(seed)
    except ValueError as error:
        _fail(error)


def _prepare(arguments, steps_done):
    """Makes the folder of the run and writes down its arguments."""
    arguments.output.mkdir(parents=True, exist_ok=True)
    _keep_steps(arguments.output / "history.csv", steps_done)
    values = {
        name: str(value) if isinstance(value, os.PathLike) else value
        for name, value in vars(arguments).items()
        if name not in _NOT_OF_THE_RUN
    }
    text = json.dumps(values, indent=2) + "\n"
    (arguments.output / "arguments.json").write_text(text)


class _HistoryTable(keras.callbacks.Callback):
    """Adds the logs of each epoch, or part of one, to a table.

    `keras.callbacks.CSVLogger` keeps the file open when training is
    interrupted, and has columns of a validation that there is not.
    """

    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch, logs=None):
        step = int(self.model.optimizer.iterations)
        row = {"epoch": epoch + 1, "step": step, **(logs or {})}
        new = not self.path.exists()
        with open(self.path, "a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if new:
                writer.writeheader()
            writer.writerow(row)


def _keep_steps(history, number):
    """Leaves out of a history what will be trained again."""
    if not history.exists():
        return
    with open(history, newline="") as file:
        header, *rows = csv.reader(file)
    rows = [row for row in rows if int(row[header.index("step")]) <= number]
    with open(history, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def _positive(word):
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{word} is not at least 1")
    return number


def _at_least_two(word):
    number = int(word)
    if number < 2:
        raise argparse.ArgumentTypeError(f"{word} is not at least 2")
    return number


def _fail(message, status=1):
    print(f"{sys.argv[0]}: {message}", file=sys.stderr)
    raise SystemExit(status)
