"""A source that changes before every query: runs end ok, and nothing is deleted that it holds."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from local.stack import Stack
from tests.faults import before_every_query
from tests.variations import slow
from tests.workbench import DAY, HOUR, NOW, RunReport, Workbench, batches_of, limit_slices, row

ROWS = 40


def moving(stack: Stack, name: str, mode: str, **table: Any) -> Workbench:
    """A loaded table of a row an hour, which is read in several batches."""
    settings = {"lookback": "9d", "delete": {"max_share": 1.0}, **table}
    bench = Workbench(stack, name, mode, settings=batches_of(10), table=settings, now=NOW)
    bench.put([row(f"k{i:02}", bench.now - 60 - i * HOUR) for i in range(ROWS)])
    bench.run_ok()
    return bench


def update(bench: Workbench, key: str, at: float, value: str) -> None:
    """Update a row of the source in place."""
    (old,) = [each for each in bench.source_rows if each["id"] == key]
    bench.source_rows.remove(old)
    bench.source_rows.append(row(key, at, value))
    moment = bench.source_rows[-1]["at"]
    bench.sql(
        f"UPDATE `{bench.source}` SET `at` = TIMESTAMP '{moment}', value = '{value}'"
        f" WHERE id = '{key}'"
    )


def is_about_rows(bench: Workbench) -> Any:
    """Whether a query reads the workbench's own table, other than to change it."""
    return lambda text: "WITH " in text and ".rows`" in text


def change(bench: Workbench, kind: str, number: int) -> None:
    """One change of the source. number: of the change, from 0 on."""
    key = f"k{(number * 7 + 3) % ROWS:02}"
    if kind == "late":
        bench.put([row(f"late{number}", bench.now - 90 - (number * 17 % ROWS) * HOUR)])
    elif kind == "deleted":
        bench.delete_from_source([key])
    elif kind == "after the window":
        update(bench, key, bench.now + 30, f"updated {number}")
    elif kind == "to the end":
        update(bench, key, bench.now - 1, f"updated {number}")
    elif kind == "backwards":
        update(bench, key, bench.now - 8 * DAY - number, f"updated {number}")


@pytest.mark.parametrize("action", ["sync", pytest.param("reconcile", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        *(("append", "late"), ("merge", "deleted"), ("merge", "after the window")),
        *slow(("append", "deleted"), ("merge", "late"), ("merge", "to the end")),
        *slow(("merge", "backwards")),
    ],
)
def test_a_change_before_every_query(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, mode: str, kind: str, action: Any
) -> None:
    """Each run ends ok, and Aito holds every key that the source holds at its end.

    After the next quiet run both ends are equal.
    """
    name = f"moving_{mode}_{kind}_{action}".replace(" ", "_")
    bench = moving(stack, name, mode)
    limit_slices(monkeypatch, 15)
    numbers = itertools.count()
    lost: set[str] = set()

    def then() -> None:
        change(bench, kind, next(numbers))

    before = {each["id"] for each in bench.source_rows}
    with pytest.MonkeyPatch.context() as patch:
        before_every_query(patch, is_about_rows(bench), then)
        for _ in range(2):
            report: RunReport = bench.run(action=action)
            assert report.http_status == 200, report.tables[0].error
            in_source = {each["id"] for each in bench.source_rows}
            lost |= (before & in_source) - set(bench.aito_keys())
    assert next(numbers) > 2
    assert not lost
    bench.now += 60
    bench.run_ok(action=action)
