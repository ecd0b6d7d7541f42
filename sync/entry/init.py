"""Writes the `sync.yaml` that `init` proposes, with the reasons as comments."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator

from sync.base.words import counted
from sync.config import parse
from sync.config.settings import STAR
from sync.entry.proposal import ColumnChoice, KeyChoice, TableProposal, propose
from sync.model.inspection import Inspection, TableFacts
from sync.model.price import USD_PER_TIB

EXAMPLE_URL = "https://my-db.aito.app"
WIDTH = 100  # columns of the file
COMMENT_AT = 44  # the place of comments behind values
DEFAULT_MAX_BYTES = 10 * 2**30
# Words that YAML reads as something else than text.
YAML_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


def document(inspection: Inspection, url: str | None) -> str:
    """The YAML text. url: of Aito; an example when None."""
    tables = propose(inspection)
    by_source = {facts.source: facts for facts in inspection.tables}
    lines = [
        "# yaml-language-server: $schema=./sync.schema.json",
        f"# Proposed by `init`. {read(inspection)}",
        *_head(inspection, url),
        "tables:",
    ]
    for table in tables:
        lines += _table(table, by_source[table.source])
    lines += [f"# Left out: {reason}" for reason in inspection.left_out.values()]
    return "\n".join(lines) + "\n"


def check_url(url: str) -> None:
    """Check the URL of Aito before anything is read and paid for. Raises ConfigError."""
    aito = f"aito: {{url: {_text(url)}, api_key_secret: aito-api-key}}"
    table = "{name: any, source: any.any, mode: replace}"
    parse(f"{aito}\nledger: any\ntables: [{table}]", "--aito")


def read(inspection: Inspection) -> str:
    """What was read of BigQuery and its price."""
    size = inspection.bytes_processed
    amount = f"{size / 1e6:,.1f} MB" if size >= 1e5 else counted(size, "byte")
    usd = size / 2**40 * USD_PER_TIB
    queries = counted(inspection.queries, "query", "queries")
    return f"Read {amount} by {queries}: ${usd:.4f} at {USD_PER_TIB} USD/TiB."


def _head(inspection: Inspection, url: str | None) -> Iterator[str]:
    yield "aito:"
    hint = "" if url else "EDIT: your Aito instance"
    yield _with_comment(f"  url: {_text(url or EXAMPLE_URL)}", hint)
    yield _with_comment("  api_key_secret: aito-api-key", "in Secret Manager: the read-write key")
    settings = list(_bigquery(inspection))
    if settings:
        yield "bigquery:"
        yield from settings
    yield _with_comment("ledger: aito_sync", "dataset of the sync's own records; made if missing")


def _bigquery(inspection: Inspection) -> Iterator[str]:
    locations = sorted({facts.location for facts in inspection.tables if facts.location})
    if locations:
        hint = "where the datasets are"
        if len(locations) > 1:
            others = ", ".join(locations[1:])
            hint = f"one location for all tables; also found: {others}"
        yield _with_comment(f"  location: {locations[0]}", hint)
    largest = max((facts.bytes or 0 for facts in inspection.tables), default=0)
    if largest > DEFAULT_MAX_BYTES:
        limit = 2 * largest
        size = f"the largest table has {largest / 2**30:,.0f} GiB"
        yield _with_comment(f"  max_bytes_billed: {limit}", size)


def _table(table: TableProposal, facts: TableFacts) -> Iterator[str]:
    yield _with_comment(f"  - name: {_text(table.name)}", "the Aito table")
    yield _with_comment(f"    source: {_text(table.source)}", _size(facts))
    yield _with_comment(f"    mode: {table.mode.value}", table.mode.reason)
    if table.key:
        yield _with_comment(f"    key: {_key(table.key)}", table.key.reason)
    if table.cursor:
        cursor = table.cursor
        unit = f", unit: {cursor.unit}" if cursor.unit else ""
        source, column = _text(cursor.source), _text(cursor.column)
        yield f"    # cursor: {cursor.reason}"
        yield f"    cursor: {{source: {source}{unit}, column: {column}}}"
    if table.lookback:
        yield _with_comment(f"    lookback: {table.lookback.value}", table.lookback.reason)
    if table.keep:
        yield _with_comment(f"    keep: {table.keep.value}", table.keep.reason)
    for note in table.notes:
        yield f"    # {note}"
    if table.columns is not None:
        yield "    columns:"
        for choice in table.columns:
            yield _column(choice)
    yield from _evaluation(table)


def _key(key: KeyChoice) -> str:
    if len(key.parts) == 1:
        return _text(key.parts[0])
    return f"[{', '.join(_text(part) for part in key.parts)}]"


def _size(facts: TableFacts) -> str:
    parts = [facts.kind.lower().replace("_", " ")]
    if facts.rows is not None:
        parts.append(counted(facts.rows, "row"))
    if facts.bytes:
        parts.append(f"{facts.bytes / 1e6:,.1f} MB")
    if facts.partition_column:
        parts.append(f"partitioned by {facts.partition_column}")
    return ", ".join(parts)


def _column(column: ColumnChoice) -> str:
    name = f"      {_text(column.name)}:"
    if column.left_out:
        left_out = ", ".join(_text(each) for each in column.left_out)
        return f"{name} {{except: [{left_out}]}}"
    if column.name == STAR:
        return _with_comment(name, "all other columns of the source")
    if column.is_plain:
        return name
    settings = {"sql": column.sql, "type": column.type, "link": column.link}
    parts = [f"{field}: {_text(value)}" for field, value in settings.items() if value]
    return _with_comment(f"{name} {{{', '.join(parts)}}}", column.reason)


def _evaluation(table: TableProposal) -> Iterator[str]:
    evaluation = table.evaluation
    if evaluation is None:
        return
    given = ", ".join(_text(name) for name in evaluation.given)
    lines = textwrap.wrap(
        f"given: [{given}]", WIDTH - 10, break_long_words=False, break_on_hyphens=False
    )
    yield "    evaluate:"
    yield _with_comment(f"      - name: {_text(evaluation.name)}", evaluation.reason)
    yield f"        predict: {_text(evaluation.predict)}"
    yield f"        {lines[0]}"
    yield from (f"          {line}" for line in lines[1:])


def _with_comment(line: str, comment: str) -> str:
    if not comment:
        return line
    return f"{line:<{COMMENT_AT}} # {comment}"


def _text(value: str) -> str:
    """A text as YAML reads it back."""
    is_plain = re.fullmatch(r"[A-Za-z_][\w.-]*(://[\w./:-]+)?", value, re.ASCII)
    if is_plain and value.lower() not in YAML_WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
