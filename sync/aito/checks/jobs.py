"""Long calls: `optimize`, jobs, evaluations and the expiry of their results."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sync.aito.checks.check import Finding, check
from sync.aito.checks.tables import many_rows
from sync.aito.probe import Probe, Unclear, described, succeeded

EXPIRY_SECONDS = 900


@check(
    "optimize",
    assumed="A small table is optimized within ten seconds.",
    where="It is requested after a load and not waited for longer.",
    otherwise="The run ends all the same and logs optimize_failed.",
)
def optimize(probe: Probe) -> Finding:
    """`optimize` of a small table within ten seconds."""
    answer = probe.ask("POST", f"data/{many_rows(probe)}/optimize", {})
    if not succeeded(answer):
        return f"it is answered with {described(answer)}"
    return None if answer.seconds < 10 else f"it takes {answer.seconds:.0f} s"


@check(
    "writes as jobs",
    assumed="`optimize` and `_delete` can be jobs.",
    where="`optimize` is requested as a job.",
    otherwise="`optimize` is requested as a plain call, and not waited for beyond ten seconds.",
)
def writes_as_jobs(probe: Probe) -> Finding:
    """`optimize` and `_delete` as jobs."""
    name = many_rows(probe)
    before = probe.count(name)
    delete_body = {"from": name, "where": {"n": {"$lt": 10}}}
    for path, body in ((f"data/{name}/optimize", {}), ("data/_delete", delete_body)):
        answer = probe.ask("POST", f"jobs/{path}", body)
        if not succeeded(answer):
            return f"jobs/{path.replace(name, '{table}')} is answered with {described(answer)}"
        probe.finished(_job_id(answer.body))
    left = probe.count(name)
    return None if left == before - 10 else f"of 10 rows {before - left} are deleted by the job"


def _job_id(body: Any) -> str:
    job_id = body.get("id") if isinstance(body, dict) else None
    if not isinstance(job_id, str):
        raise Unclear("the answer has no job id")
    return job_id


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


@check(
    "answer of a new job",
    assumed="A new job is answered with 201 and its path.",
    where="Nothing: any 2xx with an id is a job.",
    otherwise="Nothing changes.",
)
def job_created(probe: Probe) -> Finding:
    """The answer that says a job was made."""
    answer = probe.ask("POST", "jobs/_evaluate", _evaluation(_asked(probe)))
    if not succeeded(answer):
        return f"it is refused: {described(answer)}"
    _job_id(answer.body)
    if answer.status == 201 and "path" in answer.body:
        return None
    return f"it is answered with {answer.status} and {', '.join(sorted(answer.body))}"


@check(
    "result of a job",
    assumed="The result can be read until 900 s after the end, and the status says so.",
    where="`watch` must look within that time.",
    otherwise="`expiresAt` is recorded. A result that is gone is recorded as lost.",
)
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


@check(
    "failed job",
    assumed="A failed job has no `expiresAt`, and its result is a 500.",
    where="`watch` records the evaluation as failed.",
    otherwise="Any answer without an accuracy is recorded as failed or lost.",
)
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


@check(
    "expiry",
    assumed="After 900 s the result is a 404, and the job is still known.",
    where="`watch` tells a lost result from a lost job.",
    otherwise="Both are recorded as lost.",
)
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


CHECKS = (optimize, writes_as_jobs, job_created, job_result, failed_job, expiry)
