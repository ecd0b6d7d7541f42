"""Natural mistakes, and what each is answered. docs/errors.md is made of them.

`python -m tests.entry.mistakes` runs every one against the local stack and writes the page.
"""

from __future__ import annotations

import contextlib
import copy
import io
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from google.cloud.bigquery import SchemaField

from local import bigquery
from local.stack import Stack
from sync.entry import commands

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "errors.md"
NOBODY = "http://127.0.0.1:9"  # nobody listens there
DATASET = "mistakes"
FIELDS = [
    SchemaField("id", "STRING"),
    SchemaField("at", "TIMESTAMP"),
    SchemaField("text_at", "STRING"),
    SchemaField("price", "FLOAT64"),
    SchemaField("amount", "INTEGER"),
    SchemaField("tags", "STRING", mode="REPEATED"),
]
ROWS = [
    {"id": f"k{i}", "at": f"2026-01-0{i + 1}T00:00:00Z", "amount": i, "price": i / 2, "tags": []}
    for i in range(3)
]
Config = dict[str, Any]


@dataclass(frozen=True)
class Mistake:
    """One mistake.

    what: the mistake, in a few words. change: makes it in a configuration that is right.
    says: words of the answer: what was wrong, where, and what would be right.
    text: the file's whole text instead. environ: variables that are wrong.
    arguments: of the command line. prepare: makes it in Aito. stops_sync: `sync` refuses it, too.
    """

    what: str
    says: tuple[str, ...]
    change: Callable[[Config], object] = lambda config: config
    text: str | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    prepare: Callable[[Stack], object] = lambda stack: stack
    stops_sync: bool = True


def first(**settings: Any) -> Callable[[Config], object]:
    """Change settings of the first table. None removes one."""

    def change(config: Config) -> None:
        table = config["tables"][0]
        for name, value in settings.items():
            table.pop(name) if value is None else table.update({name: value})

    return change


def top(**settings: Any) -> Callable[[Config], object]:
    """Change settings beside the tables. None removes one."""

    def change(config: Config) -> None:
        for name, value in settings.items():
            config.pop(name) if value is None else config.update({name: value})

    return change


def column(**columns: Any) -> Callable[[Config], object]:
    """Name the columns of the first table."""
    return first(columns={"id": {}, **columns})


def another(**settings: Any) -> Callable[[Config], object]:
    """Add a second table."""
    table = {"name": "other", "source": f"{DATASET}.rows", "mode": "replace", **settings}
    return lambda config: config["tables"].append(table)


def in_circle(config: Config) -> None:
    """Two tables that link to each other."""
    config["tables"][0]["columns"] = {"id": {}, "amount": {"link": "other.id"}}
    another(columns={"id": {}, "amount": {"link": "mistake.id"}})(config)


def aito(**settings: Any) -> Callable[[Config], object]:
    """Change settings of `aito`. None removes one."""

    def change(config: Config) -> None:
        for name, value in settings.items():
            config["aito"].pop(name) if value is None else config["aito"].update({name: value})

    return change


def cursor(source: str) -> Callable[[Config], object]:
    """Take another cursor."""
    return first(cursor={"source": source, "column": "at_unix"})


def query(text: str, **settings: Any) -> Callable[[Config], object]:
    """Read a query instead of the table."""
    return first(source=None, query=text, **settings)


def evaluation(**settings: Any) -> Callable[[Config], object]:
    """Add an evaluation."""
    return first(evaluate=[{"name": "e", "predict": "amount", "given": ["id"], **settings}])


def hold_numbers(stack: Stack) -> None:
    """Have Aito hold the table already, with a row and a number as the key."""
    stack.aito.create_table("mistake", {"id": {"type": "Int"}})
    stack.aito.insert("mistake", [{"id": 1}])


def drop(stack: Stack) -> None:
    """Remove what a mistake has left in Aito."""
    if "mistake" in stack.aito.schema():
        stack.aito.drop_table("mistake")


FILE = (
    Mistake("a tab indents a line", ("line 2", "tab"), text="aito:\n\turl: x\n"),
    Mistake(
        "a key stands twice",
        ("line 2", "twice", "keep one of the two"),
        text="ledger: a\nledger: b\n",
    ),
    Mistake("the file is empty", ("empty",), text=""),
    Mistake("the file is a list", ("mapping",), text="- aito\n"),
    Mistake(
        "a quote is not closed",
        ("line 1, column 9", "quote", "not closed"),
        text='ledger: "a\naito: {}\n',
    ),
    Mistake("a misspelt key", ("tabels", "did you mean 'tables'"), top(tabels=[])),
    Mistake("no ledger", ("ledger", "missing"), top(ledger=None)),
    Mistake("a ledger of four parts", ("ledger", "project.dataset"), top(ledger="a.b.c.d")),
    Mistake("no tables", ("tables", "at least one table"), top(tables=[])),
    Mistake("a topic without its path", ("topic", "projects/"), top(topic="my-topic")),
    Mistake(
        "a size with its unit",
        ("bigquery.max_bytes_billed", "such as 10737418240", "not '10GB'"),
        top(bigquery={"max_bytes_billed": "10GB"}),
    ),
    Mistake(
        "a location that is a continent",
        ("bigquery.location", "EU, US, or a region such as europe-north1, not 'Europe'"),
        top(bigquery={"location": "Europe"}),
    ),
    Mistake("a batch of no rows", ("batch.rows", "at least 1, not 0"), top(batch={"rows": 0})),
    Mistake(
        "a budget of two hours",
        ("time_budget_seconds", "at most 3500, not 7200"),
        top(time_budget_seconds=7200),
    ),
    Mistake("no URL of Aito", ("aito.url", "missing"), aito(url=None)),
    Mistake(
        "another protocol", ("aito.url", "https", "not 'ftp://'"), aito(url="ftp://my-db.aito.app")
    ),
    Mistake(
        "plain http",
        ("aito.url", "https", "not 'http://my-db.aito.app'"),
        aito(url="http://my-db.aito.app"),
    ),
    Mistake(
        "the key itself in the file",
        ("api_key", "name the secret in aito.api_key_secret"),
        aito(api_key="x" * 20),
    ),
    Mistake(
        "no request a second",
        ("requests_per_second", "greater than 0, not 0"),
        aito(requests_per_second=0),
    ),
)
TABLE = (
    Mistake("a misspelt setting of a table", ("curser", "cursor"), first(curser={})),
    Mistake("a table without a name", ("name", "missing"), first(name=None)),
    Mistake("a slash in a name", ("tables[0].name", "a name without /"), first(name="a/b")),
    Mistake("two tables of one name", ("mistake", "twice"), another(name="mistake")),
    Mistake(
        "neither source nor query",
        ("neither is there: write `source: dataset.table`",),
        first(source=None),
    ),
    Mistake("source and query", ("both are there: leave one out",), first(query="SELECT 1 AS id")),
    Mistake("a source without its dataset", ("source", "dataset.table"), first(source="rows")),
    Mistake("a source in backticks", ("source",), first(source="`mistakes.rows`")),
    Mistake(
        "an unknown mode",
        ("mode", "append", "merge", "replace", "not 'upsert'"),
        first(mode="upsert"),
    ),
    Mistake("no key", ("needs `key`", "write `key: id`", "mode: replace"), first(key=None)),
    Mistake("no cursor", ("write `cursor: {source: updated_at", "replace"), first(cursor=None)),
    Mistake("a cursor as a word", ("cursor", "such as {source: updated_at"), first(cursor="at")),
    Mistake("a cursor with replace", ("cursor", "replace"), first(mode="replace")),
    Mistake(
        "an unknown unit",
        ("unit", "ms", "not 'min'"),
        first(cursor={"source": "amount", "unit": "min"}),
    ),
    Mistake("a duration in words", ("keep", "90d"), first(keep="ninety days")),
    Mistake("a duration without its unit", ("keep", "90d", "not 90"), first(keep=90)),
    Mistake("a negative lookback", ("lookback", "1h"), first(lookback="-1h")),
    Mistake(
        "a share in percent",
        ("purge.max_share", "1, not 50; 50 % is 0.5"),
        first(purge={"max_share": 50}),
    ),
    Mistake("columns as a list", ("columns",), first(columns=["id", "at"])),
    Mistake(
        "an unknown type", ("type", "Int", "not 'Integer'"), column(amount={"type": "Integer"})
    ),
    Mistake(
        "a type without its name",
        ("columns.amount", "such as {type: Int}, not text"),
        column(amount="Int"),
    ),
    Mistake(
        "an evaluation that is no list",
        ("evaluate", "such as [{name: plan, predict: plan"),
        first(evaluate={"predict": "amount"}),
    ),
    Mistake("the word WHERE in a condition", ("leave the word WHERE out",), first(where="WHERE x")),
    Mistake(
        "an analyzer of a number",
        ("analyzer", "Text"),
        column(amount={"type": "Int", "analyzer": "en"}),
    ),
    Mistake(
        "a link without its column", ("link", "table.column"), column(amount={"link": "other"})
    ),
    Mistake(
        "a link to a table that is not there",
        ("line 8: tables[0].columns.amount.link", "no", "no table 'nowhere'"),
        column(amount={"link": "nowhere.id"}),
    ),
    Mistake("tables that link in a circle", ("mistake", "other"), in_circle),
    Mistake(
        "an evaluation of a column that is not listed",
        ("amuont", "did you mean 'amount'"),
        first(
            columns={"id": {}, "amount": {}},
            evaluate=[{"name": "e", "predict": "amuont", "given": ["id"]}],
        ),
    ),
    Mistake(
        "an evaluation of a column that the source lacks",
        ("line 13: tables[0].evaluate[0].predict", "no column 'amuont'; did you mean 'amount'?"),
        first(evaluate=[{"name": "e", "predict": "amuont", "given": ["id"]}]),
        stops_sync=False,
    ),
    Mistake("a test in words", ("test", "newest 7d"), evaluation(test="the last week")),
    Mistake(
        "an accuracy in percent",
        ("min_accuracy", "1, not 60; 60 % is 0.6"),
        evaluation(min_accuracy=60),
    ),
)
SOURCE = (
    Mistake(
        "a dataset that is not there",
        ("line 11: tables[0].source", "has no dataset mistake", "did you mean 'mistakes'"),
        first(source="mistake.rows"),
    ),
    Mistake(
        "a table that is not there",
        ("line 11: tables[0].source", "has no table row", "did you mean 'rows'"),
        first(source=f"{DATASET}.row"),
    ),
    Mistake(
        "daily tables that are not there",
        ("line 11: tables[0].source", "begins with 'event_'", "did you mean 'events_*'"),
        first(source=f"{DATASET}.event_*"),
    ),
    Mistake(
        "a key that is no column",
        ("sync.yaml line 9: tables[0].key", "order_id", "it has id, at"),
        first(key="order_id"),
    ),
    Mistake(
        "a cursor that is no column",
        ("line 8: tables[0].cursor.source", "no column 'updated'; the source has"),
        cursor("updated"),
    ),
    Mistake(
        "a cursor of type STRING",
        ("line 8: tables[0].cursor.source", "text_at", "TIMESTAMP"),
        cursor("text_at"),
    ),
    Mistake(
        "a cursor of type FLOAT64",
        ("line 8: tables[0].cursor.source", "price", "TIMESTAMP", "CAST(`price` AS INT64)"),
        cursor("price"),
    ),
    Mistake(
        "a column that the source lacks",
        ("line 8: tables[0].columns.nothing", "no column 'nothing'; the source has id"),
        column(nothing={}),
    ),
    Mistake(
        "an expression with a wrong column",
        ("tables[0].columns.x.sql", "no column 'nothing'; the source has id"),
        column(x={"sql": "LOWER(nothing)"}),
    ),
    Mistake(
        "an array as a number",
        ("line 8: tables[0].columns.tags", "String[]", 'sql: "ARRAY_LENGTH(`tags`)"'),
        column(tags={"type": "Int"}),
    ),
    Mistake(
        "an array as a text",
        ("line 8: tables[0].columns.tags", "String[]", """sql: "ARRAY_TO_STRING(`tags`, ' ')\""""),
        column(tags={"type": "Text"}),
    ),
    Mistake(
        "a query of a dataset that is not there",
        ("line 11: tables[0].query", "mistake", "correct the name in the query"),
        query("SELECT * FROM mistake.rows"),
    ),
    Mistake(
        "deletes that is no condition",
        ("line 9: tables[0].deletes", "INTEGER", 'such as "amount != 0"'),
        first(deletes="amount"),
    ),
    Mistake("a query that is no SQL", ("mistake", "query", "not SELEC"), query("SELEC 1")),
    Mistake(
        "a query that changes rows",
        ("not DELETE; the sync never",),
        query(f"DELETE FROM {DATASET}.rows WHERE TRUE"),
    ),
    Mistake(
        "a condition with a wrong column",
        ("line 12: tables[0].where", "no column 'tag'; did you mean 'tags'"),
        first(where="tag = 'paid'"),
    ),
)
SERVICES = (
    Mistake(
        "a wrong key of Aito",
        ("403", "my-db.aito.app refused the key from AITO_API_KEY", "read-write key"),
        environ={"AITO_API_KEY": "wrong"},
    ),
    Mistake(
        "a key with a line break",
        ("AITO_API_KEY", "line break", "one line"),
        environ={"AITO_API_KEY": "a\nb"},
    ),
    Mistake(
        "Aito does not answer",
        ("127.0.0.1:9 could not be reached: connection refused", "line 3: aito.url"),
        aito(url=NOBODY),
    ),
    Mistake(
        "a secret that is not there",
        (
            "line 2: aito.api_key_secret: secret",
            "versions add nothing",
            "first `gcloud secrets create nothing",
        ),
        aito(api_key_secret="nothing"),
        environ={"AITO_API_KEY": ""},
    ),
    Mistake(
        "Aito's table has another type",
        (
            "tables[0].columns.id",
            "tables[0].cursor.column",
            "String",
            "reset mistake",
            "all its rows",
        ),
        prepare=hold_numbers,
    ),
    Mistake(
        "an unknown table", ("mistaek", "did you mean 'mistake'"), arguments=("--tables", "mistaek")
    ),
    Mistake(
        "a file that is not there",
        ("nowhere.yaml", "correct --config or SYNC_CONFIG"),
        arguments=("--config", "nowhere.yaml"),
    ),
    Mistake(
        "a time in words",
        ("--since", "ISO 8601", "not 'yesterday'"),
        arguments=("--since", "yesterday"),
    ),
    Mistake("a misspelt option", ("--tabels", "--tables"), arguments=("--tabels", "x")),
    Mistake(
        "a guard that is none",
        ("--allow", "purge", "with commas between them", "not 'everything'"),
        arguments=("--allow", "everything"),
    ),
)
GROUPS: Mapping[str, tuple[Mistake, ...]] = {
    "The file": FILE,
    "A table's settings": TABLE,
    "The source": SOURCE,
    "Services and the command line": SERVICES,
}
ALL = [mistake for group in GROUPS.values() for mistake in group]


def right_configuration(stack: Stack) -> Config:
    """A configuration without a mistake, over a small source."""
    return {
        "aito": {"url": stack.aito.url, "api_key_secret": "aito-api-key"},
        "ledger": f"{DATASET}_ledger",
        "tables": [
            {
                "name": "mistake",
                "source": f"{DATASET}.rows",
                "key": "id",
                "cursor": {"source": "at", "column": "at_unix"},
            }
        ],
    }


def load_source(stack: Stack) -> None:
    """Put the small source into BigQuery."""
    client = stack.bigquery.client()
    for name in ("rows", "events_20260101"):
        bigquery.load(client, f"{DATASET}.{name}", FIELDS, ROWS, truncate=True)


def answer(stack: Stack, mistake: Mistake, command: str, folder: Path) -> tuple[int, str]:
    """Make the mistake and run a command. Returns its exit status and what it printed."""
    config = copy.deepcopy(right_configuration(stack))
    mistake.change(config)
    file = folder / "sync.yaml"
    file.write_text(yaml.safe_dump(config) if mistake.text is None else mistake.text)
    environ = {**stack.environ(file), "AITO_API_KEY": stack.aito.api_key, **mistake.environ}
    mistake.prepare(stack)
    try:
        with _environment(environ), _captured() as printed:
            status = commands.main([command, *mistake.arguments])
    finally:
        drop(stack)
    return status, stable(printed.getvalue(), stack, folder)


@contextlib.contextmanager
def _environment(environ: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _captured() -> Iterator[io.StringIO]:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        yield printed


def stable(text: str, stack: Stack, folder: Path) -> str:
    """What was printed, without what differs from run to run."""
    text = text.replace(f"{folder}/", "").replace(stack.aito.url, "https://my-db.aito.app")
    text = text.replace(stack.aito.url.removeprefix("http://"), "my-db.aito.app")
    text = re.sub(r"http://127\.0\.0\.1:\d+", "http://127.0.0.1:9", text)
    text = text.replace("local-project", "my-project")
    return re.sub(r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b", "JOB", text)


def message(printed: str) -> str:
    """The lines of an answer that speak of the mistake."""
    lines = printed.strip().splitlines()
    wanted = [line for line in lines if line.startswith(("  failed  ", "  x ", "  ! "))]
    index = [lines.index(_headline(lines, line)) for line in wanted]
    if not index:
        return "\n".join(line for line in lines if not line.startswith("  ok  "))
    endings = ("Nothing was", "About ", "The ledger of a sync")
    kept = [line for n, line in enumerate(lines) if n >= index[0]]
    kept = [line for line in kept if not line.startswith(endings)]
    kept = [line for line in kept if not line.startswith("No table was planned")]
    return "\n".join(kept).strip("\n")


def _headline(lines: list[str], line: str) -> str:
    """The line that an answer about a table begins with; the line itself where none says more."""
    above = [each for each in lines[: lines.index(line)] if not each.startswith(" ")]
    return above[-1] if above and above[-1].endswith("would fail") else line


def main() -> int:
    """Write docs/errors.md. Returns 0."""
    parts = ["# What each mistake is answered", INTRO]
    with Stack() as stack, tempfile.TemporaryDirectory() as name:
        load_source(stack)
        for title, group in GROUPS.items():
            parts.append(f"## {title}")
            for mistake in group:
                _, printed = answer(stack, mistake, "check", Path(name))
                parts.append(f"### {mistake.what[0].upper()}{mistake.what[1:]}")
                parts.append(f"```text\n{message(printed)}\n```")
    PAGE.write_text("\n\n".join(parts) + "\n")
    return 0


INTRO = """\
<!-- Generated by `python -m tests.entry.mistakes`. Edit the messages, or the mistakes there. -->

Each mistake was made in a configuration that is otherwise right, or in a short file of its own that
may lack other parts, too. This is what `check` printed. A test makes each of them, and holds that
`sync` refuses what `check` refuses."""

if __name__ == "__main__":
    sys.exit(main())
