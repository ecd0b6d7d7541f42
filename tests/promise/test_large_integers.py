"""Whole runs over what BigQuery writes in its own way: large integers, and NULL of type JSON.

BigQuery quotes an INT64 beyond 2^53 in JSON text, and writes `null` for an SQL NULL. The emulator
here does so, too.
"""

from __future__ import annotations

import pytest

from tests.workbench import (
    DAY,
    HOUR,
    NOW,
    Workbench,
    batches_of,
    limit_slices,
    row,
)

LARGE = 2**53 + 1
KEYS = [*range(LARGE, LARGE + 8), -LARGE - 1, -LARGE, 2**63 - 1, -(2**63), 7]
NO_VALUE = "IF(value = 'v', CAST(NULL AS JSON), JSON 'null')"


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_keys_beyond_exact_floats(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """A staged load, a quiet night, news, and the repair of lost and doubled rows."""
    limit_slices(monkeypatch, 5)
    bench.mode, bench.numbered = mode, True
    bench.settings = batches_of(5)
    bench.table = {"columns": {"*": {}, "data": {"sql": NO_VALUE, "type": "String"}}}
    bench.put([row(key, NOW - HOUR * (n + 1)) for n, key in enumerate(KEYS)])
    assert bench.run_ok().slices_planned == 3
    assert bench.aito.schema()[bench.name]["columns"]["id"]["type"] == "Long"
    quiet = bench.run_ok()
    assert (quiet.uploaded, quiet.repaired) == (0, 0)
    assert quiet.slices_done == quiet.slices_planned
    bench.put([row(LARGE + 20 + n, NOW - 60 - n, "new") for n in range(3)])
    if mode == "merge":
        bench.put([row(key, NOW - 90 - n, "changed") for n, key in enumerate(KEYS[::4])])
    assert bench.run_ok().uploaded == 3 + (len(KEYS[::4]) if mode == "merge" else 0)
    bench.aito.delete_rows(bench.name, {"id": LARGE})
    bench.aito.double_rows(bench.name, {"id": LARGE + 1})
    assert bench.run_ok(action="reconcile", deep=True).repaired == 2


def test_a_reject_beyond_exact_floats(bench: Workbench) -> None:
    """The ledger holds the row's own key. The next run knows the row again."""
    bench.numbered = True
    columns = {"*": {}, "n": {"sql": "IF(value = 'bad', id, 1)", "type": "Int"}}
    bench.table = {"columns": columns, "rejects": {"max_share": 1}}
    bench.put([row(LARGE, NOW - DAY, "bad")])
    report = bench.run_ok()
    assert (report.rejected, report.uploaded) == (1, 0)
    bench.run_ok()
    (reject,) = bench.rejects()
    assert reject["key"] == str(LARGE)
