import json
import re
import zipfile

import numpy as np
import pytest
from PIL import Image
from support.browser_logs import requested_schemes
from support.trained_runs import command, train_run

from gan_blocks import images, page

HISTORY = """epoch,step,d_loss,g_loss,kid
1,40,1.4,0.7,
2,80,1.2,0.9,0.5
3,120,1.1,nan,0.25
"""


def write_run(folder, history=HISTORY, pictures=3):
    """Writes files like those of a run, without training."""
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


def page_of(folder):
    path = page.write_page(folder)
    assert path == folder / "index.html"
    return path.read_text(encoding="utf-8")


def test_a_page_needs_no_other_file_and_no_network(tmp_path):
    text = page_of(write_run(tmp_path))
    assert text.count("<svg") == 2  # Losses, and the kernel distance.
    assert text.count("data:image/png;base64,") == 3
    links = re.findall(r"""(?:src|href)\s*=\s*["']?([^"'>]{0,22})""", text)
    assert links == ["data:image/png;base64,"] * 3
    assert "http:" not in text and "https:" not in text and "url(" not in text


def test_text_of_the_user_is_escaped(tmp_path):
    folder = tmp_path / "a <script>alert(1) run"
    text = page_of(write_run(folder))
    assert "<script>alert" not in text and "&lt;script&gt;alert" in text
    assert "<b>" not in text.replace("<b data-column", "")
    assert "&lt;b&gt;" in text


def test_nan_leaves_a_gap_in_the_curve_and_is_reported(tmp_path):
    text = page_of(write_run(tmp_path))
    assert "first NaN or infinite: g_loss at step 120" in text
    losses = text[text.index("Plot of d_loss, g_loss") :]
    curves = re.findall(r'<path class="s\d" d="([^"]*)"', losses)[:2]
    assert [curve.count("L") for curve in curves] == [2, 1]


@pytest.mark.parametrize(
    ("history", "pictures"),
    [("epoch,step,d_loss\n1,40,1.5\n", 1), (HISTORY, 0), (None, 2)],
    ids=["one row", "no pictures", "no history"],
)
def test_a_run_with_few_files_has_a_page(tmp_path, history, pictures):
    text = page_of(write_run(tmp_path, history, pictures))
    assert text.count("data:image/png") == pictures
    assert ("<svg" in text) == (history is not None)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`run` must be the folder of a run"):
        page.write_page(tmp_path)


def test_unreadable_files_are_named(tmp_path):
    folder = write_run(tmp_path)
    (folder / "grids" / "epoch_0002.png").write_bytes(b"no picture")
    (folder / "arguments.json").write_text("{")
    text = page_of(folder)
    assert "epoch_0002.png cannot be read" in text
    assert "arguments.json cannot be read" in text
    assert text.count("data:image/png") == 2


@pytest.mark.parametrize(
    "content",
    [b"[1]", b"[" * 100_000, b"9" * 10_000, b"\xff", b" " * 2**25],
    ids=["list", "deep", "long", "no text", "large"],
)
def test_odd_files_are_named_and_do_not_stop_the_page(tmp_path, content):
    folder = write_run(tmp_path)
    (folder / "arguments.json").write_bytes(content)
    (folder / "quality_100_seed_0.json").write_bytes(content)
    (folder / "checkpoints").mkdir()
    path = folder / "checkpoints" / "epoch_0001.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("gan_blocks.json", content)
    text = page_of(folder)
    for name in ("arguments.json", "quality_100_seed_0.json", path.name):
        assert f"{name} cannot be read" in text


@pytest.mark.parametrize(
    "history",
    [
        "step,d_loss\n40,1\n",
        f"epoch,step,d_loss\n1,{'9' * 5000},1\n",
        f"epoch,step,d_loss\n1,40,{'9' * 200_000}\n",
    ],
    ids=["no epoch", "large step", "long cell"],
)
def test_an_odd_history_is_named_and_does_not_stop_the_page(tmp_path, history):
    text = page_of(write_run(tmp_path, history))
    assert "history.csv cannot be read" in text
    assert text.count("data:image/png") == 3


def test_links_and_folders_do_not_stop_the_page(tmp_path):
    folder = write_run(tmp_path, pictures=1)
    (folder / "grids" / "epoch_0002.png").mkdir()
    (folder / "grids" / "epoch_0003.png").symlink_to("gone")
    (folder / "quality_1.json").symlink_to("gone")
    text = page_of(folder)
    assert "epoch_0002.png cannot be read: it is not a file" in text
    assert text.count("data:image/png") == 1


def test_numbers_that_are_too_large_leave_a_gap(tmp_path):
    rows = f"epoch,step,d_loss\n1,40,1\n2,80,{'9' * 5000}\n3,120,1e999\n"
    text = page_of(write_run(tmp_path, rows))
    assert "first NaN or infinite: d_loss at step 80" in text


def test_sixty_of_many_grids_are_shown_from_the_first_to_the_last(tmp_path):
    text = page_of(write_run(tmp_path, pictures=200))
    shown = re.findall(r"Generated after epoch (\d+)", text)
    assert (len(shown), shown[0], shown[-1]) == (60, "1", "200")
    assert "60 of the 200 grids" in text


def test_the_command_writes_the_page_of_a_real_run(tmp_path, capsys):
    run = train_run(tmp_path)
    command("page", tmp_path)
    assert capsys.readouterr().out.strip() == str(run.page)
    text = run.page.read_text()
    assert "epoch_0002.keras" in text and "gan_blocks" in text
    assert text.count("data:image/png;base64,") == 2


def visible_picture(browser):
    elements = browser.find_elements("css selector", "#pictures img")
    (picture,) = (one for one in elements if one.is_displayed())
    return picture.get_attribute("alt")


@pytest.mark.slow
def test_the_page_works_in_a_browser(tmp_path, browser):
    write_run(tmp_path)
    images.save_png(Image.new("L", (16, 16)), tmp_path / "real.png")
    browser.get(page.write_page(tmp_path).as_uri())

    assert visible_picture(browser) == "Generated after epoch 3, step 120"
    slider = browser.find_element("id", "slider")
    for keys, epoch in (("\ue012", 2), ("\ue012", 1), ("\ue014", 2)):  # ← ← →
        slider.send_keys(keys)
        text = f"Generated after epoch {epoch}, step {40 * epoch}"
        assert visible_picture(browser) == text
        assert browser.find_element("id", "name").text == text
        where = browser.find_element("class name", "where").text
        assert where == f"epoch {epoch}, step {40 * epoch}"
    assert browser.find_element("css selector", "b").text == "1.2"

    browser.find_element("id", "play").click()  # Plays to the end.
    assert browser.find_element("id", "play").text == "Pause"
    wait_until(
        browser,
        lambda: visible_picture(browser).startswith("Generated after epoch 3"),
    )

    plots = browser.find_elements("css selector", "figure.plot svg")
    assert len(plots) == 2
    assert all(plot.size["height"] > 100 for plot in plots)
    assert browser.find_element(
        "xpath", "//img[@alt='Real pictures']"
    ).is_displayed()
    assert browser.get_log("browser") == []
    assert requested_schemes(browser) == {"file", "data"}


@pytest.mark.slow
@pytest.mark.parametrize("width", [380, 1200])
def test_nothing_is_wider_than_the_window(tmp_path, browser, width):
    write_run(tmp_path)
    browser.set_window_size(max(width, 500), 900)
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1}
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", metrics | {"mobile": False}
    )
    browser.get(page.write_page(tmp_path).as_uri())
    assert browser.execute_script("return innerWidth") == width
    wide = browser.execute_script("return document.body.scrollWidth")
    assert wide <= width


def wait_until(browser, condition):
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 10).until(lambda _: condition())
