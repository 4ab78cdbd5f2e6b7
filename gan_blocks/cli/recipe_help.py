"""The `--help` of a recipe, without waiting for the imports of the recipe."""

import ast
import contextlib
import pathlib
import sys
from typing import Any

from gan_blocks.cli import options

__all__ = ["print_help_early"]


def print_help_early() -> None:
    """Prints the help and ends the process, if the user asks for it.

    A recipe imports Keras, which takes seconds, before it calls `start`. The
    arguments of this call are therefore read from the source. They may use
    names that the script assigns at its top level: these assignments are
    executed, except for those that need an import. If that fails, this function
    does nothing, and `start` prints the help.
    """
    if not {"-h", "--help"} & set(sys.argv[1:]):
        return
    with contextlib.suppress(Exception):
        main = sys.modules["__main__"]
        tree = ast.parse(pathlib.Path(str(main.__file__)).read_bytes())
        names: dict[str, Any] = {"__doc__": main.__doc__, "start": _print_help}
        for node in tree.body:
            if isinstance(node, ast.Assign):
                with contextlib.suppress(Exception):  # It needs an import.
                    module = ast.Module([node], type_ignores=[])
                    exec(compile(module, "recipe", "exec"), names)
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Name("start")):
                    eval(compile(ast.Expression(node), "recipe", "eval"), names)


def _print_help(description, *, sample=None, without_gpu=None, **settings):
    del without_gpu
    first = ("data", "epochs", "batch_size", "steps_per_epoch")
    defaults = {**dict.fromkeys(first), **settings}
    options.parse_options(description, defaults, sample or {}, ["--help"])
