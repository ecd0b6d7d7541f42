"""Queries: conditions, pages, limits and order."""

from __future__ import annotations

import gzip

from sync.aito.checks import tables
from sync.aito.checks.check import Finding, check
from sync.aito.checks.tables import family, key_of, many_rows
from sync.aito.probe import Probe, succeeded

PAGE = 700


@check(
    "link in a condition",
    assumed="A condition on a link column finds rows by the plain value, as one on its key does.",
    where="A key or a cursor may be a link.",
    otherwise="Rows are not found by such a key, and would be sent again.",
)
def link_condition(probe: Probe) -> Finding:
    """A condition on a link column finds rows by the plain value."""
    _, child = family(probe)
    found = [probe.count(child, {"p": "p1"}), probe.count(child, {"p.id": "p1"})]
    return None if found == [2, 2] else f"of 2 rows the column finds {found[0]}, its key {found[1]}"


@check(
    "paging",
    assumed="Pages in the order of a key hold each row once.",
    where="Keys are read in pages.",
    otherwise="A comparison by keys would miss rows. It is repeated while it finds differences.",
)
def paging(probe: Probe) -> Finding:
    """Pages in the order of the key."""
    name, found = many_rows(probe), []
    last = 2 * PAGE + 100
    for offset in range(0, last, PAGE):
        query = {"where": {"n": {"$lt": last}}, "orderBy": {"$asc": "id"}, "select": ["id"]}
        found += probe.search(name, **query, limit=PAGE, offset=offset)[1]
    wanted = [{"id": key_of(n)} for n in range(last)]
    return None if found == wanted else "rows are missing, doubled or out of order"


@check(
    "limit 10,000",
    assumed="An answer holds 10,000 hits.",
    where="Keys of a slice are read in pages of that size.",
    otherwise="Shorter pages are read on from where they end. More calls are made.",
)
def many_hits(probe: Probe) -> Finding:
    """Ten thousand hits in one answer."""
    query = {"orderBy": {"$asc": "id"}, "select": ["id"], "limit": tables.MANY}
    hits = probe.search(many_rows(probe), **query)[1]
    return None if len(hits) == tables.MANY else f"an answer holds {len(hits)} hits"


@check(
    "$or",
    assumed="`$or` takes 1,000 values.",
    where="Rows are looked up and replaced by the keys of a batch.",
    otherwise="Make `batch.rows` smaller than the number that works.",
)
def many_values(probe: Probe) -> Finding:
    """`$or` of 10, 500 and 1,000 values."""
    name, wrong = many_rows(probe), []
    for size in (10, 500, 1000):
        keys = [key_of(n) for n in range(size)]
        query = {"from": name, "where": {"id": {"$or": keys}}, "limit": 0}
        answer = probe.ask("POST", "_search", query)
        total = answer.body.get("total") if isinstance(answer.body, dict) else None
        if total != size:
            wrong.append(f"{size} values: {total if succeeded(answer) else answer.status}")
    return "; ".join(wrong) if wrong else None


@check(
    "two bounds",
    assumed="Two bounds on one column work as an `$and`, and as one object.",
    where="Every slice is counted with two bounds, as an `$and`.",
    otherwise="If `$and` works, nothing changes. Otherwise no run can verify.",
)
def both_bounds(probe: Probe) -> Finding:
    """Two bounds on one column, in both forms."""
    name = many_rows(probe)
    form = {"$and": [{"n": {"$gte": 10}}, {"n": {"$lt": 30}}]}
    found = [probe.count(name, form), probe.count(name, {"n": {"$gte": 10, "$lt": 30}})]
    if found == [20, 20]:
        return None
    return f"of 20 rows `$and` finds {found[0]}, one object with both finds {found[1]}"


@check(
    "newest row",
    assumed="`$desc` gives the greatest value first.",
    where="The watermark is the newest cursor.",
    otherwise=(
        "The watermark would be wrong. Each run would read more, or miss rows until reconcile."
    ),
)
def newest_first(probe: Probe) -> Finding:
    """`$desc` gives the greatest first."""
    hits = probe.search(many_rows(probe), orderBy={"$desc": "n"}, select=["n"], limit=1)[1]
    return None if hits == [{"n": tables.MANY - 1}] else "the first hit is not the greatest"


@check(
    "no order",
    assumed="Without `orderBy` rows come in no order.",
    where="Nothing: every query that needs an order requests one.",
    otherwise="Nothing changes.",
)
def no_order(probe: Probe) -> Finding:
    """Rows without `orderBy`."""
    hits = probe.search(many_rows(probe), limit=50, select=["n"])[1]
    in_order = [hit.get("n") for hit in hits] == list(range(50))
    return "rows come in the order in which they were stored" if in_order else None


@check(
    "compressed body",
    assumed="A gzip body is not understood.",
    where="Nothing: bodies are sent plain.",
    otherwise="Nothing changes.",
)
def gzip_body(probe: Probe) -> Finding:
    """A compressed body."""
    body = gzip.compress(b'{"from": "%s", "limit": 0}' % many_rows(probe).encode())
    headers = {**probe.key_header(), "content-encoding": "gzip"}
    answer = probe.ask("POST", "_search", body, headers)
    return "it is understood" if succeeded(answer) else None


CHECKS = (
    link_condition,
    paging,
    many_hits,
    many_values,
    both_bounds,
    newest_first,
    no_order,
    gzip_body,
)
