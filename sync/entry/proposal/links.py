"""Which columns hold keys of another table. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sync.entry.proposal.keys import key_column
from sync.entry.proposal.names import table_stems
from sync.model.inspection import ColumnFacts, Inspection, LinkCandidate, LinkFacts, TableFacts

INT_32 = (-(2**31), 2**31 - 1)  # Aito's Int
LINK_SHARE = 0.8  # of the values must be keys of the other table


def link_candidates(tables: Sequence[TableFacts]) -> tuple[LinkCandidate, ...]:
    """The columns that may hold keys of another table, by type and name.

    Numbers of one table are often within the range of another's: their name must say it, too.
    """
    tables = [facts for facts in tables if not facts.is_sharded and not facts.not_counted]
    keys = {facts.source: key_column(facts) for facts in tables}
    found = []
    for child in tables:
        for parent in tables:
            key = keys[parent.source]
            if parent.source == child.source or key is None:
                continue
            if parent.location != child.location:  # no query reads both
                continue
            own_key = keys[child.source]
            for column in child.columns:
                if column != own_key and _may_link(column, parent, key):
                    found.append(LinkCandidate(child.source, column.name, parent.source, key.name))
    return tuple(found)


def _may_link(column: ColumnFacts, parent: TableFacts, key: ColumnFacts) -> bool:
    if column.repeated or column.type != key.type:
        return False
    if is_named_after(column.name, parent.table, key.name):
        return True
    return column.type == "STRING" and column.may_be_key


def is_named_after(column: str, table: str, key: str) -> bool:
    """Whether a column's name says that it holds keys of a table: user_id -> users.id."""
    name = column.lower().replace("_", "")
    own = key.lower().replace("_", "")
    if own not in ("id", "uuid", "guid", "key", "code") and name.endswith(own):
        return True
    stems = {stem.replace("_", "") for stem in table_stems(table)}
    endings = ("", own, "id", "uuid", "key", "code", "ref")
    return any(name.endswith(f"{stem}{ending}") for stem in stems for ending in endings)


def best_links(inspection: Inspection) -> dict[tuple[str, str], LinkFacts]:
    """(source, column) -> the best link of the column. A link that closes a circle is left out."""
    good = [link for link in inspection.links if link.share >= LINK_SHARE]
    tables = {facts.source: facts.table for facts in inspection.tables}

    def rank(link: LinkFacts) -> tuple[bool, float]:
        each = link.candidate
        return not is_named_after(each.column, tables[each.parent], each.key), -link.share

    chosen: dict[tuple[str, str], LinkFacts] = {}
    for link in sorted(good, key=rank):
        each = link.candidate
        place = (each.source, each.column)
        if place not in chosen and not _reaches(chosen, each.parent, each.source):
            chosen[place] = link
    return chosen


def _reaches(links: Mapping[tuple[str, str], LinkFacts], start: str, goal: str) -> bool:
    """Whether following links from one table leads to another."""
    waiting, seen = [start], set()
    while waiting:
        source = waiting.pop()
        if source == goal:
            return True
        if source in seen:
            continue
        seen.add(source)
        waiting += [link.candidate.parent for (child, _), link in links.items() if child == source]
    return False


def long_columns(
    tables: Sequence[TableFacts], links: Mapping[tuple[str, str], LinkFacts]
) -> set[tuple[str, str]]:
    """(source, column) of the whole numbers beyond 32 bits, and of what is linked to them."""
    found = {
        (facts.source, column.name)
        for facts in tables
        for column in facts.columns
        if column.type == "INTEGER" and _is_long(column)
    }
    for _ in links:  # a key may have several links, so the type spreads step by step
        for place, link in links.items():
            ends = {place, (link.candidate.parent, link.candidate.key)}
            if ends & found:
                found |= ends
    return found


def _is_long(column: ColumnFacts) -> bool:
    if column.minimum is None or column.maximum is None:
        return False
    return column.minimum < INT_32[0] or column.maximum > INT_32[1]
