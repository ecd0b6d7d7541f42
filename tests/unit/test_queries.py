"""The generated SQL, read by a parser: where predicates stand, what is quoted, and that no value
is pasted in.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlglot
from google.cloud import bigquery
from sqlglot import exp

from sync.bigquery import queries as sql
from sync.bigquery import source
from sync.bigquery import types as schema
from sync.bigquery.queries import Origin, Parameter, Partitioning, Query
from sync.bigquery.types import Field
from sync.config import TableSettings, parse
from sync.evaluation import evaluation
from sync.model.window import BEGINNING, Slice, Window
from sync.status import facts as status

START, END = 1_772_000_000, 1_772_366_400
SPAN = Window(START, END)
PART = Slice(START, END, rows=1000, reach=END + 500)
MANY = dataclasses.replace(PART, parts=3)
DAY = 86_400
CURSORS = {"TIMESTAMP": "TIMESTAMP", "DATETIME": "DATETIME", "DATE": "DATE", "INTEGER": "INT64"}
OUR_PARAMETERS = {
    "start",
    "end",
    "later_start",
    "later_end",
    "partition_start",
    "watermark",
    "fine",
    "beginning",
    "hour",
    "unit",
    "batch_rows",
    "batch_bytes",
    "parts",
    "part",
}
COLUMNS = {
    "id": {},
    "from": {},
    "select": {"type": "Text"},
    "Ünï-çødé'x": {},
    "page": {"sql": "LOWER(`from`)"},
}


def settings(**more: Any) -> TableSettings:
    """A table as the configuration gives it."""
    asked = {
        "name": "t",
        "source": "my-project-1.shop.pages",
        "key": "id",
        "cursor": {"source": "ts", "column": "at"},
        "columns": COLUMNS,
        **more,
    }
    if "query" in more:
        del asked["source"]
    whole = {
        "aito": {"url": "http://127.0.0.1:1", "api_key_secret": "k"},
        "ledger": "l",
        "tables": [asked],
    }
    return parse(json.dumps(whole)).tables[0]


def origin(
    kind: str = "TIMESTAMP", parts: Partitioning | None = None, prune: bool = True, **more: Any
) -> Origin:
    """A source whose cursor has the type `kind`."""
    table = settings(**more)
    fields = [Field(name, "STRING") for name in table.columns or ["id"]]
    return Origin(
        table, table.source, Field("sync_cursor", kind), parts, prune, schema.columns(table, fields)
    )


INGESTION = Partitioning(None, "DAY", False)
ON_CURSOR = Partitioning(Field("ts", "TIMESTAMP"), "DAY", True)
ON_OTHER = Partitioning(Field("loaded", "DATE"), "MONTH", True)
ON_RANGE = Partitioning(Field("customer", "INTEGER"), "RANGE", True)
LAYOUTS: dict[str, Partitioning | None] = {
    "unpartitioned": None,
    "by the cursor, required": ON_CURSOR,
    "by another column": dataclasses.replace(ON_OTHER, required=False),
    "by another column, required": ON_OTHER,
    "by a range": dataclasses.replace(ON_RANGE, required=False),
    "by a range, required": ON_RANGE,
    "by ingestion": INGESTION,
    "by ingestion, required": dataclasses.replace(INGESTION, required=True),
}
COMMENTED = (
    "SELECT id, ts, `from`, `select`, `Ünï-çødé'x` FROM shop.pages WHERE note = 'a;b' -- the"
    " comment"
)


def queries(of: Origin) -> dict[str, Query]:
    """Every query that reads this source."""
    return {
        "shape": sql.shape(of),
        "histogram": sql.histogram(of, SPAN, END),
        "fine histogram": sql.histogram(of, SPAN, END, [START], 60),
        "batches": sql.batches(of, PART, 1000, 5_000_000),
        "batches of a part": sql.batches(of, MANY, 1000, 5_000_000, which=2),
        "everything": sql.batches(of, None, 1000, 5_000_000),
    }


def every_origin() -> Iterator[tuple[str, Origin]]:
    """Each layout with each cursor type, and a query of the user's own."""
    for layout, parts in LAYOUTS.items():
        for kind in CURSORS:
            if parts is not None and parts.column and parts.column.name == "ts":
                parts = dataclasses.replace(parts, column=Field("ts", kind))
            yield f"{layout}, {kind}", origin(kind, parts)
    yield "query", origin(query=COMMENTED)
    yield "no columns named", origin(columns=None)


def tree(query: Query) -> exp.Expr:
    """The syntax tree, as BigQuery reads it."""
    (parsed,) = sqlglot.parse(query.text, read="bigquery")
    assert parsed is not None
    return parsed


ORIGINS = dict(every_origin())


@pytest.mark.parametrize("name", ORIGINS)
def test_every_query(name: str) -> None:
    """It parses; values are parameters, each declared and used; a user's identifiers are quoted;
    no stray literal.
    """
    theirs = {
        "id",
        "ts",
        "loaded",
        "customer",
        "from",
        "select",
        "Ünï-çødé'x",
        "page",
        "at",
        "shop",
        "pages",
    }
    for query in queries(ORIGINS[name]).values():
        parsed = tree(query)
        used = {found.name for found in parsed.find_all(exp.Parameter)}
        declared = {parameter.name for parameter in query.parameters}
        assert used == declared <= OUR_PARAMETERS
        assert len(query.parameters) == len(declared), "each is declared once"
        unquoted = {
            found.name for found in parsed.find_all(exp.Identifier) if not found.args.get("quoted")
        }
        assert not unquoted & theirs or name == "query"
        numbers = {found.this for found in parsed.find_all(exp.Literal) if not found.is_string}
        assert numbers <= {
            "0",
            "1",
            "15",
            "1000000",
            str(2**31 - 1),
            str(2**31),
        }, "no second, no size in the text"
        strings = {found.this for found in parsed.find_all(exp.Literal) if found.is_string}
        assert strings <= {"0x", "", " ", "[", "]", ",\n", "\n", "a;b"}


def compared(scope: exp.Expr) -> list[tuple[exp.Expr, str, str]]:
    """(left side, operator, parameter) of each comparison with a parameter in a WHERE."""
    found = []
    for where in scope.find_all(exp.Where):
        for node in where.find_all(exp.GTE, exp.LT):
            if isinstance(node.expression, exp.Parameter):
                found.append((node.this, node.key, node.expression.name))
    return found


@pytest.mark.parametrize("kind", CURSORS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_predicates_are_bare(layout: str, kind: str) -> None:
    """Cursor and partition columns stand alone on the left: BigQuery prunes by them."""
    parts = LAYOUTS[layout]
    if parts is ON_CURSOR:
        parts = dataclasses.replace(parts, column=Field("ts", kind))
    for which, query in queries(origin(kind, parts)).items():
        predicates = compared(tree(query))
        assert all(isinstance(left, exp.Column) for left, _, _ in predicates)
        by = {(left.name, operator, name) for left, operator, name in predicates}
        if which not in ("shape", "everything"):
            assert {("ts", "gte", "start"), ("ts", "lt", "end")} <= by
        if "by ingestion" in layout:
            assert (
                "_PARTITIONTIME",
                "gte",
                "partition_start",
            ) in by, "streamed rows have none yet, and are read too"
            assert "_PARTITIONTIME IS NULL" in query.text
        if parts and parts.required and parts.column and parts.column.name != "ts":
            assert (parts.column.name, "gte", "partition_start") in by
        if parts and not parts.required and parts.column:
            assert "partition_start" not in {name for _, _, name in by}


@pytest.mark.parametrize("which", ["batches", "batches of a part", "histogram"])
def test_each_read_of_the_source_is_filtered(which: str) -> None:
    """Wherever the source stands in a FROM, the same SELECT filters it, as a required partition
    filter wants.
    """
    for parts in (ON_CURSOR, ON_OTHER, ON_RANGE, dataclasses.replace(INGESTION, required=True)):
        reads = 0
        for table in tree(queries(origin(parts=parts))[which]).find_all(exp.Table):
            if table.db != "shop":
                continue
            reads += 1
            select = table.find_ancestor(exp.Select)
            assert select is not None
            column = parts.column.name if parts.column else "_PARTITIONTIME"
            assert column in {found.name for found in select.args["where"].find_all(exp.Column)}
        assert reads == 2


@pytest.mark.parametrize("parts", [None, ON_CURSOR, ON_OTHER])
def test_the_shape_of_a_filtered_table(parts: Partitioning | None) -> None:
    """A dry run is refused without a filter as well, also behind a view; the cursor's own is the
    one that is known.
    """
    where = tree(sql.shape(origin(parts=parts))).find(exp.Where)
    assert where is not None
    assert "`ts` IS NOT NULL" in sql.shape(origin(parts=parts)).text.replace(
        "NOT `ts` IS NULL", "`ts` IS NOT NULL"
    )


@pytest.mark.parametrize(
    ("kind", "start", "end", "expected"),
    [
        ("TIMESTAMP", 0, 90_000, ("1970-01-01 00:00:00+00:00", "1970-01-02 01:00:00+00:00")),
        ("DATETIME", -1, 90_000, ("1969-12-31T23:59:59", "1970-01-02T01:00:00")),
        ("DATETIME", BEGINNING, 0, ("0001-01-01T00:00:00", "1970-01-01T00:00:00")),
        ("DATE", 0, DAY, ("1970-01-01", "1970-01-02")),
        (
            "DATE",
            1,
            DAY + 1,
            ("1970-01-02", "1970-01-03"),
        ),  # a date is its midnight: [1, ...) begins at the next one
        ("DATE", -DAY, -1, ("1969-12-31", "1970-01-01")),
        ("INTEGER", -5, 7, ("-5", "7")),
        ("TIMESTAMP", BEGINNING, 0, ("0001-01-01 00:00:00+00:00", "1970-01-01 00:00:00+00:00")),
        ("DATE", BEGINNING, 0, ("0001-01-01", "1970-01-01")),
    ],
)
def test_edges_in_the_cursors_own_type(
    kind: str, start: int, end: int, expected: tuple[str, str]
) -> None:
    """Parameters have the cursor's type, so that nothing is converted row by row."""
    query = sql.batches(origin(kind), Slice(start, end), 1, 1)
    edges = {p.name: p for p in query.parameters}
    assert (str(edges["start"].value), str(edges["end"].value)) == expected
    assert edges["start"].type == edges["end"].type == CURSORS[kind]


@pytest.mark.parametrize(
    ("parts", "mode", "prune", "expected"),
    [
        (INGESTION, "append", True, START - 2 * DAY),
        (dataclasses.replace(INGESTION, granularity="HOUR"), "append", True, START - DAY - 3600),
        (dataclasses.replace(INGESTION, granularity="MONTH"), "append", True, START - 32 * DAY),
        (INGESTION, "merge", True, BEGINNING),  # an old row may arrive again at any time
        (INGESTION, "append", False, BEGINNING),  # reconcile reads everything
    ],
)
def test_ingestion_time_is_bounded(
    parts: Partitioning, mode: str, prune: bool, expected: int
) -> None:
    """A row of an `append` table arrived at most a day before the time it is dated; partitions
    hold what came later.
    """
    query = sql.batches(origin(parts=parts, prune=prune, mode=mode), PART, 1, 1)
    (bound,) = [p.value for p in query.parameters if p.name == "partition_start"]
    assert (bound - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() == expected


def test_integer_ranges_are_not_times() -> None:
    """Nothing of an integer-partitioned table is left out."""
    parameters = sql.batches(origin(parts=ON_RANGE), PART, 1, 1).parameters
    assert Parameter("partition_start", "INT64", -(2**63)) in parameters


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        (
            {"timePartitioning": {"type": "HOUR", "field": "TS"}},
            Partitioning(Field("ts", "TIMESTAMP"), "HOUR", True),
        ),
        ({"timePartitioning": {"type": "DAY"}}, Partitioning(None, "DAY", True)),
        (
            {"rangePartitioning": {"field": "N", "range": {}}},
            Partitioning(Field("n", "INTEGER"), "RANGE", True),
        ),
    ],
)
def test_layouts_as_bigquery_tells_them(
    layout: dict[str, Any], expected: Partitioning, old: bool
) -> None:
    """A required filter is said by the table, or by the partitioning of older ones; names come in
    any case.
    """
    time = {**layout.get("timePartitioning", {}), "requirePartitionFilter": True}
    said = (
        {"timePartitioning": time}
        if old and "timePartitioning" in layout
        else {"requirePartitionFilter": True}
    )
    fields = [{"name": "ts", "type": "TIMESTAMP"}, {"name": "n", "type": "INT64"}]
    reference = {"projectId": "p", "datasetId": "d", "tableId": "t"}
    meta = bigquery.Table.from_api_repr(
        {"tableReference": reference, "schema": {"fields": fields}, **layout, **said}
    )
    assert source._partitioning(meta) == expected


def test_the_cursor_in_another_case() -> None:
    """It is the partition column all the same, and needs no second predicate."""
    parts = dataclasses.replace(ON_CURSOR, column=Field("TS", "TIMESTAMP"))
    assert "partition_start" not in sql.batches(origin(parts=parts), PART, 1, 1).text


def test_a_query_keeps_its_comment_to_itself() -> None:
    """A comment at its end hides nothing of ours."""
    of = origin(query=COMMENTED)
    for query in queries(of).values():
        names = {found.name for found in tree(query).find_all(exp.Table)}
        assert "pages" in names
        assert tree(query).find(exp.Where) is not None
    assert ("ts", "lt", "end") in {
        (c.name, o, p) for c, o, p in compared(tree(sql.batches(of, PART, 1, 1)))
    }


def test_an_expression_keeps_its_comment_to_itself() -> None:
    """`sql:` may end in a comment, too."""
    columns = {"id": {}, "page": {"sql": "LOWER(path) -- as seen"}}
    query = sql.batches(origin(columns=columns, source="shop.pages"), PART, 1, 1)
    aliases = {found.alias for found in tree(query).find_all(exp.Alias)}
    assert "page" in aliases


def test_a_cursor_under_another_columns_name() -> None:
    """An Aito column called as the source's cursor may be made of something else: the predicate is
    the source's.
    """
    query = sql.batches(origin(columns={"id": {}, "ts": {"sql": "CAST(ts AS STRING)"}}), PART, 1, 1)
    picked = next(cte for cte in tree(query).find_all(exp.CTE) if cte.alias == "sync_picked")
    assert [(left.sql("bigquery"), name) for left, _, name in compared(picked)] == [
        ("`ts`", "start"),
        ("`ts`", "end"),
    ]


def test_only_superseded_slices_look_ahead() -> None:
    """Later rows of the same keys are only read where the histogram says that there are some."""
    assert "later" not in sql.batches(origin(), dataclasses.replace(PART, reach=END - 1), 1, 1).text
    query = sql.batches(origin(), PART, 1, 1)
    bounds = {p.name: p.value.timestamp() for p in query.parameters if p.name.startswith("later_")}
    assert bounds == {"later_start": END, "later_end": END + 501}


def test_keys_are_compared_by_their_documents_text() -> None:
    """A BYTES key is its base64, a number its digits at any size: what Aito gives back is what
    BigQuery counts by.
    """
    table = settings(columns={"id": {}})
    for kind, expected in (
        ("BYTES", "TO_BASE64(`id`)"),
        ("INTEGER", "CAST(`id` AS STRING)"),
        ("STRING", "`id`"),
    ):
        made = schema.columns(table, [Field("id", kind)])
        of = Origin(table, table.source, Field("sync_cursor", "TIMESTAMP"), columns=made)
        assert f"{expected} AS sync_key" in sql.histogram(of, SPAN, END).text
        assert f"{expected} AS later_key" in sql.batches(of, PART, 1, 1).text


def test_a_hyphen_in_a_project_is_quoted() -> None:
    """The whole path is one quoted identifier."""
    assert "FROM `my-project-1.shop.pages`" in sql.histogram(origin(), SPAN, END).text


def test_tables_without_a_cursor() -> None:
    """`replace` reads the whole source, with a filter only where the table insists."""
    table = settings(mode="replace", key=None, cursor=None, columns={"a": {}})
    for parts, predicates in ((None, 0), (ON_OTHER, 1)):
        of = Origin(
            table, table.source, None, parts, columns=schema.columns(table, [Field("a", "STRING")])
        )
        assert len(compared(tree(sql.batches(of, None, 10, 10)))) == predicates
        assert len(compared(tree(sql.shape(of)))) == predicates


def test_arrays_keep_their_order() -> None:
    """UNNEST promises none, though the emulator keeps it: each array that is made anew is put in
    order again.
    """
    inner = Field("inner", "RECORD", True, fields=(Field("numbers", "INTEGER", True),))
    fields = [
        Field("id", "STRING"),
        Field("tags", "STRING", True),
        Field("outer", "RECORD", True, fields=(inner,)),
    ]
    made = schema.columns(settings(columns={"id": {}, "tags": {}, "outer": {}}), fields)
    selects = [
        each
        for column in made
        for each in sqlglot.parse_one(column.value, "bigquery").find_all(exp.Select)
    ]
    assert len(selects) > 3
    assert all(each.args.get("order") for each in selects)


LEDGER = {kind: f"ledger.{kind}" for kind in ("runs", "rejects", "evaluations", "leases")}
PAGES = (
    status.LAST_RUNS,
    status.ROWS,
    status.ACCURACY,
    status.LAST_EVALUATIONS,
    status.REJECTS,
    evaluation.LATEST,
)


@pytest.mark.parametrize(
    "text",
    [
        *(q.text for q in queries(ORIGINS["unpartitioned, TIMESTAMP"]).values()),
        *(page.format(**LEDGER) for page in PAGES),
    ],
)
def test_no_tables_name_hides_a_column(text: str) -> None:
    """In BigQuery a table's or CTE's name comes before a column's: after `FROM d.email`, `email`
    is the whole row.
    """
    parsed = tree(Query(text))
    tables = list(parsed.find_all(exp.Table))
    names = {t.alias_or_name for t in tables if t.db != "ledger"}
    assert all(t.alias == "sync_source" for t in tables if t.db == "shop")
    columns = {found.alias for found in parsed.find_all(exp.Alias)} | {
        c.name for c in parsed.find_all(exp.Column)
    }
    assert not names & columns
