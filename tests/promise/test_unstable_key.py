"""Keys that change from one reading to the next are refused before anything is loaded."""

from __future__ import annotations

from typing import Any

import pytest

from sync.bigquery import BigQuerySource
from sync.model.ports import SourceTable
from tests.variations import slow
from tests.workbench import HOUR, Workbench, iso, table

SCHEMA = {"name": "STRING", "ts": "TIMESTAMP"}


def put(bench: Workbench, rows: int) -> None:
    """So many rows, an hour apart."""
    made = [{"name": f"n{i}", "ts": iso(bench.now - 60 - i * HOUR)} for i in range(rows)]
    bench.load_source("things", SCHEMA, made)


def query(bench: Workbench, name: str, text: str, **more: Any) -> dict[str, Any]:
    """A table whose rows are those of a SELECT."""
    asked = table(name, "", query=text.format(t=f"{bench.dataset}.things"), **more)
    del asked["source"]
    return asked


def refusals(bench: Workbench, *asked: dict[str, Any]) -> list[str]:
    """The errors of a sync of these tables, which must be those of the dry run, too.

    Nothing is made.
    """
    planned = bench.run(*asked, dry_run=True).tables
    found = bench.run(*asked).tables
    assert {report.status for report in (*planned, *found)} == {"failed"}
    errors = [str(report.error) for report in found]
    assert [str(report.error) for report in planned] == errors
    assert not bench.aito.schema().keys() & {each["name"] for each in asked}
    return errors


@pytest.mark.parametrize("mode", ["merge", *slow("append")])
def test_functions_in_the_text(bench: Workbench, mode: str) -> None:
    """In a query, a view, or the SQL of a column: the message names the key and the function."""
    put(bench, 30)
    random = "SELECT GENERATE_UUID() AS id, * FROM {t}"
    numbered = "SELECT ROW_NUMBER() OVER (ORDER BY ts DESC) AS id, * FROM {t}"
    made = {"id": {"sql": "CONCAT(name, GENERATE_UUID())"}, "name": None}
    of_random, of_numbered, of_column = refusals(
        bench,
        query(bench, "unstable_random", random, mode=mode),
        query(bench, "unstable_numbered", numbered, mode=mode),
        table("unstable_column", f"{bench.dataset}.things", mode=mode, columns=made),
    )
    assert "the key id is made by GENERATE_UUID()" in of_random
    assert "key: [order_id, line]" in of_random
    assert "the key id is made by ROW_NUMBER() over all rows" in of_numbered
    assert "GENERATE_UUID()" in of_column


def test_rows_of_chance(bench: Workbench) -> None:
    """A sample by RAND() or TABLESAMPLE is refused with a sample by the key, which can be pasted.

    In a query, a view, and `where`.
    """
    put(bench, 30)
    source = f"{bench.dataset}.things"
    bench.sql("CREATE VIEW {d}.sampled AS SELECT * FROM {d}.things WHERE RAND() < 0.5")
    sampled = "SELECT * FROM {t} TABLESAMPLE SYSTEM (10 PERCENT)"
    of_query, of_view, of_where = refusals(
        bench,
        query(bench, "unstable_sample", sampled, key="name"),
        table("unstable_view", f"{bench.dataset}.sampled", key="name"),
        table("unstable_where", source, key="name", where="RAND() < 0.5"),
    )
    assert "TABLESAMPLE shows other rows" in of_query
    assert "RAND()" in of_view
    assert "RAND() shows other rows at each reading" in of_where
    right = of_where.partition("such as ")[2]
    bench.run_ok(table("unstable_where", source, key="name", where=right))


def test_views(bench: Workbench) -> None:
    """A function, or a number of rows, is seen in the text of the inner views, also under another
    name. Two readings of rows that have not changed show no number: it is made in the same way.

    Behind a join two readings show the function.
    """
    put(bench, 30)
    bench.sql("CREATE VIEW {d}.random AS SELECT GENERATE_UUID() AS id, * FROM {d}.things")
    joined = "SELECT n.* FROM {d}.random AS n JOIN {d}.things AS t ON n.name = t.name"
    bench.sql(f"CREATE VIEW {{d}}.joined AS {joined}")
    bench.sql(
        "CREATE VIEW {d}.inner_rows AS SELECT ROW_NUMBER() OVER (ORDER BY MOD(LENGTH(name), 2))"
        " AS n, * FROM {d}.things"
    )
    bench.sql("CREATE VIEW {d}.middle_rows AS SELECT * FROM {d}.inner_rows WHERE name != ''")
    bench.sql(
        "CREATE VIEW {d}.outer_rows AS SELECT CAST(n AS STRING) AS id, ts FROM {d}.middle_rows"
    )
    middle = f"{bench.dataset}.middle_rows"
    made = {"id": {"sql": "CONCAT('k', CAST(n AS STRING))"}, "name": None}
    by_text, by_readings, of_view, of_query, of_column = refusals(
        bench,
        table("unstable_view", f"{bench.dataset}.random"),
        table("unstable_joined", f"{bench.dataset}.joined"),
        table("unstable_outer", f"{bench.dataset}.outer_rows"),
        query(bench, "unstable_query", f"SELECT n AS id, ts FROM {middle}"),
        table("unstable_column", middle, columns=made),
    )
    assert "the key id is made by GENERATE_UUID()" in by_text
    assert "two readings of the same rows gave other keys" in by_readings
    assert "the key id is made by a value that is made anew" in of_view
    assert "the key id is made by" in of_query
    assert "the key id is made by" in of_column
    stable = query(bench, "stable_outer", f"SELECT name AS id, ts FROM {middle}")
    assert bench.run_ok(stable).uploaded == 30


def test_two_readings(bench: Workbench) -> None:
    """What the text does not show, a second count of the newest rows does: of a part, too.

    A key that becomes unstable is refused with the change; Aito keeps its rows.
    """
    put(bench, 150)
    hidden = "SELECT id, name, ts FROM (SELECT *, GENERATE_UUID() AS u, name AS id FROM {t})"
    bench.run_ok(query(bench, "unstable_later", hidden))
    view = "CREATE VIEW {d}.inner_view AS SELECT GENERATE_UUID() AS part, * FROM {d}.things"
    bench.sql(view)
    joined = f"FROM {bench.dataset}.inner_view v JOIN {{t}} t ON v.name = t.name"
    changed = query(bench, "unstable_later", f"SELECT v.part AS id, v.name, v.ts {joined}")
    of_part = query(bench, "unstable_part", f"SELECT v.* {joined}", key=["name", "part"])
    (told,) = refusals(bench, of_part)
    assert "the key name and part is not stable" in told
    (found,) = bench.run(changed).tables
    assert "two readings" in str(found.error)
    assert len(bench.aito.rows("unstable_later")) == 150


def test_stable_keys_are_counted_once_more_at_first(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first run of a query has one small query more, which a table does not need.

    The first count of a plain table makes no fingerprint of its keys: nobody compares it. A table
    that is swapped needs no stable key.
    """
    put(bench, 30)
    asked = query(bench, "stable", "SELECT name AS id, ts FROM {t}")
    plan = bench.run_ok(asked, dry_run=True)
    assert plan.estimate
    assert "bytes" in plan.estimate
    plain = table("plain", f"{bench.dataset}.things", key="name")
    swapped = query(bench, "swapped", "SELECT GENERATE_UUID() AS id, * FROM {t}", mode="replace")
    del swapped["cursor"]
    found: list[tuple[bool, int]] = []
    histogram = BigQuerySource.histogram

    def counted(source: BigQuerySource, described: SourceTable, *rest: Any) -> Any:
        counts = histogram(source, described, *rest)
        found.append((described.keys_may_change, counts.buckets[0].fingerprint))
        return counts

    monkeypatch.setattr(BigQuerySource, "histogram", counted)
    first = bench.run(plain, asked, swapped).tables
    assert [(report.status, report.uploaded) for report in first] == [("ok", 30)] * 3
    of_plain, of_query = (
        [one for may_change, one in found if may_change is each] for each in (False, True)
    )
    assert of_plain[0] == 0
    assert of_query[0] != 0
    assert bench.run_ok(asked).uploaded == 0
