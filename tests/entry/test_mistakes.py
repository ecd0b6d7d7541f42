"""Natural mistakes: each is answered with what was wrong, where, and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.stack import Stack
from tests.entry import mistakes
from tests.entry.mistakes import ALL, PAGE, Mistake, answer, load_source, message


@pytest.fixture(scope="module")
def page() -> str:
    """The page of errors."""
    return PAGE.read_text()


@pytest.fixture(scope="module")
def source(_running_stack: Stack) -> None:
    """The small source, which no mistake changes."""
    load_source(_running_stack)


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize("mistake", ALL, ids=lambda mistake: mistake.what)
def test_a_mistake(stack: Stack, page: str, tmp_path: Path, mistake: Mistake) -> None:
    """`check` says it, `sync` refuses it too, and nobody sees a traceback."""
    status, printed = answer(stack, mistake, "check", tmp_path)
    assert status != 0, printed
    missing = [words for words in mistake.says if words not in printed]
    assert not missing, printed
    assert "Traceback" not in printed
    own = message(printed)
    if mistake.what == "a link to a table that is not there":
        own, _, _ = own.rpartition(";")  # tables of Aito, where other tests have left theirs
    assert own in page, "python -m tests.entry.mistakes"
    status, printed = answer(stack, mistake, "sync", tmp_path)
    assert (status != 0) == mistake.stops_sync, printed
    assert "Traceback" not in printed


def test_there_are_sixty() -> None:
    """Enough of them to stand for what people do."""
    assert len(mistakes.ALL) >= 60
