"""Sample images that need no download: drawn cats, digits and faces."""

from gan_blocks.samples.cat_attributes import CAT_ATTRIBUTES
from gan_blocks.samples.cats import synthetic_cats
from gan_blocks.samples.drawings import line_cats
from gan_blocks.samples.packaged import digits, faces

__all__ = ["CAT_ATTRIBUTES", "digits", "faces", "line_cats", "synthetic_cats"]
