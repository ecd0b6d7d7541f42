"""The status page, made from facts: what it shows, in which order, and what it must not hold."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest

from sync.base.redact import redact
from sync.status import page, wording
from sync.status.console import Console
from sync.status.facts import _with_links
from tests.status_example import HOSTILE, example
from tests.workbench import DAY


class Reader(HTMLParser):
    """Gathers the elements and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_many_tables() -> None:
    """Past what 300 kB can hold, bars no longer tell their numbers to a mouse; they are drawn as
    before.
    """
    few, many = example(), example()
    spans = [{**few["tables"][0]["rows"][9], "start": n * DAY} for n in range(90)]
    many["tables"] = [{**few["tables"][1], "rows": spans} for _ in range(30)]
    shown = page.render(many)
    assert len(shown.encode()) < 300_000
    assert shown.count("<title>") == 1 < page.render(few).count("<title>")
    assert shown.count('class="bar" d="M') == 30
    assert shown.count("100h.01M") == 30 * 89


def test_what_needs_a_look_is_named() -> None:
    """A table whose last run was ok says in the overview why it is to be looked at; a job that
    runs again does not.
    """
    told = example()["tables"][0] | {"state": "ok", "evaluations": [], "warnings": []}
    low, lost = (dict(example()["tables"][0]["evaluations"][0]) for _ in range(2))
    low["failure"] = None
    lost |= {"min_accuracy": None, "running": None}
    again = lost | {"running": {"started_at": "2026-03-01T02:03:01+00:00", "job_id": "j"}}
    stale = {**told["freshness"], "stale": True}
    for more, word in (
        ({"freshness": stale}, "overdue"),
        ({"evaluations": [low]}, "accuracy is low"),
        ({"evaluations": [lost]}, "evaluation failed"),
        ({"evaluations": [again]}, "ok"),
    ):
        shown = page.render({**example(), "tables": [{**told, **more}, {**told, **more}]})
        assert len(re.findall(rf"</span> {word}<", shown)) == 4, word
        assert ("need a look" in shown) is (word != "ok")


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("field 'age': expected Int, got \"four\"", "field 'age': expected Int, got \"…\""),
        ("Jane Doe 4711 <b>", "…"),
        ("too large", "too large"),
        ("5 rows have no cursor (at would be NULL) and are not loaded", None),
        ("visits: NULL in a column that is not nullable", None),
        ("visits: expected Jane", "…: expected …"),
        ("", ""),
    ],
)
def test_reasons_without_values(reason: str, shown: str | None) -> None:
    """Words of messages and names of columns stay;
    anything else, which may be a value, does not.
    """
    assert redact(reason, frozenset({"age"})) == (reason if shown is None else shown)


def test_hostile_texts_are_escaped() -> None:
    """Names, errors and reasons that are markup or template code come out as the text they are."""
    shown = page.render(example(HOSTILE))
    assert "49" not in re.findall(r"onerror=alert\(2\)&gt;(\S*?)<", shown)
    assert shown.count("{{7*7}}") >= 6
    for tag, attributes in Reader(shown).tags:
        assert tag not in ("script", "img", "iframe", "object", "form")
        assert not any(name.startswith("on") for name in attributes)


def test_nothing_from_elsewhere() -> None:
    """No element names an address outside the page but the link to the same facts as JSON."""
    for _, attributes in Reader(page.render(example())).tags:
        for name in ("src", "href", "action", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/svg", "?format=json"))
    assert "@import" not in page.render(example())
    assert "url(" not in page.render(example())


def test_odd_facts_are_drawn_too() -> None:
    """One span, no rows, no base accuracy, no test rows, nulls:
    drawn or left out, never a crash.
    """
    odd = example()
    first = odd["tables"][0]
    first["rows"] = [{**first["rows"][0], "uploaded": None, "rejected": None, "purged": None}]
    first["evaluations"][0]["accuracy"] = [
        {**first["evaluations"][0]["accuracy"][0], "base_accuracy": None}
    ]
    first["evaluations"][0]["latest"] |= {"accuracy": None, "test_samples": 0}
    first["freshness"] = {**dict.fromkeys(first["freshness"]), "stale": True}
    first["last_run"] |= dict.fromkeys(
        ("fetched", "uploaded", "skipped", "rejected", "repaired", "purged")
    )
    first["retention"] = None
    shown = page.render(odd)
    assert "1 of 2 tables needs a look" in shown
    assert re.findall(r'class="dot" d="([^"]*)"', shown) == [
        "M500 22h.01"
    ]  # one measurement is one dot


def test_failed_tables_come_first() -> None:
    """Then those that need attention, then the others. Equal ones keep their order."""
    facts = example()
    failed, good = facts["tables"]
    overdue = {**good["freshness"], "stale": True}
    facts["tables"] = [
        {**good, "table": "good one"},
        {**good, "table": "late one", "freshness": overdue},
        {**failed, "table": "failed one"},
        {**good, "table": "good two"},
    ]
    shown = page.render(facts)
    names = re.findall(r"<h2[^>]*>([^<]*)</h2>", shown)
    assert names == ["failed one", "late one", "good one", "good two"]


def test_warnings_are_shown() -> None:
    """The message and the code of each, and their number beside `ok`. They are no alarm."""
    facts = example()
    good = facts["tables"][1]
    warning = {"code": "keys_collapsed", "message": "12 rows have 10 keys"}
    facts["tables"] = [{**good, "warnings": [warning]}, good]
    shown = page.render(facts)
    assert "12 rows have 10 keys" in shown
    assert "keys_collapsed" in shown
    assert "ok, 1 warning" in shown
    assert "Both tables are well" in shown


def test_last_runs() -> None:
    """A line for each of the last runs, with what it did and what it cost."""
    shown = page.render(example())
    assert "Last 20 runs" in shown
    line = re.search(r'<tr><th scope="row" class="when">2026-03-01 02:00 UTC.*', shown)
    assert line
    cells = [re.sub(r"<[^>]*>", "", cell) for cell in re.split(r"</t[hd]>", line[0])]
    assert cells[:10] == [
        "2026-03-01 02:00 UTC",
        "sync: failed",
        "83 s",
        "10",
        "9",
        "1",
        "2",
        "0",
        "12.3 MB",
        "0.1.0",
    ]


def test_the_next_run() -> None:
    """When it is to be expected, or how long it has been due."""
    facts = example()
    assert "in 14 h" in page.render(facts)
    for table in facts["tables"]:
        table["next_run"] = {"at": "2026-03-01T09:00:00+00:00", "in_seconds": -3 * 3600}
    assert "due 3 h ago" in page.render(facts)


def test_commands_can_be_copied() -> None:
    """A name with a quote or a blank reaches the shell as one word."""
    shown = page.render(example("it's one"))
    assert "./aito-sync sync --tables &#39;it&#39;&#34;&#39;&#34;&#39;s one&#39;" in shown
    assert "./aito-sync reconcile --tables aito_segment_user" in shown


def test_links_into_google_cloud() -> None:
    """On Cloud Run the page links to the log, to each table's part of it and to BigQuery's jobs."""
    environ = {"K_SERVICE": "aito-sync", "GOOGLE_CLOUD_PROJECT": "my-project"}
    console = Console.of(environ, "jobs-project")
    assert console
    facts = _with_links(example(), console)
    links = [attributes.get("href") for _, attributes in Reader(page.render(facts)).tags]
    service = 'resource.type="cloud_run_revision"\nresource.labels.service_name="aito-sync"'
    found = [unquote(link) for link in links if link and link.startswith("https://")]
    assert found == [
        f"https://console.cloud.google.com/logs/query;query={service}?project=my-project",
        "https://console.cloud.google.com/bigquery/admin/jobs-explorer?project=jobs-project",
        *(
            f"https://console.cloud.google.com/logs/query;query={service}\n"
            f'jsonPayload.table="{name}"?project=my-project'
            for name in ("aito_segment_web", "aito_segment_user")
        ),
    ]
    assert Console.of({}, "jobs-project") is None


def test_plots_without_rows_take_no_room() -> None:
    """Runs that brought nothing draw no plot. A failed one is drawn."""
    facts = example()
    table = facts["tables"][1]
    table["rows"] = [{**bar, "uploaded": 0, "rejected": 0, "not_ok": 0} for bar in table["rows"]]
    facts["tables"] = [table]
    assert "<figure>" not in page.render(facts)
    table["rows"][3]["not_ok"] = 1
    assert "<figure>" in page.render(facts)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (wording.age(119), "119 s"),
        (wording.age(5_400), "90 min"),
        (wording.age(3 * DAY), "3 d"),
        (wording.ago(None), "never"),
        (wording.duration(0.42), "0.4 s"),
        (wording.duration(83.2), "83 s"),
        (wording.span(3 * 3_600), "3 hours"),
        (wording.span(DAY), "day"),
        (wording.bytes_(999), "999 B"),
        (wording.bytes_(1_234_567), "1.23 MB"),
        (wording.bytes_(5 * 10**15), "5e+03 TB"),
        (wording.count(None), "0"),
        (wording.count(1_234_567), "1\u202f234\u202f567"),
    ],
)
def test_wording(made: str, expected: str) -> None:
    """Ages, sizes and numbers as people read them."""
    assert made == expected
