"""A load reads its source twice, whatever its size: once to count, once to stage all rows."""

from __future__ import annotations

from collections import Counter

import pytest
from google.cloud import bigquery as bigquery_client
from sqlglot import exp

from local import bigquery
from local.stack import Stack
from tests.faults import KillAfter, Killed
from tests.statements import Heard, columns_of, tables_of, tree
from tests.variations import slow
from tests.workbench import (
    DAY,
    HOUR,
    NOW,
    OWN_SCHEMA,
    Row,
    Workbench,
    batches_of,
    limit_slices,
    limit_sorting,
    row,
)

ROWS = 60
STEPS = 80  # more than any run here takes
IN_THE_LOAD = 24  # a step of a run that has sent a few batches from its stage


def rows() -> list[Row]:
    """Rows of several days. Some keys come again days later."""
    found = [row(f"k{i:03}", NOW - 1 - i * 3 * HOUR) for i in range(ROWS)]
    return found + [row(f"k{i:03}", NOW - 600 - i, "again") for i in range(40, 45)]


def stages(bench: Workbench) -> list[str]:
    """The stages in the ledger's dataset."""
    listed = bench.client.list_tables(bench.ledger)
    return [table.table_id for table in listed if table.table_id.startswith("stage_")]


def put(bench: Workbench, layout: str) -> None:
    """Fill the own source in a layout."""
    if layout == "view":
        bigquery.load(bench.client, f"{bench.dataset}.base", OWN_SCHEMA, rows())
        bench.sql("CREATE VIEW `{d}.rows` AS SELECT * FROM `{d}.base`")
    elif layout == "partitioned":
        bigquery.load(bench.client, bench.source, OWN_SCHEMA, rows(), partition_by="at")
    else:
        bigquery.load(bench.client, bench.source, OWN_SCHEMA, rows())
    bench.source_rows = rows()


@pytest.mark.parametrize(
    "layout",
    ["view", "merge", *slow("query", "partitioned", "unpartitioned")],
)
def test_two_statements_read_the_source(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    """One counts by key and cursor, one reads the columns. It is so again in a full refresh.

    No stage stays. Each slice is read from the stage. Two statements take and give the lease: a run
    of seconds renews nothing, however many slices it has.
    """
    limit_slices(monkeypatch, 10)
    if layout == "query":
        bench.table = {"query": f"SELECT id, `at`, value FROM {bench.source}"}
    if layout == "merge":
        bench.mode = "merge"
    put(bench, layout)
    for request in ({}, {"full_refresh": True}):
        heard = Heard(monkeypatch)
        report = bench.run_ok(**request)
        assert report.slices_planned > 5
        *counts, stage = heard.of_source(bench.source)
        # Whether the keys of a view are stable is tried once, by counting a sample again.
        is_tried = layout in ("view", "query") and not request
        assert len(counts) == 1 + is_tried
        if layout != "query":
            assert columns_of(counts[0], bench.source) == {"id", "at"}
            assert_bytes(bench, [counts[0], stage])
        assert isinstance(stage, exp.Create)
        assert stages(bench) == []
        reads = Counter(name for each in heard.texts for name in tables_of(tree(each)))
        assert max(n for name, n in reads.items() if ".stage_" in name) > report.slices_planned
        if request:  # the first run may make the ledger
            assert sum(".leases`" in text for text in heard.texts) == 2


def assert_bytes(bench: Workbench, statements: list[exp.Expr]) -> None:
    """What statements name of the source is at most its columns, its key and its cursor."""
    widths = {"id": 36, "at": 8, "value": 400}
    named = [columns_of(each, bench.source) for each in statements]
    size = sum(widths[name] for columns in named for name in columns)
    assert size <= 1.2 * (sum(widths.values()) + widths["id"] + widths["at"])


def test_a_swap_of_many_rows(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mode `replace` counts once, too, and stages the rows in shards by their hash."""
    limit_slices(monkeypatch, 20)
    bench.mode = "replace"
    for layout in ("unpartitioned", "view"):
        if layout == "view":
            bench.sql(f"DROP TABLE `{bench.source}`")
        put(bench, layout)
        heard = Heard(monkeypatch)
        bench.run_ok()
        assert len(heard.of_source(bench.source)) == 2
        assert stages(bench) == []


def test_a_ledger_elsewhere(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """BigQuery writes no table far from the source. A dry run says what the load costs then."""
    limit_slices(monkeypatch, 20)
    far = bigquery_client.Dataset(f"{bench.stack.project}.far_{bench.name}")
    far.location = "EU"
    bench.client.create_dataset(far)
    bench.put(rows())
    bench.shared_ledger = far.dataset_id
    planned = bench.run(dry_run=True).tables[0]
    (warning,) = [each for each in planned.warnings if each.code == "not_staged"]
    assert "the source is in US and the ledger in EU" in warning.message
    heard = Heard(monkeypatch)
    report = bench.run_ok()
    assert report.slices_planned > 2
    assert len(heard.of_source(bench.source)) == report.slices_planned + 1


@pytest.mark.parametrize("slice_rows", [20, 100])
def test_batches_are_full_across_chunks(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, slice_rows: int
) -> None:
    """A worker sorts four rows, and a batch has ten. One of the slices has a heavy second.

    A single slice is read in chunks, too, without a stage. One key comes twice.
    """
    limit_slices(monkeypatch, slice_rows)
    limit_sorting(monkeypatch, 4)
    bench.settings = batches_of(10)
    found = [row(f"k{i:03}", NOW - 1 - i * 3 * HOUR) for i in range(40)]
    found += [row("k030", NOW - 600, "again")]
    is_staged = slice_rows < len(found)
    if is_staged:
        found += [row(f"s{i}", NOW - 30 * HOUR - 77) for i in range(9)]
    bench.put(found)
    heard = Heard(monkeypatch)
    bench.aito.reset_stats()
    report = bench.run_ok()
    assert report.slices_planned == (4 if is_staged else 1)
    assert bench.aito.total("requests", on="insert") == (8 if is_staged else 4)
    assert len(heard.of_source(bench.source)) == 2
    assert any("stage_" in text for text in heard.texts) == is_staged


def test_one_slice_is_one_query(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A night of one slice stays as it was: nothing is staged."""
    bench.put(rows())
    heard = Heard(monkeypatch)
    bench.run_ok()
    assert not any("stage_" in text for text in heard.texts)
    assert len(heard.of_source(bench.source)) == 2


@pytest.mark.parametrize(
    ("batch", "request_"), [(12, {}), *slow((6, {}), (6, {"full_refresh": True}))]
)
def test_a_load_of_several_calls(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, batch: int, request_: Row
) -> None:
    """Each call reads on from the stage, although the source goes on growing."""
    bench.settings = batches_of(batch)
    limit_slices(monkeypatch, 14)
    bench.put(rows())
    heard = Heard(monkeypatch)
    calls = 0
    report = None
    while report is None or report.status == "partial":
        report = bench.run(stopped=lambda: True, **request_)
        calls += 1
        assert calls < 40
        if report.status == "partial":
            assert len(stages(bench)) == 1
            more = [row(f"m{calls}", NOW + 60 * calls)]
            bigquery.load(bench.client, bench.source, OWN_SCHEMA, more)
            bench.now += 120
    assert (report.status, report.tables[0].verified) == ("ok", True), report.tables[0].error
    assert calls >= ROWS / batch
    assert len(heard.of_source(bench.source)) == 2
    assert stages(bench) == []
    bench.now = NOW  # the end of the window, which is that of the first call
    bench.assert_both_ends_equal()


@pytest.mark.parametrize("trouble", ["killed", "unknown"])
def test_reading_on_after_trouble(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """A call reads on cleanly after one that did not end so. The last compares keys, not counts.

    As many rows are missing as are doubled, so the counts agree.
    """
    bench.settings = batches_of(6)
    limit_slices(monkeypatch, 14)
    bench.put(rows())
    if trouble == "killed":
        assert killed(bench, IN_THE_LOAD)
        bench.expire_leases()
    else:
        bench.aito.fail("cut", on="insert", apply="all")
        assert bench.run(stopped=lambda: True).status == "partial"
    assert bench.run(stopped=lambda: True).status == "partial"
    assert len(stages(bench)) == 1
    oldest, next_one = bench.aito_keys()[:-3:-1]
    bench.aito.double_rows(bench.name, {"id": oldest})
    bench.aito.delete_rows(bench.name, {"id": next_one})
    bench.run_ok()
    bench.assert_both_ends_equal()


def test_stages_that_are_of_no_use(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a change of the configuration, a day, or its expiry, the load begins anew.

    A dry run makes and drops no table. A load drops the stages that are past their time, also those
    of other tables. BigQuery does it by itself, an emulator does not.
    """
    bench.settings = batches_of(14)
    limit_slices(monkeypatch, 14)
    bench.put(rows())
    bench.run(stopped=lambda: True)
    (first,) = stages(bench)
    heard = Heard(monkeypatch)
    assert bench.run_ok(dry_run=True).slices_planned > 2
    assert not any("CREATE TABLE" in text for text in heard.texts)
    assert stages(bench) == [first]
    bench.table = {"where": "TRUE"}
    bench.run(stopped=lambda: True)
    (second,) = stages(bench)
    assert second != first
    bench.now += 2 * DAY + 1
    bench.run(stopped=lambda: True)
    (third,) = stages(bench)
    assert third != second
    for name in ("stage_00000000_other_20200101T000000_abcdef", "stage_00000000_by_hand"):
        bench.sql(f"CREATE TABLE `{bench.ledger}.{name}` AS SELECT 1 AS n")
    bench.run(stopped=lambda: True)
    assert sorted(stages(bench)) == ["stage_00000000_by_hand", third], "it reads on from this one"
    bench.client.delete_table(f"{bench.ledger}.{third}")
    heard.texts.clear()
    bench.run_ok()
    assert sum("CREATE TABLE" in text for text in heard.texts) == 1
    assert stages(bench) == ["stage_00000000_by_hand"]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["append", "merge"])
def test_rows_that_come_while_a_stage_is_read(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """What was sent from a stage is compared, also when the load ends without the stage.

    Their time lies where the stage was read already, and the stage does not hold them.
    """
    bench = Workbench(stack, f"stage_late_{mode}", mode, now=NOW, settings=batches_of(6))
    limit_slices(monkeypatch, 14)
    bench.put(rows())
    for _ in range(2):
        assert bench.run(stopped=lambda: True).status == "partial"
    oldest = min(bench.source_rows, key=lambda each: each["at"])
    bench.put([{**oldest, "id": "late"}])
    for name in stages(bench):
        bench.sql(f"DROP TABLE `{bench.ledger}.{name}`")
    bench.run_until_ok()
    assert "late" in bench.aito_keys()


@pytest.mark.parametrize("mode", ["append", "replace"])
def test_killed_at_every_step(stack: Stack, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """A kill between any two requests loses no row. The next run leaves no stage."""
    bench = begun(stack, monkeypatch, mode, f"killed_at_every_step_{mode}")
    before = bench.aito_rows()
    for step in range(1, STEPS):
        bench.start_over(before)
        if not killed(bench, step):
            assert step > 10
            return
        recovers(bench, step)
    raise AssertionError(f"the run takes over {STEPS} steps")


def test_killed_around_the_stage(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after the stage is made, or once its name is saved, or in the load."""
    bench = begun(stack, monkeypatch, "append", "killed_around_the_stage")
    before = bench.aito_rows()
    bench.start_over(before)
    with KillAfter(request=STEPS) as quiet:
        bench.run()
    made = next(n for n, sent in enumerate(quiet.sent) if "checkpoints" in sent)
    for step in (made, made + 1, made + 4):
        bench.start_over(before)
        assert killed(bench, step)
        assert len(stages(bench)) == 1
        recovers(bench, step)


def begun(stack: Stack, monkeypatch: pytest.MonkeyPatch, mode: str, name: str) -> Workbench:
    """A table with one old row in Aito, and many new ones in the source."""
    bench = Workbench(stack, name, mode, settings=batches_of(20), now=NOW)
    limit_slices(monkeypatch, 20)
    bench.put([row("old", NOW - 40 * DAY)])
    bench.run_ok()
    bench.put(rows())
    return bench


def killed(bench: Workbench, step: int) -> bool:
    """Kill a run after a step. Returns False when the run takes fewer."""
    with KillAfter(request=step):
        try:
            bench.run()
        except Killed:
            return True
    return False


def recovers(bench: Workbench, step: int) -> None:
    """The next runs reach the promised state, and leave no stage."""
    bench.expire_leases()
    bench.run_until_ok(2)
    assert stages(bench) == [], f"killed after step {step}"
