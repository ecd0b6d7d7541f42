"""Whether a table's columns can be its cursor, its key and its `deletes`."""

from __future__ import annotations

from collections.abc import Sequence

from google.cloud import bigquery

from sync.base.errors import SchemaMismatch
from sync.bigquery import views
from sync.bigquery.types import CURSOR_TYPES, Field, quoted
from sync.bigquery.unstable import plain, sampling, unstable_column, unstable_function
from sync.config import CursorSettings, TableSettings

FRACTIONS = ("FLOAT", "NUMERIC", "BIGNUMERIC")
# What `deletes` may mean when it is a column of another type.
DELETE_CONDITIONS = {"STRING": "{0} = 'true'", "INTEGER": "{0} != 0"}


def check_deletes(table: TableSettings, fields: Sequence[Field]) -> None:
    """Raises SchemaMismatch when `deletes` is no condition."""
    if table.deletes is None:
        return
    found = next(field for field in fields if field.name == "sync_deleted")
    if found.type == "BOOLEAN" and not found.repeated:
        return
    right = DELETE_CONDITIONS.get(found.type, "{0} IS NOT NULL").format(table.deletes)
    kind = f"ARRAY<{found.type}>" if found.repeated else found.type
    raise SchemaMismatch(
        f"{table.name}: {table.at('deletes')}: it is {kind}, and must be a condition or a BOOL"
        f' column, such as "{right}"'
    )


def cursor_field(table: TableSettings, fields: Sequence[Field]) -> Field | None:
    """The cursor's field. Raises SchemaMismatch when it is no moment, or not as configured."""
    if table.cursor is None:
        return None
    found = next(field for field in fields if field.name == "sync_cursor")
    problem = _cursor_problem(table, table.cursor, found)
    if problem:
        place = table.at("cursor", "source")
        raise SchemaMismatch(f"{table.name}: {place}: {table.cursor.source} {problem}")
    return found


def _cursor_problem(table: TableSettings, cursor: CursorSettings, found: Field) -> str | None:
    """Why a column cannot be the cursor, and what would be right."""
    if found.type == "STRING" and not found.repeated:
        right = _made_by(table, cursor.source, "TIMESTAMP({0})")
        number = "" if table.is_sharded else "; where it holds an epoch, CAST(... AS INT64) instead"
        return f"is STRING, which tells no order of time; {right}{number}"
    if found.type in FRACTIONS and not found.repeated:
        right = _made_by(table, cursor.source, "CAST({0} AS INT64)")
        return (
            f"is {found.sql_type}; it must be TIMESTAMP, DATETIME, DATE or INT64 of an epoch. Where"
            f" it holds an epoch, {right}"
        )
    if found.type not in CURSOR_TYPES or found.repeated:
        return f"is {found.sql_type}; it must be TIMESTAMP, DATETIME, DATE or INT64 of an epoch"
    if cursor.unit != "s" and found.type != "INTEGER":
        return f"is {found.type}, and cursor.unit is for an INT64; leave `unit` out"
    if cursor.zone != "UTC" and found.type not in ("DATETIME", "DATE"):
        return f"is {found.type}, and cursor.zone is for a DATETIME or DATE; leave `zone` out"
    return None


def _made_by(table: TableSettings, column: str, expression: str) -> str:
    """How to make a cursor of a column by an expression."""
    name = quoted(column)
    if table.is_sharded:  # a query would read all its tables
        return "take a column that tells the moment, such as event_timestamp with `unit: us`"
    if table.query:
        return f"write `{expression.format(column)} AS {column}` into the query"
    where = f" WHERE {table.where}" if table.where else ""
    made = expression.format(name)
    select = f"SELECT * REPLACE({made} AS {name}) FROM `{table.source}`{where}"
    return f'instead of `source` write  query: "{select}"'


def _check_not_sampled(table: TableSettings, found: str) -> None:
    """Raises SchemaMismatch when the source shows other rows at each reading."""
    if found:
        column = table.key_parts[0]
        raise SchemaMismatch(
            f"{table.name}: {found} shows other rows at each reading, so each run would load and"
            " delete some. Choose rows by their key, such as"
            f" MOD(ABS(FARM_FINGERPRINT(CAST({column} AS STRING))), 10) = 0"
        )


def check_key_is_stable(table: TableSettings, metadata: bigquery.Table | None) -> None:
    """Raises SchemaMismatch when the text of a SELECT shows a key that changes by itself."""
    if table.mode == "replace":
        return  # all rows are made anew together
    text = table.query or views.text_of(metadata)
    condition = f"WHERE {table.where}" if table.where else ""
    _check_not_sampled(table, sampling(f"{text} {condition}"))
    for part in table.key_parts:
        sql = table.named[part].sql if part in table.named else None
        check_made_by(table, part, unstable_function(plain(sql)) if sql else "")
        check_made_by(table, part, unstable_column(with_own_sql(table, part, text), part))


def with_own_sql(table: TableSettings, part: str, text: str) -> str:
    """A SELECT with a column of the configuration in front."""
    sql = table.named[part].sql if part in table.named else None
    return f"SELECT ({sql}) AS {part} FROM ({text})" if sql else text


def check_made_by(table: TableSettings, part: str, found: str) -> None:
    """Raises SchemaMismatch when a function was found that makes the key another one each time."""
    if found:
        raise SchemaMismatch(
            f"{table.name}: the key {part} is made by {found}. It is another one at each"
            " reading, so each run would load rows again. Take columns that stay with the row,"
            " such as key: [order_id, line]"
        )
