"""The action `explore`: a web page with the generator inside."""

import pathlib

from gan_blocks.cli import loading
from gan_blocks.cli.output import fail
from gan_blocks.page import write_explorer

__all__ = ["explore"]


def explore(run: pathlib.Path, file: pathlib.Path | None = None) -> None:
    """Writes the explorer of a run."""
    gan = loading.load_gan(run)
    file = file or loading.result_path(run, "explorer", ".html")
    name = run.stem if run.suffix == ".keras" else run.resolve().name
    try:
        print(write_explorer(gan, file, title=name))
    except ValueError as error:
        fail(f"{run} cannot be explored: {error}")
