"""How the Aito stand-in writes a schema that is read back: the same meaning in other words."""

from local.aito.schema import Column, Json, Table
from local.aito.switches import Switches

# The codes of languages and their long names, as far as tests use them.
LANGUAGES = {
    "de": "german",
    "en": "english",
    "es": "spanish",
    "fi": "finnish",
    "fr": "french",
    "it": "italian",
    "sv": "swedish",
}


def table_spec(name: str, table: Table, switches: Switches) -> dict[str, Json]:
    """A table as the schema endpoints show it."""
    names = list(table.columns)
    if switches.columns == "alphabetical":
        names.sort()
    columns = {key: column_spec(name, table.columns[key], switches) for key in names}
    return {"type": "table", "columns": columns}


def column_spec(table: str, column: Column, switches: Switches) -> dict[str, Json]:
    """A column as the schema endpoints show it."""
    spec = column.spec
    if switches.types == "lower":
        spec["type"] = spec["type"].lower()
    if switches.nullable_false == "left out" and not column.nullable:
        del spec["nullable"]
    if switches.nullable_true == "left out" and column.nullable:
        del spec["nullable"]
    if switches.self_links == "this" and str(column.link).startswith(f"{table}."):
        spec["link"] = f"this.{str(column.link).partition('.')[2]}"
    if column.analyzer is not None:
        spec["analyzer"] = _analyzer(column.analyzer, switches)
    return spec


def collection_spec() -> dict[str, Json]:
    """What GET /schema shows of a collection of version 2."""
    return {"type": "collection"}


def _analyzer(analyzer: Json, switches: Switches) -> Json:
    if not isinstance(analyzer, str) or switches.analyzers == "as sent":
        return analyzer
    name = LANGUAGES.get(analyzer.lower(), analyzer)
    is_language = name in LANGUAGES.values()
    if switches.analyzers == "object" and is_language:
        return {"type": "language", "language": name}
    return name
