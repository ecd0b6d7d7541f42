"""Tables and columns: how they are made, changed and read back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sync.aito.checks.check import (
    Check,
    Finding,
    Sends,
    Step,
    each,
    equals,
    hits,
    insert,
    request,
    status,
    taken,
)
from sync.aito.checks.tables import TYPES, filled, name_of
from sync.aito.probe import Probe, Row, succeeded
from sync.aito.schema import compare, read_schema, table_json
from sync.model.columns import SchemaDifference

NULLABLE: Row = {"type": "Int", "nullable": True}
LONG: Row = {"type": "Long", "nullable": False}
LONGS: tuple[Row, ...] = ({"n": 2**63 - 1}, {"n": -(2**63)})


def put(table: str, columns: Row) -> Sends:
    """Make a table, and return the answer."""
    return lambda probe: probe.put(table, columns)


def add_column(table: str, name: str, definition: Row) -> Sends:
    """Add a column, and return the answer."""
    return request("PUT", f"schema/{{{table}}}/{name}", definition)


def _column_made_again(probe: Probe) -> list[Row]:
    """The rows of a table after one of its columns was made once more."""
    name = name_of(probe, "again")
    probe.ask("PUT", f"schema/{name}/c", NULLABLE)
    return probe.search(name)[1]


def columns_of(table: str) -> Sends:
    """The names of a table's columns."""
    return lambda probe: set(probe.need("GET", f"schema/{probe.table(table)}")["columns"])


# -- the table with each type, as Aito shows it


def _table_back(probe: Probe) -> Row:
    """The table."""
    name = name_of(probe, "types")
    table: Row = probe.once("types", lambda: probe.need("GET", f"schema/{name}"))
    return table


def _read_back(probe: Probe) -> Mapping[str, Row]:
    """Its columns."""
    columns: Mapping[str, Row] = _table_back(probe)["columns"]
    return columns


def _same_meaning(probe: Probe) -> Finding:
    """Whether the table reads back with the same meaning."""
    name = name_of(probe, "types")
    made = read_schema({"schema": {name: filled(probe, table_json(TYPES))}})[name]
    back = read_schema({"schema": {name: _table_back(probe)}})[name]
    difference = compare(name, list(made.columns.values()), back.columns)
    if difference == SchemaDifference():
        return None
    return "; ".join([*difference.problems, *(f"{c.name} is missing" for c in difference.missing)])


def _in_order(probe: Probe) -> bool:
    names = list(_read_back(probe))
    return names == sorted(names)


def _odd_types(probe: Probe) -> str:
    """Up to three types that are written in another way."""
    back = _read_back(probe)
    types = {column.name: column.type for column in TYPES}
    odd = [str(back[name]["type"]) for name, kind in types.items() if back[name]["type"] != kind]
    return ", ".join(odd[:3])


def _member(column: str, member: str) -> Sends:
    """What a column's definition says, with the table's own name as `{types}`."""

    def read(probe: Probe) -> Any:
        value = _read_back(probe)[column].get(member)
        own = probe.table("types")
        return value.replace(own, "{types}") if isinstance(value, str) else value

    return read


# -- a table with rows


def _put_over_rows(probe: Probe) -> Finding:
    """A PUT over a table with two rows."""
    name = name_of(probe, "filled")
    answer = probe.put("filled", {"n": NULLABLE, "m": NULLABLE})
    left = probe.count(name)
    if left != 2:
        return f"it deletes the rows: {2 - left} of 2 are gone"
    return "it is taken, and the rows stay" if succeeded(answer) else None


CHECKS = (
    Check(
        "types",
        assumed="A table with every type reads back with the same meaning.",
        where="Before each load the table is compared with the configuration.",
        otherwise="The table is reported as different and not loaded.",
        tries=(_same_meaning,),
    ),
    Check(
        "type Long",
        assumed="The type Long exists and holds 64 bits.",
        where="Integers beyond 32 bits become Long.",
        otherwise=(
            "The table cannot be made. `type: Decimal` or `type: String` in the configuration "
            "helps."
        ),
        tries=(
            Step(put("long", {"n": LONG}), taken, "there is no type Long"),
            Step(insert("long", *LONGS), taken, "Long does not take 64 bits"),
            Step(
                hits("long", orderBy={"$desc": "n"}),
                equals(list(LONGS)),
                "64 bits do not come back as they were",
            ),
        ),
    ),
    Check(
        "order of columns",
        assumed="Columns are read back in alphabetical order.",
        where="Nothing: columns are compared by name.",
        otherwise="Nothing changes.",
        tries=(Step(_in_order, equals(True), "they come back in another order"),),
    ),
    Check(
        "spelling of types",
        assumed="Types are read back as they are documented.",
        where="Columns are compared by meaning: types have no case.",
        otherwise="Nothing changes.",
        tries=(Step(_odd_types, equals(""), "types come back as {}"),),
    ),
    Check(
        "spelling of analyzers",
        assumed="The analyzer `en` is read back as `english`.",
        where="Columns are compared by meaning: short name, long name and object are one.",
        otherwise="Nothing changes.",
        tries=(Step(_member("text", "analyzer"), equals("english"), "`en` comes back as {}"),),
    ),
    Check(
        "spelling of links",
        assumed="A link to the own table is read back with the table's name.",
        where="Columns are compared by meaning: `this` is the own table.",
        otherwise="Nothing changes.",
        tries=(Step(_member("up", "link"), equals("{types}.id"), "it comes back as {}"),),
    ),
    Check(
        "spelling of nullable",
        assumed="`nullable` is written when it is read back, be it true or false.",
        where="Columns are compared by whether they may hold nulls.",
        otherwise=(
            "Nothing changes. Where one of both is left out, a column without `nullable` is that."
        ),
        tries=(
            each(
                Step(_member("id", "nullable"), equals(False), "`false` comes back as {}"),
                Step(_member("text", "nullable"), equals(True), "`true` comes back as {}"),
            ),
        ),
    ),
    Check(
        "PUT over an empty table",
        assumed="It replaces the table.",
        where="Nothing: a PUT never goes to a name that exists.",
        otherwise="Nothing changes.",
        tries=(
            Step(put("put", {"a": NULLABLE}), taken, "the table cannot be made: {}"),
            Step(put("put", {"b": NULLABLE}), taken, "it is refused: {}"),
            Step(columns_of("put"), equals({"b"}), "it changes nothing"),
        ),
    ),
    Check(
        "PUT over a table with rows",
        assumed="It is refused, and the rows stay.",
        where="A PUT that is applied late could meet a table that has rows by then.",
        otherwise=(
            "A PUT never goes to a name that exists, and is sent once. If one is applied late, the "
            "following run finds the rows missing and loads them again."
        ),
        tries=(_put_over_rows,),
    ),
    Check(
        "DELETE of a missing table",
        assumed="It is a 404.",
        where="A DELETE whose answer was lost is repeated.",
        otherwise="Nothing changes: a missing table is what was wanted.",
        tries=(Step(request("DELETE", "schema/{none}"), status(404), "it is answered with {}"),),
    ),
    Check(
        "new column",
        assumed="A nullable column can be added to a table with rows, which read it as absent.",
        where="A column that is new in the source is added.",
        otherwise="The table is not loaded. `reset` makes it anew.",
        tries=(
            Step(add_column("grow", "late", NULLABLE), taken, "it is refused: {}"),
            Step(hits("grow"), equals([{"n": 1}]), "old rows read it as something"),
        ),
    ),
    Check(
        "PUT over a column",
        assumed="The same column once more changes no value.",
        where="A PUT of a column that is applied late could meet values in it.",
        otherwise=(
            "A PUT never goes to a column that exists, and is sent once. If one is applied late, "
            "the values stay away until a `full_refresh`."
        ),
        tries=(Step(_column_made_again, equals([{"n": 1, "c": 5}]), "its values are gone"),),
    ),
    Check(
        "new column with a value",
        assumed=(
            "A column that is not nullable can be added with a value for the rows that are there."
        ),
        where="Nothing: the sync adds nullable columns only.",
        otherwise="Nothing changes.",
        tries=(
            Step(
                add_column("grow", "given", {"type": "Int", "nullable": False, "value": 7}),
                taken,
                "it is refused: {}",
            ),
            Step(
                hits("grow", select=["given"]),
                equals([{"given": 7}]),
                "old rows do not have the value",
            ),
        ),
    ),
)
