"""Tables and columns: how they are made, changed and read back."""

from __future__ import annotations

from collections.abc import Mapping

from sync.aito.checks.check import Finding, check
from sync.aito.checks.tables import types_table
from sync.aito.probe import Probe, Row, described, succeeded
from sync.aito.schema import compare, read_schema
from sync.model.columns import SchemaDifference


def _table_back(probe: Probe) -> Row:
    """The table with each type, as Aito shows it. It is read once."""
    name, _ = types_table(probe)
    if name not in probe.read_back:
        probe.read_back[name] = probe.need("GET", f"schema/{name}")
    return probe.read_back[name]


def _read_back(probe: Probe) -> Mapping[str, Row]:
    """Its columns."""
    columns: Mapping[str, Row] = _table_back(probe)["columns"]
    return columns


@check(
    "types",
    assumed="A table with every type reads back with the same meaning.",
    where="Before each load the table is compared with the configuration.",
    otherwise="The table is reported as different and not loaded.",
)
def each_type(probe: Probe) -> Finding:
    """Whether a table with every type reads back with the same meaning."""
    name, columns = types_table(probe)
    answer = {"schema": {name: _table_back(probe)}}
    difference = compare(name, columns, read_schema(answer)[name].columns)
    if difference == SchemaDifference():
        return None
    return "; ".join([*difference.problems, *(f"{c.name} is missing" for c in difference.missing)])


@check(
    "type Long",
    assumed="The type Long exists and holds 64 bits.",
    where="Integers beyond 32 bits become Long.",
    otherwise=(
        "The table cannot be made. `type: Decimal` or `type: String` in the configuration helps."
    ),
)
def type_long(probe: Probe) -> Finding:
    """Whether Long exists and holds 64 bits."""
    answer = probe.put("long", {"n": {"type": "Long", "nullable": False}})
    if not succeeded(answer):
        return "there is no type Long"
    rows = [{"n": 2**63 - 1}, {"n": -(2**63)}]
    if not succeeded(probe.insert(probe.table("long"), rows)):
        return "Long does not take 64 bits"
    _, hits = probe.search(probe.table("long"), orderBy={"$desc": "n"})
    return None if hits == rows else "64 bits do not come back as they were"


@check(
    "order of columns",
    assumed="Columns are read back in alphabetical order.",
    where="Nothing: columns are compared by name.",
    otherwise="Nothing changes.",
)
def order_of_columns(probe: Probe) -> Finding:
    """Columns in alphabetical order."""
    names = list(_read_back(probe))
    return None if names == sorted(names) else "they come back in another order"


@check(
    "spelling of types",
    assumed="Types are read back as they are documented.",
    where="Columns are compared by meaning: types have no case.",
    otherwise="Nothing changes.",
)
def spelling_of_types(probe: Probe) -> Finding:
    """Types as they are documented."""
    _, columns = types_table(probe)
    back = _read_back(probe)
    odd = [str(back[each.name]["type"]) for each in columns if back[each.name]["type"] != each.type]
    return f"types come back as {', '.join(odd[:3])}" if odd else None


@check(
    "spelling of analyzers",
    assumed="The analyzer `en` is read back as `english`.",
    where="Columns are compared by meaning: short name, long name and object are one.",
    otherwise="Nothing changes.",
)
def spelling_of_analyzers(probe: Probe) -> Finding:
    """`en` comes back as `english`."""
    analyzer = _read_back(probe)["text"].get("analyzer")
    return None if analyzer == "english" else f"`en` comes back as {analyzer}"


@check(
    "spelling of links",
    assumed="A link to the own table is read back with the table's name.",
    where="Columns are compared by meaning: `this` is the own table.",
    otherwise="Nothing changes.",
)
def spelling_of_links(probe: Probe) -> Finding:
    """A link to the own table comes back with the table's name."""
    link = str(_read_back(probe)["up"].get("link"))
    return None if link == f"{probe.table('types')}.id" else f"it comes back as {link[:40]}"


@check(
    "spelling of nullable",
    assumed="`nullable: false` is written when it is read back.",
    where="A column without `nullable` is taken as one that holds no nulls.",
    otherwise="Nothing changes.",
)
def spelling_of_nullable(probe: Probe) -> Finding:
    """`nullable: false` is written."""
    written = _read_back(probe)["id"].get("nullable")
    return None if written is False else f"it comes back as {written}"


@check(
    "PUT over an empty table",
    assumed="It replaces the table.",
    where="Nothing: a PUT never goes to a name that exists.",
    otherwise="Nothing changes.",
)
def put_over_empty(probe: Probe) -> Finding:
    """A PUT over an empty table."""
    probe.make("put", {"a": {"type": "Int", "nullable": True}})
    answer = probe.put("put", {"b": {"type": "Int", "nullable": True}})
    if not succeeded(answer):
        return f"it is refused: {described(answer)}"
    columns = probe.need("GET", f"schema/{probe.table('put')}")["columns"]
    return None if set(columns) == {"b"} else "it changes nothing"


@check(
    "PUT over a table with rows",
    assumed="It is refused, and the rows stay.",
    where="A PUT that is applied late could meet a table that has rows by then.",
    otherwise=(
        "A PUT never goes to a name that exists, and is sent once. If one is applied late, the "
        "following run finds the rows missing and loads them again."
    ),
)
def put_over_rows(probe: Probe) -> Finding:
    """A PUT over a table with rows."""
    columns = {"n": {"type": "Int", "nullable": True}}
    name = probe.make("filled", columns, [{"n": 1}, {"n": 2}])
    answer = probe.put("filled", {"n": {"type": "Int", "nullable": True}, "m": columns["n"]})
    left = probe.count(name)
    if left != 2:
        return f"it deletes the rows: {2 - left} of 2 are gone"
    return "it is taken, and the rows stay" if succeeded(answer) else None


@check(
    "DELETE of a missing table",
    assumed="It is a 404.",
    where="A DELETE whose answer was lost is repeated.",
    otherwise="Nothing changes: a missing table is what was wanted.",
)
def drop_missing(probe: Probe) -> Finding:
    """A DELETE of a table that is not there."""
    answer = probe.ask("DELETE", f"schema/{probe.table('none')}")
    return None if answer.status == 404 else f"it is answered with {answer.status}"


@check(
    "new column",
    assumed="A nullable column can be added to a table with rows, which read it as absent.",
    where="A column that is new in the source is added.",
    otherwise="The table is not loaded. `reset` makes it anew.",
)
def new_column(probe: Probe) -> Finding:
    """A nullable column for a table with rows."""
    name = probe.make("grow", {"n": {"type": "Int", "nullable": False}}, [{"n": 1}])
    answer = probe.ask("PUT", f"schema/{name}/late", {"type": "Int", "nullable": True})
    if not succeeded(answer):
        return f"it is refused: {described(answer)}"
    return None if probe.search(name)[1] == [{"n": 1}] else "old rows read it as something"


@check(
    "new column with a value",
    assumed="A column that is not nullable can be added with a value for the rows that are there.",
    where="Nothing: the sync adds nullable columns only.",
    otherwise="Nothing changes.",
)
def new_column_with_value(probe: Probe) -> Finding:
    """A column that is not nullable, with a value for the rows that are there."""
    name = probe.table("grow")
    body = {"type": "Int", "nullable": False, "value": 7}
    answer = probe.ask("PUT", f"schema/{name}/given", body)
    if not succeeded(answer):
        return f"it is refused: {described(answer)}"
    hits = probe.search(name, select=["given"])[1]
    return None if hits == [{"given": 7}] else "old rows do not have the value"


CHECKS = (
    each_type,
    type_long,
    order_of_columns,
    spelling_of_types,
    spelling_of_analyzers,
    spelling_of_links,
    spelling_of_nullable,
    put_over_empty,
    put_over_rows,
    drop_missing,
    new_column,
    new_column_with_value,
)
