"""Reads large answers fast, and returns their memory to the system.

`requests` collects an answer in pieces of 10 kB, at the cost of five calls each. A page of batches
has megabytes, and collecting it was a third of the cost of reading. Another third was the standard
library's `json`, which handles each escaped quote of a document separately and holds the
interpreter's lock meanwhile.
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
# glibc returns larger blocks to the system as soon as they are free. By default it raises this
# limit to 32 MB over time, and a long load would grow and never shrink. Smaller blocks leave free
# pages between small objects, for `trim_heap`: to return every page at once costs a seventh more
# CPU.
RETURNED_BYTES = 4 * 1024 * 1024
M_MMAP_THRESHOLD = -3  # malloc.h


def return_large_blocks() -> None:
    """Have large blocks of memory returned to the system as soon as they are free.

    Does nothing where there is no glibc.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, RETURNED_BYTES)


def trim_heap() -> None:
    """Return free pages between small objects to the system, which keeps a long load flat.

    Does nothing where there is no glibc.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


class _Answer(requests.Response):
    def iter_content(
        self, chunk_size: int | None = 1, decode_unicode: bool = False
    ) -> Iterator[Any]:
        size = max(chunk_size or 0, PIECE_BYTES)
        pieces: Iterator[Any] = super().iter_content(size, decode_unicode)
        return pieces

    def json(self, **options: Any) -> Any:
        try:
            return orjson.loads(self.content)
        except ValueError:  # `requests` reads more leniently, and raises its own error
            return super().json(**options)


class LargePieces(HTTPAdapter):
    """Reads answers in large pieces: `session.mount("https://", LargePieces())`."""

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """The answer, whose body is not read yet."""
        answer = super().build_response(req, resp)
        answer.__class__ = _Answer  # `requests` has no parameter for the class of its answers
        return answer
