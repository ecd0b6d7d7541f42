"""A stand-in for Pub/Sub that the official publisher accepts: `google.pubsub.v1.Publisher/Publish`
over gRPC.

with PubSub() as pubsub:
    os.environ["PUBSUB_EMULATOR_HOST"] = pubsub.host
    ...
    assert pubsub.messages[0].data == b'{"action": "sync"}'
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import grpc  # type: ignore[import-untyped]  # ships no types
from google.pubsub_v1.types import PublishRequest, PublishResponse

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Message:
    """A published message. `topic`: projects/P/topics/T."""

    topic: str
    data: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)


class PubSub:
    """Collects what is published.

    `missing`: topics that do not exist; `failing`: so many calls are refused first.
    """

    def __init__(self, port: int = 0) -> None:
        self.messages: list[Message] = []
        self.missing: set[str] = set()
        self.failing = 0
        self._server = grpc.server(ThreadPoolExecutor(2))
        self._server.add_generic_rpc_handlers([self._handlers()])
        self.host = f"{HOST}:{self._server.add_insecure_port(f'{HOST}:{port}')}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._server.stop(grace=None)

    def _handlers(self) -> Any:
        publish = grpc.unary_unary_rpc_method_handler(
            self._publish,
            request_deserializer=PublishRequest.deserialize,
            response_serializer=PublishResponse.serialize,
        )
        return grpc.method_handlers_generic_handler(
            "google.pubsub.v1.Publisher", {"Publish": publish}
        )

    def _publish(self, request: PublishRequest, context: grpc.ServicerContext) -> PublishResponse:
        if request.topic in self.missing:
            context.abort(
                grpc.StatusCode.NOT_FOUND,
                f"Resource not found (resource={request.topic.split('/')[-1]}).",
            )
        if self.failing:
            self.failing -= 1
            context.abort(
                grpc.StatusCode.PERMISSION_DENIED, "User not authorized to perform this action."
            )
        first = len(self.messages) + 1
        self.messages += [
            Message(request.topic, each.data, dict(each.attributes)) for each in request.messages
        ]
        return PublishResponse(message_ids=[str(first + n) for n in range(len(request.messages))])
