"""A notebook whose outputs a test can read."""

import sys
import types


def fake_notebook(monkeypatch):
    """Replaces IPython. Returns a list of all calls and what they showed."""
    shown = []

    class Handle:
        def update(self, content, raw=False):
            shown.append(("update", content))

    def display(content, raw=False, display_id=None):
        assert display_id is True
        shown.append(("display", content))
        return Handle()

    module = types.ModuleType("IPython")
    module.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    module.display = types.ModuleType("IPython.display")
    module.display.display = display
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setitem(sys.modules, "IPython.display", module.display)
    return shown
