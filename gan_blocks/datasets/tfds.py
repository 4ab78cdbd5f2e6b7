"""Reads datasets of TFDS (TensorFlow Datasets)."""

import functools
import io
import os
import pathlib
import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np

from gan_blocks.datasets import decoding
from gan_blocks.datasets.arrays import Openers
from gan_blocks.datasets.errors import reading
from gan_blocks.datasets.report import Report


def _import_tfds() -> Any:
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise ValueError(
            "Datasets of TFDS need packages that are not installed. Install "
            "them with: pip install tensorflow tensorflow-datasets "
            f"importlib_resources ({error})"
        ) from error
    return tensorflow_datasets


def load_builder(source: str) -> Any:
    """Returns the builder of `"tfds:NAME"`, and downloads its dataset."""
    tfds = _import_tfds()
    try:
        builder = tfds.builder(
            source.removeprefix("tfds:"),
            # TFDS reads this variable only when it is imported.
            data_dir=os.environ.get("TFDS_DATA_DIR"),
        )
        builder.download_and_prepare()
    except Exception as error:  # TFDS raises many kinds of exceptions.
        reason = textwrap.shorten(str(error), 160, placeholder="...")
        raise ValueError(
            "`source` must be a TFDS dataset that is prepared on this machine "
            "or can be downloaded. Otherwise pass a path, for example of a "
            f"folder of images. Received: source={source!r} "
            f"({type(error).__name__}: {reason})"
        ) from error
    return builder


def builder_in(folder: pathlib.Path) -> Any:
    """Returns the builder of a dataset that was prepared in a folder."""
    tfds = _import_tfds()
    with reading(repr(str(folder)), "dataset prepared by TFDS"):
        return tfds.builder_from_directory(folder)


def find_images(
    builder: Any, split: str, report: Report
) -> tuple[Openers, Callable[[], np.ndarray]]:
    """Returns the images of a split, and a function that reads their labels."""
    tfds = _import_tfds()
    info = builder.info
    feature = _find_feature(info, "image", tfds.features.Image, np.uint8)
    try:
        count = info.splits[split].num_examples
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"`split` must be a split of {info.full_name}: "
            f"{', '.join(info.splits)}. Received: split={split!r}"
        ) from error
    images = (
        (f"image {i}", functools.partial(decoding.decode, io.BytesIO(content)))
        for i, content in enumerate(_values(builder, split, feature))
    )
    return (count, images), functools.partial(
        _read_labels, builder, split, report
    )


def _read_labels(builder, split, report):
    tfds = _import_tfds()
    kind = tfds.features.ClassLabel
    feature = _find_feature(builder.info, "label", kind, np.int64)
    report.class_names = builder.info.features[feature].names
    return np.array([*_values(builder, split, feature)], np.int64)


def _values(builder, split, feature):
    """Yields one feature of each example, always in the same order.

    Images are yielded as the content of their files.
    """
    tfds = _import_tfds()

    class OneFeature(tfds.decode.PartialDecoding):
        # TFDS' own method logs a warning that an attribute is deprecated.
        def extract_features(self, features: Any) -> Any:
            return tfds.features.FeaturesDict({feature: features[feature]})

    with reading(repr(str(builder.data_dir)), "dataset prepared by TFDS"):
        examples = builder.as_dataset(
            split,
            decoders=OneFeature(
                {feature: True}, {feature: tfds.decode.SkipDecoding()}
            ),
            read_config=tfds.ReadConfig(try_autocache=False),
        )
        for example in examples.as_numpy_iterator():
            yield example[feature]


def _find_feature(info, name, kind, dtype):
    """Returns the feature called `name`, or the only one of this kind."""
    found = [
        found
        for found, feature in info.features.items()
        if isinstance(feature, kind) and feature.np_dtype == dtype
    ]
    if name in found:
        return name
    if len(found) != 1:
        raise ValueError(
            f"`source` must have one {kind.__name__} feature, or one called "
            f"{name!r}. Received: {info.full_name} with "
            f"{', '.join(info.features)}"
        )
    return found[0]
