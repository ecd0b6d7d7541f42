"""The house: imports run downwards only, each foreign library has its module, and the way to the upload is short."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# From the ground up. A module may import modules of the layers above its own line here, and of its own layer those that
# stand before it. A new module is put where it belongs; if it fits nowhere, it does two things.
LAYERS = {
    "ground": ("errors", "log", "clock", "termination", "mistakes"),
    "settings": ("settings", "crosschecks", "yamlfile", "config"),
    "pure": ("window", "schema", "sql", "batches", "report", "request", "judgement", "question", "reasons"),
    "ports": ("ports",),
    "adapters": ("wire", "warehouse", "source", "secret", "transport", "target", "ledger", "topic"),
    "verbs": (
        "ahead",
        "lease",
        "plan",
        "send",
        "reconcile",
        "load",
        "purge",
        "replace",
        "evaluation",
        "watch",
        "status",
    ),
    "page": ("page",),
    "run": ("run",),
    "doors": ("__main__",),
}
# Foreign library -> the modules that speak it, and why when it is more than one.
FOREIGN = {
    "google": {"warehouse", "source", "ledger", "secret", "topic", "run"},  # one service each; run names the client
    "aito": {"transport", "target"},  # the client, and the classes of its requests
    "requests": {"wire", "warehouse"},  # BigQuery's client sends by it and raises its exceptions
    "certifi": {"transport"},
    "urllib3": {"transport"},
    "orjson": {"wire"},
    "google_crc32c": {"secret"},
    "pydantic": {"settings", "config"},
    "pydantic_core": {"settings", "config"},
    "yaml": {"yamlfile"},
    "cloudevents": {"request"},
    "jinja2": {"page"},
}
OUTSIDE = {"os", "io", "socket", "subprocess", "time", "random", "threading", "pathlib", "tempfile", "urllib", "http"}
PLACE = {name: (level, n) for level, names in enumerate(LAYERS.values()) for n, name in enumerate(names)}
LAYER = {name: layer for layer, names in LAYERS.items() for name in names}


def imported(path: Path) -> set[str]:
    """Every module that a file imports, inside functions as well; `from sync import x` is `sync.x`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute"
            assert node.module
            own = node.module in ("sync", "local")
            found |= {f"{node.module}.{alias.name}" for alias in node.names} if own else {node.module}
    return found


def ours(path: Path) -> set[str]:
    """The modules of sync/ that a file imports."""
    return {name.split(".")[1] for name in imported(path) if name.startswith("sync.")}


MODULES = {path.stem: path for path in sorted((ROOT / "sync").glob("*.py")) if path.stem != "__init__"}


def test_every_module_has_its_place() -> None:
    """None is missing in the table above, and none in it is gone."""
    assert set(MODULES) == set(PLACE)


@pytest.mark.parametrize("name", MODULES)
def test_imports_run_downwards(name: str) -> None:
    """No module imports one that stands above it; verbs see adapters through the ports."""
    assert [other for other in ours(MODULES[name]) if PLACE[other] >= PLACE[name]] == []
    if LAYER[name] == "verbs":
        assert [other for other in ours(MODULES[name]) if LAYER[other] == "adapters"] == []


@pytest.mark.parametrize("name", MODULES)
def test_one_module_for_each_foreign_library(name: str) -> None:
    """What is neither Python's nor ours is spoken where the table says."""
    roots = {module.split(".")[0] for module in imported(MODULES[name])} - set(sys.stdlib_module_names) - {"sync"}
    assert [root for root in roots if name not in FOREIGN.get(root, set())] == []


@pytest.mark.parametrize("name", [*LAYERS["pure"], "ports"])
def test_the_middle_is_pure(name: str) -> None:
    """No clock, no file, no network, no thread, no chance."""
    assert {module.split(".")[0] for module in imported(MODULES[name])} & OUTSIDE == set()


def test_nobody_imports_the_door() -> None:
    """main.py only wires; it knows the run, what a request is, and the ground."""
    for path in (*MODULES.values(), *(ROOT / "local").glob("*.py")):
        assert "main" not in imported(path), path
    assert {LAYER[name] for name in ours(ROOT / "main.py")} <= {"ground", "pure", "page", "run"}


def test_the_stand_ins_know_nothing_of_us() -> None:
    """local/ imports nothing of sync/: what it says is right is not what the code under test thinks is right."""
    for path in (ROOT / "local").glob("*.py"):
        assert not ours(path), path
        assert not any(name == "sync" for name in imported(path)), path


def test_from_the_door_to_the_upload_in_five_files() -> None:
    """main -> run -> load -> send -> target; the last step is through a port."""
    assert "run" in ours(ROOT / "main.py")
    assert "load" in ours(MODULES["run"])
    assert "send" in ours(MODULES["load"])
    assert "target.insert(" in MODULES["send"].read_text(encoding="utf-8")
    assert "def insert(" in MODULES["target"].read_text(encoding="utf-8")


def test_functions_fit_in_a_head() -> None:
    """The median function of the core has at most ten lines, and none more than sixty."""
    lengths = []
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                lengths.append(((node.end_lineno or 0) - node.lineno + 1, f"{name}.{node.name}"))
    lengths.sort()
    assert lengths[len(lengths) // 2][0] <= 10
    assert lengths[-1][0] <= 60, lengths[-3:]
