"""The names of a source's columns: which are taken, and which have none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from sync.base.errors import SchemaMismatch
from sync.bigquery import queries
from sync.bigquery.types import Field
from sync.config import TableSettings
from sync.config.problems import close, suggest

# What BigQuery calls a column, or a member of a struct, that has no name.
UNNAMED_COLUMN = r"f\d+_"
UNNAMED_MEMBER = r"(_field_\d+)?"


def named(table: TableSettings, fields: Sequence[Field], required: set[str]) -> Iterator[Field]:
    """The fields under their Aito names. A dry run does not say which columns are REQUIRED."""
    names = queries.listed(table)
    first = len(fields) - len(names)
    yield from _of_star(table, fields[:first], required)
    for field, name in zip(fields[first:], names, strict=True):
        is_source_column = table.named[name].sql is None
        yield replace(field, name=name, required=is_source_column and name.lower() in required)


def _of_star(table: TableSettings, fields: Sequence[Field], required: set[str]) -> Iterator[Field]:
    """All source columns less those that are left out or made by SQL.

    Raises SchemaMismatch when the configuration names a column that the source lacks.
    """
    _check_star(table, [field.name for field in fields])
    left_out = {name.lower() for name in table.left_out}
    names = {name.lower(): name for name in table.named}
    for field in fields:
        key = field.name.lower()
        name = names.get(key, field.name)
        is_made = name in table.named and table.named[name].sql is not None
        if key in left_out or is_made:
            continue
        is_plain = name == field.name and field.required == (key in required)
        yield field if is_plain else replace(field, name=name, required=key in required)


def _check_star(table: TableSettings, names: Sequence[str]) -> None:
    """Raises SchemaMismatch for columns that the source lacks.

    One that is left out may be gone from the source, unless its name is almost another one's.
    """
    if not table.takes_all:
        return
    known = {name.lower() for name in names}
    settled = {name.lower() for name in (*table.named, *table.left_out)}
    others = [name for name in names if name.lower() not in settled]
    cursor = table.cursor.column if table.cursor else None
    problems = [
        f"{table.at('columns', name)}: not a column of the source; {suggest(name, others)}"
        for name, made in table.named.items()
        if made.sql is None and name != cursor and name.lower() not in known
    ]
    problems += [
        f"{table.at('columns', '*')}: except {name}: not a column of the source;"
        f" {suggest(name, others)}"
        for name in table.left_out
        if name.lower() not in known and close(name, others)
    ]
    if problems:
        lines = "\n".join(f"  - {problem}" for problem in problems)
        raise SchemaMismatch(f"{table.name}: `columns` and the source differ:\n{lines}")


def unnamed_columns(fields: Sequence[Field]) -> list[str]:
    """Columns and struct members without a name."""
    columns_without = [
        f"column {place} (BigQuery calls it {field.name})"
        for place, field in enumerate(fields, 1)
        if re.fullmatch(UNNAMED_COLUMN, field.name)
    ]
    return columns_without + unnamed_members(fields)


def unnamed_members(fields: Sequence[Field]) -> list[str]:
    found = []
    for field in fields:
        for place, member in enumerate(field.fields, 1):
            if re.fullmatch(UNNAMED_MEMBER, member.name):
                found.append(f"member {place} of the struct {field.name}")
        found += unnamed_members(field.fields)
    return found
