"""The ports: what the pipeline needs of the world. Adapters implement them; app.py connects them.

Every method may raise AccessDenied, ActionRequired or Unavailable, beside what it names itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol

from sync.base.errors import Busy
from sync.config import BatchSettings, TableSettings
from sync.model.batches import Batch
from sync.model.checkpoint import Checkpoint, KnownTable
from sync.model.columns import Column, SchemaDifference, TargetSchema, TargetTable
from sync.model.conditions import Condition
from sync.model.keys import KeyState
from sync.model.records import (
    CallHistory,
    EvaluationRecord,
    JobStatus,
    OpenReject,
    RejectRecord,
    RunRecord,
    StatusRecords,
    StudyRecords,
    WatchRecords,
)
from sync.model.stage import StagePlan
from sync.model.window import Faults, Histogram, Slice, Totals, Window


class SourceTable(Protocol):
    """How a source describes one table: what the pipeline may know of it."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The target columns that its rows fill, the cursor's included."""
        ...

    @property
    def key_text(self) -> str:
        """How the text of the key is made. Another text means that all keys may be others."""
        ...

    @property
    def origins(self) -> Mapping[str, str]:
        """The source's type of each column, for people. Columns that are computed may be absent."""
        ...

    @property
    def cursor_text(self) -> str | None:
        """How the cursor is read, for people: column, type, unit, zone. None without a cursor."""
        ...

    @property
    def keys_may_change(self) -> bool:
        """Whether the key is computed, so that two readings may give different keys."""
        ...

    @property
    def reject_reasons(self) -> tuple[str, ...]:
        """Why a row may not be sent. `Row.fault` is an index into it."""
        ...

    @property
    def slice_rows(self) -> int:
        """How many rows a slice should hold at most."""
        ...

    @property
    def sorted_rows(self) -> int:
        """How many rows of a slice the source should sort at once, at most."""
        ...

    @property
    def reads_recent_only(self) -> bool:
        """Whether reading leaves out rows that arrived long ago.

        Never delete by such a reading: a row that was not read may still exist.
        """
        ...

    @property
    def source_types(self) -> Mapping[str, str]:
        """The source's columns that are taken, and their types in the source's words.

        Members inside a column are listed by their path, such as params.value. A type has no comma
        and no semicolon.
        """
        ...

    @property
    def open_integers(self) -> tuple[str, ...]:
        """The columns of type Int or Int[] of which the configuration names no type."""
        ...

    def with_names(self, names: Collection[str]) -> SourceTable:
        """The same table, whose columns have the target's spelling of their names.

        names: of the target's columns. Sources may compare names without case; targets do not.
        """
        ...

    def with_wide(self, names: Collection[str]) -> SourceTable:
        """The same table, with the wider type for these columns of `open_integers`."""
        ...

    def whole(self) -> SourceTable:
        """The same table, read without leaving anything out."""
        ...


class Source(Protocol):
    """Where rows come from. One object serves one table in one run."""

    @property
    def bytes_processed(self) -> int:
        """Bytes that the source has read for this object so far."""
        ...

    def describe(self, table: TableSettings, *, prune: bool = True) -> SourceTable:
        """Describe a table. prune: reading may leave out partitions that hold no recent row.

        Raises SchemaMismatch with every column that cannot be synced; NotFound.
        """
        ...

    def check_key(self, source: SourceTable) -> None:
        """Raises SchemaMismatch when what stands behind the source makes the key anew each time."""
        ...

    def histogram(
        self,
        source: SourceTable,
        window: Window,
        watermark: int,
        rows: int,
        integers: Sequence[str] = (),
    ) -> Histogram:
        """Count rows and keys in the window. Fingerprints cover rows up to `watermark`.

        rows: an hour of more rows is counted in finer buckets. integers: columns whose range is
        looked at.
        """
        ...

    def wide_integers(self, source: SourceTable, integers: Sequence[str]) -> frozenset[str]:
        """Those of the columns that hold an integer beyond 32 bits, in the whole source."""
        ...

    def stage(self, source: SourceTable, plan: StagePlan | None) -> str | None:
        """Read the plan's slices in one go and keep them, where that is the better way.

        `batches` reads them from there afterwards. plan None: the whole source.
        Returns the stage's name, by which a later run finds it. None: nothing was staged.
        """
        ...

    def why_not_staged(self, source: SourceTable, slices: Sequence[Slice]) -> str | None:
        """Why each of several slices reads the source anew. None: it is read once."""
        ...

    def staged(self, source: SourceTable, name: str, token: str) -> StagePlan | None:
        """The plan of a stage that an earlier run has made. `batches` reads from it from now on.

        None when the stage is gone, or when its plan has another token.
        """
        ...

    def drop_stages(self, table: TableSettings, keep: str | None = None) -> None:
        """Drop the stages of a table but the one called `keep`. Never raises."""
        ...

    def batches(
        self, source: SourceTable, part: Slice | None, limits: BatchSettings
    ) -> Iterator[Batch]:
        """The rows of a slice as finished batches, in (cursor, key) order.

        One row per key: the one with the newest cursor. When it deletes its key, `Row.deletes` is
        true. part None: the whole source.
        """
        ...

    def keys_since(
        self, source: SourceTable, window: Window, keys: Sequence[str]
    ) -> dict[str, KeyState]:
        """The keys of which a row exists from the window's start on, each with its state."""
        ...

    def count(self, source: SourceTable) -> int:
        """How many rows the source shows altogether."""
        ...

    def totals(self, source: SourceTable) -> Totals:
        """Count rows and keys of a table that has a key and no cursor."""
        ...

    def distinct_rows(self, source: SourceTable, window: Window | None) -> int:
        """How many different rows have a key: equal ones count once. It reads every column.

        window None: of the whole source.
        """
        ...

    def faults(
        self, source: SourceTable, window: Window | None, spans: Sequence[Window] | None = None
    ) -> Faults:
        """Count the rows that may not be sent. window None: of the whole source.

        spans: parts of the window that do not touch; only the newest rows of a key that lie in one
        of them count.
        Rows that are too large are left out, because their documents are not made.
        """
        ...

    def unfit_keys(
        self, source: SourceTable, window: Window, spans: Sequence[Window] | None
    ) -> list[str]:
        """The keys of the rows that `faults` counts, as text. Rows without a key have none."""
        ...

    def deleted_keys(self, source: SourceTable, window: Window, most: int) -> list[str]:
        """Keys whose last row of the window deletes them, as text. At most so many of them."""
        ...

    def prunes(self, source: SourceTable, window: Window) -> bool:
        """Whether reading the window reads less than reading the whole source."""
        ...

    def is_empty(self, source: SourceTable, since: int) -> bool:
        """Whether the source shows no row at all.

        A source of many tables need not look at those before `since`, epoch seconds.
        """
        ...

    def estimate(self, source: SourceTable, window: Window, slices: Sequence[Slice]) -> int:
        """Bytes that the source would read to count the window and to load its slices."""
        ...

    def check_bytes(self, source: SourceTable, slices: Sequence[Slice] | None) -> None:
        """Raises TooManyBytes when the source would refuse to load the slices for their bytes.

        slices None: the whole source.
        """
        ...

    def estimate_whole(self, source: SourceTable) -> int:
        """Bytes that the source would read to load everything, without a count."""
        ...


class Target(Protocol):
    """Where rows go.

    Writes raise Refused when nothing was stored, and OutcomeUnknown when the request may or may
    not have been applied, now or later.
    """

    @property
    def page_rows(self) -> int:
        """How many rows one answer can hold."""
        ...

    @property
    def calls(self) -> int:
        """How many requests the target may have received from this object so far."""
        ...

    @property
    def unknown_deletes(self) -> int:
        """How many deletes got no trustworthy answer. Each may be applied yet."""
        ...

    @property
    def upserts_in_two_steps(self) -> bool:
        """Whether rows are replaced by a delete and an insert, since one step went wrong."""
        ...

    def upsert_in_two_steps(self) -> None:
        """Replace rows by a delete and an insert from now on."""
        ...

    def check_writable(self) -> None:
        """Raises AccessDenied when the key may only read. Writes nothing."""
        ...

    def schema(self) -> TargetSchema:
        """Everything that the target holds, by name."""
        ...

    def hidden_kind(self, name: str) -> str | None:
        """What has a name that `schema` does not list, such as "collection". None: nothing."""
        ...

    def compare(self, table: str, wanted: Sequence[Column], held: TargetTable) -> SchemaDifference:
        """How the wanted columns differ from a table, judged by meaning and not by spelling."""
        ...

    def create(self, table: str, columns: Sequence[Column]) -> None:
        """Make a table. The tables that its links point to must exist."""
        ...

    def add_column(self, table: str, column: Column) -> None:
        """Add a nullable column. Existing rows read it as absent."""
        ...

    def drop(self, table: str) -> None:
        """Remove a table and its rows. A missing table is no error."""
        ...

    def rename(self, table: str, new: str) -> None:
        """Rename a table over another one, which is removed."""
        ...

    def count(self, table: str, condition: Condition | None = None) -> int:
        """How many rows match."""
        ...

    def newest(self, table: str, cursor: str, before: int) -> tuple[int | None, int]:
        """The newest cursor before a second, None if there is none; and the rows before it."""
        ...

    def oldest(self, table: str, cursor: str) -> int | None:
        """The oldest cursor; None when the table has no row with one."""
        ...

    def cursor_at(self, table: str, cursor: str, before: int, rows: int) -> int | None:
        """The cursor of the row that has so many rows before it, among those before a second.

        None: there are not so many rows.
        """
        ...

    def rows(
        self, table: str, condition: Condition, key: str, columns: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        """The given columns of every row that matches, in the key's order."""
        ...

    def insert(self, table: str, batch: Batch) -> None:
        """Store the rows of a batch."""
        ...

    def upsert(self, table: str, key: str, keys: Sequence[Any], batch: Batch) -> None:
        """Delete the rows with these keys and store the batch, in one step if the target can.

        Raises RowsLost when other rows were removed.
        """
        ...

    def delete(self, table: str, condition: Condition) -> int:
        """Delete the rows that match. Returns how many were deleted, by counts before and after."""
        ...

    def optimize(self, table: str) -> None:
        """Have the table's segments joined, so that reads are fast."""
        ...

    def engine(self) -> str | None:
        """The target's build; None when it is not reported."""
        ...

    def start_evaluation(self, query: Mapping[str, Any]) -> str:
        """Start an evaluation as a job. Returns the job's id."""
        ...

    def evaluation_status(self, job_id: str) -> JobStatus:
        """Whether a job has ended. Raises Refused (NOT_FOUND) when the job is not known."""
        ...

    def evaluations_since(self, since: datetime) -> list[str]:
        """The ids of the evaluations that were started since then, whoever started them."""
        ...

    def evaluation_answer(self, job_id: str) -> Any:
        """What an ended evaluation answered. Raises Refused or OutcomeUnknown when it failed."""
        ...


class Lease(Protocol):
    """The lock of a run."""

    @property
    def taken(self) -> bool:
        """Whether the run has held a lease."""
        ...

    @property
    def unfinished(self) -> Mapping[str, str]:
        """The tables that an earlier run has left unfinished, each with the id of that run."""
        ...

    def take(self, tables: Sequence[str]) -> dict[str, Busy]:
        """Take the leases of tables. Returns the error of each that another run holds."""
        ...

    def kept(self, unfinished: set[str]) -> AbstractContextManager[None]:
        """Keep the leases while the body runs, then give them back.

        unfinished: the tables that are not done. The body removes those that it has finished.
        """
        ...

    def check(self) -> None:
        """Raises LeaseLost when nothing more may be written."""
        ...


class Ledger(Protocol):
    """The sync's own records. It answers questions; no caller knows its SQL.

    Reading from a ledger that does not exist yet finds nothing. Writing makes what is missing.
    """

    def record_run(self, record: RunRecord) -> None:
        """Append the row of one table in one run."""
        ...

    def record_rejects(self, records: Sequence[RejectRecord]) -> None:
        """Append rejects, each once however often it is repeated."""
        ...

    def record_evaluation(self, record: EvaluationRecord) -> None:
        """Append one state of an evaluation, once however often it is repeated."""
        ...

    def open_rejects(self, table: str, now: datetime) -> list[OpenReject]:
        """The rejects of a table that are open, each with the reason of its last attempt."""
        ...

    def last_verified(self, table: str) -> int | None:
        """Watermark after the last sync that ended ok, epoch seconds."""
        ...

    def deleted_since(self, table: str, since: datetime) -> int:
        """Rows that runs started since then have deleted for being gone from the source.

        Rows that `deletes` names are left out.
        """
        ...

    def call_history(self, tables: Sequence[str], since: datetime) -> CallHistory:
        """The requests to the target of the tables' runs that started since then."""
        ...

    def bytes_of_sync(self, now: datetime, evaluations_since: datetime | None) -> int:
        """Bytes that are billed for the ledger's statements of one sync, whatever its tables are.

        evaluations_since: from when on evaluations are read. None: no table has any.
        """
        ...

    def evaluations(self, since: datetime) -> list[EvaluationRecord]:
        """The furthest state of each evaluation started since then, oldest first."""
        ...

    def watch_records(self, tables: Sequence[str], since: datetime, now: datetime) -> WatchRecords:
        """Evaluations started since then in their furthest state; syncs and rejects of tables.

        It is one query, however much there is.
        """
        ...

    def known_tables(self, now: datetime) -> dict[str, KnownTable]:
        """What is known of each table that the ledger has a state of, configured or not.

        It is one query, however many tables there are.
        """
        ...

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Append a checkpoint, which replaces the table's earlier ones."""
        ...

    def study(self, study_id: str, since: datetime) -> StudyRecords:
        """A retention study that was begun at `since`. Its jobs have figures and results."""
        ...

    def claims(self, evaluation_id: str, since: datetime) -> list[str]:
        """The runs that were about to start a study's job, from `since` on."""
        ...

    def status(self, tables: Sequence[str], now: float) -> StatusRecords:
        """What the status page shows. now: epoch seconds."""
        ...
