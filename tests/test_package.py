"""The package as a whole: imports, public names, docstrings and examples."""

import ast
import graphlib
import importlib
import inspect
import re
import sys
import textwrap
import warnings
from pathlib import Path

import keras
import pytest

import gan_blocks

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gan_blocks"

# The modules of gan_blocks and the other packages that each module may import.
# A module may only import modules from the rows above, so there is no cycle.
ALLOWED = {
    "_version": ("", ""),
    "_types": ("", ""),
    "_checks": ("", ""),
    "_configurable": ("", ""),
    "_health": ("", ""),
    "_screens": ("", "IPython"),
    "_steps": ("_checks", "keras"),
    "_locks": ("_types", ""),
    "files": ("_locks _types", ""),
    "images": ("_checks _types files", "keras numpy PIL"),
    "backend": ("_types", "keras tensorflow jax torch"),
    "_device": ("backend", ""),
    "_precision": ("", "keras"),
    "replicas": ("_types backend", "keras"),
    "gradients": ("_types backend replicas", "keras"),
    # TensorFlow: faster or more exact operations than those of Keras.
    "layers": ("_checks _types backend replicas", "keras numpy tensorflow"),
    "networks": ("_checks _types layers", "keras"),
    "losses": ("_checks _configurable _types", "keras"),
    "penalties": ("_checks _configurable _types gradients", "keras"),
    "gan": (
        "_checks _steps _types backend gradients losses penalties replicas",
        "keras numpy",
    ),
    "runs": ("_steps _types _version files", "keras"),
    "callbacks": (
        "_checks _device _health _locks _screens _steps _types files images "
        "replicas runs",
        "keras numpy PIL matplotlib tensorflow tensorboard IPython",
    ),
    "samples": ("_checks _types", "numpy PIL sklearn skimage"),
    "toy": ("_checks", "numpy"),
    "datasets": (
        "_checks _screens _types images replicas runs samples",
        "keras numpy PIL pillow_heif tensorflow tensorflow_datasets",
    ),
    "faces": ("_checks _types datasets files", "numpy PIL"),
    "metrics": ("_checks _precision _types files images", "keras numpy PIL"),
    "plan": (
        "_checks _device _precision _screens _types backend datasets gan "
        "layers losses networks penalties replicas",
        "keras numpy",
    ),
    "page": (
        "_checks _health _screens _types _version files gan images layers runs",
        "keras numpy",
    ),
    "cli": (
        "_checks _device _locks _screens _types _version callbacks datasets "
        "files gan images layers losses metrics page penalties plan replicas "
        "runs",
        "keras numpy PIL tensorflow torch",
    ),
    "_registration": ("", ""),
    # Most of these imports are for type checkers only.
    "__init__": (
        "_registration _version callbacks datasets faces gan gradients images "
        "layers losses metrics networks page penalties plan replicas runs "
        "samples toy",
        "",
    ),
    "__main__": ("cli", ""),
}


def module_name(path):
    """Returns the dotted name of a file, for example `gan_blocks.gan`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in PACKAGE.rglob("*.py")}


def imports(path):
    """Yields the dotted names of everything that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {path}"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in FILES else node.module


@pytest.mark.parametrize("row", ALLOWED)
def test_a_module_imports_only_what_its_row_allows(row):
    ours, others = (set(names.split()) for names in ALLOWED[row])
    above = list(ALLOWED)[: list(ALLOWED).index(row)]
    assert ours <= set(above)
    folder = PACKAGE / row
    for path in folder.glob("*.py") if folder.is_dir() else [f"{folder}.py"]:
        for name in imports(Path(path)):
            package, _, module = name.partition(".")
            if package == "gan_blocks":
                assert module, f"{path} imports the root of the package"
                assert module.split(".")[0] in ours | {row}, path
            elif package not in sys.stdlib_module_names:
                assert package in others, path


def test_every_module_has_a_row():
    modules = {path.relative_to(PACKAGE).parts[0] for path in FILES.values()}
    assert {name.removesuffix(".py") for name in modules} == set(ALLOWED)


def test_files_do_not_import_each_other_in_a_cycle():
    graph = {name: {*imports(path)} for name, path in FILES.items()}
    graphlib.TopologicalSorter(graph).prepare()  # Raises a `CycleError`.


# Public names


def reference_pages():
    """Returns the names of the modules that have a page in the reference."""
    pages = sorted((ROOT / "docs" / "reference").glob("*.md"))
    names = re.findall("::: (.+)", "".join(p.read_text() for p in pages))
    return [name.removesuffix(".GAN") for name in names]


PUBLIC_MODULES = reference_pages()


def defined_names(module):
    """Returns the public names that a module defines or a package imports."""
    nodes = ast.parse(FILES[module].read_text()).body
    for node in [node for node in nodes if isinstance(node, ast.If)]:
        nodes += node.body  # `if TYPE_CHECKING`
    names = set()
    for node in nodes:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {n.id for n in node.targets if isinstance(n, ast.Name)}
        elif isinstance(node, ast.AnnAssign):
            names.add(node.target.id)
        elif isinstance(node, ast.ImportFrom):
            # `import name as name` marks a public name, see PEP 484.
            names |= {a.name for a in node.names if a.asname == a.name}
            if FILES[module].name == "__init__.py":
                names |= {
                    alias.name
                    for alias in node.names
                    if node.module.startswith("gan_blocks.")
                    and f"{node.module}.{alias.name}" not in FILES
                }
    return {name for name in names if not name.startswith("_")}


def test_every_public_module_has_a_page_in_the_reference():
    # The root exports the class `GAN` rather than the module `gan`. Only
    # recipes import `cli`.
    names = {*gan_blocks.__all__, "cli"} - {"GAN"} | {"gan"}
    assert {f"gan_blocks.{name}" for name in names} == set(PUBLIC_MODULES)


@pytest.mark.parametrize("name", ["gan_blocks", *PUBLIC_MODULES])
def test_all_is_sorted_and_equals_the_public_names(name):
    module = importlib.import_module(name)
    assert module.__all__ == sorted(module.__all__)
    for public in module.__all__:
        assert getattr(module, public) is not None
    if name != "gan_blocks":  # The root loads its public names lazily.
        assert set(module.__all__) == defined_names(name)


# Docstrings

PUBLIC = {}
for module in map(importlib.import_module, PUBLIC_MODULES):
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isfunction(value) or isinstance(value, type):
            PUBLIC[f"{module.__name__.partition('.')[2]}.{name}"] = value
CLASSES = {n: value for n, value in PUBLIC.items() if isinstance(value, type)}
# Keras documents and calls these methods.
KERAS_METHODS = {
    name
    for base in (
        keras.Layer,
        keras.Model,
        keras.Metric,
        keras.Loss,
        keras.callbacks.Callback,
        keras.layers.Conv2D,
        keras.optimizers.Optimizer,
        keras.utils.PyDataset,
    )
    for name in dir(base)
}


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_class_and_function_has_a_docstring(name):
    summary = PUBLIC[name].__doc__.splitlines()[0]
    assert summary.endswith(".") and len(summary) <= 76


@pytest.mark.parametrize("name", CLASSES)
def test_every_public_class_has_an_example_and_documented_methods(name):
    if name != "cli.Run":  # `cli.start` has its example.
        assert "```python" in CLASSES[name].__doc__
    for method, value in vars(CLASSES[name]).items():
        if inspect.isfunction(value) or isinstance(value, property):
            if not method.startswith("_") and method not in KERAS_METHODS:
                assert inspect.getdoc(getattr(CLASSES[name], method)), method


# Examples

OTHER_TOOLS = {"keras_tuner", "mlflow", "tensorboard", "wandb"}


def code_blocks():
    """Yields the Python examples of all docstrings and pages.

    The pages run on every backend. The docstrings run on one backend, because
    other tests run their classes on every backend.
    """
    fence = re.compile(r"^( *)```python\n(.*?)^ *```", re.M | re.S)
    pages = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
    for path in [*sorted(PACKAGE.rglob("*.py")), *pages]:
        text = path.read_text()
        for match in fence.finditer(text):
            line = text[: match.start()].count("\n") + 2
            code = textwrap.dedent(match[2])
            tools = {tool for tool in OTHER_TOOLS if tool in code}
            long = tools or re.search(
                "train_(classifier|features)|make_plan", code
            )
            slow = long or path in pages[1:]
            marks = [pytest.mark.slow] if slow else []
            if path in pages and not long:
                marks.append(pytest.mark.every_backend)
            yield pytest.param(
                *(path, line, code, tools),
                id=f"{path.relative_to(ROOT)}:{line}",
                marks=marks,
            )


@pytest.mark.filterwarnings("ignore:.*shuffle=True.*:UserWarning")
@pytest.mark.parametrize(("path", "line", "code", "tools"), [*code_blocks()])
def test_every_example_runs(path, line, code, tools, tmp_path, monkeypatch):
    for name in sorted(tools):
        warnings.simplefilter("default")  # Other packages may warn.
        pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    lines = "\n" * (line - 1)  # A traceback then shows the line in the file.
    exec(compile(lines + code, path, "exec"), {"__name__": "example"})
