import numpy as np
import pytest
from PIL import Image

from gan_blocks import datasets


@pytest.fixture
def folder(tmp_path):
    for label in ("blue", "red"):
        (tmp_path / label).mkdir()
        for index in range(5):
            path = tmp_path / label / f"{index}.png"
            Image.new("RGB", (8, 8), label).save(path)
    # A damaged file.
    (tmp_path / "blue" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return tmp_path


@pytest.mark.filterwarnings("ignore:.*one color")
@pytest.mark.parametrize(("number", "read"), [(1, 0), (4, 3), (10, 9), (99, 9)])
def test_a_part_of_a_folder_is_read_evenly(folder, number, read):
    if not read:  # The only image is damaged.
        with pytest.raises(ValueError, match="at least one readable image"):
            datasets.load(folder, 8, number=number)
        return
    images, labels = datasets.load(
        folder, 8, labels=True, number=number, verbose=True
    )
    assert len(images) == len(labels) == read
    assert ((images[:, 0, 0, 0] == 255) == labels).all()
    assert 0 < labels.mean() < 1


@pytest.mark.filterwarnings("ignore:.*one color")
@pytest.mark.parametrize("size", [8, 16])
def test_a_part_of_an_array_is_read_evenly(size, tmp_path):
    images = np.full((100, 8, 8, 1), 7, "uint8") + np.arange(100)[
        :, None, None, None
    ].astype("uint8")
    np.savez(tmp_path / "a.npz", x_train=images, y_train=np.arange(100))
    loaded, labels = datasets.load(
        tmp_path / "a.npz", size, channels=1, labels=True, number=30
    )
    assert labels.tolist() == list(range(0, 100, 4))
    assert (loaded[:, 0, 0, 0] == labels + 7).all()


def test_the_number_must_be_positive(folder):
    with pytest.raises(ValueError, match="`number` must be a positive"):
        datasets.load(folder, 8, number=0)
