"""Rows: what is stored of what was sent, and what is refused."""

from __future__ import annotations

from sync.aito.checks.check import (
    Check,
    Finding,
    Step,
    count,
    each,
    equals,
    hits,
    insert,
    refused,
    request,
    status,
    taken,
)
from sync.aito.checks.tables import name_of
from sync.aito.probe import Probe, Row, described, succeeded

EXTREMES: tuple[Row, ...] = (
    {
        "id": "1",
        "a_first": 2**31 - 1,
        "text": "",
        "number": 0.1,
        "flag": True,
        "json": {"a": [1, None, {"b": "c"}]},
        "strings": ["", "é🙂"],
        "ints": [-(2**31)],
        "decimals": [1e300],
        "flags": [False],
    },
    {
        "id": "é\n\"'\\ 🙂",
        "a_first": -(2**31),
        "text": "two words",
        "number": -2.5,
        "flag": False,
        "json": [],
        "strings": [],
        "ints": [],
        "decimals": [],
        "flags": [],
    },
)
NULLS: Row = {"id": "3", "flag": False}
BAD_BATCH: tuple[Row, ...] = ({"n": 1}, {"n": 2}, {"n": "bad"}, {"n": 4})


def _round_trip(probe: Probe) -> Finding:
    """Extremes of each type, empty texts and empty arrays, and nulls."""
    name = name_of(probe, "types")
    answer = probe.insert(name, [*EXTREMES, NULLS])
    if not succeeded(answer):
        return f"they are refused: {described(answer)}"
    if not isinstance(answer.body, dict) or answer.body.get("entries") != 3:
        return "the answer does not confirm the number of rows"
    wrong: list[str] = []
    for row in (*EXTREMES, NULLS):
        found = probe.search(name, where={"id": row["id"]})[1]
        if len(found) != 1:
            return "a key does not find its row"
        wrong += [key for key in row.keys() | found[0].keys() if row.get(key) != found[0].get(key)]
    return f"these come back changed: {', '.join(sorted(set(wrong)))}" if wrong else None


def _refuses(column: str, value: object) -> Step:
    row = {"id": "odd", column: value}
    return Step(insert("types", row), refused, f"{column} takes {value}")


def _without_flags(rows: list[Row]) -> bool:
    return all("b" not in row for row in rows)


CHECKS = (
    Check(
        "round trip",
        assumed=(
            "Extremes of each type, empty texts and arrays come back as they were. Nulls are left "
            "out."
        ),
        where="Keys and cursors are compared with those of the source.",
        otherwise=(
            "Values change on their way. Comparisons by key and by content may report differences."
        ),
        tries=(_round_trip,),
    ),
    Check(
        "null in a Boolean column",
        assumed="It is left out, as every null.",
        where="A comparison by content.",
        otherwise=(
            "The value reads as false in Aito. A load finds it out by one row and warns; such rows "
            "count as equal then, and are not sent again."
        ),
        tries=(Step(hits("flags"), _without_flags, "it reads as false"),),
    ),
    Check(
        "no coercion",
        assumed=(
            "A Boolean column refuses 1 and `true`, an Int column a text and more than 32 bits."
        ),
        where="A value that was changed silently could not be found again by its key.",
        otherwise=(
            "The source's values are converted by SQL before they are sent, so none is coerced."
        ),
        tries=(
            each(
                _refuses("flag", 1),
                _refuses("flag", "true"),
                _refuses("a_first", 2**31),
                _refuses("a_first", "1"),
            ),
        ),
    ),
    Check(
        "bad row",
        assumed="A batch with a bad row is refused with 400 or 422.",
        where="The batch is halved down to the rows at fault, which are recorded as rejects.",
        otherwise="After a 500 the sync looks which rows are stored, and halves as well.",
        tries=(Step(insert("bad", *BAD_BATCH), status(400, 422), "it is answered with {}"),),
    ),
    Check(
        "rows of a refused batch",
        assumed="Nothing of a refused batch is stored.",
        where="The parts of a halved batch are sent without another look.",
        otherwise=(
            "Rows are stored twice at first. The count of the slice differs, and they are removed."
        ),
        tries=(Step(count("bad"), equals(0), "{} rows of it are stored"),),
    ),
    Check(
        "unknown column",
        assumed="A row with a column that the table lacks is refused.",
        where="Nothing: columns are compared before rows are sent.",
        otherwise="Nothing changes.",
        tries=(Step(insert("bad", {"n": 9, "nobody": 1}), refused, "it is taken"),),
    ),
    Check(
        "NaN",
        assumed="The literal NaN is refused.",
        where="NaN and infinities are sent as null.",
        otherwise="Nothing changes.",
        tries=(
            Step(
                request("POST", "data/{types}/batch", b'[{"id": "nan", "number": NaN}]'),
                refused,
                "it is taken",
            ),
        ),
    ),
    Check(
        "dangling link",
        assumed="A link value without its row in the parent is taken.",
        where="Children are loaded even where a parent was rejected.",
        otherwise="Such rows become rejects until their parent is there.",
        tries=(Step(insert("child", {"p": "nobody"}), taken, "it is refused: {}"),),
    ),
    Check(
        "file upload",
        assumed="Uploads of files are not offered.",
        where="Nothing: rows are sent in batches.",
        otherwise="Nothing changes.",
        tries=(Step(request("POST", "data/{many}/file"), refused, "uploads are offered"),),
    ),
)
