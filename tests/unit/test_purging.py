"""The purge by itself: what goes, in which requests, and what stops it."""

from __future__ import annotations

from typing import Any

import pytest

from sync.base.errors import OutOfTime, PurgeRefused
from sync.model.conditions import Before
from sync.pipeline import purge as purging
from sync.pipeline.purge import purge
from tests.memory import NAME, NOW, WITH_CURSOR, Memory, row

EDGE = NOW - 30 * 86_400  # what keep leaves begins here
ALL = f"{WITH_CURSOR}\n    purge: {{max_share: 1.0}}"


@pytest.fixture(autouse=True)
def _small_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purging, "PURGE_ROWS", 4)


def purged(*cursors: int, table: str = ALL, **request: Any) -> Memory:
    """A run after its purge, and what it held before: a row for each cursor, and two new ones."""
    memory = Memory(table, **request)
    memory.target.store([row(f"k{n}", cursor) for n, cursor in enumerate((*cursors, EDGE, NOW))])
    purge(memory.run)
    return memory


def ends(memory: Memory) -> list[int]:
    """The end of each delete, relative to the edge."""
    return [condition.end - EDGE for _, condition in memory.target.log]


def test_only_what_is_older_than_keep() -> None:
    """The second at the edge stays."""
    memory = purged(EDGE - 1, EDGE - 2)
    assert (ends(memory), memory.progress.purged) == ([0], 2)
    assert len(memory.target.held[NAME]) == 2
    quiet = purged()
    assert (quiet.target.log, quiet.progress.purged) == ([], 0)
    kept_for_ever = purged(EDGE - 1, table=ALL.replace("keep: 30d", ""))
    assert kept_for_ever.target.log == []


def test_the_oldest_go_first() -> None:
    """So many rows in a request as one may hold, and all of a second."""
    memory = purged(*(EDGE - 100 + n for n in range(10)))
    assert (ends(memory), memory.progress.purged) == ([-96, -92, 0], 10)
    one_request = purged(*(EDGE - 100 + n for n in range(4)))
    assert ends(one_request) == [0]
    same_second = purged(*[EDGE - 50] * 6, EDGE - 40)
    assert ends(same_second) == [-49, 0]
    last_second = purged(EDGE - 9, *[EDGE - 1] * 6)
    assert (ends(last_second), last_second.progress.purged) == ([0], 7)


def test_rows_that_another_has_deleted_meanwhile() -> None:
    """The purge ends: nothing is left to delete, whatever was counted before."""
    memory = Memory(ALL)
    memory.target.store([row(f"k{n}", EDGE - 100 + n) for n in range(10)])

    def answer(_kind: str, _condition: Before) -> None:
        memory.target.held[NAME].clear()

    memory.target.answer = answer
    purge(memory.run)
    assert (len(memory.target.log), memory.progress.purged) == (1, 0)


def test_the_time_ends_between_two_requests() -> None:
    """What was deleted counts. After the last request the purge is done, however late it is."""
    memory = Memory(ALL)
    memory.target.store([row(f"k{n}", EDGE - 100 + n) for n in range(5)])
    memory.at = 1000.0
    with pytest.raises(OutOfTime):
        purge(memory.run)
    assert memory.progress.purged == 4
    purge(memory.run)
    assert memory.progress.purged == 5


def test_a_large_share_is_refused() -> None:
    """With the numbers, and an event. At the share itself it is allowed."""
    half = f"{WITH_CURSOR}\n    purge: {{max_share: 0.5}}"
    assert purged(EDGE - 1, EDGE - 2, table=half).progress.purged == 2
    memory = Memory(half)
    memory.target.store([row(f"k{n}", EDGE - 2 + n) for n in range(3)])
    for lift in ("delete", "purge"):
        again = Memory(half, allow=frozenset([lift]))
        again.target.held = {NAME: list(memory.target.held[NAME])}
        if lift == "purge":
            purge(again.run)
            assert again.progress.purged == 2
        else:
            with pytest.raises(PurgeRefused, match="2 of 3 rows are older than keep"):
                purge(again.run)
            assert (again.target.log, again.events[0]["event"]) == ([], "purge_refused")


def test_a_dry_run_counts() -> None:
    """Also what a real run would have loaded before. It logs no refusal."""
    assert purged(EDGE - 1, dry_run=True).progress.purged == 1
    memory = Memory(f"{WITH_CURSOR}\n    purge: {{max_share: 0.5}}", dry_run=True)
    memory.target.store([row("a", EDGE - 1), row("b", EDGE - 2)])
    purge(memory.run, new_rows=2)
    assert (memory.progress.purged, memory.target.log) == (2, [])
    with pytest.raises(PurgeRefused):
        purge(memory.run, new_rows=1)
    assert memory.events == []
