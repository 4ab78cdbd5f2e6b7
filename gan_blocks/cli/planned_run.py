"""The run of a plan: the clock ends it, and its quality is measured."""

import contextlib
import dataclasses
import functools
import json
import math
import pathlib
import signal
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from gan_blocks import (
    callbacks,
    files,
    images,
    metrics,
    page,
    replicas,
    runs,
)
from gan_blocks._device import device_name
from gan_blocks._screens import duration
from gan_blocks.cli import loading, output
from gan_blocks.cli.run import Run
from gan_blocks.gan.model import GAN
from gan_blocks.page.judging import judge
from gan_blocks.plan import Plan

__all__ = ["PlannedRun"]

_NO_END = 10**9  # Rounds, if the clock ends the training.
_MEASURING_SHARE = 0.03  # Of the time. Training the features takes 2%.
_FIRST_PICTURE = 45.0  # Seconds after the beginning of the run.
_ROLLBACKS = 3
_REAL_IMAGES = 2000
_GENERATED_IMAGES = 1000
_FEATURE_STEPS = 300
_FEATURE_STEPS_PER_MINUTE = 15
_FEWEST_FEATURE_STEPS = 150  # With 45, the ranking was wrong.
_SECONDS_TO_BUILD = 10.0  # Estimated, with compiling and first measurements.
# Seconds kept for the end of a run: files, a search for copies of each picture,
# and measurements.
_RESERVE = 3.0
_RESERVE_PER_PICTURE = 4e-5
_RESERVE_PER_VALUE = 1e-8  # A picture has height x width x channels.
_RESERVED_MEASUREMENTS = 2


class PlannedRun(Run):
    """The folder and the settings of a run of `gan_blocks train`.

    Set the attribute `plan` before `prepare`.

    Args:
        path: Folder of the run. It must not contain another run.
        settings: How the pictures are loaded, with `data` and `seed`.
        resume: If True, the run in `path` is continued. Defaults to False.
        device_names: Devices to train on, see `Run`. Defaults to `None`.
        accept_new_data: See `Run`. Defaults to False.
        begin: When the program began, by `time.monotonic`. The time since then
            is part of the time of a new run. Defaults to `None`: now.
    """

    plan: Plan

    def __init__(
        self,
        path: pathlib.Path,
        settings: Mapping[str, Any],
        resume: bool = False,
        device_names: Sequence[str] | None = None,
        accept_new_data: bool = False,
        begin: float | None = None,
    ) -> None:
        super().__init__(
            path,
            {"rollbacks": _ROLLBACKS, **settings},
            resume,
            device_names,
            program=functools.partial(output.gan_blocks_command, "train"),
            accept_new_data=accept_new_data,
        )
        self._begin = time.monotonic() if begin is None else begin
        self._limit: callbacks.TimeLimit | None = None
        self._seconds_to_measure = 0.0
        self._own_features = self.path / "features.keras"
        self._page_written = files.BestEffort(f"{self.page} cannot be written")

    @contextlib.contextmanager
    def ended_by_signals(self) -> Iterator[None]:
        """Lets Ctrl-C and SIGTERM end the process with the next command.

        During training, `StopOnSignal` takes over.
        """

        def end(number, frame):
            text = "Nothing was saved."
            if self.settings_file.exists():
                text = f"Continue with: {self._resume_command}"
            name = signal.Signals(number).name
            output.fail(f"Stopped by {name}. {text}", 128 + number)

        with contextlib.ExitStack() as stack:
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) not in (None, signal.SIG_IGN):
                    before = signal.signal(number, end)
                    stack.callback(signal.signal, number, before)
            yield

    def seconds_before_training(self) -> float:
        """Returns what a new run has used of its time before training."""
        return time.monotonic() - self._begin + _SECONDS_TO_BUILD

    # The settings that `Run` needs.

    @property
    def batch_size(self) -> int:
        return self.plan.batch_size

    @property
    def steps_per_epoch(self) -> int:
        return self.plan.steps_per_round

    @property
    def epochs(self) -> int:
        return _NO_END if self.plan.minutes else self.plan.rounds

    @property
    def evaluate_every(self) -> int:
        """Rounds from one measurement of the quality to the next."""
        seconds = _MEASURING_SHARE * 60 * (self.plan.minutes or 0)
        number = seconds / self._seconds_to_measure if seconds else 20
        return max(1, math.ceil(self.plan.rounds / max(1, number)))

    def prepare(
        self,
        gan: GAN,
        real_images: np.ndarray,
        labels: np.ndarray | None = None,
    ) -> None:
        self.settings |= dataclasses.asdict(self.plan)
        self.settings.pop("evaluate_every", None)  # It follows from the time.
        # First, because a wrong file must not leave a run behind.
        features = self._load_features(gan.image_shape)
        steps_done = runs.steps_done(gan)
        if not self.plan.minutes and steps_done > self.plan.steps:
            output.fail(
                f"The run has trained for {output.plural(steps_done, 'step')} "
                "already. Pass --steps with a larger number."
            )
        super().prepare(gan, real_images, labels)
        self._is_chief = replicas.is_chief(gan)
        # Few pictures are enough for the kernel distance, which ranks models.
        warnings.filterwarnings("ignore", "The Frechet distance")
        self._quality = metrics.Quality(
            self._sample(_REAL_IMAGES),
            features or self._train_features(),
            num_images=_GENERATED_IMAGES,
            seed=self.seed,
        )
        begin = time.monotonic()
        self._quality(gan)
        self._seconds_to_measure = time.monotonic() - begin
        if self.plan.minutes:
            self._limit = self._limit_time(gan, self.plan.minutes)

    def _limit_time(self, gan: GAN, minutes: float) -> callbacks.TimeLimit:
        """Returns the time limit. Ends the process if no time is left."""
        reserve = self._seconds_to_finish()
        limit = callbacks.TimeLimit(
            max(0.01, minutes - reserve / 60), self._seconds_used(gan)
        )
        if not (runs.steps_done(gan) or limit.seconds_left()):
            used = limit.seconds_used + reserve
            # A longer run needs a new plan.
            for path in (self.settings_file, self.real_images):
                path.unlink()
            output.fail(
                "No time is left for training: loading, planning and measuring "
                f"take {duration(used)}. Pass at least --minutes "
                f"{math.ceil(2 * used / 60)}."
            )
        return limit

    def _seconds_to_finish(self) -> float:
        """Estimates how long a run takes after its last training step."""
        return (
            _RESERVE
            + _RESERVE_PER_PICTURE * len(self._real)
            + _RESERVE_PER_VALUE * self._real.size
            + _RESERVED_MEASUREMENTS * self._seconds_to_measure
        )

    def _load_features(self, image_shape) -> keras.Model | None:
        """Loads the model of --features, or that of the resumed run."""
        path = self.features
        own = self._own_features
        if path is None and self._resume and not files.find_damage(own):
            path = str(own)
        return loading.load_features(path, image_shape)

    def _train_features(self) -> keras.Model:
        """Trains features on the pictures, in about 2% of the time."""
        steps = _FEATURE_STEPS
        if self.plan.minutes:
            for_time = math.ceil(_FEATURE_STEPS_PER_MINUTE * self.plan.minutes)
            steps = min(steps, max(_FEWEST_FEATURE_STEPS, for_time))
        model = metrics.train_features(self._real, steps, self.seed)
        if self._is_chief:
            with files.atomic_write(self._own_features) as temporary:
                model.save(temporary)
        return model

    def callbacks(
        self, *own: keras.callbacks.Callback
    ) -> list[keras.callbacks.Callback]:
        page_writer = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: self._write_page()
        )
        return super().callbacks(
            callbacks.ImageGrid(
                self.grids,
                every_n_epochs=1,
                rows=8,
                columns=8,
                first_step=self._first_step(),
            ),
            callbacks.EpochCheckpoint(
                self.checkpoints, every_n_epochs=1, keep=3
            ),
            page_writer,
            *own,
        )

    def _first_step(self) -> int | None:
        """Returns the step of the first picture, if a round takes long."""
        if not self._limit:
            return None
        seconds = max(5.0, _FIRST_PICTURE - self._limit.seconds_used)
        left = max(1.0, self._limit.seconds_left())
        step = int(self.plan.steps * seconds / left)
        return step if 0 < step < self.plan.steps_per_round else None

    def _write_page(self) -> None:
        if self._is_chief:
            with self._page_written():
                page.write_page(self.path)

    def _seconds_used(self, gan: GAN) -> float:
        """Returns the time that the run has used, in all its processes."""
        steps_done = runs.steps_done(gan)
        used = time.monotonic() - self._begin
        for row in runs.read_history(self.history):
            if row.get("seconds") and int(row["step"]) <= steps_done:
                used = float(row["seconds"])
        return used

    def _announce(self, number: int, steps_done: int) -> None:
        if steps_done:
            steps = output.plural(steps_done, "step")
            print(f"The run has made {steps} so far.")

    def _progress(self) -> list[keras.callbacks.Callback]:
        line = callbacks.ProgressLine(self.epochs, self._steps, self._limit)
        return [line, *filter(None, [self._limit])]

    def _is_complete(self, steps_done: int) -> bool:
        if self._limit:
            return self._limit.stopped
        return super()._is_complete(steps_done)

    def _quality_monitor(self) -> keras.callbacks.Callback:
        return callbacks.QualityMonitor(self._quality, self.evaluate_every)

    def show_sample(self, pixels: np.ndarray) -> None:
        """Saves a hundred of the pictures as `real.png`."""
        self._real = pixels
        images.save_png(images.grid(self._sample(100)), self.real_images)
        print(f"How the pictures look to the networks: {self.real_images}")

    def _rollback_hint(self) -> str:
        return (
            f"Continue from the last checkpoint: {self._resume_command}. If "
            "that does not help, train again with a lower --learning-rate, "
            f"such as {self.plan.learning_rate / 4:g}."
        )

    def _describe_end(self, steps_done: int, complete: bool) -> str:
        if self._limit and self._limit.stopped:
            return f"The time is up, after {steps_done:,} steps."
        steps = output.plural(steps_done, "step")
        return f"Training {'is complete' if complete else 'ended'}: {steps}."

    def _judge(self, gan: GAN, steps_done: int) -> str | None:
        """Looks for copies, and writes the summary that the page shows."""
        generated = gan.generate(_GENERATED_IMAGES, seed=self.seed)
        if not self._is_chief:
            return None
        rows = runs.read_history(self.history)
        text = judge(rows, self.comparable_after_step)
        summary: dict[str, Any] = {
            "steps": steps_done,
            "pictures": len(self._real),
            "device": device_name(),
        }
        if rows and rows[-1].get("seconds"):
            summary["minutes"] = float(rows[-1]["seconds"]) / 60
        self.neighbors.unlink(missing_ok=True)
        with contextlib.suppress(ValueError):  # Too few different pictures.
            copies = metrics.find_copies(
                self._real, generated, mirror=self.plan.flip
            )
            # Small pictures are enlarged.
            scale = max(1, 64 // min(self.plan.image_shape[:2]))
            sheet = metrics.draw_neighbors(
                copies, self._real, generated, scale=scale
            )
            images.save_png(sheet, self.neighbors)
            text = f"{text} {copies}".strip()
            summary["near_copies"] = copies.share
            summary["near_copies_expected"] = copies.expected
        summary["text"] = text
        with files.atomic_write(self.summary_file) as temporary:
            temporary.write_text(json.dumps(summary), encoding="utf-8")
        return text

    def _list_results(self, picture):
        lines = super()._list_results(picture)
        if self.neighbors.exists():
            lines.append(
                "Generated pictures beside the nearest real ones: "
                f"{self.neighbors}"
            )
        return lines

    def _twice_as_long(self) -> str:
        if self._limit and self.plan.minutes:
            used = round(self._limit.seconds_used / 60, 1)
            return f"--minutes {2 * max(self.plan.minutes, used):g}"
        return f"--steps {2 * self.plan.steps}"
