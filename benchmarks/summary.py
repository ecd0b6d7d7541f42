"""Medians, spreads and ratios of results, and the targets they are held against. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Entry = dict[str, Any]


@dataclass(frozen=True)
class Number:
    """A median of several runs, and the least and greatest of them."""

    median: float
    least: float
    greatest: float


@dataclass(frozen=True)
class Target:
    """What was promised of a ratio, and what it is. found None: not measured."""

    what: str
    most: float
    found: float | None

    @property
    def met(self) -> bool | None:
        """Whether the promise is kept, where that is known."""
        return None if self.found is None else self.found <= self.most


def number(entries: Iterable[Entry], field: str, **where: Any) -> Number | None:
    """A field of the entries that match, None when there are none."""
    values = [
        e[field] for e in entries if all(e.get(name) == value for name, value in where.items())
    ]
    return Number(statistics.median(values), min(values), max(values)) if values else None


def ratio(entries: Sequence[Entry], field: str, above: Entry, below: Entry) -> float | None:
    """Median over median."""
    over, under = number(entries, field, **above), number(entries, field, **below)
    return over.median / under.median if over and under else None


# (side, rows, {field: at most so much of that side's})
AGAINST: tuple[tuple[str, int, dict[str, float]], ...] = (
    ("classic", 100_000, {"cpu_seconds": 0.35, "peak_bytes": 1 / 3, "wall_seconds": 0.5}),
    ("classic", 1_000_000, {"cpu_seconds": 0.3, "peak_bytes": 0.1, "wall_seconds": 0.5}),
    ("dlt_arrow", 100_000, {"cpu_seconds": 0.7, "peak_bytes": 0.5, "wall_seconds": 1.0}),
    ("dlt_arrow", 1_000_000, {"cpu_seconds": 0.7, "peak_bytes": 0.5, "wall_seconds": 1.0}),
    ("floor", 100_000, {"cpu_seconds": 1.3, "peak_bytes": 1.2}),
    ("floor", 1_000_000, {"cpu_seconds": 1.3, "peak_bytes": 1.2}),
)
FIELDS = {"wall_seconds": "wall time", "cpu_seconds": "client CPU", "peak_bytes": "peak memory"}
LIMIT_BYTES = 256 * 2**20


def targets(results: dict[str, Any]) -> list[Target]:
    """Every target with what the results say."""
    contest, made = results.get("contest", []), []
    for side, rows, promised in AGAINST:
        for field, most in promised.items():
            found = ratio(
                contest, field, {"side": "function", "rows": rows}, {"side": side, "rows": rows}
            )
            made.append(Target(f"{FIELDS[field]} against {side}, {rows:,} rows", most, found))
    flat = ratio(
        contest,
        "peak_bytes",
        {"side": "function", "rows": 1_000_000},
        {"side": "function", "rows": 10_000},
    )
    return [
        *made,
        Target("peak memory at 1,000,000 rows against 10,000", 1.1, flat),
        Target(
            "peak memory with documents of 1 MB against 256 MiB",
            1.0,
            _large(results.get("large", [])),
        ),
        *(
            Target(
                f"wall time against the slower of reading and sending alone, {d * 1000:.0f} ms"
                " away",
                1.15,
                found,
            )
            for d, found in _overlaps(results.get("overlap", []))
        ),
        Target(
            "`import main` against its packages alone, CPU",
            1.1,
            _imports(results.get("imports", []), "cpu_seconds"),
        ),
        Target(
            "`import main` against its packages alone, wall",
            1.1,
            _imports(results.get("imports", []), "wall_seconds"),
        ),
    ]


def _large(entries: Sequence[Entry]) -> float | None:
    found = number(entries, "peak_bytes")
    return found.greatest / LIMIT_BYTES if found else None


def _overlaps(entries: Sequence[Entry]) -> Iterator[tuple[float, float | None]]:
    for distance in sorted({entry["distance"] for entry in entries}):
        alone = [
            number(entries, "wall_seconds", side=side, distance=distance)
            for side in ("reading", "sending")
        ]
        both = number(entries, "wall_seconds", side="function", distance=distance)
        yield (
            distance,
            both.median / max(a.median for a in alone if a) if both and all(alone) else None,
        )


def _imports(entries: Sequence[Entry], field: str) -> float | None:
    return ratio(entries, field, {"what": "main"}, {"what": "packages"})
