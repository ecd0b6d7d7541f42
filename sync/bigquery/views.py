"""The SELECT behind a source, with those of the views that it reads."""

from __future__ import annotations

import re

from google.cloud import bigquery

from sync.base.errors import AccessDenied, NotFound
from sync.bigquery.session import BigQuerySession
from sync.bigquery.unstable import plain

MAX_DEPTH = 8  # views behind views
# A table that is read. Its project may have hyphens.
NAMED = re.compile(r"\b(?:FROM|JOIN)\s+((?:[\w-]+\.){1,2}[\w-]+)", re.I)


def text_of(metadata: bigquery.Table | None) -> str:
    """The SELECT of a view; empty for a table."""
    if metadata is None:
        return ""
    return metadata.view_query or metadata.mview_query or ""


def texts_behind(session: BigQuerySession, text: str, project: str, what: str) -> list[str]:
    """The SELECTs of the views behind a SELECT, the nearest first.

    project: of names that name none. It goes on while a SELECT reads one table or view: of several
    it is not known whose columns are taken. A view that may not be seen ends the list.
    """
    found: list[str] = []
    while text and len(found) < MAX_DEPTH:
        read = [view for name in _names(text) if (view := _metadata(session, name, project, what))]
        if len(read) != 1:
            break
        text, project = text_of(read[0]), read[0].project
        if text:
            found.append(text)
    return found


def _names(text: str) -> list[str]:
    names = [match[1] for match in NAMED.finditer(plain(text))]
    return list(dict.fromkeys(names))


def _metadata(
    session: BigQuerySession, name: str, project: str, what: str
) -> bigquery.Table | None:
    """What BigQuery knows of a table; None when it is none, or may not be seen."""
    path = name if name.count(".") > 1 else f"{project}.{name}"
    try:
        return session.metadata(path, what)
    except (AccessDenied, NotFound):
        return None
