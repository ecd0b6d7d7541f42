"""What a load of a million rows reads of its source, in BigQuery's bytes."""

from __future__ import annotations

from unittest import mock

import pytest
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud.bigquery import Client

from benchmarks import data
from benchmarks.stage import stage
from local.bigquery import PROJECT, sql
from sync.app import Services, run
from sync.base.clock import Clock
from sync.model.request import Request
from sync.model.window import SLICE_ROWS
from tests.statements import Heard, columns_of

ROWS = 1_000_000
TIMESTAMP_BYTES = 8
KEY_AND_CURSOR = ("id", "timestamp")


def column_bytes(url: str) -> dict[str, int]:
    """Bytes of each column as BigQuery bills them: of a text two, and its UTF-8."""
    options = ClientOptions(api_endpoint=url)
    client = Client(PROJECT, AnonymousCredentials(), client_options=options)
    sums = [f"SUM(2 + BYTE_LENGTH({name})) AS {name}" for name in data.STRINGS]
    (found,) = sql(client, f"SELECT {', '.join(sums)} FROM {data.PAGES}")
    return {**found, "timestamp": TIMESTAMP_BYTES * ROWS}


@pytest.mark.slow
def test_the_bytes_of_a_million_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most 1.2 times each column once, and the key and the cursor once more.

    The load has 20 slices. It is a whole one, into a target that only counts.
    """
    with stage(ROWS) as here:
        widths = column_bytes(here.environ["BIGQUERY_EMULATOR_HOST"])
        heard = Heard(monkeypatch)
        with mock.patch.dict("os.environ", here.environ):
            report = run(Services.from_environment(Clock()), Request())
    (table,) = report.tables
    assert (table.status, table.uploaded, table.verified) == ("ok", ROWS, True)
    assert table.slices_planned >= ROWS // SLICE_ROWS == 20
    named = [columns_of(each, data.PAGES) for each in heard.of_source(data.PAGES)]
    size = sum(widths[name] for columns in named for name in columns)
    once = sum(widths.values()) + sum(widths[name] for name in KEY_AND_CURSOR)
    assert len(named) == 2
    assert size <= 1.2 * once
    print(f"{size / once:.3f} of {once / 1e6:,.0f} MB, {table.slices_planned} slices")
