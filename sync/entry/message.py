"""Unpacks an HTTP message: JSON, a Pub/Sub push envelope, or a CloudEvent. Pure.

A query string counts like fields of the body.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cloudevents.exceptions import GenericException
from cloudevents.http import CloudEvent, from_http

from sync.base.errors import BadRequest
from sync.config.problems import quote
from sync.entry.notices import Notice, recognise

EXAMPLE = '{"action": "sync"}'
LISTS = ("tables", "allow")
FLAGS = ("dry_run", "full_refresh", "deep")
TRUTH = {"true": True, "false": False}
# Eventarc adds `__GCP_CloudEventsMode` to the address of the subscription that it makes.
PLATFORM_PREFIX = "__GCP_"
ENVELOPE = {"message", "subscription", "deliveryAttempt"}


@dataclass(frozen=True)
class Message:
    """The fields of a request, not validated yet; or the notice of another system beside them."""

    fields: dict[str, Any] = field(default_factory=dict)
    notice: Notice | None = None


def read(
    headers: Mapping[str, str], body: bytes, query: Mapping[str, Sequence[str]] | None = None
) -> Message:
    """What an HTTP message says. `query` maps a name to all its values.

    Raises BadRequest when it cannot be unpacked, or when query string and body contradict.
    """
    what = "the body"
    event_type = ""
    if _is_cloud_event(headers):
        event = _cloud_event(headers, body)
        what = "the CloudEvent's data"
        event_type = str(event["type"])
        body = _event_data(event)
    content = _json_object(body, what)
    attributes: dict[str, Any] = {}
    if "message" in content:
        content, attributes = _pushed(content)
    notice = recognise(content, attributes, event_type)
    fields = content if notice is None else {}
    return Message(_merged(fields, _query_fields(query or {})), notice)


# --- envelopes


def _is_cloud_event(headers: Mapping[str, str]) -> bool:
    """Raises BadRequest for several events in one request."""
    names = {name.lower(): value for name, value in headers.items()}
    kind = names.get("content-type", "").lower()
    if kind.startswith("application/cloudevents-batch"):
        raise BadRequest("a batch of CloudEvents is not taken; send each event in its own request")
    return kind.startswith("application/cloudevents") or "ce-specversion" in names


def _cloud_event(headers: Mapping[str, str], body: bytes) -> CloudEvent:
    try:
        return from_http(dict(headers), body)
    except (GenericException, ValueError, TypeError, RecursionError) as error:
        raise BadRequest(
            f"the CloudEvent cannot be read: {type(error).__name__};"
            " send specversion, id, source, type, data"
        ) from error


def _event_data(event: CloudEvent) -> bytes:
    data = event.data
    if data is None:
        return b""
    if isinstance(data, bytes):
        return data
    return json.dumps(data).encode()


def _json_object(text: bytes, what: str) -> dict[str, Any]:
    """The JSON object in `text`; nothing but white space is an empty one."""
    if not text.strip():
        return {}
    try:
        found = json.loads(text)
    except RecursionError:
        raise BadRequest(f"{what} is nested too deeply; send for example {EXAMPLE}") from None
    except ValueError as error:
        raise BadRequest(f"{what} is not JSON ({error}); send for example {EXAMPLE}") from None
    if not isinstance(found, dict):
        kind = type(found).__name__
        raise BadRequest(f"{what} must be a JSON object such as {EXAMPLE}, not {kind}")
    return found


def _pushed(envelope: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The JSON object and the attributes of a Pub/Sub message."""
    message = envelope["message"]
    if not isinstance(message, dict):
        raise BadRequest("`message` must be a Pub/Sub message: an object with base64 `data`")
    if extra := set(envelope) - ENVELOPE:
        raise BadRequest(f"unknown field {quote(min(extra))} beside the Pub/Sub `message`")
    try:
        data = base64.b64decode(message.get("data") or "", validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise BadRequest("`message.data` must be base64 of a JSON object") from None
    attributes = message.get("attributes") or {}
    if not isinstance(attributes, dict):
        raise BadRequest("`message.attributes` must be an object of texts")
    if _is_storage_notice_without_text(data, attributes):
        return {}, attributes
    return _json_object(data, "`message.data`"), attributes


def _is_storage_notice_without_text(data: bytes, attributes: Mapping[str, Any]) -> bool:
    """Cloud Storage can say everything in the attributes (payload format NONE)."""
    return not data and "objectId" in attributes


# --- query string


def _query_fields(query: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The fields in a query string. A wrong value stays text, which the validation refuses."""
    names = [name for name in query if not name.startswith(PLATFORM_PREFIX)]
    return {name: _query_value(name, query[name]) for name in names}


def _query_value(name: str, values: Sequence[str]) -> Any:
    if name in LISTS:
        parts = [part for value in values for part in value.split(",")]
        return [part for part in parts if part]
    if len(values) != 1:
        return list(values)
    if name in FLAGS:
        return TRUTH.get(values[0].lower(), values[0])
    return values[0]


def _merged(body: Mapping[str, Any], query: Mapping[str, Any]) -> dict[str, Any]:
    """Both together. Raises BadRequest when one field has two values."""
    different = [name for name in query if name in body and body[name] != query[name]]
    if different:
        raise BadRequest(
            f"{quote(different[0])} is in the query string and in the body, with different values;"
            " send it once"
        )
    return {**body, **query}
