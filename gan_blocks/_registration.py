"""Makes the classes of saved models known to Keras.

`keras.saving.load_model` finds a class only after its module is imported. The
command line must not wait for Keras, so `import gan_blocks` imports the modules
of the classes only if Keras is imported already. Otherwise they are imported
right after Keras.
"""

import importlib
import importlib.abc
import importlib.util
import sys


def register_classes() -> None:
    for name in ("gan", "layers", "losses", "penalties"):
        importlib.import_module(f"gan_blocks.{name}")


def register_classes_with_keras() -> None:
    """Registers now or, if Keras is not imported yet, right after Keras."""
    if "keras" in sys.modules:
        register_classes()
    else:
        sys.meta_path.insert(0, _AfterKeras())


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Finds Keras in the usual way, and registers after Keras is imported."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname != "keras":
            return None
        sys.meta_path.remove(self)  # Else the next line would call this method.
        spec = importlib.util.find_spec(fullname)
        sys.meta_path.insert(0, self)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_register(module):
            sys.meta_path.remove(self)
            try:
                execute(module)
            except ModuleNotFoundError as error:
                name = (error.name or "").partition(".")[0]
                if name in ("tensorflow", "jax", "torch"):
                    raise ImportError(
                        f"Keras uses the backend {name}, which is not "
                        "installed. Install it, or set the environment "
                        "variable KERAS_BACKEND to tensorflow, jax or torch"
                    ) from error
                raise
            # If `backend` imports Keras, it is not complete yet.
            if "gan_blocks.backend" not in sys.modules:
                register_classes()

        spec.loader.exec_module = execute_and_register
        return spec
