"""How a mistake in a file is written down: its place, what is wrong, what would be right."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

Place = tuple[str | int, ...]

LONGEST_QUOTE = 32  # enough to recognise a value by; too little to give a key away
LONGEST_LIST = 16


class Mistake(NamedTuple):
    """One thing to correct.

    `rests_on` names every place the finding depends on; left out: `place` alone.
    """

    place: Place
    text: str
    rests_on: tuple[Place, ...] = ()

    def doubtful(self, wrong: Iterable[Place]) -> bool:
        """Whether it may be a mere consequence of a mistake already found at one of the places
        `wrong`.
        """
        return any(
            related(mine, other) for mine in self.rests_on or (self.place,) for other in wrong
        )


def related(one: Place, other: Place) -> bool:
    """Whether one place holds the other."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def spell(place: Place) -> str:
    """`("tables", 1, "cursor")` as people write it: `tables[1].cursor`."""
    return "".join(
        f"[{part}]" if isinstance(part, int) else f".{cut(part)}" for part in place
    ).lstrip(".")


def cut(text: str) -> str:
    """The text on one line and no longer than it takes to recognise it."""
    line = text if text.isprintable() else ascii(text)[1:-1]
    return line if len(line) <= LONGEST_QUOTE else line[: LONGEST_QUOTE - 1] + "…"


def quote(value: str) -> str:
    """A value from the file, fit to stand in a message."""
    return f"'{cut(value)}'"


def close(word: str, words: Iterable[str]) -> str | None:
    """The word that was probably meant."""
    import difflib  # only ever needed when something is wrong

    lower = {known.lower(): known for known in words}
    matches = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.6)
    return lower[matches[0]] if matches else None


def suggest(word: str, words: Iterable[str]) -> str:
    """`did you mean 'x'?`, or what there is to choose from."""
    words = list(words)
    meant = close(word, words)
    if meant:
        return f"did you mean {quote(meant)}?"
    more = ", …" if len(words) > LONGEST_LIST else ""
    return f"known here: {', '.join(cut(known) for known in words[:LONGEST_LIST])}{more}"
