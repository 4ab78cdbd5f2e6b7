"""Web pages that show a training run or hold a trained generator."""

from gan_blocks.page.explorer import write_explorer
from gan_blocks.page.writing import write_page

__all__ = ["write_explorer", "write_page"]
