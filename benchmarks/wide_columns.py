"""900 columns with `"*"` against 15 with as many bytes: the first night and a quiet one.

    python -m benchmarks.wide_columns [--rows 2000]

Prints these figures of each night, and their ratios; of quiet nights the medians of QUIET:

    clock      seconds by the clock
    emulator   of these, seconds in which the BigQuery emulator was working on a request
    own        the clock's seconds less the emulator's; the stand-in for Aito is among them
    CPU        seconds of CPU of this process, which the stand-in for Aito does not share
    statements characters of all statements

The emulator parses and translates the text of a statement for seconds, which BigQuery does not. So
the target of at most twice is for the CPU. Modules are kept from the garbage collector, as main.py
does.
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
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

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
QUIET = 9  # nights
PATIENCE = 600.0  # seconds; the emulator answers late on a busy machine


@dataclass(frozen=True)
class Night:
    """What a run took: seconds, and the characters of its statements."""

    clock: float
    emulator: float
    own: float
    cpu: float
    statements: float


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
        row = {field.name: VALUES[field.field_type] for field in made}
        row |= {"id": f"k{number:06}", "ts": (now - timedelta(seconds=60 + number)).isoformat()}
        yield row | {"c000": "x" * filler if filler else VALUES["STRING"]}


def nights(
    stack: Stack, aito: str, name: str, made: list[SchemaField], data: list[Any]
) -> tuple[Night, Night]:
    """The first night, and the median of quiet ones."""
    bigquery.load(stack.bigquery.client(), f"wide_bench.{name}", made, data)
    table = {
        "name": name,
        "source": f"wide_bench.{name}",
        "key": "id",
        "cursor": {"source": "ts", "column": "unix"},
        "keep": "90d",
        "columns": {"*": None, "c000": {"type": "Text"}, "c001": {"sql": "c001 + 1"}},
    }
    target = {"url": aito, "requests_per_second": 100_000}
    path = stack.configure(name=f"{name}.yaml", tables=[table], ledger="wide_ledger", aito=target)
    os.environ.update({**stack.environ(path), "AITO_API_KEY": KEY})
    first = night()
    quiet = [astuple(night()) for _ in range(QUIET)]
    return first, Night(*map(statistics.median, zip(*quiet, strict=True)))


def night() -> Night:
    """One run of what the environment names."""
    watch = Watch()
    begun, own = time.perf_counter(), time.process_time()
    with watch.listening():
        report = run(Services.from_environment(), Request(), lambda _: None)
    clock, cpu = time.perf_counter() - begun, time.process_time() - own
    assert report.status == "ok", report.tables[0].error
    return Night(clock, watch.seconds, clock - watch.seconds, cpu, watch.statements)


@contextmanager
def aito_elsewhere() -> Iterator[str]:
    """A stand-in for Aito in a process of its own. -> its URL."""
    command = [sys.executable, "-m", "local.aito", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        yield next(word for word in line.split() if word.startswith("http"))
        process.kill()


def show(name: str, few: Night, many: Night) -> bool:
    """Print the figures of a night. -> whether the CPU is within the target."""
    for field, before, after in zip(fields(Night), astuple(few), astuple(many), strict=True):
        print(f"{name} night, {field.name}: {before:,.3f} and {after:,.3f}, {after / before:.2f}")
    return many.cpu <= TARGET * few.cpu


def main() -> int:
    """Measure and print. Returns 1 beyond the target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000)
    count = parser.parse_args().rows
    many, few = columns(MANY), columns(FEW)
    wide = list(rows(many, count, 0))
    bytes_of_wide = len(str(wide[0]))
    narrow = list(rows(few, count, bytes_of_wide - len(str(next(rows(few, 1, 0))))))
    patient: Any = session
    patient.RETRY, patient.CALL_SECONDS = RETRY.with_timeout(PATIENCE), (3.0, PATIENCE)
    gc.collect()
    gc.freeze()
    with Stack() as stack, aito_elsewhere() as aito:
        nights(stack, aito, "warm", few, list(rows(few, 10, 0)))
        of_few = nights(stack, aito, "narrow", few, narrow)
        of_many = nights(stack, aito, "wide", many, wide)
    within = [
        show(name, one, other)
        for name, one, other in zip(("first", "quiet"), of_few, of_many, strict=True)
    ]
    return 0 if all(within) else 1


if __name__ == "__main__":
    sys.exit(main())
