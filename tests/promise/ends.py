"""Both ends of one table: rows put into BigQuery, runs of the core in this process, and what Aito
must hold after them.

What is right is computed here a second time, in Python and from the rows that were put in, not by
the code under test.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import urllib3
from google.api_core.exceptions import NotFound
from google.cloud.bigquery import Client, SchemaField

from local import bigquery
from local.stack import Stack
from sync import config
from sync.aito.transport import Pace
from sync.base.clock import Clock
from sync.gcp.secret import Secret
from sync.model.report import Request, RunReport, TableReport
from sync.pipeline.run import Services, run

Row = dict[str, Any]

DAY = 86_400
HOUR = 3600
SCHEMA = [
    SchemaField("id", "STRING"),
    SchemaField("at", "TIMESTAMP"),
    SchemaField("value", "STRING"),
]
NUMBERED = [SchemaField("id", "INT64"), *SCHEMA[1:]]
BAD = "\x01bad"  # a row whose value begins so is refused by the stand-in; see `refuse_bad`


def row(key: str | int, at: float, value: str = "v") -> Row:
    """A source row. `at`: epoch seconds, fractions allowed."""
    return {"id": key, "at": datetime.fromtimestamp(at, UTC).isoformat(), "value": value}


def second(source: Row) -> int:
    """The cursor of a source row in whole epoch seconds."""
    return int(datetime.fromisoformat(source["at"]).timestamp() // 1)


def refuse_bad(aito: Any) -> None:
    """Let the stand-in refuse rows marked BAD, as a real one refuses what no schema tells."""
    aito.refuse(
        lambda document: (
            "the value is bad" if str(document.get("value", "")).startswith(BAD) else None
        )
    )


@dataclass
class Ends:
    """One source table, one Aito table of the same name, one configuration.

    `now`: the time of the next run.
    """

    stack: Stack
    name: str
    mode: str = "append"
    keep: int | None = 90 * DAY
    now: float = 0.0
    numbered: bool = False
    table: Row | None = None  # more of the table's configuration
    settings: Row | None = None  # more of the configuration
    shared_ledger: str | None = None

    def __post_init__(self) -> None:
        self.now = self.now or datetime.now(UTC).timestamp() // 1
        self.rows: list[Row] = []
        self.events: list[Row] = []
        self.client: Client = self.stack.bigquery.client()
        self.path = self.write_config()
        bigquery.create(self.client, self.source, self.schema)

    # -- the source

    @property
    def source(self) -> str:
        return f"{self.name}_source.rows"

    @property
    def ledger(self) -> str:
        return self.shared_ledger or f"{self.name}_ledger"

    @property
    def schema(self) -> list[SchemaField]:
        return NUMBERED if self.numbered else SCHEMA

    def put(self, rows: Iterable[Row]) -> None:
        """Add rows to the source."""
        rows = list(rows)
        self.rows += rows
        bigquery.load(self.client, self.source, self.schema, rows)

    def take(self, keys: Iterable[str | int]) -> None:
        """Delete keys from the source."""
        gone = set(keys)
        self.rows = [r for r in self.rows if r["id"] not in gone]
        self.sql(f"DELETE FROM `{self.source}` WHERE id IN ({', '.join(map(json.dumps, gone))})")

    def sql(self, text: str) -> list[Row]:
        """Run one statement on the emulator."""
        return bigquery.sql(self.client, text)

    # -- runs

    def described(self) -> Row:
        """The table in the configuration."""
        table: Row = {
            "name": self.name,
            "source": self.source,
            "mode": self.mode,
            "key": "id",
            **(self.table or {}),
        }
        if self.mode != "replace":
            table |= {"cursor": {"source": "at", "column": "unix"}}
            table |= {} if self.keep is None else {"keep": f"{int(self.keep)}s"}
        return table

    def write_config(self) -> Any:
        """Write the configuration. -> its path."""
        more = dict(self.settings or {})
        aito = {"requests_per_second": 100_000, "timeout_seconds": 5, **more.pop("aito", {})}
        return self.stack.configure(
            name=f"{self.name}.yaml",
            ledger=self.ledger,
            aito=aito,
            tables=[self.described()],
            **more,
        )

    def services(self, clock: Clock | None = None) -> Services:
        """What `Services.from_environment` makes, without the environment; sleeping is skipped."""
        clock = clock or Clock(now=lambda: self.now, sleep=lambda _: None)
        settings = config.load(self.path)
        key = Secret(lambda: self.stack.aito.api_key)
        return Services(
            settings, self.client, key, Pace(settings.aito.requests_per_second, clock), clock
        )

    def run(
        self, clock: Clock | None = None, stopped: Callable[[], bool] = lambda: False, **asked: Any
    ) -> RunReport:
        """One run in this process."""
        return run(self.services(clock), Request(**asked), self.events.append, stopped)

    def ok(self, **asked: Any) -> TableReport:
        """One run that must end ok and leave both ends equal."""
        report = self.run(**asked)
        (table,) = report.tables
        assert (report.status, report.http_status) == ("ok", 200), table.error
        if not asked.get("dry_run"):
            assert table.verified
            self.assert_equal()
        return table

    def until_ok(self, calls: int = 3, **asked: Any) -> list[RunReport]:
        """At most `calls` runs, the last of which is ok; then both ends are equal."""
        reports = []
        for _ in range(calls):
            reports.append(self.run(**asked))
            if reports[-1].status == "ok":
                self.assert_equal()
                return reports
        raise AssertionError(
            f"not ok after {calls} runs: {[(r.http_status, r.tables[0].error) for r in reports]}"
        )

    def begin_again(self, held: Iterable[Row]) -> None:
        """Put other rows into Aito, and forget every run."""
        if self.name in self.stack.aito.schema():
            self.stack.aito.delete_rows(self.name, {})
            self.stack.aito.insert(self.name, list(held))
        for kind in ("runs", "rejects", "leases"):
            self.sql(f"DELETE FROM `{self.ledger}.{kind}` WHERE TRUE")

    def expire_leases(self) -> None:
        """Let the time pass that a dead run's lease lasts."""
        with suppress(NotFound):  # it died before there was a lease
            self.sql(
                f"UPDATE `{self.ledger}.leases` SET expires_at = TIMESTAMP '2000-01-01 00:00:00+00'"
                " WHERE expires_at > CURRENT_TIMESTAMP()"
            )

    # -- what is right

    @property
    def start(self) -> int:
        return -(2**62) if self.keep is None else int(self.now) - self.keep

    def winners(self) -> dict[str, list[Row]]:
        """By key the newest rows of the window, as Aito shows them: several when they tie."""
        best: dict[str, tuple[str, list[Row]]] = {}
        for each in self.rows:
            if self.mode != "replace" and not self.start <= second(each) < int(self.now):
                continue
            moment, document = each["at"], self.document(each)
            moment = datetime.fromisoformat(moment).isoformat(timespec="microseconds")
            known = best.get(str(each["id"]))
            if known is None or moment > known[0]:
                best[str(each["id"])] = (moment, [document])
            elif moment == known[0]:
                known[1].append(document)
        return {key: documents for key, (_, documents) in best.items()}

    def document(self, source: Row) -> Row:
        """A source row as Aito shows it."""
        moment = datetime.fromisoformat(source["at"]).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        cursor = {} if self.mode == "replace" else {"unix": second(source)}
        return {"id": source["id"], "at": moment, "value": source["value"], **cursor}

    def rejects(self) -> list[Row]:
        """The ledger's rejects."""
        return self.sql(f"SELECT * FROM `{self.ledger}.rejects` WHERE `table` = '{self.name}'")

    def problems(self) -> list[str]:
        """Every difference between what Aito holds in the window and what it should hold."""
        held = [
            r
            for r in self.held()
            if self.mode == "replace" or self.start <= r["unix"] < int(self.now)
        ]
        counted = Counter(str(r["id"]) for r in held)
        wanted = self.winners()
        missing = wanted.keys() - counted.keys()
        excused = {r["key"] for r in self.rejects()} if missing else set()
        found = [f"missing {key}" for key in sorted(missing - excused)]
        found += [f"{n} times {key}" for key, n in sorted(counted.items()) if n > 1]
        found += [f"extra {key}" for key in sorted(counted.keys() - wanted.keys())]
        found += [f"not the newest {r}" for r in held if r not in wanted.get(str(r["id"]), [r])]
        return found

    def held(self) -> list[Row]:
        """Every row in Aito; none when there is no table."""
        return self.stack.aito.rows(self.name) if self.name in self.stack.aito.schema() else []

    def assert_equal(self) -> None:
        """Both ends hold the same rows."""
        problems = self.problems()
        assert not problems, f"{len(problems)} differences: {problems[:10]}"


class Killed(BaseException):
    """The process is dead: nothing of it reaches the world any more."""


class Wire:
    """Every request of this process that may change something, on its way out: `sent` tells what
    went, in order.

    die_at: the number of the request after which the process is dead: that one still reaches its
    server and has its effect, its answer is never read, and nothing more is sent.
    """

    def __init__(self, die_at: int | None = None) -> None:
        self.sent: list[str] = []
        self._die_at = die_at
        self._lock = threading.Lock()

    def __enter__(self) -> Wire:
        # BigQuery's client by way of `requests` and ours to Aito: here they come together.
        self._urlopen = urllib3.HTTPConnectionPool.urlopen
        wire = self

        def urlopen(
            pool: urllib3.HTTPConnectionPool, method: str, url: str, *rest: Any, **more: Any
        ) -> Any:
            number = wire._number(method, f"{pool.host}:{pool.port}{url.partition('?')[0]}")
            if wire._die_at is None or number < wire._die_at:
                return wire._urlopen(pool, method, url, *rest, **more)
            if number == wire._die_at and method != "GET":
                wire._urlopen(pool, method, url, *rest, **more)
            raise Killed

        urllib3.HTTPConnectionPool.urlopen = urlopen  # type: ignore[method-assign, assignment]
        return self

    def __exit__(self, *_: object) -> None:
        urllib3.HTTPConnectionPool.urlopen = self._urlopen  # type: ignore[method-assign]

    def _number(self, method: str, where: str) -> int:
        with self._lock:
            if method == "GET":  # changes nothing: dying there is dying after the request before
                return len(self.sent)
            self.sent.append(f"{method} {where}")
            return len(self.sent)
