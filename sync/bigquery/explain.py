"""Finds out why a source cannot be described: the name that is wrong, the column that fails.

It is asked only after a failure, and only by lists of names and by dry runs, which are free.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from sync.base.errors import ActionRequired, NotFound, SyncError
from sync.bigquery import queries
from sync.bigquery.session import BigQuerySession
from sync.bigquery.table import BigQueryTable
from sync.config.problems import suggest

MAX_PARTS = 50  # that are tried one by one
UNKNOWN_NAME = re.compile(r"Unrecognized name: `?(\w+)`?")


def missing_source(session: BigQuerySession, path: str, what: str) -> str:
    """What is missing of project.dataset.table, and the nearest name that is there."""
    project, dataset, name = path.split(".", 2)
    try:
        names = [each.table_id for each in session.list_tables(f"{project}.{dataset}", what)]
    except NotFound:
        return f"project {project} has no dataset {dataset}{_nearest_dataset(session, path)}"
    except SyncError:
        return f"there is no table {path}, or it may not be seen"
    return f"dataset {dataset} has no table {name}; {suggest(name, names, 'it has')}"


def _nearest_dataset(session: BigQuerySession, path: str) -> str:
    project, dataset, _ = path.split(".", 2)
    try:
        names = session.list_datasets(project, f"project {project}")
    except SyncError:
        return ""
    return f"; {suggest(dataset, names, 'it has')}" if names else ""


def failing_parts(
    session: BigQuerySession, table: BigQueryTable, names: Sequence[str]
) -> list[str]:
    """The settings of a table that BigQuery refuses, with its words for each.

    names: the columns of the source, to suggest one. Empty: not known.
    """
    return list(itertools.islice(_failing(session, table, names), MAX_PARTS))


def _failing(session: BigQuerySession, table: BigQueryTable, names: Sequence[str]) -> Iterator[str]:
    for setting, query in itertools.islice(queries.parts(table), MAX_PARTS):
        try:
            session.dry_run(query, table.settings.name)
        except ActionRequired as error:
            words = str(error).removeprefix(f"{table.settings.name}: ")
            yield f"{setting}: {words}{_nearest_column(words, names)}"
            if setting in ("query", "where"):
                return  # every other part would fail for the same reason


def _nearest_column(words: str, names: Sequence[str]) -> str:
    unknown = UNKNOWN_NAME.search(words)
    if not unknown or not names:
        return ""
    return f"; {suggest(unknown[1], names, 'the source has')}"
