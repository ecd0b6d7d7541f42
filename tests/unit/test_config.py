"""The configuration file: what is read from it, and what a person is told when it is wrong."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import hypothesis
import jsonschema
import pydantic
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sync import config
from sync.base.errors import ConfigError

ROOT = Path(__file__).parents[2]
unhurried = hypothesis.settings(deadline=None)  # a busy machine is no mistake of the code

# A file without a mistake, as parts that a test can exchange.
FILE = {
    "aito": "{url: https://my-db.aito.app, api_key_secret: aito-api-key}",
    "ledger": "aito_sync",
}
TABLE = {
    "name": "web",
    "source": "site.pages",
    "key": "id",
    "cursor": "{source: at, column: at_unix}",
}


def in_table(**parts: str | None) -> str:
    """A file with one table, with these keys of the table exchanged, added or (None) left out."""
    return in_file(tables=f"\n  - {block(TABLE | parts, indent='    ').strip()}")


def in_file(**parts: str | None) -> str:
    """A file with these keys of the top level exchanged, added or (None) left out."""
    table = f"\n  - {block(TABLE, indent='    ').strip()}"
    return block({**FILE, "tables": table} | parts)


def block(parts: dict[str, str | None] | dict[str, str], indent: str = "") -> str:
    return "".join(f"{indent}{key}: {value}\n" for key, value in parts.items() if value is not None)


def linked(*tables: tuple[str, str]) -> str:
    """A file with tables of these names and links, such as `("web", "user.id")`; no link: ''."""
    column = "{{id: , parent: {{link: {link}}}}}"
    return in_file(
        tables="".join(
            "\n  - "
            + block(
                TABLE | {"name": name} | ({"columns": column.format(link=link)} if link else {}),
                "    ",
            ).strip()
            for name, link in tables
        )
    )


def message(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        config.parse(text)
    return str(caught.value)


def only_table(text: str) -> config.TableSettings:
    return config.parse(text).tables[0]


# --- what is read

EVERYTHING = """
aito:
  url: https://my-db.aito.app
  api_key_secret: projects/P/secrets/S/versions/7
  requests_per_second: 4.5
  timeout_seconds: 30
bigquery: {project: my-project, location: EU, max_bytes_billed: 1000}
ledger: my-project.aito_sync
batch: {rows: 10, bytes: 5000}
time_budget_seconds: 500
topic: projects/P/topics/T
tables:
  - name: aito_segment_web
    source: aito_ai_website.pages
    key: id
    cursor:
      source: timestamp
      zone: Europe/Helsinki
      column: unix_timestamp
    columns:
      id:
      anonymous_id: {link: aito_segment_user.id}
      search: {type: Text, analyzer: en}
      page: {sql: "LOWER(context_page_path)", type: String, nullable: true}
      referrer:
      context_campaign_source:
    enabled: false
    where: |
      status != 'WHERE; )'  -- not ( the test rows;
    lookback: 2h
    keep: 90d
    purge: {max_share: 0.25}
    delete: {max_share: 0.2}
    rejects: {max_share: 0, keep_document: false}
    evaluate:
      - name: campaign-source
        predict: context_campaign_source
        given: [page, referrer, anonymous_id.device]
        test: newest 7d
        cases: 50
        min_accuracy: 0.6
      - name: raw
        query: {test: {$index: {$mod: [4, 0]}}, evaluate: {from: aito_segment_web, predict: page}}
  - name: aito_segment_user
    query: "SELECT *, ';' AS sign FROM d.users;"
    mode: merge
    key: id
    cursor: {source: received_at, unit: ms, column: updated_unix}
"""


DOCUMENTED = """
aito:
  url: https://my-db.aito.app
  api_key_secret: aito-api-key
  requests_per_second: 10
  timeout_seconds: 60
bigquery:
  project: my-project
  location: EU
  max_bytes_billed: 10737418240
ledger: aito_sync
batch: {rows: 1000, bytes: 5000000}
time_budget_seconds: 1500
topic: projects/P/topics/T
tables:
  - name: aito_segment_user
    source: aito_ai_website.users_view
    mode: merge
    key: id
    cursor: {source: received_at, column: updated_unix}
  - name: aito_segment_web
    source: aito_ai_website.pages
    enabled: true
    key: id
    cursor:
      source: timestamp
      unit: s
      zone: UTC
      column: unix_timestamp
    columns:
      id:
      anonymous_id: {link: aito_segment_user.id}
      search: {type: Text, analyzer: en}
      page: {sql: "LOWER(context_page_path)", type: String, nullable: true}
    where: "status != 'test'"
    lookback: 1h
    keep: 90d
    purge: {max_share: 0.5}
    delete: {max_share: 0.1}
    rejects: {max_share: 0.01, keep_document: true}
    evaluate:
      - name: campaign-source
        predict: context_campaign_source
        given: [context_page_path, referrer]
        test: {$index: {$mod: [10, 0]}}
        cases: 500
        min_accuracy: 0.6
      - name: raw
        query: {test: {...}, evaluate: {...}}
"""


def test_the_documented_example_is_valid() -> None:
    """The example that explains the file can be copied as it is; parents come first."""
    settings = config.parse(DOCUMENTED)
    assert [table.name for table in settings.parents_first()] == [
        "aito_segment_user",
        "aito_segment_web",
    ]
    assert settings.table("aito_segment_web").links == {"anonymous_id": ("aito_segment_user", "id")}


def test_every_key_is_read() -> None:
    """What the file says is what the settings hold; durations become seconds."""
    settings = config.parse(EVERYTHING)
    web, user = settings.tables
    assert (settings.aito.requests_per_second, settings.aito.timeout_seconds) == (4.5, 30)
    assert settings.bigquery == config.BigQuerySettings(
        project="my-project", location="EU", max_bytes_billed=1000
    )
    assert (settings.batch.rows, settings.batch.bytes, settings.time_budget_seconds) == (
        10,
        5000,
        500,
    )
    assert (settings.ledger, settings.topic) == ("my-project.aito_sync", "projects/P/topics/T")
    assert (web.delete.max_share, user.delete.max_share) == (0.2, 0.1)
    assert (web.rejects.keep_document, user.rejects.keep_document) == (False, True)
    assert web.where == "status != 'WHERE; )'  -- not ( the test rows;"
    assert (web.enabled, user.enabled) == (False, True)
    assert web.cursor == config.CursorSettings(
        source="timestamp", zone="Europe/Helsinki", column="unix_timestamp"
    )
    assert (web.lookback, web.keep, web.purge.max_share, web.rejects.max_share) == (
        7200,
        90 * 86400,
        0.25,
        0,
    )
    assert user.cursor == config.CursorSettings(
        source="received_at", unit="ms", column="updated_unix"
    )
    assert web.columns is not None
    assert web.columns["id"] == config.ColumnSettings()
    assert web.columns["page"] == config.ColumnSettings(
        sql="LOWER(context_page_path)", type="String", nullable=True
    )
    assert web.evaluate[0].given == ("page", "referrer", "anonymous_id.device")
    assert web.evaluate[0].newest_seconds == 7 * 86400
    assert web.evaluate[0].cases == 50
    assert web.evaluate[1].query == {
        "test": {"$index": {"$mod": [4, 0]}},
        "evaluate": {"from": "aito_segment_web", "predict": "page"},
    }
    assert user.query == "SELECT *, ';' AS sign FROM d.users"


def test_defaults() -> None:
    """A short file is a whole configuration."""
    settings = config.parse(in_table(evaluate="[{name: e, predict: a, given: [b]}]"))
    table = settings.tables[0]
    assert (settings.aito.requests_per_second, settings.aito.timeout_seconds) == (10, 60)
    assert settings.bigquery == config.BigQuerySettings(
        project=None, location=None, max_bytes_billed=10 * 2**30
    )
    assert (settings.batch.rows, settings.batch.bytes) == (1000, 5_000_000)
    assert (settings.time_budget_seconds, settings.topic) == (1500, None)
    assert (table.mode, table.columns, table.query) == ("append", None, None)
    assert (table.lookback, table.keep) == (3600, None)
    assert (table.purge.max_share, table.rejects.max_share) == (0.5, 0.01)
    assert table.evaluate[0].test == {"$index": {"$mod": [10, 0]}}
    assert table.evaluate[0].newest_seconds is None
    assert table.evaluate[0].cases == 500


def test_the_columns_of_a_key() -> None:
    """Their names are those of `columns`, whatever their case in `key`."""
    single = only_table(in_table(key="ID", columns="{Id: , a: }"))
    assert (single.key_name, single.key_parts, single.key_columns) == ("Id", ("Id",), ("Id",))
    several = only_table(in_table(key="[ID, line]", key_column="row", columns="{id: , Line: }"))
    assert (several.key_name, several.key_parts) == ("row", ("id", "Line"))
    assert several.key_columns == ("id", "Line", "row")
    keyless = only_table(in_table(key=None, cursor=None, mode="replace"))
    assert (keyless.key_name, keyless.key_columns) == (None, ())


def test_settings_are_frozen() -> None:
    """Nobody changes the settings after they were read."""
    settings = config.parse(in_file())
    with pytest.raises(pydantic.ValidationError):
        settings.ledger = "other"  # type: ignore[misc]  # that is what is tested


ACCEPTED = {
    "deletes by a column of a query": in_table(
        source=None, query="SELECT 1", deletes="is_deleted", columns="{id: }"
    ),
    "key in another case": in_table(key="Id", columns="{id: , a: }"),
    "key of several columns": in_table(key="[id, Line]", columns="{id: , line: {type: Text}}"),
    "key in a list": in_table(key="[id]", columns="{id: }"),
    "link to the column of a composite key": in_file(
        tables="""
  - {name: lines, source: a.b, mode: replace, key: [o, l], columns: {o: , l: }}
  - name: returns
    source: a.c
    mode: replace
    columns: {line: {sql: "CONCAT(o, '|', l)", link: lines.sync_key}}
"""
    ),
    "shared URL": in_file(aito="{url: 'https://shared.aito.ai/db/my-db'}"),
    "http on loopback": in_file(aito="{url: 'http://127.0.0.1:9005'}"),
    "http on IPv6 loopback": in_file(aito="{url: 'http://[::1]:9005'}"),
    "http to a named host": in_file(aito="{url: 'http://aito:9005', http_host: AITO}"),
    "sheets": in_file(bigquery="{drive: true}"),
    "regional secret": in_file(
        aito="{url: https://x.aito.app, api_key_secret: projects/P/locations/eu-west1/secrets/S}"
    ),
    "alias of a version": in_file(
        aito="{url: https://x.aito.app, api_key_secret: projects/P/secrets/S/versions/Live_1}"
    ),
    "http on localhost": in_file(aito="{url: 'http://localhost:9005/db/x'}"),
    "secret by path": in_file(
        aito="{url: https://x.aito.app, api_key_secret: projects/P/secrets/S}"
    ),
    "project with hyphens": in_table(source="my-project-1.site.pages"),
    "project of a domain": in_table(source="'example.com:my-project.site.pages'"),
    "table with a hyphen": in_table(source="site.pages-2025"),
    "WITH": in_table(source=None, query="WITH a AS (SELECT 1) SELECT * FROM a"),
    "comment before SELECT": in_table(source=None, query='"-- pages; all of them\\n(SELECT 1)"'),
    "comment after the semicolon": in_table(source=None, query='"SELECT 1; -- the end;\\n"'),
    "pipe syntax": in_table(source=None, query='"FROM d.t |> WHERE a > 1 |> SELECT a"'),
    "all columns": in_table(columns="{'*': }"),
    "all columns, less some": in_table(columns="{'*': {except: [raw]}, a: {type: Text}}"),
    "a table a day": in_table(source="'my-project.analytics_1.events_*'", intraday="true"),
    "no lookback": in_table(lookback="0s"),
    "cursor column declared": in_table(columns="{id: , at_unix: {type: Int}}"),
    "replace without key": in_table(mode="replace", key=None, cursor=None),
    "replace with key": in_table(mode="replace", cursor=None),
    "given may be the cursor": in_table(
        columns="{id: , a: }", evaluate="[{name: e, predict: a, given: [at_unix]}]"
    ),
    "evaluates a column made elsewhere": in_table(
        columns="{id: }", evaluate="[{name: e, predict: referrer}]"
    ),
    "offset as zone": in_table(cursor="{source: at, zone: '+02:00', column: u}"),
    "analyzer as mapping": in_table(
        columns="{id: , a: {type: Text, analyzer: {type: delimiter, delimiter: '|'}}}"
    ),
    "link to a table elsewhere": in_table(columns="{id: , a: {link: other.id}}"),
    "YAML 1.1 words": in_table(columns="{id: , a: {nullable: yes}}"),
    "anchor and merge": in_file(
        tables=(
            "\n  - &base {name: a, source: d.a, key: id, cursor: {source: t, column: u}}\n  - {<<:"
            " *base, name: b}"
        )
    ),
}


@pytest.mark.parametrize("text", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepted(text: str) -> None:
    """What is unusual but right is not refused."""
    assert config.parse(text).tables


def test_a_trailing_slash_of_the_url_goes() -> None:
    """Paths can be added to the URL as it is."""
    assert (
        config.parse(in_file(aito="{url: 'https://shared.aito.ai/db/x/'}")).aito.url
        == "https://shared.aito.ai/db/x"
    )


def test_a_date_is_text() -> None:
    """YAML would make a date of it, which no JSON body can hold."""
    query = "{test: {day: 2025-11-01}, evaluate: {predict: a}}"
    assert only_table(in_table(evaluate=f"[{{name: e, query: {query}}}]")).evaluate[0].query == {
        "test": {"day": "2025-11-01"},
        "evaluate": {"predict": "a"},
    }


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("SELECT 1; -- the end;\n", "SELECT 1"),
        ("SELECT ';' AS a -- not; yet", "SELECT ';' AS a -- not; yet"),
        ("  SELECT 1 ;  ", "SELECT 1"),
        ("SELECT 1 /* ; */ ; # done", "SELECT 1 /* ; */"),
    ],
)
def test_a_query_ends_at_its_semicolon(text: str, query: str) -> None:
    """The closing semicolon goes, with the comment after it; one in a text or comment stays."""
    assert only_table(in_table(source=None, query=json.dumps(text))).query == query


# --- durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90d", 7_776_000), ("12h", 43_200), ("30m", 1_800), ("45s", 45), ("0s", 0)],
)
def test_durations(text: str, seconds: int) -> None:
    """A number and a unit make seconds."""
    assert config.duration(text) == seconds


@unhurried
@given(st.text(max_size=8).filter(lambda text: not re.fullmatch("[0-9]+[dhms]", text)))
def test_other_text_is_no_duration(text: str) -> None:
    """Whatever is not a number and a unit is refused, digits of other scripts too."""
    with pytest.raises(ValueError, match="must be a duration such as 90d, 12h, 30m or 45s"):
        config.duration(text)


@unhurried
@given(st.integers(min_value=0, max_value=36_500), st.sampled_from("dhms"))
def test_units_agree(number: int, unit: str) -> None:
    """A duration is its number times the length of its unit."""
    assert config.duration(f"{number}{unit}") == number * config.duration(f"1{unit}")


# --- order


def test_parents_come_first() -> None:
    """A table comes after those it links to, whatever the order in the file."""
    settings = config.parse(
        linked(("visit", "web.id"), ("free", ""), ("web", "user.id"), ("user", ""))
    )
    assert [table.name for table in settings.parents_first()] == ["free", "user", "web", "visit"]
    assert settings.table("visit").links == {"parent": ("web", "id")}
    assert settings.table("visit").parents == ("web",)


def test_the_order_of_the_file_is_kept() -> None:
    """Where links do not decide,
    tables are handled in the order in which they were written down.
    """
    settings = config.parse(linked(("c", ""), ("a", "elsewhere.id"), ("b", "c.id")))
    assert [table.name for table in settings.parents_first()] == ["c", "a", "b"]


@unhurried
@given(st.permutations(["a", "b", "c", "d", "e"]))
def test_any_order_is_put_right(names: list[str]) -> None:
    """A chain of links comes out the same however it is shuffled."""
    chain = {"a": "", "b": "a.id", "c": "b.id", "d": "c.id", "e": "d.id"}
    settings = config.parse(linked(*((name, chain[name]) for name in names)))
    assert [table.name for table in settings.parents_first()] == list("abcde")


def test_no_such_table() -> None:
    """Asking for a table that is not there is a KeyError."""
    with pytest.raises(KeyError):
        config.parse(in_file()).table("nowhere")


# --- mistakes


class Broken(NamedTuple):
    """A configuration with a mistake, and what the message must hold: where, what, and what would
    be right.
    """

    what: str
    text: str
    pieces: tuple[str, ...]


def columns(declared: str, **parts: str | None) -> str:
    return in_table(columns=declared, **parts)


def evaluate(entry: str, **parts: str | None) -> str:
    return in_table(evaluate=f"[{entry}]", **parts)


def url(text: str) -> str:
    return in_file(aito=f"{{url: '{text}'}}")


BROKEN = [
    # the file itself
    Broken("empty file", "", ("sync.yaml: the file is empty", "aito, ledger and tables")),
    Broken("only a comment", "# later\n", ("the file is empty",)),
    Broken("list at the top", "- aito\n", ("a list at the top", "must be a mapping")),
    Broken("text at the top", "aito\n", ("a single value at the top",)),
    Broken("syntax", "aito: {url: x\nledger: y\n", ("line 2", "column", "not YAML")),
    Broken("tab", "aito:\n\turl: x\n", ("line 2, column 1", "tab", "spaces")),
    Broken("control character", "aito: x\nledger: \x01\n", ("line 2", "control character")),
    Broken("two documents", f"{in_file()}---\n{in_file()}", ("another document",)),
    Broken(
        "key twice",
        f"{in_file()}ledger: other\n",
        ("line 8", "'ledger' is written twice, first on line 2"),
    ),
    Broken("key twice, deep", columns("{id: , a: , id: }"), ("line 8", "'id' is written twice")),
    Broken("key that is no text", columns("{id: , on: }"), ("line 8", "'on'", "put it in quotes")),
    Broken("alias in itself", "aito: &a {url: *a}\n", ("line 1", "alias")),
    Broken("undefined alias", "aito: *a\n", ("line 1, column 7", "undefined alias")),
    Broken(
        "aliases of aliases",
        "a: &a [one, two, three, four, five]\n"
        + "".join(
            f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]\n"
            for before, after in itertools.pairwise("abcdefghij")
        ),
        ("its aliases (*) repeat more than 20 MB of text", "repeat less"),
    ),
    Broken(
        "merged aliases of aliases",
        "a: &a {k: v}\n"
        + "".join(
            f"{after}: &{after} {{<<: [{', '.join([f'*{before}'] * 9)}]}}\n"
            for before, after in itertools.pairwise("abcdefghij")
        ),
        ("its aliases (*) repeat more than 20 MB of text",),
    ),
    Broken("nested without end", "a: " + "[" * 100_000, ("line 1", "more than 100 levels deep")),
    Broken(
        "nested without end, in blocks",
        "- " * 100_000,
        ("line 1", "more than 100 levels deep"),
    ),
    Broken("YAML tag", in_file(ledger="!!python/name:os.system x"), ("line 2", "tag")),
    Broken("tag that does not fit", in_file(ledger="!!int x"), ("tag",)),
    # keys
    Broken(
        "unknown key",
        in_table(lokback="1h"),
        ("line 8", "tables[0].lokback (table 'web')", "mean 'lookback'?"),
    ),
    Broken(
        "unlike any key",
        in_file(colour="red"),
        ("colour: unknown key", "known here: aito, bigquery, ledger"),
    ),
    Broken(
        "misspelt required key",
        in_table(name=None, nmae="web"),
        ("tables[0].nmae", "did you mean 'name'?"),
    ),
    Broken(
        "unknown key of a column",
        columns("{id: {tpye: Int}}"),
        ("tables[0].columns.id.tpye", "mean 'type'?"),
    ),
    Broken("missing at the top", in_file(aito=None), ("aito: is missing", "Aito database")),
    Broken(
        "missing deep",
        in_table(cursor="{source: at}"),
        ("line 7", "tables[0].cursor.column", "is missing", "epoch"),
    ),
    Broken(
        "table without name",
        in_table(name=None, key="id"),
        ("tables[0].name: is missing; add `name: orders` (the Aito table",),
    ),
    Broken(
        "no tables",
        in_file(tables="[]"),
        ("tables: must list at least one table, such as [{name: orders",),
    ),
    Broken(
        "table without anything",
        in_file(tables="[null]"),
        ("tables[0]: must be a mapping", "nothing stands there"),
    ),
    # types
    Broken(
        "mapping for a list",
        in_file(tables="{web: {}}"),
        ("tables: must be a list such as [{name: orders", "not a mapping"),
    ),
    Broken(
        "text for a mapping",
        in_file(aito="https://x.aito.app"),
        ("aito: must be a mapping", "not text"),
    ),
    Broken(
        "number for text",
        in_table(name="5"),
        ("tables[0].name: must be text such as orders, not a number", "quotes"),
    ),
    Broken(
        "nothing for text", in_file(ledger=""), ("ledger: must be text", "nothing stands there")
    ),
    Broken(
        "text for a number",
        in_file(batch="{rows: '5'}"),
        ("batch.rows: must be a whole number, not '5' (take the quotes away)",),
    ),
    Broken(
        "fraction for a whole number",
        in_file(batch="{rows: 1.5}"),
        ("batch.rows: must be a whole number",),
    ),
    Broken(
        "true for a number",
        in_file(batch="{rows: true}"),
        ("batch.rows: must be a whole number", "true or false"),
    ),
    Broken(
        "text for true",
        columns("{id: , a: {nullable: 'yes'}}"),
        (".a.nullable", "must be true or false, not 'yes'"),
    ),
    Broken("no finite number", in_file(time_budget_seconds=".inf"), ("line 8", "finite")),
    Broken(
        "unknown mode",
        in_table(mode="upsert"),
        ("tables[0].mode", "'append', 'merge' or 'replace'"),
    ),
    Broken(
        "unknown type",
        columns("{id: {type: Integer}}"),
        ("columns.id.type", "'String'", "'Boolean[]'"),
    ),
    Broken(
        "text for enabled",
        in_table(enabled="'no'"),
        ("tables[0].enabled (table 'web'): must be true or false, not 'no'",),
    ),
    Broken(
        "unknown unit",
        in_table(cursor="{source: at, unit: ns, column: u}"),
        ("tables[0].cursor.unit", "must be one of 's', 'ms' or 'us'"),
    ),
    Broken(
        "unknown zone",
        in_table(cursor="{source: at, zone: Europe/Helsinky, column: u}"),
        ("tables[0].cursor.zone", "'Europe/Helsinky'", "did you mean 'Europe/Helsinki'?"),
    ),
    Broken(
        "no zone",
        in_table(cursor="{source: at, zone: '2 h', column: u}"),
        ("tables[0].cursor.zone", "such as UTC, Europe/Helsinki or +02:00"),
    ),
    Broken(
        "unit and zone",
        in_table(cursor="{source: at, zone: Europe/Paris, unit: ms, column: u}"),
        ("tables[0].cursor.unit", "`zone` for a DATETIME or DATE"),
    ),
    Broken(
        "where beside a query",
        in_table(source=None, query="SELECT 1", where="a = 1"),
        ("tables[0].where", "goes with `source`", "into the query"),
    ),
    Broken("where with WHERE", in_table(where="where a = 1"), ("leave the word WHERE out",)),
    Broken("two conditions", in_table(where="a = 1; b = 2"), ("take the semicolons out",)),
    Broken("open brackets", in_table(where="a = 1) OR (b = 2"), ("its brackets do not match",)),
    Broken("no condition", in_table(where="' '"), ("tables[0].where", "must not be empty")),
    Broken(
        "document as text",
        in_table(rejects="{keep_document: 'off'}"),
        ("tables[0].rejects.keep_document", "must be true or false"),
    ),
    Broken(
        "star within a source",
        in_table(source="'site.events_*_eu'"),
        ("tables[0].source", "must be 'dataset.table'"),
    ),
    Broken("star for a source", in_table(source="'site.*'"), ("must be 'dataset.table'",)),
    Broken(
        "intraday of one table",
        in_table(intraday="true"),
        ("tables[0].intraday", "such as `dataset.events_*`"),
    ),
    Broken(
        "except of one column",
        in_table(columns="{id: {except: [a]}}"),
        ("tables[0].columns.id.except", "goes with the column '*'"),
    ),
    Broken(
        "more of a star",
        in_table(columns="{id: , '*': {type: Text}}"),
        ("tables[0].columns.*", "it has `except` alone"),
    ),
    Broken(
        "misspelt except",
        in_table(columns="{id: , '*': {exept: [a]}}"),
        ("unknown key 'exept'; did you mean 'except'?",),
    ),
    # numbers
    Broken(
        "share over one",
        in_table(purge="{max_share: 50}"),
        ("tables[0].purge.max_share", "at most 1"),
    ),
    Broken(
        "percent of deletions",
        in_table(delete="{max_share: 10}"),
        ("tables[0].delete.max_share", "at most 1"),
    ),
    Broken(
        "slip in the guard of deletions",
        in_table(delete="{max_shares: 0.1}"),
        ("tables[0].delete.max_shares", "did you mean 'max_share'?"),
    ),
    Broken(
        "share below zero",
        in_table(rejects="{max_share: -0.1}"),
        ("rejects.max_share", "at least 0"),
    ),
    Broken("no rows", in_file(batch="{rows: 0}"), ("batch.rows: must be at least 1",)),
    Broken(
        "too many rows", in_file(batch="{rows: 100001}"), ("batch.rows: must be at most 100000",)
    ),
    Broken(
        "more than Aito takes",
        in_file(batch="{bytes: 10000000}"),
        ("batch.bytes: must be at most 9500000",),
    ),
    Broken(
        "standing still",
        in_file(aito="{url: 'https://x', requests_per_second: 0}"),
        ("second: must be greater than 0",),
    ),
    Broken(
        "no time-out",
        in_file(aito="{url: 'https://x', timeout_seconds: -1}"),
        ("timeout_seconds: must be greater",),
    ),
    Broken(
        "budget over the limit",
        in_file(time_budget_seconds="3600"),
        ("time_budget_seconds: must be at most 3500",),
    ),
    Broken(
        "no budget",
        in_file(bigquery="{max_bytes_billed: 0}"),
        ("max_bytes_billed: must be greater than 0",),
    ),
    # durations
    Broken(
        "duration as number",
        in_table(lookback="3600"),
        ("tables[0].lookback", "90d, 12h, 30m or 45s"),
    ),
    Broken("unit unknown", in_table(keep="3w"), ("tables[0].keep", "90d", "'3w'")),
    Broken("keep nothing", in_table(keep="0d"), ("tables[0].keep", "greater than 0")),
    Broken("over a century", in_table(keep="999999999d"), ("tables[0].keep", "at most 36500d")),
    Broken(
        "keep inside lookback",
        in_table(keep="12h", lookback="1d"),
        (".keep", "longer than lookback (1d), not 12h"),
    ),
    Broken(
        "keep inside the default",
        in_table(keep="30m"),
        ("longer than lookback (1h, the default), not 30m",),
    ),
    # the URL and the names of things
    Broken(
        "http to another host",
        in_file(aito="{url: 'http://db:9005', http_host: aito}"),
        ("aito.url", "aito.http_host"),
    ),
    Broken("plain http", url("http://my-db.aito.app"), ("line 1", "aito.url", "https://")),
    Broken("no URL", url("my-db.aito.app"), ("aito.url", "such as https://my-db.aito.app")),
    Broken("bad port", url("https://my-db.aito.app:http"), ("aito.url: is not a URL",)),
    Broken(
        "API path",
        url("https://my-db.aito.app/api/v1/"),
        ("aito.url", "must not hold /api", "the rest is added"),
    ),
    Broken(
        "query in the URL",
        url("https://my-db.aito.app?x=1"),
        ("aito.url", "query", "api_key_secret"),
    ),
    Broken(
        "bad secret",
        in_file(aito="{url: 'https://x', api_key_secret: a/b}"),
        ("api_key_secret", "projects/P/secrets/S"),
    ),
    Broken("name with a slash", in_table(name="a/b"), ("tables[0].name", "without /", "'a/b'")),
    Broken("name with a space", in_table(key="the id"), ("tables[0].key", "white space")),
    Broken("column with a dot", columns("{id: , a.b: }"), ("tables[0].columns.a.b", "without /")),
    Broken("empty name", in_table(name="''"), ("tables[0].name: must be a name",)),
    Broken(
        "bad ledger",
        in_file(ledger="a.b.c"),
        ("line 2", "ledger", "'dataset' or 'project.dataset'"),
    ),
    Broken(
        "bad topic",
        in_file(topic="continue"),
        ("topic", "such as projects/my-project/topics/my-topic"),
    ),
    Broken(
        "bad project",
        in_file(bigquery="{project: my project}"),
        ("bigquery.project: must be a project id",),
    ),
    Broken(
        "source without dataset",
        in_table(source="pages"),
        ("line 5", "tables[0].source", "'dataset.table'"),
    ),
    Broken(
        "source in backticks",
        in_table(source="'`site.pages`'"),
        ("tables[0].source", "without backticks"),
    ),
    Broken(
        "cursor of an expression",
        in_table(cursor="{source: DATE(at), column: u}"),
        ("cursor.source", "one column"),
    ),
    # where rows come from
    Broken(
        "source and query",
        in_table(query="SELECT 1"),
        ("exactly one of `source` and `query`", "both are there"),
    ),
    Broken(
        "neither",
        in_table(source=None),
        ("tables[0] (table 'web')", "exactly one of `source`", "neither is there"),
    ),
    Broken(
        "no SELECT",
        in_table(source=None, query="DELETE FROM d.t"),
        ("tables[0].query", "SELECT, WITH or FROM"),
    ),
    Broken(
        "two statements",
        in_table(source=None, query="SELECT 1; SELECT 2"),
        ("tables[0].query", "one SELECT"),
    ),
    # modes
    Broken(
        "append without cursor",
        in_table(cursor=None),
        ("mode append needs `cursor`", "`mode: replace`"),
    ),
    Broken(
        "merge without anything",
        in_table(mode="merge", key=None, cursor=None),
        ("mode merge needs `key`", "write `key: id`", "and `cursor` to find new rows"),
    ),
    Broken("cursor without key", in_table(key=None), ("mode append needs `key`",)),
    Broken(
        "replace with cursor",
        in_table(mode="replace"),
        ("line 7", "tables[0].cursor", "no new rows to pick"),
    ),
    Broken(
        "replace with keep",
        in_table(mode="replace", cursor=None, keep="9d"),
        ("tables[0].keep", "nothing to purge"),
    ),
    Broken(
        "replace with lookback",
        in_table(mode="replace", cursor=None, lookback="1h"),
        (".lookback", "no watermark"),
    ),
    Broken(
        "table twice",
        linked(("web", ""), ("web", "")),
        ("tables[1].name", "'web' is there twice", "tables[0]"),
    ),
    # columns
    Broken("no columns", columns("{}"), ("tables[0].columns", "must not be empty")),
    Broken(
        "key not declared",
        columns("{idd: , a: }"),
        ("tables[0].key", "'id' is not one of", "did you mean 'idd'?"),
    ),
    Broken(
        "part of the key not declared",
        in_table(key="[id, line]", columns="{id: , lines: }"),
        ("tables[0].key", "'line' is not one of", "did you mean 'lines'?"),
    ),
    Broken(
        "part of the key that may be absent",
        in_table(key="[id, line]", columns="{id: , line: {nullable: true}}"),
        ("tables[0].columns.line.nullable", "a row without it has no identity"),
    ),
    Broken(
        "deletes of a swap",
        in_table(mode="replace", cursor=None, deletes="gone"),
        ("tables[0].deletes", "which row of a key is the last", "by `where`", "mode merge"),
    ),
    Broken(
        "deletes of a swap of a query",
        in_table(mode="replace", cursor=None, source=None, query="SELECT 1", deletes="gone"),
        ("tables[0].deletes", "into the query"),
    ),
    Broken("deletes is no text", in_table(deletes="true"), ("tables[0].deletes", "must be text")),
    Broken(
        "deletes begins with WHERE",
        in_table(deletes="WHERE gone"),
        ("tables[0].deletes", "leave the word WHERE out"),
    ),
    Broken("key without columns", in_table(key="[]"), ("tables[0].key", "[order_id, line]")),
    Broken("number as key", in_table(key="5"), ("tables[0].key", "a list of columns")),
    Broken("number in the key", in_table(key="[id, 5]"), ("tables[0].key", "each of them text")),
    Broken(
        "space in a part of the key",
        in_table(key="[id, the line]"),
        ("tables[0].key", "'the line'", "white space"),
    ),
    Broken(
        "part of the key twice",
        in_table(key="[id, ID]"),
        ("tables[0].key", "'ID' twice", "without case"),
    ),
    Broken(
        "key_column of a single key",
        in_table(key_column="row"),
        ("tables[0].key_column", "for a key of several columns"),
    ),
    Broken(
        "key_column that is a column",
        in_table(key="[a, b]", key_column="Row", columns="{a: , b: , row: }"),
        ("tables[0].columns.row", "made of a and b", "another name"),
    ),
    Broken(
        "key_column that is a part",
        in_table(key="[a, b]", key_column="A"),
        ("tables[0].key_column", "a part of the key"),
    ),
    Broken(
        "key_column that holds the cursor",
        in_table(key="[a, b]", key_column="u", cursor="{source: at, column: U}"),
        ("tables[0].cursor.column", "this one is the key"),
    ),
    Broken(
        "cursor as a part of the key",
        in_table(key="[a, U]", cursor="{source: at, column: u}"),
        ("tables[0].cursor.column", "a part of the key", "another name"),
    ),
    Broken(
        "Text key",
        columns("{id: {type: Text}}"),
        ("columns.id.type", "cannot be the key", "String, Int or Long"),
    ),
    Broken(
        "nullable key",
        columns("{id: {nullable: true}}"),
        ("columns.id.nullable", "the key cannot be nullable"),
    ),
    Broken(
        "cursor is the key",
        in_table(cursor="{source: at, column: id}"),
        ("cursor.column", "column of its own"),
    ),
    Broken(
        "cursor column with SQL",
        columns("{id: , at_unix: {sql: 'UNIX(a)'}}"),
        ("at_unix.sql", "leave `sql` out"),
    ),
    Broken(
        "cursor column of text",
        columns("{id: , at_unix: {type: String}}"),
        ("at_unix.type", "Int, not String"),
    ),
    Broken(
        "analyzer without type",
        columns("{id: , a: {analyzer: en}}"),
        ("columns.a.analyzer", "remove it, or set `type: Text`"),
    ),
    Broken(
        "analyzer of a String",
        columns("{id: , a: {type: String, analyzer: en}}"),
        ("`type: Text` in place of String",),
    ),
    Broken(
        "analyzer as a list",
        columns("{id: , a: {type: Text, analyzer: [en]}}"),
        ("analyzer", "text or a mapping"),
    ),
    Broken("empty SQL", columns("{id: , a: {sql: ' '}}"), ("columns.a.sql", "must not be empty")),
    # links
    Broken(
        "link without column",
        columns("{id: , a: {link: user}}"),
        ("columns.a.link", "'table.column'"),
    ),
    Broken(
        "link to no column",
        linked(("a", "b.x"), ("b", "c.id")),
        ("parent.link", "'b' has no column 'x'", "id, parent"),
    ),
    Broken(
        "circle", linked(("a", "b.id"), ("b", "c.id"), ("c", "a.id")), ("circle (a → b → c → a)",)
    ),
    Broken(
        "self link",
        linked(("web", "web.id")),
        ("tables[0].columns.parent.link", "circle (web → web)"),
    ),
    Broken(
        "circle behind a table",
        linked(("x", "a.id"), ("a", "b.id"), ("b", "a.id")),
        ("circle (a → b → a)",),
    ),
    Broken(
        "link to a composite key",
        in_file(
            tables="""
  - {name: lines, source: a.b, mode: replace, key: [o, l], columns: {o: , l: }}
  - {name: returns, source: a.c, mode: replace, columns: {line: {link: lines.sync_key}}}
"""
        ),
        (
            "tables[1].columns.line.link",
            "lines.sync_key is made of o and l",
            "CONCAT(CAST(o AS STRING), '|', CAST(l AS STRING))",
        ),
    ),
    # evaluations
    Broken(
        "evaluation twice",
        evaluate("{name: e, predict: a}, {name: e, predict: b}"),
        ("evaluate[1].name", "twice"),
    ),
    Broken(
        "nothing to predict",
        evaluate("{name: e}"),
        ("exactly one of `predict` and `query`", "neither is there"),
    ),
    Broken(
        "predict and query",
        evaluate("{name: e, predict: a, query: {evaluate: {}}}"),
        ("both are there",),
    ),
    Broken(
        "query without evaluate",
        evaluate("{name: e, query: {predict: a}}"),
        ("evaluate[0].query", "key `evaluate`"),
    ),
    Broken(
        "no cases",
        evaluate("{name: e, predict: a, cases: 0}"),
        ("evaluate[0].cases", "at least 1"),
    ),
    Broken(
        "cases and query",
        evaluate("{name: e, cases: 9, query: {evaluate: {}}}"),
        ("cases", "leave `cases` out"),
    ),
    Broken(
        "given and query",
        evaluate("{name: e, given: [a], query: {evaluate: {}}}"),
        ("given", "leave `given` out"),
    ),
    Broken(
        "predict no column",
        columns("{id: , page: }", evaluate="[{name: e, predict: pgae}]"),
        ("mean 'page'?",),
    ),
    Broken(
        "given no column",
        columns("{id: , a: , page: }", evaluate="[{name: e, predict: a, given: [id, paeg]}]"),
        (
            "tables[0].evaluate[0].given[1]",
            "'paeg' is not one of the columns; did you mean 'page'?",
        ),
    ),
    Broken(
        "given no column of the linked table",
        in_file(
            tables="""
  - {name: user, source: d.u, key: id, cursor: {source: t, column: u}, columns: {id: , device: }}
  - name: web
    source: d.w
    key: id
    cursor: {source: t, column: u}
    columns: {id: , who: {link: user.id}, a: }
    evaluate: [{name: e, predict: a, given: [who.divice]}]
"""
        ),
        (
            "line 10",
            "evaluate[0].given[0] (table 'web')",
            "'divice' is not one",
            "did you mean 'device'?",
        ),
    ),
    Broken(
        "given behind no link",
        columns("{id: , a: }", evaluate="[{name: e, predict: a, given: [id.b]}]"),
        ("evaluate[0].given[0]", "'id' has no link to follow"),
    ),
    Broken(
        "two links deep",
        evaluate("{name: e, predict: a, given: [a.b.c]}"),
        ("given[0]", "visitor.device"),
    ),
    Broken(
        "predicted from itself",
        evaluate("{name: e, predict: a, given: [a]}"),
        ("'a' would be predicted from itself",),
    ),
    Broken(
        "odd test",
        evaluate("{name: e, predict: a, test: latest 7d}"),
        ("evaluate[0].test", "`newest 7d`"),
    ),
    Broken(
        "newest nothing",
        evaluate("{name: e, predict: a, test: newest 0d}"),
        ("test", "must be longer than 0"),
    ),
    Broken(
        "newest without cursor",
        evaluate("{name: e, predict: a, test: newest 7d}", mode="replace", cursor=None),
        ("evaluate[0].test", "goes by the cursor"),
    ),
    Broken(
        "nothing older",
        evaluate("{name: e, predict: a, test: newest 7d}", keep="7d"),
        ("nothing older", "keep is 7d"),
    ),
    Broken(
        "accuracy in percent",
        evaluate("{name: e, predict: a, min_accuracy: 60}"),
        ("min_accuracy", "at most 1"),
    ),
]


@pytest.mark.parametrize("case", BROKEN, ids=[case.what for case in BROKEN])
def test_broken(case: Broken) -> None:
    """One mistake makes one line, which says where it is, what it is and what would be right."""
    told = message(case.text)
    for piece in case.pieces:
        assert piece in told
    assert len(told.splitlines()) <= 2


def test_every_mistake_is_told_at_once() -> None:
    """Mistakes in YAML, in single values and between values come in one message, in the order of
    the file.
    """
    told = message("""\
aito:
  url: http://example.com
ledger: 7
tables:
  - nmae: web
    source: site.pages
    lookback: 1 hour
    key: id
    cursor: {source: at}
    columns: {a: , a: {type: Real}, b: {analyzer: en}}
  - name: web
  - just text
  - name: small
    source: d.small
    mode: replace
    keep: 3d
    evaluate: [{name: e, predict: x, test: newest 7d}]
""").splitlines()
    assert told[0] == "sync.yaml: 16 mistakes"
    numbers = [int(re.match(r"  line (\d+): ", line)[1]) for line in told[1:]]  # type: ignore[index]
    assert numbers == [2, 3, 5, 7, 8, 9, 10, 10, 10, 11, 11, 11, 12, 16, 17, 17]


def test_consequences_of_a_mistake_are_not_told() -> None:
    """A wrong source is one mistake, not also a missing one; the same for a key and its cursor."""
    told = message(in_table(source="pages", cursor="{source: at, column: 5}"))
    assert told.startswith("sync.yaml: 2 mistakes\n")


def test_every_circle_is_told() -> None:
    """Two circles are two mistakes, and each names its own tables."""
    told = message(linked(("a", "a.id"), ("b", "c.id"), ("c", "b.id")))
    assert "(a → a)" in told
    assert "(b → c → b)" in told


def test_a_circle_through_a_name_that_is_there_twice() -> None:
    """Both mistakes are told, also when the first table of that name has no link."""
    told = message(linked(("a", ""), ("b", "a.id"), ("a", "b.id")))
    assert "(a → b → a)" in told
    assert "'a' is there twice" in told


CANARY = "canary0123456789abcdef0123456789abcdef"
LEAKS = {
    "under its own key": in_file(aito=f"{{url: 'https://x.aito.app', api_key: {CANARY}}}"),
    "in the place of the secret's name": in_file(
        aito=f"{{url: 'https://x.aito.app', api_key_secret: '{CANARY}=='}}"
    ),
    "in the URL as user": url(f"https://{CANARY}@x.aito.app"),
    "in the URL as query": url(f"https://x.aito.app?api_key={CANARY}"),
    "at the top": in_file(api_key=CANARY),
    "as a name": in_table(name=f"'{CANARY} {CANARY}'"),
    "as a type": columns(f"{{id: {{type: {CANARY}}}}}"),
    "as a number": in_file(batch=f"{{rows: {CANARY}}}"),
    "in broken YAML": f"aito: {{api_key: '{CANARY}\n",
    "as an alias": f"aito: *{CANARY}\n",
}


@pytest.mark.parametrize("text", LEAKS.values(), ids=LEAKS.keys())
def test_no_message_gives_a_key_away(text: str) -> None:
    """Wherever a key was put by mistake, it is not in the message."""
    assert CANARY not in message(text)


def test_an_api_key_is_told_where_to_go() -> None:
    """Who puts the key into the file learns what to write instead."""
    told = message(in_file(aito=f"{{url: 'https://x.aito.app', api_key: {CANARY}}}"))
    assert "aito.api_key: " in told
    assert "api_key_secret" in told


@unhurried
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [*config.Settings.model_fields, *config.TableSettings.model_fields]
                ),
                inner,
            )
        ),
    )
)
def test_whatever_it_holds_only_config_errors_are_raised(value: object) -> None:
    """No file ends in a traceback of another kind."""
    with pytest.raises(ConfigError):
        config.parse(yaml.safe_dump({"tables": [value], "aito": value, "batch": value}))


# --- files


def test_missing_file(tmp_path: Path) -> None:
    """The message names the file and the variable that says where it is."""
    with pytest.raises(
        ConfigError, match=r"nowhere\.yaml: there is no such file; correct --config or SYNC_CONFIG"
    ):
        config.load(tmp_path / "nowhere.yaml")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """What cannot be read is told with the reason."""
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        config.load(tmp_path)


def test_not_utf8(tmp_path: Path) -> None:
    """The line with the odd byte is named."""
    path = tmp_path / "sync.yaml"
    path.write_bytes(in_file().encode() + b"# caf\xe9\n")
    with pytest.raises(ConfigError, match=r"sync\.yaml: line 8: not UTF-8"):
        config.load(path)


def test_a_large_file(tmp_path: Path) -> None:
    """A file that is no configuration is not read whole; the message says the limit."""
    path = tmp_path / "sync.yaml"
    with path.open("wb") as file:
        file.truncate(10**10)
    with pytest.raises(ConfigError, match=r"sync\.yaml: larger than 5 MB"):
        config.load(path)


def test_byte_order_mark(tmp_path: Path) -> None:
    """A mark that some editors put in front does no harm."""
    path = tmp_path / "sync.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + in_file().encode())
    assert config.load(path) == config.parse(in_file())


def test_mistakes_name_the_file(tmp_path: Path) -> None:
    """The message begins with the path that was read."""
    path = tmp_path / "other.yaml"
    path.write_text(in_file(ledger="a b"))
    with pytest.raises(ConfigError, match=re.escape(f"{path}: 1 mistake")):
        config.load(path)


# --- the JSON schema for editors


def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(config.json_schema())


def test_the_schema_file_is_the_model() -> None:
    """sync.schema.json is what `python -m sync.config` prints:
    `make schema` brings it up to date.
    """
    printed = subprocess.run(
        [sys.executable, "-m", "sync.config"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert printed.stdout == (ROOT / "sync.schema.json").read_text()
    assert json.loads(printed.stdout) == config.json_schema()


def test_the_schema_is_valid() -> None:
    """Editors can read it: it is JSON Schema of the draft it names."""
    assert config.json_schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(config.json_schema())


@pytest.mark.parametrize("text", [DOCUMENTED, EVERYTHING, *ACCEPTED.values()])
def test_the_schema_accepts_what_the_model_accepts(text: str) -> None:
    """An editor does not mark what is right."""
    validator().validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "text",
    [
        in_table(lokback="1h"),
        in_table(lookback="3600"),
        in_table(mode="upsert"),
        in_table(name="a/b"),
        in_file(ledger="a.b.c"),
        in_file(batch="{rows: 0}"),
        in_file(tables="[]"),
        columns("{id: {type: Integer}}"),
        evaluate("{name: e, predict: a, test: latest 7d}"),
    ],
)
def test_the_schema_refuses_single_values_that_are_wrong(text: str) -> None:
    """An editor marks what is wrong in one value; what spans several is told by `check`."""
    with pytest.raises(jsonschema.ValidationError):
        validator().validate(yaml.safe_load(text))


def test_every_key_is_described() -> None:
    """An editor shows for every key what it is, and its default."""
    models = [config.json_schema(), *config.json_schema()["$defs"].values()]
    bare = [
        f"{model['title']}.{key}"
        for model in models
        for key, field in model["properties"].items()
        if not field.get("description")
    ]
    assert bare == []


def test_defaults_in_the_schema_are_what_one_would_write() -> None:
    """The default of a duration is shown as a duration, not as seconds."""
    lookback = config.json_schema()["$defs"]["TableSettings"]["properties"]["lookback"]
    assert lookback["default"] == "1h"
    assert lookback["type"] == "string"


def test_a_setting_knows_its_place() -> None:
    """File, line and path; the nearest line for what is not written. No equality depends on it."""
    text = columns("{id: , a: {type: Int}}")
    table = config.parse(text, "here.yaml").tables[0]
    lines = text.splitlines()
    line = next(number for number, each in enumerate(lines, 1) if "columns:" in each)
    assert table.at("columns", "a", "type") == f"here.yaml line {line}: tables[0].columns.a.type"
    assert table.at("columns", "b") == f"here.yaml line {line}: tables[0].columns.b"
    assert table == config.parse("\n" + text, "there.yaml").tables[0]
    assert table.model_copy().at("mode").startswith("here.yaml line ")
