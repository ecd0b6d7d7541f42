"""The generated SQL, read by a parser: where predicates stand, what is quoted, and that no value
is pasted in.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlglot
from google.cloud import bigquery
from sqlglot import exp

from sync.bigquery import metadata
from sync.bigquery import queries as sql
from sync.bigquery.columns import columns
from sync.bigquery.predicates import partition_since
from sync.bigquery.table import BigQueryTable, Partitioning
from sync.bigquery.types import Field, exact_integer
from sync.model.sql import Parameter, Query
from sync.model.window import BEGINNING, UNIT_NAMES, Slice, Window
from tests.sources import (
    CHUNKED,
    COMMENTED,
    CURSORS,
    DAILY,
    DAY,
    END,
    INGESTION,
    LAYOUTS,
    LEDGER_STATEMENTS,
    LIMITS,
    MANY,
    ON_CURSOR,
    ON_OTHER,
    ON_RANGE,
    PART,
    SPAN,
    START,
    TABLES,
    described,
    queries,
    settings,
)
from tests.variations import slow

OUR_PARAMETERS = {
    "start",
    "end",
    "later_start",
    "later_end",
    "start_second",
    "end_second",
    "ahead_start",
    "ahead_start_second",
    "window_end",
    *(f"{bound}_{unit}" for bound in ("earliest", "latest") for unit in UNIT_NAMES),
    "later_start_second",
    "later_end_second",
    "partition_start",
    "watermark",
    "beginning",
    "hour",
    "minute",
    "rows",
    "batch_rows",
    "batch_bytes",
    "document_bytes",
    "too_large",
    "deletes",
    "parts",
    "part",
    "starts",
    "firsts",
    "counts",
    "chunk_starts",
    "chunk_firsts",
    "chunk_lasts",
    "plan",
    "span_edges",
}


def tree(query: Query) -> exp.Expr:
    """The syntax tree, as BigQuery reads it. Nobody changes it: tables share statements."""
    return parse(query.text)


@functools.lru_cache(maxsize=100)
def parse(text: str) -> exp.Expr:
    """The syntax tree of one statement."""
    (parsed,) = sqlglot.parse(text, read="bigquery")
    assert parsed is not None
    return parsed


def nodes(parsed: exp.Expr) -> dict[type[exp.Expr], list[exp.Expr]]:
    """All nodes of a statement, by their class. One walk, as a walk takes as long as to parse."""
    found: dict[type[exp.Expr], list[exp.Expr]] = defaultdict(list)
    for node in parsed.walk():
        found[type(node)].append(node)
    return found


THEIRS = {
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
NUMBERS = {"0", "1", "2", "3", "15", "1000", "1000000", str(2**31 - 1), str(2**31)}
STRINGS = {"UTC", "0x", "", " ", "[", "]", ",\n", "\n", "a;b", "x", "|", "~", "~0", "~1"}
ZONED = {"Europe/Helsinki", "+02:00", "0001-01-02", "9999-12-30"}
DAYS = {"00010101", "20260224", "20260302"}


def layout_of(name: str) -> str | None:
    """The layout of one of the tables that are made of a layout and a cursor type."""
    layout, _, kind = name.rpartition(", ")
    return layout if kind in CURSORS and layout in LAYOUTS else None


def in_turns() -> list[Any]:
    """Every table. In the quick tests each layout and each zone has one cursor type, in turns.

    The condition on a partition column does not look at the cursor's type.
    """
    kinds = [*CURSORS]
    turns = {f"{layout}, {kinds[n % 4]}" for n, layout in enumerate(LAYOUTS)}
    turns |= {"in Europe/Helsinki, DATETIME", "in +02:00, DATE"}
    one_of_many = {name for name in TABLES if layout_of(name) or name.startswith("in ")}
    rest = [name for name in TABLES if name in one_of_many - turns]
    return [*(name for name in TABLES if name not in rest), *slow(*rest)]


@pytest.mark.parametrize("name", in_turns())
def test_every_query(name: str) -> None:
    """It parses; values are parameters, each declared and used; a user's identifiers are quoted;
    no stray literal; and cursor and partition columns are bare.
    """
    for which, query in queries(TABLES[name]).items():
        found = nodes(tree(query))
        used = {each.name for each in found[exp.Parameter]}
        declared = {parameter.name for parameter in query.parameters}
        assert used == declared <= OUR_PARAMETERS
        assert len(query.parameters) == len(declared), "each is declared once"
        unquoted = {each.name for each in found[exp.Identifier] if not each.args.get("quoted")}
        assert not unquoted & THEIRS or name == "query"
        is_daily = name.startswith("daily")
        numbers = {each.this for each in found[exp.Literal] if not each.is_string}
        lengths = {"8", "17"} if is_daily else set()
        assert numbers <= NUMBERS | lengths, "no second, no size in the text"
        strings = {each.this for each in found[exp.Literal] if each.is_string}
        days = DAYS | {f"intraday_{day}" for day in DAYS}
        allowed = ZONED if name.startswith("in ") else days if is_daily else set()
        assert strings <= STRINGS | allowed
        if layout := layout_of(name):
            assert_bare(which, query, TABLES[name].partitioning, layout)


def compared(scope: exp.Expr) -> list[tuple[exp.Expr, str, str]]:
    """(left side, operator, parameter) of each comparison with a parameter in a WHERE."""
    found = []
    for where in scope.find_all(exp.Where):
        for node in where.find_all(exp.GTE, exp.LT):
            if isinstance(node.expression, exp.Parameter):
                found.append((node.this, node.key, node.expression.name))
    return found


@pytest.mark.parametrize("name", [name for name in TABLES if name.startswith("in ")])
def test_predicates_of_a_zone(name: str) -> None:
    """The bare column prunes with a day to spare; the moment in the zone decides."""
    query = queries(TABLES[name])["batches of a part"]
    text, values = query.text, {p.name: p.value for p in query.parameters}
    assert "`ts` >= @start AND UNIX_SECONDS(" in text
    assert "`ts` < @end AND UNIX_SECONDS(" in text
    assert (values["start_second"], values["end_second"]) == (START, END)
    start = datetime.fromisoformat(str(values["start"])).replace(tzinfo=UTC).timestamp()
    first_midnight = -(-(START - DAY) // DAY) * DAY
    assert start == (first_midnight if name.endswith("DATE") else START - DAY)


def test_daily_tables_are_named_by_constants() -> None:
    """From the day before the window to the day after the run, and no name that is longer."""
    texts = {which: query.text for which, query in queries(TABLES["daily tables, False"]).items()}
    named = "_TABLE_SUFFIX BETWEEN '20260224' AND '20260302' AND LENGTH(_TABLE_SUFFIX) IN (8)"
    for which in ("histogram", "batches", "batches of a part"):
        text = texts[which]
        assert text.count(named) == text.count(f"FROM `{DAILY}`") > 0
    assert "BETWEEN '00010101' AND '20260302'" in texts["everything"]
    asked = sql.batches(TABLES["daily tables, True"], PART, LIMITS).text
    both = "_TABLE_SUFFIX BETWEEN 'intraday_20260224' AND 'intraday_20260302')"
    assert f"20260302' OR {both} AND LENGTH(_TABLE_SUFFIX) IN (8, 17)" in asked
    gone = sql.keys_since(TABLES["daily tables, False"], SPAN, ["a"])
    assert named in gone.text


# Queries that read a source without a cursor, or are bound to no window.
WHOLE = (
    *("shape", "first row", "everything", "totals"),
    *("faults of everything", "distinct rows of everything"),
)


def assert_bare(which: str, query: Query, parts: Partitioning | None, layout: str) -> None:
    """Cursor and partition columns stand alone on the left: BigQuery prunes by them."""
    predicates = compared(tree(query))
    assert all(isinstance(left, exp.Column) for left, _, _ in predicates)
    by = {(left.name, operator, name) for left, operator, name in predicates}
    if which not in WHOLE:
        assert {("ts", "gte", "start"), ("ts", "lt", "end")} <= by
    if "by ingestion" in layout:
        pruned = ("_PARTITIONTIME", "gte", "partition_start")
        assert pruned in by, "streamed rows have none yet, and are read too"
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
        for table in tree(queries(described(parts=parts))[which]).find_all(exp.Table):
            if table.db != "shop":
                continue
            reads += 1
            select = table.find_ancestor(exp.Select)
            assert select is not None
            column = parts.column.name if parts.column else "_PARTITIONTIME"
            assert column in {found.name for found in select.args["where"].find_all(exp.Column)}
        assert reads == 2


@pytest.mark.parametrize("parts", [ON_CURSOR, ON_OTHER, ON_RANGE])
def test_the_first_row_of_a_filtered_table(parts: Partitioning) -> None:
    """Also the look for any row has the filter that the table requires."""
    where = tree(sql.first_row(described(parts=parts))).find(exp.Where)
    assert where is not None
    assert parts.column
    assert parts.column.name in {found.name for found in where.find_all(exp.Column)}


def test_the_first_row_of_a_view() -> None:
    """Its table may require a condition on the cursor. That of a table reads no column."""
    view = dataclasses.replace(described(), is_view=True)
    assert "WHERE `ts` IS NOT NULL" in sql.first_row(view).text
    assert "WHERE" not in sql.first_row(described()).text


def test_the_first_row_of_daily_tables() -> None:
    """Only the tables of the run are looked at."""
    assert "BETWEEN '20260224' AND" in sql.first_row(TABLES["daily tables, False"], START).text


@pytest.mark.parametrize("parts", [None, ON_CURSOR, ON_OTHER])
def test_the_shape_of_a_filtered_table(parts: Partitioning | None) -> None:
    """A dry run is refused without a filter as well, also behind a view; the cursor's own is the
    one that is known.
    """
    where = tree(sql.shape(described(parts=parts))).find(exp.Where)
    assert where is not None
    assert "`ts` IS NOT NULL" in sql.shape(described(parts=parts)).text.replace(
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
    query = sql.batches(described(kind), Slice(start, end), LIMITS)
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
    query = sql.batches(described(parts=parts, prune=prune, mode=mode), PART, LIMITS)
    (bound,) = [p.value for p in query.parameters if p.name == "partition_start"]
    assert (bound - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() == expected


def test_integer_ranges_are_not_times() -> None:
    """Nothing of an integer-partitioned table is left out."""
    parameters = sql.batches(described(parts=ON_RANGE), PART, LIMITS).parameters
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
    assert metadata.partitioning(meta) == expected


def test_the_cursor_in_another_case() -> None:
    """It is the partition column all the same, and needs no second predicate."""
    parts = dataclasses.replace(ON_CURSOR, column=Field("TS", "TIMESTAMP"))
    assert "partition_start" not in sql.batches(described(parts=parts), PART, LIMITS).text


def test_a_query_keeps_its_comment_to_itself() -> None:
    """A comment at its end hides nothing of ours."""
    of = described(query=COMMENTED)
    for query in queries(of).values():
        names = {found.name for found in tree(query).find_all(exp.Table)}
        assert "pages" in names
        assert tree(query).find(exp.Where) is not None
    assert ("ts", "lt", "end") in {
        (c.name, o, p) for c, o, p in compared(tree(sql.batches(of, PART, LIMITS)))
    }


def test_an_expression_keeps_its_comment_to_itself() -> None:
    """`sql:` may end in a comment, too."""
    columns = {"id": {}, "page": {"sql": "LOWER(path) -- as seen"}}
    query = sql.batches(described(columns=columns, source="shop.pages"), PART, LIMITS)
    aliases = {found.alias for found in tree(query).find_all(exp.Alias)}
    assert "page" in aliases


def test_a_cursor_under_another_columns_name() -> None:
    """An Aito column called as the source's cursor may be made of something else: the predicate is
    the source's.
    """
    query = sql.batches(
        described(columns={"id": {}, "ts": {"sql": "CAST(ts AS STRING)"}}), PART, LIMITS
    )
    picked = next(cte for cte in tree(query).find_all(exp.CTE) if cte.alias == "sync_picked")
    assert [(left.sql("bigquery"), name) for left, _, name in compared(picked)] == [
        ("`ts`", "start"),
        ("`ts`", "end"),
    ]


def test_only_superseded_slices_look_ahead() -> None:
    """Later rows of the same keys are only read where the histogram says that there are some."""
    assert (
        "later"
        not in sql.batches(described(), dataclasses.replace(PART, max_cursor=END - 1), LIMITS).text
    )
    query = sql.batches(described(), PART, LIMITS)
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
        made = columns(table, [Field("id", kind)])
        of = BigQueryTable(table, table.source, Field("sync_cursor", "TIMESTAMP"), sql_columns=made)
        assert f"{expected} AS sync_key" in sql.histogram(of, SPAN, END, 1000).text
        assert f"{expected} AS later_key" in sql.batches(of, PART, LIMITS).text


def test_a_hyphen_in_a_project_is_quoted() -> None:
    """The whole path is one quoted identifier."""
    assert "FROM `my-project-1.shop.pages`" in sql.histogram(described(), SPAN, END, 1000).text


def test_tables_without_a_cursor() -> None:
    """`replace` reads the whole source, with a filter only where the table insists."""
    table = settings(mode="replace", key=None, cursor=None, columns={"a": {}})
    for parts, predicates in ((None, 0), (ON_OTHER, 1)):
        of = BigQueryTable(
            table, table.source, None, parts, sql_columns=columns(table, [Field("a", "STRING")])
        )
        assert len(compared(tree(sql.batches(of, None, LIMITS)))) == predicates
        assert len(compared(tree(sql.shape(of)))) == predicates


def test_the_newest_row_of_a_key_is_judged() -> None:
    """By its cursor. Without one no row of a key is newer than another."""
    one = "PARTITION BY sync_key ORDER BY {0}) = 1"
    assert one.format("sync_cursor DESC") in sql.faults(described(), SPAN).text
    table = settings(mode="replace", cursor=None)
    fields = [Field("id", "STRING")]
    whole = BigQueryTable(table, table.source, None, None, sql_columns=columns(table, fields))
    assert one.format("sync_key") in sql.faults(whole, None).text


def test_only_columns_that_may_be_unfit_are_judged() -> None:
    """A text always fits. The key is read, as the newest row of each counts."""
    table = settings(columns={"id": {}, "text": {}, "number": {"type": "Int"}})
    fields = [Field("id", "STRING"), Field("text", "STRING"), Field("number", "INTEGER")]
    made = columns(table, fields)
    of = BigQueryTable(table, table.source, Field("sync_cursor", "TIMESTAMP"), sql_columns=made)
    text = sql.faults(of, SPAN).text
    assert "SELECT `id`, `number`, " in text
    assert "`text`" not in text


def test_where_keys_are_looked_for() -> None:
    """In all partitions, since a row may be as old as any. Of daily tables in those since then."""
    daily = TABLES["daily tables, False"]
    for of, start in ((described(parts=ON_OTHER), BEGINNING), (daily, START)):
        query = sql.keys_since(of, Window(START, END), ["a"])
        expected = partition_since(of, start)
        assert all(condition in query.text for condition in expected.conditions)
        assert set(expected.parameters) <= set(query.parameters[:-1])
        assert [each.name for each in query.parameters[-2:]] == ["window_end", "keys"]


def test_a_row_that_deletes_its_key_has_no_other_fault() -> None:
    """Only its key is needed, and must be there."""
    first = "CASE WHEN sync_deleted AND sync_key IS NOT NULL THEN @deletes WHEN "
    assert first in sql.batches(TABLES["deleting rows"], PART, LIMITS).text
    assert "sync_deleted" not in sql.batches(described(), PART, LIMITS).text


def test_the_range_of_a_query() -> None:
    """The cursor's, and the partitions since then. Without a range everything is read."""
    of = described(parts=ON_OTHER)
    in_range = [
        (sql.distinct_rows(of, SPAN), SPAN.start),
        (sql.batches(of, PART, LIMITS), PART.start),
    ]
    for query, start in in_range:
        assert {"start", "end"} <= {each.name for each in query.parameters}
        assert set(partition_since(of, start).parameters) <= set(query.parameters)
    for query in (sql.distinct_rows(of, None), sql.batches(of, None, LIMITS)):
        assert not {"start", "end"} & {each.name for each in query.parameters}
        assert set(partition_since(of, BEGINNING).parameters) <= set(query.parameters)


def test_whether_the_last_row_deletes_its_key() -> None:
    """It is looked at only where rows can."""
    deleting = TABLES["deleting rows"]
    assert "sync_deleted, sync_cursor, NULL" in sql.histogram(deleting, SPAN, END, 9).text
    assert "FALSE AS is_deleted" in sql.histogram(described(), SPAN, END, 9).text
    assert "FALSE AS is_deleted" in sql.keys_since(described(), SPAN, ["a"]).text


@pytest.mark.parametrize(("kind", "text"), [("STRING", True), ("INTEGER", False)])
def test_the_document_of_a_row_that_is_too_large(kind: str, text: bool) -> None:
    """It tells which row it is: its key in the key's type, and its cursor."""
    table = settings(columns={"id": {}})
    made = columns(table, [Field("id", kind)])
    cursor = Field("sync_cursor", "TIMESTAMP")
    of = BigQueryTable(table, table.source, cursor, sql_columns=made)
    query = sql.batches(of, PART, LIMITS).text
    key = "sync_key" if text else exact_integer("sync_key")
    members = f"document_bytes, {key} AS `id`, sync_second AS `at`))"
    assert members in query


def test_shards_of_a_slice() -> None:
    """A slice of one has none."""
    for count in (1, 2, 3):
        part = dataclasses.replace(MANY, parts=count)
        query = sql.batches(described(), part, LIMITS, shard=1)
        found = {each.name: each.value for each in query.parameters}
        shards = (found.get("parts"), found.get("part"))
        assert shards == ((None, None) if count == 1 else (count, 1))


def test_the_parts_of_a_table() -> None:
    """Each is named by its setting, and is the first thing that its query selects."""
    for of, origin in (
        (described(), "source"),
        (described(where="a > 1"), "where"),
        (TABLES["query"], "query"),
    ):
        named = list(sql.parts(of))
        assert [name for name, _ in named][:2] == [origin, "cursor.source"]
        assert named[0][1].text.startswith("SELECT 1 ")
        assert "deletes" not in dict(named)
    assert "deletes" in dict(sql.parts(TABLES["deleting rows"]))
    whole = BigQueryTable(settings(mode="replace", cursor=None), "d.t", None, None)
    assert "cursor.source" not in dict(sql.parts(whole))


def test_places_of_chunks() -> None:
    """A chunk ends before the next one begins. The last has no end: rows may have come since."""
    found = {each.name: each.value for each in sql.Chunks(CHUNKED).parameters}
    firsts = found["chunk_firsts"]
    assert found["chunk_starts"] == [part.start for part in CHUNKED.places]
    assert found["chunk_lasts"] == [*(first - 1 for first in firsts[1:]), sql.MAX_PLACE]
    assert sql.Chunks(PART).parameters == sql.Chunks(None).parameters == ()


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
    made = columns(settings(columns={"id": {}, "tags": {}, "outer": {}}), fields)
    selects = [
        each
        for column in made
        for each in sqlglot.parse_one(column.value, "bigquery").find_all(exp.Select)
    ]
    assert len(selects) > 3
    assert all(each.args.get("order") for each in selects)


@pytest.mark.parametrize(
    "text",
    [
        *(q.text for q in queries(TABLES["unpartitioned, TIMESTAMP"]).values()),
        *LEDGER_STATEMENTS.values(),
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
