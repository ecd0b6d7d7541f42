"""BigQuery columns and the configuration -> Aito columns, the SQL that makes them, and differences
to what Aito has.

Pure: no client, no clock. Each BigQuery type has one written conversion to each Aito type it may
become, so that no value hangs on TO_JSON_STRING's own conventions (it quotes integers beyond 2^53,
NaN and infinities, for instance).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sync.base.errors import SchemaMismatch
from sync.config import ColumnSettings, TableSettings
from sync.config.settings import NAME, NAME_RULE

INT_32 = (-(2**31), 2**31 - 1)  # Aito's Int is 32-bit signed
EXACT_FLOAT = (-(2**53), 2**53)  # beyond it a double no longer holds every integer
CURSOR_TYPES = ("TIMESTAMP", "DATETIME", "DATE", "INTEGER")
OUR_NAMES = {
    "sync_source",
    "sync_key",
    "sync_second",
    "sync_cursor",
    "sync_picked",
    "sync_timed",
}  # what queries add to the columns
LEGACY_NAMES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}


@dataclass(frozen=True)
class Field:
    """A column of a BigQuery result.

    `type` is the API's name (INTEGER, FLOAT, BOOLEAN, RECORD, ...).
    """

    name: str
    type: str
    repeated: bool = False
    required: bool = False
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True)
class Column:
    """An Aito column: `value` is the SQL of its value over the source column, `faults` what makes
    a row unfit.
    """

    name: str
    type: str
    value: str
    nullable: bool = True
    link: str | None = None
    analyzer: Any = None
    faults: tuple[tuple[str, str], ...] = ()  # (SQL condition, reason for people)
    text: str = (
        ""  # of a key: the SQL of its value as text, the same text that a document's value has
    )

    def definition(self) -> dict[str, Any]:
        """The column as Aito's schema API takes it."""
        known = {
            "type": self.type,
            "nullable": self.nullable,
            "link": self.link,
            "analyzer": self.analyzer,
        }
        return {k: v for k, v in known.items() if v is not None}


def quoted(name: str) -> str:
    """A BigQuery identifier, quoted. Config admits no backtick and no backslash."""
    return f"`{name}`"


# BigQuery scalar -> the Aito type it becomes when nothing else is asked for, and the SQL that makes
# it.
_FINITE = "IF(IS_NAN({0}) OR IS_INF({0}), NULL, {0})"
_TIMESTAMP_TEXT = "CONCAT(CAST(DATE({0}) AS STRING), FORMAT_TIMESTAMP('T%H:%M:%E6SZ', {0}, 'UTC'))"
_DATETIME_TEXT = "CONCAT(CAST(DATE({0}) AS STRING), FORMAT_DATETIME('T%H:%M:%E6S', {0}))"
DEFAULTS: Mapping[str, tuple[str, str]] = {
    "STRING": ("String", "{0}"),
    "BYTES": ("String", "TO_BASE64({0})"),
    "INTEGER": ("Int", "{0}"),
    "FLOAT": ("Decimal", _FINITE),
    "NUMERIC": ("Decimal", "CAST({0} AS FLOAT64)"),
    "BIGNUMERIC": ("Decimal", "CAST({0} AS FLOAT64)"),
    "BOOLEAN": ("Boolean", "{0}"),
    "DATE": ("String", "CAST({0} AS STRING)"),
    "DATETIME": ("String", _DATETIME_TEXT),
    "TIME": ("String", "FORMAT_TIME('%H:%M:%E6S', {0})"),
    "TIMESTAMP": ("String", _TIMESTAMP_TEXT),
    "JSON": ("Json", "{0}"),
    "GEOGRAPHY": ("String", "ST_ASTEXT({0})"),
    "INTERVAL": ("String", "CAST({0} AS STRING)"),
}
# An exact integer in JSON whatever its size: as JSON it is printed bare, as INT64 it would be
# quoted beyond 2^53.
_EXACT_INTEGER = "PARSE_JSON(CAST({0} AS STRING))"
_SECONDS: Mapping[str, str] = {
    "TIMESTAMP": "UNIX_SECONDS(TIMESTAMP_TRUNC({0}, SECOND))",
    "DATETIME": "UNIX_SECONDS(TIMESTAMP_TRUNC(TIMESTAMP({0}), SECOND))",
    "DATE": "UNIX_SECONDS(TIMESTAMP({0}))",
    "INTEGER": "{0}",
}
# What else a scalar may become when the configuration asks for it.
CONVERSIONS: Mapping[tuple[str, str], str] = {
    **{(source, "Text"): sql for source, (aito, sql) in DEFAULTS.items() if aito == "String"},
    **{
        (source, text): "CAST({0} AS STRING)"
        for source in ("INTEGER", "BOOLEAN", "NUMERIC", "BIGNUMERIC", "FLOAT")
        for text in ("String", "Text")
    },
    **{(source, whole): sql for source, sql in _SECONDS.items() for whole in ("Int", "Long")},
    **{("JSON", text): "TO_JSON_STRING({0})" for text in ("String", "Text")},
    ("INTEGER", "Long"): _EXACT_INTEGER,
    (
        "INTEGER",
        "Decimal",
    ): _EXACT_INTEGER,  # not by way of FLOAT64: a reject's document must show the true number
    ("INTEGER", "Json"): _EXACT_INTEGER,
}


def epoch_seconds(field: Field, expression: str) -> str:
    """SQL of a cursor in whole epoch seconds.

    Truncated before it is converted: UNIX_SECONDS rounds elsewhere.
    """
    return _SECONDS[field.type].format(expression)


def _scalar(field: Field, expression: str, aito_type: str) -> str:
    default, sql = DEFAULTS[field.type]
    if aito_type != default:
        sql = CONVERSIONS[field.type, aito_type]
    return sql.format(expression)


def _json(field: Field, expression: str, depth: int = 0) -> str:
    """SQL of a value inside a Json column: as its default, but integers are exact at any size."""
    if field.repeated:
        return _array(_json(_element(field), _name(depth), depth + 1), expression, depth)
    if field.type == "RECORD":
        members = (
            f"{_json(f, f'{expression}.{quoted(f.name)}', depth)} AS {quoted(f.name)}"
            for f in field.fields
        )
        return f"IF({expression} IS NULL, NULL, STRUCT({', '.join(members)}))"
    return _scalar(
        field, expression, "Json" if field.type == "INTEGER" else DEFAULTS[field.type][0]
    )


def _name(depth: int) -> str:
    """What an array's element is called; each depth has its own, for an array may stand inside
    another's element.
    """
    return f"sync_element{depth or ''}"


def _array(element: str, expression: str, depth: int = 0) -> str:
    """SQL of an array, each element converted, in order; what converts to NULL (a NaN) is left
    out.
    """
    name, place = _name(depth), f"sync_place{depth or ''}"
    rows = f"UNNEST({expression}) AS {name} WITH OFFSET AS {place}"
    return f"ARRAY(SELECT {element} FROM {rows} WHERE {element} IS NOT NULL ORDER BY {place})"


def _element(field: Field) -> Field:
    return Field(field.name, field.type, fields=field.fields)


def default_type(field: Field) -> str:
    """The Aito type a BigQuery column becomes when the configuration names none."""
    if field.type == "RECORD":
        return "Json"
    scalar = DEFAULTS[field.type][0]
    return f"{scalar}[]" if field.repeated and scalar != "Json" else scalar


def _convertible(field: Field, aito_type: str) -> bool:
    if aito_type == default_type(field):
        return True
    if field.repeated:
        return aito_type == "Json" or (
            aito_type.endswith("[]") and _convertible(_element(field), aito_type[:-2])
        )
    return (field.type, aito_type) in CONVERSIONS


def _value(field: Field, expression: str, aito_type: str) -> str:
    if aito_type == "Json" and (field.repeated or field.type in ("RECORD", "INTEGER")):
        return _json(field, expression)
    if field.repeated:
        return _array(_scalar(_element(field), _name(0), aito_type[:-2]), expression)
    return _scalar(field, expression, aito_type)


def _faults(
    field: Field, name: str, value: str, aito_type: str, nullable: bool
) -> tuple[tuple[str, str], ...]:
    """What makes a row unfit, found where the value still is what it was: an integer is reported,
    never altered.
    """
    found = []
    scalar = aito_type.removesuffix("[]")
    limits = {"Int": INT_32, "Decimal": EXACT_FLOAT if field.type == "INTEGER" else None}.get(
        scalar
    )
    if limits:
        number = _scalar(
            _element(field),
            "element" if field.repeated else quoted(name),
            scalar if scalar == "Int" else "Int",
        )
        outside = f"{number} NOT BETWEEN {limits[0]} AND {limits[1]}"
        if field.repeated:
            outside = f"EXISTS(SELECT 1 FROM UNNEST({quoted(name)}) AS element WHERE {outside})"
        wider = "String[]" if field.repeated else "Long" if scalar == "Int" else "String"
        found.append(
            (outside, f"{name}: an integer that does not fit {aito_type}; declare `type: {wider}`")
        )
    if not nullable and not field.repeated:  # an array that is NULL becomes an empty one
        found.append((f"{value} IS NULL", f"{name}: NULL in a column that is not nullable"))
    return tuple(found)


def _column(name: str, field: Field, asked: ColumnSettings, is_key: bool) -> Column | str:
    """One Aito column, or the sentence that says why it cannot be."""
    if not re.fullmatch(NAME, name) or name.lower() in OUR_NAMES:
        what = "a name of the sync's own" if name.lower() in OUR_NAMES else f"not {NAME_RULE}"
        return f"{name}: {what}; list `columns` and give this one another name with `sql:`"
    if field.type == "RANGE":
        return f"{name}: RANGE has no counterpart in Aito; use `sql:` with RANGE_START or RANGE_END"
    if field.type not in DEFAULTS and field.type != "RECORD":
        return f"{name}: BigQuery type {field.type} is not known; use `sql:` to convert it"
    if unknown := [f"{f.name} ({f.type})" for f in _leaves(field) if f.type not in DEFAULTS]:
        return f"{name}: {', '.join(unknown)} inside it cannot be converted; use `sql:`"
    aito_type = asked.type or ("Text" if asked.analyzer else default_type(field))
    if not _convertible(field, aito_type):
        source = f"ARRAY<{field.type}>" if field.repeated else field.type
        return (
            f"{name}: {source} cannot become {aito_type}; leave `type` out for"
            f" {default_type(field)}, or use `sql:`"
        )
    nullable = (
        False if is_key else asked.nullable if asked.nullable is not None else not field.required
    )
    value = _value(field, quoted(name), aito_type)
    faults = _faults(field, name, value, aito_type, nullable)
    text = _text(field, name, value, aito_type) if is_key else ""
    return Column(name, aito_type, value, nullable, asked.link, asked.analyzer, faults, text)


def _text(field: Field, name: str, value: str, aito_type: str) -> str:
    """SQL of a key as text. Of a whole number from the number itself, for its value may be JSON."""
    whole = aito_type in ("Int", "Long") and field.type in _SECONDS
    return f"CAST({_SECONDS[field.type].format(quoted(name))} AS STRING)" if whole else value


def _leaves(field: Field) -> Iterable[Field]:
    for inner in field.fields:
        yield from _leaves(inner)
    if field.type != "RECORD":
        yield field


def columns(table: TableSettings, fields: Iterable[Field]) -> tuple[Column, ...]:
    """The Aito columns of a table, the cursor's included.

    fields: the columns of the source as the dry run gives them, named as in Aito.
    Raises SchemaMismatch with every column that cannot be made.
    """
    asked, fields = table.columns or {}, list(fields)
    cursor = table.cursor.column if table.cursor else None
    made = [
        _column(f.name, f, asked.get(f.name, ColumnSettings()), f.name == table.key)
        for f in fields
        if f.name != cursor
    ]
    wrong = [f"  - {m}" for m in made if isinstance(m, str)]
    key = next((c for c in made if isinstance(c, Column) and c.name == table.key), None)
    if table.key and table.key not in {f.name for f in fields}:
        wrong.append(
            f"  - {table.key}: the key is not a column of the source; it has"
            f" {', '.join(f.name for f in fields)}"
        )
    taken = next((f for f in fields if f.name == cursor and f.type not in CURSOR_TYPES), None)
    if taken and table.cursor and table.columns is None:
        wrong.append(
            f"  - {taken.name}: the source has a column of this name ({taken.type}), and"
            " cursor.column would hide it; give cursor.column another name"
        )
    if key and key.type not in ("String", "Int", "Long"):
        wrong.append(
            f"  - {key.name}: a key must be String, Int or Long, not {key.type}; declare another"
            " `type`"
        )
    if wrong:
        raise SchemaMismatch(f"{table.name}: the source does not fit Aito:\n" + "\n".join(wrong))
    return (
        *(c for c in made if isinstance(c, Column)),
        *([_cursor_column(table)] if cursor else []),
    )


def _cursor_column(table: TableSettings) -> Column:
    assert table.cursor
    name = table.cursor.column
    asked = (table.columns or {}).get(name, ColumnSettings())
    aito_type = asked.type or "Int"
    outside = f"sync_second NOT BETWEEN {INT_32[0]} AND {INT_32[1]}"
    reason = f"{name}: the cursor does not fit Int (it must lie between the years 1901 and 2038)"
    return Column(
        name,
        aito_type,
        "sync_second",
        False,
        faults=((outside, reason),) if aito_type == "Int" else (),
    )


def _same(wanted: Column, held: Mapping[str, Any]) -> list[str]:
    """What differs between a column wanted and the column Aito has.

    A Text column without analyzer reads `standard`.
    """
    differences = []
    if held.get("type") != wanted.type:
        differences.append(f"type is {held.get('type')} in Aito and {wanted.type} here")
    if held.get("link") != wanted.link:
        differences.append(
            f"link is {held.get('link', 'none')} in Aito and {wanted.link or 'none'} here"
        )
    if wanted.nullable and not held.get("nullable", False):
        differences.append("not nullable in Aito and nullable here")
    if (
        wanted.type == "Text"
        and wanted.analyzer
        and held.get("analyzer", "standard") != wanted.analyzer
    ):
        differences.append(
            f"analyzer is {held.get('analyzer', 'standard')} in Aito and {wanted.analyzer} here"
        )
    return differences


def missing_columns(
    table: str, wanted: Iterable[Column], held: Mapping[str, Mapping[str, Any]]
) -> list[Column]:
    """The columns to add to Aito's table. Raises SchemaMismatch with every other difference."""
    wanted = list(wanted)
    problems = [f"{c.name}: {d}" for c in wanted if c.name in held for d in _same(c, held[c.name])]
    missing = [c for c in wanted if c.name not in held]
    problems += [
        f"{c.name}: not in Aito, and only a nullable column can be added"
        for c in missing
        if not c.nullable
    ]
    named = {c.name for c in wanted}
    problems += [
        f"{name}: not nullable in Aito and not in the source"
        for name, column in held.items()
        if name not in named and not column.get("nullable", False)
    ]
    if problems:
        remedy = (
            "change `columns` in the configuration to match, or drop the table in Aito and let the"
            " next sync make it"
        )
        raise SchemaMismatch(
            f"{table}: Aito's table differs:\n"
            + "\n".join(f"  - {p}" for p in problems)
            + f"\nRemedy: {remedy}."
        )
    return missing
