"""The same engine from a shell: progress for a person, JSON for a program, an exit status for a
script.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from google.cloud.bigquery import SchemaField

import sync
from local import bigquery
from local.stack import Stack
from sync.entry import commands
from tests.entry.conftest import Inside
from tests.workbench import DATASET, Workbench

NOBODY = "http://127.0.0.1:1"  # nobody listens there
ROOT = Path(__file__).parents[2]
SCHEMA = [SchemaField("id", "STRING"), SchemaField("at", "TIMESTAMP")]
TABLE = {
    "name": "cli_table",
    "source": f"{DATASET}.rows",
    "key": "id",
    "cursor": {"source": "at", "column": "at_unix"},
}


@pytest.fixture
def environ(bench: Workbench) -> dict[str, str]:
    """A source of three rows and a configuration for it."""
    rows = [{"id": str(i), "at": f"2024-01-0{i + 1}T00:00:00Z"} for i in range(3)]
    bigquery.load(bench.client, bench.source, SCHEMA, rows)
    if "cli_table" in bench.aito.schema():
        bench.aito.drop_table("cli_table")
    path = bench.stack.configure(name="cli.yaml", tables=[TABLE], ledger=bench.ledger)
    return bench.stack.environ(path)


def shell(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a person would."""
    return subprocess.run(
        [sys.executable, "-m", "sync", *arguments],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_check_then_sync(stack: Stack, environ: dict[str, str], inside: Inside) -> None:
    """`check` prints plan and price and writes nothing; `sync --json` loads and prints the
    contract's answer. The first is a process of its own.
    """
    schema = stack.aito.schema()
    stack.aito.reset_stats()
    checked = shell(environ, "check")
    assert checked.returncode == 0, checked.stderr
    assert "ok      Aito" in checked.stdout
    assert "the key may write" in checked.stdout
    assert "+ table cli_table with 3 columns is made" in checked.stdout
    assert re.search("id +String, from STRING", checked.stdout)
    assert re.search("at +String, from TIMESTAMP", checked.stdout)
    assert "  cursor at, TIMESTAMP\n" in checked.stdout
    assert re.search("at_unix +Int, at in epoch seconds", checked.stdout)
    assert "+ 3 rows to read" in checked.stdout
    assert "$0.0" in checked.stdout
    assert checked.stdout.endswith("Nothing was written.\n")
    assert stack.aito.total("writes") == 0
    assert stack.aito.total(on="modify") == 1  # asks once whether the key may write
    assert stack.aito.schema() == schema

    done = inside(environ, "sync", "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["tables"][0]["uploaded"] == 3
    assert stack.aito.count("cli_table") == 3
    events = [
        json.loads(line)["event"] for line in done.stderr.splitlines() if line.startswith("{")
    ]
    assert events[0] == "run_started"
    assert events[-1] == "run_done"


def test_check_goes_on_past_a_part(stack: Stack, inside: Inside, environ: dict[str, str]) -> None:
    """Each part has its line. The first that cannot be used does not hide the next ones."""
    refused = inside({**environ, "AITO_API_KEY": stack.aito.read_only_key}, "check")
    assert refused.returncode == 1
    assert "ok      key          AITO_API_KEY" in refused.stdout
    assert "failed  Aito         POST /api/v1/data/_modify: 401" in refused.stdout
    assert "read-write key" in refused.stdout
    assert "No table was planned" in refused.stdout
    none = inside({**environ, "SECRET_MANAGER_EMULATOR_HOST": NOBODY, "AITO_API_KEY": ""}, "check")
    assert none.returncode == 3
    assert "ok      ledger" in none.stdout
    assert "failed  key" in none.stdout


def test_check_as_json(stack: Stack, inside: Inside, environ: dict[str, str]) -> None:
    """`--json` holds the parts and the plan, and nothing else is on stdout."""
    done = inside(environ, "check", "--json")
    body = json.loads(done.stdout)
    assert [part["part"] for part in body["parts"]] == [
        "credentials",
        "BigQuery",
        "ledger",
        "key",
        "Aito",
    ]
    assert all(part["ok"] for part in body["parts"])
    estimate = body["tables"][0]["estimate"]
    names = ("name", "type", "source_type")
    assert [estimate["columns"][0][name] for name in names] == ["id", "String", "STRING"]
    assert estimate["rows"] == estimate["keys"]
    assert 5 <= estimate["aito_calls"] <= 9
    assert 100 < body["aito_calls_a_month"]["calls"] < 250


def test_plain_lines_without_a_terminal(inside: Inside, environ: dict[str, str]) -> None:
    """A script sees plain sentences on stderr, and no event that the result repeats."""
    done = inside(environ, "sync")
    assert done.returncode == 0
    assert re.fullmatch(r"cli_table: \d rows? to read\n", done.stderr)
    assert "cli_table: ok, verified" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (
            ("sync", "--tables", "nowhere"),
            2,
            "no table 'nowhere' in the configuration; it has cli_table",
        ),
        (("watch", "--deep"), 2, "--deep goes with the action reconcile"),
        (
            ("sync", "--tables", "cli_tabel", "other"),
            2,
            "no table 'cli_tabel' in the configuration; did you mean 'cli_table'?; no table",
        ),
        (("sync", "--since", "yesterday"), 2, "--since must be an ISO 8601 date or time"),
        (("check", "--allow", "purge,all"), 2, "--allow must be one or more of purge, delete"),
        (("reconcile", "--wait"), 2, "'--wait' goes with the commands sync and watch"),
        (("status", "--tables", "cli_tabel"), 2, "did you mean 'cli_table'?"),
        (("check", "cli_tabel"), 2, "did you mean 'cli_table'?"),
        (("reconcile", "--full-refresh"), 2, "--full-refresh goes with the action sync"),
    ],
)
def test_wrong_requests(
    inside: Inside, environ: dict[str, str], arguments: tuple[str, ...], status: int, says: str
) -> None:
    """A wrong request ends with 2 and a sentence, not with a traceback."""
    done = inside(environ, *arguments)
    assert done.returncode == status
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_configuration(inside: Inside, environ: dict[str, str], tmp_path: Path) -> None:
    """A wrong file ends with 2 and every mistake; a missing one says where it was looked for."""
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("aito: {url: ftp://x}\nledger: l\ntabels: []\n")
    done = inside({**environ, "SYNC_CONFIG": str(wrong)}, "check")
    assert done.returncode == 2
    assert "tabels" in done.stderr
    assert "aito.url" in done.stderr
    missing = inside({**environ, "SYNC_CONFIG": str(tmp_path / "none.yaml")}, "check")
    assert missing.returncode == 2
    assert "none.yaml" in missing.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["snyc"], "Did you mean 'sync'?"),
        (["sync", "--dryrun"], "Did you mean '--dry-run'?"),
        (["conformance", "web"], "unexpected extra argument (web)"),
        (["sync", "--tables"], "'--tables' requires an argument"),
    ],
)
def test_slips_in_the_command(
    capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    """A misspelt command or flag ends with 2, and the one that was probably meant."""
    assert commands.main(arguments) == 2
    assert says in capsys.readouterr().err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` says the version of the package."""
    assert commands.main(["--version"]) == 0
    assert capsys.readouterr().out == f"bigquery-to-aito {sync.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--tables", "a", "b", "--deep"],
        ["--tables", "a,b", "--deep"],
        ["--tables", "a", "--tables", "b", "--deep"],
        ["--deep", "--tables", "a", "b"],
        ["--tables=a", "--tables=b", "--deep"],
        ["a", "b", "--deep"],
        ["a,b", "--deep"],
        ["a", "--deep", "--tables", "b"],
    ],
)
def test_ways_to_name_tables(arguments: list[str]) -> None:
    """Names may follow each other, be joined by commas, or each have the flag."""
    whole = click.Context(commands.cli, **commands.cli.context_settings)
    command = commands.cli.commands["reconcile"]
    context = command.make_context("reconcile", list(arguments), parent=whole)
    fields = commands._fields("reconcile", context.params)
    assert (fields["tables"], fields["deep"]) == (["a", "b"], True)


def test_the_file_may_be_named(inside: Inside, environ: dict[str, str], tmp_path: Path) -> None:
    """`--config`, before or after the command, is taken instead of SYNC_CONFIG."""
    here = environ["SYNC_CONFIG"]
    elsewhere = {**environ, "SYNC_CONFIG": str(tmp_path / "none.yaml")}
    for arguments in (("--config", here, "runs"), ("runs", "--config", here)):
        done = inside(elsewhere, *arguments)
        assert done.returncode == 0, done.stderr
        assert "cli_table:" in done.stdout


def test_what_the_ledger_knows(inside: Inside, bench: Workbench) -> None:
    """`status`, `runs` and `rejects` show the facts of the page, as text and as JSON."""
    fields = [*SCHEMA, SchemaField("number", "INT64")]
    rows = [
        {"id": str(i), "at": f"2024-01-0{i + 1}T00:00:00Z", "number": 2**40 if i == 1 else i}
        for i in range(3)
    ]
    bigquery.load(bench.client, bench.source, fields, rows)
    columns = {"id": {}, "number": {"type": "Int"}}
    table = {**TABLE, "name": "cli_facts", "columns": columns}
    table["rejects"] = {"max_share": 1}
    path = bench.stack.configure(name="cli_facts.yaml", tables=[table], ledger=bench.ledger)
    environ = bench.stack.environ(path)
    assert "no run yet" in inside(environ, "runs").stdout
    assert inside(environ, "sync").returncode == 0

    status = inside(environ, "status")
    assert (status.returncode, status.stderr) == (0, "")
    assert "cli_facts: ok; newest row" in status.stdout
    assert status.stdout.count("1 row was rejected; `./aito-sync rejects`") == 1
    assert "verified " in status.stdout
    assert status.stdout.count(" rejected") == 1
    assert "sync ok (run " in inside(environ, "runs").stdout
    runs = inside(environ, "runs", "--json")
    (found,) = json.loads(runs.stdout)["tables"]
    assert (found["table"], found["last_run"]["uploaded"]) == ("cli_facts", 2)
    rejects = inside(environ, "rejects", "cli_facts").stdout
    assert "cli_facts: 1 row, last " in rejects
    assert "number" in rejects
    assert str(2**40) not in rejects


def test_failure_ends_with_one(stack: Stack, inside: Inside, environ: dict[str, str]) -> None:
    """A table that failed ends with 1, a run that can be continued with 3."""
    stack.aito.fail("forbidden", on="any", times=None)
    assert inside(environ, "sync").returncode == 1
    stack.aito.heal()
    stack.aito.fail("migrating", on="any", times=None)
    assert inside(environ, "sync").returncode == 3


EVALUATIONS = [{"name": name, "predict": "kind", "given": ["id"]} for name in ("kind", "again")]


def with_evaluations(bench: Workbench, name: str) -> dict[str, str]:
    """A source of 25 rows, and a table of it with two evaluations. -> the environment."""
    fields = [*SCHEMA, SchemaField("kind", "STRING")]
    rows = [{"id": str(i), "at": f"2024-01-{i + 1:02}T00:00:00Z", "kind": "x"} for i in range(25)]
    bigquery.load(bench.client, bench.source, fields, rows)
    table = {**TABLE, "name": name, "evaluate": EVALUATIONS}
    path = bench.stack.configure(name=f"{name}.yaml", tables=[table], ledger=bench.ledger)
    return bench.stack.environ(path)


def test_waiting_for_evaluations(bench: Workbench, inside: Inside) -> None:
    """`sync --wait` ends when the evaluations that it started have ended, and prints them."""
    done = inside(with_evaluations(bench, "cli_wait"), "sync", "--wait", "--json")
    assert done.returncode == 0, done.stderr
    evaluations = json.loads(done.stdout)["evaluations"]
    assert [each["name"] for each in evaluations] == ["kind", "again"]
    for each in evaluations:
        assert (each["table"], each["running"]) == ("cli_wait", None)
        assert each["latest"]["accuracy"] == 1.0


def test_watch_waits_too(bench: Workbench, inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """`watch --wait` collects and starts what is open or due. What still runs ends with 3."""
    environ = with_evaluations(bench, "cli_watch")
    bench.aito.job_seconds = 3600
    assert inside(environ, "sync").returncode == 0
    with monkeypatch.context() as patch:
        patch.setattr("sync.app.WAIT_SECONDS", 0.1)
        waited = inside(environ, "watch", "--wait")
    bench.aito.job_seconds = 0
    assert waited.returncode == 3
    assert "evaluation kind: running" in waited.stdout
    bench.aito.advance(3600)
    done = inside(environ, "watch", "--wait")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("accuracy 1.000") == 2


def test_retention(bench: Workbench, inside: Inside, environ: dict[str, str]) -> None:
    """A table without `evaluate` is a wrong request; with it a dry run shows the price."""
    refused = inside(environ, "retention", "cli_table")
    assert refused.returncode == 2
    assert "a study needs `cursor` and `evaluate`" in refused.stderr
    evaluation = {"name": "id", "predict": "id", "given": ["at"], "cases": 50}
    asked = {**TABLE, "evaluate": [evaluation]}
    path = bench.stack.configure(name="cli.yaml", tables=[asked], ledger=bench.ledger)
    configured = bench.stack.environ(path)
    assert inside(configured, "sync").returncode == 0
    planned = inside(
        configured, "retention", "cli_table", "--keep", "1d", "--keep", "2d", "--dry-run"
    )
    assert planned.returncode == 0, planned.stderr
    assert "2 jobs, one at a time: about 12 Aito calls" in planned.stdout
    shown = inside(configured, "retention", "cli_table", "--show")
    assert (shown.returncode, shown.stdout) == (0, "cli_table: no study yet\n")
    wrong = inside(configured, "retention", "cli_table", "--keep", "soon", "--dry-run")
    assert wrong.returncode == 2
    assert "'--keep' must be a duration" in wrong.stderr
