"""The action `page`: a run as a web page."""

import pathlib

from gan_blocks.cli.loading import find_folder
from gan_blocks.cli.output import fail
from gan_blocks.page import write_page

__all__ = ["page"]


def page(run: pathlib.Path) -> None:
    """Writes the page of a run."""
    try:
        print(write_page(find_folder(run).path))
    except (ValueError, OSError) as error:
        fail(str(error))
