"""The definition of a table: a fingerprint of all that its rows are made of.

It has a named part for each subject, so that a change can be named too.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from sync.config import TableSettings
from sync.model.columns import Column

_KEEP = "keep"


def definition(table: TableSettings, columns: Sequence[Column]) -> str:
    """The fingerprint of a table. columns: as the source describes them."""
    expressions = {name: column.sql for name, column in (table.columns or {}).items()}
    meaning = sorted(
        f"{c.name} {c.type} {c.link} {c.analyzer} {expressions.get(c.name)}" for c in columns
    )
    parts = {
        "source": _source(table),
        "columns": meaning,
        "key": table.key,
        "cursor": _cursor(table),
        "mode": table.mode,
    }
    fingerprints = [
        f"{name}={zlib.crc32(repr(value).encode()):08x}" for name, value in parts.items()
    ]
    return ";".join([*fingerprints, f"{_KEEP}={table.keep}"])


def _source(table: TableSettings) -> tuple[object, ...]:
    """What is read. A setting that an earlier version lacked is left out at its default."""
    parts = (table.source, table.query, table.where)
    return (*parts, "intraday") if table.intraday else parts


def _cursor(table: TableSettings) -> list[tuple[str, object]]:
    """What the cursor is made of. Settings at their default are left out.

    So a setting that a later version adds does not change the fingerprint.
    """
    return sorted(table.cursor.model_dump(exclude_defaults=True).items()) if table.cursor else []


def changes(before: str, after: str) -> list[str]:
    """The subjects that differ so that rows must be read again. A shorter `keep` is none."""
    old, new = _parts(before), _parts(after)
    changed = [name for name in new if name != _KEEP and old.get(name) != new[name]]
    if _reaches_further(old.get(_KEEP, "None"), new[_KEEP]):
        changed.append(_KEEP)
    return changed


def _parts(text: str) -> dict[str, str]:
    return dict(part.partition("=")[::2] for part in text.split(";"))


def _reaches_further(old: str, new: str) -> bool:
    """Whether `keep` reaches further back. None: everything is kept."""
    if old == "None":
        return False
    return new == "None" or int(new) > int(old)


def token(*parts: object) -> str:
    """A short fingerprint of a request and a definition, by which a resumed run is recognised."""
    return f"{zlib.crc32(repr(parts).encode()):08x}"
