"""`conformance`: one line a check, JSON for a program, and an exit status for a script."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from local.stack import Stack
from tests.entry.conftest import Inside

TABLE = {
    "name": "conforms",
    "source": "conforms.rows",
    "key": "id",
    "cursor": {"source": "at", "column": "unix"},
}
EXPIRY = "expiry"  # the check that waits 15 minutes


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer rows in the checks of long answers."""
    monkeypatch.setattr("sync.aito.checks.tables.MANY", 2000)


@pytest.fixture
def environ(stack: Stack) -> Iterator[dict[str, str]]:
    """A configuration, and the stand-in's default behaviour before and after."""
    stack.aito.switches.reset()
    fast = {"requests_per_second": 100_000}
    path = stack.configure(name="conforms.yaml", tables=[TABLE], ledger="conforms", aito=fast)
    yield stack.environ(path)
    stack.aito.switches.reset()


def checks(answer: dict[str, Any], outcome: str) -> list[str]:
    """The names of the checks with an outcome."""
    return [check["check"] for check in answer["checks"] if check["outcome"] == outcome]


def test_one_line_a_check(stack: Stack, inside: Inside, environ: dict[str, str]) -> None:
    """Everything passes on the stand-in. No table is left, and the exit status is 0."""
    before = set(stack.aito.schema())
    done = inside(environ, "conformance")
    assert done.returncode == 0, done.stdout
    *lines, summary = done.stdout.splitlines()
    assert len(lines) > 20
    assert [line for line in lines if not line.startswith("PASS     ")] == [
        "UNKNOWN  expiry: not waited for: it takes 15 minutes, with --wait"
    ]
    assert summary.startswith(f"{len(lines) - 1} PASS, 0 DIFFERS, 1 UNKNOWN; http://")
    assert "build 1.0.0-local" in summary
    assert set(stack.aito.schema()) == before


def test_a_difference(stack: Stack, inside: Inside, environ: dict[str, str]) -> None:
    """One thing is otherwise: DIFFERS on that line alone, with what follows, and status 1."""
    stack.aito.switches.null_booleans = "false"
    done = inside(environ, "conformance")
    assert done.returncode == 1
    found = [line for line in done.stdout.splitlines() if line.startswith("DIFFERS")]
    assert len(found) == 1
    assert found[0].startswith("DIFFERS  null in a Boolean column: ")


def test_json(stack: Stack, inside: Inside, environ: dict[str, str]) -> None:
    """`--json` has the build, the date, and what was assumed and found. Lines go to stderr."""
    stack.aito.switches.types = "lower"
    done = inside(environ, "conformance", "--json")
    assert done.returncode == 1
    answer = json.loads(done.stdout)
    assert (answer["build"], answer["differs"]) == ("1.0.0-local", True)
    assert datetime.fromisoformat(answer["date"]).tzinfo is not None
    assert checks(answer, "DIFFERS") == ["spelling of types"]
    assert checks(answer, "UNKNOWN") == [EXPIRY]
    assert set(answer["checks"][0]) == {"check", "outcome", "assumed", "found", "otherwise"}
    assert len(done.stderr.splitlines()) == len(answer["checks"])


def test_read_only(stack: Stack, inside: Inside, environ: dict[str, str]) -> None:
    """`--read-only` writes nothing, and a read-only key is enough."""
    key = {"AITO_API_KEY": stack.aito.read_only_key}
    done = inside({**environ, **key}, "conformance", "--read-only")
    assert done.returncode == 0, done.stdout
    assert "PASS     schema lists tables" in done.stdout
    assert stack.aito.total("writes") == 0


def test_a_wrong_key(inside: Inside, environ: dict[str, str]) -> None:
    """The checks do not begin: one sentence and status 1."""
    done = inside({**environ, "AITO_API_KEY": "wrong"}, "conformance")
    assert (done.returncode, done.stdout) == (1, "")
    assert "wrong" not in done.stderr
    assert "Aito" in done.stderr
