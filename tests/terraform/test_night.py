"""A bad night and a good week on the local stack: the lines that the function really writes, and
the mails that the plan's alarms make of them.

`night.txt` has each mail with the text that a person gets. After a change that is meant, write it
anew: `UPDATE_NIGHT=1 python -m pytest -m slow tests/terraform/test_night.py`.
"""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import mock

import flask
import pytest

from sync.app import Services
from sync.entry import http
from tests.terraform.mails import Line, Mail, entry, mails, matcher
from tests.terraform.tools import Plan
from tests.workbench import DAY, HOUR, NOW, Workbench, iso, table

pytestmark = pytest.mark.slow  # it waits 15 seconds for a BigQuery that is away

NAME = "aito-sync"
RETRIES = (0, 60, 180, 420, 900, 1500)  # the first call, then after 1, 2, 4, 8 and 10 minutes
GOLDEN = Path(__file__).with_name("night.txt")
COLUMNS = {"id": "STRING", "ts": "TIMESTAMP", "kind": "STRING"}
SOURCES = ("users", "pages")


class Operation:
    """The function in operation: every line that it writes, with the time of the call."""

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench
        self.lines: list[Line] = []
        self.tables = [table(name, f"{bench.dataset}.{name}") for name in SOURCES]
        for number, name in enumerate(SOURCES):
            bench.load_source(name, COLUMNS, rows(100 * number, 50, bench.now - 60))

    def next_night(self) -> None:
        """A day later. Each source has new rows."""
        self.bench.now += DAY
        for name in SOURCES:
            self.bench.load_source(name, COLUMNS, rows(self.bench.now, 5, self.bench.now - 60))

    def call(self, *tables: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
        """One call now; the lines that it wrote."""
        self.bench.run(*(tables or self.tables), **options)
        self.write(self.bench.events)
        return self.bench.events

    def write(self, records: list[dict[str, Any]], after: float = 0) -> None:
        """Keep lines, as Cloud Logging does. after: seconds from now."""
        self.lines += [entry(NAME, self.bench.now + after, record) for record in records]

    def again(self, records: list[dict[str, Any]]) -> None:
        """The retries of a call that fails alike each time, with run ids of their own."""
        for after in RETRIES[1:]:
            run = {"run_id": f"retry-{after}"}
            self.write([{**record, **run} for record in records], after)


def rows(first: int, count: int, newest: int) -> list[dict[str, Any]]:
    """Rows a minute apart."""
    return [
        {"id": f"r{first + n}", "ts": iso(newest - n * 60), "kind": "ab"[n % 2]}
        for n in range(count)
    ]


def not_run(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> list[dict[str, Any]]:
    """The lines of a call that cannot begin."""
    capsys.readouterr()
    with (
        mock.patch.dict("os.environ", environment),
        flask.Flask("night").test_request_context("/", method="POST", data=b"{}"),
    ):
        http.handle(flask.request, Services.from_environment, lambda: lambda: False)
    return [_json(line) for line in capsys.readouterr().out.splitlines() if line]


def _json(line: str) -> dict[str, Any]:
    found: dict[str, Any] = flask.json.loads(line)
    return found


@pytest.fixture
def operation(bench: Workbench) -> Iterator[Operation]:
    """Two tables, loaded once, at 03:15 of day 0."""
    bench.now = NOW - NOW % DAY + 3 * HOUR + 900
    bench.aito.job_seconds, bench.aito.job_result_seconds = 0, 3600
    made = Operation(bench)
    made.call()
    yield made
    bench.aito.heal()
    for name in SOURCES:
        with suppress(KeyError):
            bench.aito.drop_table(name)


def test_a_good_week_matches_no_alarm(operation: Operation, planned: Plan) -> None:
    """Seven nights with new rows, each with the watch after it, a reconcile, and a first call that
    is answered at the second try: no filter of an alarm matches a line.
    """
    bench = operation.bench
    for day in range(7):
        operation.next_night()
        if day == 3:
            bench.aito.fail("unavailable", on="insert", times=1)
        operation.call()
        operation.call(action="watch")
    operation.call(action="reconcile")
    assert {line["jsonPayload"].get("status") for line in operation.lines} <= {"ok", None}
    matching = [
        (alarm.address, line["jsonPayload"]["message"])
        for alarm in planned.of("google_monitoring_alert_policy")
        for log in alarm.values["conditions"][0]["condition_matched_log"]
        for line in operation.lines
        if matcher(log["filter"])(line)
    ]
    assert matching == []
    assert mails(planned, operation.lines) == []


def test_the_mails_of_a_bad_night(
    operation: Operation, planned: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every kind of failure in nights that follow each other: each state is one mail, in the words
    of night.txt, and every alarm that reads lines has its mail.
    """
    nights = (outage_that_passes, outage_of_a_night, guard, broken_configuration, bad_rows)
    for night in (*nights, denied, accuracy, silence_of_the_source, crash):
        operation.next_night()
        night(operation, capsys)
        operation.bench.aito.heal()
    sent = mails(planned, operation.lines)
    assert not [mail.subject for mail in sent if "${" in mail.subject + mail.text]
    assert _repeated(sent) == [], "more than one mail of a state and day"
    _compare(_written(sent).replace(str(operation.bench.stack.folder), "/workspace"))
    alarms = {
        alarm.address: [log["filter"] for log in conditions]
        for alarm in planned.of("google_monitoring_alert_policy")
        if (conditions := alarm.values["conditions"][0]["condition_matched_log"])
    }
    unmatched = [
        address
        for address, filters in alarms.items()
        if not any(matcher(text)(line) for text in filters for line in operation.lines)
    ]
    assert unmatched == [], "alarms that no line of the night raises"
    uncounted = [
        metric.address
        for metric in planned.of("google_logging_metric")
        if not any(matcher(metric.values["filter"])(line) for line in operation.lines)
    ]
    assert uncounted == [], "metrics that count no line of the night"


def outage_that_passes(operation: Operation, _: object) -> None:
    """Aito is away for two calls; the third one loads. No mail."""
    operation.bench.aito.fail("gateway", on="any", times=None)
    operation.call()
    operation.write(operation.bench.events, 60)
    operation.bench.aito.heal()
    operation.call()


def outage_of_a_night(operation: Operation, _: object) -> None:
    """BigQuery is away for all six calls: one mail a table."""
    environment = {"BIGQUERY_EMULATOR_HOST": "http://127.0.0.1:9"}
    real = operation.bench.stack.environ
    with mock.patch.object(
        operation.bench.stack, "environ", lambda path=None: {**real(path), **environment}
    ):
        operation.again(operation.call())


def guard(operation: Operation, _: object) -> None:
    """The purge is refused six times, each time with other numbers: one mail."""
    bench = operation.bench
    short = [{**operation.tables[0], "keep": "1d"}, operation.tables[1]]
    for number, after in enumerate(RETRIES):
        bench.load_source("users", COLUMNS, rows(5000 + number, 1, bench.now - 30))
        bench.run(*short)
        operation.write(bench.events, after)


def broken_configuration(operation: Operation, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake in the file: one mail with its line. Then a secret that is not there: another."""
    bench = operation.bench
    path = bench.configure(*operation.tables)
    path.write_text(path.read_text().replace("cursor:", "curser:", 1))
    lines = not_run(bench.stack.environ(path), capsys)
    operation.write(lines)
    operation.again(lines)
    bench.now += HOUR
    missing = bench.environment(*operation.tables, aito={"api_key_secret": "no-such-secret"})
    lines = not_run(missing, capsys)
    operation.write(lines)
    operation.again(lines)


def bad_rows(operation: Operation, _: object) -> None:
    """Aito refuses a row; the watch sees an open reject all day: one mail."""
    bench = operation.bench
    bench.load_source("pages", COLUMNS, [{"id": "bad", "ts": iso(bench.now - 5), "kind": "bad"}])
    bench.aito.refuse(lambda document: "no" if document.get("kind") == "bad" else None)
    operation.call()
    bench.aito.refuse(None)
    for _ in range(3):
        bench.now += HOUR
        operation.call(action="watch")


def denied(operation: Operation, _: object) -> None:
    """The key was taken out of use: one mail a table, with what to do."""
    bench = operation.bench
    before, bench.aito.api_key = bench.aito.api_key, "another"
    operation.again(operation.call())
    bench.aito.api_key = before


def accuracy(operation: Operation, _: object) -> None:
    """An evaluation below its minimum: one mail."""
    bench = operation.bench
    asked = {"name": "kind", "predict": "kind", "given": ["at"], "min_accuracy": 1.0}
    measured = [operation.tables[0], {**operation.tables[1], "evaluate": [asked]}]
    operation.call(*measured)
    for _ in range(3):
        bench.now += 600
        operation.call(*measured, action="watch")


def silence_of_the_source(operation: Operation, _: object) -> None:
    """Nothing was loaded for two days: a mail a table and day, however often the watch says it."""
    bench = operation.bench
    bench.now += 2 * DAY
    for _ in range(3):
        bench.now += 600
        operation.call(action="watch")
    fresh = table("pets", f"{bench.dataset}.pets")
    bench.load_source("pets", COLUMNS, [])
    operation.call(fresh, action="watch")
    operation.call(*operation.tables, fresh)


def crash(operation: Operation, _: object) -> None:
    """A package is missing in the image: Python's own lines, as text."""
    done = subprocess.run(
        [sys.executable, "-c", "import no_such_package"],
        text=True,
        capture_output=True,
        check=False,
    )
    line = entry(NAME, operation.bench.now, {})
    operation.lines += [{**line, "textPayload": text} for text in done.stderr.splitlines()]


def _repeated(sent: list[Mail]) -> list[str]:
    """Subjects that came twice within a day."""
    found = []
    for number, mail in enumerate(sent):
        before = [m for m in sent[:number] if (m.subject, m.text) == (mail.subject, mail.text)]
        found += [mail.subject for other in before if mail.at - other.at < DAY]
    return found


def _written(sent: list[Mail]) -> str:
    """The mails as a text: the time from the first one, subject and body."""
    start = sent[0].at
    parts = []
    for mail in sent:
        minutes = round((mail.at - start) / 60)
        when = f"day {minutes // 1440}, {minutes % 1440 // 60:02}:{minutes % 60:02}"
        parts.append(f"=== {when}\nSubject: {mail.subject}\n\n{mail.text.strip()}\n")
    return "\n".join(parts)


def _compare(text: str) -> None:
    """Hold the mails against night.txt."""
    if os.environ.get("UPDATE_NIGHT"):
        GOLDEN.write_text(text)
    wanted = GOLDEN.read_text()
    lines = difflib.unified_diff(
        wanted.splitlines(), text.splitlines(), "night.txt", "sent", "", ""
    )
    assert text == wanted, "\n".join(lines)
