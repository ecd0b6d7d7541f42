"""Finds out what a key may do, without a change to the database."""

from __future__ import annotations

import json
import secrets

from sync.aito.answers import Reaction, reaction
from sync.aito.transport import Transport
from sync.base.errors import AccessDenied
from sync.model.columns import TargetSchema

ABSENT = "sync_check_"  # Begins the name of a table that does not exist.


def describe_access(transport: Transport, schema: TargetSchema) -> str:
    """What the database holds, and that the key may write.

    A delete in a table that does not exist changes nothing. Aito answers 401 or 403 to a key
    that may only read.
    Raises AccessDenied when the key may not write.
    """
    table = f"{ABSENT}{secrets.token_hex(8)}"
    body = json.dumps({"from": table, "where": {}}).encode()
    answer = transport.attempt("POST", "/api/v1/data/_delete", body)
    if reaction(answer) is Reaction.DENIED:
        raise AccessDenied(
            f"Aito: the key may read {transport.url}, but not write ({answer.status}); "
            "store the read-write key of this database in the secret"
        )
    tables = "1 table" if len(schema) == 1 else f"{len(schema)} tables"
    return f"{transport.url}: {tables}; the key may write"
