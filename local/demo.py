"""`make demo`: two linked tables flow from BigQuery into Aito, twice, and both ends are shown to be
equal.

All of it on this machine: an emulator of BigQuery, stand-ins for Aito and Secret Manager, and the
function itself under functions-framework, which is triggered as a scheduler would. Day one is a
first load; day two brings new sessions, ties with the last second of day one, late rows, doubled
keys, changed visitors, and rows that have grown too old.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

from local import sample
from local.sample import DATASET, Row, Sample
from local.stack import Function, Stack

KEEP = timedelta(days=90)
AGEING = timedelta(seconds=12)  # some rows grow too old this long after the demo began
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


def main() -> int:
    """Run the demo; 0 when both ends are equal."""
    parser = argparse.ArgumentParser("python -m local.demo", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data",
        type=Path,
        help="folder with pages.ndjson.gz and users.ndjson.gz instead of the sample",
    )
    parser.add_argument("--keep", action="store_true", help="keep serving at the end")
    options = parser.parse_args()
    for name in ("pages.ndjson.gz", "users.ndjson.gz"):
        if options.data and not (options.data / name).is_file():
            parser.error(
                f"--data {options.data}: there is no {name}; its columns are those of"
                " local/sample.py"
            )
    say(
        "Starting BigQuery, Aito and Secret Manager on this machine (stand-ins; the predictions are"
        " not Aito's) ..."
    )
    with Stack() as stack:
        config = stack.configure(tables=TABLES, aito={"requests_per_second": 1000})
        with Function(stack.environ(config)) as function:
            equal = demonstrate(stack, function, options.data)
            say(
                "\nThe status page:"
                f" {function.url}/{'' if options.keep else ' (KEEP=1 keeps it up)'}"
            )
            if options.keep:
                wait(function)
    return 0 if equal else 1


def demonstrate(stack: Stack, function: Function, data: Path | None) -> bool:
    """Two days, two runs, and the comparison after each."""
    began = datetime.now(UTC)
    first, second, old = days(data, began)
    client = stack.bigquery.client()
    answers, equal = [], True
    for name, rows in (("day one", first + old), ("day two", second)):
        sample.load(client, rows)
        say(
            f"\n{name}: {len(rows.pages):,} page views and {len(rows.users):,} visitors reach"
            " BigQuery"
        )
        if name == "day two":
            grow_old(began)
        with following(function):
            status, answer = function.post({"action": "sync"})
        answers += [(name, table) for table in answer.get("tables", [])]
        loaded = first + old if name == "day one" else first + old + second
        equal &= status == 200 and compare(stack, loaded, answer)
    summarise(answers)
    say("\nBoth ends are equal." if equal else "\nBoth ends DIFFER.")
    return equal


def days(data: Path | None, now: datetime) -> tuple[Sample, Sample, Sample]:
    """What reaches BigQuery before the first run, before the second,
    and what is too old by then.
    """
    old = sample.ageing(now, KEEP, AGEING)
    if data:
        everything = sample.read(data, now)
        return (*everything.split(now - timedelta(days=1)), old)
    first = sample.day_one(now)
    return first, sample.day_two(now, first, keep=KEEP), old


def grow_old(began: datetime) -> None:
    """Wait until the oldest rows have passed `keep`."""
    left = (began + AGEING - datetime.now(UTC)).total_seconds()
    if left > -1:
        say(f"... {left + 2:.0f} s until some rows are older than keep")
        time.sleep(left + 2)


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
    say(f"  {table}: {len(rows):,} rows in Aito, {len(expected):,} due from BigQuery: {verdict}")
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


@contextmanager
def following(function: Function) -> Iterator[None]:
    """Show the function's log as it grows."""
    done, shown = Event(), len(function.logs)

    def follow() -> None:
        nonlocal shown
        while True:
            last = done.wait(0.1)
            for event in function.logs[shown:]:
                say(f"  {event['event']:<19} {event['message']}")
                shown += 1
            if last:
                return

    thread = Thread(target=follow)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def summarise(answers: list[tuple[str, dict[str, Any]]]) -> None:
    """A table of what moved."""
    counts = ("fetched", "uploaded", "skipped", "rejected", "repaired", "purged")
    say(
        f"\n{'':<9}{'table':<19}{'status':<8}"
        + "".join(f"{name:>9}" for name in counts)
        + f"{'seconds':>9}  verified"
    )
    for day, table in answers:
        numbers = "".join(f"{table[name]:>9,}" for name in counts)
        say(
            f"{day:<9}{table['table']:<19}{table['status']:<8}{numbers}{table['seconds']:>9.1f} "
            f" {table['verified']}"
        )


def wait(function: Function) -> None:
    """Serve until Ctrl-C."""
    say(f"Trigger a run with: curl -X POST {function.url}/ -d '{{}}'\nCtrl-C ends it.")
    try:
        Event().wait()
    except KeyboardInterrupt:
        say("")


def say(text: str) -> None:
    """Print at once: somebody is watching."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
