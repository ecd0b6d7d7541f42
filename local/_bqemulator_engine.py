"""DuckDB inside the emulator: spares it work that a small statement pays for each time."""

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

import duckdb
import pyarrow

REMEMBERED_STATEMENTS = 500
READ_AND_WRITE = {"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE_INTO"}
# A format that DuckDB fills in as Python does.
TIME_OF_DAY = re.compile(r"(?:[^%]|%[HMSf])*")
# In UTC no calendar is needed. AT TIME ZONE asks DuckDB's for each value.
MACROS = """
CREATE OR REPLACE MACRO local_utc(moment) AS
  MAKE_TIMESTAMP(EPOCH_US(CAST(moment AS TIMESTAMPTZ)));
CREATE OR REPLACE MACRO local_time_text(format, moment) AS STRFTIME(local_utc(moment), format);
CREATE OR REPLACE MACRO local_date(moment) AS CAST(local_utc(moment) AS DATE)"""
# BigQuery's texts of values that Arrow's Python values already have, by DuckDB's type.
TEXTS: dict[str, Callable[[Any], str]] = {
    "VARCHAR": str,
    "BIGINT": str,
    "INTEGER": str,
    "DOUBLE": str,
    "BOOLEAN": lambda value: "true" if value else "false",
}


def register(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the functions of this module known to DuckDB."""
    connection.execute(MACROS)


@functools.lru_cache(REMEMBERED_STATEMENTS)
def _parsed(sql: str) -> Any:
    """A statement that DuckDB need not parse again, or its text where it is of another kind."""
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error:
        return sql  # DuckDB says again what is wrong with it
    if len(statements) != 1 or statements[0].type.name not in READ_AND_WRITE:
        return sql
    return statements[0]


def execute(engine: Any, sql: str, parameters: list[Any] | None = None) -> Any:
    """Stands for the engine's method: a text that comes again is not parsed again."""
    return engine.connection.execute(_parsed(sql), parameters)


def with_types(table: Any, description: Sequence[tuple[Any, ...]] | None) -> Any:
    """Write DuckDB's type of each column into the table, as the emulator does, without a cast."""
    if not table.num_columns:
        return table
    kinds = {name: str(kind) for name, kind, *_ in description or ()}
    fields = [
        field.with_metadata({**(field.metadata or {}), b"bqemu.duckdb_type": kinds[field.name]})
        for field in table.schema
    ]
    schema = pyarrow.schema(fields, metadata=table.schema.metadata)
    return pyarrow.Table.from_arrays(table.columns, schema=schema)


def time_of_day_by_duckdb(rewrite: Callable[..., Any]) -> Callable[..., Any]:
    """Let DuckDB write the time of day in UTC. The emulator calls Python for each value."""
    from sqlglot import exp

    def rewrite_or_call(node: Any) -> Any:
        call = rewrite(node)
        if call is None:
            return None
        format_, moment, zone = call.expressions
        texts = isinstance(format_, exp.Literal) and isinstance(zone, exp.Literal)
        if not texts or zone.name != "UTC" or not TIME_OF_DAY.fullmatch(format_.name):
            return call
        return exp.Anonymous(this="local_time_text", expressions=[format_, moment])

    return rewrite_or_call


def date_by_duckdb(write: Callable[..., str]) -> Callable[..., str]:
    """Let DATE(moment, 'UTC') do without time zones, which take four fifths of its time."""

    def write_date(generator: Any, date: Any) -> str:
        zone = date.args.get("zone")
        if zone is None or not zone.is_string or zone.name != "UTC":
            return write(generator, date)
        return str(generator.func("LOCAL_DATE", date.this))

    return write_date


def converter_of_rows() -> Callable[..., list[dict[str, Any]]]:
    """Writes rows for an answer. It looks once for each column how its values are written, where
    the emulator looks for each value.
    """

    from bqemulator.storage import arrow_bridge

    bridge: Any = arrow_bridge

    def texts(column: Any, field: Any) -> list[Any]:
        kind = (field.metadata or {}).get(b"bqemu.duckdb_type", b"").decode()
        plain = TEXTS.get(kind)
        values = column.to_pylist()
        if plain is None:
            return [bridge._format_bq_value(value, field.type, field=field) for value in values]
        return [None if value is None else plain(value) for value in values]

    def convert(table: Any, offset: int = 0, limit: int | None = None) -> list[dict[str, Any]]:
        part = table.slice(offset, limit)
        if not table.num_columns or not table.num_rows:
            return []
        columns = map(texts, part.columns, part.schema)
        return [{"f": [{"v": value} for value in row]} for row in zip(*columns, strict=True)]

    return convert
