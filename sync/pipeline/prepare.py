"""Makes in the target what a plan needs: the table, or the columns that it lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sync.base.errors import ActionRequired, SchemaMismatch
from sync.base.words import counted
from sync.config import TableSettings
from sync.config.problems import quote, suggest
from sync.model.columns import WIDER, Column, TargetSchema, TargetTable
from sync.model.plan import Changes
from sync.model.ports import SourceTable
from sync.pipeline.table_run import TableRun

REMEDY = (
    "change `columns` in the configuration to match, or run `./aito-sync reset {table}`, which "
    "drops Aito's table with all its rows; the next sync loads it anew, as far as the source still "
    "has the rows"
)


def needed_changes(
    run: TableRun, wanted: Sequence[Column], schema: TargetSchema, *, made_here: bool
) -> Changes:
    """What has to be made for these columns.

    made_here: the sync has made the table. It is made anew when it differs and is empty, such as
    after a first run that failed.
    Raises ActionRequired when the name is no table, SchemaMismatch with every difference.
    """
    held = schema.get(run.name)
    check_is_table(run, held)
    if held is None:
        return Changes(create=tuple(wanted))
    addable = [_addable(run, column, held) for column in wanted]
    difference = run.target.compare(run.name, addable, held)
    if difference.problems and made_here and _may_be_remade(run, schema):
        return Changes(create=tuple(wanted), remade=difference.problems)
    if difference.problems:
        located = [_with_place(run.table, problem) for problem in difference.problems]
        problems = "\n".join(f"  - {problem}" for problem in located)
        remedy = REMEDY.format(table=run.name)
        raise SchemaMismatch(f"{run.name}: Aito's table differs:\n{problems}\nRemedy: {remedy}.")
    return Changes(add=difference.missing)


def check_is_table(run: TableRun, held: TargetTable | None) -> None:
    """Raises ActionRequired when the configured name stands for something else than a table.

    held: what the target's schema lists under it.
    """
    kind = run.target.hidden_kind(run.name) if held is None else held.kind
    if kind is None or (held is not None and held.is_table):
        return
    raise ActionRequired(
        f"{run.name}: Aito has a {kind} of this name, and only a table can be synced; "
        "give the table another `name`"
    )


def _with_place(table: TableSettings, problem: str) -> str:
    """A difference, which begins with the column's name, with the setting that decides it."""
    name, _, rest = problem.partition(": ")
    if table.cursor and name == table.cursor.column:
        help_ = ""
        if rest.startswith("not in Aito"):
            help_ = "; name one that Aito has, if it holds the cursor in epoch seconds, or reset"
        return f"{table.at('cursor', 'column')}: {name}: {rest}{help_}"
    return f"{table.at('columns', name)}: {rest}"


def _may_be_remade(run: TableRun, schema: TargetSchema) -> bool:
    """Whether the table is empty, and no other table links to it: Aito would not drop it."""
    linked = {
        column.link.partition(".")[0]
        for name, held in schema.items()
        for column in held.columns.values()
        if column.link and name != run.name
    }
    return run.name not in linked and run.target.count(run.name) == 0


def as_held(run: TableRun, source: SourceTable, schema: TargetSchema) -> SourceTable:
    """The source with the target's spelling of its columns, and with known types.

    A column has the wider type where the target's, or the one that it links to, has it.
    """
    held = schema[run.name].columns if run.name in schema else {}
    source = source.with_names(held)
    types = {column.name: column.type for column in source.columns}
    wide = []
    for name in source.open_integers:
        known = [held[name]] if name in held else []
        if name in run.table.links:
            parent, linked = run.table.links[name]
            known += [schema[parent].columns[linked]] if _has(schema, parent, linked) else []
        if any(column.type == WIDER[types[name]] for column in known):
            wide.append(name)
    return source.with_wide(wide)


def undecided(source: SourceTable, changes: Changes) -> tuple[str, ...]:
    """The columns to be made whose type the data decides."""
    made = {column.name for column in (*changes.create, *changes.add)}
    return tuple(name for name in source.open_integers if name in made)


def _has(schema: TargetSchema, table: str, column: str) -> bool:
    return table in schema and column in schema[table].columns


def _addable(run: TableRun, column: Column, held: TargetTable) -> Column:
    """The column, nullable if it is to be added: rows that exist have no value of it.

    The key, the cursor, and what the configuration declares as not nullable stay as they are.
    """
    if column.name in held.columns:
        return column
    declared = run.table.named.get(column.name)
    is_fixed = column.name in (run.table.key_name, run.table.cursor and run.table.cursor.column)
    is_declared = declared is not None and declared.nullable is not None
    if is_fixed or is_declared:
        return column
    return replace(column, nullable=True)


def check_parents(run: TableRun, schema: TargetSchema, planned: frozenset[str]) -> None:
    """Raises ActionRequired when a linked table or column is missing.

    planned: tables that the run itself would make, which a dry run does not.
    """
    missing = []
    for column, (table, linked) in run.table.links.items():
        if not _has(schema, table, linked) and table not in planned:
            place = run.table.at("columns", column, "link")
            right = _right_link(run, schema, table, linked)
            missing.append(f"{place}: {table}.{linked}: {right}")
    if missing:
        raise ActionRequired(f"{run.name}: {'; '.join(missing)}")


def _right_link(run: TableRun, schema: TargetSchema, table: str, linked: str) -> str:
    """What is missing of a link, and what to do."""
    configured = [each.name for each in run.settings.tables]
    if table in configured:
        return f"Aito does not have it yet; sync that table first: `./aito-sync sync {table}`"
    if table in schema:
        listed = suggest(linked, schema[table].columns, "it has")
        return f"Aito's table {quote(table)} has no such column; {listed}"
    known = dict.fromkeys([*configured, *schema])
    return (
        f"no table {quote(table)} in Aito or in the configuration;"
        f" {suggest(table, known, 'there is')}. Correct the name, or add the table to `tables`"
    )


def prepare(run: TableRun, changes: Changes, schema: dict[str, TargetTable]) -> None:
    """Make the changes in the target, and enter them into `schema`."""
    if changes.remade:
        _drop_empty(run)
    if changes.create:
        run.lease.check()
        run.target.create(run.name, changes.create)
        schema[run.name] = made_of(changes.create)
    for column in changes.add:
        run.lease.check()
        run.target.add_column(run.name, column)
        held = schema[run.name].columns
        schema[run.name] = TargetTable({**held, column.name: column})


def _drop_empty(run: TableRun) -> None:
    """Drop a table that was empty when the plan was made. Raises ActionRequired if it is not."""
    rows = run.target.count(run.name)
    if rows:
        raise ActionRequired(
            f"{run.name}: Aito's table was empty and differed, and now it holds "
            f"{counted(rows, 'row')}: does anything else write to it?"
        )
    run.lease.check()
    run.target.drop(run.name)


def made_of(columns: Sequence[Column]) -> TargetTable:
    """A table that was just made of these columns."""
    return TargetTable({column.name: column for column in columns})


def tables_to_come(tables: Sequence[TableSettings], *, dry_run: bool) -> frozenset[str]:
    """The tables that a dry run may take as made: a real run would have made them before."""
    return frozenset(table.name for table in tables) if dry_run else frozenset()
