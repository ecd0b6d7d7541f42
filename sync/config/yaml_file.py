"""Reads a YAML file. Every value keeps its line, and nothing is dropped without a message.

The result is what JSON can hold: mappings with text keys, lists, text, finite numbers, true, false
and null. The size of the input is bounded: see the constants.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from sync.base.errors import ConfigError
from sync.config.problems import Place, Problem, cut, quote, spell

# A thousand tables with a hundred columns each are about 4 MB. A larger file is a mistake.
MAX_FILE_BYTES = 5_000_000
# An alias repeats what it names, and aliases of aliases multiply. The file is written out as JSON,
# so the repeated text counts too.
MAX_EXPANDED_CHARACTERS = 4 * MAX_FILE_BYTES
# The settings are five levels deep, and a condition of Aito's seldom more than ten. libyaml's
# composer recurses in C and crashes the process some thousand levels down.
MAX_DEPTH = 100

TAG = "tag:yaml.org,2002:"
JSON_TAGS = {
    TAG + name
    for name in ("map", "seq", "str", "int", "float", "bool", "null", "merge", "timestamp")
}
# A date is text for us: JSON has no dates.
KEPT_SCALAR_TAGS = JSON_TAGS - {TAG + "timestamp"}
KEY_TAGS = {TAG + "str", TAG + "merge"}
NO_TAGS = "a YAML tag (!...) has no meaning here; leave it out"

# PyYAML's parser in C, where it was built with it: ten times as fast.
Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

LineProblem = tuple[int, str]  # a line, counted from 1, and what is wrong there


class Document:
    """A parsed file: its `data`, the `problems` of its YAML, and the line of every place."""

    def __init__(self, data: dict[str, Any], root: yaml.Node, where: str) -> None:
        self.data = data
        self.problems: list[LineProblem] = []
        self._root = root
        self._where = where

    def line(self, place: Place) -> int:
        """The line of a place, or of the nearest thing around it that is in the file."""
        node = self._root
        line = 1
        for part in place:
            found = _child(node, part)
            if found is None:
                break
            line, node = found
        return line

    def report(self, problems: Iterable[Problem]) -> str:
        """Every problem, in the order of the file, one a line."""
        described = [(self.line(problem.place), self._describe(problem)) for problem in problems]
        unique = dict.fromkeys([*self.problems, *described])
        lines = [f"  line {line}: {text}" for line, text in sorted(unique)]
        count = "1 mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
        return "\n".join([f"{self._where}: {count}", *lines])

    def _describe(self, problem: Problem) -> str:
        table = self._table_name(problem.place)
        table_hint = f" (table '{table}')" if table else ""
        return f"{spell(problem.place)}{table_hint}: {problem.text}"

    def _table_name(self, place: Place) -> str | None:
        """The name of the table that a place belongs to, as far as it has one."""
        if len(place) < 2 or place[0] != "tables" or not isinstance(place[1], int):
            return None
        entry = self.data["tables"][place[1]]
        name = entry.get("name") if isinstance(entry, dict) else None
        return cut(name) if isinstance(name, str) else None


def text_of(path: str | os.PathLike[str]) -> str:
    """The file's text. Raises ConfigError when it cannot be read."""
    raw = _bytes_of(path)
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigError(
            f"{path}: larger than {MAX_FILE_BYTES // 1_000_000} MB, so it is no configuration file;"
            " SYNC_CONFIG or --config names the right one"
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}: line {line}: not UTF-8 text; save the file in the encoding UTF-8"
        ) from None


def _bytes_of(path: str | os.PathLike[str]) -> bytes:
    """The file's content, at most one byte over the limit."""
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file; correct --config or SYNC_CONFIG, or make it with"
            " `./aito-sync init DATASET -o FILE`"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def read(text: str, where: str) -> Document:
    """Parse the text of a file that messages call `where`. Raises ConfigError."""
    try:
        _check_depth(text, where)
        loader = Loader(text)
        root = loader.get_single_node()
        if root is None:  # an empty file has no root
            raise ConfigError(f"{where}: {_not_a_mapping(None)}")
        problems = list(_clean(root, where))
        _check_expansion(root, where)
        data = loader.construct_document(root)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: {_syntax(error, text)}") from None
    except (ValueError, KeyError):  # PyYAML raises these when it cannot build `!!int x`
        raise ConfigError(
            f"{where}: a YAML tag or number in it cannot be understood; leave tags out"
        ) from None
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: {_not_a_mapping(data)}")
    document = Document(data, root, where)
    document.problems = problems
    return document


def _not_a_mapping(data: object) -> str:
    if data is None:
        found = "is empty"
    elif isinstance(data, list):
        found = "holds a list at the top"
    else:
        found = "holds a single value at the top"
    return f"the file {found}; it must be a mapping with the keys aito, ledger and tables"


# --- bounds


def _check_depth(text: str, where: str) -> None:
    """Raise ConfigError when values are nested deeper than any configuration is."""
    depth = 0
    for event in yaml.parse(text, Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            mark = event.start_mark
            line = mark.line + 1 if mark else 1
            raise ConfigError(
                f"{where}: line {line}: nested more than {MAX_DEPTH} levels deep;"
                " look for brackets that are never closed"
            )


def _check_expansion(root: yaml.Node, where: str) -> None:
    """Raise ConfigError when aliases repeat more text than any configuration holds."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        """Characters of a node, each alias counted in full."""
        if id(node) not in sizes:
            own = len(node.value) if isinstance(node.value, str) else 2
            sizes[id(node)] = own + sum(size(part) for part in _parts(node))
        return sizes[id(node)]

    if size(root) > MAX_EXPANDED_CHARACTERS:
        raise ConfigError(
            f"{where}: its aliases (*) repeat more than {MAX_EXPANDED_CHARACTERS // 1_000_000} MB"
            " of text; write out what is needed, or repeat less"
        )


# --- syntax


def _syntax(error: yaml.YAMLError, text: str) -> str:
    """A parser's complaint with its place. It never quotes the file: a key may stand there."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        line = _line_of_control_character(text)
        return f"line {line}: not YAML: a control character, or another that YAML does not allow"
    place = f"line {mark.line + 1}, column {mark.column + 1}"
    lines = text.splitlines()
    line_text = lines[mark.line] if mark.line < len(lines) else ""
    indent = line_text[: len(line_text) - len(line_text.lstrip())]
    if "\t" in indent:
        return f"{place}: a tab; YAML is indented with spaces"
    opened = getattr(error, "context_mark", None)
    if opened and "quoted scalar" in str(getattr(error, "context", "")):
        return (
            f"line {opened.line + 1}, column {opened.column + 1}: not YAML: the quote that opens"
            " here is not closed; close it, or leave both quotes out"
        )
    problem = str(getattr(error, "problem", ""))
    unquoted = re.sub(r"(alias|anchor|handle) '.*'", r"\1", problem)
    return (
        f"{place}: not YAML: {unquoted}; look for wrong indentation, or a colon or quote too many"
        " or too few"
    )


def _line_of_control_character(text: str) -> int:
    odd = re.search(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    if odd is None:
        return 1
    return text.count("\n", 0, odd.start()) + 1


# --- what JSON cannot hold


def _clean(root: yaml.Node, where: str) -> Iterator[LineProblem]:
    """Report everything that JSON cannot hold, and take it out, so that reading can go on."""
    seen: set[int] = set()
    above: list[yaml.Node] = []

    def visit(node: yaml.Node) -> Iterator[LineProblem]:
        if any(node is outer for outer in above):
            line = _line(node)
            raise ConfigError(f"{where}: line {line}: an alias (*) stands inside what it repeats")
        if id(node) in seen:
            return
        seen.add(id(node))
        above.append(node)
        yield from _clean_scalar(node) if isinstance(node.value, str) else _clean_keys(node)
        for child in _children(node):
            yield from visit(child)
        above.pop()

    return visit(root)


def _clean_scalar(node: yaml.Node) -> Iterator[LineProblem]:
    if node.tag not in JSON_TAGS:
        yield _line(node), NO_TAGS
    if node.tag == TAG + "float" and node.value.lower().endswith(("nan", "inf")):
        yield _line(node), "must be a finite number"
        node.tag = TAG + "int"
        node.value = "1"  # any number will do to read on
    if node.tag not in KEPT_SCALAR_TAGS:
        node.tag = TAG + "str"


def _clean_keys(node: yaml.Node) -> Iterator[LineProblem]:
    """Report keys that PyYAML drops (written twice) or reads as something else (`on:` is true)."""
    if node.tag not in JSON_TAGS:
        yield _line(node), NO_TAGS
        node.tag = TAG + ("map" if _is_mapping(node) else "seq")
    if not _is_mapping(node):
        return
    first_line: dict[str, int] = {}
    for key, _ in node.value:
        if key.tag == TAG + "merge":
            continue
        if key.tag != TAG + "str":
            yield _line(key), _not_a_text_key(key)
        elif key.value in first_line:
            first = first_line[key.value]
            yield (
                _line(key),
                f"the key {quote(key.value)} is written twice, first on line {first};"
                " keep one of the two",
            )
        else:
            first_line[key.value] = _line(key)
    node.value = [(key, value) for key, value in node.value if key.tag in KEY_TAGS]


def _not_a_text_key(key: yaml.Node) -> str:
    shown = quote(key.value) if isinstance(key.value, str) else "a list or mapping"
    return f"a key must be text, and YAML reads {shown} as something else; put it in quotes"


# --- nodes


def _children(node: yaml.Node) -> Iterable[yaml.Node]:
    """The values that a node holds, without keys."""
    if isinstance(node.value, str):
        return ()
    if _is_mapping(node):
        return [value for _, value in node.value]
    return list(node.value)


def _parts(node: yaml.Node) -> Iterable[yaml.Node]:
    """The values that a node holds, and its keys."""
    if _is_mapping(node):
        return [part for pair in node.value for part in pair]
    return _children(node)


def _is_mapping(node: yaml.Node) -> bool:
    """Whether it holds pairs. An empty mapping has nothing to look at, so False is right too."""
    return isinstance(node.value, list) and isinstance(next(iter(node.value), None), tuple)


def _child(node: yaml.Node, part: str | int) -> tuple[int, yaml.Node] | None:
    """The line where a part of a mapping or list begins, and its node."""
    if _is_mapping(node):
        # Backwards: the last of two equal keys counts, and an own key counts more than a merged
        # one.
        for key, value in reversed(node.value):
            if key.value == part:
                return _line(key), value
        return None
    if isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
        child = node.value[part]
        return _line(child), child
    return None


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
