"""What is known of a source table: its columns, its cursor, its partitioning. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from sync.base import reasons
from sync.bigquery.columns import Fault, SqlColumn, columns, is_same_name
from sync.bigquery.sizes import UNKNOWN_ROW_BYTES
from sync.bigquery.types import Field
from sync.config import TableSettings
from sync.model import window
from sync.model.columns import WIDER, Column

# The largest document that can be sent: Aito refuses requests over 10 MB. In base64 it also fits a
# page of BigQuery's answers, which are at most 20 MB.
DOCUMENT_BYTES = 9_500_000
TOO_LARGE = reasons.row_too_large(DOCUMENT_BYTES)
CURSOR_UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000}  # in a second


@dataclass(frozen=True)
class Partitioning:
    """How a source table is partitioned.

    column: None when partitioned by ingestion time.
    granularity: HOUR, DAY, MONTH, YEAR, or RANGE for integer ranges.
    required: whether BigQuery refuses a query without a predicate on the partition column.
    """

    column: Field | None
    granularity: str
    required: bool


@dataclass(frozen=True)
class BigQueryTable:
    """A source table, or a SELECT of the configuration. Implements SourceTable.

    path: project.dataset.table of a `source:`; None for a `query:`.
    cursor: the cursor column as BigQuery reports it.
    prune: whether reading may leave out partitions that hold no recent row.
    document_bytes: mean size of a row's document; see sizes.py.
    fields: the source's columns under their Aito names.
    chosen: the types of columns that the configuration leaves open.
    is_view: whether a SELECT stands behind the `source:`.
    read_at: when the run began, epoch seconds. No table of a later day is read of daily tables.
    rows: of the whole source, None when BigQuery does not know it.
    skips_blocks: whether queries may read less than their dry runs tell, as of clustered tables.
    location: where the source is, such as EU. None when it is not known.
    """

    settings: TableSettings
    path: str | None
    cursor: Field | None = None
    partitioning: Partitioning | None = None
    prune: bool = True
    sql_columns: tuple[SqlColumn, ...] = ()
    document_bytes: float = UNKNOWN_ROW_BYTES
    read_at: int | None = None
    fields: tuple[Field, ...] = ()
    is_view: bool = False
    chosen: Mapping[str, str] = field(default_factory=dict)
    rows: int | None = None
    skips_blocks: bool = False
    location: str | None = None

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The target columns that its rows fill, the cursor's included."""
        return tuple(each.column for each in self.sql_columns)

    @property
    def key_text(self) -> str:
        """SQL of the key as the text that it has in a document; NULL without a key."""
        for each in self.sql_columns:
            if each.name == self.settings.key_name:
                return each.text
        return "CAST(NULL AS STRING)"

    @property
    def keys_may_change(self) -> bool:
        """Whether the key is computed. What a table stores does not change by itself."""
        is_made = any(self.settings.named[part].sql for part in self._listed_parts)
        return self.settings.query is not None or self.is_view or is_made

    @property
    def _listed_parts(self) -> list[str]:
        return [part for part in self.settings.key_parts if part in self.settings.named]

    @property
    def origins(self) -> dict[str, str]:
        """The source's type of each column, for people. The cursor's is left out."""
        return {each.name: each.origin for each in self.sql_columns if each.origin}

    @property
    def cursor_units(self) -> int:
        """How many units of the cursor's source column are a second."""
        cursor = self.settings.cursor
        if cursor is None or self.cursor is None or self.cursor.type != "INTEGER":
            return 1
        return CURSOR_UNITS[cursor.unit]

    @property
    def cursor_zone(self) -> str:
        """Where a DATETIME or DATE cursor is at home. Other cursors are moments already."""
        cursor = self.settings.cursor
        if cursor is None or self.cursor is None or self.cursor.type not in ("DATETIME", "DATE"):
            return "UTC"
        return cursor.zone

    @property
    def cursor_text(self) -> str | None:
        """How the cursor is read, for people. None without a cursor."""
        cursor = self.settings.cursor
        if cursor is None or self.cursor is None:
            return None
        text = f"{cursor.source}, {self.cursor.type}"
        if self.cursor.type == "INTEGER":
            return f"{text} that counts {window.UNIT_NAMES[cursor.unit]} (cursor.unit)"
        if self.cursor.type in ("DATETIME", "DATE"):
            return f"{text}, read as {self.cursor_zone} (cursor.zone)"
        return text

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What makes a row unfit, apart from its size."""
        return tuple(fault for each in self.sql_columns for fault in each.faults)

    @property
    def reject_reasons(self) -> tuple[str, ...]:
        """Why a row may not be sent. `Row.fault` is an index into it."""
        return (*(fault.reason for fault in self.faults), TOO_LARGE)

    @property
    def slice_rows(self) -> int:
        """How many rows a slice should hold at most."""
        return window.slice_rows(self.document_bytes)

    @property
    def sorted_rows(self) -> int:
        """How many rows one worker of BigQuery should sort at most."""
        return window.sorted_rows(self.document_bytes)

    @property
    def reads_recent_only(self) -> bool:
        """Whether reading leaves out rows that arrived long ago.

        A row that is dated far ahead of its arrival is not read then.
        """
        by_ingestion_time = self.partitioning is not None and self.partitioning.column is None
        return self.prune and by_ingestion_time and self.settings.mode == "append"

    @cached_property
    def source_types(self) -> dict[str, str]:
        """The source's columns that are taken, and their BigQuery types.

        The members of structs are listed by their path, such as params.value.
        """
        return dict(_typed(self.fields))

    @cached_property
    def open_integers(self) -> tuple[str, ...]:
        """The columns that are Int because nothing declares otherwise: the data may need more."""
        held = {column.name for column in self.columns if column.type in WIDER}
        integers = [each for each in self.fields if each.type == "INTEGER" and each.name in held]
        return tuple(each.name for each in integers if self._is_open(each))

    def _is_open(self, column: Field) -> bool:
        declared = self.settings.named.get(column.name)
        cursor = self.settings.cursor
        is_cursor = cursor is not None and is_same_name(column.name, cursor.column)
        return not is_cursor and (declared is None or declared.type is None)

    def with_names(self, names: Collection[str]) -> BigQueryTable:
        """The same table, whose columns are spelled as these names where only the case differs."""
        # A name of the target, or of the configuration, stays as it is.
        spelled = {name.lower(): name for name in names}
        spelled_already = {*names, *self.settings.named}
        fields = []
        for each in self.fields:
            name = spelled.get(each.name.lower(), each.name)
            fields.append(each if each.name in spelled_already else replace(each, name=name))
        return self._with_fields(tuple(fields))

    def _with_fields(self, fields: tuple[Field, ...]) -> BigQueryTable:
        if fields == self.fields:
            return self
        made = columns(self.settings, fields, self.chosen)
        return replace(self, fields=fields, sql_columns=made)

    def with_wide(self, names: Collection[str]) -> BigQueryTable:
        """The same table, with the wider type for these columns of `open_integers`."""
        if not names:
            return self
        wider = {each.name: WIDER[each.type] for each in self.columns if each.name in names}
        chosen = {**self.chosen, **wider}
        made = columns(self.settings, self.fields, chosen)
        return replace(self, chosen=chosen, sql_columns=made)

    def whole(self) -> BigQueryTable:
        """The same table, read without leaving anything out."""
        return replace(self, prune=False)


def _typed(fields: Iterable[Field], path: str = "") -> Iterator[tuple[str, str]]:
    """Each field and the members inside it, by path, with its type."""
    for each in fields:
        name = f"{path}{each.name}"
        yield name, f"ARRAY<{each.type}>" if each.repeated else each.type
        yield from _typed(each.fields, f"{name}.")
