"""The tables of the Aito stand-in: made, changed, linked, renamed and dropped, in an in-memory
SQLite.

One connection behind one lock: Aito has one writer per table too, and nothing a test does needs
more. Every public method is one step that others see whole or not at all.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

from local.aito.readback import collection_spec, column_spec, table_spec
from local.aito.schema import (
    SQL_TYPES,
    Column,
    Json,
    Mismatch,
    Refusal,
    Table,
    check_name,
    encode_value,
    parse_column,
    parse_table,
)
from local.aito.switches import Switches

Document = dict[str, Json]


class Tables:
    """Tables by name. What is in them is the business of `Store`."""

    def __init__(self, switches: Switches | None = None) -> None:
        self.switches = switches or Switches()
        self._lock = threading.RLock()
        self._db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._tables: dict[str, Table] = {}
        self._numbers = count()

    def schema(self) -> Document:
        """All tables, as `GET /schema` shows them."""
        with self._lock:
            tables = {name: self.spec(name) for name in self._tables}
            collections = {name: collection_spec() for name in self.switches.collections}
            return {"schema": tables | collections}

    def schema_of_version_2(self) -> Document:
        """All tables and collections, as `GET /api/v2/schema` shows them."""
        hidden = {name: collection_spec() for name in self.switches.hidden_collections}
        shown: Document = self.schema()["schema"]
        return {"schema": shown | hidden}

    def spec(self, name: str) -> Document:
        """A table as the schema endpoints show it."""
        return table_spec(name, self.table(name), self.switches)

    def column_spec(self, table: str, name: str) -> Document:
        """A column as the schema endpoints show it."""
        return column_spec(table, self.column(table, name), self.switches)

    def table(self, name: str) -> Table:
        """A table by name, or the documented 404."""
        self._check_kind(name)
        if name not in self._tables:
            raise Refusal(404, f"No such table: {name}")
        return self._tables[name]

    def has(self, name: str) -> bool:
        """Whether there is a table of this name."""
        return name in self._tables

    def _check_kind(self, name: str) -> None:
        if name in (*self.switches.collections, *self.switches.hidden_collections):
            raise Refusal(400, f"`{name}` is a collection and not a table")

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
        """`PUT /schema/{table}/{column}`: on a table with rows only a new, nullable column, or the
        same once more.
        """
        with self._lock:
            there = self.table(table)
            value, spec = _value(spec)
            column = self._column(table, name, spec)
            self._check_links(table, Table(there.physical, {name: column}), self._tables)
            before = there.columns.get(name)
            if before is not None and before.spec == column.spec:
                if self.switches.put_over_column == "empty":
                    self._run(f"UPDATE {there.physical} SET {before.physical} = NULL", [])
                return
            encoded = _encoded(table, name, column, value)
            self._check_column_change(table, name, before, column, encoded)
            self._db.execute(f"ALTER TABLE {there.physical} ADD COLUMN {_declared(column)}")
            if before is not None:
                self._drop_column(there, name)
            there.columns[name] = column
            self._run(f"UPDATE {there.physical} SET {column.physical} = ?", [encoded])

    def _column(self, table: str, name: str, spec: Json) -> Column:
        return self._known(parse_column(table, name, f"c{next(self._numbers)}n", spec))

    def _known(self, column: Column) -> Column:
        """The column, unless this build does not have its type."""
        if column.type == "Long" and not self.switches.long_type:
            raise Refusal(400, "unknown type 'Long'")
        return column

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
                raise Refusal(
                    400, f"Column `{table}.{name}` is the only one; delete the table instead"
                )
            self._drop_column(self.table(table), name)

    def rename(self, old: str, new: str, replace: bool) -> None:
        """`_rename`: atomic, rows and all; with `replace` it takes the place of the table that is
        there.
        """
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
                f"INSERT INTO {table.physical} ({columns}) SELECT {columns} FROM {source.physical}"
                " ORDER BY rowid"
            )

    def _physical(self) -> str:
        return f"t{next(self._numbers)}"

    def _parsed(self, name: str, spec: Json) -> Table:
        self._check_kind(name)
        filled = name in self._tables and self._has_rows(name)
        if filled and self.switches.put_over_rows == "refuse":
            reason = "The table contains data, please delete the data first."
            raise Refusal(400, f"Cannot replace table `{name}` schema. {reason}")
        table = parse_table(name, self._physical(), spec)
        for column in table.columns.values():
            self._known(column)
        return table

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
                raise Refusal(
                    400, f"Column `{name}.{key}` links to `{column.link}`, which does not exist"
                )

    def _check_unlinked(self, target: str) -> None:
        for name, table in self._tables.items():
            for key, column in table.columns.items():
                if f"{column.link}.".startswith(f"{target}.") and name != target.partition(".")[0]:
                    raise Refusal(
                        400, f"Cannot remove `{target}`: column `{name}.{key}` links to it"
                    )

    def _check_linked(self, name: str, table: Table) -> None:
        """What takes the place of a table must have the columns that others link to."""
        for column in (
            self._tables[name].columns.keys() - table.columns.keys() if name in self._tables else ()
        ):
            self._check_unlinked(f"{name}.{column}")

    def _check_column_change(
        self, table: str, name: str, before: Column | None, column: Column, value: Any
    ) -> None:
        if not self._has_rows(table):
            return
        if before is not None:
            raise Refusal(400, f"Cannot change column `{table}.{name}`: the table contains data")
        has_value = "without a value" if value is None else "with a value"
        if self.switches.new_columns not in ("any", has_value):
            reason = f"the table contains data, and takes no column {has_value}"
            raise Refusal(400, f"Cannot add column `{table}.{name}`: {reason}")
        if not column.nullable and value is None:
            raise Refusal(
                400,
                f"Cannot add column `{table}.{name}`: the table contains data, so it must be"
                " nullable or have a value",
            )

    def _drop_column(self, table: Table, name: str) -> None:
        column = table.columns.pop(name)
        self._db.execute(f"DROP INDEX IF EXISTS {_index_name(table.physical, column.physical)}")
        self._db.execute(f"ALTER TABLE {table.physical} DROP COLUMN {column.physical}")

    def _make_room(self, name: str, table: Table, replace: bool) -> None:
        """Drop the table whose place another one takes."""
        check_name(name)
        self._check_kind(name)
        if name not in self._tables:
            return
        if not replace:
            raise Refusal(400, f"Table `{name}` already exists")
        if not self.switches.rename_over_linked:
            self._check_unlinked(name)
        self._check_linked(name, table)
        self._db.execute(f"DROP TABLE {self._tables.pop(name).physical}")

    def _has_rows(self, name: str) -> bool:
        return (
            self._db.execute(f"SELECT 1 FROM {self._tables[name].physical} LIMIT 1").fetchone()
            is not None
        )

    def _index(self, pairs: set[tuple[str, str]]) -> None:
        """Make the indexes a statement would like, once: the engine has every column indexed."""
        for table, column in pairs:
            self._db.execute(
                f"CREATE INDEX IF NOT EXISTS {_index_name(table, column)} ON {table} ({column})"
            )

    def _run(self, statement: str, values: Sequence[Any]) -> sqlite3.Cursor:
        with _storable():
            return self._db.execute(statement, values)

    def _many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
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


@contextmanager
def _storable() -> Iterator[None]:
    """Values that no column could hold are the client's mistake."""
    try:
        yield
    except UnicodeEncodeError:
        raise Refusal(400, "Invalid text: a half of a surrogate pair is not a character") from None
    except OverflowError:
        raise Refusal(400, "Invalid number: beyond 64 bits") from None


def _value(spec: Json) -> tuple[Json, Json]:
    """The value that rows get which are there already, and the column without it."""
    if not isinstance(spec, dict) or "value" not in spec:
        return None, spec
    return spec["value"], {key: each for key, each in spec.items() if key != "value"}


def _encoded(table: str, name: str, column: Column, value: Json) -> Any:
    if value is None:
        return None
    try:
        return encode_value(column, value)
    except Mismatch:
        raise Refusal(
            400, f"Column `{table}.{name}`: the value does not fit {column.type}"
        ) from None


def _declared(column: Column) -> str:
    return f"{column.physical} {SQL_TYPES.get(column.type, 'TEXT')}"


def _index_name(table: str, column: str) -> str:
    return f"i_{table}_{column}"
