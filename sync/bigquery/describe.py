"""Describes a configured table: its columns, cursor, key and layout in BigQuery."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from google.cloud import bigquery

from sync.base.errors import AccessDenied, ActionRequired, NotFound, SchemaMismatch
from sync.bigquery import explain, queries, views
from sync.bigquery.columns import check_names, columns
from sync.bigquery.field_names import named, unnamed_columns, unnamed_members
from sync.bigquery.metadata import field_of, layout, required_columns, row_bytes
from sync.bigquery.predicates import INTRADAY
from sync.bigquery.roles import (
    check_deletes,
    check_key_is_stable,
    check_made_by,
    cursor_field,
    with_own_sql,
)
from sync.bigquery.session import BigQuerySession, DryRun
from sync.bigquery.sizes import document_bytes
from sync.bigquery.table import BigQueryTable
from sync.bigquery.types import Field
from sync.bigquery.unstable import unstable_column
from sync.config import BatchSettings, TableSettings
from sync.config.problems import quote, suggest

SHOWN_TABLES = 5  # in a message
# For an estimate: the limits of a batch do not change what is read.
SMALLEST_BATCHES = BatchSettings(rows=1, bytes=1)


class Describer:
    """Describes tables of one run."""

    def __init__(self, session: BigQuerySession, now: int | None) -> None:
        self._session = session
        self._now = now

    def describe(self, table: TableSettings, *, prune: bool = True) -> BigQueryTable:
        """Describe a table by its metadata and a dry run.

        prune: reading may leave out partitions that hold no recent row.
        Raises SchemaMismatch with every column that cannot be synced; NotFound.
        """
        check_names(table)
        metadata = self._metadata(table)
        check_key_is_stable(table, metadata)
        described = layout(table, metadata, prune)
        if table.is_sharded:
            described = self._daily_tables(table, prune)
        result = self._shape(described, metadata)
        fields = [field_of(each) for each in result.fields]
        own_fields = [each for each in fields if each.name not in ("sync_cursor", "sync_deleted")]
        check_deletes(table, fields)
        own_fields = list(named(table, own_fields, required_columns(metadata)))
        made = columns(table, own_fields)
        described = replace(
            described,
            cursor=cursor_field(table, fields),
            sql_columns=made,
            fields=tuple(own_fields),
            document_bytes=document_bytes(made, own_fields, row_bytes(metadata)),
            location=(metadata and metadata.location) or result.location,
        )
        self._check_unnamed(described, own_fields)
        return described

    def _shape(self, table: BigQueryTable, metadata: bigquery.Table | None) -> DryRun:
        """The columns of a table. Raises ActionRequired that names what BigQuery refuses."""
        name = table.settings.name
        try:
            return self._session.dry_run(queries.shape(table), name)
        except AccessDenied:
            raise
        except ActionRequired as error:
            if table.settings.is_sharded:
                self.check_days(table)
            if isinstance(error, NotFound):
                raise _not_found(table.settings, error) from error
            names = [field.name for field in metadata.schema] if metadata else []
            failing = explain.failing_parts(self._session, table, names)
            if not failing:
                raise
            lines = "\n".join(f"  - {each}" for each in failing)
            raise ActionRequired(f"{name}: BigQuery refuses the configuration:\n{lines}") from error

    def _metadata(self, table: TableSettings) -> bigquery.Table | None:
        """The metadata of a `source:`; None for a `query:` and for daily tables."""
        if not table.source or table.is_sharded:
            return None
        path = self._path(table.source)
        what = f"{table.name}: {table.at('source')}: {path}"
        try:
            return self._session.metadata(path, what)
        except NotFound as error:
            reason = explain.missing_source(self._session, path, what)
            raise NotFound(f"{what}: {reason}") from error

    def _path(self, source: str) -> str:
        """A source with its project."""
        return source if source.count(".") > 1 else f"{self._session.project}.{source}"

    def _daily_tables(self, table: TableSettings, prune: bool) -> BigQueryTable:
        """Tables of one day each. What they hold tells the dry run; they have no metadata."""
        described = BigQueryTable(
            table, self._path(str(table.source)), prune=prune, read_at=self._now
        )
        if table.mode == "replace":  # whose rows are not counted before they are read
            self.check_days(described)
        return described

    def _tables_of(self, table: BigQueryTable, dataset: str) -> list[str]:
        """The names of a dataset's tables. Raises NotFound with the nearest name of a dataset."""
        what = f"{table.settings.name}: {table.settings.at('source')}"
        try:
            return [each.table_id for each in self._session.list_tables(dataset, what)]
        except NotFound as error:
            reason = explain.missing_source(self._session, str(table.path), what)
            raise NotFound(f"{what}: {reason}") from error

    def check_days(self, table: BigQueryTable) -> None:
        """Raises ActionRequired when no table of the source's beginning ends in a day."""
        dataset, _, beginning = str(table.path).removesuffix("*").rpartition(".")
        listed = self._tables_of(table, dataset)
        names = [name for name in listed if name.startswith(beginning)]
        ending = rf"(?:{INTRADAY})?[0-9]{{8}}" if table.settings.intraday else r"[0-9]{8}"
        if any(re.fullmatch(ending, name.removeprefix(beginning)) for name in names):
            return
        settings = table.settings
        place = settings.at("source")
        if not names:
            daily = explain.daily_sources(listed)
            hint = suggest(f"{beginning}*", daily or listed, "it has")
            raise ActionRequired(
                f"{settings.name}: {place}: the dataset {dataset} has no table that begins with"
                f" {quote(beginning)}; {hint}"
            )
        shown = ", ".join(sorted(names)[:SHOWN_TABLES])
        raise ActionRequired(
            f"{settings.name}: {place}: {settings.source}: no table of this beginning"
            f" ends in a day YYYYMMDD; found {shown}. For other names write instead of `source`  "
            f'query: "SELECT *, _TABLE_SUFFIX AS part FROM `{settings.source}`"'
        )

    def _check_unnamed(self, table: BigQueryTable, fields: Sequence[Field]) -> None:
        """Raises SchemaMismatch when the source has columns without a name.

        A dry run reports such a column under a name that no query can use. A column may also be
        called so, thus a dry run with these names decides.
        """
        unnamed = unnamed_columns(fields) if table.settings.takes_all else unnamed_members(fields)
        if not unnamed:
            return
        try:
            self._session.dry_run(
                queries.batches(table, None, SMALLEST_BATCHES), table.settings.name
            )
        except AccessDenied:
            raise
        except ActionRequired as error:
            lines = "\n".join(f"  - {each}" for each in unnamed)
            remedy = "give each a name in the source: `SELECT COUNT(*) AS visits`, `STRUCT(1 AS n)`"
            raise SchemaMismatch(
                f"{table.settings.name}: the source has columns without a name:\n{lines}\n"
                f"Remedy: {remedy}."
            ) from error

    def check_key(self, table: BigQueryTable) -> None:
        """Raises SchemaMismatch when the text of a view behind the source shows an unstable key.

        `describe` has looked at the source's own text.
        """
        settings = table.settings
        own = settings.query or f"SELECT * FROM `{table.path}`"
        if table.settings.is_sharded or not table.keys_may_change:
            return
        behind = views.texts_behind(self._session, own, self._session.project, settings.name)
        text = " ".join(f"({each})" for each in (own, *behind))
        for part in settings.key_parts:
            made = with_own_sql(settings, part, text)
            check_made_by(settings, part, unstable_column(made, part))


def _not_found(table: TableSettings, error: NotFound) -> NotFound:
    """The error of a name that a query has and BigQuery lacks, with the setting's place."""
    if table.query is None:
        return error
    words = str(error).removeprefix(f"{table.name}: ")
    return NotFound(
        f"{table.name}: {table.at('query')}: {words}; correct the name in the"
        " query, create it, or set bigquery.location to where it is"
    )
