"""The likeliest errors of BigQuery in production, in whole runs: what a user reads of each.

They are faked at the wire, in BigQuery's words.
"""

from __future__ import annotations

import pytest

from tests.statements import fail_jobs
from tests.workbench import NOW, Workbench, row

COUNT = "BIT_XOR"  # a part of the statement that counts the source
LOAD = "sync_document"  # a part of those that read it
LEASE = "UPDATE"
RESOURCES = "Resources exceeded during query execution: The query could not be executed in memory."
UNFILTERED = (
    "Cannot query over table 'p.d.rows' without a filter over column(s) 'at' that can be used for"
    " partition elimination"
)
BYTES = "Query exceeded limit for bytes billed: 10737418240. 53687091200 or higher required."
DML = "Resources exceeded: Too many DML statements outstanding against table p.d.leases, limit 20"
LOOK = "`bq show"


@pytest.mark.parametrize(
    ("part", "reason", "words", "code", "says"),
    [
        (LOAD, "resourcesExceeded", RESOURCES, "ActionRequired", ("sync fewer", LOOK)),
        (COUNT, "invalidQuery", UNFILTERED, "ActionRequired", ()),
        (LOAD, "invalidQuery", "Unrecognized name: colour at [3:8]", "ActionRequired", ()),
        (LOAD, "bytesBilledLimitExceeded", BYTES, "TooManyBytes", ("53.7 GB, 0.31 USD", LOOK)),
        (LEASE, "resourcesExceeded", DML, "Unavailable", (LOOK,)),
    ],
    ids=["resources", "partition filter", "unknown column", "bytes", "DML limit"],
)
def test_an_error_of_bigquery(
    bench: Workbench,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    reason: str,
    words: str,
    code: str,
    says: tuple[str, ...],
) -> None:
    """Its own words, what to do, and the command that shows the job. Nothing is loaded.

    Once BigQuery answers again, the next run loads.
    """
    monkeypatch.setattr("sync.bigquery.session.CHANGE_PAUSE_SECONDS", 0)
    bench.put([row("a", NOW - 60)])
    with monkeypatch.context() as broken:
        fail_jobs(broken, part, reason, words)
        report = bench.run()
    (table,) = report.tables
    assert (table.status, table.code) == ("failed", code), table.error
    assert report.http_status == (503 if code == "Unavailable" else 500)
    for text in (words, *says):
        assert text in str(table.error)
    assert bench.aito_rows() == []
    bench.run_ok()


def test_a_dml_limit_that_passes(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The statement waited behind others of its table, and is repeated. The run is ok."""
    monkeypatch.setattr("sync.bigquery.session.CHANGE_PAUSE_SECONDS", 0)
    bench.put([row("a", NOW - 60)])
    bench.run_ok()
    with monkeypatch.context() as busy:
        fail_jobs(busy, LEASE, "resourcesExceeded", DML, times=2)
        bench.run_ok()
