"""Pictures for TensorBoard."""

import io
import os
import pathlib
import socket
import time


class EventFile:
    """Writes pictures to a file that TensorBoard reads.

    The file is begun with the first picture, in the subfolder `images`; other
    files of the folder, those of Keras' scalars and of earlier runs, are shown
    beside it. A picture is in it whole or not at all, so that a disk that was
    full for a while does not spoil those that follow: TensorFlow's own writer
    goes on behind a broken record, says nothing, and nobody reads the rest.

    Args:
        directory: Folder of the logs; need not exist.

    Raises:
        ImportError: If tensorboard is not installed.
    """

    def __init__(self, directory):
        _check_installed()
        self.directory = pathlib.Path(directory)
        self._path = None

    def write(self, picture, step):
        """Writes a Pillow picture, under the number of a step.

        Raises:
            OSError: If it cannot be written.
        """
        if self._path is None:
            folder = self.directory / "images"
            folder.mkdir(parents=True, exist_ok=True)
            now = time.time_ns()
            # The name that TensorBoard looks for; in the order of time.
            name = f"events.out.tfevents.{now // 10**9}.{socket.gethostname()}"
            self._path = folder / f"{name}.{os.getpid()}.{now % 10**9:09}"
        size = self._path.stat().st_size if self._path.exists() else 0
        records = [] if size else [_begin()]
        records.append(_picture_event(picture, step))
        try:
            with open(self._path, "ab") as file:
                file.write(b"".join(map(_record, records)))
        except OSError:
            if self._path.exists():
                os.truncate(self._path, size)
            raise


def _begin():
    from tensorboard.compat.proto.event_pb2 import Event

    return Event(wall_time=time.time(), file_version="brain.Event:2")


def _picture_event(picture, step):
    from tensorboard.compat.proto import types_pb2
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.plugins.image import metadata

    png = io.BytesIO()
    picture.save(png, "png")
    width, height = (str(size).encode() for size in picture.size)
    tensor = TensorProto(
        dtype=types_pb2.DT_STRING, string_val=[width, height, png.getvalue()]
    )
    tensor.tensor_shape.dim.add(size=3)
    value = Summary.Value(
        tag="generated",
        tensor=tensor,
        metadata=metadata.create_summary_metadata("generated", ""),
    )
    return Event(
        wall_time=time.time(), step=step, summary=Summary(value=[value])
    )


def _record(event):
    """Returns the bytes that stand for an event in the file."""
    from tensorboard.summary.writer.record_writer import RecordWriter

    record = io.BytesIO()
    RecordWriter(record).write(event.SerializeToString())
    return record.getvalue()


def _check_installed():
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "`tensorboard` needs the package tensorboard: pip install "
            "tensorboard"
        ) from error
