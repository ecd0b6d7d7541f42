"""Sources whose metadata has another shape: external tables, files in folders, daily views.

The emulator has none of them. It holds a table, and what it says of it is changed on the way.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from local.stack import Stack
from tests.statements import Heard, fail_jobs
from tests.variations import slow
from tests.workbench import DAY, Row, Workbench, iso, table

EXTERNAL = {"type": "EXTERNAL", "numRows": "0", "numBytes": "0"}
VIEWS = "Views cannot be queried through prefix. First view p:d.logs_20260301."
FIELD = "Cannot read field 'v' of type INT64 as STRING Field: v"


def folders(*fields: str, required: bool = True) -> Row:
    """Metadata of files in folders such as dt=2026-03-01."""
    options: Row = {"mode": "AUTO", "sourceUriPrefix": "gs://b/t", "fields": list(fields)}
    options["requirePartitionFilter"] = required
    files = {"sourceFormat": "PARQUET", "sourceUris": ["gs://b/t/*"]}
    return {**EXTERNAL, "externalDataConfiguration": {**files, "hivePartitioningOptions": options}}


SHEET = {**EXTERNAL, "externalDataConfiguration": {"sourceFormat": "GOOGLE_SHEETS"}}
BIGLAKE: Row = {"type": "EXTERNAL", "numRows": None, "numBytes": None, "biglakeConfiguration": {}}
MATERIALIZED = {"type": "MATERIALIZED_VIEW", "materializedView": {"query": "SELECT id FROM d.t"}}


def described_as(monkeypatch: pytest.MonkeyPatch, name: str, changes: Row) -> None:
    """Let BigQuery describe a table so. None: it does not say this."""
    send = requests.Session.send

    def changed(session: requests.Session, request: Any, **more: Any) -> requests.Response:
        answer = send(session, request, **more)
        path = (request.url or "").partition("?")[0]
        if request.method == "GET" and path.endswith(f"/tables/{name}") and answer.ok:
            said = {**answer.json(), **changes}
            said = {key: value for key, value in said.items() if value is not None}
            answer._content = json.dumps(said).encode()
        return answer

    monkeypatch.setattr(requests.Session, "send", changed)


def load(bench: Workbench, name: str, keys: str, at: int) -> None:
    """Add rows with a folder as text, a folder as a date, and a time."""
    schema = {"id": "STRING", "ts": "TIMESTAMP", "dt": "STRING", "day": "DATE", "v": "INT64"}
    rows = [
        {"id": key, "ts": iso(at), "dt": iso(at)[:10], "day": iso(at)[:10], "v": 1} for key in keys
    ]
    bench.load_source(name, schema, rows)


# Kind -> what BigQuery says of the table, and the filter that it asks for.
OTHERS = {
    "text": (folders("dt"), "`dt` >= @partition_start"),
    "date": (folders("DAY", "dt"), "`dt` >= @partition_start"),
    "day": (folders("Day"), "`day` >= @partition_start"),
    "free": (folders("dt", required=False), ""),
    "by_time": (folders("ts"), "`ts` >= @"),
    "sheet": (SHEET, ""),
    "biglake": (BIGLAKE, ""),
    "materialized": (MATERIALIZED, ""),
}


@pytest.mark.parametrize("merged", [("text", "sheet"), *slow((tuple(OTHERS),))])
def test_tables_of_other_kinds(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, merged: tuple[str, ...]
) -> None:
    """They are planned and loaded over two nights, with the filter that BigQuery asks for.

    A run over many tables costs less than a run for each. Mode `merge` has statements of its own.
    merged: the kinds that are loaded in this mode, too.
    """
    bench = Workbench(stack, "external")
    tables = []
    for kind, (changes, _) in OTHERS.items():
        load(bench, kind, "ab", bench.now - 2 * DAY)
        described_as(monkeypatch, kind, changes)
        modes = ("append", "merge") if kind in merged else ("append",)
        for mode in modes:
            tables.append(table(f"external_{kind}_{mode}", f"{bench.dataset}.{kind}", mode=mode))
    heard = Heard(monkeypatch)
    assert bench.run(*tables, dry_run=True).status == "ok"
    bench.run_ok(*tables)
    for kind in OTHERS:
        load(bench, kind, "bc", bench.now - 60)
    bench.run_ok(*tables)
    for each in tables:
        assert bench.aito_keys(each["name"]) == ["a", "b", "c"], each["name"]
    for kind, (_, required) in OTHERS.items():
        texts = [text for text in heard.texts if f".{kind}`" in text]
        assert len(texts) > 4, kind
        assert [text for text in texts if required not in text] == [], kind
        assert required or not [text for text in texts if "@partition_start" in text], kind


@pytest.mark.parametrize(
    ("sentence", "remedy"),
    [(VIEWS, "`query` with UNION ALL of the views"), (FIELD, "leave it out by `except`")],
)
def test_daily_tables_that_bigquery_refuses(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, sentence: str, remedy: str
) -> None:
    """Daily views, and a column whose type has changed: BigQuery's sentence, and what to do."""
    bench = Workbench(stack, "external_daily")
    load(bench, f"logs_{iso(bench.now)[:10].replace('-', '')}", "a", bench.now - 60)
    fail_jobs(monkeypatch, "logs_*", "invalidQuery", sentence)
    asked = table("external_daily", f"{bench.dataset}.logs_*")
    for is_plan in (True, False):
        (report,) = bench.run(asked, dry_run=is_plan).tables
        assert report.status == "failed"
        assert sentence in (report.error or "")
        assert remedy in (report.error or "")
