"""What the emulator remembers of a statement's text, so that a text that comes again is cheap.

The emulator parses a statement some twenty times before it runs it, and translates it from
BigQuery to DuckDB each time. None of that depends on rows. What depends on the tables of a
statement is looked up each time: whether one is a view, and the columns of each.

Translations are kept on disk, too, where the next emulator finds them.
"""

import functools
import sys
from collections import OrderedDict
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from local._kept import Kept, cache_folder

# Functions of the emulator that parse a statement and do not change its tree.
READERS = {
    "_capture_dml_snapshots",
    "_detect_catalog_drop",
    "_detect_create_schema",
    "_detect_plain_create_table",
    "_detect_plain_create_view",
    "_named_tables",
    "_parse_for_classification",
    "_reject_dml_on_immutable",
    "build_catalog_schema",
    "detect_drop_routine",
}
REMEMBERED_TREES = 200  # of at most a megabyte each
REMEMBERED_TEXTS = 2_000

# Files of this stack that change nothing in a translation.
TRANSLATE_NOTHING = {"_bqemulator_requests.py"}

TableName = tuple[str, str, str]  # project, or "" for the default one; dataset; table


def _remember_trees() -> None:
    """Parse each text of BigQuery's once. One of DuckDB's is parsed only once anyway.

    Most callers only look at the tree and share it. The others change it and get a copy.
    """
    import sqlglot
    from sqlglot.dialects.dialect import Dialect

    parse, parse_one = Dialect.parse, sqlglot.parse_one
    bigquery = Dialect.get_or_raise("bigquery")

    @functools.lru_cache(maxsize=REMEMBERED_TREES)
    def parse_once(dialect: Any, sql: str, options: tuple[tuple[str, Any], ...]) -> list[Any]:
        return parse(dialect, sql, **dict(options))

    def parse_or_copy(dialect: Any, sql: str, **options: Any) -> list[Any]:
        if type(dialect).__name__ == "DuckDB":
            return parse(dialect, sql, **options)
        statements = parse_once(dialect, sql, tuple(options.items()))
        return [statement and statement.copy() for statement in statements]

    def parse_one_or_share(sql: str, read: Any = None, **options: Any) -> Any:
        caller = sys._getframe(1).f_code.co_name
        if read == "bigquery" and not options and caller in READERS:
            statements = parse_once(bigquery, sql, ())
            if len(statements) == 1 and statements[0] is not None:
                return statements[0]
        return parse_one(sql, read=read, **options)

    patched_dialect: Any = Dialect
    patched_dialect.parse = parse_or_copy
    patched_sqlglot: Any = sqlglot
    patched_sqlglot.parse_one = parse_one_or_share


def _remember_types() -> None:
    """Parse the name of a type once, where a type is compared with it: thousands of times in one
    wide statement.
    """
    from sqlglot.expressions import DataType

    compare = DataType.is_type
    parsed = functools.lru_cache(functools.partial(DataType.build, copy=False, udt=True))

    def is_type(kind: Any, *names: Any, **options: Any) -> bool:
        known = (parsed(name) if isinstance(name, str) else name for name in names)
        return bool(compare(kind, *known, **options))

    patched_type: Any = DataType
    patched_type.is_type = is_type


def _translator_version() -> bytes:
    """What a translation depends on beside its text: the packages, and what is changed in them."""
    packages = [f"{name} {version(name)}" for name in ("bqemulator", "sqlglot")]
    changes = sorted(Path(__file__).parent.glob("_bqemulator*.py"))
    texts = [path.read_text("utf-8") for path in changes if path.name not in TRANSLATE_NOTHING]
    return repr([*packages, *texts]).encode()


def _translated_on_disk(translate: Callable[..., Any], kept: Kept) -> Callable[..., Any]:
    """Keep a translation for other processes. An error is found again each time."""
    from bqemulator.domain.result import Ok

    made_by = _translator_version()

    def translate_or_recall(translator: Any, sql: str, **options: Any) -> Any:
        key = Kept.key(made_by, b"translate", sql.encode(), repr(options).encode())
        before = kept.get(key)
        if before is not None:
            return Ok(before.decode())
        result = translate(translator, sql, **options)
        if isinstance(result, Ok):
            kept.keep(key, result.value.encode())
        return result

    return translate_or_recall


def _table_names_on_disk(rewrite: Callable[..., str], kept: Kept) -> Callable[..., str]:
    """Keep a statement with the names of its tables in DuckDB for other processes."""
    made_by = _translator_version()

    def rewrite_or_recall(sql: str, project: str) -> str:
        key = Kept.key(made_by, b"table names", sql.encode(), project.encode())
        before = kept.get(key)
        if before is not None:
            return before.decode()
        rewritten = rewrite(sql, project)
        kept.keep(key, rewritten.encode())
        return rewritten

    return rewrite_or_recall


def _translated_once(translate: Callable[..., Any]) -> Callable[..., Any]:
    """Translate each text once. The values of its parameters are put in after that."""

    translations: OrderedDict[tuple[str, str, str], Any] = OrderedDict()

    def translate_once(
        translator: Any, sql: str, *, schema: Any = None, caller: Any = None, **rest: Any
    ) -> Any:
        key = (sql, repr(schema), repr(caller))
        if key not in translations:
            translations[key] = translate(translator, sql, schema=schema, caller=caller, **rest)
        translations.move_to_end(key)
        if len(translations) > REMEMBERED_TEXTS:
            translations.popitem(last=False)
        return translations[key]

    return translate_once


@functools.lru_cache(REMEMBERED_TEXTS)
def _named_tables(sql: str) -> tuple[TableName, ...] | None:
    """The tables that a statement names, each once. None: it cannot be parsed."""
    import sqlglot
    from sqlglot import exp

    try:
        tree = sqlglot.parse_one(sql, read="bigquery")
    except sqlglot.errors.SqlglotError:
        return None
    named = [(node.catalog, node.db, node.name) for node in tree.find_all(exp.Table)]
    return tuple(dict.fromkeys(named))


def _held_tables(named: tuple[TableName, ...], project_id: str, catalog: Any) -> list[Any]:
    """What the catalog holds of tables: None for one that is missing."""
    return [catalog.get_table(project or project_id, *path) for project, *path in named]


def _skipping_plain_tables(rewrite: Callable[..., str]) -> Callable[..., str]:
    """Put nothing in place of tables that are no views and have no row access policies."""

    def rewrite_or_leave(bq_sql: str, *, project_id: str, catalog: Any, **rest: Any) -> str:
        named = _named_tables(bq_sql)
        if named is None or catalog.list_all_row_access_policies():
            return rewrite(bq_sql, project_id=project_id, catalog=catalog, **rest)
        held = _held_tables(named, project_id, catalog)
        if any(table and table.table_type == "VIEW" for table in held):
            return rewrite(bq_sql, project_id=project_id, catalog=catalog, **rest)
        return bq_sql

    return rewrite_or_leave


def _types_matter(sql: str, columns: dict[str, dict[str, str]]) -> bool:
    """Whether a translation depends on the types of columns: it does for decimal ones alone."""
    kinds = {kind for table in columns.values() for kind in table.values()}
    return "NUMERIC" in sql.upper() or any("DECIMAL" in kind for kind in kinds)


def _reading_columns_once(build: Callable[..., Any]) -> Callable[..., Any]:
    """Read the columns of a statement's tables anew only when one of the tables changed.

    Nothing is answered where no type matters: finding the type of each part of a statement takes
    a sixth of its translation.
    """

    known: dict[str, tuple[list[Any], Any]] = {}

    def build_or_recall(bq_sql: str, *, project_id: str, catalog: Any) -> Any:
        held = _held_tables(_named_tables(bq_sql) or (), project_id, catalog)
        schemas = [table and table.schema_ for table in held]
        before, columns = known.get(bq_sql, ([], None))
        same = [old is new for old, new in zip(before, schemas, strict=False)]
        if columns is None or not all(same):
            built = build(bq_sql, project_id=project_id, catalog=catalog)
            columns = built if _types_matter(bq_sql, built) else {}
            known[bq_sql] = (schemas, columns)
        return columns

    return build_or_recall


def remember_texts() -> None:
    """Let the emulator remember. Call it before the emulator starts."""
    from bqemulator.jobs import executor
    from bqemulator.sql import inner_query
    from bqemulator.sql.translator import SQLTranslator

    kept = Kept(cache_folder() / "bigquery-to-aito" / "emulator")
    remember = functools.lru_cache(REMEMBERED_TEXTS)
    patched_executor: Any = executor
    patched_executor.parse_script = remember(patched_executor.parse_script)
    name_tables = _table_names_on_disk(patched_executor.rewrite_table_refs, kept)
    patched_executor.rewrite_table_refs = remember(name_tables)
    patched_query: Any = inner_query
    rewrite = patched_query.rewrite_for_row_access
    patched_query.rewrite_for_row_access = _skipping_plain_tables(rewrite)
    build = patched_query.build_catalog_schema
    patched_query.build_catalog_schema = _reading_columns_once(build)
    patched_translator: Any = SQLTranslator
    translate = _translated_on_disk(SQLTranslator.translate, kept)
    patched_translator.translate = _translated_once(translate)
    _remember_trees()
    _remember_types()
