"""The house: a folder is a layer, and imports between folders run one way."""

from __future__ import annotations

import ast
import functools
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "sync"
# The folders that connect to the world. They know the model, and app.py alone knows them.
ADAPTERS = {"bigquery", "aito", "ledger", "gcp"}
# Layer -> the layers it may import. `app.py` and `__main__.py` are layers of their own, named by
# the file.
MAY_IMPORT = {
    "base": set(),
    "config": {"base"},
    "model": {"config", "base"},
    **{adapter: {"model", "config", "base"} for adapter in ADAPTERS},
    "pipeline": {"evaluation", "model", "config", "base"},
    "evaluation": {"model", "config", "base"},
    "status": {"model", "config", "base"},
    "app": {"pipeline", "evaluation", "status", *ADAPTERS, "model", "config", "base"},
    "entry": {"app", "pipeline", "evaluation", "status", "model", "config", "base"},
    "__main__": {"entry"},
}
# Foreign library -> the layers that speak it.
FOREIGN = {
    "google": {"bigquery", "gcp"},
    "aito": {"aito"},
    "requests": {"bigquery"},
    "certifi": {"aito"},
    "urllib3": {"aito"},
    "orjson": {"bigquery"},
    "pybase64": {"bigquery"},
    "google_crc32c": {"gcp"},
    "pydantic": {"config", "entry"},
    "pydantic_core": {"config", "entry"},
    "yaml": {"config"},
    "cloudevents": {"entry"},
    "jinja2": {"status"},
    "click": {"entry"},
    "rich": {"entry"},
    "flask": {"entry"},
}
IMPURE = {"os", "io", "socket", "subprocess", "time", "random", "threading", "tempfile", "http"}
FILES = sorted(PACKAGE.rglob("*.py"))


def layer(path: Path) -> str:
    """The folder below sync/ that holds a file, or the file's own name."""
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else path.stem


@functools.cache
def imported(path: Path) -> frozenset[str]:
    """Every module that a file imports, also inside functions and under TYPE_CHECKING."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute"
            assert node.module
            bare = node.module in ("sync", "local")
            found |= {f"{node.module}.{a.name}" for a in node.names} if bare else {node.module}
    return frozenset(found)


def layers_imported(path: Path) -> set[str]:
    """The layers of sync/ that a file imports. The version belongs to no layer."""
    names = imported(path) - {"sync.__version__"}
    return {name.split(".")[1] for name in names if name.startswith("sync.")}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_every_folder_is_a_known_layer() -> None:
    """A new folder gets its directions here, or none."""
    known = {layer(path) for path in FILES} - {"__init__"}
    assert known == set(MAY_IMPORT), "add a new folder to ADAPTERS or to MAY_IMPORT"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_run_one_way(path: Path) -> None:
    """A layer imports itself and the layers that the table allows. Only app imports an adapter."""
    own = layer(path)
    assert layers_imported(path) - {own} - MAY_IMPORT.get(own, set()) == set()


def test_no_layer_imports_itself_in_a_circle() -> None:
    """Modules of one folder import each other one way, too."""
    modules = {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in FILES}
    graph = {
        name: {other for other in imported(path) if other in modules and other != name}
        for name, path in modules.items()
    }
    done: set[str] = set()
    while free := {name for name in graph.keys() - done if graph[name] <= done}:
        done |= free
    assert graph.keys() - done == set()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_one_layer_for_each_foreign_library(path: Path) -> None:
    """What is neither Python's nor ours is imported where the table says."""
    roots = {module.split(".")[0] for module in imported(path)}
    foreign = roots - set(sys.stdlib_module_names) - {"sync"}
    assert {root for root in foreign if layer(path) not in FOREIGN.get(root, set())} == set()


@pytest.mark.parametrize("path", [path for path in FILES if layer(path) == "model"], ids=name_of)
def test_the_model_is_pure(path: Path) -> None:
    """No clock, file, network, thread or chance."""
    assert {module.split(".")[0] for module in imported(path)} & IMPURE == set()


def test_nobody_imports_main() -> None:
    """main.py only connects the HTTP server to the entry layer."""
    for path in (*FILES, *(ROOT / "local").rglob("*.py")):
        assert "main" not in imported(path), path


def test_stand_ins_do_not_import_the_product() -> None:
    """What local/ says is right must not be what the code under test believes is right."""
    for path in (ROOT / "local").rglob("*.py"):
        assert not layers_imported(path), path
        assert "sync" not in imported(path), path
