"""Types that appear in public signatures."""

import os
from typing import Any, TypeAlias

# Each backend has a tensor class of its own.
Tensor: TypeAlias = Any
PathLike: TypeAlias = str | os.PathLike[str]
