"""Pictures for TensorBoard."""

import pathlib

import numpy as np


class EventFile:
    """Writes pictures to a file that TensorBoard reads.

    The file is begun with the first picture, and a new one with the first
    after `close`; TensorBoard puts those of one folder together.

    Args:
        directory: Folder of the logs; need not exist.

    Raises:
        ImportError: If tensorboard is not installed.
    """

    def __init__(self, directory):
        _check_installed()
        self.directory = pathlib.Path(directory)
        self._writer = None

    def write(self, picture, step):
        """Writes a Pillow picture.

        Raises:
            OSError: If it cannot be written.
        """
        # Here, as importing it takes seconds, and JAX and torch can do without.
        import tensorflow as tf

        pixels = np.asarray(picture)
        if pixels.ndim == 2:
            pixels = pixels[..., np.newaxis]
        try:
            if self._writer is None:
                folder = self.directory / "images"
                self._writer = tf.summary.create_file_writer(str(folder))
            # Keras' callback lets only some of the steps through.
            with self._writer.as_default(), tf.summary.record_if(True):
                tf.summary.image("generated", pixels[np.newaxis], step=step)
            self._writer.flush()
        except tf.errors.OpError as error:
            raise OSError(error.message) from error

    def close(self):
        """Closes the file, if one was begun."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None


def _check_installed():
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "`tensorboard` needs the package tensorboard: pip install "
            "tensorboard"
        ) from error
