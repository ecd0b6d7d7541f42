"""Writes README.md from the results, so that it says what the files show and nothing else; a test
compares the two.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.contest import SIDES
from benchmarks.more import IMPORTS
from benchmarks.summary import LIMIT_BYTES, Number, Target, number, targets

PATH = Path(__file__).with_name("README.md")

_HEAD = """\
# What a run costs, next to other ways

The same rows go from BigQuery to Aito in several ways, each a whole process from its start to its
exit, on one machine: BigQuery is an emulator in a process of its own, Aito a sink in another that
only parses and counts. The table has the 15 columns of web analytics. The ways take turns, so that
whatever else the machine does hits all alike.

    make bench                                             # all of it
    make bench ARGS="--rows 100000 --sides function floor"  # a part; the other results are kept

Absolute times are those of this machine and its emulator; the ratios are what counts. This text is
written by the command from [results/results.json](results/results.json), which holds every single
run.

A night with nothing new costs a table at most 3 BigQuery queries and 4 Aito calls, which
[tests/promise/test_night_costs.py](../tests/promise/test_night_costs.py) counts.
"""
_OVERLAP = """\
In each round the sink takes so long for a batch, its parsing included, that sending takes about as
long as reading just did. At no distance the emulator, the sink and the function fight for this
machine's cores; at a distance, as between services that are elsewhere, they mostly wait for each
other. There are so many rows that start and plan, which nothing can overlap, are a small part. The
stage is part of reading, and it must be whole before its first row can be sent: it is what the
ratio mostly shows.
"""
_HOW = """\
## How it is measured
- Wall time and CPU (user and system) of the way's whole process tree, to its exit. Upstream
  processes do not count.
- Peak memory: the kernel's high-water mark of the largest process. functions-framework forks its
  worker, so there it is the sum over both: the proportional set size after the answer, and what the
  process had more at its high-water mark.
- Requests and bytes (headers included) are counted by the sink, and so are the rows: a way that
  loses one fails.
- The function runs under functions-framework with nothing but `requirements.txt` installed: start,
  one POST, stop. It reads its key from a Secret Manager stand-in, takes the lease, plans, loads,
  verifies against Aito's counts and writes its ledger. The ceiling of requests a second is out of
  the way: the other ways have none.
- Reading alone is the function's own plan, stage and queries without any sending; sending alone
  posts one finished batch over and over. All ways send 1,000 rows a request.
"""


def text(results: dict[str, Any]) -> str:
    """The whole README."""
    sections = [
        _HEAD,
        _targets(targets(results)),
        _contest(results.get("contest", [])),
        _overlap(results),
        _large(results),
    ]
    sections += [_start(results), _HOW, _machine(results)]
    return "\n".join(section for section in sections if section)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _targets(found: Iterable[Target]) -> str:
    verdict = {True: "yes", False: "**no**", None: "not measured"}
    rows = [
        [t.what, f"{t.most:.2f}", "" if t.found is None else f"{t.found:.2f}", verdict[t.met]]
        for t in found
    ]
    return "## Targets\nMedian of the function over median of the other.\n\n" + _table(
        ["ratio", "at most", "is", "met"], rows
    )


def _contest(entries: list[dict[str, Any]]) -> str:
    head = ["", "wall s", "CPU s", "peak MB", "MB sent", "requests"]
    runs = len({entry["run"] for entry in entries})
    parts = [
        f"## The ways\nMedian of {runs} runs and, in brackets, the least and the greatest.\n\n"
        "![Cost against rows](results/cost.svg)\n"
    ]
    for size in sorted({entry["rows"] for entry in entries}):
        rows = [_row(side.title, entries, side.name, size) for side in SIDES]
        parts.append(f"{size:,} rows\n\n" + _table(head, [row for row in rows if row]))
    return "\n".join(parts)


def _row(title: str, entries: list[dict[str, Any]], side: str, size: int) -> list[str]:
    found = [
        number(entries, field, side=side, rows=size)
        for field in ("wall_seconds", "cpu_seconds", "peak_bytes", "bytes_sent", "requests")
    ]
    wall, cpu, peak, sent, requests = found
    if not (wall and cpu and peak and sent and requests):
        return []
    return [
        title,
        _spread(wall),
        _spread(cpu),
        _spread(peak, 1e6, 0),
        f"{sent.median / 1e6:,.1f}",
        f"{requests.median:,.0f}",
    ]


def _spread(number: Number, unit: float = 1.0, digits: int = 2) -> str:
    least, median, greatest = (
        f"{value / unit:,.{digits}f}" for value in (number.least, number.median, number.greatest)
    )
    return f"{median} ({least} to {greatest})"


def _overlap(results: dict[str, Any]) -> str:
    entries = results.get("overlap", [])
    parts = [
        _at_distance([e for e in entries if e["distance"] == d])
        for d in sorted({e["distance"] for e in entries})
    ]
    return "\n".join(["## Overlap", _OVERLAP, *parts]) if parts else ""


def _at_distance(entries: list[dict[str, Any]]) -> str:
    titles = {
        "reading": "reading alone",
        "sending": "sending alone",
        "function": "both, by the function",
    }
    rows = [(titles[side], number(entries, "wall_seconds", side=side)) for side in titles]
    rows_of, page = (entries[0][field] for field in ("rows", "distance"))
    batch = statistics.median(entry["pause"] for entry in entries)
    head = f"{rows_of:,} rows, {page * 1000:.0f} ms more a page, {batch * 1000:.0f} ms a batch\n\n"
    return head + _table(
        ["", "wall s"], [[title, _spread(found)] for title, found in rows if found]
    )


def _large(results: dict[str, Any]) -> str:
    entries = results.get("large", [])
    rows = []
    for size in sorted({entry["rows"] for entry in entries}):
        if found := number(entries, "peak_bytes", rows=size):
            rows.append([f"{size} documents", _spread(found, 2**20, 0)])
    head = (
        f"## Documents of a megabyte\nPeak memory of the function; {LIMIT_BYTES // 2**20} MiB are"
        " allowed.\n\n"
    )
    return head + _table(["", "peak MiB"], rows) if rows else ""


def _start(results: dict[str, Any]) -> str:
    imports, answers = results.get("imports", []), results.get("first_answer", [])
    titles = {"main": "`import main`", "packages": "its third-party packages alone"}
    first = {
        "refused": "first answer, a wrong request refused",
        "dry_run": "first answer, a dry run of one table",
    }
    rows = [
        [titles[what], _told(imports, "wall_seconds", what), _told(imports, "cpu_seconds", what)]
        for what in titles
    ]
    rows += [[first[what], _told(answers, "answer_seconds", what), ""] for what in first]
    head = (
        f"## Cold start\nImports: {IMPORTS} runs each, without bytecode to compile; answers: from"
        " the start of the process under functions-framework.\n\n"
    )
    return head + _table(["", "wall s", "CPU s"], rows) if imports and answers else ""


def _told(entries: list[dict[str, Any]], field: str, what: str) -> str:
    found = number(entries, field, what=what)
    return _spread(found) if found else ""


def _machine(results: dict[str, Any]) -> str:
    machine, versions = results["machine"], results["versions"]
    lines = [
        f"- {name}: {', '.join(f'{p} {v}' for p, v in sorted(held.items()))}"
        for name, held in sorted(versions.items())
    ]
    return (
        f"## Machine and versions\n{machine['processor']}, {machine['cores']} cores,"
        f" {machine['memory']}, {machine['system']}, Python {machine['python']}; measured"
        f" {results['taken']}. Before the last part the machine's load was {machine['load']:g};"
        " what exceeds 0 was others' and lengthens wall times.\n\n" + "\n".join(lines) + "\n"
    )
