"""Takes a statement apart: WITH a AS (...), b AS (...) SELECT ... becomes its steps. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

# What is passed over in one piece: texts, quoted names and comments.
_QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`|(?:--|\#)[^\n]*|/\*.*?\*/"""
_TOKEN = re.compile(rf"{_QUOTED}|[()]", re.DOTALL)
_HEAD = re.compile(r"\s*(?:WITH\s|,)\s*(\w+)\s+AS\s+\(")


class Step(NamedTuple):
    """A named step of a statement. The last one has no name."""

    name: str
    body: str


def steps(text: str) -> Iterator[Step]:
    """The steps of a statement in their order."""
    place = 0
    while head := _HEAD.match(text, place):
        end = _closing(text, head.end())
        yield Step(head[1], text[head.end() : end])
        place = end + 1
    yield Step("", text[place:])


def _closing(text: str, start: int) -> int:
    """The place of the bracket that closes the one before `start`."""
    depth = 1
    for token in _TOKEN.finditer(text, start):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if depth == 0:
            return token.start()
    raise ValueError("a bracket is not closed")


def uses(body: str, name: str) -> bool:
    """Whether a step may read the step of this name, or use the parameter `@name`."""
    return re.search(rf"(?<!\w){re.escape(name)}\b", body) is not None
