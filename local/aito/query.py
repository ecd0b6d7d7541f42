"""Aito's `where` and field names -> SQL for SQLite.

Everything a query may say is here; what is not documented for v1 (`$in`, say) is refused, as the
engine would. A row that lacks a value meets no comparison, and therefore every `$not` of one.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.aito.schema import Column, Json, Mismatch, Refusal, Table, encode_value

_COMPARISONS = {"$gte": ">=", "$gt": ">", "$lt": "<", "$lte": "<="}


@dataclass(frozen=True)
class Sql:
    """A piece of SQL and the values for its question marks, in order."""

    text: str
    values: tuple[Any, ...] = ()


TRUE = Sql("1")


@dataclass(frozen=True)
class Field:
    """A field of a query: its SQL, its column, and the index that makes looking for it fast."""

    name: str
    sql: str
    column: Column
    index: tuple[str, str]


@dataclass
class Scope:
    """The names a query on one table may use. The table's SQL alias is `m`.

    `indexes` gathers the (table, column) pairs that the SQL made so far would like to have an index
    on.
    """

    name: str
    tables: Mapping[str, Table]
    indexes: set[tuple[str, str]] = field(default_factory=set)
    max_or: int | None = None

    @property
    def table(self) -> Table:
        """The table itself."""
        if self.name not in self.tables:
            raise Refusal(400, f"failed to open '{self.name}'", at=self.name)
        return self.tables[self.name]

    def field(self, name: Json) -> Field:
        """A column, or `link.column` over one hop."""
        if not isinstance(name, str):
            raise Refusal(400, "a field must be named by a string")
        own, _, linked = name.partition(".")
        column = self.table.columns.get(own)
        if column is None:
            raise self._unknown(name)
        mine = f"m.{column.physical}"
        return (
            self._linked(name, column, mine, linked)
            if linked
            else Field(name, mine, column, self._index(column))
        )

    def condition(self, where: Json) -> Sql:
        """A proposition as SQL."""
        if not isinstance(where, dict):
            raise Refusal(400, "a proposition must be an object")
        return _all_of([self._part(key, value) for key, value in where.items()])

    def _index(self, column: Column) -> tuple[str, str]:
        return self.table.physical, column.physical

    def _linked(self, name: str, column: Column, mine: str, wanted: str) -> Field:
        target, _, key = (column.link or "").partition(".")
        table = self.tables.get(target)
        if table is None or key not in table.columns or wanted not in table.columns:
            raise self._unknown(name)
        there, shown = table.columns[key], table.columns[wanted]
        self.indexes.add((table.physical, there.physical))
        one = (
            f"(SELECT l.{shown.physical} FROM {table.physical} l WHERE l.{there.physical} = {mine}"
            " LIMIT 1)"
        )
        return Field(name, one, shown, self._index(column))

    def _unknown(self, name: str) -> Refusal:
        known = ", ".join(self.table.columns)
        return Refusal(
            400,
            f"field '{name[:80]}' not found in table '{self.name}'. Known fields: {known}",
            at=name,
        )

    def _part(self, key: str, value: Json) -> Sql:
        if key == "$and":
            return _all_of([self.condition(each) for each in _list(key, value)])
        if key == "$or":
            return self._any_of(_list(key, value))
        if key == "$not":
            return _not(self.condition(value))
        if key == "$index":
            return _index_condition(value)
        if key.startswith("$"):
            raise Refusal(400, f"unknown operator '{key[:80]}'", at=key)
        return self._operand(self.field(key), value)

    def _any_of(self, propositions: list[Json]) -> Sql:
        """`$or` of propositions; the many plain equalities a client sends become one IN, which an
        index answers.
        """
        values: dict[str, list[Json]] = {}
        others: list[Sql] = []
        for each in propositions:
            name, value = (
                next(iter(each.items()))
                if isinstance(each, dict) and len(each) == 1
                else ("$", None)
            )
            if name.startswith("$") or value is None or isinstance(value, dict | list):
                others.append(self.condition(each))
            else:
                values.setdefault(name, []).append(value)
        return _either(
            [*(self._among(self.field(name), each) for name, each in values.items()), *others]
        )

    def _operand(self, target: Field, value: Json) -> Sql:
        """What a field must be: a value, or one operator with its argument."""
        if not isinstance(value, dict) or target.column.type == "Json":
            return self._equal(target, value)
        if len(value) != 1 and not value.keys() <= _COMPARISONS.keys():
            raise Refusal(
                400,
                f"field '{target.name}': one operator at a time; use $and for several",
                at=target.name,
            )
        return _all_of(
            [
                self._operators(operator, target)(target, argument)
                for operator, argument in value.items()
            ]
        )

    def _operators(self, operator: str, target: Field) -> Callable[[Field, Json], Sql]:
        known: dict[str, Callable[[Field, Json], Sql]] = {
            "$or": self._field_or,
            "$and": lambda target, each: _all_of(
                [self._operand(target, one) for one in _list("$and", each)]
            ),
            "$not": lambda target, one: _not(self._operand(target, one)),
            **{name: self._comparison(sign) for name, sign in _COMPARISONS.items()},
        }
        if operator not in known:
            raise Refusal(
                400, f"field '{target.name}': unknown operator '{operator[:80]}'", at=operator
            )
        return known[operator]

    def _field_or(self, target: Field, operands: Json) -> Sql:
        """`{"f": {"$or": [...]}}` of values, operators or both."""
        each = _list("$or", operands)
        if self.max_or is not None and len(each) > self.max_or:
            raise Refusal(400, f"field '{target.name}': $or has too many values", at=target.name)
        plain = [
            value for value in each if value is not None and not isinstance(value, dict | list)
        ]
        others = [value for value in each if value is None or isinstance(value, dict | list)]
        among = [self._among(target, plain)] if plain else []
        return _either([*among, *(self._operand(target, value) for value in others)])

    def _among(self, target: Field, values: list[Json]) -> Sql:
        """One of many values.

        A statement takes 32,766 parameters, far above what fits into one query's patience.
        """
        self.indexes.add(target.index)
        encoded = tuple(_encode(target, value) for value in values)
        if len(encoded) > 30_000:
            raise Refusal(
                400, f"field '{target.name}': more than 30,000 values in one $or", at=target.name
            )
        return Sql(f"{target.sql} IN ({','.join('?' * len(encoded))})", encoded)

    def _equal(self, target: Field, value: Json) -> Sql:
        if value is None:
            return Sql(f"{target.sql} IS NULL")
        return self._among(target, [value])

    def _comparison(self, sign: str) -> Callable[[Field, Json], Sql]:
        def compare(target: Field, value: Json) -> Sql:
            self.indexes.add(target.index)
            return Sql(f"{target.sql} {sign} ?", (_encode(target, value),))

        return compare


def _encode(target: Field, value: Json) -> Any:
    """The value as the column keeps it. A whole number may be compared with an Int of any size."""
    if target.column.type in ("Int", "Long", "Decimal") and type(value) in (int, float):
        return float(value) if abs(value) >= 2**63 else value
    try:
        return encode_value(target.column, value)
    except Mismatch:
        message = (
            f"field '{target.name}' is of type {target.column.type} and cannot be compared with"
            " this value"
        )
        raise Refusal(400, message, at=target.name) from None


def _index_condition(value: Json) -> Sql:
    """`$index` is a row's position in the table, from 0."""
    match value:
        case {"$mod": [int(divisor), int(remainder)]} if divisor > 0:
            return Sql("(m.rowid - 1) % ? = ?", (divisor, remainder))
        case dict() if len(value) == 1 and (sign := _COMPARISONS.get(next(iter(value)))):
            bound = next(iter(value.values()))
            if type(bound) is int:
                return Sql(f"m.rowid - 1 {sign} ?", (bound,))
    raise Refusal(
        400,
        '$index takes {"$mod": [divisor, remainder]} or a comparison with a whole number',
        at="$index",
    )


def _list(operator: str, value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise Refusal(400, f"{operator} takes an array", at=operator)
    return value


def _all_of(parts: list[Sql]) -> Sql:
    return _joined(parts, "AND") if parts else TRUE


def _either(parts: list[Sql]) -> Sql:
    return _joined(parts, "OR") if parts else Sql("0")


def _joined(parts: list[Sql], word: str) -> Sql:
    """A balanced tree of brackets: SQLite allows an expression no more than 1,000 levels."""
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    left, right = _joined(parts[:half], word), _joined(parts[half:], word)
    return Sql(f"({left.text} {word} {right.text})", left.values + right.values)


def _not(part: Sql) -> Sql:
    return Sql(f"NOT COALESCE({part.text}, 0)", part.values)


def order(scope: Scope, wanted: Json, insertion_order: bool = False) -> str:
    """ORDER BY. Ties, and everything when no order is asked for, come shuffled but the same each
    time.

    The engine promises no order without `orderBy`; a client that relies on one shall fail here.
    """
    shuffled = "m.rowid" if insertion_order else "(m.rowid * 2654435761) % 4294967291"
    match wanted:
        case None:
            return shuffled
        case {"$desc": name, **rest} if not rest:
            direction = "DESC"
        case {"$asc": name, **rest} if not rest:
            direction = "ASC"
        case str(name):
            direction = "ASC"
        case _:
            raise Refusal(
                400, 'orderBy takes a field, {"$asc": field} or {"$desc": field}', at="orderBy"
            )
    target = scope.field(name)
    scope.indexes.add(target.index)
    return f"{target.sql} {direction}, {shuffled}"


def selected(scope: Scope, names: Json) -> list[Field]:
    """The fields a hit shows; all columns unless `select` says otherwise."""
    wanted: Iterable[Json] = scope.table.columns if names is None else _list("select", names)
    return [scope.field(name) for name in wanted]
