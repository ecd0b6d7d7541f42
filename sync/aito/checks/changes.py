"""Changes of what is stored: `_modify`, `_rename` and `_delete`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sync.aito.checks.check import Finding, check
from sync.aito.checks.tables import family, key_of, many_rows
from sync.aito.probe import Probe, Row, succeeded


@check(
    "_modify",
    assumed="A delete and an insert are one atomic step, for one row and for 1,000.",
    where="`merge` replaces rows by key.",
    otherwise=(
        "The first upsert of each run is read back. If it is wrong, rows are deleted by key, "
        "counted, inserted and counted, in later runs too, with a warning. If other rows are "
        "gone, the run is a 503, and the next one compares the whole table and loads them again."
    ),
)
def modify(probe: Probe) -> Finding:
    """`_modify` of one row and of many, twice, and with an operation that fails."""
    columns = {"id": {"type": "Int", "nullable": False}, "v": {"type": "Int", "nullable": False}}
    name = probe.make("modify", columns, [{"id": n, "v": 1} for n in range(1200)])
    steps: Sequence[tuple[str, Callable[[Probe, str], bool]]] = (
        ("one row", _modify_one),
        ("1,000 rows", _modify_many),
        ("the same again", _modify_many),
        ("a failing operation", _modify_fails),
    )
    wrong = [what for what, step in steps if not step(probe, name)]
    return f"the rows are not as they should be after: {', '.join(wrong)}" if wrong else None


def _modified(probe: Probe, name: str, where: Row, rows: Sequence[Row]) -> bool:
    operations = [{"from": name, "delete": where}, {"into": name, "insert": list(rows)}]
    return succeeded(probe.ask("POST", "data/_modify", {"operations": operations}))


def _modify_one(probe: Probe, name: str) -> bool:
    done = _modified(probe, name, {"id": 0}, [{"id": 0, "v": 2}])
    hits = probe.search(name, where={"id": 0})[1]
    return done and hits == [{"id": 0, "v": 2}] and probe.count(name) == 1200


def _modify_many(probe: Probe, name: str) -> bool:
    rows = [{"id": n, "v": 3} for n in range(1000)]
    done = _modified(probe, name, {"id": {"$lt": 1000}}, rows)
    return done and probe.count(name, {"v": 3}) == 1000 and probe.count(name) == 1200


def _modify_fails(probe: Probe, name: str) -> bool:
    done = _modified(probe, name, {"id": 1100}, [{"id": 1100, "v": "bad"}])
    return not done and probe.count(name, {"id": 1100}) == 1 and probe.count(name) == 1200


@check(
    "_rename",
    assumed="It takes a free name, and the place of a table, be that empty or filled.",
    where="`replace` swaps a freshly loaded table in.",
    otherwise="The run fails and the old table stays.",
)
def rename(probe: Probe) -> Finding:
    """`_rename` to a free name, over an empty table, and over a table with rows."""
    columns = {"n": {"type": "Int", "nullable": False}}
    probe.make("new", columns, [{"n": 2}, {"n": 3}])
    probe.make("empty", columns)
    probe.make("filled_before", columns, [{"n": 1}])
    probe.made.append(probe.table("free"))
    steps = (
        ("a free name", "new", "free"),
        ("an empty table", "free", "empty"),
        ("a table with rows", "empty", "filled_before"),
    )
    for what, short, new in steps:
        if not _renamed(probe, short, probe.table(new)):
            return f"it does not take the place of {what}"
        if probe.count(probe.table(new)) != 2:
            return f"the rows are lost on the way to {what}"
    return None


def _renamed(probe: Probe, short: str, new: str) -> bool:
    body = {"from": probe.table(short), "rename": new, "replace": True}
    return succeeded(probe.ask("POST", "schema/_rename", body))


@check(
    "_rename over a linked table",
    assumed="A table that others link to can be replaced.",
    where="`replace` of a parent table.",
    otherwise="The run fails and the old table stays. Use `merge` for such a table.",
)
def rename_over_linked(probe: Probe) -> Finding:
    """`_rename` over a table that another one links to."""
    parent, child = family(probe)
    column = {"type": "String", "nullable": False}
    probe.make("heir", {"id": column}, [{"id": "p1"}])
    if not _renamed(probe, "heir", parent):
        return "it is refused"
    return None if probe.count(child, {"p.id": "p1"}) == 2 else "the child's links lead nowhere"


@check(
    "_delete",
    assumed="It deletes the rows that match and answers their number: by bounds, by keys, by both.",
    where="Purge, repair and deletion.",
    otherwise="The count after it is believed, not the answer.",
)
def delete(probe: Probe) -> Finding:
    """`_delete` by each form of condition that the sync uses: its answer, and what is left."""
    name = many_rows(probe)
    bounds = {"$and": [{"n": {"$gte": 100}}, {"n": {"$lt": 200}}]}
    keys = {"id": {"$or": [key_of(n) for n in range(200, 300)]}}
    both = {"$and": [{"id": {"$or": [key_of(n) for n in range(300, 400)]}}, {"n": {"$gte": 350}}]}
    forms: Sequence[tuple[str, Row, int]] = (
        ("two bounds", bounds, 100),
        ("keys", keys, 100),
        ("keys and bounds", both, 50),
    )
    before = probe.count(name)
    for what, where, rows in forms:
        answer = probe.ask("POST", "data/_delete", {"from": name, "where": where})
        deleted = before - probe.count(name)
        if deleted != rows:
            return f"by {what}: of {rows} rows {deleted} are deleted, with status {answer.status}"
        if answer.body != {"total": rows}:
            return f"by {what}: the rows are deleted, and the answer says something else"
        before -= deleted
    return None


CHECKS = (modify, rename, rename_over_linked, delete)
