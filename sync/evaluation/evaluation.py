"""Evaluations of one run: launched after the load and not waited for, collected by a later run,
judged and recorded.

The ledger's `evaluations` holds one row per change of state, and the furthest state of an
evaluation_id counts:

    started -> finished                 figures, judged when they are seen
            -> failed                   Aito said why
            -> lost                     Aito no longer knows the job or its result, or a day has gone by
    (nothing) -> failed                 it could not be started: a column is missing, Aito refused

The job is started first and its row written then. A process killed between the two leaves a job
that nobody collects: it ends by itself, Aito forgets it, and the next sync, which finds no row,
starts another. Writing the row first would cost a second row each night, and could not tell a job
that was never started from one that is. Ends are written under an insert id made of evaluation and
state, so that two collectors at once, or one that was killed and comes again, do no harm.

Nothing in here fails a table or raises: what goes wrong is an `evaluation_failed` event, and the
next sync tries again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sync.base.errors import ActionRequired, OutcomeUnknown, Refused, SyncError
from sync.base.events import Severity
from sync.bigquery.queries import Parameter
from sync.config import EvaluationSettings
from sync.evaluation import question
from sync.evaluation.judge import Run, judge
from sync.model.ports import Work

PATIENCE = timedelta(
    hours=24
)  # no evaluation of a nightly table is worth more; a job that hangs blocks the next until then
MEMORY = timedelta(days=100)  # how far back finished runs are read: what a result is judged by
OUTAGE = 2  # jobs that nothing can be told of; each may have cost a time-out
NOT_FOUND = 404
SAID_NOTHING = (502, 503, 504, 0)  # a gateway's answers, or none: the job may be well

# Rows of one evaluation: the furthest state first. Two collectors may both have written an end; a
# result beats a loss.
LATEST = """
SELECT evaluation_id, `table`, name, job_id, state, started_at, test_samples, accuracy, base_accuracy
FROM {evaluations} WHERE started_at >= @since
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY evaluation_id ORDER BY IF(state = 'started', 1, 0), IF(state = 'finished', 0, 1)) = 1
ORDER BY started_at, evaluation_id"""


@dataclass(frozen=True)
class Evaluation:
    """The furthest state of one evaluation, as far as the ledger knows."""

    evaluation_id: str
    table: str
    name: str
    job_id: str
    state: str
    started_at: datetime
    run: Run | None

    @classmethod
    def of(cls, row: dict[str, Any]) -> Evaluation:
        """From a row of LATEST."""
        accuracy, base, tested = row["accuracy"], row["base_accuracy"], row["test_samples"]
        run = None if accuracy is None or tested == 0 else Run(accuracy, base, tested or 0)
        told = (
            row["evaluation_id"],
            row["table"],
            row["name"],
            row["job_id"] or "",
            row["state"],
            row["started_at"],
        )
        return cls(*told, run if row["state"] == "finished" else None)

    @property
    def of_what(self) -> tuple[str, str]:
        """Table and name: what is measured again and again."""
        return self.table, self.name


Known = Sequence[Evaluation] | None  # None: the ledger could not be read


def collect(works: Sequence[Work], *, everything: bool) -> Known:
    """Write and judge the end of every job that has ended. Returns all evaluations of late, oldest
    first.

    everything: also of tables that the configuration no longer has. A sync of tables that evaluate
    nothing pays nothing for it; `watch` looks all the same, at what was started before the
    configuration changed.
    """
    asking = [work for work in works if work.table.evaluate or work.request.action == "watch"]
    known = _known(asking[0]) if asking else None
    if known is None:
        return None
    names = None if everything else {work.table.name for work in works}
    return list(_Collector(asking, known, names).collect())


def _known(work: Work) -> Known:
    """Every evaluation of late, oldest first."""
    since = datetime.fromtimestamp(work.clock.now(), UTC) - MEMORY
    try:
        rows = work.ledger.rows(LATEST, [Parameter("since", "TIMESTAMP", since)])
    except SyncError as error:
        work.log(
            "evaluation_failed",
            f"evaluations cannot be looked up, the next run does it: {error}",
            "WARNING",
        )
        return None
    return [Evaluation.of(row) for row in rows]


class _Collector:
    """One look at every open job. An outage upstream ends it: what is open stays open for the next
    look.

    One job that cannot be told of is no outage yet: a result too large for a gateway must not keep
    the others waiting.
    """

    def __init__(
        self, works: Sequence[Work], known: Sequence[Evaluation], names: set[str] | None
    ) -> None:
        self._work = works[0]  # its ports; they are the same in every work of a run
        self._known = known
        self._names = names
        self._asked = {
            (work.table.name, asked.name): asked for work in works for asked in work.table.evaluate
        }
        self._untold = 0

    def collect(self) -> Iterator[Evaluation]:
        """Every known evaluation, in its state after the look."""
        for each in self._known:
            open_ = each.state == "started" and (self._names is None or each.table in self._names)
            yield self._look(each) if open_ and self._untold < OUTAGE else each

    def _look(self, each: Evaluation) -> Evaluation:
        try:
            end = self._end(each)
            if end is None:
                return each
            self._write(each, end)
        except SyncError as error:
            self._untold += 1
            text = (
                f"{each.table} {each.name}: its state cannot be told now, the next look will:"
                f" {error}"
            )
            self._work.log(
                "evaluation_failed",
                text,
                "WARNING",
                table=each.table,
                name=each.name,
                job_id=each.job_id,
            )
            return each
        return self._told(each, end)

    def _end(self, each: Evaluation) -> dict[str, Any] | None:
        """The columns of an evaluation that has ended, or None while it runs.

        Raises when nothing can be told.
        """
        age = datetime.fromtimestamp(self._work.clock.now(), UTC) - each.started_at
        try:
            if self._finished(each):
                return self._result(each)
        except Refused as error:
            return _ended("lost" if error.http_status == NOT_FOUND else "failed", str(error))
        except SyncError:
            if age <= PATIENCE:
                raise
        return (
            _ended("lost", f"no result after {PATIENCE.total_seconds() / 3600:g} hours")
            if age > PATIENCE
            else None
        )

    def _finished(self, each: Evaluation) -> bool:
        return bool(self._work.target.job(each.job_id).get("finishedAt"))

    def _result(self, each: Evaluation) -> dict[str, Any]:
        """What a finished job says.

        A server error or garbage in a result's place is the job's failure.
        """
        try:
            figures = question.figures(self._work.target.job_result(each.job_id))
        except OutcomeUnknown as error:
            if error.http_status in SAID_NOTHING:
                raise
            return _ended("failed", str(error))
        return (
            _ended("failed", "the answer is not an evaluation's")
            if figures is None
            else _ended("finished", **figures)
        )

    def _write(self, each: Evaluation, end: dict[str, Any]) -> None:
        row = {
            "evaluation_id": each.evaluation_id,
            "run_id": self._work.run_id,
            "table": each.table,
            "name": each.name,
            "job_id": each.job_id,
            "started_at": each.started_at.isoformat(),
            "finished_at": self._work.clock.timestamp(),
            **end,
        }
        self._work.ledger.append("evaluations", [row], [f"{each.evaluation_id}-{end['state']}"])

    def _told(self, each: Evaluation, end: dict[str, Any]) -> Evaluation:
        ended = Evaluation.of(
            {**vars(each), "accuracy": None, "base_accuracy": None, "test_samples": None, **end}
        )
        if ended.state == "finished":
            self._judged(ended, end)
        else:
            text = (
                f"{each.table} {each.name}: {ended.state}, the next sync starts it again:"
                f" {_reason(end)}"
            )
            self._work.log(
                "evaluation_failed",
                text,
                "ERROR",
                table=each.table,
                name=each.name,
                job_id=each.job_id,
                state=ended.state,
            )
        return ended

    def _judged(self, ended: Evaluation, end: dict[str, Any]) -> None:
        asked = self._asked.get(ended.of_what)
        finding = (
            judge(ended.run, self._past(ended), asked.min_accuracy if asked else None)
            if ended.run
            else None
        )
        severity: Severity = "ERROR" if finding else "INFO" if ended.run else "WARNING"
        text = finding or (_summary(ended.run) if ended.run else "there were no rows to test on")
        shown = {name: end[name] for name in ("accuracy", "base_accuracy", "test_samples")}
        self._work.log(
            "evaluation_finished",
            f"{ended.table} {ended.name}: {text}",
            severity,
            table=ended.table,
            name=ended.name,
            job_id=ended.job_id,
            finding=finding,
            **shown,
        )

    def _past(self, ended: Evaluation) -> Iterable[Run]:
        """Finished runs of the same name that were started before."""
        same = (
            e for e in self._known if e.of_what == ended.of_what and e.started_at < ended.started_at
        )
        return [e.run for e in same if e.run]


def _ended(state: str, reason: str | None = None, **columns: Any) -> dict[str, Any]:
    return {
        "state": state,
        **({"result": json.dumps({"reason": reason})} if reason else {}),
        **columns,
    }


def _reason(end: dict[str, Any]) -> str:
    return str(json.loads(end["result"])["reason"])


def _summary(run: Run) -> str:
    base = "" if run.base_accuracy is None else f", base accuracy {run.base_accuracy:.3f}"
    return (
        f"accuracy {run.accuracy:.3f}{base}, {run.test_samples or 'an unknown number of'} rows"
        " tested"
    )


# -- launching


def launch(work: Work, known: Known) -> None:
    """Start the table's evaluations that do not run already, and put them on record.

    known: what `collect` found.
    """
    for asked in work.table.evaluate:
        try:
            if not _in_the_way(work, asked, known):
                _start(work, asked)
        except SyncError as error:
            _failed(work, asked, error)


def _in_the_way(work: Work, asked: EvaluationSettings, known: Known) -> bool:
    """Whether this is not the time; if so it is said."""
    name = f"{work.table.name} {asked.name}"
    fields = {"table": work.table.name, "name": asked.name, "skipped": True}
    if known is None:
        work.log(
            "evaluation_started",
            f"{name}: not started, the ledger cannot tell if it runs",
            "WARNING",
            **fields,
        )
        return True
    of_what = (work.table.name, asked.name)
    running = next((e for e in known if e.of_what == of_what and e.state == "started"), None)
    if running is not None:
        text = (
            f"{name}: not started again, the one of {running.started_at:%Y-%m-%d %H:%M} still runs"
        )
        work.log("evaluation_started", text, "WARNING", **fields, job_id=running.job_id)
    return running is not None


def _start(work: Work, asked: EvaluationSettings) -> None:
    work.deadline.check(f"evaluation {asked.name}")
    body = question.body(work.table, asked, work.schema, work.report.watermark_after)
    job_id = work.target.start_job("_evaluate", body)
    work.report.evaluations.append({"name": asked.name, "job_id": job_id})
    _record(
        work, asked, {"state": "started", "job_id": job_id, "result": json.dumps({"query": body})}
    )
    work.log(
        "evaluation_started",
        f"{work.table.name} {asked.name}: job {job_id}",
        table=work.table.name,
        name=asked.name,
        job_id=job_id,
    )


def _failed(work: Work, asked: EvaluationSettings, error: SyncError) -> None:
    """A failure that repeating does not mend goes on record too."""
    severity: Severity = "ERROR" if isinstance(error, ActionRequired) else "WARNING"
    text = (
        f"{work.table.name} {asked.name}: not started, or not recorded; the next sync tries again:"
        f" {error}"
    )
    work.log("evaluation_failed", text, severity, table=work.table.name, name=asked.name)
    if isinstance(error, ActionRequired):
        try:
            _record(work, asked, _ended("failed", str(error), finished_at=work.clock.timestamp()))
        except SyncError:
            return  # the event above has told it


def _record(work: Work, asked: EvaluationSettings, columns: dict[str, Any]) -> None:
    evaluation_id = f"{work.run_id}-{work.table.name}-{asked.name}"
    row = {
        "evaluation_id": evaluation_id,
        "run_id": work.run_id,
        "table": work.table.name,
        "name": asked.name,
        "started_at": work.clock.timestamp(),
        **columns,
    }
    work.ledger.append("evaluations", [row], [f"{evaluation_id}-{columns['state']}"])
