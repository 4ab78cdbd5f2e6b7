"""What is logged of a step beside the losses."""

from keras import ops


def scores(real_logits, fake_logits, threshold):
    """Returns the logs that are made of logits.

    Args:
        real_logits: Tensor of logits, or of patches of them.
        fake_logits: Likewise.
        threshold: The logit above which an image is taken for real, or `None`
            for a loss that has none.
    """
    logs = {
        "real_score": ops.mean(real_logits),
        "fake_score": ops.mean(fake_logits),
    }
    if threshold is not None:
        # Means of -1, 1, and 0 for a logit on the threshold.
        real_side, fake_side = (
            ops.mean(ops.sign(ops.cast(logits, "float32") - threshold))
            for logits in (real_logits, fake_logits)
        )
        logs["real_accuracy"] = 0.5 + 0.5 * real_side
        logs["fake_accuracy"] = 0.5 - 0.5 * fake_side
    return logs


def spread(real_images, fake_images):
    """Returns how varied the fake images are, where 1 is like the real."""
    real, fake = (
        ops.mean(ops.var(ops.cast(images, "float32"), axis=0))
        for images in (real_images, fake_images)
    )
    nothing = 1e-8  # Well above what rounding leaves of images all alike.
    ratio = fake / ops.maximum(real, nothing)
    return ops.sqrt(ops.where(real > nothing, ratio, 1.0))
