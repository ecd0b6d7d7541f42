"""What each answer of Aito means. Pure.

    answer                                    reaction
    2xx with JSON                             done
    2xx with anything else                    unknown (UNREADABLE)
    409 write.contention, 429 throttled       repeat: nothing was committed
    409 env.migrating                         later: try the run again
    other 409, 429 quota, row_limit_exceeded  a person must act
    401, 403                                  denied: load the key again, once
    400, 422                                  refused (ROWS), and nothing of it is stored
    404, or a table that cannot be opened     refused (NOT_FOUND)
    413                                       refused (TOO_LARGE)
    408                                       unknown (NO_ANSWER)
    other 3xx and 4xx                         refused (OTHER)
    500                                       unknown (SERVER_ERROR)
    500 of a gateway, other 5xx               unknown (NO_ANSWER)
    never sent                                repeat
    time-out, cut connection                  unknown (NO_ANSWER)

Unknown means that the request may be applied, now or later. A request that may be applied twice
without harm is repeated. Any other is the caller's to look into (errors.OutcomeUnknown).
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Any

from sync.base.errors import (
    AccessDenied,
    ActionRequired,
    OutcomeUnknown,
    Refusal,
    Refused,
    SyncError,
    Unavailable,
    Unknown,
)

# Aito's own gateway cuts a request at 30 s and says so as a 500. No answer to one row takes so
# long.
GATEWAY_SECONDS = 25.0
# A gateway's words are short. Longer words may quote a row that speaks of time-outs.
GATEWAY_WORDS = 120
_GATEWAY = re.compile(r"gateway|time[d]?[ -]?out", re.IGNORECASE)
_CODE = re.compile(r"[a-z_]{1,40}(?:\.[a-z_]{1,40}){0,3}")
_NO_TABLE = re.compile(r"(?:\d+:\d+: )?(?:failed to open '|No such table)", re.IGNORECASE)
_REFUSALS = {
    400: Refusal.ROWS,
    404: Refusal.NOT_FOUND,
    413: Refusal.TOO_LARGE,
    422: Refusal.ROWS,
}


class Reaction(enum.Enum):
    """What an answer asks of the client."""

    DONE = "done"
    REPEAT = "repeat"
    UNKNOWN = "unknown"
    REFUSED = "refused"
    DENIED = "denied"
    LATER = "later"
    PERSON = "person"


_CONFLICTS = {"write.contention": Reaction.REPEAT, "env.migrating": Reaction.LATER}


@dataclass(frozen=True)
class Answer:
    """An answer, or the lack of one.

    status: HTTP status; 0 when none came. body: the JSON, None when it was none.
    text: the beginning of what was no JSON. retry_after: seconds. seconds: how long it took.
    cause: the header x-error-cause, or what went wrong on the wire.
    sent: whether any of the request may have reached Aito.
    """

    status: int
    body: Any = None
    text: str = ""
    retry_after: float | None = None
    cause: str = ""
    seconds: float = 0.0
    sent: bool = True

    @property
    def code(self) -> str:
        """Aito's error code. Empty where it gives none: text in its place may quote a row."""
        code = self.body.get("error") if isinstance(self.body, dict) else None
        return code if isinstance(code, str) and _CODE.fullmatch(code) else ""

    @property
    def words(self) -> str:
        """Aito's own words, in one line. After a write they may quote a row's value."""
        message = self.body.get("message") if isinstance(self.body, dict) else None
        return " ".join(str(message or "").split())[:500]

    def __str__(self) -> str:
        return " ".join(f"{self.status or ''} {self.code} {self.cause}".split())


def reaction(answer: Answer) -> Reaction:
    """The table at the top of this module."""
    status = answer.status
    if not answer.sent:
        return Reaction.REPEAT
    if 200 <= status < 300:
        return Reaction.UNKNOWN if answer.body is None else Reaction.DONE
    if status == 409:
        return _CONFLICTS.get(answer.code, Reaction.PERSON)
    if status == 429:
        return Reaction.PERSON if _is_final(answer) else Reaction.REPEAT
    if status in (401, 403):
        return Reaction.DENIED
    if status in (0, 408) or status >= 500:
        return Reaction.UNKNOWN
    return Reaction.REFUSED


def _is_final(answer: Answer) -> bool:
    """Whether waiting does not help against a limit."""
    return "quota" in answer.cause.lower() or answer.code == "row_limit_exceeded"


def refusal(answer: Answer) -> Refusal:
    """Why Aito refused."""
    if _NO_TABLE.match(answer.words):
        return Refusal.NOT_FOUND
    return _REFUSALS.get(answer.status, Refusal.OTHER)


def unknown(answer: Answer) -> Unknown:
    """Why the outcome is unknown."""
    if 200 <= answer.status < 300:
        return Unknown.UNREADABLE
    if answer.status == 500 and not _is_gateways(answer):
        return Unknown.SERVER_ERROR
    return Unknown.NO_ANSWER


def _is_gateways(answer: Answer) -> bool:
    """Whether a 500 comes from a gateway that stopped waiting."""
    if answer.seconds >= GATEWAY_SECONDS:
        return True
    words = answer.words or answer.text
    return len(words) <= GATEWAY_WORDS and bool(_GATEWAY.search(words))


def error(what: str, answer: Answer, denied: str = "the key was refused") -> SyncError:
    """The error for an answer that is not done. what: the method and path of the request.

    denied: says which key was refused, and where.
    """
    text = f"Aito: {what}: {answer}"
    if answer.words and not _may_quote_rows(what):
        text = f"{text} {answer.words}"
    reason = answer.words or str(answer)
    match reaction(answer):
        case Reaction.UNKNOWN:
            return OutcomeUnknown(text, unknown(answer), reason)
        case Reaction.REFUSED:
            return Refused(text, refusal(answer), reason)
        case Reaction.DENIED:
            remedy = "check that this is the read-write key of this database"
            return AccessDenied(f"{text}; {denied}: {remedy}")
        case Reaction.PERSON:
            return ActionRequired(text)
        case _:
            return Unavailable(text)


def _may_quote_rows(what: str) -> bool:
    """Whether the request held rows or keys, which the answer may quote."""
    return "/data/" in what or what.endswith("/_search")
