"""A training run that is controlled from the command line."""

import contextlib
import functools
import math
import pathlib
import sys
import textwrap
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from gan_blocks import callbacks, files, images, metrics, page, replicas, runs
from gan_blocks._locks import lock, unlock
from gan_blocks._screens import duration
from gan_blocks.cli import devices, loading, options, output
from gan_blocks.gan.model import GAN

__all__ = ["Run", "start"]

_REAL_IMAGES = 10_000  # At most. They are compared with generated images.
_GENERATED_IMAGES = 2000  # Enough to see progress in the kernel distance.


def start(
    description: str | None,
    *,
    data: str,
    epochs: int,
    batch_size: int,
    steps_per_epoch: int | None = None,
    sample: Mapping[str, Any] | None = None,
    without_gpu: Mapping[str, Any] | None = None,
    argv: Sequence[str] | None = None,
    **settings: Any,
) -> "Run":
    """Parses the command line of a recipe and prepares the process for it.

    From here on, errors that the user can fix are printed in one line, without
    a traceback, and training continues if stdout breaks. This replaces
    `sys.excepthook`: a `with` block would indent the whole recipe.

    Args:
        description: Text for `--help`, usually `__doc__`.
        data: Default of `--data`.
        epochs: Default of `--epochs`.
        batch_size: Default of `--batch-size`.
        steps_per_epoch: Default of `--steps-per-epoch`. Defaults to `None`:
            one pass over the images.
        sample: Settings that have other defaults with `--data sample`.
        without_gpu: Smaller settings for a machine without a GPU. The user is
            told about them if the run has larger ones.
        argv: Words of the command line. Defaults to `sys.argv[1:]`.
        **settings: Defaults of other settings. Each becomes an option, for
            example `image_size=64` becomes `--image-size`.

    Returns:
        The run. Its attributes are the settings.

    Example:

    ```python
    from gan_blocks.cli import start

    run = start(
        "Trains on digits.", data="sample", epochs=2, batch_size=64,
        argv=["--epochs", "3"],
    )
    assert (run.epochs, run.batch_size) == (3, 64)
    ```
    """
    defaults = {
        "data": data,
        "epochs": epochs,
        "batch_size": batch_size,
        "steps_per_epoch": steps_per_epoch,
        **settings,
    }
    parsed, settings = options.parse_options(
        description, defaults, sample or {}, argv
    )
    output.keep_tensorflow_unused()
    sys.excepthook = _print_error
    sys.stdout = output.TolerantStream(sys.stdout)
    return Run(
        parsed.output,
        settings,
        parsed.resume,
        parsed.devices,
        without_gpu,
        accept_new_data=parsed.accept_new_data,
    )


def _print_error(kind, error, trace):
    output.exit_with_one_line(error)
    sys.__excepthook__(kind, error, trace)


class Run(runs.RunFolder):
    """The folder and the settings of a training run.

    Use the methods in this order: `load_gan`, `prepare`, `callbacks`,
    `finish`. `start` creates the run from a command line.

    Args:
        path: Folder of the run. It must not contain another run.
        settings: Dictionary with `data`, `epochs`, `batch_size`,
            `steps_per_epoch` and any others. Each can be read as an attribute
            of the run.
        resume: If True, the run in `path` is continued. Defaults to False.
        device_names: Devices to train on, or `["all"]`. Defaults to
            `None`: Keras decides.
        without_gpu: Smaller settings, see `start`. Defaults to `None`.
        program: Returns a shell command that runs the program with the given
            options, for hints. Defaults to `None`: the running script.
        accept_new_data: If True, a resumed run may train on other images than
            before. Defaults to False.
    """

    def __init__(
        self,
        path: pathlib.Path,
        settings: Mapping[str, Any],
        resume: bool = False,
        device_names: Sequence[str] | None = None,
        without_gpu: Mapping[str, Any] | None = None,
        program: Callable[..., str] | None = None,
        accept_new_data: bool = False,
    ):
        super().__init__(path)
        if not resume and self.settings_file.exists():
            output.fail(
                f"{path} already contains a run. Continue it with --resume, "
                "or choose another folder with --output."
            )
        self.settings = {**options.DEFAULTS, **settings}
        self._resume = resume
        self._device_names = device_names or []
        self._without_gpu = without_gpu or {}
        self._accept_new_data = accept_new_data
        words = ["--resume", "--output", self.path]
        if self._device_names:
            words += ["--devices", *self._device_names]
        if program is None:
            program = functools.partial(output.python_command, sys.argv[0])
        self._resume_command = program(*words)
        self._divergence = callbacks.StopOnDivergence(self.rollbacks)
        self._trouble = callbacks.WarnOnTrouble()
        self._signal = callbacks.StopOnSignal()
        self._steps = 0
        self._real: Any = None
        # `prepare` closes the scope, after the recipe has built the GAN.
        self._scope = contextlib.ExitStack()
        self._scope.enter_context(devices.scope(self._device_names))
        self._device_count = devices.count()
        if self.seed >= 2**32:
            output.fail(f"--seed must be below 2**32. Received: {self.seed}")
        keras.utils.set_random_seed(self.seed)

    def __getattr__(self, name: str) -> Any:
        settings = self.__dict__.get("settings", {})
        if name in settings:
            return settings[name]
        raise AttributeError(f"The run has no setting {name!r}.")

    def load_gan(self) -> GAN | None:
        """Loads the newest checkpoint, if the run is resumed.

        Returns:
            The GAN, or `None` if a new one must be built.
        """
        checkpoint = self.latest_checkpoint() if self._resume else None
        if checkpoint is not None:
            return loading.load_gan(checkpoint)
        if self._resume:
            print(
                f"No checkpoint found in {self.checkpoints}. Training starts "
                "from the beginning."
            )
        # Once more: the initial weights must not depend on how data is loaded.
        keras.utils.set_random_seed(self.seed)
        return None

    def prepare(
        self,
        gan: GAN,
        real_images: np.ndarray,
        labels: np.ndarray | None = None,
    ) -> None:
        """Creates the folder and prints what will happen.

        Saves the settings, with the number and a checksum of the images, and a
        hundred of the images as `real.png`. Ends the process if there are more
        classes than in the GAN, or if a resumed run would train on other images
        than before or has trained for more than `epochs` already.

        Args:
            gan: The GAN to train.
            real_images: uint8 array of the real images.
            labels: Array of their labels. Defaults to `None`.
        """
        number = len(real_images)
        classes = 0 if labels is None else int(labels.max()) + 1
        if classes > (gan.num_classes or 0):
            output.fail(
                f"{self.data} has {classes} classes, and the GAN has "
                f"{gan.num_classes or 'none'}. Pass other pictures, or train "
                "another GAN in a new folder."
            )
        steps_done = runs.steps_done(gan)
        data_changed = self._record_data(real_images, labels, steps_done)
        if self.batch_size % self._device_count:
            output.fail(
                f"--batch-size {self.batch_size} is not a multiple of the "
                f"{self._device_count} devices."
            )
        if self.batch_size > number:
            output.fail(
                f"--batch-size {self.batch_size} is more than the "
                f"{output.plural(number, 'picture')} of {self.data}. Pass "
                f"--batch-size {number} or less."
            )
        self._steps = self.steps_per_epoch or number // self.batch_size
        self._real = real_images
        self._scope.close()
        if steps_done > self.epochs * self._steps:
            output.fail(
                f"The run has trained for {output.plural(steps_done, 'step')}, "
                f"more than --epochs {self.epochs}. Pass at least --epochs "
                f"{steps_done // self._steps + 1}. "
                f"{options.start_from_hint(self.path)}"
            )
        if not replicas.is_chief(gan):
            return
        lock(self.checkpoints)
        self._suggest_smaller_settings(gan)
        files.remove_leftovers(self.path)
        self.write_settings(self.settings)
        if data_changed or not steps_done:
            images.save_png(images.grid(self._sample(100)), self.real_images)
        self._announce(number, steps_done)
        print(f"Pictures and checkpoints: {self.path.resolve()}")

    def _announce(self, number: int, steps_done: int) -> None:
        """Prints how much will be trained."""
        print(
            f"{output.plural(number, 'picture')}, "
            f"{output.plural(self._steps, 'step')} of {self.batch_size} per "
            f"epoch, {output.plural(self.epochs, 'epoch')}."
        )
        epoch = steps_done // self._steps + 1
        if epoch > self.epochs:
            print(f"All epochs are done, after step {steps_done:,}.")
        elif steps_done:
            print(f"Continues after step {steps_done:,}, in epoch {epoch}.")

    def callbacks(
        self, *own: keras.callbacks.Callback
    ) -> list[keras.callbacks.Callback]:
        """Returns the callbacks of the run, in the order that they need.

        - The progress, so that no message breaks its line.
        - Callbacks that find problems, before anything is saved.
        - The history and the image grids, then `EpochCheckpoint`, so that
          nothing is missing if the process is killed between two of them.
        - `StopOnSignal`, so that a signal does not interrupt the others.

        Args:
            *own: The recipe's callbacks, `EpochCheckpoint` last.
        """
        for callback in own:
            if isinstance(callback, callbacks.EpochCheckpoint):
                callback.arguments = self.settings
        recorders: list = [callbacks.HistoryTable(self.history)]
        if self.evaluate_every:
            monitor = self._quality_monitor()
            best = KeepBest(self, monitor)
            recorders = [monitor, *recorders, best]
        if self.tensorboard:
            output.require("tensorboard", "--tensorboard")
            output.require("tensorflow", "--tensorboard")  # Keras needs it.
            folder = str(self.path / "tensorboard")
            recorders.append(keras.callbacks.TensorBoard(folder))
            # One grid only: all grids would have the same name there.
            grids = [x for x in own if isinstance(x, callbacks.ImageGrid)]
            for grid in grids[:1]:
                grid.tensorboard = folder
        return [
            *self._progress(),
            self._divergence,
            self._trouble,
            *recorders,
            *own,
            self._signal,
        ]

    def finish(self, gan: GAN) -> None:
        """Draws pictures, writes the page of the run, and prints hints.

        If the run has measured its quality, `gan` gets the weights of the best
        model, which the commands of `gan_blocks` use too.

        Ends the process if training diverged (exit status 1) or was stopped by
        a signal (exit status 128 + the signal's number).
        """
        unlock(self.checkpoints)
        if self._divergence.diverged:
            output.fail(f"{self._divergence.message} {self._rollback_hint()}")
        steps_done = runs.steps_done(gan)
        complete = self._is_complete(steps_done)
        if self._signal.signal and not complete:
            output.fail(
                f"Stopped by {self._signal.signal.name} after step "
                f"{steps_done}, which is saved. Continue with: "
                f"{self._resume_command}",
                status=128 + self._signal.signal,
            )
        if not devices.several_processes() and (
            self.best_checkpoint() == self.best_model
        ):
            gan.load_weights(self.best_model)
        verdict = self._judge(gan, steps_done)
        generated = gan.generate(64, seed=self.seed)  # On JAX, by each process.
        if not replicas.is_chief(gan):
            return
        picture = self.path / f"generated_64_seed_{self.seed}.png"
        images.save_png(images.grid(generated), picture)
        lines = ["", self._describe_end(steps_done, complete)]
        lines += textwrap.wrap(verdict or "", 79)
        lines += [*self._list_results(picture), "", "Next:"]
        for purpose, command in self._commands().items():
            lines.append(f"  {purpose:<22}{command}")
        print("\n".join(lines))

    def _progress(self) -> list[keras.callbacks.Callback]:
        return [callbacks.ProgressLine(self.epochs, self._steps)]

    def _is_complete(self, steps_done: int) -> bool:
        return steps_done >= self.epochs * self._steps

    def _judge(self, gan: GAN, steps_done: int) -> str | None:
        """Returns how the training went."""
        del gan, steps_done
        return self._trouble.verdict

    def _rollback_hint(self) -> str:
        """Returns what to do after divergence."""
        return (
            "Continue from the last checkpoint, and halve the learning rates "
            f"if it happens again: {self._resume_command} --rollbacks 3"
        )

    def _describe_end(self, steps_done: int, complete: bool) -> str:
        if complete:
            return (
                f"Training is complete: {output.plural(self.epochs, 'epoch')}."
            )
        return f"Training ended after {output.plural(steps_done, 'step')}."

    def _list_results(self, picture):
        return [
            f"64 pictures: {picture}",
            f"Page of the run: {page.write_page(self.path)}",
            f"Model: {loading.describe_model(self.best_checkpoint(), self)}",
        ]

    def _commands(self) -> dict[str, str]:
        """Returns commands that use the model, by their purpose."""
        command = output.gan_blocks_command
        return {
            "New pictures": command("generate", self.path, "--seed", 1),
            "A file per picture": command("generate", self.path, "--separate"),
            "Film": command("interpolate", self.path),
            "Film of the training": command("animate", self.path),
            "Page to play with": command("explore", self.path),
            "Compare two runs": command("page", self.path, "OTHER_RUN"),
            "Train longer": f"{self._resume_command} {self._twice_as_long()}",
            "Fine-tune": command(
                "train", "NEW_PICTURES", "--start-from", self.path
            ),
        }

    def _twice_as_long(self) -> str:
        """Returns the option that doubles the length of a resumed run."""
        return f"--epochs {2 * self.epochs}"

    def _record_data(self, images, labels, steps_done):
        """Adds the number and a checksum of the images to the settings.

        Also adds the step after which the same images and features measure the
        quality. Returns True if a resumed run had other images before.
        """
        data = {
            "pictures": len(images),
            "data_checksum": _checksum(images, labels),
        }
        self.settings |= data
        saved = self.read_settings() if self.settings_file.exists() else {}
        before = {name: saved.get(name) for name in data}
        changed = steps_done and before not in (data, dict.fromkeys(data))
        comparable = saved.get("comparable_after_step", 0)
        if changed or saved.get("features") != self.features:
            comparable = steps_done
        self.settings["comparable_after_step"] = comparable
        if changed and not self._accept_new_data:
            change = f"now has {len(images):,}"
            if before["pictures"] == len(images):
                change = "has as many, but the pictures or labels are different"
            output.fail(
                f"The run was trained on {before['pictures']:,} pictures. "
                f"{self.data} {change}. Restore the pictures, or accept the "
                f"change: {self._resume_command} --accept-new-data. "
                f"{options.start_from_hint(self.path)}"
            )
        return changed

    def _sample(self, number):
        """Returns some of the real images, or all, in their order."""
        random = np.random.default_rng(self.seed)
        chosen = random.permutation(len(self._real))[:number]
        return self._real[np.sort(chosen)]

    def _quality_monitor(self):
        quality = metrics.Quality(
            self._sample(_REAL_IMAGES),
            loading.load_features(self.features, self._real.shape[1:]),
            num_images=_GENERATED_IMAGES,
            seed=self.seed,
        )
        return callbacks.QualityMonitor(quality, self.evaluate_every)

    def _suggest_smaller_settings(self, gan):
        """Prints how long training takes without a GPU, and a quicker way."""
        larger = [
            name
            for name, value in self._without_gpu.items()
            if name in ("image_size", "filters")
            and np.prod(self.settings[name]) > np.prod(value)
        ]
        if not larger or self._device_names or devices.has_accelerator():
            return
        print("No GPU found. Measuring the speed of this machine...")
        steps = self.epochs * self._steps - runs.steps_done(gan)
        seconds = steps * self.batch_size * _seconds_per_image(gan)
        words = [sys.argv[0], "--data", self.data]
        for name, value in self._without_gpu.items():
            words += [f"--{name.replace('_', '-')}", options.show(value)]
        words += ["--output", f"{self.path}_small"]
        print(
            f"Training will take about {duration(seconds)} here. Smaller "
            "networks suit a machine without a GPU:\n"
            f"  {output.python_command(*words)}"
        )


def _checksum(*arrays, chunk=1000):
    """Returns a checksum of arrays, which may be larger than the memory."""
    checksum = 0
    for array in filter(lambda x: x is not None, arrays):
        for i in range(0, len(array), chunk):
            part = np.ascontiguousarray(array[i : i + chunk])
            checksum = zlib.crc32(part.data, checksum)
    return f"{checksum:08x}"


def _seconds_per_image(gan, number=8):
    """Trains a copy of the GAN for two steps and measures the second one."""
    copy = GAN.from_config(gan.get_config())
    copy.compile_from_config(gan.get_compile_config())
    blank = np.zeros((number, *gan.image_shape), "float32")
    copy.fit(blank, batch_size=number, verbose=0)
    start = time.perf_counter()
    copy.fit(blank, batch_size=number, verbose=0)
    return (time.perf_counter() - start) / number


class KeepBest(keras.callbacks.Callback):
    """Saves the best model as `best.keras`.

    This is the newest model whose kernel distance is at most one standard
    error above the lowest one: a smaller difference may be chance, and models
    that were trained longer are usually better.

    A resumed run keeps the file until another model is as good. It replaces the
    file if the features or the real images are different, because their
    distances cannot be compared.
    """

    model: Any

    def __init__(self, run, monitor):
        super().__init__()
        self.run = run
        self.path = run.best_model
        self._monitor = monitor
        self._limit = math.inf  # The lowest distance and its standard error.
        self._measure = {
            "data_checksum": run.data_checksum,
            **monitor.quality.features.protocol,
        }
        self._written = files.BestEffort(f"{self.path} cannot be written")

    def on_train_begin(self, logs=None):
        # The file may be lost, damaged or of an older version.
        with contextlib.suppress(OSError, ValueError, KeyError):
            best = runs.read_manifest(self.path)["arguments"] or {}
            if best.get("measure") == self._measure:
                self._limit = best["kid_limit"]

    def on_epoch_end(self, epoch, logs=None):
        results = self._monitor.results
        if not results or results[-1][0] != epoch + 1:
            return  # This epoch was not measured.
        values = results[-1][1].values
        value = float(values["kid"])
        if not value <= self._limit:  # It may be NaN.
            return
        limit = min(self._limit, value + float(values["kid_error"]))
        if not replicas.is_chief(self.model):
            self._limit = limit
            return
        with self._written():
            with (
                files.atomic_write(self.path, flush=True) as temporary,
                replicas.undistributed(),
            ):
                self.model.save(temporary)
                step = runs.steps_done(self.model)
                best = {
                    "kid": value,
                    "kid_limit": limit,
                    "measure": self._measure,
                }
                settings = self.run.settings | best
                runs.write_manifest(temporary, epoch + 1, step, settings)
            self._limit = limit  # The file has the model now.
