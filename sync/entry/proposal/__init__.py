"""Proposes the settings of tables from what was counted of their sources. Pure.

Every choice carries its reason, which `init` prints as a comment.

choices.py  the proposal as values
names.py    the words of names
keys.py     the key
cursor.py   the cursor
links.py    links between tables
table.py    one table, put together from these
"""

from sync.entry.proposal.choices import ColumnChoice, KeyChoice, TableProposal
from sync.entry.proposal.keys import key_candidates
from sync.entry.proposal.links import link_candidates
from sync.entry.proposal.table import propose

__all__ = [
    "ColumnChoice",
    "KeyChoice",
    "TableProposal",
    "key_candidates",
    "link_candidates",
    "propose",
]
