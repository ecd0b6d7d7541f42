"""What a caller may ask for, in each of the three forms, and how a mistake is told."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import pytest

from sync.base.errors import BadRequest
from sync.entry import message
from sync.entry.request import request
from sync.model.request import Request

JSON_TYPE = {"Content-Type": "application/json"}
BINARY = {
    "ce-specversion": "1.0",
    "ce-id": "1",
    "ce-source": "//pubsub",
    "ce-type": "published",
    **JSON_TYPE,
}
STRUCTURED = {"Content-Type": "application/cloudevents+json"}
EVENT = {
    "specversion": "1.0",
    "id": "1",
    "source": "//pubsub",
    "type": "google.cloud.pubsub.topic.v1.messagePublished",
    "datacontenttype": "application/json",
}
TABLES = ("request_web", "request_user")


def pushed(asked: Any, **more: Any) -> dict[str, Any]:
    """A Pub/Sub push envelope around a request."""
    text = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
    message = {
        "data": base64.b64encode(text).decode(),
        "messageId": "7",
        "attributes": {"by": "scheduler"},
    }
    return {"message": message, "subscription": "projects/p/subscriptions/s", **more}


def encoded(body: Any) -> bytes:
    """A body as it is sent."""
    return body if isinstance(body, bytes) else json.dumps(body).encode()


# what is sent, its headers, and what the answer must say
BROKEN: dict[str, tuple[Any, Mapping[str, str], list[str]]] = {
    "no JSON": (b"{action: sync}", JSON_TYPE, ["the body is not JSON", '{"action": "sync"}']),
    "half of a JSON": (b'{"action": "sy', JSON_TYPE, ["the body is not JSON"]),
    "no UTF-8": (b'{"action": "\xff\xfe"}', JSON_TYPE, ["the body is not JSON"]),
    "a form": (b"action=sync", {"Content-Type": "application/x-www-form-urlencoded"}, ["not JSON"]),
    "a list": (["sync"], JSON_TYPE, ["must be a JSON object", "not list"]),
    "a text": ("sync", JSON_TYPE, ["must be a JSON object", "not str"]),
    "null": (None, JSON_TYPE, ["must be a JSON object", "not NoneType"]),
    "a number": (7, JSON_TYPE, ["must be a JSON object"]),
    "nested without end": (b"[" * 100_000, JSON_TYPE, ["the body is nested too deeply"]),
    "an unknown field": (
        {"force": True},
        JSON_TYPE,
        ["unknown field 'force'", "known are action, tables, dry_run"],
    ),
    "a slip": ({"dryrun": True}, JSON_TYPE, ["unknown field 'dryrun'", "did you mean 'dry_run'?"]),
    "a slip in the action": (
        {"action": "synch"},
        JSON_TYPE,
        ["'action' must be one of sync, reconcile, watch"],
    ),
    "an action that is no text": ({"action": ["sync"]}, JSON_TYPE, ["'action' must be one of"]),
    "no action": ({"action": None}, JSON_TYPE, ["'action' must be one of"]),
    "one table as text": (
        {"tables": "request_web"},
        JSON_TYPE,
        ["'tables' must be a list of table names"],
    ),
    "no tables": ({"tables": []}, JSON_TYPE, ["'tables' must be a list of table names"]),
    "a table that is no text": (
        {"tables": [1]},
        JSON_TYPE,
        ["'tables' must be a list of table names"],
    ),
    "an unknown table": (
        {"tables": ["web"]},
        JSON_TYPE,
        ["no table 'web' in the configuration", *TABLES],
    ),
    "half a character": (
        b'{"tables": ["\\ud800"]}',
        JSON_TYPE,
        ["no table", "in the configuration"],
    ),
    "truth as text": ({"dry_run": "yes"}, JSON_TYPE, ["'dry_run' must be true or false"]),
    "truth as a number": ({"full_refresh": 1}, JSON_TYPE, ["'full_refresh' must be true or false"]),
    "truth as null": (
        {"deep": None, "action": "reconcile"},
        JSON_TYPE,
        ["'deep' must be true or false"],
    ),
    "deep without reconcile": (
        {"deep": True},
        JSON_TYPE,
        ["'deep' goes with the action reconcile"],
    ),
    "a refresh of a watch": (
        {"action": "watch", "full_refresh": True},
        JSON_TYPE,
        ["goes with the action sync"],
    ),
    "several mistakes": (
        {"action": "x", "tables": 1, "z": 0},
        JSON_TYPE,
        ["'action'", "'tables'", "'z'"],
    ),
    "a message that is none": (
        {"message": "sync"},
        JSON_TYPE,
        ["`message` must be a Pub/Sub message"],
    ),
    "data that is no base64": (
        {"message": {"data": "{}"}},
        JSON_TYPE,
        ["`message.data` must be base64"],
    ),
    "data that is no text": (
        {"message": {"data": 7}},
        JSON_TYPE,
        ["`message.data` must be base64"],
    ),
    "data that is no JSON": (pushed(b"now!"), JSON_TYPE, ["`message.data` is not JSON"]),
    "a mistake in a message": (
        pushed({"acton": "sync"}),
        JSON_TYPE,
        ["unknown field 'acton'", "did you mean 'action'"],
    ),
    "a field beside a message": (
        pushed({}, dry_run=True),
        JSON_TYPE,
        ["unknown field 'dry_run' beside"],
    ),
    "a mistake in an event": (
        {**EVENT, "data": pushed({"deep": 3})},
        STRUCTURED,
        ["'deep' must be true or false"],
    ),
    "an event without an id": (
        {"specversion": "1.0"},
        STRUCTURED,
        ["the CloudEvent cannot be read", "send specversion"],
    ),
    "several events in one": (
        [EVENT, EVENT],
        {"Content-Type": "application/cloudevents-batch+json; charset=utf-8"},
        ["a batch of CloudEvents is not taken", "each event in its own request"],
    ),
    "an event that is no JSON": (b"{", STRUCTURED, ["the CloudEvent cannot be read"]),
    "an event with a list": ({**EVENT, "data": []}, STRUCTURED, ["CloudEvent's data", "not list"]),
    "an event with a zero": ({**EVENT, "data": 0}, STRUCTURED, ["CloudEvent's data", "not int"]),
    "an event with false": (
        {**EVENT, "data": False},
        STRUCTURED,
        ["CloudEvent's data", "not bool"],
    ),
    "a binary event with a list": ([], BINARY, ["the CloudEvent's data", "not list"]),
    "a guard that is none": (
        {"allow": ["purge", "all"]},
        JSON_TYPE,
        ["'allow' must be a list of purge, delete, empty_source"],
    ),
    "guards as text": ({"allow": "purge"}, JSON_TYPE, ["'allow' must be a list of purge"]),
    "guards of a watch": (
        {"action": "watch", "allow": ["purge"]},
        JSON_TYPE,
        ["'allow' goes with the actions sync and reconcile"],
    ),
    "no date": ({"since": "yesterday"}, JSON_TYPE, ["'since' must be an ISO 8601 date or time"]),
    "a date that is none": ({"until": "2025-02-30"}, JSON_TYPE, ["'until' must be an ISO 8601"]),
    "a date as a number": ({"since": 1763200000}, JSON_TYPE, ["'since' must be an ISO 8601"]),
    "a range of a watch": (
        {"action": "watch", "since": "2025-11-01"},
        JSON_TYPE,
        ["'since' and 'until' go with the actions sync and reconcile"],
    ),
    "a range that ends before it begins": (
        {"since": "2025-11-02", "until": "2025-11-02"},
        JSON_TYPE,
        ["'since' must be earlier than 'until'"],
    ),
    "a range and everything": (
        {"since": "2025-11-02", "full_refresh": True},
        JSON_TYPE,
        ["'full_refresh' reads the whole keep range"],
    ),
    "mistakes of every kind at once": (
        {"tables": ["web"], "deep": True, "since": "now", "tabels": []},
        JSON_TYPE,
        ["'tabels'", "no table 'web'", "'deep' goes with", "'since' must be"],
    ),
    "a binary event of nonsense": (b"{", BINARY, ["CloudEvent"]),
    "an event of an unknown version": (
        pushed({}),
        {**BINARY, "ce-specversion": "9"},
        ["the CloudEvent cannot be read"],
    ),
}

RIGHT: dict[str, tuple[Any, Mapping[str, str], Request]] = {
    "nothing": (b"", {}, Request()),
    "white space": (b" \n", JSON_TYPE, Request()),
    "an empty object": ({}, {}, Request()),
    "everything": (
        {"action": "reconcile", "tables": ["request_web"], "dry_run": True, "deep": True},
        JSON_TYPE,
        Request("reconcile", ("request_web",), dry_run=True, deep=True),
    ),
    "a range": (
        {"since": "2025-11-01", "until": "2025-11-01T12:00:00.5+02:00"},
        JSON_TYPE,
        Request(since=1_761_955_200, until=1_761_991_201),
    ),
    "an open range of a reconcile": (
        {"action": "reconcile", "since": "20251101T00:00:00Z", "until": None},
        JSON_TYPE,
        Request("reconcile", since=1_761_955_200),
    ),
    "guards lifted": (
        {"allow": ["purge", "delete", "empty_source", "purge"]},
        JSON_TYPE,
        Request(allow=frozenset(["purge", "delete", "empty_source"])),
    ),
    "no guard lifted": ({"allow": []}, JSON_TYPE, Request()),
    "a table twice": ({"tables": ["request_web"] * 2}, JSON_TYPE, Request(tables=("request_web",))),
    "all tables": ({"tables": None, "full_refresh": True}, JSON_TYPE, Request(full_refresh=True)),
    "a message": (pushed({"dry_run": True}), JSON_TYPE, Request(dry_run=True)),
    "a message delivered again": (
        pushed({"dry_run": True}, deliveryAttempt=3),
        JSON_TYPE,
        Request(dry_run=True),
    ),
    "an empty message": ({"message": {"data": "", "messageId": "1"}}, JSON_TYPE, Request()),
    "a binary event": (pushed({"dry_run": True}), BINARY, Request(dry_run=True)),
    "a structured event": (
        {**EVENT, "data": pushed({"dry_run": True})},
        STRUCTURED,
        Request(dry_run=True),
    ),
    "a structured event in base64": (
        {**EVENT, "data_base64": base64.b64encode(encoded(pushed({"dry_run": True}))).decode()},
        STRUCTURED,
        Request(dry_run=True),
    ),
    "an event without data": (EVENT, STRUCTURED, Request()),
}


def parsed(headers: Mapping[str, str], body: bytes) -> Request:
    """The request that a message carries."""
    return request(message.read(headers, body).fields, TABLES)


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_understood(name: str) -> None:
    """The same request in each form."""
    body, headers, expected = RIGHT[name]
    assert parsed(headers, encoded(body)) == expected


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_refused(name: str) -> None:
    """The message names what is wrong and what would be right."""
    body, headers, told = BROKEN[name]
    with pytest.raises(BadRequest) as error:
        parsed(headers, encoded(body))
    assert [part for part in told if part not in str(error.value)] == []
    assert len(str(error.value)) < 400


def test_a_disabled_table_cannot_be_named() -> None:
    """A table with `enabled: false` is refused in words. The others may be named."""
    disabled = ["request_user"]
    with pytest.raises(BadRequest, match=r"'request_user' has `enabled: false`") as error:
        request({"tables": list(TABLES)}, TABLES, disabled)
    assert "request_web" not in str(error.value)
    assert request({"tables": ["request_web"]}, TABLES, disabled).tables == ("request_web",)
    assert request({}, TABLES, disabled).tables is None


def test_long_nonsense_is_cut() -> None:
    """A name of a megabyte does not come back whole, and of many names a few are named."""
    many = [f"table_{number}" for number in range(100_000)]
    for asked in (
        {"x" * 10**6: 1},
        {"tables": ["x" * 10**6]},
        {"tables": many},
        dict.fromkeys(many),
    ):
        with pytest.raises(BadRequest) as error:
            parsed({}, encoded(asked))
        assert len(str(error.value)) < 400


# a query string beside a body, and the request or what the answer must say
QUERIES: dict[str, tuple[str, Any, Request | list[str]]] = {
    "a flag": ("dry_run=true", b"", Request(dry_run=True)),
    "a flag in capitals": ("deep=TRUE&action=reconcile", b"", Request("reconcile", deep=True)),
    "several fields": (
        "action=reconcile&tables=request_web,request_user",
        {},
        Request("reconcile", TABLES),
    ),
    "a field twice": ("tables=request_web&tables=request_user", {}, Request(tables=TABLES)),
    "beside a body": ("dry_run=true", {"full_refresh": True}, Request("sync", None, True, True)),
    "the same as the body": ("dry_run=true", {"dry_run": True}, Request(dry_run=True)),
    "beside a message": ("dry_run=true", pushed({}), Request(dry_run=True)),
    "a range": ("since=2025-11-01", {}, Request(since=1_761_955_200)),
    "guards": ("allow=purge", {}, Request(allow=frozenset(["purge"]))),
    "the platform's own": ("__GCP_CloudEventsMode=CUSTOM_PUBSUB_x", pushed({}), Request()),
    "a contradiction": (
        "dry_run=true",
        {"dry_run": False},
        ["'dry_run' is in the query string and in the body", "send it once"],
    ),
    "a slip": ("dryrun=true", {}, ["unknown field 'dryrun'", "did you mean 'dry_run'?"]),
    "no truth": ("dry_run=1", {}, ["'dry_run' must be true or false"]),
    "an empty flag": ("dry_run", {}, ["'dry_run' must be true or false"]),
    "two truths": ("dry_run=true&dry_run=false", {}, ["'dry_run' must be true or false"]),
    "no tables": ("tables=", {}, ["'tables' must be a list of table names, not empty"]),
    "an unknown table": ("tables=request_wep", {}, ["no table", "did you mean 'request_web'?"]),
}


@pytest.mark.parametrize("name", QUERIES)
def test_query_strings(name: str) -> None:
    """A query string counts like fields of the body; what contradicts the body is refused."""
    text, body, expected = QUERIES[name]
    query = parse_qs(text, keep_blank_values=True)
    if isinstance(expected, Request):
        assert request(message.read({}, encoded(body), query).fields, TABLES) == expected
        return
    with pytest.raises(BadRequest) as error:
        request(message.read({}, encoded(body), query).fields, TABLES)
    assert [part for part in expected if part not in str(error.value)] == []
