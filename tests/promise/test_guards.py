"""Small guards whose loss nobody would notice at once: each has a test of its own.

`python -m tests.promise.mutants` removes each guard in a copy and shows that its test fails.

The slow ones have a test in tests/unit, too, which fails without the guard.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from local.stack import Stack
from sync.bigquery import BigQuerySource
from sync.bigquery.stage import Stages
from sync.ledger import LeaseTable, LedgerTables
from tests.faults import BAD, refuse_bad_rows
from tests.workbench import HOUR, Clock, Workbench, batches_of, hear_counts, limit_slices, row


class Sleeper:
    """A clock that jumps over the end of every lease when it is told to."""

    def __init__(self, bench: Workbench) -> None:
        self._seconds = 0.0
        self.clock = Clock(
            now=lambda: bench.now, monotonic=lambda: self._seconds, sleep=lambda _: None
        )

    def sleep(self) -> None:
        self._seconds = 1000.0


@pytest.fixture
def server_errors(stack: Stack) -> Iterator[None]:
    """Aito answers 500 to bad rows."""
    refuse_bad_rows(stack.aito)
    stack.aito.refusal_status = 500
    yield
    stack.aito.refuse(None)
    stack.aito.refusal_status = 400


def test_no_swap_without_a_lease(stack: Stack) -> None:
    """The lease ran out while the last rows were sent: readers keep the old table."""
    bench = Workbench(stack, "guard_swap", "replace", settings={"time_budget_seconds": 3000})
    bench.put([row("a", bench.now)])
    bench.run_ok()
    bench.put([row("z", bench.now)])
    sleeper = Sleeper(bench)

    def arrives(document: dict[str, Any]) -> None:
        if document["id"] == "z":
            sleeper.sleep()

    stack.aito.refuse(arrives)
    report = bench.run(clock=sleeper.clock)
    stack.aito.refuse(None)
    assert report.tables[0].status == "partial"
    assert bench.aito_keys() == ["a"]
    bench.run_ok()


@pytest.mark.slow
def test_no_delete_without_a_lease(stack: Stack) -> None:
    """The lease ran out after the comparison: what is gone from the source stays for now."""
    settings = {"time_budget_seconds": 3000}
    bench = Workbench(stack, "guard_delete", settings=settings)
    bench.put([row(f"k{i}", bench.now - 60 - i) for i in range(9)])
    bench.run_ok()
    bench.delete_from_source(["k3"])
    sleeper = Sleeper(bench)

    def hear(event: dict[str, Any]) -> None:
        if event["event"] == "slice_done":
            sleeper.sleep()

    report = bench.run(action="reconcile", clock=sleeper.clock, on_event=hear)
    assert report.tables[0].status == "partial"
    assert len(bench.aito_rows()) == 9
    bench.run_ok(action="reconcile")


@pytest.mark.slow
def test_no_probe_without_a_lease(stack: Stack, server_errors: None) -> None:
    """The lease ran out while Aito failed on a row: no other row is written to test it."""
    settings = {"time_budget_seconds": 3000}
    bench = Workbench(stack, "guard_probe", settings=settings, table={"rejects": {"max_share": 1}})
    bench.put([row(f"k{i}", bench.now - 60 - i) for i in range(5)])
    bench.run_ok()
    bench.put([row("bad", bench.now - 10, BAD)])
    sleeper = Sleeper(bench)
    tries: list[str] = []

    def arrives(document: dict[str, Any]) -> str | None:
        if document["value"] != BAD:
            return None
        tries.append(document["id"])
        if len(tries) == 2:
            sleeper.sleep()
        return "bad"

    stack.aito.refuse(arrives)
    stack.aito.reset_stats()
    report = bench.run(clock=sleeper.clock)
    assert report.tables[0].status == "partial"
    assert stack.aito.total(on="modify") == 0
    refuse_bad_rows(stack.aito)
    bench.run_ok()


@pytest.mark.slow
def test_no_outdated_row_is_deleted_without_a_lease(stack: Stack) -> None:
    """The lease ran out while Aito refused a changed row: its old row in Aito stays for now."""
    settings = {"time_budget_seconds": 3000}
    table = {"rejects": {"max_share": 1}}
    bench = Workbench(stack, "guard_changed", "merge", settings=settings, table=table)
    bench.put([row("a", bench.now - 60)])
    bench.run_ok()
    bench.put([row("a", bench.now - 10, BAD)])
    sleeper = Sleeper(bench)

    def arrives(document: dict[str, Any]) -> str | None:
        sleeper.sleep()
        return "bad" if document["value"] == BAD else None

    stack.aito.refuse(arrives)
    report = bench.run(clock=sleeper.clock)
    assert report.tables[0].status == "partial"
    assert bench.aito_keys() == ["a"]
    refuse_bad_rows(stack.aito)
    assert bench.run_ok().rejected == 1
    assert bench.aito_keys() == []
    stack.aito.refuse(None)


@pytest.mark.slow
def test_a_reject_deletes_outdated_rows_once(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A good row of the rejected key arrives during the run. It is not deleted as outdated.

    Slices are read one by one, as where source and ledger are in different locations: so the run
    sees what arrives.
    """
    limit_slices(monkeypatch, 5)
    monkeypatch.setattr(Stages, "can_hold", lambda *_: False)
    table = {"lookback": "9d", "rejects": {"max_share": 1}}
    bench = Workbench(stack, "guard_outdated", "merge", table=table, settings=batches_of(5))
    bench.put([row(f"k{i}", bench.now - 60 - i * HOUR) for i in range(10)])
    bench.run_ok()
    bench.put([row("k9", bench.now - 8 * HOUR - 30, "Aito fails on it")])
    stack.aito.fail("error", on="modify", times=2)
    # The probe succeeds, and the row fails once more.
    stack.aito.fail("error", on="modify", skip=1)
    arrived: list[str] = []

    def hear(event: dict[str, Any]) -> None:
        if event["event"] == "batch_retried" and not arrived:
            arrived.append("k9")
            bench.put([row("k9", bench.now - 20, "good"), row("last", bench.now - 10)])

    assert bench.run_ok(on_event=hear).rejected == 1
    assert arrived
    assert "k9" in bench.aito_keys()


def test_a_reject_belongs_to_one_slice(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reject at the edge of two slices is missing in one of them: nothing is counted anew."""
    limit_slices(monkeypatch, 1)
    monkeypatch.setattr(Stages, "can_hold", lambda *_: False)
    bench = Workbench(stack, "guard_edge", table={"rejects": {"max_share": 1}})
    edge = bench.now - bench.now % HOUR - 5 * HOUR
    bench.put([row("a", edge - HOUR), row("bad", edge, BAD), row("c", edge + HOUR)])
    refuse_bad_rows(stack.aito)
    counts: list[bool] = []
    hear_counts(monkeypatch, counts.append)
    bench.run_ok()
    stack.aito.refuse(None)
    assert len(counts) == 1


@pytest.mark.slow
def test_a_part_of_a_second_is_not_gone_through(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second with many rows is read in parts by a hash of the key. A stop begins it again."""
    bench = Workbench(stack, "guard_shards", settings=batches_of(5))
    bench.put([row(f"k{i:02}", bench.now - 60) for i in range(12)])
    bench.run_ok()
    limit_slices(monkeypatch, 5)
    monkeypatch.setattr(Stages, "can_hold", lambda *_: False)
    for each in bench.source_rows:
        each["value"] = "new"
    bench.sql(f"UPDATE `{bench.source}` SET value = 'new' WHERE TRUE")
    assert bench.run(full_refresh=True, stopped=lambda: True).status == "partial"
    last = max(bench.ledger_rows("checkpoints"), key=lambda each: each["updated_at"])
    assert last["covered_until"] < bench.now - 60
    bench.run_ok(full_refresh=True)


@pytest.mark.slow
def test_a_heavy_second_is_not_held_in_memory(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its keys are looked up batch by batch: a slice that is read in parts has no index."""
    bench = Workbench(stack, "guard_heavy", settings=batches_of(4))
    bench.put([row(f"k{i:02}", bench.now - 60) for i in range(12)])
    bench.run_ok()
    limit_slices(monkeypatch, 5)
    stack.aito.reset_stats()
    bench.run_ok()
    assert max(entry.rows for entry in stack.aito.log if entry.kind == "search") <= 4


def test_a_small_table_over_some_nights(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards that need no more than nine rows, each in a run of its own."""
    table = {"lookback": "9d", "rejects": {"max_share": 1}}
    bench = Workbench(stack, "guard_small", table=table)
    bench.put([row(f"k{i}", bench.now - 60 - i) for i in range(9)])
    bench.run_ok()

    # A renewal that comes late leaves a lease free that was given back.
    (held,) = bench.ledger_rows("leases")
    leases = LeaseTable(LedgerTables(bench.session(), bench.ledger))
    assert leases.renew(held["run_id"], 1000) == 0

    # With nothing new both ends are found equal without reading the rows again. The newest row is
    # in the fingerprint.
    read: list[object] = []
    batches = BigQuerySource.batches

    def heard(source: BigQuerySource, *rest: Any) -> Any:
        read.append(rest)
        return batches(source, *rest)

    monkeypatch.setattr(BigQuerySource, "batches", heard)
    assert bench.run_ok().skipped == 9
    assert read == []

    # A row that Aito holds twice is sent when its slice is read, and not left to a repair.
    bench.aito.double_rows(bench.name, {"id": "k4"})
    bench.put([row("new", bench.now - 30)])
    report = bench.run_ok()
    assert (report.uploaded, report.repaired) == (2, 0)
    assert read

    # A slice is repaired in the run that rejected a row of it: the row is not tried once more.
    bench.put([row("bad", bench.now - 30, BAD)])
    bench.aito.insert(bench.name, [{**bench.aito_rows()[0], "id": "extra"}])
    refuse_bad_rows(stack.aito)
    report = bench.run_ok()
    stack.aito.refuse(None)
    assert (report.rejected, report.deleted) == (1, 1)
