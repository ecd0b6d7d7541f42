"""Changes of what is stored: `_modify`, `_rename` and `_delete`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sync.aito.answers import Answer
from sync.aito.checks import tables
from sync.aito.checks.check import Check, Finding, Sends, Step, Try, count, each, equals, taken
from sync.aito.checks.tables import key_of, name_of
from sync.aito.probe import Probe, Row, succeeded

# -- _modify, on 1,200 rows


def _modified(probe: Probe, where: Row, rows: Sequence[Row]) -> bool:
    name = name_of(probe, "modify")
    operations = [{"from": name, "delete": where}, {"into": name, "insert": list(rows)}]
    return succeeded(probe.ask("POST", "data/_modify", {"operations": operations}))


def _modify_one(probe: Probe) -> bool:
    done = _modified(probe, {"id": 0}, [{"id": 0, "v": 2}])
    name = name_of(probe, "modify")
    hits = probe.search(name, where={"id": 0})[1]
    return done and hits == [{"id": 0, "v": 2}] and probe.count(name) == 1200


def _modify_many(probe: Probe) -> bool:
    rows = [{"id": n, "v": 3} for n in range(1000)]
    done = _modified(probe, {"id": {"$lt": 1000}}, rows)
    name = name_of(probe, "modify")
    return done and probe.count(name, {"v": 3}) == 1000 and probe.count(name) == 1200


def _modify_fails(probe: Probe) -> bool:
    done = _modified(probe, {"id": 1100}, [{"id": 1100, "v": "bad"}])
    return not done and probe.count(name_of(probe, "modify")) == 1200


def _is_right(after: str, change: Callable[[Probe], bool]) -> Step:
    return Step(change, equals(True), f"after {after} the rows are not as they should be")


# -- _rename


def _renamed(short: str, new: str) -> Sends:
    """Rename a throw-away table over another name, and return the answer."""

    def send(probe: Probe) -> Answer:
        old, wanted = name_of(probe, short), name_of(probe, new)
        if wanted not in probe.made:
            probe.made.append(wanted)
        body = {"from": old, "rename": wanted, "replace": True}
        return probe.ask("POST", "schema/_rename", body)

    return send


def _takes_place(what: str, short: str, new: str) -> tuple[Step, Step]:
    return (
        Step(_renamed(short, new), taken, f"it does not take the place of {what}"),
        Step(count(new), equals(2), f"the rows are lost on the way to {what}"),
    )


# -- _delete, of rows that are numbered


def _deletes(what: str, where: Row, rows: int, *, gone: int) -> Try:
    """Delete so many rows, and look at what is left and at the answer.

    gone: rows that were deleted before.
    """

    def attempt(probe: Probe) -> Finding:
        name = name_of(probe, "many")
        answer = probe.ask("POST", "data/_delete", {"from": name, "where": where})
        deleted = tables.MANY - gone - probe.count(name)
        if deleted != rows:
            return f"by {what}: of {rows} rows {deleted} are deleted, with status {answer.status}"
        if answer.body != {"total": rows}:
            return f"by {what}: the rows are deleted, and the answer says something else"
        return None

    return attempt


def _keys(numbers: range) -> Row:
    return {"id": {"$or": [key_of(n) for n in numbers]}}


CHECKS = (
    Check(
        "_modify",
        assumed="A delete and an insert are one atomic step, for one row and for 1,000.",
        where="`merge` replaces rows by key.",
        otherwise=(
            "The first upsert of each run is read back. If it is wrong, rows are deleted by key, "
            "counted, inserted and counted, in later runs too, with a warning. If other rows are "
            "gone, the run is a 503, and the next one compares the whole table and loads them "
            "again."
        ),
        tries=(
            each(
                _is_right("one row", _modify_one),
                _is_right("1,000 rows", _modify_many),
                _is_right("the same again", _modify_many),
                _is_right("a failing operation", _modify_fails),
            ),
        ),
    ),
    Check(
        "_rename",
        assumed="It takes a free name, and the place of a table, be that empty or filled.",
        where="`replace` swaps a freshly loaded table in.",
        otherwise="The run fails and the old table stays.",
        tries=(
            *_takes_place("a free name", "new", "free"),
            *_takes_place("an empty table", "free", "empty"),
            *_takes_place("a table with rows", "empty", "filled_before"),
        ),
    ),
    Check(
        "_rename over a linked table",
        assumed="A table that others link to can be replaced.",
        where="`replace` of a parent table.",
        otherwise="The run fails and the old table stays. Use `merge` for such a table.",
        tries=(
            Step(_renamed("heir", "parent"), taken, "it is refused"),
            Step(count("child", {"p.id": "p1"}), equals(2), "the child's links lead nowhere"),
        ),
    ),
    Check(
        "_delete",
        assumed=(
            "It deletes the rows that match and answers their number: by bounds, by keys, by both."
        ),
        where="Purge, repair and deletion.",
        otherwise="The count after it is believed, not the answer.",
        tries=(
            _deletes(
                "two bounds", {"$and": [{"n": {"$gte": 100}}, {"n": {"$lt": 200}}]}, 100, gone=0
            ),
            _deletes("keys", _keys(range(200, 300)), 100, gone=100),
            _deletes(
                "keys and bounds",
                {"$and": [_keys(range(300, 400)), {"n": {"$gte": 350}}]},
                50,
                gone=200,
            ),
        ),
    ),
)
