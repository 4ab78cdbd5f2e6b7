"""The action `page`: a run, or two runs side by side, as a web page."""

import pathlib

from gan_blocks.cli.loading import find_folder
from gan_blocks.cli.output import fail
from gan_blocks.page import write_page

__all__ = ["page"]


def page(
    run: pathlib.Path,
    other: pathlib.Path | None = None,
    output: pathlib.Path | None = None,
) -> None:
    """Writes the page of a run, or of two runs."""
    folders = [find_folder(one).path for one in (run, other) if one]
    for folder in folders:
        if not folder.is_dir():
            fail(f"{folder} does not exist. Pass the folder of a run.")
    print(write_page(*folders, path=output))
