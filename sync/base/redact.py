"""Removes what may be a row's value from a sentence of another system.

A word is shown when messages are usually made of it, or when it is a name of the configuration.
Any other word becomes an ellipsis.
"""

from __future__ import annotations

import re

from sync.base import reasons

MAX_LENGTH = 300  # characters of a reason that is shown
MAX_READ = 2_000  # characters of a reason that are looked at
WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a an and are array as at be been beyond bits boolean cannot character characters column
        columns convert cursor data decimal document does element empty entries entry error
        expected expects field fit found from given got half has have int internal invalid is it
        its json key large limit link long malformed many max maximum message missing more must
        name no not null nullable number object of on or out pair parse range request required row
        rows schema server should size string surrogate table text that the there this to too type
        unexpected unknown value was were with without
        """,
    )
)
_ELLIPSIS = "…"
_WORD = re.compile(r"[^\s:;,()'\"`]+")
_SEVERAL_ELLIPSES = re.compile(r"…(?:[\s:;,()'\"`]*…)+")


def redact(sentence: str, names: frozenset[str]) -> str:
    """A sentence without possible values. names: tables and columns that may be shown.

    Reasons of our own hold no values and are returned as they are.
    """
    if reasons.is_ours(sentence):
        return sentence
    known = WORDS | names
    words = _WORD.sub(lambda match: _shown(match[0], known), sentence[:MAX_READ])
    return _SEVERAL_ELLIPSES.sub(_ELLIPSIS, words)[:MAX_LENGTH]


def _shown(word: str, known: frozenset[str]) -> str:
    bare = word.strip(".!?")
    if bare in known or bare.removesuffix("[]").lower() in WORDS:
        return word
    return _ELLIPSIS
