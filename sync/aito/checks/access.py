"""Keys, what the schema lists, and what is answered for what is not there."""

from __future__ import annotations

from sync.aito.answers import Answer, refusal
from sync.aito.checks.check import Check, Finding, Step, equals, refused, request, status, taken
from sync.aito.probe import Probe, Unclear
from sync.aito.schema import read_schema
from sync.base.errors import Refusal, Unavailable

SHOWN = 3  # names in a line


def _schema_kinds(probe: Probe) -> Finding:
    """What GET /schema lists beside tables."""
    try:
        held = read_schema(probe.once("schema", lambda: probe.need("GET", "schema")))
    except Unavailable as error:
        return str(error)
    others = sorted({table.kind for table in held.values() if not table.is_table})
    return f"it lists {', '.join(others)} beside tables" if others else None


def _collections_not_listed(probe: Probe) -> Finding:
    """Collections of version 2 that version 1 does not list. An Aito without version 2 has none."""
    answer = probe.ask("GET", "schema", version="v2")
    entries = answer.body.get("schema") if isinstance(answer.body, dict) else None
    if refused(answer):
        return None
    if not isinstance(entries, dict):
        raise Unclear("GET /api/v2/schema: the answer is no schema")
    listed = probe.once("schema", lambda: probe.need("GET", "schema")).get("schema", {})
    hidden = sorted(entries.keys() - listed.keys())
    return f"it does not list {', '.join(hidden[:SHOWN])}" if hidden else None


def _is_missing(answer: Answer) -> bool:
    return refused(answer) and equals(Refusal.NOT_FOUND)(refusal(answer))


CHECKS = (
    Check(
        "keys",
        assumed="A wrong key is answered with 401 or 403, no key with 400, 401 or 403.",
        where="After 401 and 403 the key is loaded again, once.",
        otherwise="The run fails with another message. Nothing is written.",
        tries=(
            Step(
                request("GET", "schema", headers={"x-api-key": "not-a-key"}),
                status(401, 403),
                "a wrong key is answered with {}",
            ),
            Step(
                request("GET", "schema", headers={}),
                status(400, 401, 403),
                "no key is answered with {}",
            ),
        ),
        reads_only=True,
    ),
    Check(
        "schema lists tables",
        assumed="`GET /schema` lists tables and nothing else.",
        where="A configured name that stands for something else must be seen before a PUT.",
        otherwise="Other kinds are kept under their name. A configured name among them is refused.",
        tries=(_schema_kinds,),
        reads_only=True,
    ),
    Check(
        "collections of version 2",
        assumed="`GET /schema` of version 1 lists what version 2 lists.",
        where="A configured name that stands for a collection must be seen before a PUT.",
        otherwise=(
            "Before a table is made, its name is looked for in version 2. A collection of that "
            "name is refused."
        ),
        tries=(_collections_not_listed,),
        reads_only=True,
    ),
    Check(
        "missing table",
        assumed="A query of a table that is not there is a 404, or a 400 `failed to open`.",
        where="A table that vanishes during a run must not be taken for bad rows.",
        otherwise="The sync looks for bad rows in the first batch before it gives up.",
        tries=(
            Step(
                request("POST", "_search", {"from": "{none}", "limit": 0}),
                _is_missing,
                "it is answered with {}",
            ),
        ),
        reads_only=True,
    ),
    Check(
        "unknown job",
        assumed="A job that is not known is a 404.",
        where="`watch` records such an evaluation as lost.",
        otherwise="The evaluation stays open until it is too old.",
        tries=(
            Step(
                request("GET", "jobs/00000000-0000-0000-0000-000000000000"),
                status(404),
                "it is answered with {}",
            ),
        ),
        reads_only=True,
    ),
    Check(
        "list of jobs",
        assumed="`GET /jobs/` lists jobs.",
        where="Nothing: the sync asks for each job it started.",
        otherwise="Nothing changes.",
        tries=(Step(request("GET", "jobs/"), taken, "it is answered with {}"),),
        reads_only=True,
    ),
)
