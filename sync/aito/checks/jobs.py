"""Long calls: `optimize`, jobs, evaluations and the expiry of their results."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sync.aito.answers import Answer
from sync.aito.checks.check import Check, Finding, Sends, Step, request, taken
from sync.aito.checks.tables import filled, name_of
from sync.aito.probe import Probe, Row, Unclear, described, succeeded

EXPIRY_SECONDS = 900
OPTIMIZE_SECONDS = 10
EVALUATION: Row = {
    "test": {"$index": {"$mod": [10, 0]}},
    "evaluate": {"from": "{asked}", "where": {"n": {"$get": "n"}}, "predict": "kind"},
}


def _job_id(body: Any) -> str:
    job_id = body.get("id") if isinstance(body, dict) else None
    if not isinstance(job_id, str):
        raise Unclear("the answer has no job id")
    return job_id


def _start(probe: Probe) -> Answer:
    """The answer to the start of an evaluation, which several checks share."""
    start = request("POST", "jobs/_evaluate", EVALUATION)
    answer: Answer = probe.once("evaluation", lambda: start(probe))
    return answer


def _started(probe: Probe) -> str:
    """The id of the evaluation. Raises Unclear when it was refused."""
    answer = _start(probe)
    if not succeeded(answer):
        raise Unclear(f"the evaluation is refused: {described(answer)}")
    return _job_id(answer.body)


def _result(probe: Probe, job_id: str) -> Answer:
    return probe.ask("GET", f"jobs/{job_id}/result")


def _ended_within_limit(answer: Answer) -> bool:
    return succeeded(answer) and answer.seconds < OPTIMIZE_SECONDS


def _as_job(path: str, body: Row) -> Sends:
    """Ask for a call as a job and wait for its end. Returns the answer that made the job."""

    def send(probe: Probe) -> Answer:
        answer = probe.ask("POST", f"jobs/{filled(probe, path)}", filled(probe, body))
        if succeeded(answer):
            probe.finished(_job_id(answer.body))
        return answer

    return send


def _deleted_by_job(probe: Probe) -> Finding:
    """`_delete` as a job."""
    before = probe.count(name_of(probe, "many"))
    answer = _as_job("data/_delete", {"from": "{many}", "where": {"n": {"$lt": 10}}})(probe)
    if not succeeded(answer):
        return f"jobs/data/_delete is answered with {described(answer)}"
    deleted = before - probe.count(name_of(probe, "many"))
    return None if deleted == 10 else f"of 10 rows {deleted} are deleted by the job"


def _job_created(probe: Probe) -> Finding:
    """The answer that says a job was made."""
    answer = _start(probe)
    if not succeeded(answer):
        return f"it is refused: {described(answer)}"
    _job_id(answer.body)
    if answer.status == 201 and "path" in answer.body:
        return None
    return f"it is answered with {answer.status} and {', '.join(sorted(answer.body))}"


def _job_result(probe: Probe) -> Finding:
    """The result of an evaluation, and when it expires."""
    job_id = _started(probe)
    job = probe.finished(job_id)
    answer = _result(probe, job_id)
    if not isinstance(answer.body, dict) or "accuracy" not in answer.body:
        return f"the result is {described(answer)}"
    try:
        finished, expires = (_second(job[name]) for name in ("finishedAt", "expiresAt"))
    except (KeyError, TypeError, ValueError):
        return "the status does not say when the result expires"
    kept = expires - finished
    return None if abs(kept - EXPIRY_SECONDS) < 5 else f"results are kept for {kept:.0f} s"


def _second(text: Any) -> float:
    return datetime.fromisoformat(text).timestamp()


def _failed_job(probe: Probe) -> Finding:
    """A job whose query is wrong."""
    answer = probe.ask(
        "POST", "jobs/_evaluate", {**filled(probe, EVALUATION), "test": {"nobody": 1}}
    )
    if not succeeded(answer):
        return f"it is refused at once: {answer.status}"
    job_id = _job_id(answer.body)
    job = probe.finished(job_id)
    result = _result(probe, job_id)
    if result.status == 500 and "expiresAt" not in job:
        return None
    return f"the result is answered with {result.status}"


def _expiry(probe: Probe) -> Finding:
    """What is left of a job after its result has expired. Waits 15 minutes."""
    if not probe.wait:
        raise Unclear("not waited for: it takes 15 minutes, with --wait")
    job_id = _started(probe)
    probe.finished(job_id)
    probe.clock.sleep(EXPIRY_SECONDS + 10)
    result = _result(probe, job_id)
    job = probe.ask("GET", f"jobs/{job_id}")
    if result.status != 404:
        return f"the result is answered with {result.status}"
    return None if succeeded(job) else f"the job itself is answered with {job.status}"


CHECKS = (
    Check(
        "optimize",
        assumed="A small table is optimized within ten seconds.",
        where="It is requested after a load and not waited for longer.",
        otherwise="The run ends all the same and logs optimize_failed.",
        tries=(
            Step(
                request("POST", "data/{many}/optimize", {}),
                _ended_within_limit,
                f"it takes over {OPTIMIZE_SECONDS} s, or is answered with {{}}",
            ),
        ),
    ),
    Check(
        "writes as jobs",
        assumed="`optimize` and `_delete` can be jobs.",
        where="`optimize` is requested as a job.",
        otherwise="`optimize` is requested as a plain call, and not waited for beyond ten seconds.",
        tries=(
            Step(
                _as_job("data/{many}/optimize", {}),
                taken,
                "jobs/data/(table)/optimize is answered with {}",
            ),
            _deleted_by_job,
        ),
    ),
    Check(
        "answer of a new job",
        assumed="A new job is answered with 201 and its path.",
        where="Nothing: any 2xx with an id is a job.",
        otherwise="Nothing changes.",
        tries=(_job_created,),
    ),
    Check(
        "result of a job",
        assumed="The result can be read until 900 s after the end, and the status says so.",
        where="`watch` must look within that time.",
        otherwise="`expiresAt` is recorded. A result that is gone is recorded as lost.",
        tries=(_job_result,),
    ),
    Check(
        "failed job",
        assumed="A failed job has no `expiresAt`, and its result is a 500.",
        where="`watch` records the evaluation as failed.",
        otherwise="Any answer without an accuracy is recorded as failed or lost.",
        tries=(_failed_job,),
    ),
    Check(
        "expiry",
        assumed="After 900 s the result is a 404, and the job is still known.",
        where="`watch` tells a lost result from a lost job.",
        otherwise="Both are recorded as lost.",
        tries=(_expiry,),
    ),
)
