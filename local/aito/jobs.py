"""Jobs of the Aito stand-in: a call that runs in a thread, its status, and its result for a while.

Recorded of real instances: a result is gone 900 s after the job ends, a failed job shows no
`expiresAt`, and its `/result` is a 500 whatever failed. An early `/result` is not documented: here
it is a 404 like that of a lost job.
"""

import threading
import time
import traceback
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from local.aito.schema import Json, Refusal
from local.aito.switches import Switches

Outcome = tuple[int, Json]  # HTTP status and body
CALL_SECONDS = 60.0  # real seconds that a call may take
RESULT_SECONDS = 900.0  # recorded: a result expires so long after its job has ended


@dataclass
class _Job:
    id: str
    path: str
    started: float
    outcome: Outcome | None = None
    done: threading.Event = field(default_factory=threading.Event)


class Jobs:
    """`seconds`: a job takes at least this long, even when set later.

    `result_seconds`: how long a result is kept. `ahead`: seconds that this clock is ahead.
    """

    def __init__(self, switches: Switches | None = None) -> None:
        self.switches = switches or Switches()
        self.seconds = 0.0
        self.result_seconds = RESULT_SECONDS
        self.ahead = 0.0
        self._jobs: dict[str, _Job] = {}
        self._failing = 0

    def start(self, path: str, call: Callable[[], Outcome]) -> Json:
        """Begin. -> the body of the answer."""
        job = _Job(str(uuid.uuid4()), path, self._now())
        self._jobs[job.id] = job
        failing, self._failing = self._failing > 0, max(0, self._failing - 1)
        threading.Thread(target=_run, args=(job, _failed if failing else call), daemon=True).start()
        return _begun(job)

    def statuses(self) -> list[Json]:
        """`GET /jobs/`: every job."""
        return [self._status(job) for job in list(self._jobs.values())]

    def status(self, job_id: str) -> Json:
        """`GET /jobs/{id}`: `finishedAt` and `expiresAt` appear at the end."""
        return self._status(self._job(job_id))

    def _status(self, job: _Job) -> Json:
        if not self._finished(job):
            return _begun(job)
        end = self._end(job)
        ended = {**_begun(job), "finishedAt": _iso(end)}
        if job.outcome is None or job.outcome[0] >= 300:
            return ended
        return {**ended, "expiresAt": _iso(end + self.result_seconds)}

    def result(self, job_id: str) -> Outcome:
        """`GET /jobs/{id}/result`: what the call itself would have answered."""
        job = self._job(job_id)
        if not self._finished(job) or job.outcome is None:
            raise Refusal(404, f"Job {job.id} has no result yet")
        if self._expired(job):
            raise Refusal(404, f"The result of job {job.id} has expired")
        if job.outcome[0] >= 300 and self.switches.failed_jobs == "hidden":
            return _failed()
        return job.outcome

    def lose(self) -> int:
        """Forget every job, as a restart of the engine may. -> how many."""
        lost = len(self._jobs)
        self._jobs.clear()
        return lost

    def advance(self, seconds: float) -> None:
        """Let the clock run ahead. Calls that have the time to end by then end first.

        They run in real time. Else the result of one could expire before there is one.
        """
        self.ahead += seconds
        for job in list(self._jobs.values()):
            if self._now() >= self._end(job):
                job.done.wait(CALL_SECONDS)

    def fail_next(self, times: int = 1) -> None:
        """Let the next jobs end in an error."""
        self._failing = times

    def _job(self, job_id: str) -> _Job:
        job = self._jobs.get(job_id)
        gone = job and self.switches.expired_jobs == "job" and self._expired(job)
        if job is None or gone:
            raise Refusal(404, f"No such job: {job_id[:80]}")
        return job

    def _now(self) -> float:
        return time.time() + self.ahead

    def _expired(self, job: _Job) -> bool:
        return self._finished(job) and self._now() > self._end(job) + self.result_seconds

    def _end(self, job: _Job) -> float:
        return job.started + self.seconds

    def _finished(self, job: _Job) -> bool:
        if self._now() < self._end(job):
            return False
        return job.done.wait(0)


def _run(job: _Job, call: Callable[[], Outcome]) -> None:
    try:
        job.outcome = call()
    except Exception:  # noqa: BLE001 - a job always ends
        traceback.print_exc()
        job.outcome = _failed()
    finally:
        job.done.set()


def _failed() -> Outcome:
    return 500, {"message": "There was an internal server error.", "status": 500}


def _begun(job: _Job) -> dict[str, Json]:
    return {"id": job.id, "path": job.path, "startedAt": _iso(job.started)}


def _iso(seconds: float) -> str:
    return (
        datetime.fromtimestamp(seconds, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )
