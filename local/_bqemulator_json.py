"""TO_JSON_STRING of the emulator, as BigQuery writes it.

BigQuery quotes an INT64 beyond 2^53, NaN and infinities. A number inside a JSON value stays as it
is. The text of an SQL NULL is `null`. https://cloud.google.com/bigquery/docs/reference/standard-sql/json_functions#json_encodings
"""

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import pyarrow

CALL = re.compile(r"\bTO_JSON_STRING\s*\(", re.IGNORECASE)
# What a text must hold to need a quote: 2^53 has 16 digits, and a value follows one of these signs.
MAY_NEED_QUOTES = r"(^|[\[:,])-?([0-9]{16}|NaN|Infinity)"
# DuckDB itself looks at each text. Python sees only those that may need quotes.
MACROS = f"""
CREATE OR REPLACE MACRO local_quote_if_needed(json, type) AS
  CASE WHEN REGEXP_MATCHES(json, '{MAY_NEED_QUOTES}') THEN local_quote(json, type) ELSE json END;
CREATE OR REPLACE MACRO local_json_text(value) AS
  COALESCE(local_quote_if_needed(CAST(TO_JSON(value) AS VARCHAR), TYPEOF(value)), 'null');
CREATE OR REPLACE MACRO local_json_text_of_many(value) AS
  COALESCE(LIST_TRANSFORM([{{'json': CAST(TO_JSON(value) AS VARCHAR), 'type': TYPEOF(value)}}],
    LAMBDA made : local_quote_if_needed(made.json, made.type))[1], 'null')"""
# A macro writes out its argument wherever it names it, and DuckDB binds each of these. From so many
# members on, to bind a struct four times takes longer than to copy each text into a list.
MANY_MEMBERS = 50
LARGEST_EXACT = 2**53
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}:,]|[^\s\[\]{}:,"]+', re.DOTALL)
DEPTHS = {"{": 1, "[": 1, "}": -1, "]": -1}
INTEGERS = ("bigint", "hugeint")
FLOATS = ("float", "double")


def write_json_like_bigquery(translate: Callable[..., Any]) -> Callable[..., Any]:
    """Let a translation from BigQuery to DuckDB call the function of this module."""

    def translate_calls(translator: Any, sql: str, **options: Any) -> Any:
        return translate(translator, CALL.sub("local_json_text(", sql), **options)

    return translate_calls


def binding_twice_at_most(write_call: Callable[..., str]) -> Callable[..., str]:
    """Let a struct of many members be bound twice only: for its text and for its type."""
    from sqlglot import exp

    def write(generator: Any, call: Any, *rest: Any, **options: Any) -> str:
        value = call.expressions[0] if call.expressions else None
        many = isinstance(value, exp.Struct) and len(value.expressions) >= MANY_MEMBERS
        if many and call.name.lower() == "local_json_text":
            return str(generator.func("LOCAL_JSON_TEXT_OF_MANY", value))
        return write_call(generator, call, *rest, **options)

    return write


def register(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the function known to DuckDB."""
    text: Any = "VARCHAR"
    kind: Any = "arrow"
    connection.create_function("local_quote", _quoted, [text, text], text, type=kind)
    connection.execute(MACROS)


def _quoted(texts: Any, types: Any) -> Any:
    """Texts as DuckDB writes JSON, with BigQuery's quotes. types: the type of each value."""
    pairs = zip(texts.to_pylist(), types.to_pylist(), strict=True)
    return pyarrow.array([quoted(text, kind) for text, kind in pairs], pyarrow.string())


def quoted(text: str, kind: str) -> str:
    """JSON text with BigQuery's quotes. kind: DuckDB's type of the value."""
    tokens = iter(TOKEN.findall(text))
    return "".join(_value(next(tokens), tokens, _type(kind)))


@functools.lru_cache
def _type(kind: str) -> Any:
    return duckdb.sqltype(kind)


def _value(first: str, tokens: Iterator[str], kind: Any) -> Iterator[str]:
    """The text of a value, token by token. first: its first token; tokens: what follows."""
    if first == "{" and kind.id == "struct":
        yield from _struct(tokens, kind)
    elif first == "[" and kind.id == "list":
        yield from _list(tokens, kind)
    elif first in ("{", "["):
        yield from _json(first, tokens)
    else:
        yield f'"{first}"' if _needs_quotes(first, kind) else first


def _struct(tokens: Iterator[str], kind: Any) -> Iterator[str]:
    yield "{"
    for _, member in kind.children:
        yield next(tokens)  # its name
        yield next(tokens)  # the colon
        yield from _value(next(tokens), tokens, member)
        yield next(tokens)  # a comma, or the end


def _list(tokens: Iterator[str], kind: Any) -> Iterator[str]:
    ((_, element),) = kind.children
    yield "["
    for token in tokens:
        if token in (",", "]"):
            yield token
        else:
            yield from _value(token, tokens, element)
        if token == "]":
            return


def _json(first: str, tokens: Iterator[str]) -> Iterator[str]:
    """An object or a list inside a JSON value, as it is."""
    depth = 1
    yield first
    for token in tokens:
        yield token
        depth += DEPTHS.get(token, 0)
        if not depth:
            return


def _needs_quotes(token: str, kind: Any) -> bool:
    """Whether BigQuery quotes a scalar that DuckDB does not."""
    if token.startswith('"') or token == "null":
        return False
    if kind.id in INTEGERS:
        return abs(int(token)) > LARGEST_EXACT
    return kind.id in FLOATS and token.lstrip("-") in ("NaN", "Infinity")
