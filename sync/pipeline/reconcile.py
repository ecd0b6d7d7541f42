"""Compares both ends and repairs: sends what is missing, replaces what is doubled or outdated,
deletes what is gone.

Counts first, keys where they differ: a count is one cheap request. `settle` is how every load ends;
`reconcile` is the same over the whole keep range, without loading first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from sync.base.errors import ActionRequired, PurgeRefused, Unavailable
from sync.bigquery.queries import Parameter, faults
from sync.model import batches
from sync.model.ports import PAGE, Where, Work, between, one_of
from sync.model.window import Slice, window
from sync.pipeline.deliver import Sender
from sync.pipeline.plan import Plan, recounted

Held = dict[str, list[int]]  # cursors of the rows in Aito, by key
LAST_OK = """
SELECT watermark_after FROM {runs} WHERE `table` = @table AND status = 'ok' AND action = 'sync'
  AND watermark_after IS NOT NULL ORDER BY finished_at DESC LIMIT 1"""
DELETE_KEYS = 500  # keys in the condition of one delete
ROUNDS = 3  # the source may move while it is compared: so often it is counted anew


def count(work: Work, part: Slice) -> int:
    """Aito's rows in the slice."""
    return work.target.count(work.table.name, between(work.cursor, part.start, part.end))


def expected(work: Work, part: Slice) -> int:
    """How many rows Aito should hold of the slice."""
    return part.winners - sum(part.start <= cursor < part.end for _, cursor in work.rejected)


def held(work: Work, part: Slice) -> Held:
    """Keys and cursors of Aito's rows in the slice."""
    found: Held = {}
    where = between(work.cursor, part.start, part.end)
    for hit in work.target.rows(work.table.name, where, work.key, [work.key, work.cursor]):
        if work.key not in hit:
            raise ActionRequired(
                f"{work.table.name}: Aito holds rows without {work.key}, the key; delete them there"
            )
        found.setdefault(str(hit[work.key]), []).append(hit[work.cursor])
    return found


def matches(part: Slice, found: Held) -> bool:
    """Whether the keys and cursors in Aito are the slice's: by number, and by the fingerprint that
    BigQuery made.
    """
    pairs = [(key, cursor) for key, cursors in found.items() for cursor in cursors]
    if len(pairs) != part.winners:
        return False
    fingerprint = 0
    for key, cursor in pairs:
        digest = hashlib.md5(f"{key} {cursor}".encode(), usedforsecurity=False).hexdigest()
        fingerprint ^= int(digest[:15], 16)  # as sql.HASH
    return fingerprint == part.fingerprint


def complete(work: Work, plan: Plan, sender: Sender, part: Slice) -> None:
    """After a slice: send what is missing.

    Too many is no fault yet: a later slice may replace the rows.
    """
    if count(work, part) < expected(work, part):
        repair(work, plan, sender, part, delete=False)


def settle(work: Work, plan: Plan, sender: Sender) -> None:
    """After all slices: both ends agree over the whole window, or are made to. Sets `verified`.

    After a run that did not finish the window begins where both ends were last found equal: what a
    crash or a late answer left behind further back than the lookback, no window would see again.
    Raises Unavailable when they differ.
    """
    if (since := _unproven(work, plan)) < plan.span.start:
        plan = recounted(work, plan, since, prune=True)
    for number in range(ROUNDS):
        if _agree(work, plan):
            work.report.verified = True
            return
        # At first within the recent partitions: most often rows only came while it was loaded, or
        # are missing.
        plan, deleted = recounted(work, plan, prune=number == 0), work.deleted
        _repair_all(work, plan, sender)
        if (
            work.table.mode == "merge" and work.deleted > deleted
        ):  # an older row of the key may be the newest left
            plan = recounted(work, plan, _oldest(work, plan))
    raise Unavailable(
        f"{work.table.name}: BigQuery and Aito still differ after {ROUNDS} repairs; try again later"
    )


def _repair_all(work: Work, plan: Plan, sender: Sender) -> None:
    for number, part in enumerate(plan.slices):
        if number:
            work.deadline.check(work.table.name)
        if count(work, part) != expected(work, part):
            repair(work, plan, sender, part, delete=not plan.origin.by_arrival)


def _oldest(work: Work, plan: Plan) -> int:
    """Start of the time whose rows are kept."""
    return window(plan.span.end, None, 0, work.table.keep).start


def _unproven(work: Work, plan: Plan) -> int:
    """Start of what no run has found equal yet, as far back as the table's rows are kept.

    A run through everything may be the last of several, each of which went through a part. A merge
    that was broken off may have deleted a key's newest row, and the one to come back in its place
    may be of any age.
    """
    if work.request.everything or (work.inherited and work.table.mode == "merge"):
        return _oldest(work, plan)
    if not work.inherited:
        return plan.span.start
    last = work.ledger.rows(LAST_OK, (Parameter("table", "STRING", work.table.name),))
    proven = last[0]["watermark_after"] if last else None
    if proven is not None and plan.watermark is not None and proven > plan.watermark:
        proven = None  # Aito's table was made anew since
    return window(plan.span.end, proven, work.table.lookback, work.table.keep).start


def _agree(work: Work, plan: Plan) -> bool:
    found = count(work, Slice(plan.span.start, plan.span.end))
    return found == sum(expected(work, part) for part in plan.slices)


def reconcile(work: Work, plan: Plan) -> None:
    """Compare every slice of the plan and repair.

    By keys where that costs no more than a count, which sees nothing when as many rows are missing
    as are doubled; larger slices by counts, and by keys where they differ or `deep` is asked for.
    """
    sender = Sender(work, faults(plan.origin.columns), sum(part.rows for part in plan.slices))
    for part in plan.slices:
        if work.report.slices_done:
            work.deadline.check(work.table.name)
        _reconcile(work, plan, sender, part)
        work.report.slices_done += 1
        work.report.covered = part.end
        work.log(
            "slice_done",
            f"{work.table.name}: {work.report.slices_done} of {work.report.slices_planned} slices",
            table=work.table.name,
            slice_start=part.start,
            slice_end=part.end,
            **work.report.counts(),
        )
    if not work.request.dry_run:
        settle(work, plan, sender)


def _reconcile(work: Work, plan: Plan, sender: Sender, part: Slice) -> None:
    work.report.fetched += part.rows
    if _equal(work, plan, part):
        work.report.skipped += part.rows
    else:
        different = repair(work, plan, sender, part)
        work.report.skipped += max(0, part.rows - part.keyless - different)


def _equal(work: Work, plan: Plan, part: Slice) -> bool:
    if not plan.exists:
        return part.winners == 0
    if part.rows > PAGE and not work.request.deep:
        return count(work, part) == part.winners
    return matches(part, held(work, part))


def repair(work: Work, plan: Plan, sender: Sender, part: Slice, *, delete: bool = True) -> int:
    """Make Aito's rows of one slice what the source's are; how many of the source's rows it did not
    hold just so.

    delete: also remove rows that the source does not have.
    """
    before = work.report.rejected
    extra, different = _send_differences(work, plan, sender, part)
    sender.finish()
    work.report.repaired += different - (work.report.rejected - before)
    if delete and extra:
        _delete(work, part, extra)
    return different


def _send_differences(work: Work, plan: Plan, sender: Sender, part: Slice) -> tuple[Held, int]:
    """Send what Aito lacks, replace what it holds otherwise.

    -> what it holds and the source does not; rows sent.
    """
    sent = 0
    found = held(work, part) if plan.exists else {}
    size = work.settings.batch
    for batch in work.source.batches(plan.origin, part, size.rows, size.bytes):
        different, replace = [], work.table.mode == "merge"
        for row in batch.read():
            key, cursor = row.key(work.key), row.values[work.cursor]
            if key is None or (key, cursor) in work.rejected:
                continue
            cursors = found.pop(key, None)
            if cursors != [cursor]:
                different.append(row.text)
                replace = replace or cursors is not None
            elif row.fault is None:
                sender.vouch(row.document)
        if different and not work.request.dry_run:
            sender.send(batches.of(different), replace=replace)
        sent += len(different)
    return found, sent


def _delete(work: Work, part: Slice, extra: Held) -> None:
    """Remove rows of a slice that the source no longer has,
    but never a large share of the table.
    """
    rows = sum(len(cursors) for cursors in extra.values())
    _refuse_too_many(work, rows)
    if not work.request.dry_run:
        kind = work.schema[work.table.name][work.key]["type"]
        keys = [int(key) if kind in ("Int", "Long") else key for key in extra]
        for first in range(0, len(keys), DELETE_KEYS):
            work.lease.check()
            work.target.delete(
                work.table.name, _inside(work, part, keys[first : first + DELETE_KEYS])
            )
    work.report.repaired += rows


def _inside(work: Work, part: Slice, keys: Sequence[str | int]) -> Where:
    """Rows with these keys, and of this slice alone: in another one the same key may be just
    right.
    """
    return {
        "$and": [
            one_of(work.key, keys),
            {work.cursor: {"$gte": part.start}},
            {work.cursor: {"$lt": part.end}},
        ]
    }


def _refuse_too_many(work: Work, rows: int) -> None:
    """A large share of the table gone from the source is the source's fault: bounded over the
    whole run.
    """
    total = work.target.count(work.table.name) + (0 if work.request.dry_run else work.deleted)
    work.deleted += rows
    if work.deleted > work.table.purge.max_share * total:
        raise PurgeRefused(
            f"{work.table.name}: {work.deleted} of {total} rows in Aito are gone from the source,"
            f" more than purge.max_share {work.table.purge.max_share:g} allows to delete; if that"
            " is right, raise purge.max_share"
        )
