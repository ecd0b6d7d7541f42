"""Every BigQuery type through the real path: emulator -> the sync -> the Aito stand-in, each value
checked there.

GEOGRAPHY cannot run on the emulator here (DuckDB's spatial extension is a download): its SQL is
checked in tests/unit/test_columns.py.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from google.cloud import bigquery

from tests.conversions import AWKWARD, FITS, MEGABYTE, TEXT, UNFIT
from tests.workbench import NOW, QUICK, Workbench, table


def source_field(name: str, kind: str) -> bigquery.SchemaField:
    """A column of the source from its type as SQL writes it."""
    if kind.startswith("ARRAY<"):
        inner = source_field(name, kind[6:-1])
        return bigquery.SchemaField(name, inner.field_type, "REPEATED", fields=inner.fields)
    if kind.startswith("STRUCT<"):
        members = [part.strip().split(" ", 1) for part in split(kind[7:-1])]
        return bigquery.SchemaField(
            name, "STRUCT", fields=[source_field(*member) for member in members]
        )
    return bigquery.SchemaField(name, kind)


def split(members: str) -> list[str]:
    """`a INT64, b ARRAY<...>` at the commas of the outermost level."""
    parts, depth = [""], 0
    for character in members:
        depth += {"<": 1, ">": -1}.get(character, 0)
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def make(
    bench: Workbench, source: str, columns: dict[str, str], rows: list[dict[str, str]]
) -> None:
    """A source table with `id` and `ts`: one row per dict of SQL literals, in the order given; the
    rest is NULL.
    """
    bench.client.create_dataset(bench.dataset, exists_ok=True)
    kinds = {"id": "INT64", "ts": "TIMESTAMP", **columns}
    path = f"{bench.client.project}.{bench.dataset}.{source}"
    bench.client.create_table(
        bigquery.Table(path, [source_field(name, kind) for name, kind in kinds.items()]),
        retry=QUICK,
    )
    for number, row in enumerate(rows):
        values = {"id": str(number), "ts": "TIMESTAMP '2026-03-01 11:00:00+00'", **row}
        names = ", ".join(f"`{name}`" for name in values)
        bench.sql(f"INSERT INTO {{d}}.{source} ({names}) SELECT {', '.join(values.values())}")


def test_every_value_that_fits_arrives(bench: Workbench) -> None:
    """Each type with NULL, extremes and awkward values, as its default and as each type that may
    be declared.
    """
    depth = max(len(case.values) for case in FITS)
    rows = [{c.name: c.values[n][0] for c in FITS if n < len(c.values)} for n in range(depth)]
    make(bench, "source", {case.name: case.kind for case in FITS}, [*rows, {}])
    names = {"id": {}, **{case.name: case.asked for case in FITS}}
    report = bench.run_ok(table("types_fit", f"{bench.dataset}.source", columns=names))
    assert (report.uploaded, report.rejected, report.verified) == (depth + 1, 0, True)
    found = {row["id"]: row for row in bench.aito.rows("types_fit")}
    wrong = [
        (c.name, n, c.values[n][0][:80], str(found[n].get(c.name))[:200])
        for c in FITS
        for n in range(len(c.values))
        if not same(found[n].get(c.name), c.values[n][1])
    ]
    assert wrong == []
    assert found[depth] == {
        "id": depth,
        "at": NOW - 3600,
        **{c.name: [] for c in FITS if c.kind.startswith("ARRAY")},
    }


def same(held: Any, expected: Any) -> bool:
    """Equal and of the same JSON type."""
    return json.dumps(held, sort_keys=True) == json.dumps(expected, sort_keys=True)


def test_what_does_not_fit_is_reported(bench: Workbench) -> None:
    """An integer, a time or a NULL that the column cannot hold is in the ledger, whole and with
    the remedy.
    """
    make(bench, "source", {name: kind for name, kind, *_ in UNFIT}, [{u[0]: u[2]} for u in UNFIT])
    filled = {"needed": "'x'", "needed_number": "1.0"}
    for number, (name, *_) in enumerate(UNFIT):
        for other in filled.keys() - {name}:
            bench.sql(f"UPDATE {{d}}.source SET {other} = {filled[other]} WHERE id = {number}")
    columns = {"id": {}, **{name: asked for name, _, _, asked, _ in UNFIT}}
    report = bench.run_ok(
        table("types_unfit", f"{bench.dataset}.source", columns=columns, rejects={"max_share": 1})
    )
    assert (report.fetched, report.uploaded, report.rejected) == (len(UNFIT), 0, len(UNFIT))
    entries = {entry["key"]: entry for entry in bench.ledger_rows("rejects")}
    for number, (name, _, value, _, remedy) in enumerate(UNFIT):
        entry = entries[str(number)]
        assert name in entry["reason"], entry
        assert remedy in entry["reason"], entry
        if name.startswith("int_"):
            assert str(json.loads(entry["document"])[name]) == value, "the row is kept as it was"


def test_bignumeric(bench: Workbench) -> None:
    """By a query: the emulator takes the type in SQL and not in a table's definition."""
    query = """SELECT 1 AS id, TIMESTAMP '2026-03-01 11:00:00+00' AS ts, BIGNUMERIC '-2.125' AS big,
      [BIGNUMERIC '1.5', BIGNUMERIC '2'] AS bigs, CAST(NULL AS BIGNUMERIC) AS none"""
    asked = {
        "name": "types_big",
        "query": query,
        "key": "id",
        "cursor": {"source": "ts", "column": "at"},
    }
    bench.run_ok({**asked, "columns": {"id": {}, "big": {}, "bigs": {}, "none": {}}})
    (row,) = bench.aito.rows("types_big")
    assert row == {"id": 1, "at": NOW - 3600, "big": -2.125, "bigs": [1.5, 2.0]}


def test_a_megabyte_in_every_type_that_holds_text(bench: Workbench) -> None:
    """A row of several batches' size among small ones: whole, none lost for it, and known again."""
    text = AWKWARD * (MEGABYTE // len(AWKWARD))
    large = f"REPEAT({TEXT}, {MEGABYTE // len(AWKWARD)})"
    kinds = {
        "string": "STRING",
        "bytes": "BYTES",
        "list": "ARRAY<STRING>",
        "struct": "STRUCT<a STRING>",
    }
    values = {
        "string": large,
        "bytes": f"CAST(REPEAT('y', {MEGABYTE}) AS BYTES)",
        "list": f"[{large}]",
        "struct": f"STRUCT({large} AS a)",
    }
    make(bench, "source", kinds, [{}, values, {}])
    asked = table("types_large", f"{bench.dataset}.source")
    assert bench.run_ok(asked, settings={"batch": {"bytes": MEGABYTE}}).uploaded == 3
    expected = {
        "string": text,
        "bytes": base64.b64encode(b"y" * MEGABYTE).decode(),
        "list": [text],
        "struct": {"a": text},
    }
    found = {row["id"]: row for row in bench.aito.rows("types_large")}[1]
    assert [name for name in expected if found[name] != expected[name]] == []
    assert bench.run_ok(asked).uploaded == 0
