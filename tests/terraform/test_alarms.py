"""A bad night and a good week, tried on the alarms of the plan: who is told what, and how often."""

from __future__ import annotations

from typing import Any

import pytest

from sync.base.summary import without_numbers
from tests.terraform.mails import Line, Mail, entry, mails, matcher
from tests.terraform.promql import Sample
from tests.terraform.tools import Plan

NIGHT = 3 * 3600 + 900.0  # 03:15, in seconds of the day
DAY = 86400.0
RETRIES = [0, 60, 180, 420, 900, 1500]  # the first call, then after 1, 2, 4, 8 and 10 minutes
NAME = "aito-sync"


@pytest.fixture(scope="module")
def alarms(planned: Plan) -> Plan:
    """The plan of the example values."""
    return planned


def line(at: float, event: str, severity: str = "INFO", **fields: Any) -> Line:
    """One line of the function."""
    record = {"event": event, "message": "…", "run_id": f"run-{at:.0f}", "version": "1.0.0"}
    return entry(NAME, at, {**record, "severity": severity, **fields})


def done(at: float, table: str, status: str, **fields: Any) -> Line:
    """The end of one table's sync."""
    waits = fields.get("retryable")
    levels = {"ok": "INFO", "failed": "WARNING" if waits else "ERROR"}
    record = {"action": "sync", "table": table, "status": status, "error": None, **fields}
    return line(at, "table_done", levels.get(status, "WARNING"), **record)


def fresh(at: float, table: str, age: float | None, ok_age: float | None) -> Line:
    """What the watch says of one table."""
    return line(at, "freshness", table=table, age_seconds=age, ok_age_seconds=ok_age)


def ended(at: float, status: str, **fields: Any) -> Line:
    """The end of a run."""
    record = {"action": "sync", "status": status, **fields}
    severity = "ERROR" if status == "failed" else "INFO"
    return line(at, "run_done", severity, **record)


def watched(start: float, end: float) -> list[Line]:
    """The end of each watch: every ten minutes from `start` to `end`."""
    return [ended(at, "ok", action="watch") for at in range(int(start), int(end), 600)]


def good_week() -> list[Line]:
    """Seven nights that end well, with a watch every ten minutes and a warning that is known."""
    lines = []
    for day in range(7):
        night = day * DAY + NIGHT
        lines += [done(night + 60, table, "ok", uploaded=10) for table in ("users", "pages")]
        lines += [line(night, "batch_retried", "WARNING", table="users")]
        quiet = {"table": "pages", "code": "not_incremental"}
        lines += [line(night + 61, "table_warning", "WARNING", **quiet), ended(night + 62, "ok")]
        lines += [
            fresh(night + minutes * 60, table, 600 + minutes * 60, minutes * 60)
            for minutes in range(10, 1440, 10)
            for table in ("users", "pages")
        ]
    lines += watched(NIGHT, 7 * DAY + NIGHT)
    return sorted(lines, key=lambda each: float(each["at"]))


def subjects(found: list[Mail]) -> list[str]:
    """What the mails are called."""
    return [mail.subject for mail in found]


def test_a_good_week_is_silent(alarms: Plan) -> None:
    """No alarm's filter matches a line of a week in which every night ended well."""
    assert mails(alarms, good_week()) == []


def test_an_outage_that_passes_is_silent(alarms: Plan) -> None:
    """Aito is away for the first calls of a night; a retry succeeds, and nobody is woken."""
    error = {"retryable": True, "error": "my-db.aito.app: no answer", "code": "Unavailable"}
    lines = [done(NIGHT + after, "users", "failed", **error) for after in RETRIES[:4]]
    lines += [done(NIGHT + RETRIES[4], "users", "ok"), ended(NIGHT + RETRIES[4], "ok")]
    assert mails(alarms, lines) == []


def test_an_outage_of_the_whole_night_is_one_mail_a_table(alarms: Plan) -> None:
    """When every retry has failed, each table is mailed once: also when a person starts a good run
    an hour later, and for the rest of the day.
    """
    error = {"retryable": True, "error": "my-db.aito.app: no answer", "code": "Unavailable"}
    lines = [
        done(NIGHT + after, table, "failed", **error)
        for after in RETRIES
        for table in ("users", "pages")
    ]
    lines += [done(NIGHT + 5100, table, "ok") for table in ("users", "pages")]
    lines += watched(NIGHT, NIGHT + DAY)
    found = mails(alarms, lines)
    assert sorted(subjects(found)) == [
        f"{NAME}: pages kept failing",
        f"{NAME}: users kept failing",
    ]
    assert all(mail.at == NIGHT + RETRIES[4] for mail in found)


def test_a_table_that_needs_a_person_is_one_mail_a_night(alarms: Plan) -> None:
    """Six attempts with other numbers are one mail. It names deployment, table and reason, and
    holds the error and the command.
    """
    told = [f"users: {80 + n} of {100 + n} rows are older than keep" for n in range(6)]
    lines = [
        done(NIGHT + after, "users", "failed", code="PurgeRefused", error=error, summary=summary)
        for after, error in zip(RETRIES, told, strict=True)
        if (summary := without_numbers(error, frozenset({"users"})))
    ]
    lines += [ended(NIGHT + after, "failed", http_status=500) for after in RETRIES]
    [mail] = mails(alarms, sorted(lines, key=lambda each: float(each["at"])))
    assert mail.subject == f"{NAME}: users failed: PurgeRefused"
    assert mail.at == NIGHT
    assert "users: # of # rows are older than keep" in mail.text
    assert '--message=\'{"action":"sync","tables":["users"]}\'' in mail.text
    assert "${" not in mail.text


def test_two_tables_and_two_reasons_are_separate_mails(alarms: Plan) -> None:
    """One table's alarm does not hide another's, nor another reason of the same table."""
    lines = [
        done(NIGHT, "users", "failed", code="AccessDenied", error="a grant is missing"),
        done(NIGHT + 1, "pages", "failed", code="AccessDenied", error="a grant is missing"),
        done(NIGHT + 60, "users", "failed", code="SchemaMismatch", error="column age"),
    ]
    assert subjects(mails(alarms, lines)) == [
        f"{NAME}: users failed: AccessDenied",
        f"{NAME}: pages failed: AccessDenied",
        f"{NAME}: users failed: SchemaMismatch",
    ]


def test_a_state_that_lasts_is_a_mail_a_day(alarms: Plan) -> None:
    """Stale data is said once a day, although the watch says it every ten minutes."""
    lines = [fresh(minutes * 60.0, "users", 100_000, 95_000) for minutes in range(0, 2880, 10)]
    lines += watched(0, 2 * DAY)
    assert subjects(mails(alarms, lines)) == [f"{NAME}: users is stale"] * 2


def test_a_table_that_stays_empty_is_stale(alarms: Plan) -> None:
    """Nothing was ever loaded, though each run ends well: its first run was too long ago."""
    empty: dict[str, Any] = {"age_seconds": None, "ok_age_seconds": 600, "empty": True}
    for seconds, told in ((3_600, []), (100_000, [f"{NAME}: users is stale"])):
        lines = [line(NIGHT, "freshness", table="users", empty_seconds=seconds, **empty)]
        assert subjects(mails(alarms, lines)) == told


def test_a_run_that_cannot_begin_is_one_mail(alarms: Plan) -> None:
    """A configuration that is not understood: one mail with the function's own words."""
    said = "not run: sync.yaml: 1 mistake\n  line 12: tables[1].keep: must be a duration"
    lines = [
        line(NIGHT + after, "run_done", "ERROR", status="failed", http_status=500, message=said)
        for after in RETRIES
    ]
    [mail] = mails(alarms, lines)
    assert mail.subject == f"{NAME}: no run: configuration, key or ledger"
    assert "line 12: tables[1].keep" in mail.text


def test_no_call_for_an_hour_is_one_mail(alarms: Plan) -> None:
    """The watch does not come for six hours: one mail after an hour."""
    lines = [*watched(0, 36_000), *watched(57_600, DAY)]
    [mail] = mails(alarms, lines)
    assert mail.subject == f"{NAME}: silent for 60 minutes"
    assert 3600 <= mail.at - 35_400 <= 3900
    assert "gcloud scheduler jobs describe aito-sync-watch" in mail.text


def test_an_outage_of_bigquery_is_no_silence(alarms: Plan) -> None:
    """The watch is called, and says for a day that BigQuery is away: nothing is silent."""
    away = {"action": "watch", "http_status": 503}
    lines = [
        line(at, "run_done", "WARNING", status="failed", **away) for at in range(0, 86400, 600)
    ]
    assert mails(alarms, lines) == []


def test_a_table_that_never_ran_well_is_one_mail(alarms: Plan) -> None:
    """Two days of a watch that knows no good run: one mail, after 23 and a half hours."""
    lines = [fresh(at, "users", None, None) for at in range(0, 2 * 86400, 600)]
    [mail] = mails(alarms, [*lines, *watched(0, 2 * DAY)])
    assert mail.subject == f"{NAME}: users has never had a good run"
    assert mail.at == 84600


def test_a_dead_letter_is_one_mail(alarms: Plan) -> None:
    """A message that was given up lies for two days: one mail. When it is taken out and another
    one comes, it is the next.
    """
    name = "pubsub_googleapis_com:subscription_num_undelivered_messages"
    subscription = alarms.one("google_pubsub_subscription.dead")["name"]

    def lying(hours: range, count: int) -> list[Sample]:
        labels = {"subscription_id": subscription}
        times = range(hours.start * 3600, hours.stop * 3600, 60)
        return [Sample(at, labels, count) for at in times]

    gauges = {name: [*lying(range(2, 50), 1), *lying(range(50, 52), 0), *lying(range(52, 54), 2)]}
    found = mails(alarms, watched(0, 3 * DAY), gauges)
    assert subjects(found) == [f"{NAME}: a requested run was given up"] * 2
    assert [mail.at for mail in found] == [7200, 52 * 3600]
    assert f"gcloud pubsub subscriptions pull {subscription} --project=" in found[0].text


def test_warnings_are_mailed_by_code(alarms: Plan) -> None:
    """A warning is one mail a table and code; the codes of quiet_warnings are none."""
    codes = ("rows_without_key", "not_incremental", "rows_without_key", "evaluation")
    lines = [
        line(NIGHT + i, "table_warning", "WARNING", table="users", code=code)
        for i, code in enumerate(codes)
    ]
    assert subjects(mails(alarms, lines)) == [f"{NAME}: users: rows_without_key"]


@pytest.mark.parametrize(
    ("event", "severity", "is_mailed"),
    [
        ("evaluation_finished", "ERROR", True),  # a finding about the accuracy
        ("evaluation_finished", "WARNING", True),  # no row to test on
        ("evaluation_finished", "INFO", False),
        ("evaluation_failed", "ERROR", True),
        ("evaluation_failed", "WARNING", False),  # a later run tries again
    ],
)
def test_what_warns_of_an_evaluation_is_mailed(
    alarms: Plan, event: str, severity: str, is_mailed: bool
) -> None:
    """Each line that makes a sync warn with `evaluation` is a mail; the others are none."""
    lines = [line(NIGHT, event, severity, table="users", name="kind")]
    expected = [f"{NAME}: users: evaluation kind"] if is_mailed else []
    assert subjects(mails(alarms, lines)) == expected


def test_a_function_that_does_not_start_is_one_mail(alarms: Plan) -> None:
    """A refused call and a traceback raise the alarm; Cloud Run's own line of a 503 does not."""
    job = {"type": "cloud_scheduler_job", "labels": {"job_id": f"{NAME}-sync"}}
    service = {"type": "cloud_run_revision", "labels": {"service_name": NAME}}
    requests = "projects/p/logs/run.googleapis.com%2Frequests"
    denied = {"resource": job, "severity": "ERROR", "jsonPayload": {"status": "PERMISSION_DENIED"}}
    away = {"resource": job, "severity": "ERROR", "jsonPayload": {"status": "UNAVAILABLE"}}
    crash = {"resource": service, "severity": "DEFAULT", "textPayload": "Traceback (most recent"}
    access = {"resource": service, "severity": "ERROR", "logName": requests}
    lines: list[Line] = [{"at": float(i), **each} for i, each in enumerate([away, access])]
    assert mails(alarms, lines) == []
    lines = [{"at": float(i), **each} for i, each in enumerate([denied, denied, crash, crash])]
    assert subjects(mails(alarms, lines)) == [f"{NAME}: did not start"] * 2


@pytest.mark.parametrize(
    ("text", "record", "matches"),
    [
        ('jsonPayload.a="x" AND NOT jsonPayload.b:*', {"a": "x"}, True),
        ('jsonPayload.a="x" AND NOT jsonPayload.b:*', {"a": "x", "b": 1}, False),
        ('jsonPayload.a=("x" OR "y")', {"a": "y"}, True),
        ("jsonPayload.n>5 OR jsonPayload.m>5", {"n": 1, "m": 6}, True),
        ("jsonPayload.n>5", {"n": None}, False),
        ("jsonPayload.n=NULL_VALUE", {"n": None}, True),
        ("jsonPayload.n=NULL_VALUE", {"n": 3}, False),
        ("severity>=ERROR", {"severity": "WARNING"}, False),
        ("jsonPayload.retryable=true", {"retryable": True}, True),
        ('jsonPayload.a="x" -jsonPayload.b:*', {"a": "x"}, True),
        ('jsonPayload.a="x" (jsonPayload.b:* OR jsonPayload.c:*)', {"a": "x", "c": 1}, True),
        ('jsonPayload.a="x" -jsonPayload.b:*', {"a": "x", "b": 1}, False),
    ],
)
def test_filters_are_read_as_cloud_logging_does(
    text: str, record: dict[str, Any], matches: bool
) -> None:
    """The part of the query language that the alarms use."""
    assert matcher(text)(entry(NAME, 0, record)) is matches
