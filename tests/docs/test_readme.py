"""The README."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def headings(page):
    """Returns the anchors of a page, as code hosts make them."""
    titles = re.findall(r"^#+ (.*)", page.read_text(), re.M)
    return [re.sub(r"[^\w -]", "", x.lower()).replace(" ", "-") for x in titles]


def test_all_links_lead_to_files_and_headings():
    text = (ROOT / "README.md").read_text()
    links = re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text)
    assert len(links) > 20
    for path, heading in links:
        page = ROOT / (path or "README.md")
        assert page.is_file()
        assert not heading or heading in headings(page)
