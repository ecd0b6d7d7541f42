"""Every statement that the source can generate is accepted by Google's own analyzer."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest

from sync.bigquery import stage_queries
from sync.bigquery.columns import KEY_TYPES, columns
from sync.bigquery.queries import batches, keys_since, row_count
from sync.bigquery.stage import whole
from sync.bigquery.table import BigQueryTable
from sync.bigquery.types import DEFAULTS, KEY_PART_TYPES, Field, example, is_convertible
from sync.config.settings import ColumnType
from sync.ledger.definitions import PARTITIONED_BY
from sync.ledger.definitions import columns as ledger_columns
from sync.model.sql import Parameter, ParameterType
from tests.sources import (
    CHUNKED,
    CURSORS,
    DAILY,
    LEDGER_STATEMENTS,
    LIMITS,
    NEXT,
    PART,
    SPAN,
    TABLES,
    queries,
    settings,
)

if TYPE_CHECKING:
    from tests.googlesql import Columns, GoogleSql

PATH = "my-project-1.shop.pages"
SQL_NAMES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
NESTED = "ARRAY<STRUCT<key STRING, value STRUCT<string_value STRING, int_value INT64>>>"
BATCHES = ["INT64", "INT64", "INT64", "STRING"]
STAGE = "p.ledger.stage_1"
STAGES = ("stage", "stage of shards")
SOURCE = {
    "id": "STRING",
    "from": "STRING",
    "select": "STRING",
    "Ünï-çødé'x": "STRING",
    "note": "STRING",
    "loaded": "DATE",
    "customer": "INT64",
    "tags": "ARRAY<INT64>",
    "_PARTITIONTIME": "TIMESTAMP",
    "_TABLE_SUFFIX": "STRING",
    "event_params": NESTED,
}
RESULTS = {
    "histogram": [*["INT64"] * 7, "STRING"],
    "keys since": ["STRING", "BOOL", "BOOL"],
    "batches": BATCHES,
    "batches of a part": BATCHES,
    "everything": BATCHES,
}
RECORD = Field(
    "nested",
    "RECORD",
    fields=(
        Field("number", "INTEGER"),
        Field("numbers", "INTEGER", True),
        Field("inner", "RECORD", True, fields=(Field("when", "TIMESTAMP"), Field("j", "JSON"))),
    ),
)
# The engine cannot prepare its functions.
TYPES = [kind for kind in DEFAULTS if kind != "GEOGRAPHY"]
RECORDS = (RECORD, Field("several", "RECORD", True, fields=RECORD.fields))


def sql_type(field: Field) -> str:
    """A field's type as SQL writes it."""
    if field.repeated:
        return f"ARRAY<{sql_type(field.element)}>"
    if field.type == "RECORD":
        return f"STRUCT<{', '.join(f'{f.name} {sql_type(f)}' for f in field.fields)}>"
    return SQL_NAMES.get(field.type, field.type)


def check(googlesql: GoogleSql, table: BigQueryTable, source: Columns) -> None:
    """All queries of a table are accepted, and give what the source reads from them."""
    tables = {PATH: source, "shop.pages": source, DAILY: source}
    every_query = {**queries(table), "keys since": keys_since(table, SPAN, ["a", "b"])}
    for name, query in every_query.items():
        found = googlesql.prepare_steps(query.text, tables, query.parameters)
        if name in RESULTS:
            assert list(found.values()) == RESULTS[name], name
        if name in STAGES:
            check_stage(googlesql, table, found)


def check_stage(googlesql: GoogleSql, table: BigQueryTable, stage: Columns) -> None:
    """A stage with these columns can be read."""
    assert stage["sync_document"] == "STRING"
    for part in (PART, CHUNKED):
        query = stage_queries.batches(table, STAGE, 3, part, LIMITS)
        found = googlesql.prepare_steps(query.text, {STAGE: stage}, query.parameters)
        assert list(found.values()) == BATCHES


@pytest.mark.parametrize("name", TABLES)
def test_every_layout_and_cursor(googlesql: GoogleSql, name: str) -> None:
    """Each partitioning with each type of a cursor; a query of the user's own; all columns."""
    table = TABLES[name]
    assert table.cursor
    check(googlesql, table, {**SOURCE, "ts": CURSORS[table.cursor.type]})


@pytest.mark.parametrize("name", ["deleting rows", "daily tables, True"])
def test_steps_are_judged_as_their_statement(googlesql: GoogleSql, name: str) -> None:
    """A whole statement gives the columns that its last step gives."""
    table = TABLES[name]
    assert table.cursor
    source = {**SOURCE, "ts": CURSORS[table.cursor.type]}
    for query in queries(table).values():
        asked = (query.text, {PATH: source, DAILY: source}, query.parameters)
        assert googlesql.prepare(*asked) == googlesql.prepare_steps(*asked)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("WITH a AS (SELECT 1 AS x), b AS (SELECT y FROM a) SELECT * FROM b", "y"),
        ("WITH a AS (SELECT 1 AS x), b AS (SELECT x FROM a) SELECT LOWER(x) FROM b", "LOWER"),
        ("WITH a AS (SELECT [STRUCT(1 AS x)] AS y) SELECT e.z FROM a, UNNEST(y) AS e", "z"),
        ("WITH a AS (SELECT 1 AS x) SELECT x + @n FROM a", "n"),
        ("WITH a AS (SELECT 1 AS x) SELECT x FROM b", "b"),
    ],
)
def test_a_wrong_step_is_refused(googlesql: GoogleSql, statement: str, reason: str) -> None:
    """By what the steps before it give, and by the parameters that are declared."""
    for prepare in (googlesql.prepare, googlesql.prepare_steps):
        with pytest.raises(Exception, match=rf"\b{reason}\b"):
            prepare(statement, {})


def every_conversion() -> list[tuple[Field, str]]:
    """Each type, alone and in an array, with each Aito type that it can become."""
    scalars = [Field(f"c_{kind}", kind) for kind in TYPES]
    arrays = [Field(f"a_{kind}", kind, True) for kind in TYPES]
    return [
        (field, aito_type)
        for field in (*scalars, *arrays, *RECORDS)
        for aito_type in get_args(ColumnType)
        if is_convertible(field, aito_type)
    ]


def test_every_conversion(googlesql: GoogleSql) -> None:
    """All of them in one table, nullable or not."""
    conversions = every_conversion()
    assert len(conversions) > 70
    for nullable in (True, False):
        fields = [Field("id", "STRING"), Field("v", "STRING")]
        asked: dict[str, dict[str, object]] = {"id": {}, "v": {}}
        for number, (field, aito_type) in enumerate(conversions):
            name = f"c{number}"
            fields.append(Field(name, field.type, field.repeated, fields=field.fields))
            asked[name] = {"type": aito_type, "nullable": nullable}
        table = settings(columns=asked)
        described = BigQueryTable(
            table,
            table.source,
            Field("sync_cursor", "TIMESTAMP"),
            sql_columns=columns(table, fields),
        )
        source = {field.name: sql_type(field) for field in fields} | {"ts": "TIMESTAMP"}
        check(googlesql, described, source)


KEYS = [
    (kind, aito_type)
    for kind in TYPES
    for aito_type in KEY_TYPES
    if is_convertible(Field("id", kind), aito_type)
]


@pytest.mark.parametrize(("kind", "aito_type"), KEYS)
def test_every_key(googlesql: GoogleSql, kind: str, aito_type: str) -> None:
    """A key of each type that a key can have."""
    field = Field("id", kind)
    table = settings(columns={"id": {"type": aito_type}, "at": {"type": "Long"}})
    described = BigQueryTable(
        table, table.source, Field("sync_cursor", "DATE"), sql_columns=columns(table, [field])
    )
    check(googlesql, described, {"id": sql_type(field), "ts": "DATE"})


def test_a_key_of_every_type(googlesql: GoogleSql) -> None:
    """A key of several columns, one of each type that may be a part of it."""
    parts = [Field(f"c{number}", kind) for number, kind in enumerate(KEY_PART_TYPES)]
    asked: dict[str, object] = {part.name: {} for part in parts}
    table = settings(key=[part.name for part in parts], key_column="row", columns=asked)
    described = BigQueryTable(
        table, table.source, Field("sync_cursor", "DATE"), sql_columns=columns(table, parts)
    )
    source = {part.name: sql_type(part) for part in parts} | {"ts": "DATE"}
    check(googlesql, described, source)


def test_geography(googlesql: GoogleSql) -> None:
    """It is analyzed only, which the engine does not do with statements of many steps."""
    value = columns(settings(columns={"id": {}}), [Field("id", "GEOGRAPHY")])[0].value
    googlesql.analyze(f"SELECT {value} FROM `{PATH}`", {PATH: {"id": "GEOGRAPHY"}})


def test_a_source_without_cursor_and_key(googlesql: GoogleSql) -> None:
    """`replace` reads it whole."""
    table = settings(mode="replace", key=None, cursor=None, columns={"a": {}, "price(eur)?": {}})
    fields = [Field("a", "STRING"), Field("price(eur)?", "STRING")]
    described = BigQueryTable(table, table.source, sql_columns=columns(table, fields))
    source = {"a": "STRING", "price(eur)?": "STRING"}
    everything = whole(100_000, 1_000)
    staged = stage_queries.select(described, [everything], "{}")
    shard = batches(described, everything, LIMITS, 3)
    for query in (batches(described, None, LIMITS), shard, staged, row_count(described)):
        assert googlesql.prepare(query.text, {PATH: source}, query.parameters)


RESULT_TYPES = {"Int": "INT64", "Long": "INT64", "Decimal": "DOUBLE", "Boolean": "BOOL"}


def test_the_examples_of_a_refused_type(googlesql: GoogleSql) -> None:
    """The SQL that a message offers is accepted, and its result can become the type."""
    source: dict[str, str] = {}
    expected: dict[str, str] = {}
    selected = []
    pairs = itertools.product(TYPES, (False, True), get_args(ColumnType))
    for number, (kind, repeated, aito_type) in enumerate(pairs):
        field = Field(f"x{number}", kind, repeated)
        text = None if is_convertible(field, aito_type) else example(field, aito_type)
        if text is None:
            continue
        source[field.name] = field.sql_type
        selected.append(f"{text} AS y{number}")
        kind = "ARRAY" if aito_type.endswith("[]") else RESULT_TYPES.get(aito_type, "STRING")
        # A whole number can become a Decimal.
        is_length = repeated and kind == "DOUBLE"
        expected[f"y{number}"] = "INT64" if is_length else kind
    found = googlesql.prepare(f"SELECT {', '.join(selected)} FROM `{PATH}`", {PATH: source})
    assert found == expected
    assert len(found) > 50


def test_the_statements_of_a_stage(googlesql: GoogleSql) -> None:
    """It is made with its partitions and its expiry, and tells its plan."""
    table = settings(columns={"id": {}})
    made = columns(table, [Field("id", "STRING")])
    described = BigQueryTable(
        table, table.source, Field("sync_cursor", "TIMESTAMP"), sql_columns=made
    )
    source = {PATH: {"id": "STRING", "ts": "TIMESTAMP"}}
    slices = [PART, NEXT]
    create = stage_queries.create(described, STAGE, slices, "{}")
    assert create.text.startswith("CREATE TABLE `p.ledger.stage_1`\nPARTITION BY RANGE_BUCKET(")
    googlesql.analyze(create.text, source, create.parameters)
    staged = stage_queries.select(described, slices, "{}")
    stage = googlesql.prepare(staged.text, source, staged.parameters)
    plan = stage_queries.plan(STAGE)
    assert googlesql.prepare(plan.text, {STAGE: stage}, plan.parameters) == {"plan": "STRING"}


LEDGER_PARAMETERS: dict[str, ParameterType] = {
    "evaluation_id": "STRING",
    "max_runs": "INT64",
    "now": "INT64",
    "points": "INT64",
    "rejects_since": "TIMESTAMP",
    "run_id": "STRING",
    "runs_since": "TIMESTAMP",
    "seconds": "INT64",
    "since": "TIMESTAMP",
    "start": "INT64",
    "study_id": "STRING",
    "table": "STRING",
    "tables": "ARRAY<STRING>",
    "unfinished": "ARRAY<STRING>",
    "widths": "ARRAY<INT64>",
}

# BigQuery has this function; the engine only has what it stands for.
MAX_BY = re.compile(r"MAX_BY\((\w+), (.*)\) AS")


def ledger_tables() -> dict[str, Columns]:
    """The ledger's tables by path, as their definitions say."""
    return {
        f"p.ledger.{table}": {
            column["name"]: SQL_NAMES.get(column["type"], column["type"])
            for column in ledger_columns(table)
        }
        for table in PARTITIONED_BY
    }


@pytest.mark.parametrize("name", LEDGER_STATEMENTS)
def test_every_statement_of_the_ledger(googlesql: GoogleSql, name: str) -> None:
    """Its queries, and the DML of its leases."""
    text = MAX_BY.sub(r"ANY_VALUE(\1 HAVING MAX \2) AS", LEDGER_STATEMENTS[name])
    parameters = [
        Parameter(each, kind, None)
        for each, kind in LEDGER_PARAMETERS.items()
        if re.search(rf"@{each}\b", text)
    ]
    if text.split()[0] in ("SELECT", "WITH"):
        assert googlesql.prepare(text, ledger_tables(), parameters)
    else:
        googlesql.analyze(text, ledger_tables(), parameters)


def test_the_ledgers_statements_are_found() -> None:
    """Those of the leases, of the page, of the checkpoints and of the evaluations."""
    modules = {name.split(".")[0] for name in LEDGER_STATEMENTS}
    assert {"leases", "status_queries", "checkpoints", "evaluations", "ledger"} <= modules
    assert len(LEDGER_STATEMENTS) >= 20


def test_the_runbooks_undrop_is_a_statement(googlesql: GoogleSql) -> None:
    """The emulator has no time travel: whether the runbook's statement is one, the analyzer says.
    That a dataset comes back only BigQuery can show.
    """
    runbook = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text()
    [statement] = re.findall(r"'(UNDROP [^']+)'", runbook)
    googlesql.analyze(statement, {})
    with pytest.raises(Exception, match="Syntax error"):
        googlesql.analyze(statement.replace("SCHEMA", "DATASET"), {})
