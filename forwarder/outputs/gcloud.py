"""Records as messages of Google Cloud Pub/Sub, in order for each device.

All messages of a request have one ordering key (google/pubsub/v1/pubsub.proto), so each device has requests
of its own, one after the other. This file is loaded when an output uses it, for Google's client takes 30 MB.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import msgspec
from google.api_core import exceptions as api
from google.auth.exceptions import GoogleAuthError
from google.oauth2.service_account import Credentials
from google.pubsub_v1.services.publisher import PublisherClient

from config.model import Output
from forwarder.outputs import Place, RefusedError, SendError, TooLargeError
from forwarder.records import Record, device_of
from forwarder.shapes import lines, with_place

TIMEOUT_S = 30.0
"""For an answer, unless the settings say otherwise."""
_SERVER = "https://pubsub.googleapis.com"
_LARGER = "message larger than max"
_MOST_SHOWN = 200
_CONSOLE = "in the Google Cloud console"
# What is refused again until a person does something, and what that is.
_REFUSED: Mapping[type[Exception], str] = {
    api.NotFound: f"there is no such topic; next: check project and topic, or make it {_CONSOLE}",
    api.PermissionDenied: "these credentials have no right to it; next: give their account the role Pub/Sub"
    f" Publisher {_CONSOLE}",
    api.Unauthenticated: "the credentials are not accepted; next: check their file, and this machine's clock",
    api.InvalidArgument: "it does not take this record; next: look at the schema of the topic",
    api.FailedPrecondition: f"it takes nothing as it is set up; next: look at it {_CONSOLE}",
    api.MethodNotImplemented: "this is no server of Pub/Sub; next: check url",
}


class PubSubSink:
    """Publishes to one topic."""

    def __init__(self, place: Place) -> None:
        self._place = place
        settings = place.settings
        self._topic = f"projects/{settings.project}/topics/{settings.topic}"
        self._timeout = settings.timeout or TIMEOUT_S
        url = urlsplit(settings.url or _SERVER)
        self._server = url.netloc
        # Of the batch under way what was taken, by ordering key.
        self._taken: dict[str, list[Record]] = {}
        self._client = _secure(url.netloc, settings) if url.scheme == "https" else _open(url.netloc)

    def send(self, records: Sequence[Record]) -> None:
        """Publish each record; Pub/Sub has all when this returns. Raises SendError."""
        devices: dict[str, list[Record]] = {}
        for record in with_place(records, self._place.settings):
            # Samples have no device: they are in order, too.
            devices.setdefault(device_of(record) or self._place.name, []).append(record)
        for name, some in devices.items():
            if self._taken.get(name) != some:
                self._publish(name, some)
                self._taken[name] = some
        self._taken.clear()

    def close(self) -> None:
        """End the connection."""
        self._client.transport.close()

    def _publish(self, order: str, records: Sequence[Record]) -> None:
        messages = [
            {"data": line.rstrip("\n").encode(), "attributes": _attributes(record), "ordering_key": order}
            for record, line in zip(records, lines(records, self._place.settings), strict=True)
        ]
        try:
            # Without its own repetitions: the forwarder sends again, and waits longer each time.
            answer = self._client.publish(
                {"topic": self._topic, "messages": messages}, retry=None, timeout=self._timeout
            )
        except (api.GoogleAPIError, GoogleAuthError) as error:
            raise self._told(error, len(records)) from error
        taken = len(answer.message_ids)
        if taken != len(messages):
            raise SendError(
                f"{self._topic}: {taken} of {len(messages)} messages were taken; all are sent again"
            )

    def _told(self, error: Exception, count: int) -> SendError:
        """Say in a sentence what an error means."""
        said = " ".join(str(getattr(error, "message", error)).split())[:_MOST_SHOWN]
        # The second is what a server of gRPC says itself of what it will not read.
        if count > 1 and (isinstance(error, api.InvalidArgument) or _LARGER in said):
            return TooLargeError(f"{self._topic}: not taken together; it says: {said}")
        for kind, what in _REFUSED.items():
            if isinstance(error, kind):
                return RefusedError(f"{self._topic}: {what}; it says: {said}")
        if isinstance(error, api.DeadlineExceeded):
            return SendError(f"{self._server} did not answer in {self._timeout:g} s; it is sent again later")
        if isinstance(error, api.ServiceUnavailable):
            return SendError(
                f"{self._server} cannot be reached, or is busy: is there Internet? It is sent again later; it"
                f" says: {said}"
            )
        if isinstance(error, GoogleAuthError):
            return SendError(f"the credentials cannot be used now; it is sent again later; it says: {said}")
        return SendError(f"{self._server} has trouble; it is sent again later; it says: {said}")


def _attributes(record: Record) -> dict[str, str]:
    """Return what a subscriber can filter by; of the same `key` the last message counts."""
    named = {"device": device_of(record), "entity": record.entity, "key": record.key}
    return {name: value for name, value in named.items() if value}


def _open(server: str) -> PublisherClient:
    """Connect to an emulator, without TLS and without credentials."""
    transport = PublisherClient.get_transport_class("grpc")
    return PublisherClient(transport=transport(channel=grpc.insecure_channel(server)))


def _secure(server: str, settings: Output) -> PublisherClient:
    """Connect to Google. Raises RefusedError where there are no credentials."""
    found = None if settings.credentials is None else _credentials(settings.credentials)
    try:
        return PublisherClient(credentials=found, client_options={"api_endpoint": server})
    except GoogleAuthError as error:
        raise RefusedError(
            "there are no credentials for Google Cloud; next: write the file of a service account into"
            " credentials"
        ) from error


def _credentials(path: str) -> Credentials:
    try:
        found = msgspec.json.decode(Path(path).read_bytes(), type=dict[str, str])
        return Credentials.from_service_account_info(found)
    except OSError as error:
        raise RefusedError(f"credentials: {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, GoogleAuthError) as error:
        raise RefusedError(
            f"credentials: {path} is no file of a service account; next: get one as JSON {_CONSOLE}"
        ) from error
