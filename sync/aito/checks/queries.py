"""Queries: conditions, pages, limits and order."""

from __future__ import annotations

import gzip
from typing import Any

from sync.aito.answers import Answer
from sync.aito.checks import tables
from sync.aito.checks.check import Check, Finding, Step, count, each, equals, hits, refused
from sync.aito.checks.tables import key_of, name_of
from sync.aito.probe import Probe, Row, described, succeeded

PAGE = 700
PAGED = 2 * PAGE + 100
UNORDERED = 50  # rows that are enough to see whether they come in an order


def _pages(probe: Probe) -> list[Row]:
    """Rows in the order of the key, page by page."""
    query = {"where": {"n": {"$lt": PAGED}}, "orderBy": {"$asc": "id"}, "select": ["id"]}
    found: list[Row] = []
    for offset in range(0, PAGED, PAGE):
        found += probe.search(name_of(probe, "many"), **query, limit=PAGE, offset=offset)[1]
    return found


def _all_rows(probe: Probe) -> Finding:
    """Whether one answer holds all rows."""
    query = {"orderBy": {"$asc": "id"}, "select": ["id"], "limit": tables.MANY}
    answer = probe.ask("POST", "_search", {"from": name_of(probe, "many"), **query})
    if refused(answer):
        return f"it is refused: {described(answer)}"
    hits = answer.body.get("hits", ()) if isinstance(answer.body, dict) else ()
    lacking = tables.MANY - len(hits)
    return f"an answer lacks {lacking} of the hits" if lacking else None


def _is_newest(rows: list[Row]) -> bool:
    return rows == [{"n": tables.MANY - 1}]


def _total_of_keys(probe: Probe, size: int) -> Any:
    """How many rows so many keys find, or the status."""
    keys = [key_of(n) for n in range(size)]
    query = {"from": name_of(probe, "many"), "where": {"id": {"$or": keys}}, "limit": 0}
    answer = probe.ask("POST", "_search", query)
    if not succeeded(answer) or not isinstance(answer.body, dict):
        return f"status {answer.status}"
    return answer.body.get("total")


def _finds(size: int) -> Step:
    return Step(lambda probe: _total_of_keys(probe, size), equals(size), f"{size} values: {{}}")


def _in_order(rows: list[Row]) -> bool:
    return [row.get("n") for row in rows] == list(range(UNORDERED))


def _compressed(probe: Probe) -> Answer:
    """The answer to a compressed body."""
    body = gzip.compress(b'{"from": "%s", "limit": 0}' % name_of(probe, "many").encode())
    headers = {**probe.key_header(), "content-encoding": "gzip"}
    return probe.ask("POST", "_search", body, headers)


CHECKS = (
    Check(
        "link in a condition",
        assumed=(
            "A condition on a link column finds rows by the plain value, as one on its key does."
        ),
        where="A key or a cursor may be a link.",
        otherwise="Rows are not found by such a key, and would be sent again.",
        tries=(
            each(
                Step(count("child", {"p": "p1"}), equals(2), "of 2 rows the column finds {}"),
                Step(count("child", {"p.id": "p1"}), equals(2), "of 2 rows its key finds {}"),
            ),
        ),
    ),
    Check(
        "paging",
        assumed="Pages in the order of a key hold each row once.",
        where="Keys are read in pages.",
        otherwise=(
            "A comparison by keys would miss rows. It is repeated while it finds differences."
        ),
        tries=(
            Step(
                _pages,
                equals([{"id": key_of(n)} for n in range(PAGED)]),
                "rows are missing, doubled or out of order",
            ),
        ),
    ),
    Check(
        "limit 10,000",
        assumed="An answer holds 10,000 hits.",
        where="Keys of a slice are read in pages of that size.",
        otherwise=(
            "Shorter pages are read on from where they end. Where the limit is refused, a smaller "
            "one is sent. More calls are made."
        ),
        tries=(_all_rows,),
    ),
    Check(
        "$or",
        assumed="`$or` takes 1,000 values.",
        where="Rows are looked up and replaced by the keys of a batch.",
        otherwise=(
            "A condition that is refused is halved. More calls are made: make `batch.rows` smaller "
            "than the number that works."
        ),
        tries=(each(_finds(10), _finds(500), _finds(1000)),),
    ),
    Check(
        "two bounds",
        assumed="Two bounds on one column work as an `$and`, and as one object.",
        where="Every slice is counted with two bounds, as an `$and`.",
        otherwise="If `$and` works, nothing changes. Otherwise no run can verify.",
        tries=(
            each(
                Step(
                    count("many", {"$and": [{"n": {"$gte": 10}}, {"n": {"$lt": 30}}]}),
                    equals(20),
                    "of 20 rows `$and` finds {}",
                ),
                Step(
                    count("many", {"n": {"$gte": 10, "$lt": 30}}),
                    equals(20),
                    "of 20 rows one object with both finds {}",
                ),
            ),
        ),
    ),
    Check(
        "newest row",
        assumed="`$desc` gives the greatest value first.",
        where="The watermark is the newest cursor.",
        otherwise=(
            "The watermark would be wrong. Each run would read more, or miss rows until reconcile."
        ),
        tries=(
            Step(
                hits("many", orderBy={"$desc": "n"}, select=["n"], limit=1),
                _is_newest,
                "the first hit is not the greatest",
            ),
        ),
    ),
    Check(
        "no order",
        assumed="Without `orderBy` rows come in no order.",
        where="Nothing: every query that needs an order requests one.",
        otherwise="Nothing changes.",
        tries=(
            Step(
                hits("many", limit=UNORDERED, select=["n"]),
                lambda rows: not _in_order(rows),
                "rows come in the order in which they were stored",
            ),
        ),
    ),
    Check(
        "compressed body",
        assumed="A gzip body is not understood.",
        where="Nothing: bodies are sent plain.",
        otherwise="Nothing changes.",
        tries=(Step(_compressed, refused, "it is understood"),),
    ),
)
