"""A real browser for the tests of the pages."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = map(shutil.which, ("chromium", "chromedriver"))
    if not (chromium and driver):
        pytest.skip("needs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for word in (
        *("headless=new", "no-sandbox", "disable-gpu", "no-first-run"),
        *("disable-background-networking", "disable-component-update"),
        *("disable-sync", "window-size=1200,1000"),
    ):
        options.add_argument(f"--{word}")
    logs = {"browser": "ALL", "performance": "ALL"}
    options.set_capability("goog:loggingPrefs", logs)
    downloads = str(tmp_path_factory.mktemp("downloads"))
    options.add_experimental_option(
        "prefs", {"download.default_directory": downloads}
    )
    service = webdriver.ChromeService(driver)
    browser = webdriver.Chrome(options=options, service=service)
    browser.downloads = Path(downloads)
    yield browser
    browser.quit()
