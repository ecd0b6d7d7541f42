"""The rules of `sync.yaml` that span several values.

Each rule yields what it finds, and none stops at its first finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from sync.config.problems import Place, Problem, close, cut, quote, suggest
from sync.config.settings import (
    LOOPBACK,
    STAR,
    EvaluationSettings,
    Settings,
    TableSettings,
    spell_duration,
)

# What a row can be found by: whole values that compare exactly. None: derived from the source.
KEY_TYPES = {None, "String", "Int", "Long"}
CURSOR_TYPES = {None, "Int", "Long"}  # epoch seconds

# Settings that need a cursor, and why mode replace has no use for them.
NO_USE_IN_REPLACE = {
    "cursor": "so there are no new rows to pick",
    "keep": "so there is nothing to purge",
    "lookback": "so there is no watermark to look behind",
}

# What the modes append and merge need, and how it is written.
NEEDED = {
    "key": (
        "`key` to load each row once (write `key: id`, or a list of columns that together"
        " identify a row)"
    ),
    "cursor": (
        "`cursor` to find new rows (write `cursor: {source: updated_at, column: updated_unix}`)"
    ),
}

Findings = Iterator[Problem]


def find(settings: Settings) -> Findings:
    """Every contradiction in the settings."""
    yield from _encrypted(settings)
    names = [table.name for table in settings.tables]
    yield from _unique_names(names, ("tables",), "table")
    yield from _cycles(settings)
    for number, table in enumerate(settings.tables):
        yield from _table(settings, table, ("tables", number))


def _encrypted(settings: Settings) -> Findings:
    """http:// is for this machine, and for the one host that the configuration names."""
    parts = urlsplit(settings.aito.url)
    allowed = (settings.aito.http_host or "").lower()
    if parts.scheme != "http" or parts.hostname in LOOPBACK or parts.hostname == allowed:
        return
    at_url = ("aito", "url")
    text = (
        "must begin with https://; http:// is only for this machine (127.0.0.1, localhost), and for"
        f" the host that aito.http_host names, not {quote(f'http://{parts.netloc}')}"
    )
    yield Problem(at_url, text, (at_url, ("aito", "http_host")))


def _table(settings: Settings, table: TableSettings, at: Place) -> Findings:
    for rule in TABLE_RULES:
        yield from rule(table, at)
    yield from _link_targets(settings, table, at)
    names = [evaluation.name for evaluation in table.evaluate]
    yield from _unique_names(names, (*at, "evaluate"), "evaluation")
    for number, evaluation in enumerate(table.evaluate):
        yield from _evaluation(settings, table, evaluation, (*at, "evaluate", number))


def _unique_names(names: list[str], at: Place, what: str) -> Findings:
    for number, name in enumerate(names):
        first = names.index(name)
        if first == number:
            continue
        text = (
            f"{what} {quote(name)} is there twice, as {at[-1]}[{first}] and as {at[-1]}[{number}];"
            " give each a name of its own"
        )
        here = (*at, number, "name")
        yield Problem(here, text, (here, (*at, first, "name")))


# --- rules for one table


def _one_origin(table: TableSettings, at: Place) -> Findings:
    if (table.source is None) != (table.query is None):
        return
    found = "neither is there: write `source: dataset.table`"
    if table.source is not None:
        found = "both are there: leave one out"
    text = f"needs exactly one of `source` and `query`, and {found}"
    yield Problem(at, text, ((*at, "source"), (*at, "query")))


def _where_goes_with_source(table: TableSettings, at: Place) -> Findings:
    if table.where is None or table.query is None or table.source is not None:
        return
    here = (*at, "where")
    text = "`where` goes with `source`: write the condition into the query instead"
    yield Problem(here, text, (here, (*at, "query"), (*at, "source")))


def _intraday_goes_with_shards(table: TableSettings, at: Place) -> Findings:
    if not table.intraday or table.is_sharded:
        return
    here = (*at, "intraday")
    text = "`intraday` goes with a source such as `dataset.events_*`; leave it out"
    yield Problem(here, text, (here, (*at, "source")))


def _key_and_cursor(table: TableSettings, at: Place) -> Findings:
    if table.mode == "replace":
        return
    missing = [name for name in NEEDED if getattr(table, name) is None]
    if not missing:
        return
    needs = " and ".join(NEEDED[name] for name in missing)
    without = " and ".join(f"`{name}`" for name in missing)
    text = (
        f"mode {table.mode} needs {needs}; a table without {without} is synced as a whole by"
        " `mode: replace`"
    )
    yield Problem(at, text, ((*at, "mode"), (*at, "key"), (*at, "cursor")))


def _replace_has_no_cursor(table: TableSettings, at: Place) -> Findings:
    if table.mode != "replace":
        return
    for field, reason in NO_USE_IN_REPLACE.items():
        is_set = field in table.model_fields_set and getattr(table, field) is not None
        if is_set:
            text = (
                f"mode replace swaps the whole table, {reason}:"
                f" leave `{field}` out, or choose mode merge"
            )
            here = (*at, field)
            yield Problem(here, text, ((*at, "mode"), here))


def _deletes_need_an_order(table: TableSettings, at: Place) -> Findings:
    if table.mode != "replace" or table.deletes is None:
        return
    here = (*at, "deletes")
    instead = "write the condition into the query" if table.query else "leave them out by `where`"
    text = (
        "mode replace has no cursor, so nothing tells which row of a key is the last:"
        f" {instead}, or choose mode merge"
    )
    yield Problem(here, text, (here, (*at, "mode")))


def _keep_is_longer_than_lookback(table: TableSettings, at: Place) -> Findings:
    if table.mode == "replace" or table.keep is None or table.keep > table.lookback:
        return
    lookback = spell_duration(table.lookback)
    keep = spell_duration(table.keep)
    default = "" if "lookback" in table.model_fields_set else ", the default"
    text = f"must be longer than lookback ({lookback}{default}), not {keep}"
    here = (*at, "keep")
    yield Problem(here, text, (here, (*at, "lookback"), (*at, "mode")))


def _key_identifies(table: TableSettings, at: Place) -> Findings:
    columns = table.named
    if table.columns is None:
        return
    at_key = (*at, "key")
    for name in table.key_parts:
        at_column = (*at, "columns", name)
        if name not in columns and not table.takes_all:
            text = f"{quote(name)} is not one of the columns; {suggest(name, columns)}"
            yield Problem(at_key, text, (at_key, at_column))
        elif name in columns and columns[name].nullable:
            text = "the key cannot be nullable: a row without it has no identity; leave it out"
            at_nullable = (*at_column, "nullable")
            yield Problem(at_nullable, text, (at_key, at_nullable))
    if not table.has_composite_key:
        yield from _key_compares_exactly(table, at)


def _key_compares_exactly(table: TableSettings, at: Place) -> Findings:
    name = table.key_name or ""
    column = table.named.get(name)
    if column is None or column.type in KEY_TYPES:
        return
    text = f"a {column.type} column cannot be the key; right would be String, Int or Long"
    at_type = (*at, "columns", name, "type")
    yield Problem(at_type, text, ((*at, "key"), at_type))


def _key_column_is_made(table: TableSettings, at: Place) -> Findings:
    """The column of a key of several columns is made by the sync, and needs a name of its own."""
    here = (*at, "key_column")
    if not table.has_composite_key:
        if "key_column" in table.model_fields_set:
            text = "`key_column` is for a key of several columns; leave it out"
            yield Problem(here, text, (here, (*at, "key")))
        return
    made_of = " and ".join(table.key_parts)
    name = table.key_column
    for column in table.columns or {}:
        if column.lower() != name.lower():
            continue
        text = (
            f"this column is made of {made_of}: leave it out of `columns`, or give `key_column`"
            " another name"
        )
        at_column = (*at, "columns", column)
        yield Problem(at_column, text, (at_column, here, (*at, "key")))
    if name.lower() in [part.lower() for part in table.key_parts]:
        text = f"{quote(name)} is a part of the key; the whole key needs a column of its own"
        yield Problem(here, text, (here, (*at, "key")))


def _cursor_has_its_column(table: TableSettings, at: Place) -> Findings:
    if table.cursor is None:
        return
    name = table.cursor.column
    at_cursor = (*at, "cursor", "column")
    yield from _cursor_is_not_the_key(table, at)
    column = (table.columns or {}).get(name)
    if column is None:
        return
    purpose = "this column holds the cursor in epoch seconds"
    at_column = (*at, "columns", name)
    for field in ("sql", "link", "nullable"):
        if getattr(column, field):
            here = (*at_column, field)
            yield Problem(here, f"{purpose}: leave `{field}` out", (at_cursor, here))
    if column.type not in CURSOR_TYPES:
        here = (*at_column, "type")
        yield Problem(here, f"{purpose}: its type is Int, not {column.type}", (at_cursor, here))


def _unit_or_zone(table: TableSettings, at: Place) -> Findings:
    cursor = table.cursor
    if cursor is None or cursor.unit == "s" or cursor.zone == "UTC":
        return
    at_unit = (*at, "cursor", "unit")
    at_zone = (*at, "cursor", "zone")
    text = (
        "`unit` is for an INT64 cursor and `zone` for a DATETIME or DATE: leave out the one that"
        " does not fit the source"
    )
    yield Problem(at_unit, text, (at_unit, at_zone))


def _cursor_is_not_the_key(table: TableSettings, at: Place) -> Findings:
    assert table.cursor
    name = table.cursor.column.lower()
    at_cursor = (*at, "cursor", "column")
    if table.key_name and name == table.key_name.lower():
        text = "the cursor needs a column of its own, and this one is the key"
        at_key = (*at, "key_column" if table.has_composite_key else "key")
        yield Problem(at_cursor, text, (at_cursor, at_key))
    elif name in [part.lower() for part in table.key_parts]:
        text = (
            "the cursor needs a column of its own, and this one is a part of the key;"
            " give it another name"
        )
        yield Problem(at_cursor, text, (at_cursor, (*at, "key")))


def _star_has_except_alone(table: TableSettings, at: Place) -> Findings:
    for name, column in (table.columns or {}).items():
        at_column = (*at, "columns", name)
        if name != STAR and column.left_out:
            here = (*at_column, "except")
            text = "`except` goes with the column '*', which is all other source columns"
            yield Problem(here, text, (here,))
        if name == STAR and column.model_fields_set - {"left_out"}:
            text = (
                "'*' takes all other source columns as they are: it has `except` alone;"
                " name a column to say more of it"
            )
            yield Problem(at_column, text, (at_column,))


def _analyzers_are_for_text(table: TableSettings, at: Place) -> Findings:
    for name, column in (table.columns or {}).items():
        if column.analyzer is None or column.type == "Text":
            continue
        instead = f" in place of {column.type}" if column.type else ""
        text = f"only a Text column has an analyzer: remove it, or set `type: Text`{instead}"
        here = (*at, "columns", name, "analyzer")
        yield Problem(here, text, (here, (*at, "columns", name, "type")))


TABLE_RULES: tuple[Callable[[TableSettings, Place], Findings], ...] = (
    _one_origin,
    _where_goes_with_source,
    _intraday_goes_with_shards,
    _key_and_cursor,
    _replace_has_no_cursor,
    _deletes_need_an_order,
    _keep_is_longer_than_lookback,
    _key_identifies,
    _key_column_is_made,
    _cursor_has_its_column,
    _unit_or_zone,
    _star_has_except_alone,
    _analyzers_are_for_text,
)


# --- links


def _link_targets(settings: Settings, table: TableSettings, at: Place) -> Findings:
    for column, (parent, target) in table.links.items():
        here = (*at, "columns", column, "link")
        yield from _column_exists(settings, parent, target, here)
        if (table.columns or {})[column].sql is None:
            yield from _composite_target(settings, parent, target, here)


def _composite_target(settings: Settings, parent: str, target: str, here: Place) -> Findings:
    """A link to a key of several columns, by a column that does not make the same text."""
    for number, other in enumerate(settings.tables):
        is_target = other.name == parent and other.key_name == target
        if not is_target or not other.has_composite_key:
            continue
        parts = ", '|', ".join(f"CAST({part} AS STRING)" for part in other.key_parts)
        text = (
            f"{parent}.{target} is made of {' and '.join(other.key_parts)}, so no source column"
            f" holds its text; make the same text by `sql`, such as CONCAT({parts})"
        )
        at_sql = (*here[:-1], "sql")
        yield Problem(here, text, (here, at_sql, ("tables", number, "key")))


def _column_exists(settings: Settings, table: str, column: str, here: Place) -> Findings:
    """A link's target, as far as the file knows it.

    A table that is not in the file, or takes its columns from the source, is checked by the run.
    """
    for number, other in enumerate(settings.tables):
        known = _known_columns(other)
        if other.name != table or not known or column in known:
            continue
        text = f"table {quote(table)} has no column {quote(column)}; {suggest(column, known)}"
        at_column = ("tables", number, "columns", column)
        yield Problem(here, text, (here, at_column, ("tables", number, "cursor")))


def _known_columns(table: TableSettings) -> list[str]:
    """The names of the columns. Empty when the file does not declare them."""
    if table.takes_all:
        return []
    names = list(table.named)
    if table.has_composite_key:
        names.append(table.key_column)
    if table.cursor and table.cursor.column not in names:
        names.append(table.cursor.column)
    return names


def _cycles(settings: Settings) -> Findings:
    """Circles of links.

    Each round takes out the tables whose parents were all taken out before. When a round finds no
    such table, the rest contains a circle.
    """
    waiting = {table.name: table for table in settings.tables}
    while waiting:
        done = [name for name, table in waiting.items() if waiting.keys().isdisjoint(table.parents)]
        if not done:
            done = _circle(waiting)
            yield _circle_problem(settings, done)
        for name in done:
            del waiting[name]


def _circle(waiting: dict[str, TableSettings]) -> list[str]:
    """Follow links from one table to the next, until a table comes again."""
    path = [next(iter(waiting))]
    while True:
        parents = waiting[path[-1]].parents
        following = next(parent for parent in parents if parent in waiting)
        if following in path:
            return path[path.index(following) :]
        path.append(following)


def _circle_problem(settings: Settings, circle: list[str]) -> Problem:
    number, column = _link_within(settings, circle)
    shown = " → ".join(cut(name) for name in [*circle, circle[0]])
    text = (
        f"links run in a circle ({shown}), so no table can be loaded first;"
        " leave one of these links out"
    )
    return Problem(("tables", number, "columns", column, "link"), text)


def _link_within(settings: Settings, circle: list[str]) -> tuple[int, str]:
    """The number of the circle's first table in the file, and its column that links onward."""
    following = circle[1 % len(circle)]
    # Of two tables with one name, only one may have the link.
    for number, table in enumerate(settings.tables):
        for column, (parent, _) in table.links.items():
            if table.name == circle[0] and parent == following:
                return number, column
    raise AssertionError("a circle consists of links")


# --- evaluations


def _evaluation(
    settings: Settings, table: TableSettings, evaluation: EvaluationSettings, at: Place
) -> Findings:
    yield from _one_question(evaluation, at)
    yield from _newest_rows(table, evaluation, at)
    predict = evaluation.predict
    if predict:
        yield from _evaluated_column(settings, table, predict, (*at, "predict"))
    for number, name in enumerate(evaluation.given):
        yield from _evaluated_column(settings, table, name, (*at, "given", number))
    if predict and predict in evaluation.given:
        text = f"{quote(predict)} would be predicted from itself; take it out of `given`"
        at_given = (*at, "given")
        yield Problem(at_given, text, (at_given, (*at, "predict")))


def _one_question(evaluation: EvaluationSettings, at: Place) -> Findings:
    at_query = (*at, "query")
    if (evaluation.predict is None) == (evaluation.query is None):
        found = "neither is there: write `predict: column`"
        if evaluation.query is not None:
            found = "both are there: leave one out"
        text = f"needs exactly one of `predict` and `query`, and {found}"
        yield Problem(at, text, ((*at, "predict"), at_query))
    if evaluation.query is None:
        return
    if "evaluate" not in evaluation.query:
        yield Problem(at_query, "must be an Aito evaluate body, which has the key `evaluate`")
    if evaluation.predict is None:
        yield from _parts_of_a_body(evaluation, at)


def _parts_of_a_body(evaluation: EvaluationSettings, at: Place) -> Findings:
    """What is written beside a whole evaluate body, and belongs into it."""
    for field in ("given", "test", "cases"):
        if field not in evaluation.model_fields_set:
            continue
        text = (
            f"`query` is a whole evaluate body: put what `{field}` says into it,"
            f" and leave `{field}` out"
        )
        here = (*at, field)
        yield Problem(here, text, (here, (*at, "query")))


def _newest_rows(table: TableSettings, evaluation: EvaluationSettings, at: Place) -> Findings:
    newest = evaluation.newest_seconds
    if newest is None:
        return
    here = (*at, "test")
    at_table = at[:2]
    if table.cursor is None:
        text = (
            "`newest` goes by the cursor, and this table has none;"
            " use a condition such as {$index: {$mod: [10, 0]}}"
        )
        yield Problem(here, text, (here, (*at_table, "cursor")))
    if table.keep is not None and newest >= table.keep:
        text = (
            f"leaves nothing older to learn from: keep is {spell_duration(table.keep)};"
            " take a shorter range"
        )
        yield Problem(here, text, (here, (*at_table, "keep")))


def _evaluated_column(settings: Settings, table: TableSettings, name: str, here: Place) -> Findings:
    """A column of the table, or of the table behind one of its links."""
    own, _, behind = name.partition(".")
    at_column = (*here[:2], "columns", own)
    if behind and own in (table.columns or {}) and own not in table.links:
        text = (
            f"column {quote(own)} has no link to follow;"
            " give it one, or name a column of this table"
        )
        yield Problem(here, text, (here, at_column))
    yield from _misspelt(own, _known_columns(table), here, at_column)
    if not behind or own not in table.links:
        return
    parent_name, _ = table.links[own]
    for number, parent in enumerate(settings.tables):
        if parent.name == parent_name:
            at_parent = ("tables", number, "columns", behind)
            yield from _misspelt(behind, _known_columns(parent), here, at_parent)


def _misspelt(name: str, known: list[str], here: Place, at_column: Place) -> Findings:
    """A name that is almost a declared one. Aito may have any other column from elsewhere."""
    if name not in known and close(name, known):
        text = f"{quote(name)} is not one of the columns; {suggest(name, known)}"
        yield Problem(here, text, (here, at_column))
