"""What Cloud Monitoring would mail for a list of log lines: the alarms of a plan, tried on a night.

Log alarms: a filter, extracted labels, and no second mail for the same labels within the period
("each combination of extracted values is treated as a separate rule"). Alarms in PromQL are
evaluated over the counters that the lines make (promql.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.terraform.promql import Sample, Series, compiled
from tests.terraform.tools import Plan

Line = dict[str, Any]  # a log entry: resource, severity, jsonPayload, and `at` in seconds
Test = Callable[[Line], bool]

LEVELS = ["DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL"]
TOKEN = re.compile(r'\s*(\(|\)|AND\b|OR\b|NOT\b|"(?:[^"\\]|\\.)*"|>=|<=|=~|[=:><*]|[^\s()"=:><*]+)')


@dataclass(frozen=True)
class Mail:
    """One mail: when (seconds), its subject, its text."""

    at: float
    subject: str
    text: str


def matcher(text: str) -> Test:
    """A filter of Cloud Logging's query language, as far as the alarms use it."""
    tokens = TOKEN.findall(text)
    test, rest = _either(tokens)
    assert not rest, f"not understood: {rest}"
    return test


def _either(tokens: list[str]) -> tuple[Test, list[str]]:
    test, tokens = _both(tokens)
    tests = [test]
    while tokens and tokens[0] == "OR":
        test, tokens = _both(tokens[1:])
        tests.append(test)
    return lambda line: any(each(line) for each in tests), tokens


def _both(tokens: list[str]) -> tuple[Test, list[str]]:
    test, tokens = _single(tokens)
    tests = [test]
    while tokens and tokens[0] not in ("OR", ")"):
        test, tokens = _single(tokens[1:] if tokens[0] == "AND" else tokens)
        tests.append(test)
    return lambda line: all(each(line) for each in tests), tokens


def _single(tokens: list[str]) -> tuple[Test, list[str]]:
    if tokens[0] == "NOT" or tokens[0].startswith("-"):
        left = [] if tokens[0] == "NOT" else [tokens[0][1:]]
        inner, rest = _single([*left, *tokens[1:]])
        return lambda line: not inner(line), rest
    if tokens[0] == "(":
        inner, rest = _either(tokens[1:])
        assert rest[0] == ")"
        return inner, rest[1:]
    field, operator, *rest = tokens
    if rest[0] == "(":
        end = rest.index(")")
        values = [value for value in rest[1:end] if value != "OR"]
        rest = rest[end + 1 :]
    else:
        values, rest = [rest[0]], rest[1:]
    wanted = [value.strip('"') for value in values]
    return lambda line: any(_compare(line, field, operator, value) for value in wanted), rest


def _compare(line: Line, field: str, operator: str, wanted: str) -> bool:
    found = value_of(line, field)
    if operator == ":":
        return found is not None and (wanted == "*" or wanted in str(found))
    if wanted == "NULL_VALUE":
        return found is None and field.split(".")[-1] in line.get("jsonPayload", {})
    if found is None:
        return False
    if field == "severity":
        return _number(LEVELS.index(str(found)), operator, LEVELS.index(wanted))
    if operator == "=":
        return str(found).lower() == wanted.lower()
    return _number(float(found), operator, float(wanted))


def _number(found: float, operator: str, wanted: float) -> bool:
    results = {">=": found >= wanted, "<=": found <= wanted, ">": found > wanted}
    return {**results, "<": found < wanted, "=": found == wanted}[operator]


def value_of(line: Line, field: str) -> Any:
    """A field of a log entry, by its path; None where it is not."""
    value: Any = line
    for part in field.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def entry(name: str, at: float, record: dict[str, Any]) -> Line:
    """A line that the function wrote, as Cloud Logging keeps it."""
    return {
        "at": at,
        "resource": {"type": "cloud_run_revision", "labels": {"service_name": name}},
        "severity": record.get("severity", "DEFAULT"),
        "jsonPayload": {key: value for key, value in record.items() if key != "severity"},
    }


def mails(plan: Plan, lines: list[Line], gauges: Series | None = None) -> list[Mail]:
    """Every mail that the plan's alarms send for these lines, in order.

    gauges: numbers of Google's own metrics, by their name in PromQL.
    """
    ordered = sorted(lines, key=lambda line: float(line["at"]))
    series = {**counted(plan, ordered), **(gauges or {})}
    found: list[Mail] = []
    for alarm in plan.of("google_monitoring_alert_policy"):
        if not alarm.values.get("enabled", True):
            continue
        condition = alarm.values["conditions"][0]
        document = alarm.values["documentation"][0]
        for log in condition["condition_matched_log"]:
            period = alarm.values["alert_strategy"][0]["notification_rate_limit"][0]["period"]
            found += _by_line(log, document, float(period.rstrip("s")), ordered)
        for query in condition["condition_prometheus_query_language"]:
            found += _by_query(query, document, ordered, series)
    return sorted(found, key=lambda mail: mail.at)


def _by_line(
    log: dict[str, Any], document: dict[str, Any], period: float, lines: list[Line]
) -> Iterator[Mail]:
    test = matcher(log["filter"])
    last: dict[tuple[str, ...], float] = {}
    for line in lines:
        if not test(line):
            continue
        labels = labels_of(line, log["label_extractors"])
        state = tuple(labels.values())
        if line["at"] - last.get(state, -period) < period:
            continue
        last[state] = line["at"]
        yield _mail(line["at"], document, "log.extracted_label", labels)


def labels_of(line: Line, extractors: dict[str, str]) -> dict[str, str]:
    """What EXTRACT(field) takes out of a line, by label."""
    fields = {name: text[len("EXTRACT(") : -1] for name, text in extractors.items()}
    return {name: str(value_of(line, field) or "") for name, field in fields.items()}


def counted(plan: Plan, lines: list[Line]) -> Series:
    """The samples of each log-based counter, by its name in PromQL."""
    found: Series = {}
    for metric in plan.of("google_logging_metric"):
        test = matcher(metric.values["filter"])
        name = "logging_googleapis_com:user_" + str(metric.values["name"]).replace("-", "_")
        extractors = metric.values["label_extractors"] or {}
        found[name] = [
            Sample(float(line["at"]), {**labels_of(line, extractors), **ON_RUN})
            for line in lines
            if test(line)
        ]
    return found


ON_RUN = {"monitored_resource": "cloud_run_revision"}


def _by_query(
    query: dict[str, Any], document: dict[str, Any], lines: list[Line], series: Series
) -> Iterator[Mail]:
    """A mail when a state has lasted for the query's duration, and none until it has ended."""
    if not lines:
        return
    step, duration = (float(query[key].rstrip("s")) for key in ("evaluation_interval", "duration"))
    test = compiled(query["query"])
    since: dict[str, float] = {}
    mailed: set[str] = set()
    now = lines[0]["at"] - lines[0]["at"] % step
    while now <= lines[-1]["at"] + step:
        true = test(series, now)
        since = {state: since.get(state, now) for state in true}
        mailed &= set(true)
        for state in sorted(set(true) - mailed):
            if now - since[state] >= duration:
                mailed.add(state)
                yield _mail(now, document, "metric_or_resource.label", {"table": state})
        now += step


def _mail(at: float, document: dict[str, Any], kind: str, labels: dict[str, str]) -> Mail:
    """The subject and the text, with the labels in."""

    def rendered(text: str) -> str:
        for name, value in labels.items():
            text = text.replace(f"${{{kind}.{name}}}", value)
        return text

    return Mail(at, rendered(document["subject"]), rendered(document["content"]))
