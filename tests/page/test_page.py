import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from test_cli import build_gan, run

from gan_blocks import images, page
from gan_blocks.cli.command import main

HISTORY = """epoch,step,d_loss,g_loss,kid
1,40,1.4,0.7,
2,80,1.2,0.9,0.5
3,120,1.1,nan,0.25
"""


def folder_of_a_run(folder, history=HISTORY, pictures=3):
    """Fills a folder as a run does, without a run."""
    folder.mkdir(parents=True, exist_ok=True)
    if history is not None:
        (folder / "history.csv").write_text(history)
    for epoch in range(1, pictures + 1):
        shades = np.full((4, 8, 8, 1), epoch / (pictures + 1), "float32")
        path = folder / "grids" / f"epoch_{epoch:04d}.png"
        images.save_png(images.grid(shades), path)
    (folder / "arguments.json").write_text(
        json.dumps({"data": "<b>", "seed": 3})
    )
    return folder


def written(folder):
    path = page.write_page(folder)
    assert path == folder / "index.html"
    return path.read_text(encoding="utf-8")


def test_a_page_needs_no_other_file_and_no_network(tmp_path):
    text = written(folder_of_a_run(tmp_path))
    assert text.count("<svg") == 2  # Losses, and the kernel distance.
    assert text.count("data:image/png;base64,") == 3
    links = re.findall(r"""(?:src|href)\s*=\s*["']?([^"'>]{0,22})""", text)
    assert links == ["data:image/png;base64,"] * 3
    assert "http:" not in text and "https:" not in text and "url(" not in text


def test_what_the_user_wrote_is_text(tmp_path):
    folder = tmp_path / "a <script>alert(1) run"
    text = written(folder_of_a_run(folder))
    assert "<script>alert" not in text and "&lt;script&gt;alert" in text
    assert "<b>" not in text.replace("<b data-column", "")
    assert "&lt;b&gt;" in text


def test_a_value_that_is_no_number_leaves_a_gap_and_a_word(tmp_path):
    text = written(folder_of_a_run(tmp_path))
    assert "first NaN or infinite: g_loss at step 120" in text
    losses = text[text.index("Plot of d_loss, g_loss") :]
    curves = re.findall(r'<path class="s\d" d="([^"]*)"', losses)[:2]
    assert [curve.count("L") for curve in curves] == [2, 1]


@pytest.mark.parametrize(
    ("history", "pictures"),
    [("epoch,step,d_loss\n1,40,1.5\n", 1), (HISTORY, 0), (None, 2)],
    ids=["one row", "no pictures", "no history"],
)
def test_a_run_that_has_little_has_a_page(tmp_path, history, pictures):
    text = written(folder_of_a_run(tmp_path, history, pictures))
    assert text.count("data:image/png") == pictures
    assert ("<svg" in text) == (history is not None)


def test_an_empty_folder_is_no_run(tmp_path):
    with pytest.raises(ValueError, match="`run` must be the folder of a run"):
        page.write_page(tmp_path)


def test_what_cannot_be_read_is_named(tmp_path):
    folder = folder_of_a_run(tmp_path)
    (folder / "grids" / "epoch_0002.png").write_bytes(b"no picture")
    (folder / "arguments.json").write_text("{")
    text = written(folder)
    assert "epoch_0002.png cannot be read" in text
    assert "arguments.json cannot be read" in text
    assert text.count("data:image/png") == 2


def test_of_many_pictures_sixty_are_shown_with_the_first_and_the_last(tmp_path):
    text = written(folder_of_a_run(tmp_path, pictures=200))
    shown = re.findall(r"Generated after epoch (\d+)", text)
    assert (len(shown), shown[0], shown[-1]) == (60, "1", "200")
    assert "60 of the 200 pictures" in text


def test_a_recipe_and_the_command_write_the_page(tmp_path, capsys):
    run("--output", tmp_path, build=build_gan)
    assert f"the run as a page: {tmp_path / 'index.html'}" in (
        capsys.readouterr().out
    )
    first = (tmp_path / "index.html").read_text()
    (tmp_path / "index.html").unlink()
    main(["page", str(tmp_path)])
    assert (tmp_path / "index.html").read_text() == first
    assert "epoch_0003.keras" in first and "gan_blocks" in first
    with pytest.raises(SystemExit):
        main(["page", str(tmp_path / "checkpoints")])


@pytest.fixture(scope="module")
def browser():
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = map(shutil.which, ("chromium", "chromedriver"))
    if not (chromium and driver):
        pytest.skip("needs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for word in (
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "window-size=1200,1000",
    ):
        options.add_argument(f"--{word}")
    logs = {"browser": "ALL", "performance": "ALL"}
    options.set_capability("goog:loggingPrefs", logs)
    service = webdriver.ChromeService(driver)
    browser = webdriver.Chrome(options=options, service=service)
    yield browser
    browser.quit()


def picture_in_sight(browser):
    (picture,) = (
        one
        for one in browser.find_elements("css selector", "#pictures img")
        if one.is_displayed()
    )
    return picture.get_attribute("alt")


def test_the_page_works_in_a_browser(tmp_path, browser):
    folder_of_a_run(tmp_path)
    images.save_png(Image.new("L", (16, 16)), tmp_path / "real.png")
    browser.get(page.write_page(tmp_path).as_uri())

    assert picture_in_sight(browser) == "Generated after epoch 3, step 120"
    slider = browser.find_element("id", "slider")
    for keys, epoch in (("\ue012", 2), ("\ue012", 1), ("\ue014", 2)):  # ← ← →
        slider.send_keys(keys)
        text = f"Generated after epoch {epoch}, step {40 * epoch}"
        assert picture_in_sight(browser) == text
        assert browser.find_element("id", "name").text == text
        where = browser.find_element("class name", "where").text
        assert where == f"epoch {epoch}, step {40 * epoch}"
    assert browser.find_element("css selector", "b").text == "1.2"

    browser.find_element("id", "play").click()  # From there to the end.
    assert browser.find_element("id", "play").text == "Pause"
    wait_for(
        browser,
        lambda: picture_in_sight(browser).startswith("Generated after epoch 3"),
    )

    plots = browser.find_elements("css selector", "figure.plot svg")
    assert len(plots) == 2
    assert all(plot.size["height"] > 100 for plot in plots)
    assert browser.find_element(
        "xpath", "//img[@alt='Real pictures']"
    ).is_displayed()
    assert browser.get_log("browser") == []
    assert requests(browser) == {"file", "data"}


@pytest.mark.parametrize("width", [380, 1200])
def test_nothing_is_wider_than_the_window(tmp_path, browser, width):
    folder_of_a_run(tmp_path)
    browser.set_window_size(max(width, 500), 900)
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1}
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", metrics | {"mobile": False}
    )
    browser.get(page.write_page(tmp_path).as_uri())
    assert browser.execute_script("return innerWidth") == width
    wide = browser.execute_script("return document.body.scrollWidth")
    assert wide <= width


def wait_for(browser, condition):
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 10).until(lambda _: condition())


def requests(browser):
    """Returns the schemes of what the browser has asked for."""
    events = [
        json.loads(entry["message"])["message"]
        for entry in browser.get_log("performance")
    ]
    return {
        event["params"]["request"]["url"].partition(":")[0]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }
