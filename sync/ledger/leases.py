"""The statements on the `leases` table, which are changed by DML alone.

A lease is `held` until it expires, `done` when its run finished the table, and `unfinished` when
its run gave it back without having finished. A row stays when its lease is given back, so that
taking it is an UPDATE: BigQuery serialises those, and one of two runs gets it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sync.base.errors import ActionRequired, NotFound
from sync.ledger.tables import LedgerTables
from sync.model.sql import Parameter

_EXPIRES = "TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL @seconds SECOND)"
# An earlier version had no `state`: it gave a finished lease back with expires_at 0.
_STATE = "COALESCE(state, IF(expires_at = TIMESTAMP_SECONDS(0), 'done', 'held'))"
_HELD_TABLES = "SELECT `table` FROM {leases} WHERE expires_at > CURRENT_TIMESTAMP()"
# Two runs that died in the race for the very first lease may leave two rows of one table.
_DOUBLE_TABLES = "SELECT `table` FROM {leases} GROUP BY `table` HAVING COUNT(*) > 1"
_TAKE = f"""
UPDATE {{leases}} SET run_id = @run_id, expires_at = {_EXPIRES}, state = 'held'
WHERE `table` IN UNNEST(@tables) AND `table` NOT IN ({_HELD_TABLES})"""
TAKE_DONE = f"{_TAKE} AND {_STATE} = 'done' AND `table` NOT IN ({_DOUBLE_TABLES})"
TAKE_OTHERS = _TAKE
FREE = f"""
SELECT DISTINCT `table`, run_id, {_STATE} AS state FROM {{leases}}
WHERE `table` IN UNNEST(@tables) AND `table` NOT IN ({_HELD_TABLES})"""
TAKE_FIRST = f"""
INSERT INTO {{leases}} (`table`, run_id, expires_at, state)
SELECT name, @run_id, {_EXPIRES}, 'held'
FROM UNNEST(@tables) AS name WHERE name NOT IN (SELECT `table` FROM {{leases}})"""
TAKE_BACK = """
DELETE FROM {leases} WHERE run_id = @run_id AND `table` IN UNNEST(@tables)
  AND `table` IN (SELECT `table` FROM {leases} WHERE run_id != @run_id)"""
DROP_DOUBLES = f"""
DELETE FROM {{leases}} WHERE run_id = @run_id AND `table` IN ({_DOUBLE_TABLES})"""
MINE = """
SELECT `table`, COUNT(*) AS n_rows FROM {leases}
WHERE run_id = @run_id AND `table` IN UNNEST(@tables) GROUP BY `table`"""
RENEW = f"""
UPDATE {{leases}} SET expires_at = {_EXPIRES} WHERE run_id = @run_id AND state = 'held'"""
RELEASE = """
UPDATE {leases} SET expires_at = CURRENT_TIMESTAMP(),
  state = IF(`table` IN UNNEST(@unfinished), 'unfinished', 'done')
WHERE run_id = @run_id"""
HOLDERS = """
SELECT `table`, run_id,
  TIMESTAMP_DIFF(expires_at, CURRENT_TIMESTAMP(), MILLISECOND) / 1000 AS seconds_left
FROM {leases} WHERE `table` IN UNNEST(@tables) AND expires_at > CURRENT_TIMESTAMP()"""
STATEMENTS = (
    TAKE_DONE,
    TAKE_OTHERS,
    FREE,
    TAKE_FIRST,
    TAKE_BACK,
    DROP_DOUBLES,
    MINE,
    RENEW,
    RELEASE,
    HOLDERS,
)


@dataclass(frozen=True)
class Taken:
    """The outcome of taking leases.

    tables: those that this run holds now. unfinished: those of them that an earlier run left
    unfinished, each with the id of that run.
    """

    tables: frozenset[str]
    unfinished: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Holder:
    """Who holds a lease. seconds_left: until it expires unless it is renewed."""

    run_id: str
    seconds_left: float


class LeaseTable:
    """The leases of one ledger."""

    def __init__(self, tables: LedgerTables) -> None:
        self._tables = tables

    def take(self, tables: Sequence[str], run_id: str, seconds: int) -> Taken:
        """Take the leases of tables, each for so many seconds."""
        parameters = (*_named(tables, run_id), Parameter("seconds", "INT64", seconds))
        if self._take_done(parameters) == len(tables):
            return Taken(frozenset(tables))
        free = self._tables.read(FREE, parameters[:1])
        if free:
            self._tables.change(TAKE_OTHERS, parameters)
        self._take_first(parameters)
        held = self._mine(parameters)
        if any(rows > 1 for rows in held.values()):
            self._tables.change(DROP_DOUBLES, parameters[1:2])
            self._take_first(parameters)
            held = self._mine(parameters)
        left = [row for row in free if row["state"] != "done" and row["table"] in held]
        return Taken(frozenset(held), _left_by(left))

    def _take_done(self, parameters: Sequence[Parameter]) -> int:
        """Take what was given back in good order. Returns how many leases."""
        try:
            return self._tables.change(TAKE_DONE, parameters)
        except (NotFound, ActionRequired):  # no ledger yet, or one without the column `state`
            self._tables.create()
            return self._tables.change(TAKE_DONE, parameters)

    def _take_first(self, parameters: Sequence[Parameter]) -> None:
        """Take leases of tables that no run has had before.

        Two runs may insert at the same time. Each looks after its own row is there, so the later
        one sees both rows and takes its own back.
        """
        if self._tables.change(TAKE_FIRST, parameters):
            self._tables.change(TAKE_BACK, parameters[:2])

    def _mine(self, parameters: Sequence[Parameter]) -> dict[str, int]:
        """The rows of each table that name this run. More than one after a race for the first."""
        return {row["table"]: row["n_rows"] for row in self._tables.read(MINE, parameters[:2])}

    def renew(self, run_id: str, seconds: int) -> int:
        """Prolong the leases of a run. Returns how many rows it still holds."""
        parameters = (Parameter("run_id", "STRING", run_id), Parameter("seconds", "INT64", seconds))
        return self._tables.change(RENEW, parameters)

    def release(self, run_id: str, unfinished: Sequence[str]) -> None:
        """Give the leases of a run back. unfinished: tables that the next run must verify."""
        parameters = (
            Parameter("run_id", "STRING", run_id),
            Parameter("unfinished", "ARRAY<STRING>", list(unfinished)),
        )
        self._tables.change(RELEASE, parameters)

    def holders(self, tables: Sequence[str]) -> dict[str, Holder]:
        """Who holds which of the tables."""
        found = self._tables.read(HOLDERS, (Parameter("tables", "ARRAY<STRING>", list(tables)),))
        return {row["table"]: Holder(row["run_id"], float(row["seconds_left"])) for row in found}


def _left_by(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The run that left each table unfinished. No id where two runs did."""
    left_by: dict[str, str] = {}
    for row in rows:
        table = row["table"]
        left_by[table] = "" if table in left_by else row["run_id"]
    return left_by


def _named(tables: Sequence[str], run_id: str) -> tuple[Parameter, Parameter]:
    return (
        Parameter("tables", "ARRAY<STRING>", list(tables)),
        Parameter("run_id", "STRING", run_id),
    )
