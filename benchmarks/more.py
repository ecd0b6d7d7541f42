"""Beside the contest: how well reading and sending overlap, memory with large documents, imports,
the first answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from benchmarks import contest
from benchmarks.contest import SIDES, python
from benchmarks.measure import measured
from benchmarks.stage import BATCH, ROOT, Stage, stage

# Rows, and seconds that each page and each batch are under way: none, when all fight for one
# machine's cores; or as between services that are elsewhere, when the function mostly waits. Enough
# rows in both that start and plan, which nothing can overlap and which are told under cold start,
# are a small part.
OVERLAPS = ((1_500_000, 0.0), (200_000, 0.1))
LARGE = ((20, 1_000_000), (300, 1_000_000))  # documents, bytes each
IMPORTS = 40  # many, for each is short and a machine whose speed wavers tells little in a few
# What main.py and sync/ import of others, the way they do; `pydantic` alone would load nothing
# until it is used.
THIRD_PARTY = """
import flask, functions_framework, google.cloud.bigquery, orjson
import pydantic.fields, pydantic.types, requests, yaml
from aito.v1 import AitoClient
from pydantic import BaseModel"""
_TIMED = """
import json, time
wall, cpu = time.perf_counter(), time.process_time()
{0}
seconds = {{"wall_seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}}
print(json.dumps(seconds))"""
_by_name = {side.name: side for side in SIDES}


def overlap(runs: int) -> Iterator[dict[str, Any]]:
    """In each round the sink takes so long for a batch that sending alone takes as long as reading
    alone just did.
    """
    for rows, distance in OVERLAPS:
        with stage(rows, page_pause=distance) as here:
            beside = 0.0  # seconds of a batch's sending beside the sink's
            for run in range(-1, runs):  # the first round finds that out
                reading = contest.play(_by_name["reading"], here)
                pause = max(0.0, reading["wall_seconds"] / (rows / BATCH) - beside)
                sending = contest.play(_by_name["sending"], here, pause=pause)
                beside = sending["wall_seconds"] / (rows / BATCH) - pause
                if run >= 0:
                    both = contest.play(_by_name["function"], here, pause=pause)
                    for name, used in (
                        ("reading", reading),
                        ("sending", sending),
                        ("function", both),
                    ):
                        yield {
                            "side": name,
                            "rows": rows,
                            "run": run,
                            "distance": distance,
                            "pause": pause,
                            **used,
                        }


def large(runs: int) -> Iterator[dict[str, Any]]:
    """The function with documents of a megabyte."""
    for rows, size in LARGE:
        with stage(rows, size) as here:
            for run in range(runs):
                used = contest.play(_by_name["function"], here)
                yield {"side": "function", "rows": rows, "document_bytes": size, "run": run, **used}


def imports() -> Iterator[dict[str, Any]]:
    """`import main` and the same of its third-party packages alone, in turn, each in a process of
    its own.
    """
    for run in range(-1, IMPORTS):  # the first pair warms up
        for what, code in (("main", "import main"), ("packages", THIRD_PARTY)):
            told = subprocess.run(
                [python("function"), "-c", _TIMED.format(code)],
                cwd=ROOT,
                check=True,
                capture_output=True,
                text=True,
                env={"PATH": os.environ["PATH"]},
            )
            if run >= 0:
                yield {"what": what, "run": run, **json.loads(told.stdout)}


def first_answer(runs: int) -> Iterator[dict[str, Any]]:
    """From the start of the process to the first answer: one that needs no upstream, and a dry
    run.
    """
    with stage(10) as here:
        for run in range(runs):
            for what, body in (("refused", b'{"action": "?"}'), ("dry_run", b'{"dry_run": true}')):
                yield {"what": what, "run": run, **_answered(here, body)}


def _answered(here: Stage, body: bytes) -> dict[str, Any]:
    port, begun = contest.free_port(), time.monotonic()
    seconds: list[float] = []

    def ask() -> None:
        contest.post(port, body)
        seconds.append(time.monotonic() - begun)

    used = measured(contest.function_command(port), here.environ, ROOT, ask)
    return {**used, "answer_seconds": seconds[0]}
