"""`deletes`: rows of the source that remove their key instead of being stored."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.variations import slow
from tests.workbench import DAY, HOUR, Workbench, iso, limit_slices, table

SCHEMA = {"id": "STRING", "operation": "STRING", "value": "STRING", "ts": "TIMESTAMP"}
DELETE = "operation = 'DELETE'"


def change(
    key: str | None, operation: str | None, at: float, value: str | None = "v"
) -> dict[str, Any]:
    """A row of a log of changes. at: epoch seconds."""
    return {"id": key, "operation": operation, "value": value, "ts": iso(at)}


def changes_of(bench: Workbench, name: str, mode: str, **more: Any) -> dict[str, Any]:
    """The log as the configuration has it."""
    source = f"{bench.dataset}.changes"
    return table(name, source, **{"mode": mode, "deletes": DELETE, "lookback": "2h", **more})


def log(bench: Workbench, *rows: dict[str, Any]) -> None:
    """Append rows to the log."""
    bench.load_source("changes", SCHEMA, rows)


def held(bench: Workbench, name: str) -> dict[str, str | None]:
    """Key -> operation of what Aito holds. Each key must be there once."""
    rows = bench.aito.rows(name)
    found = {each["id"]: each.get("operation") for each in rows}
    assert len(found) == len(rows)
    return found


def settle(bench: Workbench, asked: dict[str, Any]) -> None:
    """Neither the same sync again nor a deep reconcile finds anything to do."""
    again = bench.run_ok(asked)
    assert (again.uploaded, again.deleted, again.repaired) == (0, 0, 0)
    deep = bench.run_ok(asked, action="reconcile", deep=True)
    assert (deep.uploaded, deep.deleted, deep.repaired) == (0, 0, 0)


@pytest.mark.parametrize("mode", ["append", *slow("merge")])
def test_a_log_of_changes(bench: Workbench, mode: str) -> None:
    """Rows go the night that the log says so, however old they are, and once."""
    name = f"deletes_{mode}"
    asked = changes_of(bench, name, mode)
    start = bench.now - 10 * DAY
    log(bench, change("k00", None, start))  # a condition that is NULL deletes nothing
    log(bench, *(change(f"k{i:02}", "INSERT", start + i * HOUR) for i in range(1, 40)))
    log(bench, change("gone", "INSERT", start), change("gone", "DELETE", start + 60, None))
    log(bench, change(None, "DELETE", start + 90))
    first = bench.run_ok(asked)
    assert (first.fetched, first.uploaded, first.deleted) == (43, 40, 0)
    assert first.rejected == 1, "nothing says what a deletion without a key deletes"
    assert [each.code for each in first.warnings] == ["rows_without_key", "rejects"]
    assert held(bench, name) == {"k00": None, **{f"k{i:02}": "INSERT" for i in range(1, 40)}}

    bench.now += DAY
    at = bench.now - 2 * HOUR
    log(
        bench,
        change("k00", "DELETE", at, None),  # ten days old
        change("k39", "DELETE", at + 1, None),
        change("k01", "DELETE", at + 2, None),
        change("k01", "INSERT", at + 3),  # stored again
        change("brief", "INSERT", at + 4),
        change("brief", "DELETE", at + 5, None),  # never seen
        change("never", "DELETE", at + 6, None),
        change("new", "INSERT", at + 7),
    )
    plan = bench.run_ok(asked, dry_run=True)
    assert plan.estimate
    assert plan.estimate["deletions"] == 4
    second = bench.run_ok(asked)
    assert (second.uploaded, second.deleted, second.repaired) == (2, 2, 0)
    assert second.skipped == 4, "k39 and its neighbour, and the keys that Aito never held"
    assert [each.code for each in second.warnings] == []
    wanted = {f"k{i:02}" for i in range(1, 39)} | {"new"}
    assert held(bench, name).keys() == wanted
    assert bench.run_ok(asked, action="reconcile", deep=True, dry_run=True).deleted == 0
    settle(bench, asked)
    assert held(bench, name).keys() == wanted


@pytest.mark.parametrize("mode", ["merge", *slow("append")])
def test_the_order_of_rows_and_deletions(bench: Workbench, mode: str) -> None:
    """Within a second fractions count. At the same moment the deletion is the last.

    A deletion may come before its row, which reaches BigQuery a night later, but is older: it stays
    away.
    """
    name = f"deletes_order_{mode}"
    asked = changes_of(bench, name, mode)
    at = bench.now - HOUR
    log(
        bench,
        change("stays", "DELETE", at + 0.2, None),
        change("stays", "INSERT", at + 0.7),
        change("goes", "INSERT", at + 0.2),
        change("goes", "DELETE", at + 0.7, None),
        change("ties", "INSERT", at + 0.5, "z"),
        change("ties", "DELETE", at + 0.5, "a"),
        change("late", "DELETE", at + 60, None),
    )
    assert bench.run_ok(asked).uploaded == 1
    assert held(bench, name).keys() == {"stays"}
    bench.now += 600
    log(bench, change("late", "INSERT", at + 30))
    log(bench, change("b", "INSERT", bench.now - 60))
    report = bench.run_ok(asked)
    assert (report.uploaded, report.deleted) == (1, 0)
    assert held(bench, name).keys() == {"stays", "b"}
    settle(bench, asked)


@pytest.mark.parametrize("mode", ["merge", *slow("append")])
def test_many_deletions_are_no_loss(bench: Workbench, mode: str) -> None:
    """They are not what delete.max_share guards, also not in the week that follows."""
    name = f"deletes_many_{mode}"
    asked = changes_of(bench, name, mode, keep="30d")
    start = bench.now - 5 * DAY
    log(bench, *(change(f"k{i:03}", "INSERT", start + i * 60) for i in range(200)))
    bench.run_ok(asked)
    bench.now += DAY
    log(bench, *(change(f"k{i:03}", "DELETE", bench.now - HOUR + i) for i in range(120)))
    report = bench.run_ok(asked)
    assert (report.deleted, report.skipped) == (120, 80), "80 rows within lookback stay"
    (*_, run) = sorted(bench.ledger_rows("runs"), key=lambda each: each["started_at"])
    assert (run["deleted"], run["deleted_by_condition"]) == (120, 120)
    bench.sql("DELETE FROM {d}.changes WHERE id IN ('k150', 'k151')")
    gone = bench.run_ok(asked, action="reconcile")
    assert gone.deleted == 2
    assert [each.code for each in gone.warnings] == ["rows_deleted"]
    bench.sql("DELETE FROM {d}.changes WHERE id BETWEEN 'k160' AND 'k190'")
    (refused,) = bench.run(asked, action="reconcile").tables
    assert refused.status == "failed"
    assert "33 of 80 rows are gone from the source" in str(refused.error)


def test_reconcile_deletes_what_a_sync_has_not(bench: Workbench) -> None:
    """Rows that came back into Aito, or that were late by more than the lookback, go."""
    asked = changes_of(bench, "deletes_reconcile", "append")
    at = bench.now - 5 * DAY
    log(bench, *(change(f"k{i:02}", "INSERT", at + i * HOUR) for i in range(20)))
    log(bench, *(change(f"k{i:02}", "DELETE", at + DAY + i) for i in range(5)))
    bench.run_ok(asked)
    for key in ("k01", "k02"):
        lost = {"id": key, "operation": "INSERT", "value": "v", "ts": "x", "at": int(at)}
        bench.aito.insert("deletes_reconcile", [lost])
    planned = bench.run_ok(asked, action="reconcile", dry_run=True)
    assert planned.deleted == 2
    report = bench.run_ok(asked, action="reconcile")
    assert (report.deleted, report.repaired) == (2, 0)
    assert "rows_deleted" not in [each.code for each in report.warnings]
    assert held(bench, "deletes_reconcile").keys() == {f"k{i:02}" for i in range(5, 20)}


@pytest.mark.parametrize("mode", ["append", *slow("merge")])
def test_a_condition_that_is_added(bench: Workbench, mode: str) -> None:
    """All rows are read again, and those of deleted keys go. Without it they come back."""
    name = f"deletes_added_{mode}"
    plain = changes_of(bench, name, mode)
    del plain["deletes"]
    at = bench.now - 3 * DAY
    log(bench, *(change(f"k{i:02}", "INSERT", at + i * HOUR) for i in range(30)))
    log(bench, *(change(f"k{i:02}", "DELETE", at + DAY + i * HOUR) for i in range(15)))
    bench.run_ok(plain)
    assert len(held(bench, name)) == 30
    asked = changes_of(bench, name, mode)
    plan = bench.run_ok(asked, dry_run=True)
    assert plan.estimate
    assert plan.estimate["refresh"] == "the configuration changed: deletes"
    assert bench.run_ok(asked).deleted == 15
    assert len(held(bench, name)) == 15
    settle(bench, asked)
    assert bench.run_ok(plain).uploaded == 15
    assert len(held(bench, name)) == 30


@pytest.mark.parametrize("mode", ["merge", *slow("append")])
def test_several_slices_a_cut_and_a_refresh(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """Keys that are deleted and made anew in other slices; a run that is cut; everything again."""
    limit_slices(monkeypatch, 10)
    name = f"deletes_slices_{mode}"
    asked = changes_of(bench, name, mode)
    start = bench.now - 6 * DAY
    first = [change(f"k{i:03}", "INSERT", start + i * 1000) for i in range(40)]
    log(bench, *first)
    bench.run_ok(asked)
    bench.now += DAY
    at = bench.now - DAY + 60
    log(bench, *(change(f"k{i:03}", "DELETE", at + i * 100) for i in range(0, 40, 2)))
    log(bench, *(change(f"k{i:03}", "INSERT", at + 20_000 + i) for i in range(0, 40, 4)))
    bench.aito.fail("cut", on="delete", times=1, apply="none")
    bench.aito.fail("cut", on="modify", times=1, apply="all")
    for _ in range(4):
        if bench.run(asked, settings={"batch": {"rows": 4}}).status == "ok":
            break
    wanted = {f"k{i:03}" for i in range(40) if i % 2 or not i % 4}
    assert held(bench, name).keys() == wanted
    bench.run_ok(asked, full_refresh=True)
    assert held(bench, name).keys() == wanted
    settle(bench, asked)


def test_a_flag_that_may_be_null(bench: Workbench) -> None:
    """A BOOL column is a condition. NULL deletes nothing; a row may come back."""
    schema = {"id": "STRING", "is_deleted": "BOOL", "amount": "INT64", "ts": "TIMESTAMP"}
    name = "deletes_flag"
    asked = table(name, f"{bench.dataset}.flags", mode="merge", deletes="is_deleted")
    asked["columns"] = {"id": None, "amount": {"nullable": False, "type": "Int"}}

    def put(key: str, flag: bool | None, amount: int | None) -> None:
        bench.sql(f"DELETE FROM {{d}}.flags WHERE id = '{key}'")
        at = iso(bench.now - 60)
        row = {"id": key, "is_deleted": flag, "amount": amount, "ts": at}
        bench.load_source("flags", schema, [row])

    bench.load_source("flags", schema, [])
    for key, flag in (("a", None), ("b", False), ("c", True)):
        put(key, flag, 1)
    bench.run_ok(asked)
    assert bench.aito_keys(name) == ["a", "b"]
    bench.now += DAY
    put("a", True, None)  # a row at fault deletes its key, too
    put("b", True, 2**40)
    put("c", False, 3)
    report = bench.run_ok(asked)
    assert (report.uploaded, report.deleted, report.rejected) == (1, 2, 0)
    assert bench.aito_keys(name) == ["c"]
    assert bench.run_ok(asked, action="reconcile").repaired == 0
    bench.now += DAY
    put("a", None, 4)
    bench.run_ok(asked)
    assert bench.aito_keys(name) == ["a", "c"]


def test_all_rows_are_deleted(bench: Workbench) -> None:
    """The table is empty then, which is no source that shows nothing."""
    asked = changes_of(bench, "deletes_all", "merge")
    log(bench, *(change(f"k{i}", "INSERT", bench.now - DAY + i) for i in range(30)))
    bench.run_ok(asked)
    bench.now += DAY
    log(bench, *(change(f"k{i}", "DELETE", bench.now - HOUR + i) for i in range(30)))
    assert bench.run_ok(asked).deleted == 30
    assert bench.aito.rows("deletes_all") == []
    report = bench.run_ok(asked)
    assert (report.uploaded, report.deleted, report.watermark_after) == (0, 0, None)


def test_a_composite_key_is_deleted(bench: Workbench) -> None:
    """All its parts stand in the row that deletes it."""
    schema = {"o": "STRING", "line": "INT64", "gone": "BOOL", "ts": "TIMESTAMP"}
    asked = table("deletes_lines", f"{bench.dataset}.lines", key=["o", "line"], deletes="gone")

    def line(number: int, gone: bool, at: float) -> dict[str, Any]:
        return {"o": "o1", "line": number, "gone": gone, "ts": iso(at)}

    bench.load_source("lines", schema, [line(n, False, bench.now - DAY) for n in range(4)])
    bench.run_ok(asked)
    bench.load_source("lines", schema, [line(2, True, bench.now - 60)])
    assert bench.run_ok(asked).deleted == 1
    keys = sorted(each["sync_key"] for each in bench.aito.rows("deletes_lines"))
    assert keys == ["o1|0", "o1|1", "o1|3"]


NO_CONDITIONS = {
    "ts": '"ts IS NOT NULL"',
    "operation": "\"operation = 'true'\"",
    "LENGTH(id)": '"LENGTH(id) != 0"',
}


def test_no_condition(bench: Workbench) -> None:
    """A column of another type is refused with a condition that would do, also in a dry run."""
    log(bench, change("a", "INSERT", bench.now - HOUR))
    asked = [
        changes_of(bench, f"deletes_type_{number}", "append", deletes=deletes)
        for number, deletes in enumerate(NO_CONDITIONS)
    ]
    for dry_run in (True, False):
        tables = bench.run(*asked, dry_run=dry_run).tables
        assert [found.status for found in tables] == ["failed"] * 3
        for found, right in zip(tables, NO_CONDITIONS.values(), strict=True):
            assert right in str(found.error)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["append", "merge"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_any_order(bench: Workbench, mode: str, seed: int) -> None:
    """Rows and deletions of a few keys in any order: late, at one moment, twice, in the future.

    Each night Aito holds the keys whose newest row is no deletion.
    """
    dice = random.Random(seed)
    name = f"deletes_any_{mode}_{seed}"
    asked = changes_of(bench, name, mode, lookback="3d", delete={"max_share": 1})
    newest: dict[tuple[str, int], bool] = {}
    for _ in range(5):
        changes = []
        for _ in range(dice.randint(0, 12)):
            age = dice.choice([0, 1, 1, 2, 60, 60, HOUR, DAY, 2 * DAY, -HOUR])
            key, is_deleted = f"k{dice.randint(0, 6)}", dice.random() < 0.4
            moment = bench.now - 1 - age
            changes.append(change(key, "DELETE" if is_deleted else "INSERT", moment))
            newest[key, moment] = is_deleted or newest.get((key, moment), False)
        log(bench, *changes)
        foreseen = bench.run_ok(asked, dry_run=True)
        report = bench.run_ok(asked)
        assert (foreseen.rejected, report.verified) == (report.rejected, True)
        last: dict[str, bool] = {}
        for (key, moment), is_deleted in sorted(newest.items(), key=lambda each: each[0][1]):
            if moment < bench.now:
                last[key] = is_deleted
        kept = sorted(key for key, is_deleted in last.items() if not is_deleted)
        assert bench.aito_keys(name) == kept
        bench.now += dice.choice([HOUR, DAY])
