"""Throw-away tables of the checks. Each is made when it is first needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sync.aito.probe import Probe, Row
from sync.aito.schema import table_json
from sync.model.columns import Column

MANY = 10_000  # rows of the table for paging and limits: as many as free instances take
TYPES = (
    Column("id", "String", nullable=False),
    Column("a_first", "Int"),
    Column("text", "Text", analyzer="en"),
    Column("number", "Decimal"),
    Column("flag", "Boolean"),
    Column("json", "Json"),
    Column("strings", "String[]"),
    Column("ints", "Int[]"),
    Column("decimals", "Decimal[]"),
    Column("flags", "Boolean[]"),
    Column("up", "String", link="{types}.id"),
)
INT: Row = {"type": "Int", "nullable": False}
STRING: Row = {"type": "String", "nullable": False}


def key_of(number: int) -> str:
    """The key of a numbered row."""
    return f"k{number:05}"


def _many() -> list[Row]:
    return [{"id": key_of(n), "n": n} for n in range(MANY)]


@dataclass(frozen=True)
class Table:
    """A throw-away table.

    rows: what is stored in it at first. after: tables that are made before it.
    """

    columns: Row
    rows: Callable[[], Sequence[Row]] = tuple
    after: tuple[str, ...] = ()


TABLES: Mapping[str, Table] = {
    "types": Table(table_json(TYPES)["columns"]),
    "parent": Table({"id": STRING}, lambda: [{"id": "p1"}, {"id": "p2"}]),
    "child": Table(
        {"p": {**STRING, "link": "{parent}.id"}},
        lambda: [{"p": key} for key in ("p1", "p1", "p2")],
        after=("parent",),
    ),
    "heir": Table({"id": STRING}, lambda: [{"id": "p1"}], after=("child",)),
    "many": Table({"id": STRING, "n": INT}, _many),
    "bad": Table({"n": INT}),
    "flags": Table(
        {"id": INT, "b": {"type": "Boolean", "nullable": True}},
        lambda: [{"id": 1, "b": None}, {"id": 2}],
    ),
    "filled": Table({"n": {"type": "Int", "nullable": True}}, lambda: [{"n": 1}, {"n": 2}]),
    "again": Table({"n": INT, "c": {"type": "Int", "nullable": True}}, lambda: [{"n": 1, "c": 5}]),
    "grow": Table({"n": INT}, lambda: [{"n": 1}]),
    "modify": Table({"id": INT, "v": INT}, lambda: [{"id": n, "v": 1} for n in range(1200)]),
    "new": Table({"n": INT}, lambda: [{"n": 2}, {"n": 3}]),
    "empty": Table({"n": INT}),
    "filled_before": Table({"n": INT}, lambda: [{"n": 1}]),
    "asked": Table(
        {"n": INT, "kind": STRING}, lambda: [{"n": n % 4, "kind": f"k{n % 2}"} for n in range(60)]
    ),
}
_PLACE = re.compile(r"\{(\w+)\}")


def name_of(probe: Probe, short: str) -> str:
    """The whole name of a throw-away table. Makes the table when it is first named.

    A short name that TABLES does not know makes none.
    Raises Unclear when the table cannot be made.
    """
    name = probe.table(short)
    if name in probe.made or short not in TABLES:
        return name
    table = TABLES[short]
    for earlier in table.after:
        name_of(probe, earlier)
    probe.made.append(name)
    probe.make(short, filled(probe, table.columns))
    rows = list(table.rows())
    if rows:
        probe.need("POST", f"data/{name}/batch", rows)
    return name


def filled(probe: Probe, value: Any) -> Any:
    """A value of JSON with the names of throw-away tables in place of `{short}`."""
    match value:
        case str():
            return _PLACE.sub(lambda found: name_of(probe, found[1]), value)
        case Mapping():
            return {key: filled(probe, inner) for key, inner in value.items()}
        case list() | tuple():
            return [filled(probe, inner) for inner in value]
        case _:
            return value
