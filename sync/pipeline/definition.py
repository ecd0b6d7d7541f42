"""The definition of a table: a fingerprint of all that its rows are made of.

It has a named part for each subject, so that a change can be named too.
"""

from __future__ import annotations

import re
import zlib
from urllib.parse import quote, unquote

from sync.config import TableSettings
from sync.model.ports import SourceTable

PLAIN_NAME = re.compile(r"[A-Za-z0-9_.]+")
_KEEP = "keep"
_TYPES = "types"
_MEMBERS = "members"  # of structs; an earlier version did not know them
_VALUES = "values"  # how values are made of the source's types; the same is true of it
OF_COLUMNS = {"columns", _MEMBERS, _VALUES}  # the parts that change with the source's columns
NUMBERS = ("INTEGER", "FLOAT", "NUMERIC", "BIGNUMERIC")  # equal numbers are one value in Aito


def definition(table: TableSettings, source: SourceTable) -> str:
    """The fingerprint of a table. source: as it was described."""
    expressions = {name: column.sql for name, column in table.named.items()}
    meaning = sorted(
        f"{c.name} {c.type} {c.link} {c.analyzer} {expressions.get(c.name)}" for c in source.columns
    )
    parts: dict[str, object] = {
        "source": _source(table),
        "columns": meaning,
        "key": _key(table, source),
        "cursor": _cursor(table),
        "mode": table.mode,
    }
    if table.deletes:
        parts["deletes"] = table.deletes
    members = sorted(each for each in source.source_types.items() if is_member(each[0]))
    if members:
        parts[_MEMBERS] = members
    made = {column.name: column.type for column in source.columns}
    types = source.source_types.items()
    parts[_VALUES] = sorted(
        (name, value_kind(kind, made[name])) for name, kind in types if name in made
    )
    fingerprints = [
        f"{name}={zlib.crc32(repr(value).encode()):08x}" for name, value in parts.items()
    ]
    return ";".join([*fingerprints, f"{_KEEP}={table.keep}", f"{_TYPES}={_types(source)}"])


def value_kind(source_type: str, aito_type: str) -> str:
    """What a value is made of. Where this changes, equal values of the source become other ones."""
    scalar = source_type.removeprefix("ARRAY<").removesuffix(">")
    is_number = aito_type.removesuffix("[]") in ("Int", "Long", "Decimal")
    return "number" if is_number and scalar in NUMBERS else source_type


def is_member(name: str) -> bool:
    """Whether a name is the path of a struct's member, such as params.value."""
    return "." in name


def _types(source: SourceTable) -> str:
    """The source's columns and their types, so that a change can name them. Not compared."""
    listed = [f"{_quoted(name)}:{kind}" for name, kind in source.source_types.items()]
    return ",".join(listed)


def _quoted(name: str) -> str:
    """A name without what separates the parts of a definition. Most names need no quotes."""
    return name if PLAIN_NAME.fullmatch(name) else quote(name, safe="")


def source_types(text: str) -> dict[str, str]:
    """The source's columns and their types of a definition. Empty where it does not know them."""
    listed = _parts(text).get(_TYPES, "")
    pairs = [each.partition(":") for each in listed.split(",") if each]
    return {unquote(name): kind for name, _, kind in pairs}


def has_same_types(before: str, after: str) -> bool:
    """Whether two definitions list the same columns and types, in the same order."""
    return _parts(before).get(_TYPES) == _parts(after).get(_TYPES)


def _source(table: TableSettings) -> tuple[object, ...]:
    """What is read. A setting that an earlier version lacked is left out at its default."""
    parts = (table.source, table.query, table.where)
    return (*parts, "intraday") if table.intraday else parts


def _key(table: TableSettings, source: SourceTable) -> object:
    """What the key is made of: of several columns also how, which their BigQuery types decide."""
    if not table.has_composite_key:
        return table.key_name
    return table.key_parts, table.key_column, source.key_text


def _cursor(table: TableSettings) -> list[tuple[str, object]]:
    """What the cursor is made of. Settings at their default are left out.

    So a setting that a later version adds does not change the fingerprint.
    """
    return sorted(table.cursor.model_dump(exclude_defaults=True).items()) if table.cursor else []


def is_rekeyed(before: str, after: str) -> bool:
    """Whether rows are identified in another way, so that those of the old keys must go."""
    return "key" in changes(before, after)


def changes(before: str, after: str) -> list[str]:
    """The subjects that differ so that rows must be read again. A shorter `keep` is none."""
    old, new = _parts(before), _parts(after)
    left_out = {_KEEP, _TYPES}
    left_out |= {name for name in (_MEMBERS, _VALUES) if name not in old or name not in new}
    names = [name for name in new | old if name not in left_out]
    changed = [name for name in names if old.get(name) != new.get(name)]
    if _VALUES in changed and "columns" in changed:
        changed.remove(_VALUES)  # columns that came and went have values, too
    if _reaches_further(old.get(_KEEP, "None"), new[_KEEP]):
        changed.append(_KEEP)
    return changed


def mixed(before: str, after: str) -> str:
    """The definition of a table that holds rows of both. Any later one differs from it.

    So a change that is taken back before its refresh has ended is a refresh again.
    """
    parts = _parts(before)
    parts |= {name: "mixed" for name in changes(before, after) if name != _KEEP}
    return ";".join(f"{name}={value}" for name, value in parts.items())


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
