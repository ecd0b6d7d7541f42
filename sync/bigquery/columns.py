"""The columns of a target table, with the SQL that makes their values. Pure.

`columns` joins what the configuration says with what BigQuery says of the source.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from sync.base import reasons
from sync.base.errors import SchemaMismatch
from sync.bigquery import types
from sync.bigquery.types import CURSOR_TYPES, Field, quoted
from sync.config import ColumnSettings, TableSettings
from sync.config.settings import NAME, NAME_RULE
from sync.model.columns import Column

NAME_PATTERN = re.compile(NAME)
KEY_TYPES = ("String", "Int", "Long")
TEXT_KEYS = ("FLOAT64", "NUMERIC", "BIGNUMERIC", "BOOL", "JSON")  # that may be a String
INT_32 = (-(2**31), 2**31 - 1)  # Aito's Int is 32-bit signed
EXACT_FLOAT = (-(2**53), 2**53)  # a double holds every integer of this range
# What queries add to a table's columns.
RESERVED_NAMES = {
    "sync_source",
    "sync_key",
    "sync_second",
    "sync_cursor",
    "sync_deleted",
    "sync_picked",
    "sync_timed",
}


class Fault(NamedTuple):
    """Why a row may not be sent: a condition in SQL, and the reason for people."""

    condition: str
    reason: str


@dataclass(frozen=True)
class SqlColumn:
    """A target column and its SQL over the source column of the same name.

    value: the value in a document. faults: what makes a row unfit.
    text: of a key, its value as text. origin: the type of the source column, as SQL writes it.
    """

    column: Column
    value: str
    faults: tuple[Fault, ...] = ()
    text: str = ""
    origin: str = ""

    @property
    def name(self) -> str:
        """The column's name in the target."""
        return self.column.name


class _Unfit(Exception):
    """A column that cannot be synced, and why."""


def columns(
    table: TableSettings, fields: Sequence[Field], chosen: Mapping[str, str] | None = None
) -> tuple[SqlColumn, ...]:
    """The columns of a target table, the cursor's last.

    fields: the columns that BigQuery reports, named as in the target.
    chosen: what columns become of which the configuration says nothing; the default otherwise.
    Raises SchemaMismatch with every column that cannot be synced.
    """
    cursor = table.cursor.column if table.cursor else None
    settings = table.named
    unsaid = ColumnSettings()  # one for all: it takes a while to make
    lowered = cursor.lower() if cursor else None
    if not table.has_composite_key:
        fields = _with_name_of_key(fields, table.key_name)
    made: list[SqlColumn] = []
    problems: list[str] = []
    unfit: list[str] = []
    for field in fields:
        if field.name.lower() == lowered:
            continue
        try:
            asked = settings.get(field.name, unsaid)
            made.append(_column(field, asked, table, (chosen or {}).get(field.name)))
        except _Unfit as error:
            problems.append(f"{_place(table, field.name)}: {error}")
            unfit.append(field.name)
    problems += _table_problems(table, fields, made)
    if problems:
        lines = "\n".join(f"  - {problem}" for problem in problems)
        remedy = _leaving_out(table, unfit)
        raise SchemaMismatch(
            f"{table.name}: the configuration's columns do not fit the source:\n{lines}{remedy}"
        )
    if table.has_composite_key:
        made.append(_composite_key(table, fields))
    if cursor:
        made.append(_cursor_column(cursor, settings.get(cursor, unsaid)))
    return tuple(made)


def _place(table: TableSettings, name: str) -> str:
    """Where the configuration names a column, or where it would."""
    return table.at("columns", name)


def _leaving_out(table: TableSettings, unfit: Sequence[str]) -> str:
    """How to leave out columns that the configuration does not name. Empty: it names them all."""
    named = {name.lower() for name in table.named}
    several = [name for name in unfit if name.lower() not in named]
    if not several:
        return ""
    left_out = json.dumps([*table.left_out, *several], ensure_ascii=False)
    return f'\nTo leave out what is not needed, write  columns: {{"*": {{except: {left_out}}}}}'


def is_same_name(name: str, other: str) -> bool:
    """Whether BigQuery takes two names of columns for one: it compares them without case."""
    return name.lower() == other.lower()


def check_names(table: TableSettings) -> None:
    """Raises SchemaMismatch when BigQuery would take two columns of a table for one."""
    names = list(table.named)
    if table.cursor and table.cursor.column not in names:
        names.append(table.cursor.column)
    first: dict[str, str] = {}
    problems = []
    for name in names:
        other = first.setdefault(name.lower(), name)
        if other != name:
            problems.append(f"  - {other} and {name}: BigQuery compares names without case")
    if problems:
        lines = "\n".join(problems)
        remedy = "Remedy: give one of them another name, with `sql:` for its source column."
        raise SchemaMismatch(f"{table.name}: columns with the same name:\n{lines}\n{remedy}")


def _with_name_of_key(fields: Sequence[Field], key: str | None) -> Sequence[Field]:
    """The key's column has the name that the configuration gives to the key."""
    if key is None:
        return fields
    lowered = key.lower()
    return [
        replace(field, name=key) if field.name.lower() == lowered else field for field in fields
    ]


def _table_problems(
    table: TableSettings, fields: Sequence[Field], made: Sequence[SqlColumn]
) -> Iterator[str]:
    yield from _key_problems(table, fields)
    if table.cursor and table.takes_all:
        yield from _hidden_by_cursor(table, table.cursor.column, fields)
    key = table.key_name
    for each in made:
        if each.name == key and each.column.type not in KEY_TYPES:
            yield (
                f"{_place(table, each.name)}: a key must be String, Int or Long,"
                f" not {each.column.type}; {_other_key(each)}"
            )


def _other_key(column: SqlColumn) -> str:
    """What to do about a key of an unfit type. origin: as SQL writes it."""
    if any(column.origin == name for name in TEXT_KEYS):
        return "declare `type: String`"
    return "make a STRING of it by `sql`"


def _key_problems(table: TableSettings, fields: Sequence[Field]) -> Iterator[str]:
    by_name = {field.name.lower(): field for field in fields}
    for part in table.key_parts:
        field = by_name.get(part.lower())
        if field is None:
            found = ", ".join(each.name for each in fields)
            at_key = table.at("key")
            yield f"{at_key}: {part}: the key is not a column of the source; it has {found}"
        elif table.has_composite_key:
            yield from _part_problems(table, field)
    if table.has_composite_key and table.key_column.lower() in by_name:
        yield (
            f"{table.at('key_column')}: {table.key_column}: the source has a column of this name,"
            " and the key of"
            f" {' and '.join(table.key_parts)} would hide it; give key_column another name"
        )


def _part_problems(table: TableSettings, field: Field) -> Iterator[str]:
    if field.type in types.KEY_PART_TYPES and not field.repeated:
        return
    kind = f"ARRAY<{field.type}>" if field.repeated else field.type
    yield (
        f"{_place(table, field.name)}: a column of type {kind} cannot be a part of the key,"
        " because equal values may have different texts;"
        " make a STRING or a whole number of it by `sql:`"
    )


def _composite_key(table: TableSettings, fields: Sequence[Field]) -> SqlColumn:
    """The column of a key of several columns. A part that is NULL is a fault of the part."""
    by_name = {field.name.lower(): field for field in fields}
    parts = [by_name[part.lower()] for part in table.key_parts]
    column = Column(table.key_column, "String", nullable=False)
    return SqlColumn(column, value="sync_key", text=types.composite_key_text(parts))


def _hidden_by_cursor(table: TableSettings, cursor: str, fields: Sequence[Field]) -> Iterator[str]:
    """A source column of the cursor's name is replaced. That is right only if it holds a time."""
    lowered = cursor.lower()
    for field in fields:
        if field.name.lower() == lowered and field.type not in CURSOR_TYPES:
            yield (
                f"{table.at('cursor', 'column')}: {field.name}: the source has a column of this"
                f" name ({field.type}), and"
                " cursor.column would hide it; give cursor.column another name"
            )


def _column(
    field: Field, settings: ColumnSettings, table: TableSettings, chosen: str | None
) -> SqlColumn:
    """One column. chosen: its type where the configuration names none. Raises _Unfit."""
    is_part = field.name.lower() in table.lowered_key_parts
    is_key = is_part and not table.has_composite_key
    _check_name(field.name)
    _check_type(field)
    default = "Text" if settings.analyzer else chosen or types.default_type(field)
    aito_type = settings.type or default
    _check_conversion(field, aito_type)
    column = Column(
        name=field.name,
        type=aito_type,
        nullable=_nullable(field, settings, is_key=is_part),
        link=settings.link,
        analyzer=settings.analyzer,
    )
    source = quoted(field.name)
    value = types.value(field, source, aito_type)
    if is_key and (field.type, aito_type) == ("INTEGER", "Int"):
        # A key that does not fit Int is compared with others, thus its document shows a number.
        value = types.exact_integer(source)
    return SqlColumn(
        column,
        value=value,
        faults=tuple(_faults(field, column)),
        text=types.key_text(field, source, aito_type) if is_key else "",
        origin=field.sql_type,
    )


def _check_name(name: str) -> None:
    remedy = "give it another name with `sql:`"
    if name.lower() in RESERVED_NAMES:
        raise _Unfit(f"a name of the sync's own; {remedy}")
    if not NAME_PATTERN.fullmatch(name):
        raise _Unfit(f"not {NAME_RULE}; {remedy}")


def _check_type(field: Field) -> None:
    unknown = types.unknown_scalars(field)
    if not unknown:
        return
    if field.type == "RECORD":
        members = ", ".join(f"{member.name} ({member.type})" for member in unknown)
        raise _Unfit(f"{members} inside it cannot be converted; use `sql:`")
    remedy = types.REFUSED.get(field.type)
    if remedy:
        raise _Unfit(f"{field.type} has no counterpart in Aito; {remedy}")
    raise _Unfit(f"BigQuery type {field.type} is not known; use `sql:` to convert it")


def _check_conversion(field: Field, aito_type: str) -> None:
    if types.is_convertible(field, aito_type):
        return
    default = types.default_type(field)
    example = types.example(field, aito_type)
    by_sql = "use `sql:`"
    if example:
        by_sql = f"write such as sql: {json.dumps(example, ensure_ascii=False)}"
    raise _Unfit(
        f"{field.sql_type} cannot become {aito_type}; leave `type` out for {default}, or {by_sql}"
    )


def _nullable(field: Field, settings: ColumnSettings, *, is_key: bool) -> bool:
    if is_key:
        return False
    if settings.nullable is not None:
        return settings.nullable
    return not field.required or types.may_become_null(field)


def _faults(field: Field, column: Column) -> Iterator[Fault]:
    """What makes a row unfit. An integer that does not fit is reported, never altered."""
    scalar = column.type.removesuffix("[]")
    if scalar == "Int":
        yield _outside(field, column, INT_32)
    if scalar == "Decimal" and field.type == "INTEGER":
        yield _outside(field, column, EXACT_FLOAT)
    if not column.nullable and _can_be_null(field):
        condition = types.is_null(field, quoted(column.name), column.type)
        yield Fault(condition, reasons.null_not_allowed(column.name))


def _can_be_null(field: Field) -> bool:
    if field.repeated:  # an array that is NULL becomes an empty one
        return False
    return not field.required or types.may_become_null(field)


# The wider type to declare, by the type that is too narrow.
_WIDER: Mapping[str, str] = {"Int": "Long", "Decimal": "String"}


def _outside(field: Field, column: Column, limits: tuple[int, int]) -> Fault:
    least, greatest = limits
    name = quoted(column.name)
    expression = "element" if field.repeated else name
    number = types.scalar(field.element, expression, "Int")
    condition = f"{number} NOT BETWEEN {least} AND {greatest}"
    if field.repeated:
        condition = f"EXISTS(SELECT 1 FROM UNNEST({name}) AS element WHERE {condition})"
    wider = "String[]" if field.repeated else _WIDER[column.type]
    return Fault(
        condition,
        reasons.integer_does_not_fit(column.name, column.type, wider),
    )


def _cursor_column(name: str, settings: ColumnSettings) -> SqlColumn:
    column = Column(name, settings.type or "Int", nullable=False)
    if column.type != "Int":
        return SqlColumn(column, "sync_second")
    least, greatest = INT_32
    fault = Fault(
        f"sync_second NOT BETWEEN {least} AND {greatest}",
        reasons.cursor_does_not_fit(name),
    )
    return SqlColumn(column, "sync_second", (fault,))
