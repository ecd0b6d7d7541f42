"""`ok` means it, from outside: what would surprise weeks later is done, warned of, or refused.

Each case is a table of the configuration. All of them are played at once, because a run over many
tables costs little more than a run over few. `make test` plays each case in one mode with a cursor,
and in mode replace where it applies; `make test-slow` plays it in all its modes.

    command  sync with the first configuration
             the sources and the configuration change
    command  check
    HTTP     sync
    HTTP     reconcile of the tables that refuse to delete
    HTTP     sync of the same, with the words that allow it
    HTTP     watch, and the page
    command  rejects
"""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import pytest
from google.cloud.bigquery import SchemaField

from local import bigquery
from local.stack import Function, Stack
from sync.entry import commands
from tests.entry.conftest import own_handlers
from tests.variations import slow
from tests.workbench import DATASET, FAST, HOUR, Workbench, iso

Settings = dict[str, Any]
MODES = ("append", "merge", "replace")
WITH_CURSOR = MODES[:2]
NOW = int(time.time())
BIG = 2**40
SCHEMA = [
    SchemaField("id", "STRING"),
    SchemaField("at", "TIMESTAMP"),
    SchemaField("value", "STRING"),
    SchemaField("n", "INT64"),
]
PLAIN: Settings = {"id": None, "value": None, "n": {"type": "Int"}}
LONG = {**PLAIN, "n": {"type": "Long"}}
LOUD = {**PLAIN, "loud": {"sql": "UPPER(value)", "type": "String", "nullable": True}}


def row(number: int, seconds: int, **values: Any) -> Settings:
    """A row of a source, so many seconds old."""
    made = {"id": f"k{number:03}", "at": iso(NOW - 60 - seconds), "value": "v", "n": number}
    return {**made, **values}


def hourly(count: int, **values: Any) -> list[Settings]:
    """Rows that are an hour apart, the newest first."""
    return [row(number, number * HOUR, **values) for number in range(count)]


@dataclass(frozen=True)
class Case:
    """One table of the story. rows: of its source. change: SQL that changes the source.

    before, after: settings in the two configurations; after None: the table is taken out.
    source: the case whose source it reads, when it is not its own; then it needs no rows. The
    emulator takes long for statements over a source that is new to it.
    """

    rows: list[Settings]
    before: Settings = field(default_factory=dict)
    after: Settings | None = field(default_factory=dict)
    change: str | None = None
    modes: tuple[str, ...] = MODES
    source: str | None = None


ANY_REJECT = {"rejects": {"max_share": 1}}
CASES: dict[str, Case] = {
    "column": Case([], after={"columns": LOUD}, modes=WITH_CURSOR, source="where"),
    "shared": Case([row(i % 6, i, value=f"order {i}") for i in range(60)]),
    "micros": Case(
        [row(i, 0, n=(NOW - 60 - i) * 1_000_000) for i in range(20)],
        before={"cursor": {"source": "n", "column": "unix"}, "keep": "2d", "columns": {"id": None}},
        after={"cursor": {"source": "n", "unit": "us", "column": "unix"}},
        modes=WITH_CURSOR,
    ),
    "where": Case(
        [row(i, i * HOUR, value=f"v{i % 10}") for i in range(40)],
        after={"where": "value > 'v2'"},
    ),
    "longer": Case(
        [row(i, i * 3 * HOUR) for i in range(40)],
        before={"keep": "2d"},
        after={"keep": "8d"},
        modes=WITH_CURSOR,
    ),
    "shorter": Case(
        [],
        before={"keep": "8d"},
        after={"keep": "1d"},
        modes=WITH_CURSOR,
        source="longer",
    ),
    "mended": Case(
        [row(i, i, n=BIG if i < 3 else i) for i in range(30)],
        before=ANY_REJECT,
        change="UPDATE `{source}` SET n = 1 WHERE n > 1000",
    ),
    "emptied": Case(hourly(30), change="DELETE FROM `{source}` WHERE TRUE"),
    "never": Case([]),
    "deleted": Case(
        hourly(30),
        before={"lookback": "3d"},
        change="DELETE FROM `{source}` WHERE id IN ('k002', 'k003')",
    ),
    "retyped": Case(
        hourly(5), after={"columns": {**PLAIN, "n": {"type": "String"}}}, modes=WITH_CURSOR
    ),
    "refused": Case([row(i, i, n=BIG + i) for i in range(12)], after={"columns": LONG}),
    "keyless": Case(
        [*hourly(20), row(20, 5, id=None), row(21, 0, at=None)],
        before=ANY_REJECT,
        modes=WITH_CURSOR,
    ),
    "removed": Case([], after=None, modes=("append",), source="retyped"),
}
Check = Callable[["Story", str, str], None]
CHECKS: dict[str, Check] = {}
Each = list[tuple[str, str]]  # case and mode
ALL: Each = [(name, mode) for name, case in CASES.items() for mode in case.modes]


def with_one_cursor() -> Each:
    """Append and merge in turns, and replace."""
    turns = {name: WITH_CURSOR[number % 2] for number, name in enumerate(CASES)}
    return [
        (name, mode)
        for name, mode in ALL
        if mode in ("replace", turns[name]) or CASES[name].modes == (mode,)
    ]


def of(name: str) -> Callable[[Check], Check]:
    """What holds for a case, in each of its modes."""

    def keep(check: Check) -> Check:
        CHECKS[name] = check
        return check

    return keep


def table_name(name: str, mode: str) -> str:
    """The table of a case in Aito."""
    return f"means_{name}_{mode}"


def source_of(name: str) -> str:
    """The table in BigQuery that a case reads."""
    return f"{DATASET}.{CASES[name].source or name}"


def configured(name: str, mode: str, settings: Settings) -> Settings:
    """A table of the configuration. Mode replace has no cursor, and nothing that needs one."""
    made: Settings = {"name": table_name(name, mode), "source": source_of(name), "mode": mode}
    made |= {"key": "id", "columns": PLAIN, "cursor": {"source": "at", "column": "unix"}}
    made |= settings
    if mode == "replace":
        for field_name in ("cursor", "lookback", "keep"):
            made.pop(field_name, None)
    return made


def first_tables(each: Each) -> list[Settings]:
    """The first configuration."""
    return [configured(name, mode, CASES[name].before) for name, mode in each]


def second_tables(each: Each) -> list[Settings]:
    """The changed one."""
    return [
        configured(name, mode, {**CASES[name].before, **after})
        for name, mode in each
        if (after := CASES[name].after) is not None
    ]


@dataclass
class Story:
    """What was answered. By table, where it is not said otherwise."""

    stack: Stack
    first: dict[str, Any]
    checked: dict[str, Any]
    second: dict[str, Any]
    reconciled: dict[str, Any]
    allowed: dict[str, Any]
    page: dict[str, Any]
    freshness: dict[str, Any]
    rejects: str  # as printed
    warnings: list[dict[str, str]]  # of the second run as a whole

    def held(self, name: str, mode: str) -> list[Settings]:
        """The rows in Aito."""
        return self.stack.aito.rows(table_name(name, mode))


def command(environ: dict[str, str], *arguments: str) -> str:
    """What a command prints. It runs in this process."""
    printed = io.StringIO()
    with (
        own_handlers(),
        mock.patch.dict("os.environ", environ),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        commands.main(arguments)
    return printed.getvalue()


def by_table(answer: dict[str, Any]) -> dict[str, Any]:
    """The reports of an answer."""
    return {each["table"]: each for each in answer["tables"]}


def play(stack: Stack, each: Each) -> Story:
    """Take all steps once."""
    for name, mode in each:
        if table_name(name, mode) in stack.aito.schema():
            stack.aito.drop_table(table_name(name, mode))
    bench = Workbench(stack, "means")  # nothing is in its dataset and its ledger
    for name, case in CASES.items():
        if case.source is None:
            bigquery.load(bench.client, source_of(name), SCHEMA, case.rows)
    files: dict[str, Any] = {"name": "means.yaml", "ledger": bench.ledger, "aito": FAST}
    environ = stack.environ(stack.configure(tables=first_tables(each), **files))
    first = json.loads(command(environ, "sync", "--json"))
    for name, case in CASES.items():
        if case.change:
            bench.sql(case.change.format(source=source_of(name)))
    stack.configure(tables=second_tables(each), **files)
    checked = json.loads(command(environ, "check", "--json"))
    refusing = [table_name(name, mode) for name, mode in each if name in ("where", "emptied")]
    with Function(environ) as function:
        second = function.post({})[1]
        reconciled = function.post({"action": "reconcile", "tables": refusing})[1]
        allowed = function.post({"tables": refusing, "allow": ["delete"]})[1]
        function.post({"action": "watch"})
        page = function.get("/?format=json")[1]
    told = [each for each in function.logs if each["event"] == "freshness"]
    return Story(
        stack,
        first=by_table(first),
        checked=by_table(checked),
        second=by_table(second),
        reconciled=by_table(reconciled),
        allowed=by_table(allowed),
        page=by_table(page),
        freshness={each["table"]: each for each in told},
        rejects=command(environ, "rejects"),
        warnings=second.get("warnings", []),
    )


def codes(report: dict[str, Any]) -> list[str]:
    """The codes of a table's warnings."""
    return [warning["code"] for warning in report["warnings"]]


def said(report: dict[str, Any]) -> str:
    """The error and the warnings of a table, as one text."""
    return " ".join([report["error"] or "", *(each["message"] for each in report["warnings"])])


@of("column")
def a_column_is_added(story: Story, name: str, mode: str) -> None:
    """The plan says so, and the next sync fills the column of all rows."""
    table = table_name(name, mode)
    planned = story.checked[table]["estimate"]
    assert planned["refresh"] == "the configuration changed: columns"
    assert planned["rows"] == 40
    assert {"bytes", "usd"} <= planned.keys()
    assert story.second[table]["status"] == "ok"
    filled = [(held["loud"], held["value"].upper()) for held in story.held(name, mode)]
    assert len(filled) == 40
    assert all(loud == upper for loud, upper in filled)


@of("shared")
def a_key_that_many_rows_share(story: Story, name: str, mode: str) -> None:
    """The warning has rows, keys and share, and no value, whoever asks."""
    for answer in (story.first, story.checked, story.second):
        report = answer[table_name(name, mode)]
        assert (report["status"], codes(report)) == ("ok", ["keys_collapsed"]), report["error"]
        assert "60 rows of the source have only 6 keys; 54 rows (90%)" in said(report)
        assert "order" not in said(report)
    assert story.first[table_name(name, mode)]["fetched"] == 60


@of("micros")
def a_cursor_in_another_unit(story: Story, name: str, mode: str) -> None:
    """The error names the unit; with it all rows are loaded."""
    table = table_name(name, mode)
    assert story.first[table]["status"] == "failed"
    assert "`unit: us`" in said(story.first[table])
    assert (story.second[table]["status"], story.second[table]["uploaded"]) == ("ok", 20)


@of("where")
def a_condition_is_added(story: Story, name: str, mode: str) -> None:
    """Rows that it hides are not deleted before somebody allows it, and are never `repaired`."""
    table = table_name(name, mode)
    if mode == "replace":
        for answer in (story.checked, story.second):
            assert (answer[table]["deleted"], codes(answer[table])) == (12, ["rows_deleted"])
        return
    for answer in (story.checked, story.second, story.reconciled):
        assert answer[table]["status"] == "failed"
        assert "12 of 40 rows are gone from the source within a week" in said(answer[table])
        assert "--allow delete" in said(answer[table])
    report = story.allowed[table]
    assert (report["status"], report["deleted"], report["repaired"]) == ("ok", 12, 0)
    assert codes(report) == ["rows_deleted"]
    assert len(story.held(name, mode)) == 28


@of("longer")
def a_longer_keep(story: Story, name: str, mode: str) -> None:
    """The older rows are loaded, and the plan says why."""
    table = table_name(name, mode)
    assert story.checked[table]["estimate"]["refresh"] == "the configuration changed: keep"
    assert story.second[table]["status"] == "ok"
    assert len(story.held(name, mode)) == 40


@of("shorter")
def a_much_shorter_keep(story: Story, name: str, mode: str) -> None:
    """The purge is refused with numbers and the words that allow it once."""
    for answer in (story.checked, story.second):
        report = answer[table_name(name, mode)]
        assert report["status"] == "failed"
        assert "32 of 40 rows are older than keep" in said(report)
        assert "--allow purge" in said(report)
    assert len(story.held(name, mode)) == 40


@of("mended")
def rejects_that_were_mended(story: Story, name: str, mode: str) -> None:
    """They are told with their reason, and are not open any more when their rows were taken."""
    table = table_name(name, mode)
    first = story.first[table]
    assert (first["status"], first["rejected"], codes(first)) == ("ok", 3, ["rejects"])
    ((reason, rows),) = [(each["reason"], each["rows"]) for each in first["rejects"]]
    assert (reason.partition(":")[0], rows) == ("n", 3)
    assert str(BIG) not in json.dumps(first)
    assert (story.second[table]["status"], len(story.held(name, mode))) == ("ok", 30)
    assert story.freshness[table]["open_rejects"] == 0
    assert story.page[table]["rejects"] == []
    assert f"{table}:" not in story.rejects


@of("emptied")
def a_source_that_was_emptied(story: Story, name: str, mode: str) -> None:
    """Plan, sync and reconcile fail and delete nothing; `delete` alone does not allow it."""
    for answer in (story.checked, story.second, story.reconciled, story.allowed):
        report = answer[table_name(name, mode)]
        assert report["status"] == "failed"
        assert "the source shows no rows, and Aito holds 30" in said(report)
        assert "--allow empty_source" in said(report)
    assert len(story.held(name, mode)) == 30


@of("never")
def nothing_was_ever_loaded(story: Story, name: str, mode: str) -> None:
    """Each run warns, and the watch reports how long it has been so."""
    table = table_name(name, mode)
    for answer in (story.first, story.checked, story.second):
        assert (answer[table]["status"], codes(answer[table])) == ("ok", ["no_rows"])
    told = story.freshness[table]
    assert told["empty"] is True
    assert told["empty_seconds"] >= 0


@of("deleted")
def rows_that_are_gone_from_the_source(story: Story, name: str, mode: str) -> None:
    """They are counted apart, in the plan as in the run."""
    for answer in (story.checked, story.second):
        report = answer[table_name(name, mode)]
        assert (report["status"], report["deleted"], report["repaired"]) == ("ok", 2, 0)
        assert codes(report) == ["rows_deleted"]
    assert len(story.held(name, mode)) == 28


@of("retyped")
def another_type_of_a_column(story: Story, name: str, mode: str) -> None:
    """It is refused with the command that helps. A swap makes the table anew in any case."""
    table = table_name(name, mode)
    for answer in (story.checked, story.second):
        assert answer[table]["status"] == "failed"
        assert f"reset {table}" in said(answer[table])


@of("refused")
def every_row_is_refused(story: Story, name: str, mode: str) -> None:
    """The error says the reason. When the type is mended, the empty table is made anew."""
    table = table_name(name, mode)
    assert story.first[table]["status"] == "failed"
    assert "12 of 12 rows were rejected" in said(story.first[table])
    assert "n: an integer that does not fit Int" in said(story.first[table])
    assert (story.second[table]["status"], story.second[table]["uploaded"]) == ("ok", 12)


@of("keyless")
def rows_without_key_or_cursor(story: Story, name: str, mode: str) -> None:
    """Both are warned of with their numbers."""
    report = story.first[table_name(name, mode)]
    assert codes(report) == ["rows_without_cursor", "rows_without_key", "rejects"]
    assert "1 row has no id, the key" in said(report)
    assert "1 row has no cursor" in said(report)


@of("removed")
def a_table_left_the_configuration(story: Story, name: str, mode: str) -> None:
    """The run as a whole says it, with what stays in Aito."""
    (warning,) = story.warnings
    assert warning["code"] == "table_removed"
    assert (
        f"keeps its 5 rows until `./aito-sync reset {table_name(name, mode)}`" in warning["message"]
    )


@pytest.mark.parametrize("each", [with_one_cursor(), *slow(ALL)], ids=["one cursor", "all modes"])
def test_ok_means_it(stack: Stack, subtests: pytest.Subtests, each: Each) -> None:
    """Each case does in each of its modes what its function says. One run shows them all."""
    story = play(stack, each)
    for name, mode in each:
        with subtests.test(name, mode=mode):
            CHECKS[name](story, name, mode)
