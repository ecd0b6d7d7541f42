"""Compares both ends and repairs: sends what is missing, replaces what is doubled or outdated, deletes what is gone.

Counts first, keys where they differ: a count is one cheap request. `settle` is how every load ends; `reconcile` is the
same over the whole keep range, without loading first.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from sync import batches
from sync.errors import PurgeRefused, Unavailable
from sync.plan import Plan
from sync.ports import Work, between, one_of
from sync.send import Sender
from sync.sql import faults
from sync.window import Slice

Held = dict[str, list[int]]  # cursors of the rows in Aito, by key
DELETE_KEYS = 500  # keys in the condition of one delete


@dataclass(frozen=True)
class Settled:
    """A slice that was loaded, the rows of it that were rejected, and Aito's count when it was last taken."""

    part: Slice
    rejected: int
    count: int = -1

    @property
    def expected(self) -> int:
        """How many rows Aito should hold of the slice."""
        return self.part.winners - self.rejected


def count(work: Work, part: Slice) -> int:
    """Aito's rows in the slice."""
    return work.target.count(work.table.name, between(work.cursor, part.start, part.end))


def held(work: Work, part: Slice) -> Held:
    """Keys and cursors of Aito's rows in the slice."""
    found: Held = {}
    where = between(work.cursor, part.start, part.end)
    for hit in work.target.rows(work.table.name, where, work.key, [work.key, work.cursor]):
        found.setdefault(str(hit[work.key]), []).append(hit[work.cursor])
    return found


def matches(part: Slice, found: Held) -> bool:
    """Whether the keys and cursors in Aito are the slice's: by number, and by the fingerprint that BigQuery made."""
    pairs = [(key, cursor) for key, cursors in found.items() for cursor in cursors]
    if len(pairs) != part.winners:
        return False
    fingerprint = 0
    for key, cursor in pairs:
        digest = hashlib.md5(f"{key} {cursor}".encode(), usedforsecurity=False).hexdigest()
        fingerprint ^= int(digest[:15], 16)  # as sql.HASH
    return fingerprint == part.fingerprint


def complete(work: Work, plan: Plan, sender: Sender, settled: Settled) -> Settled:
    """After a slice: send what is missing. Too many is no fault yet: a later slice may replace the rows."""
    settled = replace(settled, count=count(work, settled.part))
    if settled.count >= settled.expected:
        return settled
    return repaired(work, plan, sender, settled, delete=False)


def settle(work: Work, plan: Plan, sender: Sender, done: list[Settled]) -> None:
    """After all slices: both ends agree over the whole window, or are made to. Sets `verified`."""
    total = count(work, Slice(plan.span.start, plan.span.end)) if len(done) > 1 else sum(s.count for s in done)
    if total != sum(s.expected for s in done):
        for settled in done:
            latest = replace(settled, count=count(work, settled.part))
            if latest.count != latest.expected:
                repaired(work, plan, sender, latest, delete=True)
    work.report.verified = True


def reconcile(work: Work, plan: Plan) -> None:
    """Compare every slice of the plan, by counts and, where they differ or `deep` is asked for, by keys; repair."""
    sender = Sender(work, faults(plan.origin.columns), sum(part.rows for part in plan.slices))
    settled = []
    for part in plan.slices:
        settled.append(_reconciled(work, plan, sender, part))
        work.report.slices_done += 1
        work.log("slice_done", f"{work.table.name}: {work.report.slices_done} of {work.report.slices_planned} slices",
                 table=work.table.name, slice_start=part.start, slice_end=part.end, **work.report.counts())  # fmt: skip
        work.deadline.check(work.table.name)
    sender.finish()
    if not work.request.dry_run:
        settle(work, plan, sender, settled)


def _reconciled(work: Work, plan: Plan, sender: Sender, part: Slice) -> Settled:
    work.report.fetched += part.rows
    found = count(work, part) if plan.exists else 0
    state = Settled(part, 0, found)
    if found == part.winners and not (work.request.deep and not matches(part, held(work, part))):
        work.report.skipped += part.rows
        return state
    return repaired(work, plan, sender, state, delete=True)


def repaired(work: Work, plan: Plan, sender: Sender, state: Settled, *, delete: bool) -> Settled:
    """Make Aito's rows of one slice what the source's are, and count again.

    delete: also remove rows that the source does not have. Raises PurgeRefused; Unavailable when both ends differ.
    """
    rejected = len(work.rejected_keys)
    extra = _send_differences(work, plan, sender, state.part)
    if delete:
        _delete(work, plan, extra)
    if work.request.dry_run:
        return state
    state = replace(state, rejected=state.rejected + len(work.rejected_keys) - rejected, count=count(work, state.part))
    if state.count < state.expected or (delete and state.count != state.expected):
        raise Unavailable(
            f"{work.table.name}: Aito holds {state.count} rows where {state.expected} are expected, after a repair"
        )
    return state


def _send_differences(work: Work, plan: Plan, sender: Sender, part: Slice) -> Held:
    """Send what Aito lacks, replace what it holds otherwise; returns what it holds and the source does not."""
    found = held(work, part) if plan.exists else {}
    size = work.settings.batch
    for batch in work.source.batches(plan.origin, part, size.rows, size.bytes):
        missing, wrong = [], []
        for row in batch.read():
            key = row.key(work.key)
            if key is None or key in work.rejected_keys:
                continue
            cursors = found.pop(key, None)
            if cursors is None:
                missing.append(row.text)
            elif cursors != [row.values[work.cursor]]:
                wrong.append(row.text)
        _repair(work, sender, missing, wrong)
    return found


def _repair(work: Work, sender: Sender, missing: list[str], wrong: list[str]) -> None:
    before = work.report.rejected
    if not work.request.dry_run:
        sender.send(batches.of(missing), replace=work.table.mode == "merge")
        sender.send(batches.of(wrong), replace=True)
    work.report.repaired += len(missing) + len(wrong) - (work.report.rejected - before)


def _delete(work: Work, plan: Plan, extra: Held) -> None:
    """Remove rows that the source no longer has, but never a large share of the table: that is the source's fault."""
    rows = sum(len(cursors) for cursors in extra.values())
    allowed = work.table.purge.max_share * max(plan.total, 1)
    if rows > allowed:
        raise PurgeRefused(
            f"{work.table.name}: {rows} of {plan.total} rows in Aito are gone from the source, more than "
            f"purge.max_share {work.table.purge.max_share:g} allows to delete; if that is right, raise purge.max_share"
        )
    if not work.request.dry_run:
        keys = [int(k) if work.schema[work.table.name][work.key]["type"] in ("Int", "Long") else k for k in extra]
        for first in range(0, len(keys), DELETE_KEYS):
            work.lease.check()
            work.target.delete(work.table.name, one_of(work.key, keys[first : first + DELETE_KEYS]))
    work.report.repaired += rows
