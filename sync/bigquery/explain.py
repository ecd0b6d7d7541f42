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
from sync.config.problems import quote, suggest
from sync.config.settings import TableSettings

DAILY = re.compile(r"(.*?)[0-9]{8}")  # the name of a table of one day
MAX_PARTS = 50  # that are tried one by one
UNKNOWN_NAME = re.compile(r"Unrecognized name: `?(\w+)`?(?: at \[\d+:\d+\])?")
DID_YOU_MEAN = re.compile(r"Did you mean `?(\w+)`?\?")
# A place in the text of a query that nobody sees as it is sent.
POSITION = re.compile(r" at \[(\d+):(\d+)\]")


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


def daily_sources(names: Sequence[str]) -> list[str]:
    """The daily tables among names, each as `source` names them: `events_*`."""
    beginnings = [match[1] for name in names if (match := DAILY.fullmatch(name))]
    return [f"{beginning}*" for beginning in dict.fromkeys(beginnings)]


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
            place = _place(table.settings, setting)
            yield f"{table.settings.at(*place)}: {_own_words(words, place, names)}"
            if setting in ("query", "where"):
                return  # every other part would fail for the same reason


def _place(table: TableSettings, setting: str) -> tuple[str, ...]:
    """The place of a setting among those of its table: of a column's SQL where it has some."""
    path = tuple(setting.split("."))
    made = table.named.get(path[1]) if path[0] == "columns" else None
    return (*path, "sql") if made and made.sql else path


def _own_words(words: str, place: tuple[str, ...], names: Sequence[str]) -> str:
    """BigQuery's words, with positions in the text of the file alone, and the nearest column."""
    unknown = UNKNOWN_NAME.search(words)
    if unknown:
        found = f"; {suggest(unknown[1], names, 'the source has')}" if names else _own_hint(words)
        return f"{words[: unknown.start()]}no column {quote(unknown[1])}{found}"
    has_text = place[-1] in ("sql", "where", "deletes", "query")
    return POSITION.sub(_own_position if has_text else "", words)


def _own_hint(words: str) -> str:
    """BigQuery's own suggestion of a name, where it has one."""
    hint = DID_YOU_MEAN.search(words)
    return f"; did you mean {quote(hint[1])}?" if hint else "; correct the name"


def _own_position(found: re.Match[str]) -> str:
    """A position in the text of the file, which begins on the second line of the query."""
    line = int(found[1]) - 1
    return f" at [{line}:{found[2]}]" if line else ""
