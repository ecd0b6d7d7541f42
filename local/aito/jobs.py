"""Jobs of the Aito stand-in: a call that runs in a thread, its status, and its result for a while.

What Aito does not document (the shape of a failed job, `/result` before the end, how long a result
lives) is chosen here to be awkward: an early `/result` is a 404 like that of a lost job, and a
failed job answers the failure's own status and body.
"""

import threading
import time
import traceback
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from local.aito.schema import Json, Refusal

Outcome = tuple[int, Json]  # HTTP status and body


@dataclass
class _Job:
    id: str
    started: float
    outcome: Outcome | None = None
    done: threading.Event = field(default_factory=threading.Event)


class Jobs:
    """`seconds`: a job takes at least this long, even when set later.

    `result_seconds`: how long a result is kept.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.result_seconds = 3600.0
        self._jobs: dict[str, _Job] = {}
        self._failing = 0

    def start(self, call: Callable[[], Outcome]) -> Json:
        """Begin. -> the body of the answer."""
        job = _Job(str(uuid.uuid4()), time.time())
        self._jobs[job.id] = job
        failing, self._failing = self._failing > 0, max(0, self._failing - 1)
        threading.Thread(target=_run, args=(job, _failed if failing else call), daemon=True).start()
        return {"id": job.id, "startedAt": _iso(job.started)}

    def status(self, job_id: str) -> Json:
        """`GET /jobs/{id}`: `finishedAt` and `expiresAt` appear at the end."""
        job = self._job(job_id)
        known = {"id": job.id, "startedAt": _iso(job.started)}
        if not self._finished(job):
            return known
        end = self._end(job)
        return {**known, "finishedAt": _iso(end), "expiresAt": _iso(end + self.result_seconds)}

    def result(self, job_id: str) -> Outcome:
        """`GET /jobs/{id}/result`: what the call itself would have answered."""
        job = self._job(job_id)
        if not self._finished(job) or job.outcome is None:
            raise Refusal(404, f"Job {job.id} has no result yet")
        if time.time() > self._end(job) + self.result_seconds:
            raise Refusal(404, f"The result of job {job.id} has expired")
        return job.outcome

    def lose(self) -> int:
        """Forget every job, as a restart of the engine may. -> how many."""
        lost = len(self._jobs)
        self._jobs.clear()
        return lost

    def fail_next(self, times: int = 1) -> None:
        """Let the next jobs end in an error."""
        self._failing = times

    def _job(self, job_id: str) -> _Job:
        if job_id not in self._jobs:
            raise Refusal(404, f"No such job: {job_id[:80]}")
        return self._jobs[job_id]

    def _end(self, job: _Job) -> float:
        return job.started + self.seconds

    def _finished(self, job: _Job) -> bool:
        if time.time() < self._end(job):
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
    return 500, {"message": "the job failed", "status": 500}


def _iso(seconds: float) -> str:
    return (
        datetime.fromtimestamp(seconds, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )
