"""Reads a YAML file so that every value knows its line, and nothing in it is dropped in silence.

What comes out is what JSON could hold: mappings with text keys, lists, text, finite numbers,
true/false and null.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sync.base.errors import ConfigError
from sync.config.problems import Mistake, Place, cut, quote, spell

if TYPE_CHECKING:
    import yaml

TAG = "tag:yaml.org,2002:"
JSON_TAGS = {
    TAG + name
    for name in ("map", "seq", "str", "int", "float", "bool", "null", "merge", "timestamp")
}


class Document:
    """A parsed file: its `data`, the `mistakes` of its YAML, and the line of every place."""

    def __init__(self, data: dict[str, Any], root: yaml.Node, where: str) -> None:
        self.data = data
        self.mistakes: list[tuple[int, str]] = []
        self._root = root
        self._where = where

    def line(self, place: Place) -> int:
        """The line of a place, or of the nearest thing around it that is in the file."""
        node, line = self._root, 1
        for part in place:
            found = _child(node, part)
            if found is None:
                break
            line, node = found
        return line

    def report(self, mistakes: Iterable[Mistake]) -> str:
        """Every mistake, in the order of the file, one a line."""
        told = [(self.line(m.place), self._tell(m)) for m in mistakes]
        lines = sorted(dict.fromkeys([*self.mistakes, *told]))
        count = "1 mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
        return "\n".join(
            [f"{self._where}: {count}", *(f"  line {line}: {text}" for line, text in lines)]
        )

    def _tell(self, mistake: Mistake) -> str:
        table = self._table(mistake.place)
        shown = f" (table '{table}')" if table else ""
        return f"{spell(mistake.place)}{shown}: {mistake.text}"

    def _table(self, place: Place) -> str | None:
        if len(place) < 2 or place[0] != "tables" or not isinstance(place[1], int):
            return None
        entry = self.data["tables"][place[1]]
        name = entry.get("name") if isinstance(entry, dict) else None
        return cut(name) if isinstance(name, str) else None


def text_of(path: str | os.PathLike[str]) -> str:
    """The file's text."""
    try:
        raw = Path(path).read_bytes()
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file; SYNC_CONFIG names the configuration file"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}: line {line}: not UTF-8 text; save the file in the encoding UTF-8"
        ) from None


def read(text: str, where: str) -> Document:
    """Parse the text of a file known to people as `where`."""
    import yaml  # here, so that whoever needs only the settings' types does not pay for it

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
        root = loader.get_single_node()
        oddities = list(_tidy(root, where)) if root else []
        data = loader.construct_document(root) if root else None  # an empty file has no root
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: {_syntax(error, text)}") from None
    except (ValueError, KeyError):  # how PyYAML says that it cannot make `!!int x`
        raise ConfigError(
            f"{where}: a YAML tag or number in it cannot be understood; leave tags out"
        ) from None
    if root is None or not isinstance(data, dict):
        raise ConfigError(f"{where}: {_not_a_mapping(data)}")
    document = Document(data, root, where)
    document.mistakes = oddities
    return document


def _not_a_mapping(data: object) -> str:
    found = (
        "is empty"
        if data is None
        else f"holds a {'list' if isinstance(data, list) else 'single value'} at the top"
    )
    return f"the file {found}; it must be a mapping with the keys aito, ledger and tables"


def _syntax(error: yaml.YAMLError, text: str) -> str:
    """A parser's complaint with its place.

    It never quotes the file: a key may stand there by mistake.
    """
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return (
            f"line {_unprintable(text)}: not YAML: a control character, or another that YAML does"
            " not allow"
        )
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    place = f"line {mark.line + 1}, column {mark.column + 1}"
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return f"{place}: a tab; YAML is indented with spaces"
    problem = re.sub(r"(alias|anchor|handle) '.*'", r"\1", str(getattr(error, "problem", "")))
    return (
        f"{place}: not YAML: {problem}; look for wrong indentation, or a colon or quote too many or"
        " too few"
    )


def _unprintable(text: str) -> int:
    """The line of the first control character."""
    odd = re.search(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    return text.count("\n", 0, odd.start()) + 1 if odd else 1


def _tidy(root: yaml.Node, where: str) -> Iterator[tuple[int, str]]:
    """Tell of everything that JSON could not hold, and take it out, so that reading can go on."""
    seen: set[int] = set()
    above: list[yaml.Node] = []

    def visit(node: yaml.Node) -> Iterator[tuple[int, str]]:
        if any(node is outer for outer in above):
            raise ConfigError(
                f"{where}: line {_line(node)}: an alias (*) stands inside what it repeats"
            )
        if id(node) in seen:
            return
        seen.add(id(node))
        above.append(node)
        yield from _scalar(node) if isinstance(node.value, str) else _keys(node)
        for child in _children(node):
            yield from visit(child)
        above.pop()

    return visit(root)


def _scalar(node: yaml.Node) -> Iterator[tuple[int, str]]:
    if node.tag not in JSON_TAGS:
        yield _line(node), "a YAML tag (!...) has no meaning here; leave it out"
    if node.tag == TAG + "float" and node.value.lower().endswith(("nan", "inf")):
        yield _line(node), "must be a finite number"
        node.tag, node.value = TAG + "int", "1"  # any number will do to read on
    if node.tag not in JSON_TAGS - {TAG + "timestamp"}:  # a date is text to us: JSON has no dates
        node.tag = TAG + "str"


def _keys(node: yaml.Node) -> Iterator[tuple[int, str]]:
    """Keys that PyYAML would drop (written twice) or take for something else (`on:` is true)."""
    if node.tag not in JSON_TAGS:
        yield _line(node), "a YAML tag (!...) has no meaning here; leave it out"
        node.tag = TAG + ("map" if _is_mapping(node) else "seq")
    if not _is_mapping(node):
        return
    first: dict[str, int] = {}
    for key, _ in list(node.value):
        if key.tag == TAG + "str" and key.value in first:
            yield (
                _line(key),
                f"the key {quote(key.value)} is written twice, first on line {first[key.value]}",
            )
        elif key.tag == TAG + "str":
            first[key.value] = _line(key)
        elif key.tag != TAG + "merge":
            shown = quote(key.value) if isinstance(key.value, str) else "a list or mapping"
            yield (
                _line(key),
                f"a key must be text, and YAML reads {shown} as something else; put it in quotes",
            )
    node.value = [pair for pair in node.value if pair[0].tag in {TAG + "str", TAG + "merge"}]


def _children(node: yaml.Node) -> Iterable[yaml.Node]:
    if isinstance(node.value, str):
        return ()
    return [child[1] for child in node.value] if _is_mapping(node) else node.value


def _is_mapping(node: yaml.Node) -> bool:
    """Whether it holds pairs; an empty one has nothing to look at either way."""
    return isinstance(node.value, list) and isinstance(next(iter(node.value), None), tuple)


def _child(node: yaml.Node, part: str | int) -> tuple[int, yaml.Node] | None:
    """The line where a part of a mapping or list begins, and its node."""
    if _is_mapping(node):
        # From the end: of a key that is there twice, or merged in from an alias, the last one
        # counts.
        return next(
            ((_line(key), value) for key, value in reversed(node.value) if key.value == part), None
        )
    if isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
        return _line(node.value[part]), node.value[part]
    return None


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
