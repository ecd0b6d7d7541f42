"""What became of a source's columns since the last complete run: one event each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from sync.base.events import Severity
from sync.model.columns import Column
from sync.pipeline.definition import has_same_types, is_member, source_types, value_kind
from sync.pipeline.table_run import TableRun


@dataclass(frozen=True)
class ColumnChange:
    """A change of one column. before, after: BigQuery types; of a renamed one its names."""

    column: str
    kind: Literal["new", "lost", "renamed", "retyped"]
    before: str = ""
    after: str = ""

    @property
    def text(self) -> str:
        """The change in words."""
        if self.kind == "new":
            return f"column {self.column} ({self.after}) is new in the source"
        if self.kind == "lost":
            return f"column {self.column} ({self.before}) is gone from the source"
        if self.kind == "renamed":
            return f"column {self.before} is probably called {self.after} now"
        return f"column {self.column} was {self.before} in the source and is {self.after} now"


def column_changes(before: str | None, after: str, *, takes_all: bool) -> list[ColumnChange]:
    """The changes between two definitions.

    takes_all: columns that nobody named are columns, too. Otherwise a column comes and goes by the
    configuration alone.
    """
    if before is None or has_same_types(before, after):
        return []
    old, new = source_types(before), source_types(after)
    if not old:
        return []
    # BigQuery compares names without case.
    spelled = {name.lower(): name for name in new}
    old = {spelled.get(name.lower(), name): kind for name, kind in old.items()}
    old, new = _of_kept_columns(old, new), _of_kept_columns(new, old)
    retyped = [
        ColumnChange(name, "retyped", old[name], kind)
        for name, kind in new.items()
        if name in old and old[name] != kind
    ]
    if not takes_all:
        old, new = _members(old), _members(new)
    return [*_moved(old, new), *retyped]


def _of_kept_columns(types: Mapping[str, str], other: Mapping[str, str]) -> dict[str, str]:
    """The types without members of structs that came, went, or are unknown as a whole."""
    if not _members(types) or not _members(other):
        return {name: kind for name, kind in types.items() if not is_member(name)}
    kept = {}
    for name, kind in types.items():
        struct = _struct(name)
        if not struct or other.get(struct) == types[struct]:
            kept[name] = kind
    return kept


def _members(types: Mapping[str, str]) -> dict[str, str]:
    return {name: kind for name, kind in types.items() if is_member(name)}


def _struct(name: str) -> str:
    """The path of the struct around a member. Empty for a column."""
    return name.rpartition(".")[0]


def _moved(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[ColumnChange]:
    """Columns that came or went. One that went is renamed if one of its type alone came."""
    gone = {name: (_struct(name), kind) for name, kind in old.items() if name not in new}
    added = {name: (_struct(name), kind) for name, kind in new.items() if name not in old}
    for name, place in list(gone.items()):
        same = [each for each, other in added.items() if other == place]
        if len(same) == 1 and list(gone.values()).count(place) == 1:
            del gone[name], added[same[0]]
            yield ColumnChange(same[0], "renamed", name, same[0])
    for name, (_, kind) in added.items():
        yield ColumnChange(name, "new", after=kind)
    for name, (_, kind) in gone.items():
        yield ColumnChange(name, "lost", before=kind)


def report_column_changes(
    run: TableRun,
    changes: list[ColumnChange],
    wanted: Mapping[str, Column],
    held: Mapping[str, Column],
) -> None:
    """Log each change with what follows. wanted, held: Aito's columns as they shall be and are."""
    for change in changes:
        follows = _follows(run, change, wanted, held)
        quiet = change.kind == "new" or follows == "nothing follows"
        severity: Severity = "INFO" if quiet else "WARNING"
        run.events(
            "column_changed",
            f"{run.name}: {change.text}; {follows}",
            severity,
            table=run.name,
            column=change.column,
            change=change.kind,
            before=change.before,
            after=change.after,
        )


def _follows(
    run: TableRun,
    change: ColumnChange,
    wanted: Mapping[str, Column],
    held: Mapping[str, Column],
) -> str:
    if run.table.mode == "replace":
        return "the whole table is swapped"
    if change.kind == "new":
        return "all rows are read again, and it is filled"
    if change.kind == "renamed":
        return "all rows are read again, and the new one is filled; the old one stays in Aito"
    if change.kind == "lost":
        return "its values stay in Aito; rows that come from now on have none"
    name = change.column
    if is_member(name):
        return "all rows are read again"
    if name in held and name in wanted and held[name].type != wanted[name].type:
        return (
            f"Aito has it as {held[name].type}, so the run is refused: declare a `type`, or reset"
        )
    if name in wanted:
        kinds = {value_kind(each, wanted[name].type) for each in (change.before, change.after)}
        if len(kinds) > 1:
            return "all rows are read again, because its values are written in another way"
    return "nothing follows"
