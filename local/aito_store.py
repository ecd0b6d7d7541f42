"""Tables and rows of the Aito stand-in, in an in-memory SQLite.

One connection behind one lock: Aito has one writer per table too, and nothing a test does needs more. Every public
method is one step that others see whole or not at all.
"""

import re
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

from local.aito_query import TRUE, Field, Scope, Sql, order, selected
from local.aito_schema import (
    SQL_TYPES,
    Column,
    Json,
    Refusal,
    Table,
    check_name,
    encode_rows,
    parse_column,
    parse_table,
)

Document = dict[str, Json]

_QUERY_KEYS = {"from", "where", "orderBy", "select", "offset", "limit"}
_AGGREGATES = {"$mean": "AVG", "$sum": "SUM", "$min": "MIN", "$max": "MAX"}
_ALL = 2**31 - 1  # more rows than fit
_NUMBERS = {"Int", "Long", "Decimal"}


@dataclass(frozen=True)
class Changes:
    """What a `_modify` did, in rows."""

    inserted: int = 0
    modified: int = 0
    deleted: int = 0

    def __add__(self, other: "Changes") -> "Changes":
        return Changes(self.inserted + other.inserted, self.modified + other.modified, self.deleted + other.deleted)


class Store:
    """A database: tables by name, rows in SQLite."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._tables: dict[str, Table] = {}
        self._numbers = count()

    # -- schema ---------------------------------------------------------------------------------------------------

    def schema(self) -> Document:
        """All tables, as `GET /schema` shows them."""
        with self._lock:
            return {"schema": {name: table.spec for name, table in self._tables.items()}}

    def table(self, name: str) -> Table:
        """A table by name, or the documented 404."""
        if name not in self._tables:
            raise Refusal(404, f"No such table: {name}")
        return self._tables[name]

    def column(self, table: str, name: str) -> Column:
        """A column by name, or a 404."""
        columns = self.table(table).columns
        if name not in columns:
            raise Refusal(404, f"No such column: {table}.{name}")
        return columns[name]

    def put_database(self, specs: Json) -> None:
        """`PUT /schema`: several tables at once; their links may point to one another."""
        if not isinstance(specs, dict):
            raise Refusal(400, 'The schema must be {"schema": {table: {...}}}')
        with self._lock:
            made = {name: self._parsed(name, spec) for name, spec in specs.items()}
            for name, table in made.items():
                self._check_links(name, table, self._tables | made)
                self._check_linked(name, table)
            for name, table in made.items():
                self._replace(name, table)

    def put_table(self, name: str, spec: Json) -> None:
        """`PUT /schema/{table}`: make it, or replace it while it is empty."""
        with self._lock:
            table = self._parsed(name, spec)
            self._check_links(name, table, self._tables | {name: table})
            self._check_linked(name, table)
            self._replace(name, table)

    def put_column(self, table: str, name: str, spec: Json) -> None:
        """`PUT /schema/{table}/{column}`: on a table with rows only a new, nullable column, or the same once more."""
        with self._lock:
            there = self.table(table)
            column = parse_column(table, name, f"c{next(self._numbers)}n", spec)
            self._check_links(table, Table(there.physical, {name: column}), self._tables)
            before = there.columns.get(name)
            if before is not None and before.spec == column.spec:
                return
            self._check_column_change(table, name, before, column)
            if before is not None:
                self._drop_column(there, name)
            self._db.execute(f"ALTER TABLE {there.physical} ADD COLUMN {_declared(column)}")
            there.columns[name] = column

    def drop_table(self, name: str) -> None:
        """`DELETE /schema/{table}`; refused while another table links to it."""
        with self._lock:
            table = self.table(name)
            self._check_unlinked(name)
            self._db.execute(f"DROP TABLE {table.physical}")
            del self._tables[name]

    def drop_all(self) -> list[str]:
        """`DELETE /schema`. -> the names that were there."""
        with self._lock:
            names = list(self._tables)
            for table in self._tables.values():
                self._db.execute(f"DROP TABLE {table.physical}")
            self._tables.clear()
            return names

    def drop_column(self, table: str, name: str) -> None:
        """`DELETE /schema/{table}/{column}`; refused while another table links to it."""
        with self._lock:
            self.column(table, name)
            self._check_unlinked(f"{table}.{name}")
            if len(self.table(table).columns) == 1:
                raise Refusal(400, f"Column `{table}.{name}` is the only one; delete the table instead")
            self._drop_column(self.table(table), name)

    def rename(self, old: str, new: str, replace: bool) -> None:
        """`_rename`: atomic, rows and all; with `replace` it takes the place of the table that is there."""
        with self._lock:
            table = self.table(old)
            if new == old:
                return
            self._check_unlinked(old)
            self._make_room(new, table, replace)
            del self._tables[old]
            self._tables[new] = table

    def copy(self, old: str, new: str, replace: bool) -> None:
        """`_copy`: schema and rows under a second name."""
        with self._lock:
            source = self.table(old)
            if new == old:
                raise Refusal(400, f"Table `{old}` cannot be copied onto itself")
            self._make_room(new, source, replace)
            table = Table(self._physical(), dict(source.columns))
            self._create(new, table)
            columns = ", ".join(column.physical for column in source.columns.values())
            self._db.execute(
                f"INSERT INTO {table.physical} ({columns}) SELECT {columns} FROM {source.physical} ORDER BY rowid"
            )

    def _physical(self) -> str:
        return f"t{next(self._numbers)}"

    def _parsed(self, name: str, spec: Json) -> Table:
        if name in self._tables and self.count(name):
            reason = "The table contains data, please delete the data first."
            raise Refusal(400, f"Cannot replace table `{name}` schema. {reason}")
        return parse_table(name, self._physical(), spec)

    def _replace(self, name: str, table: Table) -> None:
        if name in self._tables:
            self._db.execute(f"DROP TABLE {self._tables[name].physical}")
        self._create(name, table)

    def _create(self, name: str, table: Table) -> None:
        columns = ", ".join(_declared(column) for column in table.columns.values())
        self._db.execute(f"CREATE TABLE {table.physical} ({columns})")
        self._tables[name] = table

    def _check_links(self, name: str, table: Table, tables: dict[str, Table]) -> None:
        for key, column in table.columns.items():
            if column.link is None:
                continue
            target, _, linked = str(column.link).partition(".")
            if target not in tables or linked not in tables[target].columns:
                raise Refusal(400, f"Column `{name}.{key}` links to `{column.link}`, which does not exist")

    def _check_unlinked(self, target: str) -> None:
        for name, table in self._tables.items():
            for key, column in table.columns.items():
                if f"{column.link}.".startswith(f"{target}.") and name != target.partition(".")[0]:
                    raise Refusal(400, f"Cannot remove `{target}`: column `{name}.{key}` links to it")

    def _check_linked(self, name: str, table: Table) -> None:
        """What takes the place of a table must have the columns that others link to."""
        for column in self._tables[name].columns.keys() - table.columns.keys() if name in self._tables else ():
            self._check_unlinked(f"{name}.{column}")

    def _check_column_change(self, table: str, name: str, before: Column | None, column: Column) -> None:
        if not self.count(table):
            return
        if before is not None:
            raise Refusal(400, f"Cannot change column `{table}.{name}`: the table contains data")
        if not column.nullable:
            raise Refusal(400, f"Cannot add column `{table}.{name}`: the table contains data, so it must be nullable")

    def _drop_column(self, table: Table, name: str) -> None:
        column = table.columns.pop(name)
        self._db.execute(f"DROP INDEX IF EXISTS {_index_name(table.physical, column.physical)}")
        self._db.execute(f"ALTER TABLE {table.physical} DROP COLUMN {column.physical}")

    def _make_room(self, name: str, table: Table, replace: bool) -> None:
        """Drop the table whose place another one takes."""
        check_name(name)
        if name not in self._tables:
            return
        if not replace:
            raise Refusal(400, f"Table `{name}` already exists")
        self._check_linked(name, table)
        self._db.execute(f"DROP TABLE {self._tables.pop(name).physical}")

    # -- rows -----------------------------------------------------------------------------------------------------

    def insert(self, name: str, rows: Sequence[Json]) -> int:
        """Add rows, all or none. -> how many. Nothing is unique: a row sent twice is there twice."""
        with self._lock:
            table = self.table(name)
            encoded = encode_rows(name, table, rows)
            marks = ", ".join("?" * len(table.columns))
            with self._atomic():
                self._many(f"INSERT INTO {table.physical} VALUES ({marks})", encoded)
            return len(rows)

    def count(self, name: str, where: Json = None) -> int:
        """How many rows match."""
        with self._lock:
            self.table(name)
            scope = Scope(name, self._tables)
            return self._count(scope, scope.condition(where or {}))

    def search(self, query: Json) -> Document:
        """`_search` and `_query`."""
        with self._lock:
            scope = self._scope(query, _QUERY_KEYS)
            condition = scope.condition(query.get("where", {}))
            offset, limit = number(query, "offset", 0), number(query, "limit", 10)
            fields, ordering = selected(scope, query.get("select")), order(scope, query.get("orderBy"))
            total = self._count(scope, condition)
            hits = self._documents(scope, condition, fields, ordering, limit, offset) if limit else []
            return {"offset": offset, "total": total, "hits": hits}

    def head(self, query: Json, fields: Sequence[str]) -> list[tuple[int, list[Json]]]:
        """The rows that match `from` and `where`, in the table's own order. -> (position in the table, values)."""
        with self._lock:
            scope = Scope(query["from"], self._tables)
            condition = scope.condition(query.get("where", {}))
            shown = [scope.field(name) for name in fields]
            limit, offset = number(query, "limit", _ALL), number(query, "offset", 0)
            rows = self._select(scope, condition, ["m.rowid - 1", *(f.sql for f in shown)], "m.rowid", limit, offset)
            return [(row[0], _decoded(shown, row[1:])) for row in rows]

    def field_column(self, table: str, name: Json) -> Column:
        """The column a field of a query means, over one hop where it says so."""
        with self._lock:
            return Scope(table, self._tables).field(name).column

    def aggregate(self, query: Json) -> Document:
        """`_aggregate`: `["f.$max", ...]` over the rows that match."""
        with self._lock:
            scope = self._scope(query, {"from", "where", "aggregate"})
            condition = scope.condition(query.get("where", {}))
            asked = query.get("aggregate")
            if not isinstance(asked, list) or not asked:
                raise Refusal(400, 'aggregate takes an array such as ["field.$max"]', at="aggregate")
            row = next(self._select(scope, condition, [_aggregate(scope, each) for each in asked], "1", 1, 0))
            return dict(zip(asked, row, strict=True))

    def delete(self, name: str, where: Json) -> int:
        """Remove the rows that match. -> how many."""
        with self._lock:
            self.table(name)
            scope = Scope(name, self._tables)
            return self._change(scope, f"DELETE FROM {scope.table.physical} AS m", (), scope.condition(where))

    def modify(self, operations: Sequence[Json]) -> Changes:
        """`_modify`: all operations or none."""
        with self._lock, self._atomic():
            return sum((self._operation(each) for each in operations), Changes())

    def _operation(self, operation: Json) -> Changes:
        match operation:
            case {"into": str(name), "insert": rows, **rest} if not rest:
                return Changes(inserted=self.insert(name, rows if isinstance(rows, list) else [rows]))
            case {"from": str(name), "delete": where, **rest} if not rest:
                return Changes(deleted=self.delete(name, where))
            case {"update": str(name), "where": where, "set": dict(values), **rest} if values and rest.keys() <= {
                "upsert"
            }:
                return self._update(name, where, values, rest.get("upsert") is True)
        raise Refusal(400, "An operation is one of into/insert, update/where/set and from/delete")

    def _update(self, name: str, where: Json, values: Document, upsert: bool) -> Changes:
        table = self.table(name)
        scope = Scope(name, self._tables)
        condition = scope.condition(where)
        present = Table(table.physical, {key: self.column(name, key) for key in values})
        encoded = encode_rows(name, present, [values])[0]
        if upsert and not self._count(scope, condition):
            return Changes(inserted=self.insert(name, [{**where, **values}]))
        setters = ", ".join(f"{column.physical} = ?" for column in present.columns.values())
        return Changes(
            modified=self._change(scope, f"UPDATE {table.physical} AS m SET {setters}", tuple(encoded), condition)
        )

    def _scope(self, query: Json, keys: set[str]) -> Scope:
        if not isinstance(query, dict) or not isinstance(query.get("from"), str):
            raise Refusal(400, "a query is an object with a table in `from`")
        for key in query.keys() - keys:
            raise Refusal(400, f"unknown key '{key[:80]}' in the query", at=key)
        return Scope(query["from"], self._tables)

    def _documents(
        self, scope: Scope, condition: Sql, fields: list[Field], ordering: str, limit: int, offset: int
    ) -> list[Document]:
        """Hits: values by field name, nulls left out."""
        names = [field.name for field in fields]
        rows = self._select(scope, condition, [field.sql for field in fields], ordering, limit, offset)
        decoded = (_decoded(fields, row) for row in rows)
        return [{name: value for name, value in zip(names, row, strict=True) if value is not None} for row in decoded]

    def _count(self, scope: Scope, condition: Sql) -> int:
        return int(next(self._select(scope, condition, ["COUNT(*)"], "1", 1, 0))[0])

    def _select(
        self, scope: Scope, condition: Sql, columns: list[str], ordering: str, limit: int, offset: int
    ) -> Iterator[tuple[Any, ...]]:
        self._index(scope)
        text = f"SELECT {', '.join(columns)} FROM {scope.table.physical} m WHERE {condition.text}"
        values = [*condition.values, limit, offset]
        return iter(self._run(f"{text} ORDER BY {ordering} LIMIT ? OFFSET ?", values))

    def _change(self, scope: Scope, statement: str, values: tuple[Any, ...], condition: Sql) -> int:
        self._index(scope)
        return self._run(f"{statement} WHERE {condition.text}", [*values, *condition.values]).rowcount

    def _index(self, scope: Scope) -> None:
        """Make the indexes a statement would like, once: the engine has every column indexed."""
        for table, column in scope.indexes:
            self._db.execute(f"CREATE INDEX IF NOT EXISTS {_index_name(table, column)} ON {table} ({column})")
        scope.indexes.clear()

    def _run(self, statement: str, values: Sequence[Any]) -> sqlite3.Cursor:
        with _storable():
            return self._db.execute(statement, values)

    def _many(self, statement: str, rows: list[list[Any]]) -> None:
        with _storable():
            self._db.executemany(statement, rows)

    @contextmanager
    def _atomic(self) -> Iterator[None]:
        """All or nothing; inside another one it is part of that."""
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # -- for tests, behind the client's back -----------------------------------------------------------------------

    def documents(self, name: str) -> list[Document]:
        """Every row in the order of insertion, as hits show it."""
        with self._lock:
            self.table(name)
            scope = Scope(name, self._tables)
            return self._documents(scope, TRUE, selected(scope, None), "m.rowid", -1, 0)

    def double(self, name: str, where: Json) -> int:
        """Store the rows that match once more. -> how many."""
        with self._lock:
            scope = Scope(name, self._tables)
            physical, condition = scope.table.physical, scope.condition(where)
            return self._change(scope, f"INSERT INTO {physical} SELECT m.* FROM {physical} m", (), condition)


@contextmanager
def _storable() -> Iterator[None]:
    """Values that no column could hold are the client's mistake."""
    try:
        yield
    except UnicodeEncodeError:
        raise Refusal(400, "Invalid text: a half of a surrogate pair is not a character") from None
    except OverflowError:
        raise Refusal(400, "Invalid number: beyond 64 bits") from None


def _declared(column: Column) -> str:
    return f"{column.physical} {SQL_TYPES.get(column.type, 'TEXT')}"


def _index_name(table: str, column: str) -> str:
    return f"i_{table}_{column}"


def _decoded(fields: Sequence[Field], row: Sequence[Any]) -> list[Json]:
    return [
        field.column.decode(value) if value is not None and field.column.decode else value
        for field, value in zip(fields, row, strict=True)
    ]


def number(query: Document, key: str, default: int) -> int:
    """A count in a query, such as its limit."""
    value = query.get(key, default)
    if type(value) is not int or not 0 <= value <= _ALL:
        raise Refusal(400, f"{key} must be a whole number from 0", at=key)
    return value


def _aggregate(scope: Scope, asked: Json) -> str:
    name, _, function = asked.rpartition(".") if isinstance(asked, str) else ("", "", "")
    field = scope.field(name)
    if function not in _AGGREGATES or field.column.type not in _NUMBERS:
        raise Refusal(400, f"cannot aggregate '{re.sub(r'[^ -~]', '?', str(asked))[:80]}'", at=str(asked))
    return f"{_AGGREGATES[function]}({field.sql})"
