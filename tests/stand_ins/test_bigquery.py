"""The BigQuery emulator starts, takes rows, answers queries, and leaves with its parent."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from google.cloud import bigquery
from google.cloud.bigquery import SchemaField

from local import sample
from local.bigquery import BigQuery, create, empty, load, sql
from local.stack import Stack

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIELDS = [SchemaField("id", "STRING"), SchemaField("n", "INT64"), SchemaField("at", "TIMESTAMP")]


@pytest.fixture(scope="module")
def client(_running_stack: Stack) -> bigquery.Client:
    """A client of the emulator that all tests share, without the datasets of these tests."""
    client = _running_stack.bigquery.client()
    for dataset in ("a", "nowhere", sample.DATASET):
        client.delete_dataset(dataset, delete_contents=True, not_found_ok=True)
    return client


def test_rows_come_back(client: bigquery.Client) -> None:
    """Loading makes dataset and table; loading again appends, or replaces when asked to."""
    rows = [{"id": f"k{n}", "n": n, "at": "2026-03-01T00:00:00Z"} for n in range(5000)]
    assert load(client, "a.t", FIELDS, rows) == 5000
    assert load(client, "a.t", FIELDS, rows[:1]) == 1
    assert sql(
        client, "SELECT COUNT(*) AS n, COUNT(DISTINCT id) AS ids, MAX(`at`) AS newest FROM a.t"
    ) == [{"n": 5001, "ids": 5000, "newest": datetime(2026, 3, 1, tzinfo=UTC)}]
    assert load(client, "a.t", FIELDS, rows[:3], truncate=True) == 3
    assert sql(client, "SELECT COUNT(*) AS n FROM a.t") == [{"n": 3}]


def test_pages_come_while_a_query_runs(client: bigquery.Client) -> None:
    """As BigQuery answers: a query of a second does not keep the pages of another one back."""
    pages = client.query("SELECT n FROM UNNEST(GENERATE_ARRAY(1, 10)) AS n").result(page_size=1)
    with ThreadPoolExecutor(1) as other:
        slow = other.submit(
            sql,
            client,
            "SELECT SUM(LENGTH(MD5(CAST(a AS STRING)))) FROM UNNEST(GENERATE_ARRAY(1, 2000000))"
            " AS a",
        )
        assert sum(row["n"] for row in pages) == 55
        assert not slow.done()


def test_the_same_text_after_the_table_changed(client: bigquery.Client) -> None:
    """What the emulator remembers of a text is not what it ran on: other rows, other types."""
    query = "SELECT AVG(x) AS mean, MAX(x) AS top FROM a.changing"
    found = []
    for kind, values in (("INT64", (1, 2)), ("INT64", (3, 4)), ("STRING", ("a", "b"))):
        fields = [SchemaField("x", kind)]
        client.delete_table("a.changing", not_found_ok=True)
        load(client, "a.changing", fields, [{"x": value} for value in values])
        asked = query if kind == "INT64" else query.replace("AVG(x)", "NULL")
        found.append(sql(client, asked))
    assert found == [
        [{"mean": 1.5, "top": 2}],
        [{"mean": 3.5, "top": 4}],
        [{"mean": None, "top": "b"}],
    ]


def test_a_dataset_is_emptied_at_once(client: bigquery.Client) -> None:
    """Its tables stay, without rows. Other datasets keep theirs; a missing one has no tables."""
    fields = [SchemaField("x", "INT64")]
    for table in ("emptied.one", "emptied.two", "kept.one"):
        load(client, table, fields, [{"x": 1}])
    assert empty(client, "emptied") == {"one", "two"}
    assert empty(client, "nowhere") == set()
    counted = [sql(client, f"SELECT x FROM {table}") for table in ("emptied.one", "kept.one")]
    assert counted == [[], [{"x": 1}]]
    assert client.get_table("emptied.two").num_rows == 0


def test_the_same_text_with_other_parameters(client: bigquery.Client) -> None:
    """Parameters are no part of what is remembered of a text."""
    for value in (1, 2):
        parameter = bigquery.ScalarQueryParameter("x", "INT64", value)
        config = bigquery.QueryJobConfig(query_parameters=[parameter])
        rows = client.query("SELECT @x + 1 AS next", job_config=config).result()
        assert [row["next"] for row in rows] == [value + 1]


LARGE = 2**53 + 1  # BigQuery quotes it in JSON text
JSON_TEXTS = {
    f"{LARGE - 1}": f"{LARGE - 1}",
    f"{LARGE}": f'"{LARGE}"',
    f"STRUCT(-{LARGE} AS n, 'a' AS s)": f'{{"n":"-{LARGE}","s":"a"}}',
    f"STRUCT([1, {LARGE}] AS ns)": f'{{"ns":[1,"{LARGE}"]}}',
    f"[STRUCT({LARGE} AS n)]": f'[{{"n":"{LARGE}"}}]',
    f"STRUCT(PARSE_JSON('{LARGE}') AS n, {LARGE} AS m)": f'{{"n":{LARGE},"m":"{LARGE}"}}',
    f"STRUCT(PARSE_JSON('[{{\"n\": {LARGE}}}]') AS j)": f'{{"j":[{{"n":{LARGE}}}]}}',
    f"STRUCT('}}\"{{{LARGE}' AS s)": f'{{"s":"}}\\"{{{LARGE}"}}',
    "STRUCT(CAST('nan' AS FLOAT64) AS x, 1.5 AS y)": '{"x":"NaN","y":1.5}',
    "CAST(NULL AS JSON)": "null",
    "CAST(NULL AS STRING)": "null",
    "JSON 'null'": "null",
}


def test_json_text_is_as_bigquery_writes_it(client: bigquery.Client) -> None:
    """Large integers are quoted, but not those inside a JSON value. A NULL is the text `null`."""
    columns = [f"TO_JSON_STRING({value}) AS c{n}" for n, value in enumerate(JSON_TEXTS)]
    (found,) = sql(client, f"SELECT {', '.join(columns)}")
    texts = {value: found[f"c{n}"].replace(" ", "") for n, value in enumerate(JSON_TEXTS)}
    assert texts == JSON_TEXTS


def test_json_text_of_many_members(client: bigquery.Client) -> None:
    """A struct of hundreds of members is written by another macro, and becomes the same text."""
    values: dict[str, object] = {f"STRUCT({n} AS n)": {"n": n} for n in range(300)}
    values |= {str(LARGE): str(LARGE), "CAST('nan' AS FLOAT64)": "NaN", "CAST(NULL AS INT64)": None}
    members = ", ".join(f"{value} AS m{n}" for n, value in enumerate(values))
    (found,) = sql(client, f"SELECT TO_JSON_STRING(STRUCT({members})) AS text")
    assert list(json.loads(found["text"]).values()) == list(values.values())


def test_a_part_of_a_result_is_no_result(
    client: bigquery.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sql` takes one page. It raises when there are more rows, and drops none in silence."""
    monkeypatch.setattr("local.bigquery.MOST_ROWS", 2)
    assert len(sql(client, "SELECT * FROM UNNEST([1, 2]) AS n")) == 2
    with pytest.raises(ValueError, match="more than 2 rows"):
        sql(client, "SELECT * FROM UNNEST([1, 2, 3]) AS n")


def test_dataset_without_location(client: bigquery.Client) -> None:
    """A null where the default is meant is no error."""
    dataset = bigquery.Dataset(f"{client.project}.nowhere")
    dataset.location = None
    assert client.create_dataset(dataset, timeout=10).location == "US"


def test_awkward_text_survives_loading(client: bigquery.Client) -> None:
    """Quotes, line ends, separators and emoji, null and the empty string."""
    texts = ['"', "\\", "a\nb\r\n\t", "\u2028", "🙂", "", None, "NULL", "x" * 100_000]
    load(
        client, "a.texts", [SchemaField("n", "INT64"), SchemaField("s", "STRING")], _numbered(texts)
    )
    assert [row["s"] for row in sql(client, "SELECT s FROM a.texts ORDER BY n")] == texts


@pytest.mark.parametrize(("partition_by", "field"), [("at", "at"), ("", None)])
def test_partitioned_tables(client: bigquery.Client, partition_by: str, field: str | None) -> None:
    """By a column, or by the time of ingestion."""
    table = f"a.by_{field}"
    create(client, table, FIELDS, partition_by=partition_by)
    load(client, table, FIELDS, [{"id": "a", "n": 1, "at": "2026-03-01T00:00:00Z"}])
    made = client.get_table(f"{client.project}.{table}")
    assert made.time_partitioning.type_ == "DAY"
    assert made.time_partitioning.field == field


def test_statements_change_rows(client: bigquery.Client) -> None:
    """DML and DDL run; MERGE tells how many rows it touched."""
    load(client, "a.d", FIELDS, [{"id": "a", "n": 1, "at": None}])
    sql(client, "UPDATE a.d SET n = 2 WHERE TRUE")
    job = client.query(
        "MERGE a.d t USING (SELECT 'b' AS id) s ON t.id = s.id WHEN NOT MATCHED THEN INSERT (id)"
        " VALUES ('b')"
    )
    job.result()
    assert job.num_dml_affected_rows == 1
    assert sql(client, "SELECT id, n FROM a.d ORDER BY id") == [
        {"id": "a", "n": 2},
        {"id": "b", "n": None},
    ]


def test_sample_loads(client: bigquery.Client) -> None:
    """The sample's tables and views: the views hold each id once, in its newest version."""
    first = sample.day_one(NOW, pages=200, users=20)
    second = sample.day_two(NOW, first, keep=timedelta(days=90), pages=50, users=5)
    sample.load(client, first)
    sample.load(client, second)
    both = first + second
    raw, seen = (
        sql(
            client, f"SELECT COUNT(*) AS n, COUNT(DISTINCT id) AS ids FROM {sample.DATASET}.{name}"
        )[0]
        for name in ("pages", "pages_view")
    )
    assert raw == {"n": len(both.pages), "ids": len({row["id"] for row in both.pages})}
    assert seen == {"n": raw["ids"], "ids": raw["ids"]}
    devices = sql(client, f"SELECT id, device FROM {sample.DATASET}.users_view")
    expected = sample.newest(both.users, "received_at")
    assert {row["id"]: row["device"] for row in devices} == {
        key: row["device"] for key, row in expected.items()
    }


def test_leaves_with_its_parent() -> None:
    """A test run killed with -9 takes its emulator along."""
    script = (
        "from local.bigquery import BigQuery as B; b = B().start(); print(b.url, flush=True);"
        " input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        assert _answers(url)
        os.kill(parent.pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while _answers(url) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _answers(url)


def test_says_when_it_is_not_there() -> None:
    """Asking for the address of an emulator that was stopped is an error, not a wait."""
    emulator = BigQuery()
    with pytest.raises(RuntimeError, match="not started"):
        _ = emulator.url
    emulator.stop()


def _numbered(texts: list[str | None]) -> list[dict[str, object]]:
    return [{"n": n, "s": text} for n, text in enumerate(texts)]


def _answers(url: str) -> bool:
    try:
        requests.get(url, timeout=5)
    except requests.ConnectionError:
        return False
    return True
