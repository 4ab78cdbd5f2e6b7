"""Tells healthy training from mode collapse and unbalanced networks."""

from typing import Any

__all__ = ["Health"]

_COLLAPSE = 0.1  # Spread.
_DOMINATES = 0.99  # Both accuracies.
_CHANCE = 1.15  # Sum of the accuracies.
# Images of healthy runs are nearly identical for about 150 steps.
_WARMUP_STEPS = 200
_EPOCHS = 2
_STEPS = 100
_REMEDIES = {
    "mode collapse": (
        "The generated pictures are nearly identical. The generator rarely "
        "recovers: go back to an earlier checkpoint, or train again with a "
        "lower learning rate. In your own code, also try the penalty R1, or "
        "the loss `relativistic_pairing` with R1 and R2."
    ),
    "discriminator dominates": (
        "The generator gets little signal from a discriminator that is almost "
        "always right. If the pictures stop improving, try a lower learning "
        "rate or, with few pictures, augmentation against overfitting. In your "
        "own code, also try fewer filters for the discriminator, the penalty "
        "R1, or label smoothing."
    ),
    "discriminator at chance": (
        "Either the pictures are perfect, or the discriminator is too weak to "
        "teach the generator. If the pictures do not improve, try more filters "
        "or a higher learning rate. In your own code, also try more "
        "`discriminator_steps`, or a lower learning rate of the generator."
    ),
}


class Health:
    """Follows the logs of a run, epoch by epoch.

    Args:
        step: Number of training steps before the first epoch. Defaults to 0.

    Attributes:
        step: Number of training steps at the end of the last epoch.
        message: The problems at the end of the last epoch, or `None`.
        verdict: Summary of the last epoch, or `None` if nothing is known.
    """

    def __init__(self, step: int = 0) -> None:
        self.step = step
        self.message: str | None = None
        self.verdict: str | None = None
        # Problem: epochs and steps so far, and if it has been reported.
        self._lasting: dict[str, tuple[int, int, bool]] = {}

    def update(self, epoch: int, step: int, logs: dict[str, Any]) -> list[str]:
        """Adds an epoch; returns messages about problems that are new.

        Args:
            epoch: Number of completed epochs.
            step: Number of training steps since the start of the run.
            logs: The logs of the epoch.
        """
        before, self._lasting = self._lasting, {}
        found = _problems(logs)
        reported, new = [], []
        for problem in found:
            epochs, steps, known = before.get(problem, (0, 0, False))
            epochs, steps = epochs + 1, steps + step - self.step
            confirmed = (
                epochs >= _EPOCHS and steps >= _STEPS and step >= _WARMUP_STEPS
            )
            self._lasting[problem] = epochs, steps, confirmed
            if confirmed:
                message = f"Epoch {epoch}: {problem} ({_describe(logs)}). "
                reported.append(message + _REMEDIES[problem])
                if not known:
                    new.append(reported[-1])
        self.step = step
        self.message = "\n".join(reported) or None
        self.verdict = _verdict(logs, found, bool(reported))
        return new


def _problems(logs: dict[str, Any]) -> list[str]:
    """Returns the problems that the logs of an epoch show."""
    found = []
    if "spread" in logs and logs["spread"] < _COLLAPSE:
        found.append("mode collapse")
    if "real_accuracy" in logs and "fake_accuracy" in logs:
        accuracies = logs["real_accuracy"], logs["fake_accuracy"]
        if min(accuracies) >= _DOMINATES:
            found.append("discriminator dominates")
        if sum(accuracies) < _CHANCE:
            found.append("discriminator at chance")
    return found


def _describe(logs: dict[str, Any]) -> str:
    parts = []
    if "spread" in logs:
        parts.append(f"spread {logs['spread']:.2f}")
    if "real_accuracy" in logs and "fake_accuracy" in logs:
        parts.append(
            f"the discriminator is right about {logs['real_accuracy']:.0%} of "
            f"real and {logs['fake_accuracy']:.0%} of generated pictures"
        )
    return "; ".join(parts)


def _verdict(
    logs: dict[str, Any], problems: list[str], confirmed: bool
) -> str | None:
    values = _describe(logs)
    if not values:
        return None
    if "nan" in values:
        return f"The training has diverged: {values}."
    names = " and ".join(problems)
    if not problems:
        names = "mode collapse" if "spread" in logs else "a problem"
        return f"No sign of {names}: {values}."
    if confirmed:
        return f"{names[0].upper()}{names[1:]}: {values}."
    return f"Too early to tell, but possibly {names}: {values}."
