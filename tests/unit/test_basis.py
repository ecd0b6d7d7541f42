"""What an evaluation's result stands on, and how a change of it is named."""

from __future__ import annotations

from typing import Any

from sync.config import ColumnSettings, CursorSettings, EvaluationSettings, TableSettings
from sync.model.basis import Basis, changes, definition, is_comparable, is_same_definition

CURSOR = CursorSettings(source="ts", column="at")
ASKED = {"predict": "source", "given": ("page", "visitor.device")}


def web(**more: Any) -> TableSettings:
    columns = {
        "page": ColumnSettings(sql="LOWER(path)"),
        "visitor": ColumnSettings(link="user.id"),
        "source": ColumnSettings(),
    }
    settings = {"source": "d.t", "key": "id", "cursor": CURSOR, "keep": "1d", "columns": columns}
    return TableSettings(name="web", **{**settings, **more})


def basis(table: TableSettings, parent: TableSettings | None = None, **asked: Any) -> Basis:
    evaluation = EvaluationSettings(name="e", **{**ASKED, **asked})
    user = parent or TableSettings(name="user", source="d.u", key="id", cursor=CURSOR)
    return Basis(definition(table, evaluation, (table, user)))


def test_changes_are_named() -> None:
    """Each changed setting is named, and nothing else."""
    before, columns = basis(web()), dict(web().columns or {})
    redefined = {**columns, "page": ColumnSettings(sql="UPPER(path)")}
    device = ColumnSettings(sql="brand")
    user = TableSettings(name="user", source="d.u", key="id", columns={"device": device})
    assert changes(before, basis(web())) == []
    assert changes(before, basis(web(columns=redefined))) == ["column `page` was redefined"]
    assert changes(before, basis(web(), user)) == ["column `user.device` was redefined"]
    assert changes(before, basis(web(keep="2d"))) == ["`keep` became 2d (was 1d)"]
    assert changes(before, basis(web(keep=None))) == ["`keep` became unlimited (was 1d)"]
    assert changes(before, basis(web(source="d.v", mode="merge"))) == [
        "the source was changed",
        "the mode was changed",
    ]


def test_a_column_that_is_not_used() -> None:
    """What the evaluation does not use changes nothing. Neither does naming a plain column."""
    more = {**(web().columns or {}), "other": ColumnSettings(sql="1")}
    assert changes(basis(web()), basis(web(columns=more))) == []
    plain = {"page": ColumnSettings()}
    asked: dict[str, Any] = {"given": ("page",)}
    assert changes(basis(web(columns=None), **asked), basis(web(columns=plain), **asked)) == []


def test_the_same_question() -> None:
    """`predict`, `given` and `test` are the question. `cases` and `min_accuracy` are not."""
    before = basis(web())
    for same in ({"cases": 50}, {"min_accuracy": 0.5}, {"given": ("visitor.device", "page")}):
        assert is_comparable(before, basis(web(), **same))
    for other in ({"predict": "page", "given": ()}, {"given": ("page",)}, {"test": "newest 7d"}):
        assert not is_comparable(before, basis(web(), **other))
    assert is_comparable(Basis(), before)


def test_keep_is_no_part_of_a_study() -> None:
    """A study stays valid when its recommendation is followed."""
    first, second = basis(web()).definition, basis(web(keep=None)).definition
    assert is_same_definition(first, second)
    assert not is_same_definition(first, basis(web(mode="merge")).definition)
