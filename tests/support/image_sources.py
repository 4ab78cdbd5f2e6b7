"""Small images, and sources of images in every format that can be loaded."""

import gzip
import io
import struct
import zipfile

import numpy as np
from PIL import Image

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, "uint8")


def numbered(count, size=4):
    """Returns images in which each pixel is the index of the image."""
    array = np.zeros((count, size, size, 1), "uint8")
    array += np.arange(count, dtype="uint8").reshape(-1, 1, 1, 1)
    return array


def plain(color, size=(8, 8), mode="RGB"):
    return Image.new(mode, size, color)


def is_color(pixels, color, tolerance=0):
    return (np.abs(pixels.astype(int) - color) <= tolerance).all()


def encode(image, format="PNG", **options):
    """Returns the content of an image file."""
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def encode_idx(array):
    """Returns the content of an idx file, the format of MNIST."""
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim)
    return header + struct.pack(f">{array.ndim}I", *array.shape) + bytes(array)


def write_mnist(folder, train, test, train_labels, test_labels):
    """Writes the four files of MNIST."""
    for name, array in {
        "train-images-idx3-ubyte.gz": train,
        "train-labels-idx1-ubyte.gz": np.uint8(train_labels),
        "t10k-images-idx3-ubyte.gz": test,
        "t10k-labels-idx1-ubyte.gz": np.uint8(test_labels),
    }.items():
        (folder / name).write_bytes(gzip.compress(encode_idx(array)))


def image_files():
    """Returns four images and five other files: contents by path."""
    return {
        "b/2.png": encode(plain(GREEN)),
        "b/10.JPG": encode(plain(RED), "JPEG", quality=95),
        "c/deep/er/x.webp": encode(plain(BLUE), "WEBP", lossless=True),
        "a.bmp": encode(plain("white"), "BMP"),
        "notes.txt": b"not an image",
        ".hidden.png": b"not an image",
        ".cache/x.png": b"not an image",
        "__MACOSX/b/._2.png": b"not an image",
        "__MACOSX/2.png": b"not an image",
    }


def write_folder(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def write_zip(path, files, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_tfds(
    data_dir,
    name="tiny_pictures",
    image="photo",
    mask=None,
    labels=(1,) * 6,
    label_features=("label",),
):
    """Writes a prepared TFDS dataset and returns its folder and its images."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    folder = data_dir / name / "1.0.0"
    folder.mkdir(parents=True)
    features = {
        feature: tfds.features.ClassLabel(num_classes=6)
        for feature in label_features
    }
    features[image] = tfds.features.Image(shape=(None, None, 3))
    if mask:
        features[mask] = tfds.features.Image(shape=(None, None, 1))
    serializer = tfds.features.FeaturesDict(features)
    images = noise(6, 8, 8, 3)
    rows = list(zip(images, labels, strict=True))
    for shard, half in enumerate((rows[:3], rows[3:])):
        path = folder / f"{name}-train.tfrecord-{shard:05}-of-00002"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for pixels, label in half:
                example = dict.fromkeys(label_features, label)
                example[image] = pixels
                if mask:
                    example[mask] = pixels[..., :1]
                writer.write(serializer.serialize_example(example))
    tfds.folder_dataset.write_metadata(
        data_dir=str(folder), features=features, check_data=False
    )
    return folder, images
