"""Describes a problem in a file or a request: where it is, what is wrong, what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

# The way from the top of the file to a value: `("tables", 1, "cursor")`.
Place = tuple[str | int, ...]

LONGEST_QUOTE = 32  # long enough to recognise a value, too short to reveal an Aito key
LONGEST_LIST = 16  # known names that one message lists
KINDS = {list: "a list", dict: "a mapping", type(None): "nothing"}


class Problem(NamedTuple):
    """One thing to correct.

    `depends_on` names every place that the finding depends on. Empty means `place` alone.
    """

    place: Place
    text: str
    depends_on: tuple[Place, ...] = ()

    def follows_from(self, wrong: Iterable[Place]) -> bool:
        """Whether a problem that is already known at one of the places `wrong` may cause it."""
        mine = self.depends_on or (self.place,)
        return any(overlap(place, other) for other in wrong for place in mine)


def overlap(one: Place, other: Place) -> bool:
    """Whether one place contains the other."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def spell(place: Place) -> str:
    """`("tables", 1, "cursor")` as people write it: `tables[1].cursor`."""
    parts = [_spell_part(part) for part in place]
    return "".join(parts).lstrip(".")


def _spell_part(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return f".{cut(part)}"


@dataclass(frozen=True)
class Origin:
    """Where settings stand in a file. Any two are equal: the place changes no meaning.

    file: how messages call it. line: tells the line of a place. top: the place of the settings.
    """

    file: str = field(default="", compare=False)
    line: Callable[[Place], int] | None = field(default=None, compare=False, repr=False)
    top: Place = field(default=(), compare=False)

    def at(self, *path: str | int) -> str:
        """A setting with its file and line. `path` begins at these settings."""
        if self.line is None:  # they come from no file
            return spell(path)
        place = (*self.top, *path)
        return f"{self.file} line {self.line(place)}: {spell(place)}"


def cut(text: str, longest: int = LONGEST_QUOTE) -> str:
    """The text on one line, with at most `longest` characters."""
    start = text[: longest + 1]
    line = start if start.isprintable() else ascii(start)[1:-1]
    if len(line) <= longest:
        return line
    return line[: longest - 1] + "…"


def quote(value: str, longest: int = LONGEST_QUOTE) -> str:
    """A value as it may stand in a message."""
    return f"'{cut(value, longest)}'"


def shown(value: object) -> str:
    """What stands there, in a few words: text and numbers as they are, the rest by its kind."""
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, bool):  # before int, which a bool is in Python
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, int):
        return cut(str(value))
    return KINDS.get(type(value), "this")


def close(word: str, words: Iterable[str]) -> str | None:
    """The known word that was probably intended, or None. Case does not count."""
    by_lower_case = {known.lower(): known for known in words}
    matches = difflib.get_close_matches(word.lower(), by_lower_case, n=1, cutoff=0.6)
    if not matches:
        return None
    return by_lower_case[matches[0]]


def suggest(
    word: str,
    words: Iterable[str],
    listing: str = "known here:",
    longest: int = LONGEST_QUOTE,
) -> str:
    """`did you mean 'x'?`, or `listing` and the known words.

    At most LONGEST_LIST words are listed, each with at most `longest` characters.
    """
    known = list(words)
    nearest = close(word, known)
    if nearest is not None:
        return f"did you mean {quote(nearest, longest)}?"
    listed = ", ".join(cut(name, longest) for name in known[:LONGEST_LIST])
    more = ", …" if len(known) > LONGEST_LIST else ""
    return f"{listing} {listed}{more}"
