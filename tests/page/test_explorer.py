"""The page with a generator inside: its pixels, its errors, its controls."""

import base64
import functools
import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from support import gans
from support.browser_logs import requested_schemes
from support.trained_runs import command, train_run

from gan_blocks import GAN, images, layers, networks, page, plan

RECIPES = Path(__file__).parents[2] / "recipes"
LATENT_DIM = 12

# Runs the page's code in Node.js: page, inputs, outputs, number of images.
RUN = """
const fs = require("fs"), vm = require("vm");
const [html, inputs, outputs, number] = process.argv.slice(1);
const text = fs.readFileSync(html, "utf8");
const part = (id) => text.match(new RegExp(`id="${id}">([^]*?)</script>`))[1];
vm.runInThisContext(part("interpreter"));
const weights = Uint8Array.from(Buffer.from(part("weights"), "base64"));
const halves = new Uint16Array(weights.buffer);
const generate = createGenerator(JSON.parse(part("network")), halves);
const read = Uint8Array.from(fs.readFileSync(inputs));
const values = new Float32Array(read.buffer);
const generated = generate(
  values.slice(3 * number), values.slice(0, 3 * number), +number);
fs.writeFileSync(outputs, new Uint8Array(generated.buffer));
"""


def make_gan(generator, classes=None, distribution="normal"):
    """Returns a GAN with a generator and any discriminator."""
    pictures = keras.Input(generator.output_shape[1:])
    features = keras.layers.Flatten()(pictures)
    labels = keras.Input((), dtype="int32")
    if classes is None:
        logits = keras.layers.Dense(1)(features)
        discriminator = keras.Model(pictures, logits)
    else:
        logits = layers.ProjectionHead(classes)([features, labels])
        discriminator = keras.Model([pictures, labels], logits)
    return GAN(generator, discriminator, distribution, num_classes=classes)


def without_average(gan):
    """Returns a GAN that generates with the generator's current weights."""
    return make_gan(gan.generator, gan.num_classes, gan.latent_distribution)


def pretend_to_train(gan):
    """Gives the generator weights that make images of high contrast."""
    random = np.random.default_rng(0)
    for variable in gan.generator.variables:
        shape = variable.shape
        value = keras.ops.convert_to_numpy(variable)
        if len(shape) < 2 and value.dtype == "float32":
            variable.assign(value + random.normal(0, 0.1, shape))
        elif len(shape) > 1:
            deviation = 1.5 / np.sqrt(value.size / shape[-1])
            variable.assign(random.normal(0, deviation, shape))
    for seed in range(10):  # Moves the averages of batch normalization.
        inputs = gan.sample_latents(16, seed)
        if gan.num_classes:
            inputs = [inputs, np.arange(16, dtype="int32") % gan.num_classes]
        gan.generator(inputs, training=True)


def generated_by_node(path, latents, labels, shape):
    if not shutil.which("node"):
        pytest.skip("needs Node.js")
    number = len(latents)
    # A label is two classes and the weight of the second.
    mixtures = np.stack([labels, 0 * labels, 0 * labels], axis=1)
    inputs, outputs = path.with_name("inputs"), path.with_name("outputs")
    np.append(mixtures, latents).astype("float32").tofile(inputs)
    words = ["node", "-e", RUN, path, inputs, outputs, str(number)]
    subprocess.run(words, check=True)
    return np.fromfile(outputs, "float32").reshape(shape)


def assert_the_page_draws_the_same(gan, folder):
    """Compares images of the page with those of Keras."""
    pretend_to_train(gan)
    path = page.write_explorer(gan, folder / "explorer.html")
    latents = gan.sample_latents(5, seed=3)
    labels = np.arange(5, dtype="int32") % (gan.num_classes or 1)
    expected = gan.generate(
        latents=latents, labels=labels if gan.num_classes else None
    )
    assert expected.std() > 0.1
    generated = generated_by_node(path, latents, labels, expected.shape)
    levels = [images.to_uint8(v).astype(int) for v in (generated, expected)]
    assert np.abs(levels[0] - levels[1]).max() <= 2


# Pixels


GENERATORS = {
    "dcgan": {},
    "resize": {"block": layers.ResizeConvBlock},
    "bilinear": {
        "block": functools.partial(
            layers.ResizeConvBlock,
            interpolation="bilinear",
            normalization="instance",
            activation="gelu",
        )
    },
    "overlap": {
        "block": functools.partial(
            layers.TransposedConvBlock, kernel_size=5, normalization="group"
        )
    },
    "spectral": {
        "block": functools.partial(
            layers.TransposedConvBlock,
            kernel_size=3,
            normalization="layer",
            spectral_normalization=True,
            dropout=0.1,
        )
    },
    "residual": {"block": layers.ResidualUpBlock},
}


def test_resizing_blocks_become_transposed_convolutions(tmp_path):
    generator = networks.dcgan_generator(
        (8, 8, 3), LATENT_DIM, base_filters=2, last_block=layers.ResizeConvBlock
    )
    path = page.write_explorer(make_gan(generator), tmp_path / "page.html")
    network = re.search('id="network">(.*?)<', path.read_text(), re.DOTALL)[1]
    assert "convolution" not in network and "upsampling" not in network


@pytest.mark.every_backend
@pytest.mark.parametrize("name", GENERATORS)
def test_a_dcgan_generator_draws_the_same(name, tmp_path):
    generator = networks.dcgan_generator(
        (16, 24, 3), LATENT_DIM, base_filters=4, **GENERATORS[name]
    )
    assert_the_page_draws_the_same(make_gan(generator), tmp_path)


@pytest.mark.every_backend
def test_an_mlp_generator_draws_the_same(tmp_path):
    generator = networks.mlp_generator(
        (6, 5, 4), LATENT_DIM, (16, 8), block=layers.DenseBlock
    )
    assert_the_page_draws_the_same(make_gan(generator), tmp_path)


@pytest.mark.every_backend
def test_a_generator_of_many_layers_draws_the_same(tmp_path):
    inputs = keras.Input((LATENT_DIM,))
    labels = keras.Input((), dtype="int32")
    style = keras.layers.Embedding(3, 8)(keras.layers.Reshape((1,))(labels))
    style = keras.layers.Flatten()(style)
    class_ = keras.layers.CategoryEncoding(3, "one_hot")(labels)
    code = layers.PixelNormalization()(inputs)
    code = keras.layers.Concatenate()([style, code, class_])
    code = keras.layers.Dense(3 * 4 * 8, activation="selu")(code)
    code = keras.layers.LayerNormalization()(code)
    maps = keras.layers.Reshape((3, 4, 8))(code)
    maps = layers.SelfAttention2D(spectral_normalization=True)(maps)
    maps = keras.layers.UpSampling2D((2, 3))(maps)
    maps = keras.layers.ZeroPadding2D(((1, 2), (0, 3)))(maps)
    other = keras.layers.Conv2D(8, (3, 2), 1, "same")(maps)
    other = keras.layers.LayerNormalization(axis=(2, 3))(other)
    other = keras.layers.PReLU(shared_axes=[1, 2])(other)
    maps = keras.layers.Add()([maps, other]) * other - maps
    maps = keras.layers.GroupNormalization(2)(maps)
    nested = keras.Sequential(
        [
            keras.layers.ReLU(1.5, 0.1, 0.2),
            keras.layers.GaussianNoise(0.1),
            keras.layers.SpectralNormalization(keras.layers.Conv2D(4, 3, 2)),
            keras.layers.ELU(0.5),
        ]
    )
    maps = keras.layers.Concatenate(axis=1)([nested(maps), nested(maps)])
    maps = keras.layers.BatchNormalization()(maps)
    maps = keras.layers.Conv2DTranspose(1, (2, 5), (3, 2), "same")(maps)
    maps = keras.layers.Cropping2D(((2, 0), (1, 3)))(maps)
    maps = keras.layers.Rescaling(0.5, 0.05)(maps)
    maps = keras.layers.Activation("tanh")(maps)
    gan = make_gan(keras.Model([inputs, labels], maps), classes=3)
    assert_the_page_draws_the_same(gan, tmp_path)


def test_activations_are_the_same(tmp_path):
    inputs = keras.Input((LATENT_DIM,))
    names = (
        *("elu", "exponential", "gelu", "hard_sigmoid", "hard_tanh"),
        *("leaky_relu", "linear", "mish", "relu", "relu6", "selu", "sigmoid"),
        *("silu", "softplus", "softsign", "tanh"),
    )
    values = [keras.layers.Activation(name)(inputs) for name in names]
    values = keras.layers.Concatenate()(values)
    values = keras.layers.Rescaling(0.2)(values)
    rows = keras.layers.Reshape((len(names), LATENT_DIM, 1))(values)
    gan = make_gan(keras.Model(inputs, rows))
    assert_the_page_draws_the_same(gan, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", sorted(RECIPES.glob("*.py")), ids=lambda p: p.stem
)
def test_each_recipe_draws_the_same(path, tmp_path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    small = {"image_size": (48, 48), "filters": 16}
    options = small if path.stem == "cats_dcgan" else {}
    gan = without_average(recipe.build_gan(0, **options))
    assert_the_page_draws_the_same(gan, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("classes", [None, 3])
@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (64, 96, 4)])
def test_the_network_of_each_plan_draws_the_same(shape, classes, tmp_path):
    gan = without_average(plan.Plan(shape, classes, base_filters=8).build())
    assert_the_page_draws_the_same(gan, tmp_path)


# Errors


@keras.saving.register_keras_serializable(package="test_explorer")
class Doubled(keras.layers.Dense):
    def call(self, inputs):
        return 2 * super().call(inputs)


def with_layer(layer):
    return [keras.layers.Dense(8), layer, keras.layers.Reshape((2, 4, 1))]


@pytest.mark.parametrize(
    ("stack", "message"),
    [
        (with_layer(Doubled(8, name="twice")), "layer 'twice' of type Doubled"),
        (with_layer(keras.layers.Activation("softmax")), "activation softmax"),
        (
            [
                keras.layers.Reshape((2, 2, 3)),
                keras.layers.Conv2D(1, 2, padding="same", dilation_rate=2),
            ],
            "`dilation_rate`",
        ),
        (
            [
                keras.layers.Reshape((2, 2, 3)),
                keras.layers.BatchNormalization(1),
                keras.layers.Conv2D(1, 1),
            ],
            "`axis` must be the last",
        ),
        ([keras.layers.Reshape((3, 2, 2))], "Received: images of shape"),
    ],
    ids=["subclass", "activation", "dilation", "axis", "channels"],
)
def test_what_a_page_cannot_compute_is_named(stack, message, tmp_path):
    generator = keras.Sequential([keras.Input((LATENT_DIM,)), *stack])
    with pytest.raises(ValueError, match=message):
        page.write_explorer(make_gan(generator), tmp_path / "explorer.html")
    assert not any(tmp_path.iterdir())


def test_labels_that_are_not_embedded_are_refused(tmp_path):
    inputs = keras.Input((LATENT_DIM,))
    labels = keras.Input((), dtype="int32")
    number = keras.layers.Reshape((1,))(labels)
    code = keras.layers.Concatenate()([inputs, number])
    code = keras.layers.Dense(4)(code)
    generator = keras.Model(
        [inputs, labels], keras.layers.Reshape((2, 2, 1))(code)
    )
    with pytest.raises(ValueError, match="can only embed labels.*Concatenate"):
        page.write_explorer(make_gan(generator, 3), tmp_path / "explorer.html")


def test_a_diverged_generator_is_refused(tmp_path):
    gan = gans.small_gan()
    gan.generator.layers[1].bias.assign(np.full(16, np.nan))
    with pytest.raises(ValueError, match="must be finite"):
        page.write_explorer(gan, tmp_path / "explorer.html")


# The page


def part_of(path, name):
    """Returns the text of an element with an id."""
    text = path.read_text(encoding="utf-8")
    return re.search(f'id="{name}">(.*?)</script>', text, re.S)[1]


def test_the_policy_allows_the_code_of_the_page_and_nothing_else(tmp_path):
    title = "<script>alert(1)"
    path = tmp_path / "new" / "explorer.html"
    assert page.write_explorer(gans.small_gan(), path, title) == path
    text = path.read_text(encoding="utf-8")
    assert "<script>alert" not in text and "&lt;script&gt;alert" in text
    (policy,) = re.findall(r'Policy" content="(.*?)">', text, re.S)
    words = [part.split() for part in policy.split(";")]
    sources = {name: values for name, *values in words}
    assert sources["default-src"] == ["'none'"]
    assert sources["worker-src"] == ["blob:"]
    for name, tag in (("script-src", "script"), ("style-src", "style")):
        code = re.search(f"<{tag}>(.*?)</{tag}>", text, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest())
        assert sources[name] == [f"'sha256-{digest.decode()}'"]
    assert not re.findall(r"(?:src|href)\s*=\s*[\"']|https?:|url\(", text)


def test_the_directions_are_those_that_change_pixels_most(tmp_path):
    generator = keras.Sequential(
        [
            keras.Input((9,)),
            keras.layers.Dense(9),
            keras.layers.Reshape((3, 3, 1)),
        ]
    )
    strengths = np.array([1, 8, 3, 5, 2, 9, 4, 7, 6]) / 40
    generator.layers[0].set_weights([np.diag(strengths), np.zeros(9)])
    path = page.write_explorer(make_gan(generator), tmp_path / "explorer.html")
    network = json.loads(part_of(path, "network"))
    strongest = np.argsort(-strengths)[:8]
    np.testing.assert_allclose(
        network["directions"], np.eye(9)[strongest], atol=0.02
    )


def test_the_command_writes_the_explorer_of_a_run(tmp_path, capsys):
    run = train_run(tmp_path / "cats")
    command("explore", run.path)
    path = run.path / "explorer.html"
    assert capsys.readouterr().out.strip() == str(path)
    assert "<h1>cats</h1>" in path.read_text(encoding="utf-8")
    other = tmp_path / "other.html"
    command("explore", run.latest_checkpoint(), other)
    for name in ("network", "weights"):
        assert part_of(other, name) == part_of(path, name)


def test_the_command_reports_an_unknown_layer_in_one_line(tmp_path, capsys):
    generator = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(16),
            keras.layers.Softmax(),
            keras.layers.Reshape((4, 4, 1)),
        ]
    )
    make_gan(generator).save(tmp_path / "gan.keras")
    with pytest.raises(SystemExit):
        command("explore", tmp_path / "gan.keras")
    (line,) = capsys.readouterr().err.splitlines()
    assert "Softmax" in line and "gan_blocks export" in line


# In a browser


@pytest.fixture(scope="module")
def explorer(tmp_path_factory):
    gan = plan.Plan((28, 28, 1), num_classes=10, base_filters=4).build()
    gan = without_average(gan)
    pretend_to_train(gan)
    folder = tmp_path_factory.mktemp("explorer")
    return gan, page.write_explorer(gan, folder / "explorer.html")


def wait_for(find, seconds=20):
    """Returns the first true result of a function."""
    end = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def open_page(browser, path, address):
    browser.get("about:blank")  # A new fragment alone would not load the page.
    browser.get(f"{path.as_uri()}#{address}")
    wait_for(lambda: "seconds" in text_of(browser, "status"))
    # A canvas has this size until something is drawn.
    wait_for(lambda: pixels(browser).shape[:2] != (150, 300))


def text_of(browser, name):
    return browser.find_element("id", name).text


def pixels(browser, selector="#large"):
    """Returns the pixels of a canvas as an array."""
    code = """
    const canvas = document.querySelector(arguments[0]);
    const { width, height } = canvas;
    const copy = new OffscreenCanvas(width, height).getContext("2d");
    copy.drawImage(canvas, 0, 0);
    return [height, width, [...copy.getImageData(0, 0, width, height).data]];
    """
    height, width, values = browser.execute_script(code, selector)
    return np.reshape(values, (height, width, 4))


def changed(browser, before, selector="#large"):
    """Waits for other pixels in a canvas, and returns them."""
    wait_for(lambda: not np.array_equal(pixels(browser, selector), before))
    return pixels(browser, selector)


def set_range(browser, selector, value):
    code = """
    const slider = document.querySelector(arguments[0]);
    slider.value = arguments[1];
    slider.dispatchEvent(new Event("input"));
    """
    browser.execute_script(code, selector, value)


@pytest.mark.slow
def test_a_browser_draws_the_pixels_of_keras(explorer, browser):
    gan, path = explorer
    open_page(browser, path, "seed=7")
    assert text_of(browser, "name") == "Picture 7, class 7"
    latents = browser.execute_script("return [...latentsOf(7)]")
    latents = np.array(latents, "float32")
    assert abs(latents.mean()) < 0.4 and 0.7 < latents.std() < 1.3
    (expected,) = images.to_uint8(gan.generate(latents=[latents], labels=7))
    first = "#grid button canvas"
    for canvas in ("#large", first, "#start"):
        wait_for(lambda canvas=canvas: pixels(browser, canvas)[..., 3].all())
        shown = pixels(browser, canvas)
        assert np.abs(shown[..., :3] - expected.astype(int)).max() <= 2


@pytest.mark.slow
def test_the_controls_of_the_page_work(explorer, browser):
    gan, path = explorer
    open_page(browser, path, "seed=7")
    find = functools.partial(browser.find_element, "css selector")
    first = pixels(browser)

    set_range(browser, "#moves input", 2)
    moved = changed(browser, first)
    label = find("#large").get_attribute("aria-label")
    assert label == "Picture 7, class 7, changed"
    wait_for(lambda: "d1=2" in browser.current_url)
    find("#reset").click()
    wait_for(lambda: np.array_equal(pixels(browser), first))

    grid = "#grid button:nth-child(6) canvas"
    before = pixels(browser, grid)
    set_range(browser, "#truncation", 0.5)
    changed(browser, before, grid)
    set_range(browser, "#truncation", 1)
    wait_for(lambda: np.array_equal(pixels(browser, grid), before))

    for option in browser.find_elements("css selector", "#class option"):
        if option.text == "3":
            option.click()
    changed(browser, before, grid)
    assert text_of(browser, "name") == "Picture 7, class 3"

    # The sixth picture is enlarged, and the seventh is the end of the walk.
    find("#grid button:nth-child(6)").click()
    sixth = pixels(browser, grid)
    wait_for(lambda: np.array_equal(pixels(browser), sixth))
    find("#choose").click()
    assert find("#choose").get_attribute("aria-pressed") == "true"
    find("#grid button:nth-child(7)").click()  # The walk plays.
    assert find("#play").text == "Pause"
    changed(browser, sixth)
    find("#play").click()
    set_range(browser, "#place", 1)
    seventh = pixels(browser, "#grid button:nth-child(7) canvas")
    wait_for(lambda: np.array_equal(pixels(browser), seventh))
    assert np.array_equal(pixels(browser, "#end"), seventh)

    # The address of the page brings the picture back.
    wait_for(lambda: "place=1" in browser.current_url)
    address = browser.current_url.partition("#")[2]
    find("#new").click()
    changed(browser, seventh)
    open_page(browser, path, address)
    wait_for(lambda: np.array_equal(pixels(browser), seventh))
    assert (moved != first).any()
    assert browser.get_log("browser") == []
    assert requested_schemes(browser) <= {"file", "blob", "data", "about"}


@pytest.mark.slow
def test_pictures_and_walks_are_saved(explorer, browser):
    gan, path = explorer
    open_page(browser, path, "seed=20&picture=21&end=23")
    names = {
        "save-picture": "picture_21.png",
        "save-grid": "pictures_20.png",
        "save-walk": "walk_21_23.gif",
    }
    for button, name in names.items():
        browser.find_element("id", button).click()
        wait_for((browser.downloads / name).exists)
    with Image.open(browser.downloads / "picture_21.png") as picture:
        scale = picture.width // 28
        saved = np.asarray(picture.convert("RGBA"))[::scale, ::scale]
    assert picture.size == (280, 280)
    assert (saved == pixels(browser)).all()
    with Image.open(browser.downloads / "pictures_20.png") as picture:
        assert picture.size == (4 * 5 * 28, 4 * 5 * 28)
    with Image.open(browser.downloads / "walk_21_23.gif") as film:
        assert (film.size, film.n_frames) == ((280, 280), 24 + 22)
        frames = []
        for index in (0, 23):
            film.seek(index)
            frames.append(np.asarray(film.convert("RGBA"))[::10, ::10])
    # A gray film has at most 256 colors, so it is exact.
    assert (frames[0] == pixels(browser, "#start")).all()
    assert (frames[1] == pixels(browser, "#end")).all()


@pytest.mark.slow
def test_a_click_selects_the_picture_that_one_sees(explorer, browser):
    gan, path = explorer
    open_page(browser, path, "seed=7")
    chosen = browser.execute_script("""
        showNew(500);  // The old pictures are still there.
        grid.children[5].click();
        return [state.picture, byId("save-grid").disabled];
    """)
    assert chosen == [12, True]
    wait_for(lambda: browser.find_element("id", "save-grid").is_enabled())
    first = browser.find_element("css selector", "#grid button")
    assert first.accessible_name == "Picture 500, class 0"


@pytest.mark.slow
def test_the_first_error_of_a_worker_stays(explorer, browser, tmp_path):
    gan, path = explorer
    text = path.read_text("utf-8").replace('"op": "affine"', '"op": "none"')
    (tmp_path / "wrong.html").write_text(text, "utf-8")
    browser.get((tmp_path / "wrong.html").as_uri())
    wait_for(lambda: "failed" in text_of(browser, "status"))
    message = text_of(browser, "status")
    browser.find_element("id", "new").click()
    time.sleep(0.5)
    assert text_of(browser, "status") == message
    assert "generate is not" not in message
    browser.get_log("browser")  # Other tests expect an empty log.


@pytest.mark.slow
def test_the_keyboard_is_enough(explorer, browser):
    gan, path = explorer
    open_page(browser, path, "seed=7")
    body = browser.find_element("tag name", "body")
    names = set()
    for _ in range(45):  # Tab reaches every control.
        browser.switch_to.active_element.send_keys("\ue004")
        active = browser.switch_to.active_element
        if active.tag_name != "body":
            names.add(active.accessible_name.strip())
    assert "" not in names
    assert names >= {
        *("New pictures", "Seed", "Class", "Variety", "Save all", "Play"),
        *("Picture 7, class 7", "Place on the walk", "Choose the end"),
        *("Direction 1", "Direction 8", "Save picture", "Save GIF"),
    }
    browser.find_element("css selector", "#grid button").send_keys(
        "\ue014\ue015"
    )
    second = browser.switch_to.active_element
    assert second.accessible_name == "Picture 12, class 2"
    second.send_keys("\ue007")  # Enter
    wait_for(lambda: text_of(browser, "name") == "Picture 12, class 2")
    place = browser.find_element("id", "place")
    place.send_keys("\ue014" * 3)
    label = browser.find_element("id", "large").accessible_name
    assert label == "Picture 12, class 2, 3% of the way to picture 8"
    body.send_keys("n")
    wait_for(lambda: "Picture 12" not in text_of(browser, "name"))


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 800, 1200])
def test_nothing_is_wider_than_the_window(explorer, browser, width):
    gan, path = explorer
    browser.set_window_size(max(width, 500), 900)
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1}
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", metrics | {"mobile": False}
    )
    open_page(browser, path, "seed=7")
    assert browser.execute_script("return innerWidth") == width
    wide = browser.execute_script("return document.body.scrollWidth")
    assert wide <= width
