"""The sample holds what makes a sync hard, the same each time."""

import gzip
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local import sample
from local.aito.server import Aito

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEEP = timedelta(days=90)


@pytest.fixture(scope="module")
def first() -> sample.Sample:
    return sample.day_one(NOW)


@pytest.fixture(scope="module")
def second(first: sample.Sample) -> sample.Sample:
    return sample.day_two(NOW, first, keep=KEEP)


def test_the_same_call_makes_the_same_rows(first: sample.Sample) -> None:
    """No clock and no chance is involved."""
    assert sample.day_one(NOW) == first
    assert sample.day_one(NOW, seed=2) != first


def test_rows_have_the_columns_of_the_schema(first: sample.Sample, second: sample.Sample) -> None:
    """Every row has every column, and pages link to users that exist."""
    for rows, schema in (
        (first.pages + second.pages, sample.PAGES),
        (first.users + second.users, sample.USERS),
    ):
        assert {tuple(sorted(row)) for row in rows} == {
            tuple(sorted(field.name for field in schema))
        }
    users = {row["id"] for row in first.users + second.users}
    assert {row["anonymous_id"] for row in first.pages + second.pages} <= users


def test_nothing_is_dated_in_the_future(first: sample.Sample, second: sample.Sample) -> None:
    """By any of the times."""
    times = [
        row[name]
        for row in first.pages + second.pages
        for name in ("timestamp", "received_at", "loaded_at")
    ]
    assert max(times) < "2026-03-01T12:00:00Z"


def test_what_day_two_brings(first: sample.Sample, second: sample.Sample) -> None:
    """Ties with day one's last second, late rows, rows past `keep`, keys sent again, changed
    visitors.
    """
    edge = max(row["timestamp"] for row in first.pages)
    known = {row["id"] for row in first.pages}
    new = [row for row in second.pages if row["id"] not in known]
    hour_ago, oldest = _iso(_time(edge) - timedelta(hours=1)), _iso(NOW - KEEP)
    assert sum(row["timestamp"] == edge for row in new) == 5
    assert sum(hour_ago <= row["timestamp"] < edge for row in new) == 5
    assert sum(row["timestamp"] < oldest for row in new) == 5
    assert sum(row["id"] in known for row in second.pages) == 5
    counts = Counter(row["id"] for row in new)
    assert sum(count == 2 for count in counts.values()) == 6
    versions = [row for row in new if row["context_page_title"] == "the newer version"]
    assert sample.newest(new, "timestamp")[versions[0]["id"]] == versions[0]
    assert len({row["id"] for row in second.users} & {row["id"] for row in first.users}) == 10


def test_awkward_values(first: sample.Sample) -> None:
    """Quotes, line ends, emoji, nulls, empty strings and a very long URL are among day one's."""
    titles = [row["context_page_title"] for row in first.pages]
    assert any(title and '"' in title and "\n" in title for title in titles)
    assert any(title and "🙂" in title for title in titles)
    assert {None, ""} <= set(titles)
    assert max(len(row["url"] or "") for row in first.pages) > 10_000


def test_there_is_something_to_predict(first: sample.Sample) -> None:
    """Naive Bayes finds the source from page and referrer far above the base, and nothing when it
    is shuffled.
    """
    given = {name: {"$get": name} for name in ("context_page_path", "referrer")}
    target = "context_campaign_source"
    body = {
        "test": {"$index": {"$mod": [5, 0]}},
        "evaluate": {"from": "pages", "where": given, "predict": target},
    }
    names = [*given, target]
    rows = [{name: row[name] for name in names} for row in first.pages]
    shuffled = [
        {**row, target: rows[(n * 37 + 11) % len(rows)][target]} for n, row in enumerate(rows)
    ]
    assert _gain(names, rows, body) > 0.2
    assert _gain(names, shuffled, body) < 0.08


def test_reading_a_folder(tmp_path: Path) -> None:
    """All times move by one constant, and the newest of all ends up just before now."""
    pages = [
        {
            "id": str(n),
            "timestamp": f"2015-05-1{n}T10:00:00Z",
            "loaded_at": f"2015-05-1{n}T11:07:00Z",
        }
        for n in range(3)
    ]
    users = [{"id": "u", "device": None, "received_at": "2015-05-10T10:00:00Z"}]
    for name, rows in (("pages", pages), ("users", users)):
        with gzip.open(tmp_path / f"{name}.ndjson.gz", "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    read = sample.read(tmp_path, NOW)
    assert [row["timestamp"] for row in read.pages] == [
        f"2026-0{day}T10:52:00Z" for day in ("2-27", "2-28", "3-01")
    ]
    assert read.pages[2]["loaded_at"] == "2026-03-01T11:59:00Z"
    assert read.users[0]["received_at"] == "2026-02-27T10:52:00Z"
    early, late = read.split(datetime(2026, 2, 28, tzinfo=UTC))
    assert [len(part) for part in (early.pages, late.pages, early.users, late.users)] == [
        1,
        2,
        1,
        0,
    ]
    assert early + late == read


def _gain(names: list[str], rows: list[dict[str, Any]], body: dict[str, Any]) -> float:
    from local.aito.evaluate import evaluate

    aito = Aito()
    aito.create_table("pages", {name: {"type": "String", "nullable": True} for name in names})
    aito.insert("pages", rows)
    return float(evaluate(aito._api.store, body)["accuracyGain"])


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
