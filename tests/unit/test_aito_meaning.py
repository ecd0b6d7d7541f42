"""What an answer of Aito means."""

from __future__ import annotations

from typing import Any

import pytest

from sync.aito.answers import Answer, Reaction, error, reaction
from sync.base.errors import OutcomeUnknown, Refusal, Refused, Unknown

WHAT = "POST /api/v1/data/t/batch"


def message(text: str, **more: Any) -> dict[str, Any]:
    """An error body of Aito."""
    return {"message": text, **more}


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (Answer(500, message("There was an internal server error.")), Unknown.SERVER_ERROR),
        (Answer(500, text="Internal Server Error"), Unknown.SERVER_ERROR),
        (Answer(500, message("Gateway Timeout")), Unknown.NO_ANSWER),
        (Answer(500, text="<h1>504 Gateway Time-out</h1>"), Unknown.NO_ANSWER),
        (Answer(500, message("the request timed out")), Unknown.NO_ANSWER),
        (Answer(500, message("bad value 'timeout' " + "x" * 200)), Unknown.SERVER_ERROR),
        (Answer(500, message("internal"), seconds=24.9), Unknown.SERVER_ERROR),
        (Answer(500, message("internal"), seconds=25.0), Unknown.NO_ANSWER),
        (Answer(501), Unknown.NO_ANSWER),
        (Answer(502), Unknown.NO_ANSWER),
        (Answer(503, message("unavailable")), Unknown.NO_ANSWER),
        (Answer(504), Unknown.NO_ANSWER),
        (Answer(524), Unknown.NO_ANSWER),
        (Answer(408), Unknown.NO_ANSWER),
        (Answer(0, cause="the connection was cut"), Unknown.NO_ANSWER),
        (Answer(200, text="<html>"), Unknown.UNREADABLE),
    ],
)
def test_why_an_outcome_is_unknown(answer: Answer, cause: Unknown) -> None:
    """Only a prompt 500 of Aito itself may be a row's fault."""
    assert reaction(answer) is Reaction.UNKNOWN
    caught = error(WHAT, answer)
    assert isinstance(caught, OutcomeUnknown)
    assert caught.cause is cause


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (Answer(400, message("entry 3: expected Int")), Refusal.ROWS),
        (Answer(422, message("entry 3: expected Int")), Refusal.ROWS),
        (Answer(413), Refusal.TOO_LARGE),
        (Answer(404, message("No such table: t")), Refusal.NOT_FOUND),
        (Answer(400, message("failed to open 'ghost'")), Refusal.NOT_FOUND),
        (Answer(400, message("1:9: failed to open 'ghost'")), Refusal.NOT_FOUND),
        (Answer(400, message("entry 3: 'failed to open ' is no Int")), Refusal.ROWS),
        (Answer(405), Refusal.OTHER),
        (Answer(307), Refusal.OTHER),
        (Answer(418), Refusal.OTHER),
    ],
)
def test_why_a_request_is_refused(answer: Answer, cause: Refusal) -> None:
    """Rows, their size, the table, or the request itself."""
    assert reaction(answer) is Reaction.REFUSED
    caught = error(WHAT, answer)
    assert isinstance(caught, Refused)
    assert caught.cause is cause


def test_words_are_told_where_no_row_can_be_quoted() -> None:
    """After a write Aito's words stay out of the message."""
    answer = Answer(400, message("value 'secret' is wrong"))
    assert "secret" not in str(error(WHAT, answer))
    assert "secret" not in str(error("POST /api/v1/_search", answer))
    assert "secret" in str(error("PUT /api/v1/schema/t", answer))
    answer = Answer(400, {"error": "Bad Request: 'secret' is wrong"})
    assert "secret" not in str(error(WHAT, answer))
