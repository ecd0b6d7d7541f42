"""Parses a batch of rows and checks it against the schema of its table at once, in C.

In Python a look at each value takes seconds where rows have hundreds of columns. This parser is as
strict as `encode_rows`, and does not say what is wrong: what it does not take goes to
`encode_rows`.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

import msgspec

from local.aito.schema import RANGES, Column, Json, is_document, json_text

REMEMBERED_SCHEMAS = 200
TYPES: dict[str, Any] = {
    "String": str,
    "Text": str,
    "Boolean": bool,
    "Decimal": float,
    "Json": Any,
}

Row = list[Any]
Form = tuple[tuple[str, str, bool], ...]  # of each column: name, type, whether it is nullable


def parse_rows(columns: Mapping[str, Column], body: bytes) -> list[Row] | None:
    """SQLite's rows from the JSON text of a batch, in the order of columns.

    None: `encode_rows` must look at the batch.
    """
    form = ((name, each.type, each.nullable) for name, each in columns.items())
    return _parser(tuple(form))(body)


@functools.lru_cache(REMEMBERED_SCHEMAS)
def _parser(form: Form) -> Callable[[bytes], list[Row] | None]:
    """The parser for tables with these columns."""
    decoder = msgspec.json.Decoder(list[_row_type(form)])  # type: ignore[misc]
    kept = [
        (place, _keep(kind), nullable)
        for place, (_, kind, nullable) in enumerate(form)
        if kind == "Boolean" or is_document(kind)
    ]

    def parse(body: bytes) -> list[Row] | None:
        try:
            decoded = decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        rows = [list(msgspec.structs.astuple(row)) for row in decoded]
        return rows if _changed(rows, kept) else None

    return parse


def _row_type(form: Form) -> Any:
    """The class of a row. Its fields have plain names; columns may have any."""
    fields = [_field(f"c{place}", kind, null) for place, (_, kind, null) in enumerate(form)]
    names = {f"c{place}": name for place, (name, *_) in enumerate(form)}
    return msgspec.defstruct(
        "Row", fields, rename=names, forbid_unknown_fields=True, kw_only=True, gc=False
    )


def _field(name: str, kind: str, nullable: bool) -> tuple[Any, ...]:
    allowed = _type(kind)
    return (name, allowed | None, None) if nullable else (name, allowed)


def _type(kind: str) -> Any:
    """What msgspec takes for a type of Aito."""
    if kind.endswith("[]"):
        return list[_type(kind.removesuffix("[]"))]  # type: ignore[misc]
    if kind in TYPES:
        return TYPES[kind]
    low, high = RANGES[kind]
    return Annotated[int, msgspec.Meta(ge=int(low), le=int(high))]


def _keep(kind: str) -> Callable[[Json], Any]:
    """From JSON's value to SQLite's. Python's sqlite3 takes ten times as long for True as for 1."""
    return int if kind == "Boolean" else json_text


def _changed(rows: Iterable[Row], kept: list[tuple[int, Callable[[Json], Any], bool]]) -> bool:
    """Change the values that SQLite keeps in another form. -> False: one is null that must not be.

    kept: of each column its place, how a value is kept, and whether it is nullable.
    """
    for row in rows:
        for place, keep, nullable in kept:
            value = row[place]
            if value is not None:
                row[place] = keep(value)
            elif not nullable:
                return False
    return True
