"""What alarms are keyed by: the error without what changes from run to run."""

from __future__ import annotations

import pytest

from sync.base.summary import MAX_LENGTH, without_numbers

NAMES = frozenset({"ga4_events_2026", "my-project-1", "users"})


@pytest.mark.parametrize(
    ("sentence", "summary"),
    [
        ("users: 80 of 100 rows are older", "users: # of # rows are older"),
        ("12.5 % and 1,234 rows at 03:15:09", "# % and # rows at #"),
        ("job 3f2a9c1e-77aa: no answer", "job #: no answer"),
        ("job a3f29c1e-77aa-4d: no answer", "job #: no answer"),
        ("run 20261126T031500-ab12cd holds it", "run # holds it"),
        ("POST /api/v1/data/users", "POST /api/v1/data/users"),
        ("column a1 of ga4_events_2026", "column a1 of ga4_events_2026"),
        ("my-project-1.site2.users", "my-project-1.site2.users"),
        ("users: 1 row is older", "users: # rows are older"),
        ("Aito holds 1 row; nothing", "Aito holds # rows; nothing"),
        ("sync.yaml line 8: tables[0].key: 3 values", "sync.yaml line 8: tables[0].key: # values"),
        ("sync.yaml: line 2, column 9: a quote", "sync.yaml: line 2, column 9: a quote"),
        ("127.0.0.1:9 could not be reached", "127.0.0.1:9 could not be reached"),
        ("Aito: GET /api/v1/jobs/3f2a9c1e-77aa: 403 no", "Aito: GET /api/v1/jobs/#: 403 no"),
        ("users: 403 rows are older", "users: # rows are older"),
        ("nothing", "nothing"),
        ("", ""),
    ],
)
def test_numbers_and_ids_are_left_out(sentence: str, summary: str) -> None:
    """Names of the configuration stay, whatever digits they hold."""
    assert without_numbers(sentence, NAMES) == summary


def test_it_fits_into_a_label() -> None:
    """A long list of differences is cut."""
    assert len(without_numbers("column " * 1000, NAMES)) == MAX_LENGTH
