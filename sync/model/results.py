"""What a run says it did: the body of the answer, the row in the ledger, the numbers in the log."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any, Literal

from sync.config import Settings

Action = Literal["sync", "reconcile", "watch"]
Status = Literal["ok", "partial", "failed", "busy"]


@dataclass(frozen=True)
class Request:
    """What a caller wants. `tables` None means all tables.

    `allow` names guards that this run ignores. `since` and `until` bound the cursor range in epoch
    seconds, `until` excluded; None means that the run chooses.
    """

    action: Action = "sync"
    tables: tuple[str, ...] | None = None
    dry_run: bool = False
    full_refresh: bool = False
    deep: bool = False
    allow: frozenset[str] = frozenset()
    since: int | None = None
    until: int | None = None

    @property
    def everything(self) -> bool:
        """Whether the whole keep range is gone through, whatever the watermark."""
        return self.full_refresh or self.action == "reconcile"

    def mark(self, settings: Settings) -> str:
        """The end of the run_id of a run through everything: the same when the same is asked of
        the same settings.
        """
        return (
            f"-{zlib.crc32(f'{self.full_refresh} {self.deep} {settings!r}'.encode()):08x}"
            if self.everything
            else ""
        )


@dataclass
class TableReport:
    """One table's share of a run. Counts are rows, times epoch seconds, durations seconds."""

    table: str
    status: Status = "ok"
    error: str | None = None
    http_status: int = 200
    retry_after: int | None = None
    start: int | None = None
    end: int | None = None
    covered: int | None = (
        None  # of a run through everything: how far it came, for the call that goes on from there
    )
    fetched: int = 0
    uploaded: int = 0
    skipped: int = 0
    rejected: int = 0
    repaired: int = 0
    purged: int = 0
    watermark_before: int | None = None
    watermark_after: int | None = None
    slices_planned: int = 0
    slices_done: int = 0
    verified: bool = False
    bytes_processed: int = 0
    seconds: float = 0.0
    evaluations: list[dict[str, str]] = field(default_factory=list)
    estimate: dict[str, Any] | None = None  # of a dry run: rows, bytes, usd, schema (changes)
    changes: list[str] = field(default_factory=list)  # to Aito's schema, made or to come

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
            "seconds": round(self.seconds, 3),
            "evaluations": self.evaluations,
        }
        return body if self.estimate is None else {**body, "estimate": self.estimate}

    def counts(self) -> dict[str, Any]:
        """The rows, by what became of them."""
        return {
            name: getattr(self, name)
            for name in ("fetched", "uploaded", "skipped", "rejected", "repaired", "purged")
        }


@dataclass
class RunReport:
    """All tables of a run."""

    run_id: str
    request: Request
    tables: list[TableReport]
    seconds: float = 0.0
    continued: bool = False  # the rest was asked for on the topic
    error: str | None = None  # what kept the whole run from starting

    @property
    def status(self) -> Literal["ok", "partial", "failed"]:
        """The worst of all tables; a busy one counts as partial: nothing is wrong, something is
        left to do.
        """
        found = {t.status for t in self.tables}
        if "failed" in found or self.error:
            return "failed"
        return "partial" if found - {"ok"} else "ok"

    @property
    def http_status(self) -> int:
        """Contract section 4: the status that tells the caller what to do about the worst table."""
        for status in (500, 503, 409):
            if any(
                t.http_status == status
                for t in self.tables
                if not (self.continued and t.status == "partial")
            ):
                return status
        return 202 if self.continued else 200

    @property
    def retry_after(self) -> int | None:
        """Seconds to wait before calling again, when that would help."""
        waits = [t.retry_after for t in self.tables if t.retry_after is not None]
        return max(waits) if waits and self.http_status in (409, 503) else None

    def to_json(self) -> dict[str, Any]:
        """The body of the answer."""
        body = {
            "run_id": self.run_id,
            "action": self.request.action,
            "status": self.status,
            "dry_run": self.request.dry_run,
            "seconds": round(self.seconds, 3),
            "tables": [t.to_json() for t in self.tables],
        }
        return body if self.error is None else {**body, "error": self.error}
