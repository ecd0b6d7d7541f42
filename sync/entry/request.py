"""What a caller asks for: direct JSON, a Pub/Sub push envelope, or a CloudEvent that carries one.

Pure.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import json
from collections.abc import Collection, Mapping
from typing import Any

from sync.base.errors import BadRequest
from sync.model.report import Request

ACTIONS = ("sync", "reconcile", "watch")
FIELDS = {
    "action": "one of sync, reconcile, watch",
    "tables": "a list of table names, not empty",
    "dry_run": "true or false",
    "full_refresh": "true or false",
    "deep": "true or false",
}


def parse(headers: Mapping[str, str], body: bytes, known: Collection[str] | None = None) -> Request:
    """The request that an HTTP message carries. `known`: the configured tables, when they are
    known.

    Raises BadRequest that names what is wrong and what would be right.
    """
    what = "the body"
    if _is_cloud_event(headers):
        what, body = "the CloudEvent's data", _event_data(headers, body)
    asked = _json_object(body, what)
    if "message" in asked:
        asked = _pushed(asked)
    return request(asked, known)


def _is_cloud_event(headers: Mapping[str, str]) -> bool:
    names = {name.lower(): value for name, value in headers.items()}
    return "ce-specversion" in names or names.get("content-type", "").startswith(
        "application/cloudevents"
    )


def _event_data(headers: Mapping[str, str], body: bytes) -> bytes:
    from cloudevents.exceptions import GenericException
    from cloudevents.http import from_http

    try:
        data = from_http(dict(headers), body).data
    except (GenericException, ValueError, TypeError, RecursionError) as error:
        raise BadRequest(
            f"the CloudEvent cannot be read: {type(error).__name__}; send specversion, id, source,"
            " type, data"
        ) from error
    return data if isinstance(data, bytes) else json.dumps(data or {}).encode()


def _json_object(text: bytes, what: str) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        found = json.loads(text)
    except RecursionError:
        raise BadRequest(
            f'{what} is nested too deeply; send for example {{"action": "sync"}}'
        ) from None
    except ValueError as error:
        raise BadRequest(
            f'{what} is not JSON ({error}); send for example {{"action": "sync"}}'
        ) from None
    if not isinstance(found, dict):
        raise BadRequest(
            f'{what} must be a JSON object such as {{"action": "sync"}}, not {type(found).__name__}'
        )
    return found


def _pushed(envelope: Mapping[str, Any]) -> dict[str, Any]:
    message = envelope["message"]
    if not isinstance(message, dict):
        raise BadRequest("`message` must be a Pub/Sub message: an object with base64 `data`")
    if extra := set(envelope) - {"message", "subscription", "deliveryAttempt"}:
        raise BadRequest(f"unknown field {min(extra)!r} beside the Pub/Sub `message`")
    try:
        data = base64.b64decode(message.get("data") or "", validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise BadRequest("`message.data` must be base64 of a JSON object") from None
    return _json_object(data, "`message.data`")


def request(asked: Mapping[str, Any], known: Collection[str] | None = None) -> Request:
    """The request that a JSON object spells. Raises BadRequest with every mistake."""
    wrong = [*_unknown(asked), *_wrong_types(asked)]
    if wrong:
        raise BadRequest("; ".join(wrong))
    tables = asked.get("tables")
    made = Request(
        action=asked.get("action") or "sync",
        tables=None if tables is None else tuple(dict.fromkeys(tables)),
        dry_run=bool(asked.get("dry_run")),
        full_refresh=bool(asked.get("full_refresh")),
        deep=bool(asked.get("deep")),
    )
    if wrong := [*_contradictions(made), *_unknown_tables(made, known)]:
        raise BadRequest("; ".join(wrong))
    return made


def _unknown(asked: Mapping[str, Any]) -> list[str]:
    found = []
    for name in asked:
        if name not in FIELDS:
            close = difflib.get_close_matches(name, FIELDS, 1)
            hint = f", did you mean {close[0]!r}?" if close else f"; known are {', '.join(FIELDS)}"
            found.append(f"unknown field {name[:80]!r}{hint}")
    return found


def _wrong_types(asked: Mapping[str, Any]) -> list[str]:
    def fits(name: str, value: Any) -> bool:
        if name == "action":
            return value in ACTIONS
        if name == "tables":
            return value is None or (
                isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)
            )
        return isinstance(value, bool)

    return [
        f"{name!r} must be {right}"
        for name, right in FIELDS.items()
        if name in asked and not fits(name, asked[name])
    ]


def _contradictions(made: Request) -> list[str]:
    found = []
    if made.deep and made.action != "reconcile":
        found.append("'deep' goes with the action reconcile")
    if made.full_refresh and made.action != "sync":
        found.append("'full_refresh' goes with the action sync")
    return found


def _unknown_tables(made: Request, known: Collection[str] | None) -> list[str]:
    absent = [name for name in made.tables or () if known is not None and name not in known]
    return [
        f"no table {name[:80]!r} in the configuration; it has {', '.join(known or ())}"
        for name in absent
    ]
