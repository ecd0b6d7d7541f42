"""Throw-away tables that several checks share. Each is made when it is first needed."""

from __future__ import annotations

from sync.aito.probe import Probe
from sync.aito.schema import table_json
from sync.model.columns import Column

MANY = 10_000  # rows of the table for paging and limits: as many as free instances take
COLUMNS = (
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
)


def types_table(probe: Probe) -> tuple[str, tuple[Column, ...]]:
    """The table with a column of each type, made when it is first needed."""
    name = probe.table("types")
    columns = (*COLUMNS, Column("up", "String", link=f"{name}.id"))
    if name not in probe.made:
        probe.make("types", table_json(columns)["columns"])
    return name, columns


def family(probe: Probe) -> tuple[str, str]:
    """A parent table with rows p1 and p2, and a child with two rows of p1 and one of p2."""
    parent, child = probe.table("parent"), probe.table("child")
    if child not in probe.made:
        column = {"type": "String", "nullable": False}
        probe.make("parent", {"id": column}, [{"id": "p1"}, {"id": "p2"}])
        rows = [{"p": key} for key in ("p1", "p1", "p2")]
        probe.make("child", {"p": {**column, "link": f"{parent}.id"}}, rows)
    return parent, child


def many_rows(probe: Probe) -> str:
    """A table of many rows, numbered."""
    name = probe.table("many")
    if name not in probe.made:
        columns = {
            "id": {"type": "String", "nullable": False},
            "n": {"type": "Int", "nullable": False},
        }
        probe.make("many", columns)
        for start in range(0, MANY, MANY // 2):
            numbers = range(start, start + MANY // 2)
            probe.need("POST", f"data/{name}/batch", [{"id": key_of(n), "n": n} for n in numbers])
    return name


def key_of(number: int) -> str:
    """The key of a numbered row."""
    return f"k{number:05}"
