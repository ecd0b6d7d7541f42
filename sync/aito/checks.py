"""What the sync assumes of Aito, each with a check against a real one.

A check returns None when Aito does as is assumed, or words about what it does instead. It raises
Unclear when it could not find out. Checks run in the order of CHECKS and share tables by name.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sync.aito.answers import refusal
from sync.aito.probe import Probe, Row, Unclear, described, succeeded
from sync.aito.schema import compare, read_schema, table_json
from sync.base.errors import Refusal, Unavailable
from sync.model.columns import Column, SchemaDifference

Finding = str | None
MANY = 10_000  # rows of the table for paging and limits: as many as free instances take
PAGE = 700
EXPIRY_SECONDS = 900


@dataclass(frozen=True)
class Check:
    """One assumption.

    assumed: what Aito does. where: what relies on it. otherwise: what the sync does if it differs.
    reads_only: whether a read-only key is enough and no table is made.
    """

    name: str
    assumed: str
    where: str
    otherwise: str
    run: Callable[[Probe], Finding]
    reads_only: bool = False


# -- doors


def wrong_key(probe: Probe) -> Finding:
    """The status for a wrong key and for none."""
    wrong = probe.ask("GET", "schema", headers={"x-api-key": "not-a-key"})
    none = probe.ask("GET", "schema", headers={})
    if wrong.status in (401, 403) and none.status in (400, 401, 403):
        return None
    return f"a wrong key is answered with {wrong.status}, no key with {none.status}"


def schema_kinds(probe: Probe) -> Finding:
    """What GET /schema lists beside tables."""
    try:
        held = read_schema(probe.need("GET", "schema"))
    except Unavailable as error:
        return str(error)
    others = sorted({table.kind for table in held.values() if not table.is_table})
    return f"it lists {', '.join(others)} beside tables" if others else None


def missing_table(probe: Probe) -> Finding:
    """How a table that is not there is answered."""
    answer = probe.ask("POST", "_search", {"from": probe.table("none"), "limit": 0})
    if not succeeded(answer) and refusal(answer) is Refusal.NOT_FOUND:
        return None
    return f"it is answered with {answer.status}"


def unknown_job(probe: Probe) -> Finding:
    """How a job that is not known is answered."""
    answer = probe.ask("GET", "jobs/00000000-0000-0000-0000-000000000000")
    return None if answer.status == 404 else f"it is answered with {described(answer)}"


def job_list(probe: Probe) -> Finding:
    """Whether jobs are listed."""
    answer = probe.ask("GET", "jobs/")
    return None if succeeded(answer) else f"it is answered with {described(answer)}"


# -- schema

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


def _types_table(probe: Probe) -> tuple[str, tuple[Column, ...]]:
    """The table with a column of each type, made when it is first needed."""
    name = probe.table("types")
    columns = (*COLUMNS, Column("up", "String", link=f"{name}.id"))
    if name not in probe.made:
        probe.make("types", table_json(columns)["columns"])
    return name, columns


def _read_back(probe: Probe) -> Mapping[str, Row]:
    name, _ = _types_table(probe)
    columns: Mapping[str, Row] = probe.need("GET", f"schema/{name}")["columns"]
    return columns


def each_type(probe: Probe) -> Finding:
    """Whether a table with every type reads back with the same meaning."""
    name, columns = _types_table(probe)
    answer = {"schema": {name: probe.need("GET", f"schema/{name}")}}
    difference = compare(name, columns, read_schema(answer)[name].columns)
    if difference == SchemaDifference():
        return None
    return "; ".join([*difference.problems, *(f"{c.name} is missing" for c in difference.missing)])


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


def order_of_columns(probe: Probe) -> Finding:
    """Columns in alphabetical order."""
    names = list(_read_back(probe))
    return None if names == sorted(names) else "they come back in another order"


def spelling_of_types(probe: Probe) -> Finding:
    """Types as they are documented."""
    _, columns = _types_table(probe)
    back = _read_back(probe)
    odd = [str(back[each.name]["type"]) for each in columns if back[each.name]["type"] != each.type]
    return f"types come back as {', '.join(odd[:3])}" if odd else None


def spelling_of_analyzers(probe: Probe) -> Finding:
    """`en` comes back as `english`."""
    analyzer = _read_back(probe)["text"].get("analyzer")
    return None if analyzer == "english" else f"`en` comes back as {analyzer}"


def spelling_of_links(probe: Probe) -> Finding:
    """A link to the own table comes back with the table's name."""
    link = str(_read_back(probe)["up"].get("link"))
    return None if link == f"{probe.table('types')}.id" else f"it comes back as {link[:40]}"


def spelling_of_nullable(probe: Probe) -> Finding:
    """`nullable: false` is written."""
    written = _read_back(probe)["id"].get("nullable")
    return None if written is False else f"it comes back as {written}"


def put_over_empty(probe: Probe) -> Finding:
    """A PUT over an empty table."""
    probe.make("put", {"a": {"type": "Int", "nullable": True}})
    answer = probe.put("put", {"b": {"type": "Int", "nullable": True}})
    if not succeeded(answer):
        return f"it is refused: {described(answer)}"
    columns = probe.need("GET", f"schema/{probe.table('put')}")["columns"]
    return None if set(columns) == {"b"} else "it changes nothing"


def put_over_rows(probe: Probe) -> Finding:
    """A PUT over a table with rows."""
    columns = {"n": {"type": "Int", "nullable": True}}
    name = probe.make("filled", columns, [{"n": 1}, {"n": 2}])
    answer = probe.put("filled", {"n": {"type": "Int", "nullable": True}, "m": columns["n"]})
    left = probe.count(name)
    if left != 2:
        return f"it deletes the rows: {2 - left} of 2 are gone"
    return "it is taken, and the rows stay" if succeeded(answer) else None


def drop_missing(probe: Probe) -> Finding:
    """A DELETE of a table that is not there."""
    answer = probe.ask("DELETE", f"schema/{probe.table('none')}")
    return None if answer.status == 404 else f"it is answered with {answer.status}"


def new_column(probe: Probe) -> Finding:
    """A nullable column for a table with rows."""
    name = probe.make("grow", {"n": {"type": "Int", "nullable": False}}, [{"n": 1}])
    answer = probe.ask("PUT", f"schema/{name}/late", {"type": "Int", "nullable": True})
    if not succeeded(answer):
        return f"it is refused: {described(answer)}"
    return None if probe.search(name)[1] == [{"n": 1}] else "old rows read it as something"


def new_column_with_value(probe: Probe) -> Finding:
    """A column that is not nullable, with a value for the rows that are there."""
    name = probe.table("grow")
    body = {"type": "Int", "nullable": False, "value": 7}
    answer = probe.ask("PUT", f"schema/{name}/given", body)
    if not succeeded(answer):
        return f"it is refused: {described(answer)}"
    hits = probe.search(name, select=["given"])[1]
    return None if hits == [{"given": 7}] else "old rows do not have the value"


# -- rows

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


def round_trip(probe: Probe) -> Finding:
    """Extremes of each type, empty texts and empty arrays, and nulls."""
    name, _ = _types_table(probe)
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


def null_booleans(probe: Probe) -> Finding:
    """How a null in a Boolean column reads."""
    columns = {"id": {"type": "Int", "nullable": False}, "b": {"type": "Boolean", "nullable": True}}
    name = probe.make("flags", columns, [{"id": 1, "b": None}, {"id": 2}])
    hits = probe.search(name, orderBy={"$asc": "id"})[1]
    return None if all("b" not in hit for hit in hits) else "it reads as false"


def no_coercion(probe: Probe) -> Finding:
    """Values of another type than the column's."""
    name, _ = _types_table(probe)
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


def bad_row_status(probe: Probe) -> Finding:
    """The status for a batch with a bad row in its middle."""
    name = probe.make("bad", {"n": {"type": "Int", "nullable": False}})
    answer = probe.insert(name, BAD_BATCH)
    if succeeded(answer):
        return "it is taken"
    return None if answer.status in (400, 422) else f"it is answered with {answer.status}"


def bad_row_kept(probe: Probe) -> Finding:
    """What is kept of such a batch."""
    kept = probe.count(probe.table("bad"))
    return f"{kept} rows of it are stored" if kept else None


def unknown_column(probe: Probe) -> Finding:
    """A row with a column that the table lacks."""
    answer = probe.insert(probe.table("bad"), [{"n": 9, "nobody": 1}])
    return "it is taken" if succeeded(answer) else None


def nan_literal(probe: Probe) -> Finding:
    """NaN in place of a number."""
    name, _ = _types_table(probe)
    body = b'[{"id": "nan", "number": NaN}]'
    return "it is taken" if succeeded(probe.ask("POST", f"data/{name}/batch", body)) else None


def _family(probe: Probe) -> tuple[str, str]:
    """A parent table with rows p1 and p2, and a child with two rows of p1 and one of p2."""
    parent, child = probe.table("parent"), probe.table("child")
    if child not in probe.made:
        column = {"type": "String", "nullable": False}
        probe.make("parent", {"id": column}, [{"id": "p1"}, {"id": "p2"}])
        rows = [{"p": key} for key in ("p1", "p1", "p2")]
        probe.make("child", {"p": {**column, "link": f"{parent}.id"}}, rows)
    return parent, child


def dangling_link(probe: Probe) -> Finding:
    """A link value that no row of the parent has."""
    _, child = _family(probe)
    answer = probe.insert(child, [{"p": "nobody"}])
    return None if succeeded(answer) else f"it is refused: {described(answer)}"


def link_condition(probe: Probe) -> Finding:
    """A condition on a link column finds rows by the plain value."""
    _, child = _family(probe)
    found = [probe.count(child, {"p": "p1"}), probe.count(child, {"p.id": "p1"})]
    return None if found == [2, 2] else f"of 2 rows the column finds {found[0]}, its key {found[1]}"


# -- queries


def _many(probe: Probe) -> str:
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
            probe.need("POST", f"data/{name}/batch", [{"id": _id(n), "n": n} for n in numbers])
    return name


def _id(number: int) -> str:
    return f"k{number:05}"


def paging(probe: Probe) -> Finding:
    """Pages in the order of the key."""
    name, found = _many(probe), []
    last = 2 * PAGE + 100
    for offset in range(0, last, PAGE):
        query = {"where": {"n": {"$lt": last}}, "orderBy": {"$asc": "id"}, "select": ["id"]}
        found += probe.search(name, **query, limit=PAGE, offset=offset)[1]
    wanted = [{"id": _id(n)} for n in range(last)]
    return None if found == wanted else "rows are missing, doubled or out of order"


def many_hits(probe: Probe) -> Finding:
    """Ten thousand hits in one answer."""
    hits = probe.search(_many(probe), limit=MANY, orderBy={"$asc": "id"}, select=["id"])[1]
    return None if len(hits) == MANY else f"an answer holds {len(hits)} hits"


def many_values(probe: Probe) -> Finding:
    """`$or` of 10, 500 and 1,000 values."""
    name, wrong = _many(probe), []
    for size in (10, 500, 1000):
        keys = [_id(n) for n in range(size)]
        query = {"from": name, "where": {"id": {"$or": keys}}, "limit": 0}
        answer = probe.ask("POST", "_search", query)
        total = answer.body.get("total") if isinstance(answer.body, dict) else None
        if total != size:
            wrong.append(f"{size} values: {total if succeeded(answer) else answer.status}")
    return "; ".join(wrong) if wrong else None


def both_bounds(probe: Probe) -> Finding:
    """Two bounds on one column, in both forms."""
    name = _many(probe)
    form = {"$and": [{"n": {"$gte": 10}}, {"n": {"$lt": 30}}]}
    found = [probe.count(name, form), probe.count(name, {"n": {"$gte": 10, "$lt": 30}})]
    if found == [20, 20]:
        return None
    return f"of 20 rows `$and` finds {found[0]}, one object with both finds {found[1]}"


def newest_first(probe: Probe) -> Finding:
    """`$desc` gives the greatest first."""
    hits = probe.search(_many(probe), orderBy={"$desc": "n"}, select=["n"], limit=1)[1]
    return None if hits == [{"n": MANY - 1}] else "the first hit is not the greatest"


def no_order(probe: Probe) -> Finding:
    """Rows without `orderBy`."""
    hits = probe.search(_many(probe), limit=50, select=["n"])[1]
    in_order = [hit.get("n") for hit in hits] == list(range(50))
    return "rows come in the order in which they were stored" if in_order else None


# -- changes


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


def rename(probe: Probe) -> Finding:
    """`_rename` to a free name, and over a table with rows."""
    columns = {"n": {"type": "Int", "nullable": False}}
    old = probe.make("old", columns, [{"n": 1}])
    probe.make("new", columns, [{"n": 2}, {"n": 3}])
    free = probe.table("free")
    probe.made.append(free)
    answers = [_renamed(probe, "new", free), _renamed(probe, "free", old)]
    if not all(answers):
        return "it is refused"
    return None if probe.count(old) == 2 else "the rows are not those of the renamed table"


def _renamed(probe: Probe, short: str, new: str) -> bool:
    body = {"from": probe.table(short), "rename": new, "replace": True}
    return succeeded(probe.ask("POST", "schema/_rename", body))


def rename_over_linked(probe: Probe) -> Finding:
    """`_rename` over a table that another one links to."""
    parent, child = _family(probe)
    column = {"type": "String", "nullable": False}
    probe.make("heir", {"id": column}, [{"id": "p1"}])
    if not _renamed(probe, "heir", parent):
        return "it is refused"
    return None if probe.count(child, {"p.id": "p1"}) == 2 else "the child's links lead nowhere"


def delete(probe: Probe) -> Finding:
    """`_delete` by condition: its answer, and what is left."""
    name = _many(probe)
    before = probe.count(name)
    where = {"$and": [{"n": {"$gte": 100}}, {"n": {"$lt": 200}}]}
    answer = probe.ask("POST", "data/_delete", {"from": name, "where": where})
    left = probe.count(name)
    if left != before - 100:
        return f"of 100 rows {before - left} are deleted, with status {answer.status}"
    if answer.body != {"total": 100}:
        return "the rows are deleted, and the answer says something else"
    return None


def optimize(probe: Probe) -> Finding:
    """`optimize` of a small table within ten seconds."""
    answer = probe.ask("POST", f"data/{_many(probe)}/optimize", {})
    if not succeeded(answer):
        return f"it is answered with {described(answer)}"
    return None if answer.seconds < 10 else f"it takes {answer.seconds:.0f} s"


def writes_as_jobs(probe: Probe) -> Finding:
    """`optimize` and `_delete` as jobs."""
    name = _many(probe)
    before = probe.count(name)
    delete_body = {"from": name, "where": {"n": {"$lt": 10}}}
    for path, body in ((f"data/{name}/optimize", {}), ("data/_delete", delete_body)):
        answer = probe.ask("POST", f"jobs/{path}", body)
        if not succeeded(answer):
            return f"jobs/{path.replace(name, '{table}')} is answered with {described(answer)}"
        probe.finished(_job_id(answer.body))
    left = probe.count(name)
    return None if left == before - 10 else f"of 10 rows {before - left} are deleted by the job"


def gzip_body(probe: Probe) -> Finding:
    """A compressed body."""
    body = gzip.compress(b'{"from": "%s", "limit": 0}' % _many(probe).encode())
    headers = {**probe.key_header(), "content-encoding": "gzip"}
    answer = probe.ask("POST", "_search", body, headers)
    return "it is understood" if succeeded(answer) else None


def file_upload(probe: Probe) -> Finding:
    """The first step of an upload."""
    answer = probe.ask("POST", f"data/{_many(probe)}/file")
    return "uploads are offered" if succeeded(answer) else None


# -- evaluations


def _evaluation(name: str) -> dict[str, Any]:
    question = {"from": name, "where": {"n": {"$get": "n"}}, "predict": "kind"}
    return {"test": {"$index": {"$mod": [10, 0]}}, "evaluate": question}


def _asked(probe: Probe) -> str:
    """A small table to evaluate."""
    name = probe.table("asked")
    if name not in probe.made:
        columns = {
            "n": {"type": "Int", "nullable": False},
            "kind": {"type": "String", "nullable": False},
        }
        probe.make("asked", columns, [{"n": n % 4, "kind": f"k{n % 2}"} for n in range(60)])
    return name


def _job_id(body: Any) -> str:
    job_id = body.get("id") if isinstance(body, dict) else None
    if not isinstance(job_id, str):
        raise Unclear("the answer has no job id")
    return job_id


def job_created(probe: Probe) -> Finding:
    """The answer that says a job was made."""
    answer = probe.ask("POST", "jobs/_evaluate", _evaluation(_asked(probe)))
    if not succeeded(answer):
        return f"it is refused: {described(answer)}"
    _job_id(answer.body)
    if answer.status == 201 and "path" in answer.body:
        return None
    return f"it is answered with {answer.status} and {', '.join(sorted(answer.body))}"


def job_result(probe: Probe) -> Finding:
    """The result of an evaluation, and when it expires."""
    job_id = _job_id(probe.need("POST", "jobs/_evaluate", _evaluation(_asked(probe))))
    status = probe.finished(job_id)
    answer = probe.ask("GET", f"jobs/{job_id}/result")
    if not isinstance(answer.body, dict) or "accuracy" not in answer.body:
        return f"the result is {described(answer)}"
    try:
        finished, expires = (_second(status[name]) for name in ("finishedAt", "expiresAt"))
    except (KeyError, TypeError, ValueError):
        return "the status does not say when the result expires"
    kept = expires - finished
    return None if abs(kept - EXPIRY_SECONDS) < 5 else f"results are kept for {kept:.0f} s"


def _second(text: Any) -> float:
    return datetime.fromisoformat(text).timestamp()


def failed_job(probe: Probe) -> Finding:
    """A job whose query is wrong."""
    body = {**_evaluation(_asked(probe)), "test": {"nobody": 1}}
    answer = probe.ask("POST", "jobs/_evaluate", body)
    if not succeeded(answer):
        return f"it is refused at once: {answer.status}"
    job_id = _job_id(answer.body)
    status = probe.finished(job_id)
    result = probe.ask("GET", f"jobs/{job_id}/result")
    if result.status == 500 and "expiresAt" not in status:
        return None
    return f"the result is answered with {result.status}"


def expiry(probe: Probe) -> Finding:
    """What is left of a job after its result has expired. Waits 15 minutes."""
    if not probe.wait:
        raise Unclear("not waited for: it takes 15 minutes, with --wait")
    job_id = _job_id(probe.need("POST", "jobs/_evaluate", _evaluation(_asked(probe))))
    probe.finished(job_id)
    probe.clock.sleep(EXPIRY_SECONDS + 10)
    result = probe.ask("GET", f"jobs/{job_id}/result")
    status = probe.ask("GET", f"jobs/{job_id}")
    if result.status != 404:
        return f"the result is answered with {result.status}"
    return None if succeeded(status) else f"the job itself is answered with {status.status}"


CHECKS: tuple[Check, ...] = (
    Check(
        "keys",
        "A wrong key is answered with 401 or 403, no key with 400, 401 or 403.",
        "After 401 and 403 the key is loaded again, once.",
        "The run fails with another message. Nothing is written.",
        wrong_key,
        reads_only=True,
    ),
    Check(
        "schema lists tables",
        "`GET /schema` lists tables and nothing else.",
        "A configured name that stands for something else must be seen before a PUT.",
        "Other kinds are kept under their name. A configured name among them is refused.",
        schema_kinds,
        reads_only=True,
    ),
    Check(
        "missing table",
        "A query of a table that is not there is a 404, or a 400 `failed to open`.",
        "A table that vanishes during a run must not be taken for bad rows.",
        "The sync looks for bad rows in the first batch before it gives up.",
        missing_table,
        reads_only=True,
    ),
    Check(
        "unknown job",
        "A job that is not known is a 404.",
        "`watch` records such an evaluation as lost.",
        "The evaluation stays open until it is too old.",
        unknown_job,
        reads_only=True,
    ),
    Check(
        "list of jobs",
        "`GET /jobs/` lists jobs.",
        "Nothing: the sync asks for each job it started.",
        "Nothing changes.",
        job_list,
        reads_only=True,
    ),
    Check(
        "types",
        "A table with every type reads back with the same meaning.",
        "Before each load the table is compared with the configuration.",
        "The table is reported as different and not loaded.",
        each_type,
    ),
    Check(
        "type Long",
        "The type Long exists and holds 64 bits.",
        "Integers beyond 32 bits become Long.",
        "The table cannot be made. `type: Decimal` or `type: String` in the configuration helps.",
        type_long,
    ),
    Check(
        "order of columns",
        "Columns are read back in alphabetical order.",
        "Nothing: columns are compared by name.",
        "Nothing changes.",
        order_of_columns,
    ),
    Check(
        "spelling of types",
        "Types are read back as they are documented.",
        "Columns are compared by meaning: types have no case.",
        "Nothing changes.",
        spelling_of_types,
    ),
    Check(
        "spelling of analyzers",
        "The analyzer `en` is read back as `english`.",
        "Columns are compared by meaning: short name, long name and object are one.",
        "Nothing changes.",
        spelling_of_analyzers,
    ),
    Check(
        "spelling of links",
        "A link to the own table is read back with the table's name.",
        "Columns are compared by meaning: `this` is the own table.",
        "Nothing changes.",
        spelling_of_links,
    ),
    Check(
        "spelling of nullable",
        "`nullable: false` is written when it is read back.",
        "A column without `nullable` is taken as one that holds no nulls.",
        "Nothing changes.",
        spelling_of_nullable,
    ),
    Check(
        "PUT over an empty table",
        "It replaces the table.",
        "Nothing: a PUT never goes to a name that exists.",
        "Nothing changes.",
        put_over_empty,
    ),
    Check(
        "PUT over a table with rows",
        "It is refused, and the rows stay.",
        "A PUT that is applied late could meet a table that has rows by then.",
        "A PUT never goes to a name that exists, and is sent once. If one is applied late, the"
        " following run finds the rows missing and loads them again.",
        put_over_rows,
    ),
    Check(
        "DELETE of a missing table",
        "It is a 404.",
        "A DELETE whose answer was lost is repeated.",
        "Nothing changes: a missing table is what was wanted.",
        drop_missing,
    ),
    Check(
        "new column",
        "A nullable column can be added to a table with rows, which read it as absent.",
        "A column that is new in the source is added.",
        "The table is not loaded. `reset` makes it anew.",
        new_column,
    ),
    Check(
        "new column with a value",
        "A column that is not nullable can be added with a value for the rows that are there.",
        "Nothing: the sync adds nullable columns only.",
        "Nothing changes.",
        new_column_with_value,
    ),
    Check(
        "round trip",
        "Extremes of each type, empty texts and arrays come back as they were. Nulls are left out.",
        "Keys and cursors are compared with those of the source.",
        "Values change on their way. Comparisons by key and by content may report differences.",
        round_trip,
    ),
    Check(
        "null in a Boolean column",
        "It is left out, as every null.",
        "A comparison by content.",
        "The value reads as false in Aito. Nothing is repaired for it.",
        null_booleans,
    ),
    Check(
        "no coercion",
        "A Boolean column refuses 1 and `true`, an Int column a text and more than 32 bits.",
        "A value that was changed silently could not be found again by its key.",
        "The source's values are converted by SQL before they are sent, so none is coerced.",
        no_coercion,
    ),
    Check(
        "bad row",
        "A batch with a bad row is refused with 400 or 422.",
        "The batch is halved down to the rows at fault, which are recorded as rejects.",
        "After a 500 the sync looks which rows are stored, and halves as well.",
        bad_row_status,
    ),
    Check(
        "rows of a refused batch",
        "Nothing of a refused batch is stored.",
        "The parts of a halved batch are sent without another look.",
        "Rows are stored twice at first. The count of the slice differs, and they are removed.",
        bad_row_kept,
    ),
    Check(
        "unknown column",
        "A row with a column that the table lacks is refused.",
        "Nothing: columns are compared before rows are sent.",
        "Nothing changes.",
        unknown_column,
    ),
    Check(
        "NaN",
        "The literal NaN is refused.",
        "NaN and infinities are sent as null.",
        "Nothing changes.",
        nan_literal,
    ),
    Check(
        "dangling link",
        "A link value without its row in the parent is taken.",
        "Children are loaded even where a parent was rejected.",
        "Such rows become rejects until their parent is there.",
        dangling_link,
    ),
    Check(
        "link in a condition",
        "A condition on a link column finds rows by the plain value, as one on its key does.",
        "A key or a cursor may be a link.",
        "Rows are not found by such a key, and would be sent again.",
        link_condition,
    ),
    Check(
        "paging",
        "Pages in the order of a key hold each row once.",
        "Keys are read in pages.",
        "A comparison by keys would miss rows. It is repeated while it finds differences.",
        paging,
    ),
    Check(
        "limit 10,000",
        "An answer holds 10,000 hits.",
        "Keys of a slice are read in pages of that size.",
        "Shorter pages are read on from where they end. More calls are made.",
        many_hits,
    ),
    Check(
        "$or",
        "`$or` takes 1,000 values.",
        "Rows are looked up and replaced by the keys of a batch.",
        "Make `batch.rows` smaller than the number that works.",
        many_values,
    ),
    Check(
        "two bounds",
        "Two bounds on one column work as an `$and`, and as one object.",
        "Every slice is counted with two bounds, as an `$and`.",
        "If `$and` works, nothing changes. Otherwise no run can verify.",
        both_bounds,
    ),
    Check(
        "newest row",
        "`$desc` gives the greatest value first.",
        "The watermark is the newest cursor.",
        "The watermark would be wrong. Each run would read more, or miss rows until reconcile.",
        newest_first,
    ),
    Check(
        "no order",
        "Without `orderBy` rows come in no order.",
        "Nothing: every query that needs an order requests one.",
        "Nothing changes.",
        no_order,
    ),
    Check(
        "_modify",
        "A delete and an insert are one atomic step, for one row and for 1,000.",
        "`merge` replaces rows by key.",
        "The first upsert of each run is read back. If it is wrong, the run deletes by key, counts,"
        " inserts and counts. If other rows are gone, it ends with an error.",
        modify,
    ),
    Check(
        "_rename",
        "It takes a free name, and the place of a table with rows.",
        "`replace` swaps a freshly loaded table in.",
        "The run fails and the old table stays.",
        rename,
    ),
    Check(
        "_rename over a linked table",
        "A table that others link to can be replaced.",
        "`replace` of a parent table.",
        "The run fails and the old table stays. Use `merge` for such a table.",
        rename_over_linked,
    ),
    Check(
        "_delete",
        "It deletes the rows that match and answers their number.",
        "Purge, repair and deletion.",
        "The count after it is believed, not the answer.",
        delete,
    ),
    Check(
        "optimize",
        "A small table is optimized within ten seconds.",
        "It is requested after a load and not waited for longer.",
        "The run ends all the same and logs optimize_failed.",
        optimize,
    ),
    Check(
        "writes as jobs",
        "`optimize` and `_delete` can be jobs.",
        "`optimize` is requested as a job.",
        "`optimize` is requested as a plain call, and not waited for beyond ten seconds.",
        writes_as_jobs,
    ),
    Check(
        "compressed body",
        "A gzip body is not understood.",
        "Nothing: bodies are sent plain.",
        "Nothing changes.",
        gzip_body,
    ),
    Check(
        "file upload",
        "Uploads of files are not offered.",
        "Nothing: rows are sent in batches.",
        "Nothing changes.",
        file_upload,
    ),
    Check(
        "answer of a new job",
        "A new job is answered with 201 and its path.",
        "Nothing: any 2xx with an id is a job.",
        "Nothing changes.",
        job_created,
    ),
    Check(
        "result of a job",
        "The result can be read until 900 s after the end, and the status says so.",
        "`watch` must look within that time.",
        "`expiresAt` is recorded. A result that is gone is recorded as lost.",
        job_result,
    ),
    Check(
        "failed job",
        "A failed job has no `expiresAt`, and its result is a 500.",
        "`watch` records the evaluation as failed.",
        "Any answer without an accuracy is recorded as failed or lost.",
        failed_job,
    ),
    Check(
        "expiry",
        "After 900 s the result is a 404, and the job is still known.",
        "`watch` tells a lost result from a lost job.",
        "Both are recorded as lost.",
        expiry,
    ),
)
