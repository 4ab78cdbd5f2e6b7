"""The action `page`: a run as a web page."""

import pathlib

from gan_blocks.cli.loading import find_folder
from gan_blocks.page import write_page

__all__ = ["page"]


def page(run: pathlib.Path) -> None:
    """Writes the page of a run."""
    print(write_page(find_folder(run).path))
