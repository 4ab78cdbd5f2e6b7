import json
import re
import zipfile

import numpy as np
import pytest
from PIL import Image
from support.browser_logs import requested_schemes
from support.trained_runs import command, train_run

from gan_blocks import images, page, runs

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


def write_best(folder, epoch, step):
    """Writes the manifest of a best model, without a model."""
    with zipfile.ZipFile(folder / "best.keras", "w"):
        pass
    runs.write_manifest(folder / "best.keras", epoch, step)


def page_of(folder):
    path = page.write_page(folder)
    assert path == folder / "index.html"
    return path.read_text(encoding="utf-8")


def rows_of(table):
    """Returns the rows of all tables in a text, as lists of words."""
    rows = re.findall("<tr[^>]*>(.*?)</tr>", table)
    return [re.findall("<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]


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


@pytest.mark.parametrize("name", ["reasons", "comparable_after_step", "data"])
def test_settings_of_odd_types_do_not_stop_the_page(tmp_path, name):
    folder = write_run(tmp_path)
    for value in ("text", 3, ["text"], {"Steps": 3}, None):
        (folder / "arguments.json").write_text(json.dumps({name: value}))
        text = page_of(folder)
        assert text.count("data:image/png") == 3
        assert "text" not in str(value) or "text" in text


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


def test_the_grid_of_the_best_model_is_shown_first(tmp_path):
    write_best(write_run(tmp_path, pictures=200), 2, 80)
    text = page_of(tmp_path)
    (best,) = re.findall('alt="([^"]*)" [^>]* data-best', text)
    assert (
        best == "Generated after epoch 2, step 80: the best model (best.keras)"
    )
    assert ["Best model", "best.keras, step 80"] in rows_of(text)


def test_a_best_model_without_a_grid_is_named_only(tmp_path):
    write_best(write_run(tmp_path), 2, 90)
    text = page_of(tmp_path)
    assert "data-best src" not in text
    assert ["Best model", "best.keras, step 90"] in rows_of(text)


def test_the_page_tells_how_the_training_went(tmp_path):
    write_run(tmp_path)
    settings = {"data": "cats/", "pictures": 600, "data_checksum": "1a2b3c4d"}
    (tmp_path / "arguments.json").write_text(json.dumps(settings))
    summary = {"text": "It <copies>.", "minutes": 125, "device": "CPU"}
    summary_file = tmp_path / "summary.json"
    summary_file.write_text(json.dumps(summary | {"steps": 120}))
    text = page_of(tmp_path)
    assert "<p>It &lt;copies&gt;.</p>" in text
    for row in (
        ["Training time", "2 h 05 min"],
        ["Training steps", "120"],
        ["Device", "CPU"],
        ["Pictures", "600"],
        ["Source", "cats/"],
        ["Fingerprint", "1a2b3c4d"],
        ["Kernel distance", "0.25 at the end, lowest 0.25 at step 120"],
    ):
        assert row in rows_of(text)
    # The run has been continued since then.
    summary_file.write_text(json.dumps(summary | {"steps": 80}))
    text = page_of(tmp_path)
    assert "copies" not in text and "2 h 05 min" not in text


def test_the_time_is_shown_and_not_plotted(tmp_path):
    rows = "epoch,step,d_loss,seconds\n1,40,1,45.2\n2,80,1,90.4\n"
    text = page_of(write_run(tmp_path, rows))
    assert ["Training time", "1 min 30 s"] in rows_of(text)
    assert text.count("<svg") == 1


@pytest.mark.parametrize(
    ("columns", "rows", "expected"),
    [
        ("kid", ["5", "4", "", "3", "3", "2"], "The quality was still impro"),
        (
            "kid",
            ["5", "1", "4", "3"],
            "The quality was best around step 400, and",
        ),
        ("kid", ["5", "3", "2", "2.1", "2"], "In the last third of the run,"),
        ("kid", ["5", "4", "4", "3"], ""),  # Too few measurements.
        ("spread", ["0.5", "0.01", "0.02"], "Mode collapse: spread 0.02."),
        ("spread", ["0.5", "0.4", "0.5"], "No sign of mode collapse"),
        ("g_loss", ["1", "1", "nan"], "Training diverged: g_loss is NaN"),
    ],
)
def test_the_history_tells_how_the_training_went(
    tmp_path, columns, rows, expected
):
    head = f"epoch,step,kid_error,{columns}"
    lines = [f"{i},{200 * i},0.1,{x}" for i, x in enumerate(rows, start=1)]
    text = page_of(write_run(tmp_path, "\n".join([head, *lines])))
    assert f"<p>{expected}" in text


def test_only_values_that_were_measured_in_the_same_way_are_compared(tmp_path):
    values = ["1", "2", "5", "4", "3", "2"]
    lines = [f"{i},{i},{x}" for i, x in enumerate(values, start=1)]
    folder = write_run(tmp_path, "\n".join(["epoch,step,kid", *lines]))
    assert "The quality was best around step 1, and worse" in page_of(folder)
    settings = {"comparable_after_step": 2}
    (folder / "arguments.json").write_text(json.dumps(settings))
    text = page_of(folder)
    assert "The quality was still improving" in text
    assert "2 at the end, lowest 2 at step 6" in text


def test_neighbors_and_the_explorer_are_shown_if_they_exist(tmp_path):
    folder = write_run(tmp_path / "my run", pictures=1)
    text = page_of(folder)
    assert "href" not in text and "to its right" not in text
    images.save_png(Image.new("L", (8, 8)), folder / "neighbors.png")
    (folder / "explorer.html").touch()
    text = page_of(folder)
    assert '<a href="explorer.html">' in text and "to its right" in text
    assert text.count("data:image/png") == 2
    text = page.write_page(folder, path=tmp_path / "page.html").read_text()
    assert '<a href="my%20run/explorer.html">' in text


def test_sixty_of_many_grids_are_shown_from_the_first_to_the_last(tmp_path):
    text = page_of(write_run(tmp_path, pictures=200))
    shown = re.findall(r"Generated after epoch (\d+)", text)
    assert (len(shown), shown[0], shown[-1]) == (60, "1", "200")
    assert "60 of the 200 grids" in text


def test_a_grid_within_an_epoch_is_sorted_by_its_step(tmp_path):
    folder = write_run(tmp_path)
    early = folder / "grids" / "epoch_0000_step_0000020.png"
    early.write_bytes((folder / "grids" / "epoch_0001.png").read_bytes())
    shown = re.findall('alt="Generated after ([^"]+)"', page_of(folder))
    assert shown[:2] == ["step 20", "epoch 1, step 40"]


def test_the_seconds_of_a_run_are_in_the_table_and_not_plotted(tmp_path):
    rows = "epoch,step,d_loss,seconds\n1,40,1.4,61.5\n"
    text = page_of(write_run(tmp_path, rows))
    assert text.count("<svg") == 1 and "<td>61.5</td>" in text


def test_the_command_writes_the_page_of_a_real_run(tmp_path, capsys):
    run = train_run(tmp_path)
    command("page", tmp_path)
    assert capsys.readouterr().out.strip() == str(run.page)
    text = run.page.read_text()
    assert "epoch_0002.keras" in text and "gan_blocks" in text
    assert text.count("data:image/png;base64,") == 2


def test_two_runs_are_compared(tmp_path):
    a = write_run(tmp_path / "a")
    b = write_run(tmp_path / "b", "epoch,step,d_loss\n1,240,1.4\n")
    (b / "arguments.json").write_text('{"data": "<b>", "seed": 4}')
    path = page.write_page(a, b)
    assert path == a / "compare_b.html"
    text = path.read_text()
    assert "<h1>a and b</h1>" in text
    assert text.count('class="film"') == 2
    assert ["seed", "3", "4"] in rows_of(text)
    assert not any(row[0] == "data" for row in rows_of(text)[-4:])
    assert ["Training steps", "120", "240"] in rows_of(text)
    assert text.count("<svg") == 3  # A plot for each column.
    assert "Losses: d_loss. Plot of a, b over steps" in text
    assert "Losses: g_loss. Plot of a over steps" in text


def test_runs_with_the_same_name_are_told_apart(tmp_path):
    a, b = write_run(tmp_path / "a" / "run"), write_run(tmp_path / "b" / "run")
    text = page.write_page(a, b).read_text()
    assert f"<h1>{a} and {b}</h1>" in text
    with pytest.raises(ValueError, match="`other` must be another run"):
        page.write_page(a, a)


def test_the_command_compares_two_runs(tmp_path, capsys):
    for name in "ab":
        train_run(tmp_path / name, epochs=1)
    path = tmp_path / "both.html"
    command("page", tmp_path / "a", tmp_path / "b", "--output", path)
    assert capsys.readouterr().out.strip() == str(path)
    assert "come from the same random numbers" in path.read_text()


def test_a_folder_that_is_no_run_is_an_error_of_one_line(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for name, expected in (
        ("gone", "gone does not exist. Pass the folder of a run."),
        ("empty", "`run` must be the folder of a run, with a history.csv"),
    ):
        with pytest.raises(SystemExit):
            command("page", write_run(tmp_path / "a"), tmp_path / name)
        error = capsys.readouterr().err
        assert expected in error and error.count("\n") == 1


def visible_pictures(browser):
    elements = browser.find_elements("css selector", ".film img")
    return [
        one.get_attribute("alt").removeprefix("Generated after ")
        for one in elements
        if one.is_displayed()
    ]


@pytest.mark.slow
def test_the_page_works_in_a_browser(tmp_path, browser):
    write_run(tmp_path)
    images.save_png(Image.new("L", (16, 16)), tmp_path / "real.png")
    browser.get(page.write_page(tmp_path).as_uri())

    assert visible_pictures(browser) == ["epoch 3, step 120"]
    slider = browser.find_element("id", "slider")
    for keys, epoch in (("\ue012", 2), ("\ue012", 1), ("\ue014", 2)):  # ← ← →
        slider.send_keys(keys)
        where = f"epoch {epoch}, step {40 * epoch}"
        assert visible_pictures(browser) == [where]
        caption = browser.find_element("css selector", ".film figcaption")
        assert caption.text == f"Generated after {where}"
        assert browser.find_element("class name", "where").text == where
    assert browser.find_element("css selector", "b").text == "1.2"

    browser.find_element("id", "play").click()  # Plays to the end.
    assert browser.find_element("id", "play").text == "Pause"
    wait_until(
        browser, lambda: visible_pictures(browser) == ["epoch 3, step 120"]
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
def test_a_picture_is_enlarged_and_closed_by_keyboard(tmp_path, browser):
    write_best(write_run(tmp_path), 2, 80)
    browser.get(page.write_page(tmp_path).as_uri())
    (first,) = visible_pictures(browser)
    assert first == "epoch 2, step 80: the best model (best.keras)"

    browser.find_element("css selector", ".film button").send_keys("\ue007")
    large = browser.find_element("css selector", "dialog img")
    assert large.get_attribute("alt") == f"Generated after {first}"
    assert large.size["width"] % 16 == 0 and large.size["width"] > 160
    browser.switch_to.active_element.send_keys("\ue00c")  # Escape.
    assert not large.is_displayed()
    assert browser.get_log("browser") == []


@pytest.mark.slow
def test_one_slider_moves_the_films_of_two_runs(tmp_path, browser):
    a = write_run(tmp_path / "a")
    history = "epoch,step,d_loss\n1,60,1.4\n2,300,1.2\n"
    b = write_run(tmp_path / "b", history, pictures=2)
    browser.get(page.write_page(a, b).as_uri())

    slider = browser.find_element("id", "slider")
    last = ["epoch 3, step 120", "epoch 2, step 300"]
    assert visible_pictures(browser) == last
    for shown in (
        ["epoch 3, step 120", "epoch 1, step 60"],
        ["epoch 2, step 80", "epoch 1, step 60"],
        ["epoch 1, step 40", "epoch 1, step 60"],
    ):
        slider.send_keys("\ue012")  # ←
        assert visible_pictures(browser) == shown
    where = browser.find_element("class name", "where").text
    assert where == "epoch 1, step 40 and epoch 1, step 60"
    slider.send_keys("\ue011")  # Home: before the first picture of b.
    assert slider.get_attribute("value") == "0"
    assert browser.get_log("browser") == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [380, 1200])
def test_nothing_is_wider_than_the_window(tmp_path, browser, width):
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b")
    browser.set_window_size(max(width, 500), 900)
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1}
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", metrics | {"mobile": False}
    )
    for path in (page.write_page(a), page.write_page(a, b)):
        browser.get(path.as_uri())
        assert browser.execute_script("return innerWidth") == width
        wide = browser.execute_script("return document.body.scrollWidth")
        assert wide <= width


def wait_until(browser, condition):
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 10).until(lambda _: condition())
