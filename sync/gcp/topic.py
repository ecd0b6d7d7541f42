"""Requests the rest of a run by a message on a Pub/Sub topic, which pushes it to this function."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sync.base.errors import Unavailable

PUBLISH_SECONDS = 15.0


def publish(topic: str, message: Mapping[str, Any]) -> None:
    """Publish one message (JSON) and wait until it is taken. Raises Unavailable."""
    from google.cloud.pubsub_v1 import PublisherClient  # only a run that is out of time needs it

    client = PublisherClient()
    try:
        client.publish(topic, json.dumps(dict(message)).encode()).result(timeout=PUBLISH_SECONDS)
    except Exception as error:
        raise Unavailable(
            f"topic {topic}: the rest could not be requested ({type(error).__name__})"
        ) from error
    finally:
        client.stop()
