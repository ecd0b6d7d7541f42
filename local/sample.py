"""Web sessions to sync: a small made-up sample, or real ones from a folder.

Two tables in the shape of Segment's: `pages` (page views, which never change) and `users`
(visitors, which do), linked by `pages.anonymous_id`. Where a visit came from
(`context_campaign_source`) follows from page and referrer three times of four, so that there is
something to predict. Everything is a function of its arguments: the same call, the same rows.
"""

import gzip
import json
import random
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from google.cloud.bigquery import Client, SchemaField

from local import bigquery

Row = dict[str, Any]

DATASET = "aito_ai_website"
_STRINGS = (
    "id anonymous_id context_campaign_medium context_campaign_name context_campaign_source"
    " context_ip context_locale context_page_path context_page_referrer context_page_title"
    " context_user_agent referrer search url"
)
_TIMES = ("timestamp", "received_at", "loaded_at")
PAGES = [
    *(SchemaField(name, "STRING") for name in _STRINGS.split()),
    *(SchemaField(name, "TIMESTAMP") for name in _TIMES),
]
USERS = [
    *(
        SchemaField(name, "STRING")
        for name in ("id", "device", "first_path", "first_referrer", "user_agent")
    ),
    SchemaField("received_at", "TIMESTAMP"),
]

_PATHS = ("/", "/pricing", "/blog/churn", "/blog/fraud", "/docs/api", "/signup")
_REFERRERS = (
    None,
    "https://www.google.com/",
    "https://news.ycombinator.com/",
    "https://www.linkedin.com/feed/",
)
_SOURCES = (None, "google", "newsletter", "linkedin")
_SEARCHES = (None, None, None, "predictive database", "fraud detection", 'what is "churn"?')
_DEVICES = {
    "desktop": "Mozilla/5.0 (X11; Linux x86_64)",
    "mobile": "Mozilla/5.0 (iPhone)",
    "bot": "Googlebot/2.1",
}
_AWKWARD: tuple[Row, ...] = (
    {"context_page_title": "She said \"hello\", then\nleft \\ for 'good'"},
    {"context_page_title": "Ünïcode — 🙂👩‍👩‍👧 漢字 \u200b\u2028"},
    {"context_page_title": "", "search": "", "referrer": ""},
    {"context_page_title": None, "url": None, "context_page_path": None, "referrer": None},
    {"url": "https://example.com/?q=" + "long" * 2500},
    {"context_page_title": "NULL", "search": '{"a": [1, 2]}', "context_campaign_name": "\t\r\n"},
)


@dataclass(frozen=True)
class Sample:
    """Rows as BigQuery's loader takes them: times are ISO text in UTC."""

    users: list[Row]
    pages: list[Row]

    def __add__(self, other: "Sample") -> "Sample":
        return Sample(self.users + other.users, self.pages + other.pages)

    def split(self, at: datetime) -> tuple["Sample", "Sample"]:
        """What visitors did before a moment, and from then on."""
        early_users, late_users = _split(self.users, "received_at", at)
        early_pages, late_pages = _split(self.pages, "timestamp", at)
        return Sample(early_users, early_pages), Sample(late_users, late_pages)


def day_one(now: datetime, *, pages: int = 1000, users: int = 100, seed: int = 1) -> Sample:
    """The sessions of the day that ended 24 hours before `now`, awkward values among them."""
    dice = random.Random(f"day one {seed}")
    end = _whole(now) - timedelta(days=1)
    visitors = [_user(dice, _moment(dice, end)) for _ in range(users)]
    views = [_page(dice, dice.choice(visitors)["id"], _moment(dice, end)) for _ in range(pages)]
    for view, awkward in zip(views, _AWKWARD, strict=False):
        view.update(awkward)
    views[-1] |= _times(end)  # the newest row: the day's last second
    return Sample(_by(visitors, "received_at"), _by(views, "timestamp"))


def day_two(
    now: datetime,
    first: Sample,
    *,
    pages: int = 300,
    users: int = 30,
    keep: timedelta,
    seed: int = 1,
) -> Sample:
    """What reaches BigQuery during the next day: new sessions, and everything that is difficult
    about them.

    Besides `pages` new views: 5 in day one's very last second, 5 up to an hour older than that, 5
    older than `keep`, 5 views of day one's last hour sent again, 5 new ones sent twice, and one key
    with a newer second version. Besides `users` new visitors: 10 of day one's have changed.
    """
    dice = random.Random(f"day two {seed}")
    end, edge = _whole(now) - timedelta(minutes=1), _newest(first.pages, "timestamp")
    visitors = [_user(dice, _moment(dice, end)) for _ in range(users)]
    changed = [_changed(user, _moment(dice, end)) for user in first.users[:10]]
    everybody = [user["id"] for user in first.users + visitors]

    def views(count: int, times: Iterator[datetime]) -> list[Row]:
        return [_page(dice, dice.choice(everybody), next(times)) for _ in range(count)]

    fresh = views(pages, _forever(lambda: _moment(dice, end)))
    ties = views(5, _forever(lambda: edge))
    late = views(5, _forever(lambda: edge - timedelta(seconds=dice.randrange(1, 3500))))
    expired = views(5, _forever(lambda: end - keep - timedelta(hours=dice.randrange(1, 1000))))
    again = [dict(row) for row in _within(first.pages, edge - timedelta(minutes=55))[:5]]
    twice = [dict(row) for row in fresh[:5]]
    newer = {**fresh[5], "context_page_title": "the newer version", **_times(end)}
    arrived = [{**row, "loaded_at": _iso(end)} for row in ties + late + expired + again]
    return Sample(visitors + changed, fresh + arrived + twice + [newer])


def read(folder: Path, now: datetime) -> Sample:
    """Real sessions from `pages.ndjson.gz` and `users.ndjson.gz`, all times shifted by one
    constant.

    The newest of all times then lies a minute before `now`, so that nothing is dated in the future.
    """
    pages, users = _lines(folder / "pages.ndjson.gz"), _lines(folder / "users.ndjson.gz")
    newest = max(_parsed(row[name]) for row in pages + users for name in _TIMES if name in row)
    shift = _whole(now) - timedelta(minutes=1) - newest
    return Sample(_shifted(users, shift), _shifted(pages, shift))


def load(client: Client, sample: Sample, dataset: str = DATASET) -> None:
    """Load into `<dataset>.pages` (daily partitions by `timestamp`) and `<dataset>.users`, with
    Segment's views.

    The tables hold what was sent; `pages_view` and `users_view` the newest version of each id.
    """
    bigquery.load(client, f"{dataset}.pages", PAGES, sample.pages, partition_by="timestamp")
    bigquery.load(client, f"{dataset}.users", USERS, sample.users)
    for table, newest in (("pages", "loaded_at"), ("users", "received_at")):
        numbered = (
            f"SELECT *, ROW_NUMBER() OVER (PARTITION BY id ORDER BY {newest} DESC) AS n FROM"
            f" {dataset}.{table}"
        )
        view = f"SELECT * EXCEPT (n) FROM ({numbered}) WHERE n = 1"
        bigquery.sql(client, f"CREATE OR REPLACE VIEW {dataset}.{table}_view AS {view}")


def newest(rows: Iterable[Row], cursor: str) -> dict[str, Row]:
    """Rows by id, of several versions the one with the newest cursor: what a sync must bring
    across.
    """
    chosen: dict[str, Row] = {}
    for row in rows:
        if row["id"] not in chosen or _parsed(row[cursor]) >= _parsed(chosen[row["id"]][cursor]):
            chosen[row["id"]] = row
    return chosen


def _user(dice: random.Random, at: datetime) -> Row:
    device = dice.choice(list(_DEVICES))
    return {
        "id": _id(dice),
        "device": device,
        "first_path": dice.choice(_PATHS),
        "first_referrer": dice.choice(_REFERRERS),
        "user_agent": _DEVICES[device],
        "received_at": _iso(at),
    }


def _changed(user: Row, at: datetime) -> Row:
    device = "mobile" if user["device"] != "mobile" else "desktop"
    return {**user, "device": device, "user_agent": _DEVICES[device], "received_at": _iso(at)}


def _page(dice: random.Random, user: str, at: datetime) -> Row:
    path, referrer = dice.choice(_PATHS), dice.choice(_REFERRERS)
    source = _source(path, referrer) if dice.random() < 0.75 else dice.choice(_SOURCES)
    return {
        "id": _id(dice),
        "anonymous_id": user,
        "context_campaign_medium": source and ("email" if source == "newsletter" else "cpc"),
        "context_campaign_name": source and f"{source} spring",
        "context_campaign_source": source,
        "context_ip": f"10.0.{dice.randrange(256)}.{dice.randrange(256)}",
        "context_locale": dice.choice(("en-GB", "fi-FI", "de-DE")),
        "context_page_path": path,
        "context_page_referrer": referrer,
        "context_page_title": path.strip("/").replace("/", " / ") or "Home",
        "context_user_agent": dice.choice(list(_DEVICES.values())),
        "referrer": referrer,
        "search": dice.choice(_SEARCHES),
        "url": f"https://example.com{path}",
        **_times(at),
    }


def _source(path: str, referrer: str | None) -> str | None:
    """The relation to predict: the referrer tells most, and what is left the page."""
    for source in ("google", "linkedin"):
        if source in (referrer or ""):
            return source
    return "newsletter" if path in ("/pricing", "/signup") else None


def _times(at: datetime) -> Row:
    """The visitor's clock, when it was received, and when it reached BigQuery."""
    later = {"timestamp": 0, "received_at": 6, "loaded_at": 40}
    return {name: _iso(at + timedelta(seconds=seconds)) for name, seconds in later.items()}


def _id(dice: random.Random) -> str:
    return str(uuid.UUID(int=dice.getrandbits(128), version=4))


def _moment(dice: random.Random, end: datetime) -> datetime:
    """Some second of the day before `end`."""
    return end - timedelta(seconds=dice.randrange(1, 86_000))


def _forever(make: Any) -> Iterator[datetime]:
    while True:
        yield make()


def _whole(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _parsed(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _newest(rows: Sequence[Row], column: str) -> datetime:
    return max(_parsed(row[column]) for row in rows)


def _within(pages: Sequence[Row], since: datetime) -> list[Row]:
    return [row for row in pages if _parsed(row["timestamp"]) >= since]


def _by(rows: list[Row], column: str) -> list[Row]:
    return sorted(rows, key=lambda row: (row[column], row["id"]))


def _split(rows: list[Row], column: str, at: datetime) -> tuple[list[Row], list[Row]]:
    return [row for row in rows if _parsed(row[column]) < at], [
        row for row in rows if _parsed(row[column]) >= at
    ]


def _lines(path: Path) -> list[Row]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _shifted(rows: list[Row], shift: timedelta) -> list[Row]:
    return [
        {**row, **{name: _iso(_parsed(row[name]) + shift) for name in _TIMES if name in row}}
        for row in rows
    ]
