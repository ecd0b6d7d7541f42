"""What a run reports: made from the results of its steps at the end. It steers nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from sync.model.price import usd
from sync.model.request import Request

Status = Literal["ok", "partial", "failed", "busy"]
WarningCode = Literal[
    "keys_collapsed",
    "no_rows",
    "rows_without_key",
    "rows_without_cursor",
    "rows_deleted",
    "rows_changed",
    "rejects",
    "refresh_pending",
    "not_incremental",
    "not_staged",
    "cursor_unit",
    "rows_ahead",
    "evaluation",
    "table_removed",
    "upsert_in_two_steps",
    "null_booleans",
    "aito_calls",
]
COUNTS = ("fetched", "uploaded", "skipped", "rejected", "repaired", "deleted", "purged")


@dataclass(frozen=True)
class TableWarning:
    """Something that surprises although the run is ok. message: its numbers, and what to do."""

    code: WarningCode
    message: str


@dataclass(frozen=True)
class RejectCount:
    """How many rows were rejected for a reason. The reason holds no row's value."""

    reason: str
    rows: int


@dataclass
class TableReport:
    """One table's share of a run. Counts are rows, times epoch seconds, durations seconds."""

    table: str
    status: Status = "ok"
    error: str | None = None
    code: str | None = None  # of the error: the name of its class
    summary: str | None = None  # the error without numbers: the same for the same state
    http_status: int = 200
    retry_after: int | None = None
    start: int | None = None
    end: int | None = None
    fetched: int = 0
    uploaded: int = 0
    skipped: int = 0
    rejected: int = 0
    repaired: int = 0
    deleted: int = 0
    # Of `deleted`: those that `deletes` names, or whose newest state was rejected.
    deleted_by_condition: int = 0
    purged: int = 0
    watermark_before: int | None = None
    watermark_after: int | None = None
    slices_planned: int = 0
    slices_done: int = 0
    verified: bool = False
    bytes_processed: int = 0
    aito_calls: int = 0
    seconds: float = 0.0
    evaluations: list[dict[str, str]] = field(default_factory=list)
    warnings: list[TableWarning] = field(default_factory=list)
    rejects: list[RejectCount] = field(default_factory=list)
    estimate: dict[str, Any] | None = None  # of a dry run: rows, bytes, usd, schema (changes)
    study: dict[str, Any] | None = None  # a retention study: what it tries, and its price

    @property
    def retryable(self) -> bool:
        """Whether the table failed only because an upstream did not answer."""
        return self.status == "failed" and self.http_status == 503

    def counts(self) -> dict[str, int]:
        """The rows, by what became of them."""
        return {name: getattr(self, name) for name in COUNTS}

    def to_json(self) -> dict[str, Any]:
        """The table's part of the answer."""
        body = {
            "table": self.table,
            "status": self.status,
            "error": self.error,
            "window": {"start": self.start, "end": self.end},
            **self.counts(),
            "watermark": {"before": self.watermark_before, "after": self.watermark_after},
            "slices": {"planned": self.slices_planned, "done": self.slices_done},
            "verified": self.verified,
            "bytes_processed": self.bytes_processed,
            "aito_calls": self.aito_calls,
            "seconds": round(self.seconds, 3),
            "evaluations": self.evaluations,
            "warnings": [vars(each) for each in self.warnings],
            "rejects": [vars(each) for each in self.rejects],
        }
        if self.retryable:
            body["retryable"] = True
        if self.estimate is not None:
            body["estimate"] = self.estimate
        if self.study is not None:
            body["study"] = self.study
        return body


@dataclass(frozen=True)
class MonthlyCalls:
    """About how many requests to the target a month costs. basis: what the number is made from.

    near_limit: it comes near what the smallest plan allows.
    """

    calls: int
    basis: str
    near_limit: bool

    @property
    def sentence(self) -> str:
        """For a person."""
        return f"about {self.calls:,} calls to Aito a month, {self.basis}"


@dataclass
class RunReport:
    """All tables of a run. warnings: what concerns none of them, such as a removed table."""

    run_id: str
    request: Request
    tables: list[TableReport]
    warnings: list[TableWarning] = field(default_factory=list)
    seconds: float = 0.0
    aito_calls: int = 0
    monthly_calls: MonthlyCalls | None = None  # of a dry run
    ledger_bytes: int | None = None  # of a dry run: billed for the ledger's statements of a sync
    continued: bool = False  # the rest was requested on the topic
    error: str | None = None  # what kept the whole run from starting

    @property
    def status(self) -> Literal["ok", "partial", "failed"]:
        """The worst of all tables. A busy table counts as partial: something is left to do."""
        found = {table.status for table in self.tables}
        if "failed" in found or self.error:
            return "failed"
        return "partial" if found - {"ok"} else "ok"

    @property
    def http_status(self) -> int:
        """The status that tells the caller what to do about the worst table."""
        waiting = [t for t in self.tables if not (self.continued and t.status == "partial")]
        found = {table.http_status for table in waiting}
        for status in (500, 503, 409):
            if status in found:
                return status
        return 202 if self.continued else 200

    @property
    def retry_after(self) -> int | None:
        """Seconds to wait before calling again, when that would help."""
        waits = [t.retry_after for t in self.tables if t.retry_after is not None]
        if not waits or self.http_status not in (409, 503):
            return None
        return max(waits)

    def to_json(self) -> dict[str, Any]:
        """The body of the answer."""
        body: dict[str, Any] = {
            "run_id": self.run_id,
            "action": self.request.action,
            "status": self.status,
            "dry_run": self.request.dry_run,
            "seconds": round(self.seconds, 3),
            "aito_calls": self.aito_calls,
            "tables": [table.to_json() for table in self.tables],
        }
        if self.warnings:
            body["warnings"] = [vars(each) for each in self.warnings]
        if self.monthly_calls is not None:
            body["aito_calls_a_month"] = vars(self.monthly_calls)
        if self.ledger_bytes is not None:
            body["ledger"] = {"bytes": self.ledger_bytes, "usd": round(usd(self.ledger_bytes), 6)}
        if self.error is not None:
            body["error"] = self.error
        return body
