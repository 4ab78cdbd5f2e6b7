import sys

import keras
import numpy as np
import pytest
from PIL import Image
from support.models import assert_same_variables, make_data, make_model, train
from support.notebooks import fake_notebook

from gan_blocks import GAN, losses, networks
from gan_blocks.callbacks import LivePlot

pytest.importorskip("matplotlib")
SHAPE = (8, 8, 1)


def make_gan(**options):
    keras.utils.set_random_seed(0)
    gan = GAN(
        networks.mlp_generator(SHAPE, latent_dim=2, units=(4,)),
        networks.mlp_discriminator(SHAPE, units=(4,)),
        seed=0,
    )
    gan.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1), **options)
    return gan


def fit(gan, *callbacks, steps=6, epochs=1, **options):
    images = np.random.default_rng(0).uniform(-1, 1, (2 * steps, *SHAPE))
    options = {"batch_size": 2, "verbose": 0, "shuffle": False} | options
    gan.fit(images, epochs=epochs, callbacks=[*callbacks], **options)


def curves(live):
    """Returns the points of each curve of the figure."""
    return {
        line.get_label(): [tuple(point) for point in line.get_xydata()]
        for axes in live.figure.axes
        for line in axes.lines
    }


class EachStep(keras.callbacks.Callback):
    """Collects the logs of single steps from the means over an epoch."""

    def __init__(self):
        super().__init__()
        self.values = []

    def on_epoch_begin(self, epoch, logs=None):
        self.sums = {}

    def on_train_batch_end(self, batch, logs=None):
        sums = {name: (batch + 1) * float(logs[name]) for name in logs}
        self.values.append({n: sums[n] - self.sums.get(n, 0) for n in sums})
        self.sums = sums


@pytest.mark.slow
@pytest.mark.every_backend
def test_each_point_is_the_mean_since_the_previous_point(tmp_path):
    live, each = LivePlot(4, path=tmp_path / "live.png"), EachStep()
    # Steps 5 to 8 are in two epochs.
    fit(make_gan(), live, each, steps=6, epochs=2)
    drawn = curves(live)
    assert set(drawn) == {
        *("d_loss", "g_loss", "real_accuracy", "fake_accuracy", "spread")
    }
    for name, points in drawn.items():
        values = np.array([step[name] for step in each.values])
        means = values.reshape(3, 4).mean(1)
        steps, shown = zip(*points, strict=True)
        assert steps == (4, 8, 12)
        np.testing.assert_allclose(shown, means, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_curves_continue_in_another_fit(tmp_path):
    live, gan = LivePlot(2, path=tmp_path / "live.png"), make_gan()
    fit(gan, live, steps=4)
    fit(gan, steps=3)  # Nobody sees these steps.
    before = dict(curves(live))
    fit(gan, live, steps=5)
    for name, points in curves(live).items():
        assert [step for step, _ in points] == [2, 4, 8, 10, 12]
        assert points[:2] == before[name]
        assert name == "g_loss" or all(0 <= y < 10 for _, y in points)


@pytest.mark.slow
@pytest.mark.every_backend
def test_the_training_does_not_change(tmp_path):
    watched, alone = make_gan(), make_gan()
    fit(watched, LivePlot(1, path=tmp_path / "live.png"), epochs=2)
    fit(alone, epochs=2)
    assert_same_variables(watched, alone)


@pytest.mark.slow
@pytest.mark.skipif(
    keras.backend.backend() == "torch",
    reason="Keras has no steps_per_execution on torch",
)
@pytest.mark.every_backend
def test_several_steps_per_execution_have_one_point(tmp_path):
    live = LivePlot(1, path=tmp_path / "live.png")
    fit(make_gan(steps_per_execution=3), live, steps=6)
    assert [step for step, _ in curves(live)["d_loss"]] == [3, 6]


def test_the_figure_shows_the_images_of_the_step(tmp_path):
    live, gan = LivePlot(3, 2, 5, seed=7, path=tmp_path / "l.png"), make_gan()
    fit(gan, live, steps=6)
    (shown,) = live.figure.axes[-1].images or live.figure.axes[1].images
    pixels = np.asarray(shown.get_array())[..., :1]
    tiles = pixels.reshape(2, 8, 5, 8, 1).swapaxes(1, 2).reshape(10, *SHAPE)
    expected = gan.generate(latents=gan.sample_latents(10, seed=7))
    np.testing.assert_allclose(tiles / 127.5 - 1, expected, atol=0.005)


def test_a_notebook_shows_one_figure_that_is_updated(monkeypatch):
    shown = fake_notebook(monkeypatch)
    fit(make_gan(), LivePlot(2), steps=6)
    assert [how for how, _ in shown] == ["display", "update", "update"]
    assert shown[0][1].size == shown[-1][1].size == (720, 320)
    assert shown[0][1].tobytes() != shown[-1][1].tobytes()


def test_the_figure_is_written_to_a_file(tmp_path, monkeypatch):
    shown = fake_notebook(monkeypatch)
    path = tmp_path / "run" / "live.png"
    fit(make_gan(), LivePlot(2, path=path), steps=4)
    with Image.open(path) as picture:
        assert picture.tobytes() == shown[-1][1].tobytes()
    assert [file.name for file in path.parent.iterdir()] == ["live.png"]


def test_a_path_is_needed_outside_a_notebook():
    with pytest.raises(ValueError, match="`path` must be a PNG file.*notebook"):
        LivePlot()


def test_a_file_that_cannot_be_written_does_not_stop_the_training(
    tmp_path, caplog
):
    (tmp_path / "file").touch()
    fit(make_gan(), LivePlot(1, path=tmp_path / "file" / "live.png"), steps=4)
    assert len(caplog.messages) == 1 and "live.png" in caplog.text


def test_a_loss_without_accuracies_has_no_curves_for_them(tmp_path):
    live = LivePlot(2, path=tmp_path / "live.png")
    fit(make_gan(loss=losses.Wasserstein()), live)
    assert set(curves(live)) == {"d_loss", "g_loss", "spread"}


def test_a_model_without_these_logs_shows_images_only(tmp_path):
    live = LivePlot(2, path=tmp_path / "live.png")
    train(make_model(), live)
    assert not curves(live) and (tmp_path / "live.png").is_file()


def test_logs_that_are_not_finite_are_drawn_as_gaps(tmp_path):
    class Diverge(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                weights = self.model.generator.trainable_variables
                weights[0].assign(np.nan * np.ones(weights[0].shape))

    live = LivePlot(2, path=tmp_path / "live.png")
    fit(make_gan(), live, Diverge(), steps=4, epochs=2)
    values = [value for _, value in curves(live)["g_loss"]]
    assert np.isfinite(values).tolist() == [True, True, False, False]


def test_matplotlib_is_needed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        LivePlot(path=tmp_path / "live.png")


@pytest.mark.parametrize("name", ["every_n_batches", "rows", "columns"])
def test_numbers_must_be_positive_integers(name, tmp_path):
    with pytest.raises(ValueError, match=f"`{name}`.*{name}=0"):
        LivePlot(path=tmp_path / "live.png", **{name: 0})


def test_a_model_without_generate_is_an_error(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mean_squared_error")
    data = make_data(2)[0], np.zeros((4, 1))
    with pytest.raises(ValueError, match="`LivePlot` needs .*`generate`"):
        train(model, LivePlot(path=tmp_path / "live.png"), data=data)


def test_images_that_cannot_be_drawn_are_an_error(tmp_path):
    shape = (8, 8, 2)
    gan = GAN(
        networks.mlp_generator(shape, latent_dim=2, units=()),
        networks.mlp_discriminator(shape, units=()),
    )
    gan.compile("sgd", "sgd")
    live = LivePlot(path=tmp_path / "live.png")
    with pytest.raises(ValueError, match="`LivePlot` draws .*image_shape="):
        gan.fit(np.zeros((4, *shape)), verbose=0, callbacks=[live])
