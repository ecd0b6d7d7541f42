"""A sentence that is the same as long as the state is the same: what alarms are keyed by.

"80 of 100 rows are older than keep" and "81 of 101 rows ..." are one state, and one mail.
"""

from __future__ import annotations

import re

MAX_LENGTH = 800  # characters; a label of Cloud Logging holds 1,024
ID_LENGTH = 12  # a word with a digit and this length is an id: of a job, a run, a request
_WORD = re.compile(r"\w[\w.,:%+-]*\w|\w")
# Numbers that tell where a mistake is: a line of the file, an item of a list, a host.
_PLACES = r"\b(?:line|column) \d+|\[\d+\]|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"
_ANSWER = r"(?P<call>\b(?:GET|POST|PUT|DELETE) \S+: )(?P<status>\d{3})\b"  # of an HTTP request
_TOKEN = re.compile(f"(?P<place>{_PLACES})|{_ANSWER}|{_WORD.pattern}")
# One of a thing and several of it are one state.
_ONE = re.compile(
    r"# ((?:other |test )?(?:row|key|call|case|slice|table))\b(?: (is|has|was|holds)\b)?"
)
_PLURAL = {"is": " are", "has": " have", "was": " were", "holds": " hold"}


def without_numbers(sentence: str, names: frozenset[str]) -> str:
    """The sentence with `#` in place of each number and id. names: words that are kept.

    Kept as well: lines of a file, hosts, and the status of an HTTP answer.
    """
    replaced = _TOKEN.sub(lambda match: _replaced(match, names), sentence)
    return _ONE.sub(_several, replaced)[:MAX_LENGTH]


def _replaced(match: re.Match[str], names: frozenset[str]) -> str:
    if match["place"]:
        return match[0]
    if match["call"]:
        call = _WORD.sub(lambda word: _kept(word[0], names), match["call"])
        return call + match["status"]
    return _kept(match[0], names)


def _kept(word: str, names: frozenset[str]) -> str:
    if word in names or not any(character.isdigit() for character in word):
        return word
    is_id = len(word) >= ID_LENGTH and not names.intersection(re.split(r"[.:]", word))
    return "#" if word[0].isdigit() or is_id else word


def _several(match: re.Match[str]) -> str:
    return f"# {match[1]}s{_PLURAL.get(match[2], '')}"
