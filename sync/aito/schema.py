"""Aito's schema as JSON <-> tables and columns, and their comparison by meaning. Pure.

The same schema can be written in several ways. Types and analyzers are read without case, an
analyzer has a short name, a long name and a form as an object, `this` in a link is the table
itself, and `nullable` may be left out. What differs in writing alone is no difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sync.base.errors import Unavailable
from sync.model.columns import Column, SchemaDifference, TargetSchema, TargetTable

TYPES = (
    "String",
    "Text",
    "Int",
    "Long",
    "Decimal",
    "Boolean",
    "Json",
    "String[]",
    "Text[]",
    "Int[]",
    "Long[]",
    "Decimal[]",
    "Boolean[]",
)
_TYPES = {name.lower(): name for name in TYPES}
STANDARD = "standard"  # the analyzer of a Text column that names none
RELAXED = (
    "not nullable in Aito and nullable here; `nullable: false` keeps it, and rows without a value"
    " are rejected then"
)
# The codes of languages that Aito documents, and the long names that it reads back.
# https://aito.ai/docs/api/#schema-alias-analyzer
LANGUAGES = {
    "ar": "arabic",
    "bg": "bulgarian",
    "ca": "catalan",
    "cjk": "cjk",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "eu": "basque",
    "fa": "persian",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "gl": "galician",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lv": "latvian",
    "nl": "dutch",
    "no": "norwegian",
    "pt": "portuguese",
    "pt-br": "brazilian",
    "ro": "romanian",
    "ru": "russian",
    "sv": "swedish",
    "th": "thai",
    "tr": "turkish",
}
# What an analyzer means where its object leaves a member out. Names of members are compared
# without case: sources spell both trimWhitespace and trimWhiteSpace.
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "language": {"usedefaultstopwords": False, "customstopwords": [], "customkeywords": []},
    "delimiter": {"trimwhitespace": True},
    "token-ngram": {"tokenseparator": " "},
}
_WHITESPACE = {"type": "delimiter", "delimiter": " ", "trimwhitespace": True}
UNREADABLE = "the answer is not a schema that this version can read"
UNKNOWN_KIND = "thing that this version cannot read"


# -- to Aito


def column_json(column: Column) -> dict[str, Any]:
    """A column as Aito takes it. `nullable` is always written: its default is disputed."""
    definition: dict[str, Any] = {"type": column.type, "nullable": column.nullable}
    if column.link is not None:
        definition["link"] = column.link
    if column.analyzer is not None:
        definition["analyzer"] = column.analyzer
    return definition


def table_json(columns: Iterable[Column]) -> dict[str, Any]:
    """A table as Aito takes it."""
    definitions = {column.name: column_json(column) for column in columns}
    return {"type": "table", "columns": definitions}


# -- from Aito


def read_schema(answer: Any) -> TargetSchema:
    """Everything under its name. Raises Unavailable when the answer is of another shape.

    What has another shape under one name stops nothing: it may be somebody else's.
    """
    entries = answer.get("schema") if isinstance(answer, dict) else None
    if not isinstance(entries, dict):
        raise Unavailable(f"Aito: GET /api/v1/schema: {UNREADABLE}")
    left_out = _nullable_where_left_out(entries)
    return {name: _read_table(name, entry, left_out) for name, entry in entries.items()}


def _nullable_where_left_out(entries: Mapping[str, Any]) -> bool:
    """What a column without `nullable` means. Sources disagree whether it is false or true.

    An Aito that writes one of both leaves out the other.
    """
    columns = [column for entry in entries.values() for column in _columns(entry).values()]
    written = [column["nullable"] for column in columns if "nullable" in column]
    return False in written and True not in written


def _columns(entry: Any) -> Mapping[str, Mapping[str, Any]]:
    """The columns of a table; none when they are of another shape."""
    columns = entry.get("columns") if isinstance(entry, Mapping) else None
    if not isinstance(columns, Mapping):
        return {}
    is_readable = all(isinstance(column, Mapping) for column in columns.values())
    return columns if is_readable else {}


def _read_table(name: str, entry: Any, nullable: bool) -> TargetTable:
    kind = entry.get("type") if isinstance(entry, Mapping) else None
    if isinstance(kind, str) and kind.lower() != "table":
        return TargetTable({}, kind)
    columns = _columns(entry)
    if not columns and not _is_empty_table(entry):
        return TargetTable({}, UNKNOWN_KIND)
    return TargetTable(
        {key: _read_column(name, key, value, nullable) for key, value in columns.items()}
    )


def _is_empty_table(entry: Any) -> bool:
    return isinstance(entry, Mapping) and entry.get("columns") == {}


def _read_column(table: str, name: str, entry: Mapping[str, Any], nullable: bool) -> Column:
    """nullable: what it means where it is left out."""
    link = entry.get("link")
    return Column(
        name,
        spelled_type(str(entry.get("type", ""))),
        bool(entry.get("nullable", nullable)),
        None if link is None else full_link(table, str(link)),
        entry.get("analyzer"),
    )


def spelled_type(written: str) -> str:
    """A type as this package spells it. An unknown type stays as it is."""
    return _TYPES.get(written.lower(), written)


def full_link(table: str, link: str) -> str:
    """A link with the name of its table in place of `this`."""
    target, _, column = link.partition(".")
    return f"{table if target == 'this' else target}.{column}"


# -- by meaning


def analyzer_meaning(analyzer: Any) -> Any:
    """One value for every way to write the same analyzer. None is the standard analyzer."""
    if analyzer is None:
        return STANDARD
    if isinstance(analyzer, str):
        return _named(analyzer)
    if not isinstance(analyzer, Mapping):
        return analyzer
    members = {str(name).lower(): value for name, value in analyzer.items()}
    kind = str(members.get("type", "")).lower()
    full = {**_DEFAULTS.get(kind, {}), **members, "type": kind}
    if "language" in full:
        full["language"] = _language(str(full["language"]))
    if "source" in full:
        full["source"] = analyzer_meaning(full["source"])
    return full


def _named(alias: str) -> Any:
    name = _language(alias)
    if name == "whitespace":
        return _WHITESPACE
    if name in LANGUAGES.values():
        return {**_DEFAULTS["language"], "type": "language", "language": name}
    return name


def _language(written: str) -> str:
    name = written.strip().lower()
    return LANGUAGES.get(name, name)


def compare(table: str, wanted: Sequence[Column], held: Mapping[str, Column]) -> SchemaDifference:
    """How the wanted columns differ from those of a table that Aito holds."""
    problems: list[str] = []
    missing: list[Column] = []
    for column in wanted:
        if column.name in held:
            problems += _differences(table, column, held[column.name])
        elif column.nullable:
            missing.append(column)
        else:
            problems.append(f"{column.name}: not in Aito, and only a nullable column can be added")
    problems += _left_over({column.name for column in wanted}, held)
    return SchemaDifference(tuple(missing), tuple(problems))


def _differences(table: str, wanted: Column, held: Column) -> Iterable[str]:
    name = wanted.name
    link = None if wanted.link is None else full_link(table, wanted.link)
    if spelled_type(wanted.type) != spelled_type(held.type):
        yield f"{name}: type is {held.type} in Aito and {wanted.type} here"
    if link != held.link:
        yield f"{name}: link is {held.link or 'none'} in Aito and {link or 'none'} here"
    if wanted.nullable and not held.nullable:
        yield f"{name}: {RELAXED}"
    if _analyzers_differ(wanted, held):
        there = held.analyzer or STANDARD
        yield f"{name}: analyzer is {there} in Aito and {wanted.analyzer} here"


def _analyzers_differ(wanted: Column, held: Column) -> bool:
    """Whether a wanted analyzer is not the one in use. An analyzer not named may be any."""
    if wanted.type != "Text" or wanted.analyzer is None:
        return False
    return bool(analyzer_meaning(wanted.analyzer) != analyzer_meaning(held.analyzer))


def _left_over(wanted: set[str], held: Mapping[str, Column]) -> Iterable[str]:
    for name, column in held.items():
        if name not in wanted and not column.nullable:
            yield f"{name}: not nullable in Aito and not in the source"
