"""Validates the fields of a request. One error lists every mistake, and its length is bounded.

Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from sync.base.errors import BadRequest
from sync.config import Frozen, Settings
from sync.config.problems import quote, shown, suggest
from sync.model.request import Action, Request

ACTIONS: tuple[str, ...] = get_args(Action)
COMPARING = ("sync", "reconcile")  # the actions with guards and a range
MAX_NAMED = 3  # unknown names of one kind in a message; the others are counted
LONGEST_NAME = 80  # characters of a name in a message
DATE_OR_TIME = re.compile(r"\d{4}-?\d\d-?\d\d([T ].+)?", re.ASCII)


def _not_empty(names: list[str]) -> list[str]:
    if not names:
        raise ValueError("empty")
    return names


def _moment(value: object) -> datetime | None:
    """An ISO 8601 date or time. Without a zone it is UTC. Raises ValueError."""
    if value is None:
        return None
    if not isinstance(value, str) or not DATE_OR_TIME.fullmatch(value):
        raise ValueError("not ISO 8601")
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment


Guard = Literal["purge", "delete", "empty_source"]
GUARDS: tuple[str, ...] = get_args(Guard)
Moment = Annotated[datetime | None, BeforeValidator(_moment)]
MOMENT = "an ISO 8601 date or time such as 2025-11-01 or 2025-11-01T12:00:00Z"
TRUTH = "true or false"


class Fields(Frozen):
    """The fields of a request. A description ends the sentence "... must be"."""

    action: Action = Field(default="sync", description=f"one of {', '.join(ACTIONS)}")
    tables: Annotated[list[str], AfterValidator(_not_empty)] | None = Field(
        default=None, description="a list of table names, not empty"
    )
    dry_run: bool = Field(default=False, description=TRUTH)
    full_refresh: bool = Field(default=False, description=TRUTH)
    deep: bool = Field(default=False, description=TRUTH)
    allow: list[Guard] = Field(default=[], description="a list of purge, delete, empty_source")
    since: Moment = Field(default=None, description=MOMENT)
    until: Moment = Field(default=None, description=MOMENT)


ALLOW_OPTION = f"one or more of {', '.join(GUARDS)}, with commas between them"
FIELDS = {name: str(field.description) for name, field in Fields.model_fields.items()}


def request_for(settings: Settings, fields: Mapping[str, Any]) -> Request:
    """The request that the fields describe, for this configuration. Raises BadRequest."""
    known = [table.name for table in settings.tables]
    disabled = [table.name for table in settings.tables if not table.enabled]
    found = request(fields, known, disabled)
    return _of_studied_tables(settings, found) if found.action == "retention" else found


def request(
    fields: Mapping[str, Any],
    known: Collection[str] | None = None,
    disabled: Collection[str] = (),
) -> Request:
    """The request that the fields describe.

    `known` holds the names of the configured tables. None: they are not known yet.
    `disabled` holds those that have `enabled: false`.
    Raises BadRequest, which lists every mistake.
    """
    wrong = _wrong_names(fields)
    problems = _unknown_fields(fields)
    problems += [_wrong_value(name, fields[name]) for name in FIELDS if name in wrong]
    parsed = _parse_the_rest(fields, wrong)
    problems += _contradictions(parsed)
    problems += _unknown_tables(parsed, known)
    problems += _disabled_tables(parsed, disabled)
    if problems:
        raise BadRequest("; ".join(problems))
    return _request(parsed)


def _of_studied_tables(settings: Settings, wanted: Request) -> Request:
    """The request with the tables that a study can be made of. Raises BadRequest."""
    enabled = [table for table in settings.tables if table.enabled]
    able = [table.name for table in enabled if table.cursor and table.evaluate]
    names = able if wanted.tables is None else wanted.tables
    unable = [name for name in names if name not in able]
    if unable or not names:
        what = f"table {', '.join(map(_shown, unable))} has not" if unable else "no table has"
        raise BadRequest(f"a study needs `cursor` and `evaluate`; {what}")
    return replace(wanted, tables=tuple(names))


def _request(fields: Fields) -> Request:
    tables = None if fields.tables is None else tuple(dict.fromkeys(fields.tables))
    since = None if fields.since is None else math.floor(fields.since.timestamp())
    until = None if fields.until is None else math.ceil(fields.until.timestamp())
    return Request(
        action=fields.action,
        tables=tables,
        dry_run=fields.dry_run,
        full_refresh=fields.full_refresh,
        deep=fields.deep,
        allow=frozenset(fields.allow),
        since=since,
        until=until,
    )


def _unknown_fields(fields: Mapping[str, Any]) -> list[str]:
    unknown = [name for name in fields if name not in FIELDS]
    described = [
        f"unknown field {_shown(name)}, {_suggest(name, FIELDS, 'known are')}"
        for name in unknown[:MAX_NAMED]
    ]
    return described + _and_more(unknown, "unknown fields")


def _wrong_names(fields: Mapping[str, Any]) -> set[str]:
    """The known fields whose values are wrong."""
    known = {name: value for name, value in fields.items() if name in FIELDS}
    try:
        Fields.model_validate(known)
    except ValidationError as error:
        return {str(detail["loc"][0]) for detail in error.errors(include_url=False)}
    return set()


def _parse_the_rest(fields: Mapping[str, Any], wrong: set[str]) -> Fields:
    """The fields that are right, so that contradictions between them are found in the same run."""
    right = {name: fields[name] for name in FIELDS if name in fields and name not in wrong}
    if "action" in wrong:  # it is unknown which fields go with it
        right = {"tables": right.get("tables")}
    return Fields.model_validate(right)


def _wrong_value(name: str, value: object) -> str:
    """What a field must be, and a single value that stands there instead."""
    if name == "allow" and isinstance(value, list):
        value = next((each for each in value if each not in GUARDS), value)
    is_single = isinstance(value, str | int | float)
    found = f", not {shown(value)}" if is_single and name != "tables" else ""
    return f"{name!r} must be {FIELDS[name]}{found}"


def for_command_line(text: str) -> str:
    """A message of this module, with options in place of fields: `--since` for `'since'`."""
    text = text.replace(FIELDS["allow"], ALLOW_OPTION)
    return re.sub(r"'([a-z_]+)'", _option, text)


def _option(match: re.Match[str]) -> str:
    name = match[1]
    return f"--{name.replace('_', '-')}" if name in FIELDS else match[0]


def _contradictions(fields: Fields) -> Iterator[str]:
    has_range = fields.since is not None or fields.until is not None
    if fields.deep and fields.action != "reconcile":
        yield "'deep' goes with the action reconcile"
    if fields.full_refresh and fields.action != "sync":
        yield "'full_refresh' goes with the action sync"
    if fields.allow and fields.action not in COMPARING:
        yield "'allow' goes with the actions sync and reconcile"
    if has_range and fields.action not in COMPARING:
        yield "'since' and 'until' go with the actions sync and reconcile"
    if has_range and fields.full_refresh:
        yield "'full_refresh' reads the whole keep range: leave it out, or 'since' and 'until'"
    if fields.since and fields.until and fields.since >= fields.until:
        yield "'since' must be earlier than 'until', which is excluded"


def _unknown_tables(fields: Fields, known: Collection[str] | None) -> list[str]:
    if known is None:
        return []
    absent = [name for name in dict.fromkeys(fields.tables or ()) if name not in known]
    described = [
        f"no table {_shown(name)} in the configuration; {_suggest(name, known, 'it has')}"
        for name in absent[:MAX_NAMED]
    ]
    return described + _and_more(absent, "unknown tables")


def _disabled_tables(fields: Fields, disabled: Collection[str]) -> list[str]:
    named = [name for name in dict.fromkeys(fields.tables or ()) if name in disabled]
    described = [
        f"table {_shown(name)} has `enabled: false` in the configuration; enable it, or leave it "
        "out of 'tables'"
        for name in named[:MAX_NAMED]
    ]
    return described + _and_more(named, "disabled tables")


def _and_more(names: list[str], what: str) -> list[str]:
    hidden = len(names) - MAX_NAMED
    return [f"and {hidden} more {what}"] if hidden > 0 else []


def _shown(name: str) -> str:
    return quote(name, LONGEST_NAME)


def _suggest(name: str, words: Collection[str], listing: str) -> str:
    return suggest(name[:LONGEST_NAME], words, listing, LONGEST_NAME)
