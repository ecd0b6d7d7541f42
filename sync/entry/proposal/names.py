"""The names of columns and tables, and what their words tell. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sync.model.inspection import ColumnFacts, TableFacts

UPDATED = {"updated", "modified", "changed", "edited", "update", "modification"}
ARRIVED = {"received", "loaded", "ingested", "inserted", "synced", "extracted"}
HAPPENED = {"created", "timestamp", "time", "ts", "event", "occurred", "at", "date", "sent", "day"}
# Words that some systems run together, as in `lastmodifieddate`.
RUN_TOGETHER = ("updated", "modified", "created", "received", "timestamp")
# Columns that a replicator adds to each table. It writes a row again when the row changes.
REPLICATED = re.compile(r"_(fivetran|airbyte|sdc|dlt|hevo|stitch|rivery|estuary)_", re.IGNORECASE)


def words(name: str) -> set[str]:
    """The words of a name such as `updatedAt`, `updated_at` or `lastupdated`, in lower case."""
    found = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}
    return found | {word for word in RUN_TOGETHER if word in name.lower()}


def aito_name(name: str) -> str:
    """A name that Aito takes."""
    return re.sub(r"""[/".$\s`\\]+""", "_", name)


def table_names(tables: Sequence[TableFacts]) -> dict[str, str]:
    """The Aito table of each source. Two tables of one name get their dataset's in front."""
    short = [aito_name(facts.table) for facts in tables]
    names = {}
    for facts, name in zip(tables, short, strict=True):
        dataset = facts.source.split(".")[-2]
        is_unique = short.count(name) == 1
        names[facts.source] = name if is_unique else f"{dataset}_{name}"
    return names


def table_stems(table: str) -> set[str]:
    """What a column that points to a table may be called: users_view -> users, user."""
    name = re.sub(r"^(dim|fact|fct|stg|raw|tbl)_|_(view|table|raw|latest|dim)$", "", table.lower())
    stems = {name}
    if name.endswith("ies"):
        stems.add(f"{name[:-3]}y")
    if name.endswith("s"):
        stems |= {name[:-1], name.removesuffix("es")}
    return stems


def is_mark(column: ColumnFacts) -> bool:
    """Whether a column tells of the row itself, and nothing of what it is about."""
    return REPLICATED.match(column.name) is not None or bool(words(column.name) & {"deleted"})


def marks_deleted(column: ColumnFacts) -> bool:
    """Whether a column is a flag that says of a row that it is gone."""
    is_flag = column.type == "BOOLEAN" and not column.repeated
    return is_flag and "deleted" in words(column.name) and column.name == aito_name(column.name)
