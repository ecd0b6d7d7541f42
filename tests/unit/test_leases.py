"""The statements that take and give back leases: which, in what order, and with what."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from sync.base.errors import NotFound
from sync.ledger import leases
from sync.ledger.leases import Holder, LeaseTable, Taken
from sync.ledger.tables import LedgerTables
from sync.model.sql import Parameter

Row = dict[str, Any]


class Tables:
    """A ledger that answers as it is told. Each answer is used once.

    log: the statements so far.
    """

    def __init__(self, answers: Mapping[str, Any] = {}) -> None:
        self._answers = {statement: list(each) for statement, each in answers.items()}
        self.log: list[str] = []

    def read(self, statement: str, parameters: Sequence[Parameter]) -> list[Row]:
        """Rows. None where there is no answer left."""
        found: list[Row] = self._answer(statement, parameters, [])
        return found

    def change(self, statement: str, parameters: Sequence[Parameter]) -> int:
        """The rows that were changed. One where there is no answer left."""
        changed: int = self._answer(statement, parameters, 1)
        return changed

    def create(self) -> None:
        """Make what is missing."""
        self.log.append("create")

    def _answer(self, statement: str, parameters: Sequence[Parameter], usual: Any) -> Any:
        """The parameters must be those that the statement names."""
        named = set(re.findall(r"@(\w+)", statement))
        assert [each.name for each in parameters if each.name not in named] == []
        assert named == {each.name for each in parameters}
        self.log.append(statement)
        left = self._answers.get(statement)
        answer = left.pop(0) if left else usual
        if isinstance(answer, Exception):
            raise answer
        return answer


def table_of(tables: Tables) -> LeaseTable:
    """The leases of that ledger."""
    return LeaseTable(cast(LedgerTables, tables))


def mine(**rows: int) -> list[Row]:
    """Leases of this run, and how many rows each has."""
    return [{"table": table, "n_rows": count} for table, count in rows.items()]


def test_leases_that_were_given_back_in_good_order() -> None:
    """One statement takes them."""
    tables = Tables({leases.TAKE_DONE: [2]})
    assert table_of(tables).take(["a", "b"], "me", 60) == Taken(frozenset("ab"))
    assert tables.log == [leases.TAKE_DONE]


def test_a_ledger_that_is_not_there() -> None:
    """It is made, and the statement is sent again."""
    tables = Tables({leases.TAKE_DONE: [NotFound("no ledger"), 1]})
    assert table_of(tables).take(["a"], "me", 60).tables == {"a"}
    assert tables.log == [leases.TAKE_DONE, "create", leases.TAKE_DONE]


def test_what_earlier_runs_left_unfinished() -> None:
    """It is looked up before it is taken. Nobody is named where two runs left a table."""
    left = [
        {"table": "a", "run_id": "one", "state": "unfinished"},
        {"table": "b", "run_id": "one", "state": "held"},
        {"table": "b", "run_id": "two", "state": "held"},
        {"table": "c", "run_id": "one", "state": "unfinished"},
    ]
    answers = {
        leases.TAKE_DONE: [0],
        leases.FREE: [left],
        leases.TAKE_FIRST: [0],
        leases.MINE: [mine(a=1, b=1)],
    }
    tables = Tables(answers)
    taken = table_of(tables).take(["a", "b", "c"], "me", 60)
    assert taken == Taken(frozenset("ab"), {"a": "one", "b": ""})
    order = [leases.TAKE_DONE, leases.FREE, leases.TAKE_OTHERS, leases.TAKE_FIRST]
    assert tables.log == [*order, leases.MINE]


def test_the_very_first_lease() -> None:
    """After it was inserted, it is taken back if another run has inserted one, too."""
    tables = Tables({leases.TAKE_DONE: [0], leases.MINE: [mine(a=1)]})
    assert table_of(tables).take(["a"], "me", 60) == Taken(frozenset("a"))
    first = [leases.TAKE_FIRST, leases.TAKE_BACK, leases.MINE]
    assert tables.log == [leases.TAKE_DONE, leases.FREE, *first]


def test_two_rows_of_a_lease_that_was_given_back() -> None:
    """The first statement leaves them alone. They are taken, and nothing is unfinished."""
    double = [{"table": "a", "run_id": "one", "state": "done"}]
    answers = {
        leases.TAKE_DONE: [0],
        leases.FREE: [double],
        leases.TAKE_FIRST: [0, 1],
        leases.MINE: [mine(a=2), mine(a=1)],
    }
    tables = Tables(answers)
    assert table_of(tables).take(["a"], "me", 60) == Taken(frozenset("a"))
    assert leases.TAKE_OTHERS in tables.log


def test_two_rows_of_one_table() -> None:
    """They are dropped, and one is made."""
    answers = {leases.TAKE_DONE: [0], leases.MINE: [mine(a=2), mine(a=1)]}
    tables = Tables(answers)
    assert table_of(tables).take(["a"], "me", 60).tables == {"a"}
    again = [leases.DROP_DOUBLES, leases.TAKE_FIRST, leases.TAKE_BACK, leases.MINE]
    assert tables.log[-5:] == [leases.MINE, *again]


def test_renewal_and_return() -> None:
    """One statement each."""
    tables = Tables({leases.RENEW: [3]})
    assert table_of(tables).renew("me", 60) == 3
    table_of(tables).release("me", ["a"])
    assert tables.log == [leases.RENEW, leases.RELEASE]


def test_who_holds_a_lease() -> None:
    """The run, and its seconds."""
    held = [{"table": "a", "run_id": "other", "seconds_left": 12}]
    found = table_of(Tables({leases.HOLDERS: [held]})).holders(["a"])
    assert found == {"a": Holder("other", 12.0)}
