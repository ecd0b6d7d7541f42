"""Why rows were rejected, said without their values. Pure.

Aito's own words may quote a row. So a word of a reason is shown when it is one that messages are
made of, or a name of the configuration's; anything else becomes an ellipsis. Our own reasons hold
no values and are shown whole.
"""

from __future__ import annotations

import re

LENGTH = 300  # of a reason, for people
OUR_OWN = (
    "an integer that does not fit ",
    "NULL in a column",
    "the cursor does not fit ",
)  # after the column's name
# What an error message is made of, and no row's value would be missed for.
WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a an and are array as at be been beyond bits boolean cannot character characters column columns convert cursor
        data decimal document does element empty entries entry error expected expects field fit found from given got
        half has have int internal invalid is it its json key large limit link long malformed many max maximum message
        missing more must name no not null nullable number object of on or out pair parse range request required row
        rows schema server should size string surrogate table text that the there this to too type unexpected unknown
        value was were with without
        """,
    )
)


def plain(reason: str, names: frozenset[str]) -> str:
    """A reason without what may be a row's value: words that are neither known nor names become an
    ellipsis.
    """
    if reason.partition(": ")[2].startswith(OUR_OWN) or re.match(
        r"\d+ rows have no cursor ", reason
    ):
        return reason
    known = WORDS | names
    text = re.sub(r"[^\s:;,()'\"`]+", lambda word: _word(word[0], known), reason[:2000])
    return re.sub(r"…(?:[\s:;,()'\"`]*…)+", "…", text)[:LENGTH]


def _word(word: str, known: frozenset[str]) -> str:
    bare = word.strip(".!?")
    return word if bare in known or bare.lower() in WORDS else "…"
