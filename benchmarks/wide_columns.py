"""900 columns with `"*"` against 15 with as many bytes: the first night and a quiet one.

    python -m benchmarks.wide_columns [--rows 2000] [--rounds 5]

There are two tables of 15 columns with as many bytes as the one of 900. All types are in each.

    narrow     as many rows, one text of which is longer
    long       about sixty times as many rows, with the same values

Each round forgets what was sent, and runs a first night and QUIET quiet ones of all tables in turn.
Prints the medians of the rounds, and their ratios:

    clock      seconds by the clock
    waiting    of these, seconds in which a request to the BigQuery emulator was under way
    function   seconds of CPU of the function, which runs in this process
    bigquery   seconds of CPU of the BigQuery emulator
    aito       seconds of CPU of the stand-in for Aito
    statements characters of all statements

One round before these is not counted. In it the emulator parses and translates the text of each
statement, which takes seconds of CPU and which BigQuery does not do. It keeps the translations on
disk. So a second run of the benchmark finds what the first one found. What DuckDB takes to bind 900
columns is counted.

The targets are for the clock and for the CPU of the function. The clock needs a machine that does
nothing else. Modules are kept from the garbage collector, as main.py does.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import requests
from google.cloud.bigquery import Client, SchemaField

from local import bigquery
from local.aito.server import KEY
from local.stack import ROOT, Stack
from sync.app import Services, run
from sync.bigquery import session
from sync.bigquery.client import RETRY
from sync.model.request import Request

# All scalars that the emulator loads: not BYTES, BIGNUMERIC, GEOGRAPHY and INTERVAL.
KINDS = (
    *("STRING", "INT64", "FLOAT64", "BOOL", "DATE"),
    *("TIMESTAMP", "NUMERIC", "DATETIME", "TIME", "JSON"),
)
VALUES: dict[str, Any] = {
    "STRING": "some text",
    "INT64": 12345,
    "FLOAT64": 1.5,
    "BOOL": True,
    "DATE": "2026-03-01",
    "TIMESTAMP": "2026-03-01T10:00:00Z",
    "NUMERIC": "12.5",
    "DATETIME": "2026-03-01T10:00:00",
    "TIME": "10:00:00",
    "JSON": {"a": 1},
}
MANY, FEW = 900, 15
TARGET = 2.0
QUIET = 3  # nights of a round
PATIENCE = 600.0  # seconds; the emulator answers late on a busy machine
DATASET, LEDGER = "wide_bench", "wide_ledger"


@dataclass(frozen=True)
class Night:
    """What a run took: seconds, and the characters of its statements."""

    clock: float
    waiting: float
    function: float
    bigquery: float
    aito: float
    statements: float


@dataclass(frozen=True)
class AitoProcess:
    """A stand-in for Aito in a process of its own."""

    url: str
    pid: int

    def forget(self, table: str) -> None:
        """Remove a table."""
        requests.delete(
            f"{self.url}/api/v1/schema/{table}", headers={"x-api-key": KEY}, timeout=PATIENCE
        )


class Watch:
    """Listens to the BigQuery client: when requests are under way, and how long statements are."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = 0
        self._since = 0.0
        self.seconds = 0.0  # in which at least one request was under way
        self.statements = 0

    def begin(self) -> None:
        """A request begins."""
        with self._lock:
            if not self._open:
                self._since = time.perf_counter()
            self._open += 1

    def end(self) -> None:
        """A request has ended."""
        with self._lock:
            self._open -= 1
            if not self._open:
                self.seconds += time.perf_counter() - self._since

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen to every client of this process."""
        query, call = Client.query, Client._call_api

        def counted(client: Client, text: str, *rest: Any, **named: Any) -> Any:
            self.statements += len(text)
            return query(client, text, *rest, **named)

        def timed(client: Client, *rest: Any, **named: Any) -> Any:
            self.begin()
            try:
                return call(client, *rest, **named)
            finally:
                self.end()

        with (
            mock.patch.object(Client, "query", counted),
            mock.patch.object(Client, "_call_api", timed),
        ):
            yield


def columns(count: int) -> list[SchemaField]:
    """A key, a cursor, and columns of all types."""
    made = [SchemaField("id", "STRING"), SchemaField("ts", "TIMESTAMP")]
    kinds = [KINDS[place % len(KINDS)] for place in range(count - 2)]
    return made + [SchemaField(f"c{place:03}", kind) for place, kind in enumerate(kinds)]


def rows(made: list[SchemaField], count: int, filler: int) -> Iterator[dict[str, Any]]:
    """Rows of these columns. filler: characters of the first text."""
    now = datetime.now(UTC)
    for number in range(count):
        row = {each.name: VALUES[each.field_type] for each in made}
        row |= {"id": f"k{number:06}", "ts": (now - timedelta(seconds=60 + number)).isoformat()}
        yield row | {"c000": "x" * filler if filler else VALUES["STRING"]}


@dataclass
class Side:
    """A table that is synced, with the nights that count."""

    name: str
    config: Path
    first: list[Night] = field(default_factory=list)
    quiet: list[Night] = field(default_factory=list)


class Bench:
    """Runs nights and measures them."""

    def __init__(self, stack: Stack, aito: AitoProcess) -> None:
        self._stack, self._aito = stack, aito
        self._client = stack.bigquery.client()

    def side(self, name: str, made: list[SchemaField], data: list[dict[str, Any]]) -> Side:
        """Load a table, and write the configuration that syncs it."""
        bigquery.load(self._client, f"{DATASET}.{name}", made, data)
        table = {
            "name": name,
            "source": f"{DATASET}.{name}",
            "key": "id",
            "cursor": {"source": "ts", "column": "unix"},
            "keep": "90d",
            "columns": {"*": None, "c000": {"type": "Text"}, "c001": {"sql": "c001 + 1"}},
        }
        target = {"url": self._aito.url, "requests_per_second": 100_000}
        config = self._stack.configure(
            name=f"{name}.yaml", tables=[table], ledger=LEDGER, aito=target
        )
        return Side(name, config)

    def play(self, side: Side) -> tuple[Night, list[Night]]:
        """A first night and quiet ones, after all before was forgotten."""
        self._client.delete_dataset(LEDGER, delete_contents=True, not_found_ok=True)
        self._aito.forget(side.name)
        os.environ.update({**self._stack.environ(side.config), "AITO_API_KEY": KEY})
        return self._night(), [self._night() for _ in range(QUIET)]

    def _night(self) -> Night:
        """One run of what the environment names."""
        watch = Watch()
        begun, before = time.perf_counter(), self._cpu()
        with watch.listening():
            report = run(Services.from_environment(), Request(), lambda _: None)
        clock, after = time.perf_counter() - begun, self._cpu()
        assert report.status == "ok", report.tables[0].error
        function, emulator, aito = (late - early for early, late in zip(before, after, strict=True))
        return Night(clock, watch.seconds, function, emulator, aito, watch.statements)

    def _cpu(self) -> tuple[float, float, float]:
        """Seconds of CPU of the function, the emulator and the stand-in for Aito so far."""
        others = (self._stack.bigquery.pid, self._aito.pid)
        emulator, aito = map(cpu_seconds, others)
        return time.process_time(), emulator, aito


def cpu_seconds(pid: int) -> float:
    """Seconds of CPU of another process so far."""
    fields_after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields_after_name[11]) + int(fields_after_name[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def aito_elsewhere() -> Iterator[AitoProcess]:
    """A stand-in for Aito in a process of its own."""
    command = [sys.executable, "-m", "local.aito", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        url = next(word for word in line.split() if word.startswith("http"))
        yield AitoProcess(url, process.pid)
        process.kill()


def medians(nights: list[Night]) -> Night:
    """The median of each figure."""
    return Night(*map(statistics.median, zip(*map(astuple, nights), strict=True)))


def show(night: str, name: str, few: Night, many: Night) -> bool:
    """Print the figures of a night. -> whether they are within the target."""
    for figure, before, after in zip(fields(Night), astuple(few), astuple(many), strict=True):
        ratio = f", {after / before:.2f}" if before else ""
        print(f"{night} night, {figure.name}: {name} {before:,.3f}, wide {after:,.3f}{ratio}")
    return many.clock <= TARGET * few.clock and many.function <= TARGET * few.function


def tables(count: int) -> Iterator[tuple[str, list[SchemaField], list[dict[str, Any]]]]:
    """Name, columns and rows of each table. count: rows of the wide one."""
    many, few = columns(MANY), columns(FEW)
    bytes_of_wide, bytes_of_few = (len(str(next(rows(made, 1, 0)))) for made in (many, few))
    yield "narrow", few, list(rows(few, count, bytes_of_wide - bytes_of_few))
    yield "long", few, list(rows(few, count * bytes_of_wide // bytes_of_few, 0))
    yield "wide", many, list(rows(many, count, 0))


def main() -> int:
    """Measure and print. Returns 1 beyond the target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    patient: Any = session
    patient.RETRY, patient.CALL_SECONDS = RETRY.with_timeout(PATIENCE), (3.0, PATIENCE)
    with Stack() as stack, aito_elsewhere() as aito:
        bench = Bench(stack, aito)
        sides = [bench.side(*table) for table in tables(asked.rows)]
        gc.collect()
        gc.freeze()
        measure(bench, sides, asked.rounds)
    *others, wide = sides
    within = []
    for side in others:
        within.append(show("first", side.name, medians(side.first), medians(wide.first)))
        within.append(show("quiet", side.name, medians(side.quiet), medians(wide.quiet)))
    return 0 if all(within) else 1


def measure(bench: Bench, sides: list[Side], rounds: int) -> None:
    """Play the sides in turn. The first round is not counted."""
    for number in range(rounds + 1):
        for side in sides if number % 2 else reversed(sides):
            first, quiet = bench.play(side)
            if number:
                side.first.append(first)
                side.quiet.extend(quiet)


if __name__ == "__main__":
    sys.exit(main())
