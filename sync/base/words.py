"""Numbers with their nouns, as messages say them."""

from __future__ import annotations


def counted(count: int, one: str, several: str = "") -> str:
    """The count with its noun: `1 row`, `2,000 rows`. several: the plural where it is no `s`.

    A verb may follow the noun: `counted(n, "row is", "rows are")`.
    """
    if count == 1:
        return f"1 {one}"
    return f"{count:,} {several or f'{one}s'}"
