"""Web pages that show a training run."""

from gan_blocks.page.writing import write_page

__all__ = ["write_page"]
