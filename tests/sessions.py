"""Two linked tables of the sample, and whether Aito holds them: field by field, by key."""

from datetime import UTC, datetime, timedelta
from typing import Any

from local import sample
from local.sample import DATASET, Row, Sample
from local.stack import Stack

KEEP = timedelta(days=90)
USER, WEB = "aito_segment_user", "aito_segment_web"
PICKED = (
    "id",
    "anonymous_id",
    "context_campaign_source",
    "context_page_path",
    "context_page_title",
    "referrer",
    "search",
    "url",
)
TABLES: list[dict[str, Any]] = [
    {
        "name": WEB,
        "source": f"{DATASET}.pages",
        "key": "id",
        "cursor": {"source": "timestamp", "column": "unix_timestamp"},
        "columns": (
            dict.fromkeys(PICKED)
            | {
                "anonymous_id": {"link": f"{USER}.id"},
                "search": {"type": "Text", "analyzer": "en"},
            }
        ),
        "keep": "90d",
        "evaluate": [
            {
                "name": "campaign-source",
                "predict": "context_campaign_source",
                "given": ["context_page_path", "referrer"],
            }
        ],
    },
    {
        "name": USER,
        "source": f"{DATASET}.users_view",
        "mode": "merge",
        "key": "id",
        "cursor": {"source": "received_at", "column": "updated_unix"},
    },
]


def compare(stack: Stack, loaded: Sample, answer: dict[str, Any]) -> bool:
    """Whether Aito's documents are the source's, field by field, by key,
    within the run's window.
    """
    ends = {table["table"]: table["window"]["end"] for table in answer["tables"]}
    oldest = ends[WEB] - int(KEEP.total_seconds())
    pages = {key: view(row) for key, row in sample.newest(loaded.pages, "timestamp").items()}
    pages = {key: row for key, row in pages.items() if oldest <= row["unix_timestamp"] < ends[WEB]}
    users = {key: visitor(row) for key, row in sample.newest(loaded.users, "received_at").items()}
    return all([same(stack, WEB, pages), same(stack, USER, users)])


def same(stack: Stack, table: str, expected: dict[str, Row]) -> bool:
    """Compare one table and say what was found."""
    rows = stack.aito.rows(table)
    found = {str(row["id"]): row for row in rows}
    equal = len(rows) == len(found) and found == expected
    missing, extra = len(expected.keys() - found.keys()), len(found.keys() - expected.keys())
    doubled = len(rows) - len(found)
    other = sum(found[key] != expected[key] for key in found.keys() & expected.keys())
    verdict = (
        "equal, field by field"
        if equal
        else f"{missing} missing, {extra} extra, {doubled} doubled, {other} different"
    )
    print(f"  {table}: {len(rows):,} rows in Aito, {len(expected):,} due from BigQuery: {verdict}")
    return equal


def view(row: Row) -> Row:
    """A page view as Aito should hold it."""
    return present(
        {name: row.get(name) for name in PICKED} | {"unix_timestamp": seconds(row["timestamp"])}
    )


def visitor(row: Row) -> Row:
    """A visitor as Aito should hold it: every column of the view, times as fixed-width text."""
    received = datetime.fromisoformat(row["received_at"]).astimezone(UTC)
    text = received.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return present({**row, "received_at": text, "updated_unix": seconds(row["received_at"])})


def present(row: Row) -> Row:
    """A row as Aito shows it: absent instead of null."""
    return {name: value for name, value in row.items() if value is not None}


def seconds(moment: str) -> int:
    """A timestamp in whole epoch seconds."""
    return int(datetime.fromisoformat(moment).timestamp())
