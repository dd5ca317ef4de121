"""Google Cloud Pub/Sub's publisher, google.pubsub.v1.Publisher over gRPC, with faults asked for by name.

Written from google/pubsub/v1/pubsub.proto (its messages are those that Google generates of it) and from the
page "Quotas and limits": 1,000 messages and 10 MB a request, 256 and 1,024 bytes for the name and the value
of an attribute, one ordering key a request. It needs what tests/forwarder/google_client.py installs.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Self

import grpc
from google.pubsub_v1.types import PublishRequest, PublishResponse

_MOST_MESSAGES, _MOST_BYTES = 1000, 10_000_000
_LONGEST_NAME, _LONGEST_VALUE, _LONGEST_ORDER = 256, 1024, 1024


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it was taken."""

    data: bytes
    attributes: dict[str, str]
    order: str


@dataclass
class PubSub:
    """The topics that there are, what they took, and what happens next, one step a request.

    A step is a status of gRPC by its name, "hang" (no answer), or "lost" (it is taken, the answer is lost).
    """

    topics: tuple[str, ...] = ("projects/my-project/topics/van",)
    plan: list[str] = field(default_factory=list)
    taken: list[Message] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    metadata: list[dict[str, str]] = field(default_factory=list)
    port: int = 0
    # Of a request; -1: its own limit alone counts.
    most_bytes: int = -1
    _woken: threading.Event = field(default_factory=threading.Event)

    def start(self, tls: tuple[bytes, bytes] | None = None) -> Self:
        """Listen; with the PEM of a key and of its certificate over TLS."""
        options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", self.most_bytes)]
        self._server = grpc.server(ThreadPoolExecutor(4), options=options)
        handler = grpc.unary_unary_rpc_method_handler(
            self._publish, PublishRequest.deserialize, PublishResponse.serialize
        )
        service = grpc.method_handlers_generic_handler("google.pubsub.v1.Publisher", {"Publish": handler})
        self._server.add_generic_rpc_handlers((service,))
        where = f"127.0.0.1:{self.port}"
        if tls is None:
            self.port = self._server.add_insecure_port(where)
        else:
            self.port = self._server.add_secure_port(where, grpc.ssl_server_credentials([tls]))
        self._server.start()
        return self

    def stop(self) -> None:
        self._woken.set()
        self._server.stop(None).wait()

    def _publish(self, request: PublishRequest, context: grpc.ServicerContext) -> PublishResponse:
        self.metadata.append({str(key): str(value) for key, value in context.invocation_metadata()})
        step = self.plan.pop(0) if self.plan else "OK"
        if step == "hang":
            self._woken.wait()
        elif step not in ("OK", "lost"):
            context.abort(grpc.StatusCode[step], f"planned {step}")
        self._check(request, context)
        self.requests.append(request.messages[0].ordering_key)
        self.taken += [Message(one.data, dict(one.attributes), one.ordering_key) for one in request.messages]
        if step == "lost":
            context.abort(grpc.StatusCode.UNAVAILABLE, "the connection was lost")
        return PublishResponse(message_ids=[str(len(self.taken)) for _ in request.messages])

    def _check(self, request: PublishRequest, context: grpc.ServicerContext) -> None:
        if request.topic not in self.topics:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Resource not found (resource={request.topic}).")
        names = [item for one in request.messages for item in one.attributes.items()]
        wrong = (
            not 0 < len(request.messages) <= _MOST_MESSAGES
            or len(PublishRequest.serialize(request)) > _MOST_BYTES
            or len({one.ordering_key for one in request.messages}) > 1
            or any(len(one.ordering_key.encode()) > _LONGEST_ORDER for one in request.messages)
            or any(not 0 < len(name.encode()) <= _LONGEST_NAME for name, _ in names)
            or any(len(value.encode()) > _LONGEST_VALUE for _, value in names)
            or any(not one.data and not one.attributes for one in request.messages)
        )
        if wrong:
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, "You have passed an invalid argument to the service."
            )
