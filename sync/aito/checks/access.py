"""Keys, what the schema lists, and what is answered for what is not there."""

from __future__ import annotations

from sync.aito.answers import refusal
from sync.aito.checks.check import Finding, check
from sync.aito.probe import Probe, described, succeeded
from sync.aito.schema import read_schema
from sync.base.errors import Refusal, Unavailable


@check(
    "keys",
    assumed="A wrong key is answered with 401 or 403, no key with 400, 401 or 403.",
    where="After 401 and 403 the key is loaded again, once.",
    otherwise="The run fails with another message. Nothing is written.",
    reads_only=True,
)
def wrong_key(probe: Probe) -> Finding:
    """The status for a wrong key and for none."""
    wrong = probe.ask("GET", "schema", headers={"x-api-key": "not-a-key"})
    none = probe.ask("GET", "schema", headers={})
    if wrong.status in (401, 403) and none.status in (400, 401, 403):
        return None
    return f"a wrong key is answered with {wrong.status}, no key with {none.status}"


@check(
    "schema lists tables",
    assumed="`GET /schema` lists tables and nothing else.",
    where="A configured name that stands for something else must be seen before a PUT.",
    otherwise="Other kinds are kept under their name. A configured name among them is refused.",
    reads_only=True,
)
def schema_kinds(probe: Probe) -> Finding:
    """What GET /schema lists beside tables."""
    try:
        held = read_schema(probe.need("GET", "schema"))
    except Unavailable as error:
        return str(error)
    others = sorted({table.kind for table in held.values() if not table.is_table})
    return f"it lists {', '.join(others)} beside tables" if others else None


@check(
    "missing table",
    assumed="A query of a table that is not there is a 404, or a 400 `failed to open`.",
    where="A table that vanishes during a run must not be taken for bad rows.",
    otherwise="The sync looks for bad rows in the first batch before it gives up.",
    reads_only=True,
)
def missing_table(probe: Probe) -> Finding:
    """How a table that is not there is answered."""
    answer = probe.ask("POST", "_search", {"from": probe.table("none"), "limit": 0})
    if not succeeded(answer) and refusal(answer) is Refusal.NOT_FOUND:
        return None
    return f"it is answered with {answer.status}"


@check(
    "unknown job",
    assumed="A job that is not known is a 404.",
    where="`watch` records such an evaluation as lost.",
    otherwise="The evaluation stays open until it is too old.",
    reads_only=True,
)
def unknown_job(probe: Probe) -> Finding:
    """How a job that is not known is answered."""
    answer = probe.ask("GET", "jobs/00000000-0000-0000-0000-000000000000")
    return None if answer.status == 404 else f"it is answered with {described(answer)}"


@check(
    "list of jobs",
    assumed="`GET /jobs/` lists jobs.",
    where="Nothing: the sync asks for each job it started.",
    otherwise="Nothing changes.",
    reads_only=True,
)
def job_list(probe: Probe) -> Finding:
    """Whether jobs are listed."""
    answer = probe.ask("GET", "jobs/")
    return None if succeeded(answer) else f"it is answered with {described(answer)}"


CHECKS = (wrong_key, schema_kinds, missing_table, unknown_job, job_list)
