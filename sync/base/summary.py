"""A sentence that is the same as long as the state is the same: what alarms are keyed by.

"80 of 100 rows are older than keep" and "81 of 101 rows ..." are one state, and one mail.
"""

from __future__ import annotations

import re

MAX_LENGTH = 800  # characters; a label of Cloud Logging holds 1,024
ID_LENGTH = 12  # a word with a digit and this length is an id: of a job, a run, a request
_WORD = re.compile(r"\w[\w.,:%+-]*\w|\w")


def without_numbers(sentence: str, names: frozenset[str]) -> str:
    """The sentence with `#` in place of each number and id. names: words that are kept."""
    return _WORD.sub(lambda match: _kept(match[0], names), sentence)[:MAX_LENGTH]


def _kept(word: str, names: frozenset[str]) -> str:
    if word in names or not any(character.isdigit() for character in word):
        return word
    is_id = len(word) >= ID_LENGTH and not names.intersection(re.split(r"[.:]", word))
    return "#" if word[0].isdigit() or is_id else word
