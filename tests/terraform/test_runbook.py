"""docs/runbook.md: every alarm has its heading, and what is to be typed exists."""

from __future__ import annotations

import ast
import json
import re
from typing import get_args

import pytest

from sync.base import errors
from sync.entry.commands import cli
from sync.model.report import WarningCode
from tests.terraform.test_text import declared
from tests.terraform.tools import ROOT, Plan

TEXT = (ROOT / "docs" / "runbook.md").read_text()
ALARMS = TEXT.split("## Alarms")[1].split("\n## Errors")[0]
OPERATIONS = TEXT.split("## Operations")[1]


@pytest.fixture(scope="module")
def made(planned: Plan) -> Plan:
    """The plan of the example values."""
    return planned


def sections(text: str) -> dict[str, str]:
    """Heading -> what stands under it."""
    parts = re.split(r"^### (.+)$", text, flags=re.M)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_every_alarm_has_its_heading(made: Plan) -> None:
    """The title of an alarm is a heading of the runbook, and there is no heading without one."""
    name = made.one("google_cloudfunctions2_function.sync")["name"]
    titles = {
        str(alarm.values["display_name"]).removeprefix(f"{name}: ")
        for alarm in made.of("google_monitoring_alert_policy")
    }
    assert set(sections(ALARMS)) == titles


@pytest.mark.parametrize("title", list(sections(ALARMS)))
def test_every_alarm_is_explained(title: str) -> None:
    """What it means, how to look, what to type, what not to do."""
    words = ("**Means.**", "**Look.**", "**Type.**", "**Do not**")
    assert [word for word in words if word not in sections(ALARMS)[title]] == []


@pytest.mark.parametrize(
    "what",
    [
        *("Pause", "Remove a table", "Rename a table", "Re-key", "Backfill a range"),
        *("Replay rejects", "Move to another Aito database", "Restore after a lost ledger"),
        *("Restore after a lost Aito table", "Rotate the key", "Upgrade", "Roll back"),
        "A second environment",
    ],
)
def test_every_operation_is_there(what: str) -> None:
    """Each operation has its section, with a command."""
    assert "`" in sections(OPERATIONS)[what]


def test_commands_of_the_sync_exist() -> None:
    """Each `./aito-sync COMMAND` is one of the command line's."""
    typed = set(re.findall(r"\./aito-sync (\w+)", TEXT))
    assert typed
    assert typed <= set(cli.commands)


def test_every_warning_is_explained() -> None:
    """The runbook's table of warnings has each code, and no other."""
    rows = re.findall(r"^\| (`.*?) \|", sections(ALARMS)["a warning"], re.M)
    explained = {name for cell in rows for name in re.findall(r"`(\w+)`", cell)}
    assert explained == set(get_args(WarningCode))


def test_every_reason_is_explained() -> None:
    """The table of errors has each class of error that may end a table, and no other."""
    table = TEXT.split("\n## Errors")[1].split("## Operations")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.M)
    explained = {name for cell in rows for name in re.findall(r"`(\w+)`", cell)}
    groups = {"BadRequest", "SyncError"}  # a request's, and the root
    classes = [c for c in vars(errors).values() if isinstance(c, type)]
    known = {c.__name__ for c in classes if issubclass(c, errors.SyncError)}
    assert explained == known - groups


def test_outputs_and_variables_exist() -> None:
    """Each `terraform output` and each `-var` is one of the deployment's."""
    outputs = set(re.findall(r"terraform output (?:-raw )?(\w+)", TEXT))
    assert outputs <= set(declared("output", "outputs.tf"))
    variables = set(re.findall(r"-var (\w+)=", TEXT))
    assert variables <= set(declared("variable", "variables.tf"))


def test_names_in_commands_are_those_of_the_plan(made: Plan) -> None:
    """Jobs, topics, subscriptions and secrets that are typed are made by the plan."""
    planned = {
        str(value)
        for resource in made.resources
        for key in ("name", "secret_id", "dataset_id")
        if (value := resource.values.get(key))
    }
    patterns = (
        r"scheduler jobs \w+ ([\w-]+)",
        r"topics publish ([\w-]+)",
        r"subscriptions pull ([\w-]+)",
        r"FROM (\w+)\.\w+ ORDER",
    )
    typed = {name for pattern in patterns for name in re.findall(pattern, TEXT)}
    assert typed <= planned, typed - planned


def test_ledger_columns_exist() -> None:
    """Each column that a query asks the ledger for is one of its table."""
    for columns, table in re.findall(r"SELECT ([\w, `]+) FROM aito_sync\.(\w+)", TEXT):
        path = ROOT / "sync" / "ledger" / f"{table}.json"
        known = {column["name"] for column in json.loads(path.read_text())}
        assert set(columns.replace("`", "").split(", ")) <= known, table


def test_messages_are_requests() -> None:
    """Each message to publish is JSON with the fields of a request."""
    fields = {"action", "tables", "dry_run", "full_refresh", "deep", "allow", "since", "until"}
    messages = re.findall(r"--message='(\{.*?\})'", TEXT)
    assert messages
    for message in messages:
        assert set(ast.literal_eval(message)) <= fields


def test_every_link_has_its_heading() -> None:
    """A link within the runbook leads somewhere."""
    headings = re.findall(r"^#+ (.+)$", TEXT, re.M)
    anchors = {re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") for head in headings}
    assert set(re.findall(r"\]\(#([\w-]+)\)", TEXT)) <= anchors
