"""Training, from the first step or from where a run was stopped."""

import json
import sys

import keras

from gan_blocks import callbacks, datasets, images, page, replicas
from gan_blocks.callbacks.counts import iterations
from gan_blocks.cli import devices
from gan_blocks.cli.arguments import ARGUMENTS, fail
from gan_blocks.cli.drawing import CHECKPOINTS, draw, load_gan

# What belongs to one use of the command line rather than to the run.
_NOT_OF_THE_RUN = (
    "resume",
    "devices",
    "generate",
    "interpolate",
    "evaluate",
    "features",
    "checkpoint",
    "output",
)


def train(arguments, build_gan, load_images, recorders):
    """Trains a recipe's GAN, or resumes it; arguments as of `run`."""
    latest = _checkpoint_to_resume(arguments)
    with devices.scope(arguments.devices):
        if arguments.batch_size % devices.number():
            fail(
                f"--batch-size {arguments.batch_size} cannot be shared by "
                f"{devices.number()} devices"
            )
        keras.utils.set_random_seed(arguments.seed)
        gan = load_gan(latest) if latest else _built(build_gan, arguments.seed)
    real_images, labels = load_real(arguments, load_images)
    if arguments.batch_size > len(real_images):
        fail(
            f"--batch-size {arguments.batch_size} is more than the "
            f"{len(real_images)} pictures of {arguments.data}"
        )
    steps = arguments.steps_per_epoch
    steps = steps or len(real_images) // arguments.batch_size
    steps_done = iterations(gan)
    epochs_done, steps_into = divmod(steps_done, steps)
    done = f", {epochs_done} of them done" if steps_done else ""
    done += f" and {steps_into} steps more" if steps_into else ""
    try:
        if replicas.is_chief(gan):
            _prepare(arguments)
            if not latest:
                picture = images.grid(real_images[:100], 10, 10)
                images.save_png(picture, arguments.output / "real.png")
            print(
                f"{len(real_images)} pictures, {steps} steps of "
                f"{arguments.batch_size} an epoch, {arguments.epochs} epochs"
                f"{done}.\nPictures and checkpoints: "
                f"{arguments.output.resolve()}",
                flush=True,
            )
        _fit(gan, real_images, labels, steps, arguments, recorders)
        _say_what_is_there(arguments, gan)
    except OSError as error:
        fail(error)


def _fit(gan, real_images, labels, steps, arguments, recorders):
    """Trains from the step that the GAN has come to."""
    diverged = callbacks.StopOnDivergence(arguments.rollbacks)
    trouble = callbacks.WarnOnTrouble()
    stop = callbacks.StopOnSignal()
    recording = [
        callbacks.HistoryTable(arguments.output / "history.csv"),
        *recorders(arguments.output),
    ]
    for recorder in recording:
        if isinstance(recorder, callbacks.EpochCheckpoint):
            recorder.arguments = _of_the_run(arguments)
    verbose = 1 if sys.stdout.isatty() else 2
    if not replicas.is_chief(gan):
        verbose = 0
    for steps_done, rest in callbacks.rest_of_run(gan, arguments.epochs, steps):
        dataset = datasets.batches(
            real_images,
            arguments.batch_size,
            seed=arguments.seed,
            repeat=True,
            skip=steps_done,
            flip=arguments.flip,
            labels=labels,
        )
        gan.fit(
            devices.own_share(dataset),
            **rest,
            shuffle=False,  # Done by `batches`.
            verbose=verbose,
            callbacks=[diverged, trouble, *recording, stop],
        )
    if diverged.diverged:
        fail(diverged.message)
    steps_done = iterations(gan)
    if stop.signal and steps_done < arguments.epochs * steps:
        fail(
            f"stopped by {stop.signal.name} after step {steps_done}, which "
            f"is saved; to go on: python {sys.argv[0]} --resume --output "
            f"{arguments.output}",
            status=128 + stop.signal,
        )


def _say_what_is_there(arguments, gan):
    output = arguments.output
    checkpoint = callbacks.latest_checkpoint(output / CHECKPOINTS)
    picture = draw(gan, 64, arguments)
    if not replicas.is_chief(gan):
        return
    shown = page.write_page(output)
    print(
        f"\n{arguments.epochs} epochs are done.\n"
        f"64 pictures: {picture}\n"
        f"the run as a page: {shown}\n"
        f"pictures of the run: {output / 'grids'}\n"
        f"trained model: {checkpoint}\n"
        f"losses and scores: {output / 'history.csv'}\n"
        f"more pictures: python {sys.argv[0]} --generate 64 --seed 1 "
        f"--output {output}\n"
        f"between pictures: python {sys.argv[0]} --interpolate 8 "
        f"--output {output}\n"
        f"longer: python {sys.argv[0]} --resume --epochs "
        f"{2 * arguments.epochs} --output {output}",
        flush=True,
    )


def _checkpoint_to_resume(arguments):
    """Returns the checkpoint to go on from; `None` begins anew."""
    output = arguments.output
    if not arguments.resume:
        if (output / ARGUMENTS).exists():
            fail(
                f"{output} holds a run: --resume goes on with it, --output "
                "FOLDER begins another"
            )
        return None
    latest = callbacks.latest_checkpoint(output / CHECKPOINTS)
    if latest is None:
        print(
            f"There is no whole checkpoint in {output / CHECKPOINTS}: the run "
            "begins anew.",
            flush=True,
        )
    return latest


def load_real(arguments, load_images):
    """Returns the real images and their labels, or `None` for these."""
    try:
        loaded = load_images(arguments)
    except (ValueError, OSError, ImportError, MemoryError) as error:
        fail(f"--data {arguments.data}: {error}")
    return loaded if isinstance(loaded, tuple) else (loaded, None)


def _built(build_gan, seed):
    try:
        return build_gan(seed)
    except ValueError as error:
        fail(error)


def _prepare(arguments):
    """Makes the folder of the run and writes down its arguments."""
    images.remove_unfinished(arguments.output)
    path = arguments.output / ARGUMENTS
    with images.written_aside(path, flush=True) as aside:
        aside.write_text(json.dumps(_of_the_run(arguments), indent=2) + "\n")


def _of_the_run(arguments):
    """Returns as a dictionary what a resumed run takes up again."""
    return {
        name: value
        for name, value in vars(arguments).items()
        if name not in _NOT_OF_THE_RUN
    }
