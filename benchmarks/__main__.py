"""`make bench`: everything, in turn, on this machine.

An hour or less; what it finds is in results/ and README.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import contest, machine, more, plot, readme
from benchmarks.contest import SIDES, Side
from benchmarks.stage import stage

RESULTS = Path(__file__).parent / "results"
PARTS = ("contest", "overlap", "large", "imports", "first_answer")
WARM_UP = 10_000  # rows: files are read and byte code is compiled before anything counts


def main() -> int:
    """Measure what is asked for, keep the rest of what is known, and write it all down."""
    options = _parser().parse_args()
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "results.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    results |= machine.described() | {"taken": datetime.now(UTC).date().isoformat()}
    measure: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
        "contest": lambda: race(options.rows, options.sides, options.runs),
        "overlap": lambda: more.overlap(options.runs),
        "large": lambda: more.large(options.runs),
        "imports": more.imports,
        "first_answer": lambda: more.first_answer(options.runs),
    }
    for part in options.parts:
        for entry in measure[part]():
            results[part] = [*_others(results.get(part, []), entry), _told(part, entry)]
            path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    (RESULTS / "cost.svg").write_text(plot.drawn(results["contest"]))
    readme.PATH.write_text(readme.text(results))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", help="default: every size of each side")
    parser.add_argument(
        "--sides", nargs="+", choices=[side.name for side in SIDES], default=[s.name for s in SIDES]
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    return parser


def race(rows: list[int] | None, names: list[str], runs: int) -> Iterator[dict[str, Any]]:
    """Every side at every size, in turn, so that what else the machine does hits all alike."""
    sides = [side for side in SIDES if side.name in names]
    with stage(WARM_UP) as small:
        for side in sides:
            contest.play(side, small)
    for size in sorted(rows or {size for side in sides for size in side.sizes}):
        with stage(size) as here:
            playing = [side for side in sides if rows or size in side.sizes]
            yield from (
                _played(side, size, run, contest.play(side, here))
                for run in range(runs)
                for side in playing
            )


def _played(side: Side, size: int, run: int, used: dict[str, Any]) -> dict[str, Any]:
    return {"side": side.name, "rows": size, "run": run, **used}


def _others(known: list[dict[str, Any]], entry: dict[str, Any]) -> list[dict[str, Any]]:
    """What was found before, less what this entry replaces: the same run of the same."""
    same = [name for name in ("side", "what", "rows", "distance", "run") if name in entry]
    return [other for other in known if any(other[name] != entry[name] for name in same)]


def _told(part: str, entry: dict[str, Any]) -> dict[str, Any]:
    short = {
        k: round(v, 3) if isinstance(v, float) else v for k, v in entry.items() if k != "status"
    }
    print(part, json.dumps(short), file=sys.stderr, flush=True)
    return short


if __name__ == "__main__":
    sys.exit(main())
