"""How many rows may be deleted because the source no longer has them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sync.base.errors import DeleteRefused, EmptySource
from sync.pipeline.delete_guard import ALWAYS_ALLOWED, DeleteGuard, check_shows_rows
from tests.memory import NOW, WITH_CURSOR, Memory, row

HALF = f"{WITH_CURSOR}\n    delete: {{max_share: 0.5}}"


def guarded(rows: int, *, earlier: int = 0, allow: str = "") -> tuple[Memory, DeleteGuard]:
    """A guard of a table of so many rows. earlier: rows that this week's runs have deleted."""
    memory = Memory(HALF, allow=frozenset([allow] if allow else []))
    memory.target.store([row(f"k{n}", NOW - n) for n in range(rows)])
    memory.ledger.deleted = earlier
    return memory, DeleteGuard(memory.run)


def test_the_share_of_a_table() -> None:
    """At the share itself it is allowed."""
    _, guard = guarded(100)
    guard.check(50)
    with pytest.raises(DeleteRefused, match=r"51 of 100 rows .* more than delete.max_share 0.5"):
        guard.check(51)


def test_a_week_counts_together() -> None:
    """Rows that earlier runs have deleted are gone rows too, and were rows of the table."""
    memory, guard = guarded(80, earlier=20)
    guard.check(30)
    with pytest.raises(DeleteRefused, match="51 of 100 rows"):
        guard.check(31)
    (since, *more) = memory.ledger.asked_since
    assert (since, more) == (memory.run.clock.utc() - timedelta(days=7), [])


def test_what_this_run_has_deleted_counts() -> None:
    """It is no longer in the table, and not yet in the ledger."""
    memory, guard = guarded(100)
    guard.add(20)
    guard.add(20)
    memory.target.held["t"] = memory.target.held["t"][:60]
    guard.check(10)
    with pytest.raises(DeleteRefused, match="51 of 100 rows"):
        guard.check(11)


def test_few_rows_are_always_allowed() -> None:
    """A share of a small table says little."""
    _, guard = guarded(ALWAYS_ALLOWED)
    guard.check(ALWAYS_ALLOWED)
    _, larger = guarded(ALWAYS_ALLOWED + 1)
    with pytest.raises(DeleteRefused):
        larger.check(ALWAYS_ALLOWED + 1)


def test_what_needs_no_look() -> None:
    """No deletions, and a request that lifts the guard."""
    memory, guard = guarded(10, earlier=1000)
    guard.check(0)
    assert memory.ledger.asked_since == []
    _, lifted = guarded(1000, allow="delete")
    lifted.check(1000)
    _, other = guarded(1000, allow="purge")
    with pytest.raises(DeleteRefused):
        other.check(1000)


def test_a_source_that_shows_no_row() -> None:
    """It is refused with the rows that the target holds, until the request allows it."""
    memory, _ = guarded(3)
    with pytest.raises(EmptySource, match="the source shows no rows, and Aito holds 3 rows"):
        check_shows_rows(memory.run, memory.described, 0)
    memory.source.rows.append(row("a", 1))
    check_shows_rows(memory.run, memory.described, 0)
    allowed, _ = guarded(3, allow="empty_source")
    check_shows_rows(allowed.run, allowed.described, 0)
