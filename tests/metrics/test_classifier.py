import keras
import numpy as np
import pytest

from gan_blocks import metrics


@pytest.mark.slow
def test_the_classifier_is_reproducible_and_cached(tmp_path, monkeypatch):
    labels = np.random.default_rng(0).integers(0, 2, 300)
    images = np.where(labels[:, None, None, None] > 0, 200, 50)
    images = np.broadcast_to(images, (300, 8, 8, 1)).astype("uint8")
    # Features and logits are float32 under every policy.
    keras.config.set_dtype_policy("mixed_bfloat16")
    global_state = np.random.get_state()[1].copy()
    first = metrics.train_classifier(images, labels, tmp_path / "a")
    second = metrics.train_classifier(images, labels, tmp_path / "b")
    assert (np.random.get_state()[1] == global_state).all()
    for one, other in zip(first.weights, second.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    assert {output.dtype for output in first.outputs} == {"float32"}
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
    features, logits = metrics.FeatureExtractor(first)(images / 127.5 - 1)
    assert features.shape == (300, 64)
    assert (logits.argmax(axis=1) == labels).mean() > 0.95
    monkeypatch.setattr(keras.Model, "fit", None)  # Only the cache works now.
    cached = metrics.train_classifier(images, labels, tmp_path / "a")
    assert (cached.weights[0].numpy() == first.weights[0].numpy()).all()
    with pytest.raises(TypeError):
        metrics.train_classifier(images[:200], labels[:200], tmp_path / "a")


@pytest.mark.parametrize("labels", [np.zeros(4, int), np.zeros(5)])
def test_labels_must_be_one_integer_per_image(labels, tmp_path):
    with pytest.raises(ValueError, match="one integer for each image"):
        metrics.train_classifier(np.zeros((5, 8, 8, 1)), labels, tmp_path)


@pytest.fixture
def classify(monkeypatch):
    """Returns a function that trains, without training, on a few images."""
    trained = []

    def fit(self, *arguments, **options):
        trained.append(self)

    monkeypatch.setattr(keras.Model, "fit", fit)
    labels = np.arange(8) % 2

    def classify(cache):
        trained.clear()
        images = np.zeros((8, 8, 8, 1), "uint8")
        metrics.train_classifier(images, labels, cache)
        return len(trained)

    return classify


def test_a_damaged_cache_is_replaced(tmp_path, classify):
    assert classify(tmp_path) == 1
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1])
    flipped += content[middle + 1 :]
    for damaged in (b"", b"no archive", content[:middle], flipped):
        path.write_bytes(damaged)
        with pytest.warns(UserWarning, match=f"{path.name} is damaged"):
            assert classify(tmp_path) == 1
        assert classify(tmp_path) == 0
        assert list(tmp_path.iterdir()) == [path]


def test_a_cache_that_cannot_be_written_is_a_warning(
    tmp_path, classify, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file"))
    for _ in range(2):
        with pytest.warns(UserWarning, match="cannot be saved in .*KERAS_HOME"):
            assert classify(None) == 1
