"""A bad night and a good week on the local stack: the lines that the function really writes, and
the mails that the plan's alarms make of them.

`night.txt` has each mail with the text that a person gets. After a change that is meant, write it
anew: `UPDATE_NIGHT=1 python -m pytest -m slow tests/terraform/test_night.py`.
"""

from __future__ import annotations

import base64
import difflib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import mock

import flask
import pytest

from local.stack import SECRET
from sync.app import Services
from sync.entry import http
from tests.terraform.mails import Line, Mail, entry, mails, matcher
from tests.terraform.promql import Sample, Series
from tests.terraform.tools import Plan
from tests.workbench import DAY, HOUR, NOW, Workbench, iso, table

pytestmark = pytest.mark.slow  # it waits 15 seconds for a BigQuery that is away

NAME = "aito-sync"
WATCH = 600  # seconds between two watches
UNDELIVERED = "pubsub_googleapis_com:subscription_num_undelivered_messages"
PROJECT = "example-project"  # of the plan
RETRIES = (0, 60, 180, 420, 900, 1500)  # the first call, then after 1, 2, 4, 8 and 10 minutes
GOLDEN = Path(__file__).with_name("night.txt")
COLUMNS = {"id": "STRING", "ts": "TIMESTAMP", "kind": "STRING"}
SOURCES = ("users", "pages")


class Operation:
    """The function in operation: every line that it writes, with the time of the call."""

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench
        self.lines: list[Line] = []
        self.gauges: Series = {}
        self.plan: Plan
        self.tables = [table(name, f"{bench.dataset}.{name}") for name in SOURCES]
        for number, name in enumerate(SOURCES):
            bench.load_source(name, COLUMNS, rows(100 * number, 50, bench.now - 60))

    def next_night(self) -> None:
        """The watch until 03:15 of the next day. Each source has new rows then."""
        night = self.bench.now - self.bench.now % DAY + DAY + 3 * HOUR + 900
        self.watch_until(night)
        self.bench.now = night
        self.feed()

    def feed(self) -> None:
        """New rows in each source."""
        for name in SOURCES:
            self.bench.load_source(name, COLUMNS, rows(self.bench.now, 5, self.bench.now - 60))

    def watch_until(self, end: int, *tables: dict[str, Any]) -> None:
        """A watch every ten minutes. The first one is real; the others write its lines again, with
        their own ages.
        """
        self.bench.now += WATCH
        records = self.call(*tables, action="watch")
        for after in range(WATCH, end - self.bench.now, WATCH):
            self.write([_later(record, after) for record in records], after)
        self.bench.now = max(self.bench.now, end - WATCH)

    def mend(self, **options: Any) -> None:
        """An hour later somebody has done what the mail says: a good run."""
        self.bench.now += HOUR
        self.bench.aito.heal()
        done = [line for line in self.call(**options) if line["event"] == "table_done"]
        assert {line["status"] for line in done} == {"ok"}, done

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


AGES = ("age_seconds", "ok_age_seconds")


def _later(record: dict[str, Any], after: int) -> dict[str, Any]:
    """A watch's line as the watch writes it so many seconds later, when nothing has changed."""
    ages = {name: record[name] + after for name in AGES if record.get(name) is not None}
    return {**record, **ages, "run_id": f"watch-{after}"}


def posted(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str], body: bytes = b"{}"
) -> list[dict[str, Any]]:
    """The lines of a call over HTTP. The last one is its answer's status."""
    capsys.readouterr()
    with (
        mock.patch.dict("os.environ", environment),
        flask.Flask("night").test_request_context("/", method="POST", data=body),
    ):
        answer = http.handle(flask.request, Services.from_environment, lambda: lambda: False)
    lines = [_json(line) for line in capsys.readouterr().out.splitlines() if line]
    return [*lines, {"status_code": answer.status_code}]


def not_run(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> list[dict[str, Any]]:
    """The lines of a call that cannot begin."""
    return posted(environment, capsys)[:-1]


def _json(line: str) -> dict[str, Any]:
    found: dict[str, Any] = flask.json.loads(line)
    return found


@pytest.fixture
def operation(bench: Workbench) -> Iterator[Operation]:
    """Two tables, loaded once, at 03:15 of day 0."""
    bench.now = NOW - NOW % DAY + 3 * HOUR + 900
    bench.settings = {"aito": {"api_key_secret": SECRET}}  # a mail names the secret
    bench.aito.job_seconds, bench.aito.job_result_seconds = 0, 3600
    made = Operation(bench)
    made.call()
    yield made
    bench.aito.heal()
    for name in SOURCES:
        with suppress(KeyError):
            bench.aito.drop_table(name)


def test_a_good_week_matches_no_alarm(operation: Operation, planned: Plan) -> None:
    """Seven nights with new rows, the watch in between, a reconcile, a message that is done, and a
    first call that is answered at the second try: no filter of an alarm matches a line, and no
    state is mailed.
    """
    bench = operation.bench
    for day in range(7):
        operation.next_night()
        if day == 3:
            bench.aito.fail("unavailable", on="insert", times=1)
        operation.call()
    operation.call(action="reconcile")
    operation.next_night()
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
    of night.txt, and every alarm has its mail. What a mail says to type can be typed.
    """
    operation.plan = planned
    for night in NIGHTS:
        operation.next_night()
        night(operation, capsys)
    operation.next_night()
    sent = mails(planned, operation.lines, operation.gauges)
    assert not [mail.subject for mail in sent if "${" in mail.subject + mail.text]
    assert _repeated(sent) == [], "more than one mail of a state and day"
    written = _written(sent).replace(str(operation.bench.stack.folder), "/workspace")
    written = re.sub(r"/tmp/#/\w+\.yaml", "sync.yaml", written)
    _compare(re.sub(r"127\.0\.0\.1:\d{5}\b", "my-db.aito.app", written))
    assert _without_a_mail(planned, sent) == []
    assert _without_a_line(planned, operation.lines) == [], "metrics that count no line"
    for mail in sent:
        for command in re.findall(r"`((?:gcloud|bq) [^`]+)`", mail.text):
            _type(command, mail, operation)


def _without_a_mail(plan: Plan, sent: list[Mail]) -> list[str]:
    """Alarms that no mail of the nights has come from."""
    words = {mail.text.splitlines()[-3] for mail in sent}  # what not to do: each alarm's own
    return [
        alarm.address
        for alarm in plan.of("google_monitoring_alert_policy")
        if alarm.values["documentation"][0]["content"].splitlines()[-3] not in words
    ]


def _without_a_line(plan: Plan, lines: list[Line]) -> list[str]:
    """Metrics that no line of the nights is counted by."""
    return [
        metric.address
        for metric in plan.of("google_logging_metric")
        if not any(map(matcher(metric.values["filter"]), lines))
    ]


def _type(command: str, mail: Mail, operation: Operation) -> None:
    """Type a command of a mail: a log filter finds lines of that time, a query runs, a name is one
    of the plan.
    """
    words = shlex.split(command)
    if words[:3] == ["gcloud", "logging", "read"]:
        found = matcher(words[3])
        near = [line for line in operation.lines if abs(line["at"] - mail.at) <= DAY]
        assert any(map(found, near)) or "silent" in mail.subject, command
    elif words[0] == "bq":
        ledger = f"{PROJECT}.aito_sync."
        assert ledger in words[-1], command
        operation.bench.sql(words[-1].replace(ledger, f"{operation.bench.ledger}."))
    elif words[:2] == ["gcloud", "secrets"]:
        secret = ["no-such-secret", f"--project={operation.bench.stack.project}"]
        assert words[2:] in (["versions", "add", *secret, "--data-file=-"], ["create", *secret])
    else:
        names = {str(r.values.get("name")) for r in operation.plan.resources}
        assert any(word in names for word in words), command


def outage_that_passes(operation: Operation, _: object) -> None:
    """Aito is away for two calls; the third one loads. No mail."""
    operation.bench.aito.fail("gateway", on="any", times=None)
    operation.call()
    operation.write(operation.bench.events, 60)
    operation.bench.now += 180
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
    operation.mend()


def guard(operation: Operation, _: object) -> None:
    """The purge is refused six times, each time with other numbers: one mail."""
    bench = operation.bench
    short = [{**operation.tables[0], "keep": "1d"}, operation.tables[1]]
    for number, after in enumerate(RETRIES):
        bench.load_source("users", COLUMNS, rows(5000 + number, 1, bench.now - 30))
        bench.run(*short)
        operation.write(bench.events, after)
    operation.mend()


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
    operation.mend()


def bad_rows(operation: Operation, _: object) -> None:
    """Aito refuses a row; the watch sees an open reject all day: one mail."""
    bench = operation.bench
    bench.load_source("pages", COLUMNS, [{"id": "bad", "ts": iso(bench.now - 5), "kind": "bad"}])
    bench.aito.refuse(lambda document: "no" if document.get("kind") == "bad" else None)
    operation.call()
    bench.aito.refuse(None)
    operation.watch_until(bench.now + 12 * HOUR)
    operation.mend(full_refresh=True)


def denied(operation: Operation, _: object) -> None:
    """The key was taken out of use: one mail a table, with what to do."""
    bench = operation.bench
    before, bench.aito.api_key = bench.aito.api_key, "another"
    operation.again(operation.call())
    bench.aito.api_key = before
    operation.mend()


def accuracy(operation: Operation, _: object) -> None:
    """An evaluation below its minimum: one mail."""
    bench = operation.bench
    asked = {"name": "kind", "predict": "kind", "given": ["at"], "min_accuracy": 1.0}
    measured = [operation.tables[0], {**operation.tables[1], "evaluate": [asked]}]
    operation.call(*measured)
    for _ in range(3):
        bench.now += WATCH
        operation.call(*measured, action="watch")


def never_started(operation: Operation, _: object) -> None:
    """The nightly job is paused by hand: no run starts, and the watch says it: a mail a table."""
    operation.watch_until(operation.bench.now + 4 * HOUR)
    operation.mend()


def silence(operation: Operation, _: object) -> None:
    """Nothing calls the function from six to ten: one mail after an hour."""
    operation.call()
    operation.watch_until(operation.bench.now + 3 * HOUR)
    operation.bench.now += 4 * HOUR


def never_ok(operation: Operation, _: object) -> None:
    """A new table whose runs never begin: one mail after a day. Then its source has no row."""
    fresh = table("pets", f"{operation.bench.dataset}.pets")
    operation.bench.load_source("pets", COLUMNS, [])
    operation.call()
    operation.watch_until(operation.bench.now + 23 * HOUR, *operation.tables, fresh)
    operation.feed()
    operation.call()
    operation.watch_until(operation.bench.now + 4 * HOUR, *operation.tables, fresh)
    operation.call(*operation.tables, fresh)


def dead_letter(operation: Operation, capsys: pytest.CaptureFixture[str]) -> None:
    """A message with a spelling mistake: 400 at each delivery, then one mail until it is pulled."""
    operation.call()
    bench, subscription = operation.bench, operation.plan.one("google_pubsub_subscription.runs")
    environment = bench.environment(*operation.tables)
    data = base64.b64encode(b'{"action": "snyc"}').decode()
    body = json.dumps({"message": {"data": data}, "subscription": "s"}).encode()
    after, wait = 0.0, float(subscription["retry_policy"][0]["minimum_backoff"].rstrip("s"))
    for _ in range(subscription["dead_letter_policy"][0]["max_delivery_attempts"]):
        *lines, last = posted(environment, capsys, body)
        assert last == {"status_code": 400}
        operation.write(lines, after)
        after += wait
        wait = min(2 * wait, float(subscription["retry_policy"][0]["maximum_backoff"].rstrip("s")))
    name = operation.plan.one("google_pubsub_subscription.dead")["name"]
    lying = range(int(bench.now + after), int(bench.now + after) + 12 * HOUR, 60)
    operation.gauges[UNDELIVERED] = [Sample(at, {"subscription_id": name}) for at in lying]


def crash(operation: Operation, _: object) -> None:
    """A package is missing in the image: Python's own lines, as text: one mail."""
    done = subprocess.run(
        [sys.executable, "-c", "import no_such_package"],
        text=True,
        capture_output=True,
        check=False,
    )
    for after in range(0, HOUR, WATCH):  # each call of the watch ends so
        line = entry(NAME, operation.bench.now + after, {})
        operation.lines += [{**line, "textPayload": text} for text in done.stderr.splitlines()]
    operation.mend()


def refused(operation: Operation, _: object) -> None:
    """The invoker's grant is gone for three hours: one mail, and none about silence."""
    resource = {"type": "cloud_scheduler_job", "labels": {"job_id": f"{NAME}-watch"}}
    denied = {"resource": resource, "severity": "ERROR"}
    for after in range(0, 3 * HOUR, WATCH):
        line = {**denied, "at": operation.bench.now + after}
        operation.lines.append({**line, "jsonPayload": {"status": "PERMISSION_DENIED"}})
    operation.bench.now += 2 * HOUR
    operation.mend()


NIGHTS = (
    *(outage_that_passes, outage_of_a_night, guard, broken_configuration, bad_rows, denied),
    *(accuracy, never_started, silence, never_ok, dead_letter, crash, refused),
)


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
