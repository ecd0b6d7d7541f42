"""What a run reports of a row that went wrong. Its values are in the `rejects` ledger alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from local.stack import Stack
from tests.statements import Heard, tables_of, tree
from tests.variations import slow
from tests.workbench import NOW, RunReport, Workbench, replace_load, row

VALUE = "Anna Canary 1970"


@pytest.fixture(autouse=True)
def refusals_quote_the_row(stack: Stack) -> Iterator[None]:
    """The stand-in refuses rows with the value, and quotes it, as the real one does."""
    stack.aito.refuse(
        lambda document: f"bad is {document}" if VALUE in str(document.get("value")) else None
    )
    yield
    stack.aito.refuse(None)
    stack.aito.refusal_status = 400


def test_calls_of_aito_are_counted(stack: Stack) -> None:
    """Answer and log carry the number of requests that Aito got from the run."""
    bench = Workbench(stack, "told_calls")
    bench.put(row(f"k{i}", bench.now - 30 - i) for i in range(5))
    stack.aito.reset_stats()
    report = bench.run()
    received = stack.aito.total()
    assert received > 0
    assert report.to_json()["aito_calls"] == received
    assert bench.event("run_done")["aito_calls"] == received
    assert report.tables[0].aito_calls == received
    assert [run["aito_calls"] for run in bench.ledger_rows("runs")] == [received]


def test_calls_for_all_tables_are_counted_once(stack: Stack) -> None:
    """The ledger's rows of a run add up to what Aito got, evaluations included."""
    bench = Workbench(stack, "told_calls_two", settings={"time_budget_seconds": 600})
    bench.put(row(f"k{i}", bench.now - 30 - i) for i in range(5))
    evaluate = {"evaluate": [{"name": "e", "predict": "value", "given": ["id"]}]}
    first, second = bench.table_config() | evaluate, bench.table_config()
    second["name"] = "told_calls_other"
    stack.aito.reset_stats()
    report = bench.run(first, second)
    assert report.status == "ok"
    assert sum(run["aito_calls"] for run in bench.ledger_rows("runs")) == report.aito_calls
    assert report.aito_calls == stack.aito.total() + 1  # which does not count GET /version
    assert all(table.aito_calls > 3 for table in report.tables)


def everything_reported(bench: Workbench, report: RunReport) -> str:
    """Every log line, the answer, and the run's row in the ledger."""
    runs = bench.sql(f"SELECT * FROM `{bench.ledger}.runs`")
    assert runs
    assert bench.events
    return json.dumps([bench.events, report.to_json(), runs], default=str)


@pytest.mark.parametrize("status", [400, 500, *slow(404, 409, 422)])
def test_refused_by_aito(stack: Stack, status: int) -> None:
    """However Aito words it, key and values of a refused row reach no log line, answer or run.

    The ledger keeps the rejected row whole.
    """
    stack.aito.refusal_status = status
    bench = Workbench(stack, f"told_refused_{status}", table={"rejects": {"max_share": 0.5}})
    bench.put(
        [
            row(f"key of {VALUE}", bench.now - 20, VALUE),
            *(row(f"k{i}", bench.now - 30 - i) for i in range(5)),
        ]
    )
    report = bench.run()
    assert VALUE not in everything_reported(bench, report)
    blamed = status in (400, 422, 500)
    assert (report.http_status == 200) == blamed
    assert [VALUE in r["document"] and VALUE in r["reason"] for r in bench.rejects()] == [
        True
    ] * blamed


def test_refused_before_it_is_sent(stack: Stack) -> None:
    """A number that does not fit is in the ledger, and in no log line."""
    columns = {
        "id": None,
        "at": None,
        "value": None,
        "number": {"sql": "IF(id = 'a', 3000000123, 1)", "type": "Int"},
    }
    bench = Workbench(
        stack, "told_number", table={"columns": columns, "rejects": {"max_share": 0.5}}
    )
    bench.put([row("a", bench.now - 20), row("b", bench.now - 10)])
    report = bench.run()
    assert (report.status, report.tables[0].rejected) == ("ok", 1)
    assert "3000000123" not in everything_reported(bench, report)
    assert "3000000123" in bench.rejects()[0]["document"]


def test_a_query_that_fails_on_a_value(stack: Stack) -> None:
    """BigQuery quotes the value that it could not convert. The message says where to read it."""
    columns = {"id": None, "number": {"sql": "CAST(value AS FLOAT64)", "type": "Decimal"}}
    bench = Workbench(stack, "told_query", table={"columns": columns})
    bench.put([row("b", bench.now - 10, "7")])

    def hear(event: dict[str, Any]) -> None:
        if (
            event["event"] == "table_planned"
        ):  # not before: the emulator reads rows in a dry run, which BigQuery does not
            bench.put([row("a", bench.now - 20, VALUE)])

    report = bench.run(on_event=hear)
    assert report.http_status == 500
    assert "see the job: `bq show" in str(report.tables[0].error)
    assert VALUE not in everything_reported(bench, report)


def test_an_unexpected_error(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its class and its place are reported, not its text, which may hold a row."""

    def broken(*_: object) -> None:
        raise ValueError(VALUE)

    replace_load(monkeypatch, broken)
    bench = Workbench(stack, "told_unforeseen")
    bench.put([row("a", bench.now - 20)])
    report = bench.run()
    assert report.http_status == 500
    assert "internal error: ValueError at test_run_report.py" in str(report.tables[0].error)
    assert VALUE not in everything_reported(bench, report)


def test_a_dry_run_prices_the_ledger(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The statements of the sync that follows are as many. Each table of one costs 10 MB."""
    bench.put([row("a", NOW - 20)])
    bench.run_ok()
    planned = bench.run(dry_run=True).to_json()
    heard = Heard(monkeypatch)
    bench.run_ok()
    prefix = f"{bench.ledger}."
    named = [tables_of(tree(text)) for text in heard.texts]
    tables = sum(name.startswith(prefix) for statement in named for name in statement)
    assert planned["ledger"] == {"bytes": tables * 10 * 2**20, "usd": 0.000298}
    evaluated = {**bench.table_config(), "evaluate": [{"name": "e", "predict": "value"}]}
    more = bench.run(evaluated, dry_run=True).to_json()["ledger"]["bytes"]
    assert more == planned["ledger"]["bytes"] + 10 * 2**20


def test_a_dry_run_estimates_a_month_of_calls(stack: Stack) -> None:
    """By the usual schedule at first, by the ledger's runs after a week. Near 5,000 it warns."""
    bench = Workbench(stack, "told_month")
    bench.put(row(f"k{i}", bench.now - 30 - i) for i in range(5))
    planned = bench.run(dry_run=True).to_json()
    assert planned["tables"][0]["estimate"]["aito_calls"] == 7
    month = planned["aito_calls_a_month"]
    assert 100 < month["calls"] < 250
    assert "each night" in month["basis"]
    received = bench.run_ok().aito_calls
    assert 5 <= received <= 9
    bench.sql(
        f"UPDATE `{bench.ledger}.runs` SET aito_calls = 1500,"
        " started_at = TIMESTAMP_SUB(started_at, INTERVAL 10 DAY) WHERE TRUE"
    )
    report = bench.run(dry_run=True)
    assert report.monthly_calls is not None
    assert report.monthly_calls.near_limit
    assert 4500 < report.monthly_calls.calls < 4600
    (warning,) = report.warnings
    assert warning.code == "aito_calls"
    assert "10 days; a sandbox of Aito has 5,000" in warning.message
    assert bench.run(dry_run=True, action="reconcile").monthly_calls is None
