"""Finds in a SELECT's text a key that gets another value at each reading. Pure.

The text is not parsed, only cut at commas, brackets and SELECT. So a key counts as unstable only
where each expression in front of `AS key` holds such a function, or a name that was made by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sync.config.settings import LITERALS_AND_COMMENTS

# Each reading gives another value.
RANDOM = re.compile(
    r"\b(GENERATE_UUID|RAND|CURRENT_TIMESTAMP|CURRENT_DATETIME|CURRENT_TIME|CURRENT_DATE)\b", re.I
)
# Numbers of rows. Over all rows they change with each row that comes or goes.
NUMBERING = re.compile(
    r"\b(ROW_NUMBER|RANK|DENSE_RANK|NTILE|PERCENT_RANK|CUME_DIST|COUNT|SUM)"
    r"\s*\([^()]*\)\s*OVER\s*(\w+|\()",
    re.I,
)
# Each reading shows other rows.
SAMPLING = re.compile(
    r"\b(TABLESAMPLE)\s+SYSTEM\b|\b(?:WHERE|AND|OR|QUALIFY|ORDER\s+BY)\s+(RAND)\s*\(", re.I
)
ALIAS = re.compile(r"(?:\bAS\s+|\)\s*)(\w+)(?=\s*(?:,|\)|\bFROM\b|$))", re.I)
SELECT = re.compile(r"\bSELECT\b", re.I)
OF_TABLE = re.compile(r"\b(FROM|JOIN)\b|^\s*\(\s*SELECT\b", re.I)
PARTITIONED = re.compile(r"\s*(?:\w+\s+)?PARTITION\s+BY\b", re.I)
IDENTIFIER = re.compile(r"\w+")
DERIVED = "a value that is made anew at each reading"
# After AS in a CAST.
TYPES = {
    *("string", "int64", "numeric", "bignumeric", "float64", "bool", "bytes", "json"),
    *("date", "datetime", "time", "timestamp"),
}


def unstable_column(text: str, column: str) -> str:
    """The function that makes a column of a SELECT unstable; empty when none is seen."""
    bare = plain(text)
    if not (RANDOM.search(bare) or NUMBERING.search(bare)):
        return ""
    expressions = _expressions(bare)
    unstable: dict[str, str] = {}  # name -> the function
    for _ in expressions:  # a name may be made of names that stand further on
        before = len(unstable)
        for name, several in expressions.items():
            others = unstable.keys() - {name}
            functions = [unstable_function(each, bare, others) for each in several]
            if name not in unstable and all(functions):
                unstable[name] = functions[0]
        if len(unstable) == before:
            break
    return unstable.get(column.lower(), "")


def _expressions(text: str) -> dict[str, list[str]]:
    """The expressions of each name, without those that only take over a column of that name."""
    expressions: dict[str, list[str]] = {}
    for name, expression in _aliases(text):
        is_taken_over = re.fullmatch(rf"\s*(?:\w+\.)?{name}\s*", expression, re.I)
        if not is_taken_over:
            expressions.setdefault(name, []).append(expression)
    return expressions


def unstable_function(expression: str, text: str = "", names: set[str] | None = None) -> str:
    """The function that makes a value another one at each reading; empty when none is seen.

    text: where named windows are defined. names: what was made by such functions, in small letters.
    """
    found = RANDOM.search(expression)
    if found:
        return f"{found[1].upper()}()"
    for number in NUMBERING.finditer(expression):
        if not _is_partitioned(number, expression, text):
            return f"{number[1].upper()}() over all rows"
    used = {name.lower() for name in IDENTIFIER.findall(expression)}
    return DERIVED if used & (names or set()) else ""


def sampling(text: str) -> str:
    """What makes a SELECT show other rows at each reading; empty when nothing is seen."""
    found = SAMPLING.search(plain(text))
    if found is None:
        return ""
    return "TABLESAMPLE" if found[1] else "RAND()"


def plain(text: str) -> str:
    """SQL without its texts and comments, and without the quotes of names."""
    return LITERALS_AND_COMMENTS.sub(_unquoted, text)


def _unquoted(match: re.Match[str]) -> str:
    return match[0][1:-1] if match[0].startswith("`") else " '' "


def _aliases(text: str) -> Iterator[tuple[str, str]]:
    """Each name that is given to a column, in small letters, and its expression."""
    for match in ALIAS.finditer(text):
        # The bracket in front of a name without AS belongs to the expression.
        end = match.start() + 1 if match[0].startswith(")") else match.start()
        expression = text[_begin(text, end) : end]
        name = match[1].lower()
        if name not in TYPES and not OF_TABLE.search(_outside_brackets(expression)):
            yield name, expression


def _begin(text: str, end: int) -> int:
    """Where the expression begins that ends at `end`: after a comma, a bracket or SELECT."""
    depth = 0
    for place in range(end - 1, -1, -1):
        character = text[place]
        depth += {")": 1, "(": -1}.get(character, 0)
        if depth < 0 or (depth == 0 and (character == "," or text.startswith("|>", place))):
            return place + 1
        if depth == 0 and character in "sS" and SELECT.match(text, place):
            return place + len("SELECT")
    return 0


def _outside_brackets(expression: str) -> str:
    """An expression without what its brackets hold, apart from a SELECT that it begins with."""
    is_query = re.match(r"\s*\(\s*SELECT\b", expression, re.I)
    kept = []
    depth = 0
    for character in expression:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0:
            kept.append(character)
    return ("(SELECT " if is_query else "") + "".join(kept)


def _is_partitioned(number: re.Match[str], expression: str, text: str) -> bool:
    """Whether rows are numbered within groups, such as the lines of an order."""
    window = expression[number.end() :]
    if number[2] != "(":
        defined = re.search(rf"\b{re.escape(number[2])}\s+AS\s*\(", text, re.I)
        if defined is None:
            return True  # not understood
        window = text[defined.end() :]
    return PARTITIONED.match(window) is not None
