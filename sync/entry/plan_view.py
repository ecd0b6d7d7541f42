"""What `check` and dry runs print: the parts that were reached, then the plan of each table.

A sign stands before each line of a plan:

    +  is made or loaded      ~  is changed or read again      -  is deleted or purged
    !  is a warning           x  is an error
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sync.base.words import counted
from sync.entry import distinct
from sync.model.parts import Part
from sync.model.window import BEGINNING

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_COLUMNS = 20  # that are listed, of a table that is made
MINUTE = 60
MISTAKES = ("evaluation",)  # warnings of a plan that tell a mistake in the configuration

Json = Mapping[str, Any]  # a part of the answer's body


def part_line(part: Part) -> str:
    """One part, in one line or as many as its error has."""
    if part.error is None:
        return f"  ok      {part.name:<12} {part.detail}"
    return f"  failed  {part.name:<12} {str(part.error).removeprefix(f'{part.name}: ')}"


def plan_text(body: Json) -> str:
    """The plan of every table in the body of a dry run's answer."""
    tables = [_table(table, body["action"]) for table in body["tables"]]
    return "\n\n".join([*tables, *_whole_parts(body), "Nothing was written."])


def _whole_parts(body: Json) -> Iterator[str]:
    """What concerns no table alone: a month's calls, and warnings."""
    month = body.get("aito_calls_a_month")
    if month is not None:
        yield f"About {counted(month['calls'], 'Aito call')} a month, {month['basis']}."
    ledger = body.get("ledger")
    if ledger is not None:
        size = f"{ledger['bytes'] / 1e6:,.1f} MB"
        yield (
            f"The ledger of a sync: {size} billed, ${ledger['usd']:.4f}; BigQuery bills at least"
            " 10 MB for each table that a query reads."
        )
    warnings = [f"! {warning['message']}" for warning in body.get("warnings", ())]
    if warnings:
        yield "\n".join(warnings)


def _table(table: Json, action: str) -> str:
    lines = [f"{table['table']}: {_headline(table, action)}"]
    lines += [f"  {line}" for line in _plan_lines(table)]
    lines += [f"  {_mark(warning)} {warning['message']}" for warning in distinct.warnings(table)]
    if not table["error"]:  # which names the reasons
        rejects = distinct.rejects(table)
        lines += [f"  ! {counted(each['rows'], 'row')}: {each['reason']}" for each in rejects]
    if table["error"]:
        lines.append(f"  x {table['error'].removeprefix(table['table'] + ': ')}")
    return "\n".join(lines)


def _mark(warning: Json) -> str:
    return "x" if warning["code"] in MISTAKES else "!"


def has_mistake(body: Json) -> bool:
    """Whether a warning of the plan tells a mistake in the configuration."""
    warnings = [warning for table in body["tables"] for warning in table["warnings"]]
    return any(warning["code"] in MISTAKES for warning in warnings)


def _headline(table: Json, action: str) -> str:
    if table["error"]:
        return f"{action} would fail"
    start, end = table["window"]["start"], table["window"]["end"]
    if start is None or end is None:
        return f"{action} of the whole source"
    since = "the beginning" if start == BEGINNING else _time(start)
    return f"{action} from {since} to {_time(end)} UTC"


def _plan_lines(table: Json) -> Iterator[str]:
    estimate = table.get("estimate")
    if estimate is None:
        return
    if cursor := estimate.get("cursor"):
        yield f"  cursor {cursor}"
    yield from _schema_lines(estimate)
    if refresh := estimate.get("refresh"):
        yield f"~ the whole keep range is read again: {refresh}"
    yield from _row_lines(table, estimate)
    for evaluation in estimate["evaluations"]:
        yield f"+ evaluation {evaluation['name']}: {_cases(evaluation)}"
    if "bytes" in estimate:
        yield f"  {_price(estimate)}"


def _cases(evaluation: Json) -> str:
    cases = evaluation["cases"]
    if cases is None:
        return "as many cases as its query says"
    return f"{'at most' if evaluation['at_most'] else 'about'} {counted(cases, 'case')}"


def _schema_lines(estimate: Json) -> Iterator[str]:
    for change in estimate["schema"]:
        yield f"+ {change}"
    new = [column for column in estimate["columns"] if column["change"] == "add"]
    new.sort(key=lambda column: "cursor" not in column and "link" not in column)
    shown, rest = new[:MAX_COLUMNS], new[MAX_COLUMNS:]
    width = max((len(column["name"]) for column in shown), default=0)
    for column in shown:
        yield f"    {column['name']:<{width}}  {_types(column)}"
    if rest:
        kinds = Counter(column["type"] for column in rest)
        listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        yield f"    and {len(rest)} more ({listed}); --json lists all"


def _types(column: Json) -> str:
    """Aito's type, and the type in BigQuery that it is made of."""
    parts = [column["type"]]
    if "source_type" in column:
        parts.append(f"from {column['source_type']}")
    if "cursor" in column:
        parts.append(f"{column['cursor']} in epoch seconds")
    if "link" in column:
        parts.append(f"links to {column['link']}")
    return ", ".join(parts)


def _row_lines(table: Json, estimate: Json) -> Iterator[str]:
    if "rows" in estimate:
        slices = table["slices"]["planned"]
        in_slices = f", in {slices} slices" if slices > 1 else ""
        folded = estimate["rows"] - estimate["keys"]
        of_keys = f" of {counted(estimate['keys'], 'key')}" if folded else ""
        yield f"+ {counted(estimate['rows'], 'row')}{of_keys} to read{in_slices}"
    if deletions := estimate.get("deletions"):
        yield f"- {counted(deletions, 'key')} to delete by `deletes`, where Aito has the row"
    for name, meaning in (
        ("uploaded", "+ {} missing in Aito"),
        ("repaired", "~ {} to repair"),
        ("deleted", "- {} to delete, which the source no longer has"),
        ("purged", "- {} to purge, older than keep"),
    ):
        if table[name]:
            yield meaning.format(counted(table[name], "row"))


def _price(estimate: Json) -> str:
    parts = [f"{estimate['bytes'] / 1e6:,.1f} MB read, ${estimate['usd']:.4f}"]
    parts.append(f"about {counted(estimate['aito_calls'], 'Aito call')}")
    if estimate["seconds"] >= MINUTE:
        parts.append(f"about {estimate['seconds'] / MINUTE:,.0f} min")
    return ", ".join(parts)


def json_parts(parts: Iterable[Part]) -> list[dict[str, Any]]:
    """The parts for `--json`."""
    return [part.to_json() for part in parts]


def _time(second: int) -> str:
    """Epoch seconds as a time, also far in the past, which datetime.fromtimestamp refuses."""
    return f"{EPOCH + timedelta(seconds=second):%Y-%m-%d %H:%M}"
