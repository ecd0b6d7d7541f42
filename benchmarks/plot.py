"""Cost against rows as SVG, drawn from results.

On linear axes: what grows with the rows is a straight line.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from benchmarks.contest import SIDES
from benchmarks.summary import number

PANELS = (
    ("cpu_seconds", "client CPU, seconds", 1.0),
    ("wall_seconds", "wall time, seconds", 1.0),
    ("peak_bytes", "peak memory, MB", 1e6),
)
COLOURS = {
    "function": "#0b6e4f",
    "classic": "#b23a48",
    "dlt_rows": "#e09f3e",
    "dlt_arrow": "#9c6644",
    "floor": "#577590",
    "reading": "#a0a0a0",
    "sending": "#c8c8c8",
}
WIDTH, HEIGHT, LEFT, BOTTOM, TOP, GAP = 300, 240, 55, 30, 40, 20

Point = tuple[float, float]


def drawn(contest: Sequence[dict[str, Any]]) -> str:
    """Three panels and a legend."""
    parts = [_panel(contest, place, *panel) for place, panel in enumerate(PANELS)]
    width, height = len(PANELS) * (WIDTH + LEFT + GAP), TOP + HEIGHT + BOTTOM + 20 * len(SIDES) + 10
    font = 'font-family="sans-serif" font-size="11"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {font}>'
    ground = f'<rect width="{width}" height="{height}" fill="white"/>'
    return "\n".join([head, ground, *parts, *_legend(contest), "</svg>", ""])


def _points(contest: Sequence[dict[str, Any]], side: str, field: str, unit: float) -> list[Point]:
    sizes = sorted({entry["rows"] for entry in contest if entry["side"] == side})
    medians = [(rows, number(contest, field, side=side, rows=rows)) for rows in sizes]
    return [(rows, median.median / unit) for rows, median in medians if median]


def _panel(
    contest: Sequence[dict[str, Any]], place: int, field: str, title: str, unit: float
) -> str:
    lines = {side.name: _points(contest, side.name, field, unit) for side in SIDES}
    most = (
        max((x for p in lines.values() for x, _ in p), default=1),
        max((y for p in lines.values() for _, y in p), default=1),
    )
    left = place * (WIDTH + LEFT + GAP) + LEFT
    parts = [
        f'<text x="{left}" y="{TOP - 15}" font-weight="bold">{escape(title)}</text>',
        *_axes(left, most),
    ]
    parts += [_line(left, COLOURS[name], points, most) for name, points in lines.items() if points]
    return "\n".join(parts)


def _axes(left: float, most: Point) -> list[str]:
    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        x, y = left + share * WIDTH, TOP + HEIGHT - share * HEIGHT
        parts.append(f'<line x1="{left}" y1="{y}" x2="{left + WIDTH}" y2="{y}" stroke="#ddd"/>')
        parts.append(
            f'<text x="{left - 5}" y="{y + 4}" text-anchor="end">{share * most[1]:,.4g}</text>'
        )
        parts.append(
            f'<text x="{x}" y="{TOP + HEIGHT + 15}"'
            f' text-anchor="middle">{share * most[0] / 1000:,.0f}k</text>'
        )
    return parts


def _line(left: float, colour: str, points: Sequence[Point], most: Point) -> str:
    places = [(left + x / most[0] * WIDTH, TOP + HEIGHT - y / most[1] * HEIGHT) for x, y in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places)
    return f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}'


def _legend(contest: Sequence[dict[str, Any]]) -> list[str]:
    shown = [side for side in SIDES if any(entry["side"] == side.name for entry in contest)]
    y = TOP + HEIGHT + BOTTOM + 15
    return [
        f'<rect x="{LEFT}" y="{y + 20 * i - 9}" width="12" height="10"'
        f' fill="{COLOURS[side.name]}"/><text x="{LEFT + 20}"'
        f' y="{y + 20 * i}">{escape(side.title)}</text>'
        for i, side in enumerate(shown)
    ]
