"""How answers of BigQuery are taken off the wire: in pieces of a megabyte.

`requests` gathers an answer in pieces of 10 kB, each at the price of five calls. A page of batches is megabytes, and
gathering them was a third of what reading cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import requests
from requests.adapters import HTTPAdapter

PIECE_BYTES = 1_000_000


class _Answer(requests.Response):
    def iter_content(self, chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[Any]:
        pieces: Iterator[Any] = super().iter_content(max(chunk_size or 0, PIECE_BYTES), decode_unicode)
        return pieces


class LargePieces(HTTPAdapter):
    """Mount it on a session: `session.mount("https://", LargePieces())`."""

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """The answer, whose body is yet to be read."""
        answer = super().build_response(req, resp)
        answer.__class__ = _Answer  # requests offers no seam for the class of its answers
        return answer
