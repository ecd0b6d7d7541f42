"""Looks at tables and views that are not configured yet. Reads each by one counting query."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from google.cloud import bigquery

from sync.base.errors import AccessDenied, ActionRequired, BadRequest, NotFound
from sync.bigquery.errors import translated
from sync.bigquery.metadata import field_of
from sync.bigquery.session import BigQuerySession
from sync.bigquery.types import CURSOR_TYPES, Field, epoch_seconds, quoted, unknown_scalars
from sync.config.problems import suggest
from sync.config.settings import DATASET, PROJECT, TABLE
from sync.model.inspection import (
    ChooseKeys,
    ColumnFacts,
    Inspection,
    KeyCandidate,
    LinkCandidate,
    LinkFacts,
    TableFacts,
)
from sync.model.sql import Query

KINDS = ("TABLE", "VIEW", "MATERIALIZED_VIEW", "EXTERNAL", "SNAPSHOT")
SHARD = r"(.+_)20[0-9]{6}"  # the name of a daily table, such as GA4's events_20240131
MAX_COUNTED = 250  # columns of one query: each takes up to six aggregates
COUNTABLE = ("STRING", "INTEGER", "BOOLEAN", "DATE", "NUMERIC")
# The oldest value of each type: a predicate that every partition satisfies.
OLDEST = {
    "TIMESTAMP": "TIMESTAMP '0001-01-01 00:00:00+00'",
    "DATETIME": "DATETIME '0001-01-01 00:00:00'",
    "DATE": "DATE '0001-01-01'",
    "INTEGER": "-9223372036854775808",
}


@dataclass(frozen=True)
class _Path:
    """A name of the request. table: None for a whole dataset.

    newest: of daily tables the newest, which is looked at for all of them.
    """

    project: str | None
    dataset: str
    table: str | None
    newest: str | None = None

    @property
    def source(self) -> str:
        """The name as `source:` takes it."""
        parts = (self.project, self.dataset, self.table)
        return ".".join(part for part in parts if part)

    def full(self, project: str) -> str:
        """The name to look at, with the project, by default `project`."""
        parts = (self.project or project, self.dataset, self.newest or self.table)
        return ".".join(part for part in parts if part)


class Inspector:
    """Looks at sources and adds up what BigQuery read for it."""

    def __init__(
        self, session: BigQuerySession, max_bytes: int, choose_keys: ChooseKeys = lambda _: ()
    ) -> None:
        """max_bytes: the most that one query may read. choose_keys: keys of several columns to
        count, the best first.
        """
        self._session = session
        self._choose_keys = choose_keys
        self._max_bytes = max_bytes
        self._bytes_processed = 0
        self._queries = 0
        self._left_out: dict[str, str] = {}

    def tables(self, names: Sequence[str]) -> tuple[TableFacts, ...]:
        """The facts of tables, views and all tables of whole datasets.

        Raises BadRequest for a name that does not exist, AccessDenied, Unavailable.
        """
        found: dict[_Path, TableFacts] = {}
        try:
            for name in names:
                path = _parsed(name)
                if path.table is None:
                    found |= self._dataset(path)
                elif path.table.endswith("*"):
                    daily = self._daily(path)
                    found[daily] = self._facts(daily)
                elif path not in found:
                    found[path] = self._facts(path)
        except AccessDenied as error:
            raise AccessDenied(f"{error}; {self._needed_roles()}") from error
        return tuple(found.values())

    def _needed_roles(self) -> str:
        project = self._session.project
        return (
            "this needs BigQuery Data Viewer (roles/bigquery.dataViewer) on the dataset, and"
            f" BigQuery Job User (roles/bigquery.jobUser) in the project {project}"
        )

    def links(self, candidates: Sequence[LinkCandidate]) -> tuple[LinkFacts, ...]:
        """Count by one query which values of the columns are keys of the other tables.

        Counts nothing when that would read more than the limit.
        """
        if not candidates:
            return ()
        counts = [self._count_link(number, each) for number, each in enumerate(candidates)]
        query = Query("\nUNION ALL\n".join(counts))
        if self._session.dry_run(query, "links").bytes_processed > self._max_bytes:
            return ()
        rows = self._read(query, "links")
        found = [LinkFacts(candidates[r["place"]], r["total"], r["matched"]) for r in rows]
        return tuple(sorted(found, key=lambda each: candidates.index(each.candidate)))

    def result(
        self, tables: tuple[TableFacts, ...], links: tuple[LinkFacts, ...], now: int
    ) -> Inspection:
        """All that was found, with what was read for it."""
        return Inspection(
            tables, links, self._bytes_processed, self._queries, now, dict(self._left_out)
        )

    # -- names

    def _dataset(self, dataset: _Path) -> dict[_Path, TableFacts]:
        """The facts of a dataset's tables. One that cannot be read, such as a view whose table is
        gone, is left out.
        """
        listed = self._listed(dataset)
        names = sorted(each.table_id for each in listed if each.table_type in KINDS)
        if not names:
            raise BadRequest(f"the dataset {dataset.source} holds no table and no view")
        found: dict[_Path, TableFacts] = {}
        for table, newest in _grouped(names):
            path = replace(dataset, table=table, newest=newest)
            try:
                found[path] = self._facts(path)
            except ActionRequired as error:
                self._left_out[path.source] = " ".join(str(error).split())
        if not found:
            reasons = "; ".join(self._left_out.values())
            raise ActionRequired(f"no table of {dataset.source} can be read: {reasons}")
        return found

    def _daily(self, path: _Path) -> _Path:
        """Daily tables with the newest of them. Raises BadRequest when there is none."""
        listed = [each.table_id for each in self._listed(path)]
        beginning = str(path.table).removesuffix("*")
        pattern = rf"{re.escape(beginning)}20[0-9]{{6}}"
        shards = [name for name in listed if re.fullmatch(pattern, name)]
        if not shards:
            sources = [name for name, newest in _grouped(sorted(listed)) if newest] or listed
            hint = suggest(str(path.table), sources, "it has") if listed else "it has no table"
            raise BadRequest(
                f"no daily tables '{path.table}' in the dataset {path.dataset}; {hint}"
            )
        return replace(path, newest=max(shards))

    def _listed(self, path: _Path) -> list[Any]:
        """The tables of a dataset. Raises BadRequest with the nearest name when it is missing."""
        project = path.project or self._session.project
        dataset = f"{project}.{path.dataset}"
        try:
            return self._session.list_tables(dataset, f"dataset {dataset}")
        except NotFound as error:
            raise self._no_dataset(path, project) from error

    def _no_dataset(self, path: _Path, project: str) -> BadRequest:
        names = self._session.list_datasets(project, f"project {project}")
        hint = suggest(path.dataset, names, "it has") if names else "it has no dataset at all"
        return BadRequest(f"no dataset '{path.dataset}' in the project {project}; {hint}")

    def _metadata(self, path: _Path) -> bigquery.Table:
        full = path.full(self._session.project)
        try:
            return self._session.metadata(full, f"table {full}")
        except NotFound as error:
            tables = [each.table_id for each in self._listed(path)]
            hint = suggest(str(path.table), tables, "it has") if tables else "it has no table"
            text = f"no table '{path.table}' in the dataset {path.dataset}; {hint}"
            raise BadRequest(text) from error

    # -- counting

    def _facts(self, path: _Path) -> TableFacts:
        metadata = self._metadata(path)
        facts = _described(path, metadata)
        query = count_query(facts, metadata, path.full(self._session.project))
        estimated = self._session.dry_run(query, path.source).bytes_processed
        if estimated > self._max_bytes:
            gigabytes = estimated / 2**30
            limit = self._max_bytes / 2**30
            reason = f"counting would read {gigabytes:,.0f} GiB, more than {limit:,.0f} GiB"
            return replace(facts, not_counted=reason)
        (row,) = self._read(query, path.source)
        columns = [_counted(column, n, row) for n, column in enumerate(facts.columns)]
        counted = replace(facts, rows=row["row_count"], columns=tuple(columns))
        key = self._composite_key(counted, _filter(facts, metadata))
        return replace(counted, composite_key=key)

    def _composite_key(self, facts: TableFacts, where: str) -> tuple[str, ...]:
        """The first candidate that has another value in every row, counted by one query.

        Empty when there is none, or when counting would read more than the limit.
        """
        candidates = self._choose_keys(facts)
        if not candidates:
            return ()
        query = _keys_query(candidates, self._full(facts.source), where)
        if self._session.dry_run(query, facts.source).bytes_processed > self._max_bytes:
            return ()
        (row,) = self._read(query, facts.source)
        for number, candidate in enumerate(candidates):
            if row[f"keys_{number}"] == facts.rows:
                return candidate.columns
        return ()

    def _read(self, query: Query, what: str) -> list[dict[str, Any]]:
        with translated(what, running=True):
            result = self._session.pages(query, what)
            self._queries += 1
            self._bytes_processed += result.total_bytes_processed or 0
            return [dict(row) for row in result]

    def _count_link(self, place: int, candidate: LinkCandidate) -> str:
        child = _values(self._full(candidate.source), candidate.column)
        parent = _values(self._full(candidate.parent), candidate.key)
        return (
            f"SELECT {place} AS place, COUNT(*) AS total,"
            f" COUNTIF(parent.value IS NOT NULL) AS matched FROM ({child}) AS child"
            f" LEFT JOIN ({parent}) AS parent ON child.value = parent.value"
        )

    def _full(self, source: str) -> str:
        return _parsed(source).full(self._session.project)


def _parsed(name: str) -> _Path:
    """A name of the request. Raises BadRequest."""
    match = re.fullmatch(rf"(?:({PROJECT})\.)?({DATASET})\.({TABLE}\*?)", name)
    if match:
        return _Path(match[1], match[2], match[3])
    if re.fullmatch(DATASET, name):
        return _Path(None, name, None)
    right = (
        "'dataset', 'dataset.table' or 'project.dataset.table', without backticks;"
        " 'dataset.events_*' for daily tables"
    )
    raise BadRequest(f"'{name}' names no table; right would be {right}")


def _grouped(names: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Names of tables, and of daily tables one pattern with the newest name."""
    shards: dict[str, list[str]] = {}
    for name in names:
        match = re.fullmatch(SHARD, name)
        if match:
            shards.setdefault(match[1], []).append(name)
    for name in names:
        match = re.fullmatch(SHARD, name)
        if match is None or len(shards[match[1]]) == 1:
            yield name, None
    for prefix, several in shards.items():
        if len(several) > 1:
            yield f"{prefix}*", max(several)


def _described(path: _Path, metadata: bigquery.Table) -> TableFacts:
    time = metadata.time_partitioning
    columns = [_column(field_of(each)) for each in metadata.schema]
    return TableFacts(
        source=path.source,
        kind=metadata.table_type or "TABLE",
        columns=tuple(columns),
        bytes=metadata.num_bytes or None,
        location=metadata.location or None,
        partition_column=time.field if time else None,
    )


def _column(field: Field) -> ColumnFacts:
    """A column before anything was counted of it."""
    can_be_synced = not unknown_scalars(field)
    return ColumnFacts(field.name, field.type, field.repeated, can_be_synced)


def _keys_query(candidates: Sequence[KeyCandidate], path: str, where: str) -> Query:
    """Counts the values of each candidate. No part of a candidate is NULL in any row."""
    counts = []
    for number, candidate in enumerate(candidates):
        parts = ", ".join(quoted(name) for name in candidate.columns)
        counts.append(f"COUNT(DISTINCT TO_JSON_STRING(STRUCT({parts}))) AS keys_{number}")
    return Query(f"SELECT {', '.join(counts)} FROM `{path}`{where}")


def _values(path: str, column: str) -> str:
    name = quoted(column)
    return f"SELECT DISTINCT {name} AS value FROM `{path}` WHERE {name} IS NOT NULL"


# -- the counting query


def count_query(facts: TableFacts, metadata: bigquery.Table, path: str) -> Query:
    """Counts the rows of a table and all columns of it at once."""
    selected = ["COUNT(*) AS row_count"]
    for number, column in enumerate(facts.columns[:MAX_COUNTED]):
        aggregates = _aggregates(column)
        selected += [f"{sql} AS {name}_{number}" for name, sql in aggregates.items()]
    return Query(f"SELECT {', '.join(selected)} FROM `{path}`{_filter(facts, metadata)}")


def _filter(facts: TableFacts, metadata: bigquery.Table) -> str:
    """A predicate for a table that refuses to be read without one."""
    if not metadata.require_partition_filter:
        return ""
    span = metadata.range_partitioning
    name = span.field if span else facts.partition_column
    if name is None:
        return f" WHERE _PARTITIONTIME >= {OLDEST['TIMESTAMP']}"
    types = {column.name.lower(): column.type for column in facts.columns}
    return f" WHERE {quoted(name)} >= {OLDEST[types[name.lower()]]}"


def _aggregates(column: ColumnFacts) -> Mapping[str, str]:
    """What is counted of a column: name -> SQL."""
    if column.repeated or column.type == "RECORD":
        return {}
    return dict(_of_scalar(column, quoted(column.name)))


def _of_scalar(column: ColumnFacts, name: str) -> Iterator[tuple[str, str]]:
    yield "nulls", f"COUNTIF({name} IS NULL)"
    if column.type in COUNTABLE:
        count = "COUNT(DISTINCT {})" if column.may_be_key else "APPROX_COUNT_DISTINCT({})"
        yield "distinct", count.format(name)
    if column.type in CURSOR_TYPES:
        moment = epoch_seconds(Field(column.name, column.type), name)
        yield "minimum", f"MIN({moment})"
        yield "maximum", f"MAX({moment})"
    if column.type == "STRING":
        yield "mean_length", f"AVG(LENGTH({name}))"
        yield "mean_words", f"AVG(ARRAY_LENGTH(SPLIT({name}, ' ')))"


def _counted(column: ColumnFacts, number: int, row: Mapping[str, Any]) -> ColumnFacts:
    """The column with its counts. A count that was not taken stays None."""
    return replace(
        column,
        nulls=row.get(f"nulls_{number}"),
        distinct=row.get(f"distinct_{number}"),
        minimum=row.get(f"minimum_{number}"),
        maximum=row.get(f"maximum_{number}"),
        mean_length=row.get(f"mean_length_{number}"),
        mean_words=row.get(f"mean_words_{number}"),
    )
