"""The month's arithmetic of README.md, from the settings of this folder.

    python3 terraform/cost.py           prints the table
    python3 terraform/cost.py --write   puts it into README.md

Prices are list prices in US dollars for europe-west1; free shares are per billing account.
"""

# ruff: noqa: RUF001 - the sign of multiplication is meant
from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
BEGIN, END = "<!-- cost: python3 terraform/cost.py --write -->\n", "<!-- end of cost -->\n"

GB = 10**9
TIB = 2**40
QUERY_MINIMUM = 10**7  # bytes billed for each table that a query reads, at least
# Tables of the ledger that the queries of a run or a watch read: checkpoints, rejects, runs, and
# the lease twice; evaluations, rejects, runs.
RUN_READS, WATCH_READS = 5, 3
RENEWAL_SECONDS = 30  # the lease is read once more in each
NIGHTS = 30
WEEKS = 30 / 7

CPU_SECOND = 0.000024
GIB_SECOND = 0.0000025
JOB = 0.10
BIGQUERY_TIB = 6.25
SECRET_VERSION = 0.06
IMAGE_GB = 0.10
ALARM_CONDITION = 0.10


@dataclass(frozen=True)
class Load:
    """What is synced: the example that the table is reckoned for."""

    tables: int = 2
    rows: int = 200_000  # new rows a table and night
    row_bytes: int = 500
    kept_days: int = 90
    sync_seconds: int = 120
    watch_seconds: int = 3  # one ledger query
    batch_rows: int = 1000
    slices: int = 4


@dataclass(frozen=True)
class Line:
    """One line of the table; `usd` is None where another line sums it up."""

    what: str
    arithmetic: str
    usd: float | None


def number(name: str) -> int:
    """A number of clocks.tf."""
    found = re.search(rf"\b{name} += (\d+)", (FOLDER / "clocks.tf").read_text())
    assert found, f"clocks.tf has no {name}"
    return int(found[1])


def conditions() -> int:
    """How many alarms alarms.tf makes."""
    return len(re.findall(r"^ {6}title +=", (FOLDER / "alarms.tf").read_text(), re.M))


def lines(load: Load) -> list[Line]:
    """The whole month, line by line."""
    watches = NIGHTS * 24 * 60 // number("watch_minutes")
    return [
        _function(load, watches),
        Line("Scheduler", f"3 jobs × ${JOB:.2f}; 3 jobs are free", 3 * JOB),
        *_bigquery(load, watches),
        Line("Secret", f"1 version × ${SECRET_VERSION:.2f}; 6 are free", SECRET_VERSION),
        Line("Images", f"5 images, about 0.5 GB × ${IMAGE_GB:.2f}; 0.5 GB are free", 0.05),
        Line(
            "Alarms",
            f"{conditions()} conditions × ${ALARM_CONDITION:.2f}, where alerting is charged",
            conditions() * ALARM_CONDITION,
        ),
        Line(
            "Ledger storage, Pub/Sub, Storage, Logging, Cloud Build",
            "far below 10 GiB, 10 GiB, 5 GB, 50 GiB and 2,500 build minutes",
            0.0,
        ),
    ]


def _function(load: Load, watches: int) -> Line:
    runs = round((NIGHTS + WEEKS) * load.sync_seconds)
    looks = watches * load.watch_seconds
    seconds = runs + looks
    text = (
        f"{NIGHTS} syncs and {WEEKS:.1f} reconciles × {load.sync_seconds} s"
        f" + {watches:,} watches × {load.watch_seconds} s = {seconds:,} s."
        f" × 1 vCPU × ${CPU_SECOND:f} + × 1 GiB × ${GIB_SECOND:.7f};"
        " 180,000 vCPU-s and 360,000 GiB-s are free"
    )
    return Line("Function", text, seconds * (CPU_SECOND + GIB_SECOND))


def _bigquery(load: Load, watches: int) -> list[Line]:
    day = load.rows * load.row_bytes
    key_and_cursor = 24 * load.rows
    plan = max(key_and_cursor, QUERY_MINIMUM) * load.tables * NIGHTS
    slices = load.slices * 2 * day * load.tables * NIGHTS
    compared = key_and_cursor * load.kept_days * load.tables * WEEKS
    renewals = load.sync_seconds // RENEWAL_SECONDS
    ledger_run = RUN_READS + renewals
    reads = round(ledger_run * (NIGHTS + WEEKS)) + WATCH_READS * watches
    ledger = reads * QUERY_MINIMUM
    total = plan + slices + compared + ledger
    return [
        Line(
            "BigQuery, plan",
            f"key and cursor of a day: {load.rows:,} × 24 bytes, billed as 10 MB at least."
            f" × {load.tables} tables × {NIGHTS} = {plan / GB:.1f} GB",
            None,
        ),
        Line(
            "BigQuery, slices",
            f"{load.slices} slices, each reads the days it touches, at most 2 × {day / 1e6:.0f} MB."
            f" × {load.tables} tables × {NIGHTS} = {slices / GB:.0f} GB",
            None,
        ),
        Line(
            "BigQuery, reconcile",
            f"key and cursor of {load.kept_days} days × {load.tables} tables × {WEEKS:.1f} weeks"
            f" = {compared / GB:.1f} GB, and the slices that differ",
            None,
        ),
        Line(
            "BigQuery, ledger",
            f"a run reads {ledger_run} tables of the ledger, a watch {WATCH_READS},"
            f" 10 MB each at least = {ledger / GB:.0f} GB",
            None,
        ),
        Line(
            "BigQuery, together",
            f"{total / GB:.0f} GB = {total / TIB:.3f} TiB × ${BIGQUERY_TIB}; the first TiB is free",
            total / TIB * BIGQUERY_TIB,
        ),
    ]


def looks(load: Load) -> int:
    """Calls of a table's sync that send no row."""
    return 5 + 2 * load.slices  # schema, newest row twice, count, optimize; keys and count a slice


def nightly_calls(load: Load) -> int:
    """Calls to Aito of one sync."""
    return (load.rows // load.batch_rows + looks(load)) * load.tables


def weekly_calls(load: Load) -> int:
    """Calls to Aito of one reconcile that finds both ends equal."""
    return (3 + load.slices) * load.tables


def calls(load: Load) -> str:
    """The month's calls to Aito."""
    batches = load.rows // load.batch_rows
    nightly, weekly = nightly_calls(load), weekly_calls(load)
    month = round(nightly * NIGHTS + weekly * WEEKS)
    return (
        f"Calls to Aito: {batches} batches and {looks(load)} looks × {load.tables} tables"
        f" = {nightly} a night; a reconcile {weekly}; a watch none, or one for each open"
        f" evaluation. Together {month:,} a month.\n"
    )


def table(load: Load) -> str:
    """The text between the marks of README.md."""
    month = lines(load)
    rows = [f"| {line.what} | {line.arithmetic} | {_range(line.usd)} |" for line in month]
    total = sum(line.usd or 0.0 for line in month)
    sums = " + ".join(f"{line.usd:.2f}" for line in month if line.usd)
    head = ["| what | arithmetic | a month |", "| --- | --- | --- |"]
    last = f"| **Together** | {sums} | **$0.00 to {total:.2f}** |"
    return "\n".join([*head, *rows, last, "", calls(load)])


def _range(usd: float | None) -> str:
    if usd is None:
        return ""
    return f"$0.00 to {usd:.2f}" if usd else "$0.00"


def main(arguments: list[str]) -> int:
    """Print the table, or write it into README.md."""
    text = table(Load())
    if arguments != ["--write"]:
        print(text, end="")
        return 0
    readme = FOLDER / "README.md"
    before, rest = readme.read_text().split(BEGIN)
    readme.write_text(before + BEGIN + text + END + rest.split(END)[1])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
