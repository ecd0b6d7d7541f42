"""What an evaluation's result stands on: query, rows and engine. Pure.

Two results are compared only when the question is the same. What else differs between them is
named, because it may be why the accuracy changed.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sync.config import EvaluationSettings, TableSettings, spell_duration

ROWS_CHANGE = 0.2  # a table that has grown or shrunk by a smaller share is the same table
_SUBJECTS = {
    "source": "the source was changed",
    "key": "the key was changed",
    "cursor": "the cursor was changed",
    "mode": "the mode was changed",
}

Definition = Mapping[str, Any]


@dataclass(frozen=True)
class Basis:
    """What could change a result. None: not known.

    definition: JSON text of `definition`. engine: the target's build. rows: of the table when the
    evaluation was started. cases: the setting.
    """

    definition: str | None = None
    engine: str | None = None
    rows: int | None = None
    cases: int | None = None


UNKNOWN = Basis()


def definition(
    table: TableSettings, evaluation: EvaluationSettings, tables: Sequence[TableSettings] = ()
) -> str:
    """The fingerprint of an evaluation as JSON text: the question, the rows, and each column used.

    tables: all of the configuration, for columns behind a link.
    """
    fields = [evaluation.predict or "", *evaluation.given]
    parts = {
        "question": _question(evaluation),
        "source": _crc(table.source, table.query, table.where),
        "key": _crc(table.key),
        "cursor": _crc(table.cursor.model_dump(exclude_defaults=True) if table.cursor else None),
        "mode": table.mode,
        "keep": table.keep,
        "columns": {
            name: _crc(*meaning)
            for field in sorted(set(fields) - {""})
            for name, meaning in _meanings(table, field, tables)
        },
    }
    return json.dumps(parts, sort_keys=True)


def _question(evaluation: EvaluationSettings) -> str:
    """The fingerprint of what is predicted from what, and tested on which rows."""
    return _crc(evaluation.predict, sorted(evaluation.given), evaluation.test, evaluation.query)


def _meanings(
    table: TableSettings, field: str, tables: Sequence[TableSettings]
) -> Iterator[tuple[str, tuple[object, ...]]]:
    """What the configuration says of the column of a field, and of the one behind its link."""
    own, _, behind = field.partition(".")
    yield own, _meaning(table, own)
    target, _ = table.links.get(own, ("", ""))
    for parent in tables:
        if behind and parent.name == target:
            yield f"{target}.{behind}", _meaning(parent, behind)


def _meaning(table: TableSettings, name: str) -> tuple[object, ...]:
    column = (table.columns or {}).get(name)
    if column is None:
        return (None, None, None, None)
    return (column.sql, column.type, column.link, column.analyzer)


def _crc(*parts: object) -> str:
    return f"{zlib.crc32(repr(parts).encode()):08x}"


# -- what differs


def is_comparable(before: Basis, after: Basis) -> bool:
    """Whether two results answer the same question. What is not known is taken to be the same."""
    if before.definition is None or after.definition is None:
        return True
    old, new = _parsed(before.definition), _parsed(after.definition)
    return old.get("question") == new.get("question")


def is_same_definition(before: str | None, after: str | None) -> bool:
    """Whether two definitions are the same but for `keep`."""
    return not any(_changed_definition(_parsed(before), _parsed(after)))


def changes(before: Basis, after: Basis) -> list[str]:
    """What differs between the bases of two results, each as a clause: `keep` became 30d."""
    found: list[str] = []
    if before.definition is not None and after.definition is not None:
        old, new = _parsed(before.definition), _parsed(after.definition)
        found += [*_changed_definition(old, new), *_changed_keep(old, new)]
    if before.engine and after.engine and before.engine != after.engine:
        found.append(f"Aito's build became {after.engine} (was {before.engine})")
    if before.cases and after.cases and before.cases != after.cases:
        found.append(f"`cases` became {after.cases} (was {before.cases})")
    found += _changed_rows(before.rows, after.rows)
    return found


def _changed_definition(old: Definition, new: Definition) -> Iterator[str]:
    if old.get("question") != new.get("question"):
        yield "the evaluation was changed"
    for name, sentence in _SUBJECTS.items():
        if old.get(name) != new.get(name):
            yield sentence
    columns, before = new.get("columns", {}), old.get("columns", {})
    for name in sorted(columns.keys() & before.keys()):
        if columns[name] != before[name]:
            yield f"column `{name}` was redefined"


def _changed_keep(old: Definition, new: Definition) -> Iterator[str]:
    before, after = old.get("keep"), new.get("keep")
    if before != after:
        yield f"`keep` became {_keep(after)} (was {_keep(before)})"


def _keep(seconds: int | None) -> str:
    return "unlimited" if seconds is None else spell_duration(seconds)


def _changed_rows(before: int | None, after: int | None) -> Iterator[str]:
    if not before or after is None:
        return
    if abs(after - before) > ROWS_CHANGE * before:
        yield f"the table went from {before:,} to {after:,} rows"


def _parsed(text: str | None) -> Definition:
    """The parts of a definition; none when it cannot be read."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
