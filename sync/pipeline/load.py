"""Loads one table: slice by slice in the cursor's order, skipping what Aito holds, and verifies
what arrived.

In order, so that the newest cursor in Aito is always a truthful watermark; a crash costs at most
one batch, which the next run's lookback finds.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from sync.bigquery.queries import faults
from sync.model import batches
from sync.model.batches import Batch, Row
from sync.model.ports import Work, one_of
from sync.model.window import BEGINNING, Slice
from sync.pipeline import reconcile
from sync.pipeline.deliver import Sender, entry
from sync.pipeline.plan import Plan
from sync.pipeline.prefetch import ahead, size
from sync.pipeline.reconcile import Held


def load(work: Work, plan: Plan) -> None:
    """Bring the window's rows into Aito.

    Raises OutOfTime at a batch's edge, with the state good.
    """
    sender = Sender(work, faults(plan.origin.columns), sum(part.rows for part in plan.slices))
    Loader(work, plan, sender).load()


class Loader:
    """The slices of one plan, loaded through one sender."""

    def __init__(self, work: Work, plan: Plan, sender: Sender) -> None:
        self._work = work
        self._plan = plan
        self._sender = sender
        # Rows whose content may have changed are compared whole; rows that never change, by key and
        # cursor.
        self._by_content = work.table.mode == "merge" or work.request.full_refresh

    def load(self) -> None:
        """All slices, then the comparison of both ends over the whole window."""
        self._count_cursorless()
        known = [part for part in self._plan.slices if self._overlaps(part)]
        in_place = [self._known(part) for part in known]
        for part, batch in ahead(
            self._fresh(self._plan.slices[len(known) :]), lambda each: size(each[1])
        ):
            if batch:
                self._batch(part, batch, None)
            else:
                self._completed(part)
        if in_place.count(True) == len(self._plan.slices) and not self._work.inherited:
            # Key by key, both ends were just found equal over the whole window: a count would tell
            # less.
            self._work.report.verified = True
            return
        reconcile.settle(self._work, self._plan, self._sender)
        if (
            self._work.report.rejected or self._work.report.repaired
        ):  # the newest row may be among them
            end = self._plan.span.end
            self._work.report.watermark_after, _ = self._work.target.newest(
                self._work.table.name, self._work.cursor, end
            )

    def _count_cursorless(self) -> None:
        """Rows without a cursor belong to no window: each run counts and reports them, none is
        left out in silence.
        """
        count, report = self._plan.cursorless, self._work.report
        if count:
            report.fetched += count
            report.rejected += count
            reason = (
                f"{count} rows have no cursor ({self._work.cursor} would be NULL) and are not"
                " loaded"
            )
            self._work.ledger.append(
                "rejects",
                [entry(self._work, reason)],
                [f"{self._work.run_id}-{report.table}-cursorless"],
            )

    def _fresh(self, parts: Sequence[Slice]) -> Iterator[tuple[Slice, Batch | None]]:
        """The batches of slices of which Aito holds nothing, each slice ended by None.

        As one sequence, and each begun while the one before is sent: a query takes seconds in which
        nothing comes.
        """
        for part, found in ahead(map(self._begun, parts)):
            for batch in found:
                yield part, batch
            yield part, None

    def _begun(self, part: Slice) -> tuple[Slice, Iterator[Batch]]:
        """A slice and its batches, of which the first is here already."""
        found = self._read(part)
        return part, itertools.chain(list(itertools.islice(found, 1)), found)

    def _read(self, part: Slice) -> Iterator[Batch]:
        most = self._work.settings.batch
        return self._work.source.batches(self._plan.origin, part, most.rows, most.bytes)

    def _known(self, part: Slice) -> bool:
        """A slice of which Aito may hold rows.

        Returns whether it held just these and nothing was to do.
        """
        report = self._work.report
        held = self._held(part)
        if held is not None and self._in_place(part, held):
            report.fetched += part.rows
            report.skipped += part.rows
            self._told(part)
            return True
        for batch in ahead(self._read(part), size):
            self._batch(part, batch, held)
        self._completed(part)
        return False

    def _completed(self, part: Slice) -> None:
        self._sender.finish()
        reconcile.complete(self._work, self._plan, self._sender, part)
        if self._work.request.full_refresh:
            self._work.report.covered = part.end
        self._told(part)

    def _told(self, part: Slice) -> None:
        report = self._work.report
        report.slices_done += 1
        self._work.log(
            "slice_done",
            f"{report.table}: {report.slices_done} of {report.slices_planned} slices",
            table=report.table,
            slice_start=part.start,
            slice_end=part.end,
            **report.counts(),
        )

    def _overlaps(self, part: Slice) -> bool:
        """Whether Aito may hold rows of the slice: everything after the watermark is new to it."""
        return self._plan.watermark is not None and part.start <= self._plan.watermark

    def _held(self, part: Slice) -> Held | None:
        """Keys and cursors of the slice's rows in Aito, where that is what rows are compared by."""
        if not self._overlaps(part) or self._by_content or part.parts > 1:
            return None
        return reconcile.held(self._work, part)

    def _in_place(self, part: Slice, held: Held) -> bool:
        """Whether Aito holds exactly the slice's rows already:
        a night with nothing new ends here.
        """
        return not part.keyless and reconcile.matches(part, held)

    def _batch(self, part: Slice, batch: Batch, held: Held | None) -> None:
        report = self._work.report
        # At least one batch of news a run, however little time there is: no standstill behind a
        # long lookback.
        if report.uploaded or (report.covered or BEGINNING) > self._plan.span.start:
            self._work.deadline.check(report.table)
        report.fetched += batch.rows
        if self._overlaps(part):
            self._send_new(batch, held)
        else:
            self._sender.send(
                batch, replace=self._work.table.mode == "merge" and self._plan.total > 0
            )
        self._work.log.progress(report.table, report.fetched)
        if batch.newest is not None:
            report.watermark_after = max(batch.newest, report.watermark_after or batch.newest)
            if (
                self._work.request.full_refresh and part.parts == 1
            ):  # else the slice is not read in order
                report.covered = batch.newest

    def _send_new(self, batch: Batch, held: Held | None) -> None:
        """Send the rows that Aito lacks, replace those it holds in another state, skip the others.

        All in one order: were the new ones sent first, a crash would leave the others behind the
        watermark.
        """
        rows = batch.read()
        good = [row for row in rows if row.fault is None]
        here = self._by_key(good, held) if held is not None else self._by_whole_row(good)
        left = [row.text for row in rows if not here.get(str(row.key(self._work.key)))]
        self._work.report.skipped += len(rows) - len(left)
        stale = any(there is False for there in here.values())
        if known := [row.document for row in good if here[str(row.key(self._work.key))]]:
            self._sender.vouch(known[-1])
        self._sender.send(
            batches.of(left, batch.newest), replace=stale or self._work.table.mode == "merge"
        )

    def _by_key(self, rows: list[Row], held: Held) -> dict[str, bool | None]:
        """By key: True when Aito holds the row as it is, False when otherwise, None when not at
        all.
        """
        found = {
            str(row.key(self._work.key)): held.get(str(row.key(self._work.key))) for row in rows
        }
        cursors = {str(row.key(self._work.key)): [row.values[self._work.cursor]] for row in rows}
        return {
            key: None if there is None else there == cursors[key] for key, there in found.items()
        }

    def _by_whole_row(self, rows: list[Row]) -> dict[str, bool | None]:
        """The same by the rows' whole content, which is fetched for this batch alone."""
        wanted = {str(row.key(self._work.key)): row.values for row in rows}
        there: dict[str, list[dict[str, object]]] = {}
        if rows:
            where = one_of(self._work.key, [row.values[self._work.key] for row in rows])
            columns = [column.name for column in self._plan.origin.columns]
            for hit in self._work.target.rows(
                self._work.table.name, where, self._work.key, columns
            ):
                there.setdefault(str(hit[self._work.key]), []).append(hit)
        return {
            key: None if key not in there else there[key] == [_present(values)]
            for key, values in wanted.items()
        }


def _present(values: dict[str, object]) -> dict[str, object]:
    """A document as Aito shows it: absent instead of null."""
    return {name: value for name, value in values.items() if value is not None}
