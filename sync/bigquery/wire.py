"""How large answers come off the wire: in pieces of a megabyte, read fast, into memory that goes
back when it is free.

`requests` gathers an answer in pieces of 10 kB, each at the price of five calls. A page of batches
is megabytes, and gathering them was a third of what reading cost. Another third was the standard
library's `json`, which takes each escaped quote of a document as a piece of its own, and lets no
other thread run meanwhile.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import orjson
import requests
from requests.adapters import HTTPAdapter

PIECE_BYTES = 1_000_000
# Blocks larger than this go back at once; else glibc raises its own bound for that to 32 MB as it
# goes, and a long load grows and never shrinks. What is smaller leaves holes that small objects
# keep open, for `close_holes`: to give every page back at once costs a seventh more CPU.
GIVEN_BACK_BYTES = 4 * 1024 * 1024
M_MMAP_THRESHOLD = -3  # malloc.h


def give_memory_back() -> None:
    """Have large blocks returned to the system as soon as they are free.

    Does nothing where there is no glibc.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, GIVEN_BACK_BYTES)


def close_holes() -> None:
    """Return what is free between small objects, which outlive every page here and there: a long
    load stays flat.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


class _Answer(requests.Response):
    def iter_content(
        self, chunk_size: int | None = 1, decode_unicode: bool = False
    ) -> Iterator[Any]:
        pieces: Iterator[Any] = super().iter_content(
            max(chunk_size or 0, PIECE_BYTES), decode_unicode
        )
        return pieces

    def json(self, **options: Any) -> Any:
        try:
            return orjson.loads(self.content)
        except ValueError:  # read more leniently, or told as requests tells it
            return super().json(**options)


class LargePieces(HTTPAdapter):
    """Mount it on a session: `session.mount("https://", LargePieces())`."""

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """The answer, whose body is yet to be read."""
        answer = super().build_response(req, resp)
        answer.__class__ = _Answer  # requests offers no seam for the class of its answers
        return answer
