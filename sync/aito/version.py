"""The build of Aito's engine, which it names at the root of its host. No key is needed there."""

from __future__ import annotations

from urllib.parse import urlsplit

from sync.aito.wire import Wire

VERSION_SECONDS = 10.0


def build(url: str) -> str | None:
    """The engine's build; None when it is not reported. url: the base URL."""
    parts = urlsplit(url)
    answer = Wire(f"{parts.scheme}://{parts.netloc}").exchange(
        "GET", "/version", None, {}, VERSION_SECONDS
    )
    version = answer.body.get("version") if isinstance(answer.body, dict) else None
    return str(version)[:80] if version else None
