"""The rules of `sync.yaml` that span several values.

Each yields its findings; none stops at the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sync.config.problems import Mistake, Place, close, cut, quote, suggest
from sync.config.settings import EvaluationSettings, Settings, TableSettings, spell_duration

KEY_TYPES = {
    None,
    "String",
    "Int",
    "Long",
}  # what a row can be found by: whole values that compare exactly
CURSOR_TYPES = {None, "Int", "Long"}  # epoch seconds

Findings = Iterator[Mistake]


def find(settings: Settings) -> Findings:
    """Every contradiction in the settings."""
    yield from _names_once([table.name for table in settings.tables], ("tables",), "table")
    yield from _cycles(settings)
    for number, table in enumerate(settings.tables):
        at: Place = ("tables", number)
        for rule in TABLE_RULES:
            yield from rule(table, at)
        yield from _link_targets(settings, table, at)
        yield from _names_once([e.name for e in table.evaluate], (*at, "evaluate"), "evaluation")
        for nth, evaluation in enumerate(table.evaluate):
            yield from _evaluation(settings, table, evaluation, (*at, "evaluate", nth))


def _names_once(names: list[str], at: Place, what: str) -> Findings:
    for number, name in enumerate(names):
        first = names.index(name)
        if first < number:
            text = (
                f"{what} {quote(name)} is there twice, first as {at[-1]}[{first}]; give each a name"
                " of its own"
            )
            yield Mistake(
                (*at, number, "name"), text, ((*at, number, "name"), (*at, first, "name"))
            )


def _one_origin(table: TableSettings, at: Place) -> Findings:
    if (table.source is None) == (table.query is None):
        found = "neither is there" if table.source is None else "both are there"
        yield Mistake(
            at,
            f"needs exactly one of `source` and `query`, and {found}",
            ((*at, "source"), (*at, "query")),
        )


def _mode_has_what_it_needs(table: TableSettings, at: Place) -> Findings:
    missing = [name for name in ("key", "cursor") if getattr(table, name) is None]
    if table.mode != "replace" and missing:
        yield Mistake(
            at,
            f"mode {table.mode} needs {' and '.join(f'`{name}`' for name in missing)} to find new"
            " rows and load each once; a small table without them is synced as a whole by `mode:"
            " replace`",
            ((*at, "mode"), (*at, "key"), (*at, "cursor")),
        )


def _replace_stands_alone(table: TableSettings, at: Place) -> Findings:
    reasons = {
        "cursor": "swaps the whole table, so there are no new rows to pick",
        "keep": "swaps the whole table, so there is nothing to purge",
        "lookback": "swaps the whole table, so there is no watermark to look behind",
    }
    for field, reason in reasons.items():
        if (
            table.mode == "replace"
            and field in table.model_fields_set
            and getattr(table, field) is not None
        ):
            text = f"mode replace {reason}: leave `{field}` out, or choose mode merge"
            yield Mistake((*at, field), text, ((*at, "mode"), (*at, field)))


def _keep_is_longer_than_lookback(table: TableSettings, at: Place) -> Findings:
    if table.mode != "replace" and table.keep is not None and table.keep <= table.lookback:
        default = "" if "lookback" in table.model_fields_set else ", the default"
        lookback, keep = spell_duration(table.lookback), spell_duration(table.keep)
        text = f"must be longer than lookback ({lookback}{default}), not {keep}"
        yield Mistake((*at, "keep"), text, ((*at, "keep"), (*at, "lookback"), (*at, "mode")))


def _key_identifies(table: TableSettings, at: Place) -> Findings:
    key, columns = table.key, table.columns
    if key is None or columns is None:
        return
    at_key, at_column = (*at, "key"), (*at, "columns", key)
    if key not in columns:
        yield Mistake(
            at_key,
            f"{quote(key)} is not one of the columns; {suggest(key, columns)}",
            (at_key, at_column),
        )
        return
    if columns[key].type not in KEY_TYPES:
        text = f"a {columns[key].type} column cannot be the key; right would be String, Int or Long"
        yield Mistake((*at_column, "type"), text, (at_key, (*at_column, "type")))
    if columns[key].nullable:
        text = "the key cannot be nullable: a row without it has no identity; leave it out"
        yield Mistake((*at_column, "nullable"), text, (at_key, (*at_column, "nullable")))


def _cursor_has_its_column(table: TableSettings, at: Place) -> Findings:
    if table.cursor is None:
        return
    name, at_cursor = table.cursor.column, (*at, "cursor", "column")
    if name == table.key:
        text = "the cursor needs a column of its own, and this one is the key"
        yield Mistake(at_cursor, text, (at_cursor, (*at, "key")))
    column = (table.columns or {}).get(name)
    if column is None:
        return
    at_column = (*at, "columns", name)
    right = "this column holds the cursor in epoch seconds"
    for field, odd in [("sql", column.sql), ("link", column.link), ("nullable", column.nullable)]:
        if odd:
            yield Mistake(
                (*at_column, field),
                f"{right}: leave `{field}` out",
                (at_cursor, (*at_column, field)),
            )
    if column.type not in CURSOR_TYPES:
        text = f"{right}: its type is Int, not {column.type}"
        yield Mistake((*at_column, "type"), text, (at_cursor, (*at_column, "type")))


def _analyzers_are_for_text(table: TableSettings, at: Place) -> Findings:
    for name, column in (table.columns or {}).items():
        if column.analyzer is not None and column.type != "Text":
            now = f", not {column.type}" if column.type else ""
            at_column = (*at, "columns", name)
            text = f"only a Text column has an analyzer: say `type: Text`{now}"
            yield Mistake(
                (*at_column, "analyzer"), text, ((*at_column, "analyzer"), (*at_column, "type"))
            )


TABLE_RULES: tuple[Callable[[TableSettings, Place], Findings], ...] = (
    _one_origin,
    _mode_has_what_it_needs,
    _replace_stands_alone,
    _keep_is_longer_than_lookback,
    _key_identifies,
    _cursor_has_its_column,
    _analyzers_are_for_text,
)


def _link_targets(settings: Settings, table: TableSettings, at: Place) -> Findings:
    for column, (parent, target) in table.links.items():
        here = (*at, "columns", column, "link")
        yield from _has_column(settings, parent, target, here)


def _has_column(settings: Settings, table: str, column: str, here: Place) -> Findings:
    """A table that is not in the file, or leaves its columns to the source, cannot be checked
    before the run.
    """
    for number, other in enumerate(settings.tables):
        known = _known_columns(other)
        if other.name == table and known and column not in known:
            text = f"table {quote(table)} has no column {quote(column)}; {suggest(column, known)}"
            yield Mistake(
                here,
                text,
                (here, ("tables", number, "columns", column), ("tables", number, "cursor")),
            )


def _known_columns(table: TableSettings) -> list[str]:
    """Names of the columns when the file declares them."""
    if table.columns is None:
        return []
    return list(dict.fromkeys([*table.columns, *([table.cursor.column] if table.cursor else [])]))


def _cycles(settings: Settings) -> Findings:
    """Circles of links:
    set aside whatever links to nothing that waits; what stays holds a circle.
    """
    waiting = {table.name: table for table in settings.tables}
    while waiting:
        free = [name for name, table in waiting.items() if waiting.keys().isdisjoint(table.parents)]
        if not free:
            free = _circle(waiting)
            yield _told_circle(settings, free)
        for name in free:
            del waiting[name]


def _circle(waiting: dict[str, TableSettings]) -> list[str]:
    """Follow links, which all lead on, until a table comes again."""
    path = [next(iter(waiting))]
    while True:
        following = next(parent for parent in waiting[path[-1]].parents if parent in waiting)
        if following in path:
            return path[path.index(following) :]
        path.append(following)


def _told_circle(settings: Settings, circle: list[str]) -> Mistake:
    number, table = next(
        (n, table) for n, table in enumerate(settings.tables) if table.name == circle[0]
    )
    following = circle[1 % len(circle)]
    column = next(column for column, (parent, _) in table.links.items() if parent == following)
    shown = " → ".join(cut(name) for name in [*circle, circle[0]])
    text = (
        f"links run in a circle ({shown}), so no table can be loaded first; leave one of these"
        " links out"
    )
    return Mistake(("tables", number, "columns", column, "link"), text)


def _evaluation(
    settings: Settings, table: TableSettings, evaluation: EvaluationSettings, at: Place
) -> Findings:
    yield from _one_question(evaluation, at)
    yield from _newest_rows(table, evaluation, at)
    named = [(evaluation.predict, (*at, "predict"))] if evaluation.predict else []
    named += [(name, (*at, "given", nth)) for nth, name in enumerate(evaluation.given)]
    for name, here in named:
        yield from _evaluated_column(settings, table, name, here)
    if evaluation.predict in evaluation.given:
        text = (
            f"{quote(evaluation.predict or '')} would be predicted from itself; take it out of"
            " `given`"
        )
        yield Mistake((*at, "given"), text, ((*at, "given"), (*at, "predict")))


def _one_question(evaluation: EvaluationSettings, at: Place) -> Findings:
    at_query = (*at, "query")
    if (evaluation.predict is None) == (evaluation.query is None):
        found = "neither is there" if evaluation.query is None else "both are there"
        yield Mistake(
            at,
            f"needs exactly one of `predict` and `query`, and {found}",
            ((*at, "predict"), at_query),
        )
    if evaluation.query is None:
        return
    if "evaluate" not in evaluation.query:
        yield Mistake(at_query, "must be an Aito evaluate body, which has the key `evaluate`")
    for field in ("given", "test", "cases"):
        if field in evaluation.model_fields_set and evaluation.predict is None:
            text = (
                f"`query` is a whole evaluate body: put what `{field}` says into it, and leave"
                f" `{field}` out"
            )
            yield Mistake((*at, field), text, ((*at, field), at_query))


def _newest_rows(table: TableSettings, evaluation: EvaluationSettings, at: Place) -> Findings:
    newest, here = evaluation.newest_seconds, (*at, "test")
    if newest is None:
        return
    if table.cursor is None:
        text = (
            "`newest` goes by the cursor, and this table has none; use a condition such as {$index:"
            " {$mod: [10, 0]}}"
        )
        yield Mistake(here, text, (here, (*at[:2], "cursor")))
    if table.keep is not None and newest >= table.keep:
        text = (
            f"leaves nothing older to learn from: keep is {spell_duration(table.keep)}; take a"
            " shorter range"
        )
        yield Mistake(here, text, (here, (*at[:2], "keep")))


def _evaluated_column(settings: Settings, table: TableSettings, name: str, here: Place) -> Findings:
    """A column of the table, or of the table behind one of its links."""
    own, _, behind = name.partition(".")
    columns = table.columns or {}
    at_column = (*here[:2], "columns", own)
    if behind and own in columns and own not in table.links:
        text = (
            f"column {quote(own)} has no link to follow; give it one, or name a column of this"
            " table"
        )
        yield Mistake(here, text, (here, at_column))
    yield from _slip(own, _known_columns(table), here, at_column)
    for number, parent in enumerate(settings.tables):
        if behind and own in table.links and parent.name == table.links[own][0]:
            yield from _slip(
                behind, _known_columns(parent), here, ("tables", number, "columns", behind)
            )


def _slip(name: str, known: list[str], here: Place, at_column: Place) -> Findings:
    """A name that is almost a declared one.

    Any other may be a column that Aito has without this file's doing.
    """
    if name not in known and close(name, known):
        text = f"{quote(name)} is not one of the columns; {suggest(name, known)}"
        yield Mistake(here, text, (here, at_column))
