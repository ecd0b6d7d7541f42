"""What queries really read, judged against `bigquery.max_bytes_billed`.

BigQuery refuses a query by the bytes of its dry run. These are too many for a clustered table: it
skips blocks only while a query runs. So the cursor alone is read first, in the same range. It skips
the same blocks, and shows which share of them is left.
"""

from __future__ import annotations

from dataclasses import dataclass

from sync.base.errors import TooManyBytes
from sync.bigquery import queries
from sync.bigquery.errors import BYTES_REMEDY, size_text
from sync.bigquery.session import BigQuerySession
from sync.bigquery.table import BigQueryTable


@dataclass(frozen=True)
class Range:
    """A range [start, end) of the cursor that a query reads, epoch seconds.

    with_all_cursors: it also reads the cursor of all other rows.
    """

    start: int
    end: int
    with_all_cursors: bool = False


@dataclass(frozen=True)
class Probe:
    """What was found of a range. size: bytes of the whole cursor. share: of them that was read."""

    size: int
    share: float


class ReallyRead:
    """Judges the queries of one table in one run. Each range is looked at once."""

    def __init__(self, session: BigQuerySession) -> None:
        self._session = session
        self._probes: dict[tuple[int, int], Probe] = {}
        self.bytes_processed = 0

    def allow(self, table: BigQueryTable, span: Range | None, refused: TooManyBytes) -> int:
        """The limit that a query needs which BigQuery refused.

        span: what it reads, None for everything. Raises TooManyBytes when it would really
        read too many bytes.
        """
        if refused.needed is None or span is None or not table.skips_blocks:
            raise refused
        self.check(table, span, refused.needed)
        return refused.needed

    def check(self, table: BigQueryTable, span: Range | None, size: int) -> None:
        """Raises TooManyBytes when a query may not run. size: the bytes of its dry run."""
        limit = self._session.max_bytes
        if size <= limit:
            return
        if span and table.skips_blocks:
            size = self._read(table, span, size)
        if size > limit:
            raise TooManyBytes(
                f"{table.settings.name}: a query would read {size_text(size)}, and "
                f"bigquery.max_bytes_billed allows {limit / 1e9:,.1f} GB; {BYTES_REMEDY}"
            )

    def _read(self, table: BigQueryTable, span: Range, size: int) -> int:
        """Of a dry run's bytes those that the query really reads."""
        place = (span.start, span.end)
        if place not in self._probes:
            self._probes[place] = self._probe(table, span)
        probe = self._probes[place]
        beside = probe.size if span.with_all_cursors else 0
        return min(size, round(size * probe.share) + beside)

    def _probe(self, table: BigQueryTable, span: Range) -> Probe:
        name = table.settings.name
        query = queries.range_count(table, span.start, span.end)
        size = self._session.dry_run(query, name).bytes_processed
        try:
            found = self._session.pages(query, name).total_bytes_processed or 0
        except TooManyBytes:  # then the range stays unknown
            found = 0
        self.bytes_processed += found
        # An answer out of the cache has read nothing, and tells nothing.
        return Probe(size, min(1.0, found / size) if found and size else 1.0)
