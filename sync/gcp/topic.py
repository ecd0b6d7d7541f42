"""Asks for the rest of a run by a message on a Pub/Sub topic, which pushes it to this function
again.
"""

from __future__ import annotations

import json
from typing import Any

from sync.base.errors import Unavailable

PUBLISH_SECONDS = 15.0


def publish(topic: str, message: dict[str, Any]) -> None:
    """Publish one message (JSON) and wait until it is taken. Raises Unavailable."""
    from google.cloud.pubsub_v1 import PublisherClient  # only a run that is out of time needs it

    client = PublisherClient()
    try:
        client.publish(topic, json.dumps(message).encode()).result(timeout=PUBLISH_SECONDS)
    except Exception as error:
        raise Unavailable(
            f"topic {topic}: the rest could not be asked for ({type(error).__name__})"
        ) from error
    finally:
        client.stop()
