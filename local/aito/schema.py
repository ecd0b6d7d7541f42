"""Tables, columns and types of the Aito stand-in: what a schema may say and what a value must look
like.

Strict like the engine: no coercion (a Boolean column refuses 1, an Int column refuses 1.0 and true;
only Decimal takes JSON integers), Int is 32-bit signed, Long 64-bit, null or nothing only where
`nullable`.
"""

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

Json = Any  # what json.loads gives

_NAME = re.compile(r'[^/".$\s]+')
_COLUMN_KEYS = {"type", "nullable", "link", "analyzer"}
SQL_TYPES = {
    "Int": "INTEGER",
    "Long": "INTEGER",
    "Boolean": "INTEGER",
    "Decimal": "REAL",
}  # everything else is TEXT


class Refusal(Exception):
    """An answer other than success.

    `at`: text of the query the message points to; `code`: Aito's `error` field.
    """

    def __init__(
        self, status: int, message: str, *, at: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.at, self.code = status, message, at, code


@dataclass(frozen=True)
class Column:
    """A column. `physical`: its name in SQLite, where names would not be case-sensitive."""

    physical: str
    type: str
    nullable: bool = False
    link: str | None = None
    analyzer: Json = None

    @property
    def spec(self) -> dict[str, Json]:
        """The column with its defaults written out."""
        shown = {
            "type": self.type,
            "nullable": self.nullable,
            "link": self.link,
            "analyzer": self.analyzer,
        }
        return {key: value for key, value in shown.items() if value is not None}

    @property
    def decode(self) -> Callable[[Any], Json] | None:
        """From SQLite's value to JSON's; None where they are the same."""
        if self.type == "Boolean":
            return bool
        return json.loads if is_document(self.type) else None


@dataclass
class Table:
    """A table: its name in SQLite, and its columns in the order in which they were made."""

    physical: str
    columns: dict[str, Column]


class Mismatch(Exception):
    """A value that its column's type does not take."""


def check_name(name: str) -> None:
    """Refuse names with `/ " . $` or white space."""
    if not _NAME.fullmatch(name):
        raise Refusal(
            400, f"Invalid name '{name[:80]}': a name holds no / \" . $ and no white space"
        )


def parse_table(name: str, physical: str, spec: Json) -> Table:
    """A table from the body of `PUT /schema/{table}`."""
    check_name(name)
    if (
        not isinstance(spec, dict)
        or spec.get("type") != "table"
        or not isinstance(spec.get("columns"), dict)
    ):
        raise Refusal(
            400, f'Table `{name}`: the schema must be {{"type": "table", "columns": {{...}}}}'
        )
    columns = spec["columns"]
    if not columns:
        raise Refusal(400, f"Table `{name}`: a table has at least one column")
    return Table(
        physical,
        {key: parse_column(name, key, f"c{n}", columns[key]) for n, key in enumerate(columns)},
    )


def parse_column(table: str, name: str, physical: str, spec: Json) -> Column:
    """A column from its JSON."""
    check_name(name)
    where = f"Column `{table}.{name}`"
    if not isinstance(spec, dict) or str(spec.get("type")).lower() not in _SPELLED:
        raise Refusal(400, f"{where}: the type must be one of {', '.join(_CHECKS)}")
    if unknown := spec.keys() - _COLUMN_KEYS:
        raise Refusal(400, f"{where}: unknown key {sorted(unknown)[0]!r}")
    kind = _SPELLED[spec["type"].lower()]
    if not isinstance(spec.get("nullable", False), bool):
        raise Refusal(400, f"{where}: nullable must be true or false")
    if not isinstance(spec.get("link", ""), str):
        raise Refusal(400, f"{where}: link must be a string, table.column")
    return Column(
        physical,
        kind,
        spec.get("nullable", False),
        _full_link(table, spec.get("link")),
        _analyzer(where, kind, spec),
    )


def _full_link(table: str, link: str | None) -> str | None:
    """`this.id` links to the own table."""
    if link is None:
        return None
    target, _, column = link.partition(".")
    return f"{table}.{column}" if target == "this" else link


def _analyzer(where: str, kind: str, spec: dict[str, Json]) -> Json:
    if kind == "Text":
        return spec.get("analyzer", "standard")
    if "analyzer" in spec:
        raise Refusal(400, f"{where}: only a Text column has an analyzer")
    return None


def encode_rows(name: str, table: Table, rows: Sequence[Json]) -> list[tuple[Any, ...]]:
    """JSON rows -> SQLite's rows, in the table's order of columns.

    Refuses them all when one is wrong.
    """
    known = table.columns.keys()
    for number, row in enumerate(rows):
        if type(row) is not dict or not row.keys() <= known:
            raise _first_wrong_row(name, table, rows[: number + 1])
    try:
        columns = [
            _encoded_column(column, [row.get(key) for row in rows])
            for key, column in table.columns.items()
        ]
    except Mismatch:
        raise _first_wrong_row(name, table, rows) from None
    return list(zip(*columns, strict=True))


def _encoded_column(column: Column, values: list[Json]) -> Sequence[Any]:
    """The values of one column as SQLite keeps them. Raises Mismatch.

    Values of one plain type are checked all at once: of each, a look costs more than to store it.
    """
    kinds = set(map(type, values))
    if column.nullable:
        kinds.discard(type(None))
    if kinds <= {_PLAIN.get(column.type)}:
        _check_range(column.type, [value for value in values if value is not None])
        return values
    check, null = _CHECKS[column.type], column.nullable
    return [None if value is None and null else check(value) for value in values]


def _check_range(kind: str, values: list[Any]) -> None:
    """Check numbers all at once. Raises Mismatch."""
    low, high = RANGES.get(kind, (None, None))
    if low is None or high is None or not values:
        return
    if min(values) < low or max(values) > high or math.isnan(sum(values)):
        raise Mismatch


def _first_wrong_row(name: str, table: Table, rows: Sequence[Json]) -> Refusal:
    """Find the first row that is wrong, and say what is wrong with it."""
    for number, row in enumerate(rows):
        refusal = _wrong_row(name, table, number, row)
        if refusal:
            return refusal
    raise AssertionError("one of the rows must be wrong")


def encode_value(column: Column, value: Json) -> Any:
    """One value as SQLite keeps it. Raises Mismatch."""
    return _CHECKS[column.type](value)


def _wrong_row(name: str, table: Table, number: int, row: Json) -> Refusal | None:
    """Which column of a row is wrong, and why. None: the row is right."""
    if not isinstance(row, dict):
        return Refusal(400, f"Table `{name}`, entry {number}: an entry must be an object")
    for key in row.keys() - table.columns.keys():
        return Refusal(400, f"Table `{name}`, entry {number}: unknown column '{key[:80]}'")
    for key, column in table.columns.items():
        value = row.get(key)
        if value is None and not column.nullable:
            return Refusal(
                400,
                f"Table `{name}`, entry {number}: column '{key}' is not nullable and has no value",
            )
        if value is not None and not _fits(column, value):
            said = f"expected {column.type}, got {_kind(value)}"
            return Refusal(400, f"Table `{name}`, entry {number}: column '{key}': {said}")
    return None


def _fits(column: Column, value: Json) -> bool:
    try:
        encode_value(column, value)
    except Mismatch:
        return False
    return True


def _kind(value: Json) -> str:
    names = {
        bool: "a boolean",
        int: "an integer",
        float: "a number",
        str: "a string",
        list: "an array",
        dict: "an object",
    }
    shown = names.get(type(value), "null")
    return f"{shown} of {value.bit_length() + 1} bits" if type(value) is int else shown


def is_document(kind: str) -> bool:
    """Whether SQLite keeps values of a type as a text of JSON."""
    return kind == "Json" or kind.endswith("[]")


def _string(value: Json) -> str:
    if type(value) is str:
        return value
    raise Mismatch


def _whole(kind: str) -> Callable[[Json], int]:
    low, high = RANGES[kind]

    def check(value: Json) -> int:
        if type(value) is int and low <= value <= high:
            return value
        raise Mismatch

    return check


def _decimal(value: Json) -> float:
    if type(value) not in (int, float) or abs(value) > _LARGEST or math.isnan(value):
        raise Mismatch
    return float(value)


def _boolean(value: Json) -> bool:
    if type(value) is bool:
        return value
    raise Mismatch


def _json(value: Json) -> str:
    if value is None:
        raise Mismatch
    return json_text(value)


def json_text(value: Json) -> str:
    """JSON as SQLite keeps it."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # an integer beyond 64 bits, or half of a surrogate pair
        return _any_json_text(value)


def _array(check: Callable[[Json], Any]) -> Callable[[Json], str]:
    def check_all(value: Json) -> str:
        if type(value) is not list:
            raise Mismatch
        return json_text([check(element) for element in value])

    return check_all


_any_json_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_LARGEST = 1.7976931348623157e308
RANGES: dict[str, tuple[float, float]] = {
    "Int": (-(2**31), 2**31 - 1),
    "Long": (-(2**63), 2**63 - 1),
    "Decimal": (-_LARGEST, _LARGEST),
}
# Types whose values SQLite keeps as they are.
_PLAIN = {
    "String": str,
    "Text": str,
    "Boolean": bool,
    "Int": int,
    "Long": int,
    "Decimal": float,
}
_CHECKS: dict[str, Callable[[Json], Any]] = {
    "String": _string,
    "Text": _string,
    "Int": _whole("Int"),
    "Long": _whole("Long"),
    "Decimal": _decimal,
    "Boolean": _boolean,
    "Json": _json,
    "String[]": _array(_string),
    "Int[]": _array(_whole("Int")),
    "Decimal[]": _array(_decimal),
    "Boolean[]": _array(_boolean),
}
_SPELLED = {kind.lower(): kind for kind in _CHECKS}
