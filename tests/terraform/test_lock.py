"""The lock of the function's packages: complete, hashed, and the one that is installed."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
import re
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType

import pytest

from tests.terraform.tools import ROOT


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dependencies", ROOT / ".ci" / "dependencies.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


dependencies = _load()
SOURCE = (ROOT / "requirements.in").read_text()
COMMAND_LINE = (ROOT / "requirements-cli.in").read_text()
LOCK = (ROOT / "requirements.txt").read_text()


def test_the_lock_is_made_of_the_requirements() -> None:
    """Each package of requirements.in is locked in its version; each locked one has a hash."""
    assert dependencies.problems(SOURCE, LOCK) == []
    cli_lock = (ROOT / "requirements-cli.txt").read_text()
    assert dependencies.problems(COMMAND_LINE, cli_lock) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("pydantic==", "pydantic==9"), "pydantic: "),
        (("flask  ", "flusk  "), "flusk: in requirements.in, not in requirements.txt"),
    ],
)
def test_a_lock_that_was_not_made_anew_is_found(change: tuple[str, str], problem: str) -> None:
    """A changed requirements.in asks for a new lock, by the package's name."""
    found = dependencies.problems(SOURCE.replace(*change, 1), LOCK)
    assert any(text.startswith(problem) for text in found)


def test_a_package_without_a_hash_is_found() -> None:
    """pip would refuse the whole file: the check names the package."""
    bare = re.sub(r"(?m)^pyyaml==(\S+)( \\\n +--hash=\S+)+", r"pyyaml==\1", LOCK)
    assert dependencies.problems(SOURCE, bare) == ["pyyaml: no hash"]


def test_an_index_in_the_lock_is_found() -> None:
    """The lock works with every index, so it names none."""
    assert dependencies.problems(SOURCE, LOCK + "--extra-index-url x\n")


class Database(BaseHTTPRequestHandler):
    """Answers as api.osv.dev does: one package has two vulnerabilities."""

    def do_POST(self) -> None:
        """POST /v1/querybatch."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        names = [query["package"]["name"] for query in json.loads(body)["queries"]]
        bad = {"vulns": [{"id": "GHSA-2"}, {"id": "GHSA-1"}]}
        results = [bad if name == "flask" else {} for name in names]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"results": results}).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_known_vulnerabilities_are_found() -> None:
    """Each package of the lock is looked up in one request; where nobody answers, it is said."""
    packages = {name: version for name, (version, _) in dependencies.locked(LOCK).items()}
    with ThreadingHTTPServer(("127.0.0.1", 0), Database) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        found = dependencies.vulnerabilities(packages, url)
        server.shutdown()
    assert found == [f"flask {packages['flask']}: GHSA-1, GHSA-2"]
    assert dependencies.vulnerabilities(packages, "http://127.0.0.1:9") is None


def test_a_licence_that_binds_its_users_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package under the GPL fails, unless it is accepted with a reason."""
    assert [name for name in dependencies.locked(LOCK) if dependencies.copyleft(name)] == []
    monkeypatch.setattr(dependencies, "ACCEPTED_LICENCES", {})
    assert [name for name in dependencies.locked(LOCK) if dependencies.copyleft(name)] == ["ndjson"]


def test_every_requirement_has_its_reason() -> None:
    """Each line of requirements.in ends with why the package is needed."""
    lines = [line for line in SOURCE.splitlines() if line and not line.startswith("#")]
    assert all("#" in line for line in lines)


def test_every_imported_package_is_listed() -> None:
    """main.py and sync/ import nothing that requirements.in does not list.

    What the command line alone imports is in requirements-cli.in.
    """
    provided = importlib.metadata.packages_distributions()
    listed = set(dependencies.wanted(SOURCE)) | set(dependencies.wanted(COMMAND_LINE))
    missing = {}
    for name in sorted(_imported()):
        top = name.split(".")[0]
        if top in sys.stdlib_module_names or top == "sync":
            continue
        owners = _owners(name) or {dependencies.normal(d) for d in provided.get(top, [])}
        if not owners & listed:
            missing[name] = owners
    assert not missing


def _imported() -> set[str]:
    """Every module that main.py and sync/ import, at any depth."""
    found: set[str] = set()
    for path in [ROOT / "main.py", *(ROOT / "sync").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _owners(name: str) -> set[str]:
    """The packages of a shared namespace (google.*) that hold a module."""
    if not name.startswith("google."):
        return set()
    parts = name.split(".")
    by_folder = {
        "google.api_core": "google-api-core",
        "google.auth": "google-auth",
        "google.oauth2": "google-auth",
        "google.cloud.bigquery": "google-cloud-bigquery",
        "google.cloud.pubsub_v1": "google-cloud-pubsub",
        "google.cloud.secretmanager_v1": "google-cloud-secret-manager",
    }
    prefixes = [".".join(parts[:size]) for size in (2, 3)]
    return {by_folder[prefix] for prefix in prefixes if prefix in by_folder}


def test_the_project_reads_what_a_person_wrote() -> None:
    """pyproject.toml takes its dependencies from requirements.in: a lock is no library's need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["dynamic"]["dependencies"] == {"file": ["requirements.in"]}
