"""The page of a run: its history and its pictures in one file."""

from gan_blocks.page.writing import write_page

__all__ = ["write_page"]
