"""Which columns a table has: all with some overrides, and what a source's changes bring."""

from __future__ import annotations

import pytest

from local.stack import Stack
from tests.workbench import Row, Workbench, iso

SCHEMA = {
    "id": "STRING",
    "ts": "TIMESTAMP",
    "path": "STRING",
    "raw": "STRING",
    "email": "STRING",
    "visits": "INT64",
}


def rows_of(bench: Workbench, count: int, **more: object) -> list[Row]:
    """Rows of SCHEMA, a minute apart."""
    return [
        {
            "id": f"k{i:03}",
            "ts": iso(bench.now - 60 - i * 60),
            "path": f"/P{i}",
            "raw": "x",
            "email": f"{i}@example.com",
            "visits": i,
            **more,
        }
        for i in range(count)
    ]


def wide_table(bench: Workbench, **more: object) -> Row:
    """The table of SCHEMA in the configuration."""
    return {
        "name": bench.name,
        "source": f"{bench.dataset}.wide",
        "mode": bench.mode,
        "key": "id",
        "cursor": {"source": "ts", "column": "unix"},
        **more,
    }


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_all_columns_with_overrides(stack: Stack, mode: str) -> None:
    """`"*"` takes what is not named, less its `except`."""
    bench = Workbench(stack, f"chosen_star_{mode}", mode)
    bench.load_source("wide", SCHEMA, rows_of(bench, 20))
    columns: Row = {
        "*": {"except": ["RAW", "email"]},
        "path": {"sql": "LOWER(path)", "type": "Text"},
        "visits": {"type": "Long"},
        "domain": {"sql": "SPLIT(email, '@')[OFFSET(1)]"},
    }
    bench.run_ok(wide_table(bench, columns=columns))
    row = next(each for each in bench.aito_rows() if each["id"] == "k003")
    at = bench.now - 240
    assert row == {
        "id": "k003",
        "ts": iso(at).replace("Z", ".000000Z"),
        "path": "/p3",
        "visits": 3,
        "domain": "example.com",
        "unix": at,
    }
    types = {
        name: made["type"] for name, made in bench.aito.schema()[bench.name]["columns"].items()
    }
    assert (types["path"], types["visits"]) == ("Text", "Long")
    assert bench.run_ok(wide_table(bench, columns=columns)).uploaded == 0


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"*": None, "vsits": {"type": "Long"}}, "vsits: not a column of the source; did you mean"),
        ({"*": {"except": ["emial"]}}, "except emial: not a column of the source; did you mean"),
    ],
)
def test_a_misspelt_column_beside_the_star(stack: Stack, columns: Row, says: str) -> None:
    """It is refused, in the plan as well: a typing error must not load what was left out."""
    bench = Workbench(stack, "chosen_misspelt")
    bench.load_source("wide", SCHEMA, rows_of(bench, 2))
    for dry_run in (True, False):
        (report,) = bench.run(wide_table(bench, columns=columns), dry_run=dry_run).tables
        assert report.http_status == 500
        assert says in (report.error or "")


def test_a_left_out_column_that_is_gone(stack: Stack) -> None:
    """It may be gone from the source."""
    bench = Workbench(stack, "chosen_gone")
    bench.load_source("wide", SCHEMA, rows_of(bench, 3))
    columns = {"*": {"except": ["internal_notes"]}}
    assert bench.run_ok(wide_table(bench, columns=columns)).uploaded == 3
