"""Rows: what is stored of what was sent, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sync.aito.checks.check import Finding, check
from sync.aito.checks.tables import family, many_rows, types_table
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


@check(
    "round trip",
    assumed=(
        "Extremes of each type, empty texts and arrays come back as they were. Nulls are left out."
    ),
    where="Keys and cursors are compared with those of the source.",
    otherwise=(
        "Values change on their way. Comparisons by key and by content may report differences."
    ),
)
def round_trip(probe: Probe) -> Finding:
    """Extremes of each type, empty texts and empty arrays, and nulls."""
    name, _ = types_table(probe)
    answer = probe.insert(name, [*EXTREMES, NULLS])
    if not succeeded(answer):
        return f"they are refused: {described(answer)}"
    if not isinstance(answer.body, dict) or answer.body.get("entries") != 3:
        return "the answer does not confirm the number of rows"
    wrong: list[str] = []
    for row in (*EXTREMES, NULLS):
        hits = probe.search(name, where={"id": row["id"]})[1]
        if len(hits) != 1:
            return "a key does not find its row"
        wrong += [key for key in row.keys() | hits[0].keys() if row.get(key) != hits[0].get(key)]
    return f"these come back changed: {', '.join(sorted(set(wrong)))}" if wrong else None


@check(
    "null in a Boolean column",
    assumed="It is left out, as every null.",
    where="A comparison by content.",
    otherwise=(
        "The value reads as false in Aito. A load finds it out by one row and warns; such rows "
        "count as equal then, and are not sent again."
    ),
)
def null_booleans(probe: Probe) -> Finding:
    """How a null in a Boolean column reads."""
    columns = {"id": {"type": "Int", "nullable": False}, "b": {"type": "Boolean", "nullable": True}}
    name = probe.make("flags", columns, [{"id": 1, "b": None}, {"id": 2}])
    hits = probe.search(name, orderBy={"$asc": "id"})[1]
    return None if all("b" not in hit for hit in hits) else "it reads as false"


@check(
    "no coercion",
    assumed="A Boolean column refuses 1 and `true`, an Int column a text and more than 32 bits.",
    where="A value that was changed silently could not be found again by its key.",
    otherwise="The source's values are converted by SQL before they are sent, so none is coerced.",
)
def no_coercion(probe: Probe) -> Finding:
    """Values of another type than the column's."""
    name, _ = types_table(probe)
    taken = []
    odd: Sequence[tuple[str, Any]] = (
        ("flag", 1),
        ("flag", "true"),
        ("a_first", 2**31),
        ("a_first", "1"),
    )
    for column, value in odd:
        row: Row = {"id": "odd", column: value}
        if succeeded(probe.insert(name, [row])):
            taken.append(f"{column} takes {value}")
    return "; ".join(taken) if taken else None


BAD_BATCH: Sequence[Row] = [{"n": 1}, {"n": 2}, {"n": "bad"}, {"n": 4}]


@check(
    "bad row",
    assumed="A batch with a bad row is refused with 400 or 422.",
    where="The batch is halved down to the rows at fault, which are recorded as rejects.",
    otherwise="After a 500 the sync looks which rows are stored, and halves as well.",
)
def bad_row_status(probe: Probe) -> Finding:
    """The status for a batch with a bad row in its middle."""
    name = probe.make("bad", {"n": {"type": "Int", "nullable": False}})
    answer = probe.insert(name, BAD_BATCH)
    if succeeded(answer):
        return "it is taken"
    return None if answer.status in (400, 422) else f"it is answered with {answer.status}"


@check(
    "rows of a refused batch",
    assumed="Nothing of a refused batch is stored.",
    where="The parts of a halved batch are sent without another look.",
    otherwise=(
        "Rows are stored twice at first. The count of the slice differs, and they are removed."
    ),
)
def bad_row_kept(probe: Probe) -> Finding:
    """What is kept of such a batch."""
    kept = probe.count(probe.table("bad"))
    return f"{kept} rows of it are stored" if kept else None


@check(
    "unknown column",
    assumed="A row with a column that the table lacks is refused.",
    where="Nothing: columns are compared before rows are sent.",
    otherwise="Nothing changes.",
)
def unknown_column(probe: Probe) -> Finding:
    """A row with a column that the table lacks."""
    answer = probe.insert(probe.table("bad"), [{"n": 9, "nobody": 1}])
    return "it is taken" if succeeded(answer) else None


@check(
    "NaN",
    assumed="The literal NaN is refused.",
    where="NaN and infinities are sent as null.",
    otherwise="Nothing changes.",
)
def nan_literal(probe: Probe) -> Finding:
    """NaN in place of a number."""
    name, _ = types_table(probe)
    body = b'[{"id": "nan", "number": NaN}]'
    return "it is taken" if succeeded(probe.ask("POST", f"data/{name}/batch", body)) else None


@check(
    "dangling link",
    assumed="A link value without its row in the parent is taken.",
    where="Children are loaded even where a parent was rejected.",
    otherwise="Such rows become rejects until their parent is there.",
)
def dangling_link(probe: Probe) -> Finding:
    """A link value that no row of the parent has."""
    _, child = family(probe)
    answer = probe.insert(child, [{"p": "nobody"}])
    return None if succeeded(answer) else f"it is refused: {described(answer)}"


@check(
    "file upload",
    assumed="Uploads of files are not offered.",
    where="Nothing: rows are sent in batches.",
    otherwise="Nothing changes.",
)
def file_upload(probe: Probe) -> Finding:
    """The first step of an upload."""
    answer = probe.ask("POST", f"data/{many_rows(probe)}/file")
    return "uploads are offered" if succeeded(answer) else None


CHECKS = (
    round_trip,
    null_booleans,
    no_coercion,
    bad_row_status,
    bad_row_kept,
    unknown_column,
    nan_literal,
    dangling_link,
    file_upload,
)
