"""The rows of the Aito stand-in: stored, found, counted, changed and removed."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from local.aito.parse import parse_rows
from local.aito.query import TRUE, Field, Scope, Sql, order, selected
from local.aito.schema import Column, Json, Refusal, Table, encode_rows
from local.aito.tables import Document, Tables

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
        return Changes(
            self.inserted + other.inserted,
            self.modified + other.modified,
            self.deleted + other.deleted,
        )


class Store(Tables):
    """A database: the rows in its tables.

    `objection`: why a row is refused that its schema allows, None for most.
    """

    objection: Callable[[Document], str | None] | None = None

    def insert(self, name: str, rows: Sequence[Json]) -> int:
        """Add rows, all or none.

        -> how many. Nothing is unique: a row sent twice is there twice.
        """
        with self._lock:
            table = self.table(name)
            try:
                encoded = self._encoded(name, table, rows)
            except Refusal:
                self._keep_rows_before(name, table, rows)
                raise
            self._add(table, encoded)
            return len(rows)

    def insert_text(self, name: str, body: bytes) -> int | None:
        """Add the rows of a JSON text. -> how many. None: `insert` must look at each of them."""
        table, columns = self._now(name)
        if self.objection or any(column.link for column in columns.values()):
            return None
        rows = parse_rows(columns, body)
        with self._lock:
            if rows is None or self._now(name) != (table, columns):
                return None
            self._add(table, rows)
            return len(rows)

    def _now(self, name: str) -> tuple[Table, dict[str, Column]]:
        """A table, and its columns at this moment."""
        with self._lock:
            table = self.table(name)
            return table, dict(table.columns)

    def _encoded(self, name: str, table: Table, rows: Sequence[Json]) -> list[tuple[Any, ...]]:
        encoded = encode_rows(name, table, rows)
        self._check_objections(name, rows)
        self._check_dangling(name, table, rows)
        return encoded

    def _add(self, table: Table, encoded: Sequence[Sequence[Any]]) -> None:
        marks = ", ".join("?" * len(table.columns))
        with self._atomic():
            self._many(f"INSERT INTO {table.physical} VALUES ({marks})", encoded)

    def _keep_rows_before(self, name: str, table: Table, rows: Sequence[Json]) -> None:
        """Store the good rows before the first bad one, where this build does so."""
        if self.switches.refused_rows == "none":
            return
        with suppress(Refusal):
            for row in rows:
                self._add(table, self._encoded(name, table, [row]))

    def _check_dangling(self, name: str, table: Table, rows: Sequence[Document]) -> None:
        links = {key: each.link for key, each in table.columns.items() if each.link}
        if self.switches.dangling_links or not links:
            return
        for key, link in links.items():
            target, _, column = str(link).partition(".")
            for row in rows:
                value = row.get(key)
                if value is not None and not self.count(target, {column: value}):
                    raise Refusal(400, f"Table `{name}`: column '{key}' links to no row")

    def _check_objections(self, name: str, rows: Sequence[Document]) -> None:
        for number, row in enumerate(rows) if self.objection else ():
            if self.objection and (why := self.objection(row)):
                raise Refusal(400, f"Table `{name}`, entry {number}: {why}")

    def count(self, name: str, where: Json = None) -> int:
        """How many rows match."""
        with self._lock:
            self.table(name)
            scope = self._scope_of(name)
            return self._count(scope, scope.condition(where or {}))

    def search(self, query: Json) -> Document:
        """`_search` and `_query`."""
        with self._lock:
            scope = self._scope(query, _QUERY_KEYS)
            condition = scope.condition(query.get("where", {}))
            offset, limit = number(query, "offset", 0), number(query, "limit", 10)
            fields, ordering = (
                selected(scope, query.get("select")),
                order(scope, query.get("orderBy"), self.switches.insertion_order),
            )
            if self.switches.refused_limit is not None and limit > self.switches.refused_limit:
                raise Refusal(400, f"limit must be at most {self.switches.refused_limit}")
            if self.switches.max_limit is not None:
                limit = min(limit, self.switches.max_limit)
            total = self._count(scope, condition)
            hits = (
                self._documents(scope, condition, fields, ordering, limit, offset) if limit else []
            )
            return {"offset": offset, "total": total, "hits": hits}

    def head(self, query: Json, fields: Sequence[str]) -> list[tuple[int, list[Json]]]:
        """The rows that match `from` and `where`, in the table's own order.

        -> (position in the table, values).
        """
        with self._lock:
            scope = self._scope_of(query["from"])
            condition = scope.condition(query.get("where", {}))
            shown = [scope.field(name) for name in fields]
            limit, offset = number(query, "limit", _ALL), number(query, "offset", 0)
            rows = self._select(
                scope, condition, ["m.rowid - 1", *(f.sql for f in shown)], "m.rowid", limit, offset
            )
            return [(row[0], _decoded(shown, row[1:])) for row in rows]

    def field_column(self, table: str, name: Json) -> Column:
        """The column a field of a query means, over one hop where it says so."""
        with self._lock:
            return self._scope_of(table).field(name).column

    def aggregate(self, query: Json) -> Document:
        """`_aggregate`: `["f.$max", ...]` over the rows that match."""
        with self._lock:
            scope = self._scope(query, {"from", "where", "aggregate"})
            condition = scope.condition(query.get("where", {}))
            asked = query.get("aggregate")
            if not isinstance(asked, list) or not asked:
                raise Refusal(
                    400, 'aggregate takes an array such as ["field.$max"]', at="aggregate"
                )
            row = next(
                self._select(
                    scope, condition, [_aggregate(scope, each) for each in asked], "1", 1, 0
                )
            )
            return dict(zip(asked, row, strict=True))

    def delete(self, name: str, where: Json) -> int:
        """Remove the rows that match. -> how many."""
        with self._lock:
            self.table(name)
            scope = self._scope_of(name)
            return self._change(
                scope, f"DELETE FROM {scope.table.physical} AS m", (), scope.condition(where)
            )

    def modify(self, operations: Sequence[Json]) -> Changes:
        """`_modify`: all operations or none."""
        way = self.switches.modify
        if way == "missing":
            raise Refusal(404, "The requested resource could not be found.")
        deletes = [each for each in operations if _is_delete(each)]
        others = [each for each in operations if not _is_delete(each)]
        if way == "inserts first":
            operations = [*others, *deletes]
        if way == "no delete":
            operations = others
        with self._lock, self._atomic():
            return sum((self._operation(each) for each in operations), Changes())

    def _operation(self, operation: Json) -> Changes:
        match operation:
            case {"into": str(name), "insert": rows, **rest} if not rest:
                return Changes(
                    inserted=self.insert(name, rows if isinstance(rows, list) else [rows])
                )
            case {"from": str(name), "delete": where, **rest} if not rest:
                if self.switches.modify == "wrong row":
                    return Changes(deleted=self._delete_another(name, where))
                return Changes(deleted=self.delete(name, where))
            case {"update": str(name), "where": where, "set": dict(values), **rest} if (
                rest.keys() <= {"upsert"}
            ):
                return self._update(name, where, values, rest.get("upsert") is True)
        raise Refusal(400, "An operation is one of into/insert, update/where/set and from/delete")

    def _delete_another(self, name: str, where: Json) -> int:
        """Remove one row that does not match, as some builds did."""
        scope = self._scope_of(name)
        other = scope.condition({"$not": where})
        first = f"SELECT MIN(m.rowid) FROM {scope.table.physical} m WHERE {other.text}"
        statement = f"DELETE FROM {scope.table.physical} WHERE rowid = ({first})"
        return self._run(statement, other.values).rowcount

    def _update(self, name: str, where: Json, values: Document, upsert: bool) -> Changes:
        table = self.table(name)
        scope = self._scope_of(name)
        condition = scope.condition(where)
        if not values:
            raise Refusal(400, "set names no field", at="set")
        present = Table(table.physical, {key: self.column(name, key) for key in values})
        encoded = encode_rows(name, present, [values])[0]
        if upsert and not self._count(scope, condition):
            return Changes(inserted=self.insert(name, [{**where, **values}]))
        setters = ", ".join(f"{column.physical} = ?" for column in present.columns.values())
        return Changes(
            modified=self._change(
                scope, f"UPDATE {table.physical} AS m SET {setters}", tuple(encoded), condition
            )
        )

    def _scope_of(self, name: str) -> Scope:
        return Scope(name, self._tables, max_or=self.switches.max_or)

    def _scope(self, query: Json, keys: set[str]) -> Scope:
        if not isinstance(query, dict) or not isinstance(query.get("from"), str):
            raise Refusal(400, "a query is an object with a table in `from`")
        for key in query.keys() - keys:
            raise Refusal(400, f"unknown key '{key[:80]}' in the query", at=key)
        return self._scope_of(query["from"])

    def _documents(
        self,
        scope: Scope,
        condition: Sql,
        fields: list[Field],
        ordering: str,
        limit: int,
        offset: int,
    ) -> list[Document]:
        """Hits: values by field name, nulls left out."""
        names = [field.name for field in fields]
        rows = self._select(
            scope, condition, [field.sql for field in fields], ordering, limit, offset
        )
        decoded = (_decoded(fields, row) for row in rows)
        if self.switches.null_booleans == "false":
            decoded = (_without_null_booleans(fields, row) for row in decoded)
        return [
            {name: value for name, value in zip(names, row, strict=True) if value is not None}
            for row in decoded
        ]

    def _count(self, scope: Scope, condition: Sql) -> int:
        return int(next(self._select(scope, condition, ["COUNT(*)"], "1", 1, 0))[0])

    def _select(
        self,
        scope: Scope,
        condition: Sql,
        columns: list[str],
        ordering: str,
        limit: int,
        offset: int,
    ) -> Iterator[tuple[Any, ...]]:
        self._index(scope.indexes)
        text = f"SELECT {', '.join(columns)} FROM {scope.table.physical} m WHERE {condition.text}"
        values = [*condition.values, limit, offset]
        return iter(self._run(f"{text} ORDER BY {ordering} LIMIT ? OFFSET ?", values))

    def _change(self, scope: Scope, statement: str, values: tuple[Any, ...], condition: Sql) -> int:
        self._index(scope.indexes)
        return self._run(
            f"{statement} WHERE {condition.text}", [*values, *condition.values]
        ).rowcount

    # -- for tests, behind the client's back

    def documents(self, name: str) -> list[Document]:
        """Every row in the order of insertion, as hits show it."""
        with self._lock:
            self.table(name)
            scope = self._scope_of(name)
            return self._documents(scope, TRUE, selected(scope, None), "m.rowid", -1, 0)

    def double(self, name: str, where: Json) -> int:
        """Store the rows that match once more. -> how many."""
        with self._lock:
            scope = self._scope_of(name)
            physical, condition = scope.table.physical, scope.condition(where)
            return self._change(
                scope, f"INSERT INTO {physical} SELECT m.* FROM {physical} m", (), condition
            )


def _is_delete(operation: Json) -> bool:
    return isinstance(operation, dict) and "delete" in operation


def _without_null_booleans(fields: Sequence[Field], row: list[Json]) -> list[Json]:
    return [
        False if value is None and field.column.type == "Boolean" else value
        for field, value in zip(fields, row, strict=True)
    ]


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
        raise Refusal(
            400, f"cannot aggregate '{re.sub(r'[^ -~]', '?', str(asked))[:80]}'", at=str(asked)
        )
    return f"{_AGGREGATES[function]}({field.sql})"
