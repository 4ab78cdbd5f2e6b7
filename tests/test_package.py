"""The package as a whole: its exports, its imports and its documentation."""

import ast
import pkgutil
import re
import sys
import textwrap
import warnings
from pathlib import Path

import pytest

import gan_blocks

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gan_blocks"

# Who may import whom: other packages, and modules of ours.
ALLOWED = {
    "replicas": "keras tensorflow torch jax",
    "layers": "keras numpy replicas",
    "networks": "keras layers",
    "losses": "keras",
    "gradients": "keras tensorflow torch jax replicas",
    "penalties": "keras gradients",
    "gan": "keras numpy losses penalties gradients replicas",
    "images": "numpy PIL",
    "callbacks": "keras numpy IPython tensorboard images replicas __version__",
    "datasets": "keras numpy PIL tensorflow tensorflow_datasets images samples",
    "samples": "numpy PIL sklearn skimage",
    "faces": "keras numpy PIL images",
    "metrics": "keras numpy images",
    "page": "images callbacks __version__",
    "cli": "keras numpy tensorflow torch GAN callbacks datasets images metrics "
    "page replicas",
}


def modules():
    return [name for _, name, _ in pkgutil.iter_modules([str(PACKAGE)])]


def files(module):
    folder = PACKAGE / module
    return list(folder.glob("*.py")) if folder.is_dir() else [f"{folder}.py"]


def imports(path):
    """Yields the names of the packages, or modules of ours, imported."""
    for node in ast.walk(ast.parse(Path(path).read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.module == "gan_blocks":
                names = [f"gan_blocks.{alias.name}" for alias in node.names]
            else:
                names = [node.module]
        else:
            continue
        for name in names:
            parts = name.split(".")
            yield parts[1] if parts[0] == "gan_blocks" else parts[0]


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_what_its_place_allows(module):
    allowed = {module, *ALLOWED[module].split()}
    for path in files(module):
        found = set(imports(path)) - set(sys.stdlib_module_names)
        # Where TensorFlow's own kernels are right, or faster, unlike Keras'.
        if Path(path).name in ("convolution.py", "normalization.py"):
            found.discard("tensorflow")
        assert found <= allowed, path


def test_exports_are_sorted_and_there():
    assert gan_blocks.__all__ == sorted(gan_blocks.__all__)
    for name in gan_blocks.__all__:
        assert getattr(gan_blocks, name) is not None


def code_blocks():
    """Yields where it stands and the code, of docstrings and of pages.

    Pages are tried on every backend, docstrings on one: what they describe is
    tested on every backend elsewhere.
    """
    fence = re.compile(r"^( *)```python\n(.*?)^ *```", re.M | re.S)
    pages = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
    for path in [*sorted(PACKAGE.rglob("*.py")), *pages]:
        text = path.read_text()
        for match in fence.finditer(text):
            line = text[: match.start()].count("\n") + 2
            code = textwrap.dedent(match[2])
            tools = re.findall("keras_tuner|mlflow|tensorboard|wandb", code)
            portable = path in pages and not tools
            yield pytest.param(
                *(path, line, code, tools),
                id=f"{path.relative_to(ROOT)}:{line}",
                marks=[pytest.mark.every_backend] if portable else [],
            )


@pytest.mark.filterwarnings("ignore:.*shuffle=True.*:UserWarning")
@pytest.mark.parametrize(("path", "line", "code", "tools"), [*code_blocks()])
def test_every_code_block_runs_as_it_stands(
    path, line, code, tools, tmp_path, monkeypatch, capsys
):
    for name in tools:
        warnings.simplefilter("default")  # Theirs are not ours to mend.
        pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    lines = "\n" * (line - 1)  # So that a traceback shows where it stands.
    exec(compile(lines + code, path, "exec"), {"__name__": "example"})


def public_objects():
    for module in map(gan_blocks.__dict__.get, gan_blocks.__all__):
        if isinstance(module, type):
            yield module
            continue
        for name, value in vars(module).items():
            if not name.startswith("_") and callable(value):
                if getattr(value, "__module__", "").startswith("gan_blocks"):
                    yield value


@pytest.mark.parametrize(
    "thing",
    sorted(set(public_objects()), key=lambda thing: thing.__name__),
    ids=lambda thing: thing.__name__,
)
def test_everything_public_says_what_it_is_and_has_an_example(thing):
    text = thing.__doc__
    assert text.splitlines()[0].endswith((".", "?")), text
    if thing is not gan_blocks.gradients.apply:
        assert "```python" in text or "pullback" in text
