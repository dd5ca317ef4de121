"""Records to another broker, each on a topic of its own, at QoS 1."""

import queue
import secrets
from collections.abc import Sequence

import msgspec

from bus.connection import Connection
from bus.events import Connected, Disconnected, Link, MqttEvent
from bus.reach import Named
from config.model import Output
from config.urls import MQTT, UrlError, parse
from forwarder.outputs import Place, RefusedError, SendError, TooLargeError
from forwarder.records import Record, Removed, Sample, StatisticsRow
from forwarder.shapes import is_void, text_of

TIMEOUT_S = 30.0
"""For the connection, and for the confirmations of a batch, unless the settings say otherwise."""
TOPIC, SAMPLES_TOPIC = "boondock/{device}/{entity}", "boondock/samples"
# Who sends less often pays more for a connection that is kept than for a new one.
_RARE_S = 300.0
# Beside payload and topic a PUBLISH has few bytes.
_HEAD = 16
_NAMED = Named(
    host="url",
    tls_ca="tls_ca",
    login="check username and password",
    closed="nothing listens there; is it running, and is the port in url right?",
    unknown="nobody knows this name here; check url, and whether there is Internet",
    plain="does it want mqtts:// in url?",
    encrypted="is this its port for MQTT with TLS, often 8883?",
    no_tls="this port speaks no TLS; write the port that does into url, often 8883, or mqtt://",
)


class MqttSink:
    """Publishes records and waits for each confirmation; connected only while it sends, or sends often."""

    def __init__(self, place: Place) -> None:
        self._settings = settings = place.settings
        self._timeout = settings.timeout or TIMEOUT_S
        self._events: queue.SimpleQueue[Connected | Disconnected] = queue.SimpleQueue()
        self._waits = False
        self._connection = Connection(_link(place), birth_topic=None, subscriptions=[], emit=self._hear)
        self._rare = settings.cron is not None or (settings.interval or 0.0) >= _RARE_S

    def send(self, records: Sequence[Record]) -> None:
        """Publish records; the broker has confirmed all when it returns. Raises SendError."""
        messages = [self._message(record) for record in records]
        try:
            if not self._connection.connected:
                self._connect()
            self._check(messages)
            if (failure := self._connection.deliver(messages, within_s=self._timeout)) is not None:
                raise _error(failure)
        except SendError:
            self._leave()
            raise
        if self._rare:
            self._leave()

    def close(self) -> None:
        """End the connection."""
        self._connection.stop()

    def _connect(self) -> None:
        self._leave()
        self._events, self._waits = queue.SimpleQueue(), True
        self._connection.start()
        try:
            event = self._events.get(timeout=self._timeout)
        except queue.Empty as error:
            slow = f"the broker of url does not answer in {self._timeout:g} s"
            raise SendError(f"{slow}; it is sent again later") from error
        finally:
            self._waits = False
        if isinstance(event, Disconnected):
            raise _error(event)

    def _hear(self, event: MqttEvent) -> None:
        # Weeks may pass until somebody asks: nothing is kept for nobody.
        if self._waits and isinstance(event, Connected | Disconnected):
            self._events.put(event)

    def _leave(self) -> None:
        self._connection.leave("nothing is to be sent")

    def _check(self, messages: Sequence[tuple[str, bytes, bool]]) -> None:
        largest = self._connection.largest
        for topic, payload, _ in messages:
            if (size := len(topic.encode()) + len(payload) + _HEAD) > largest:
                raise TooLargeError(
                    f"{topic}: a message of {size} bytes is more than the other broker's {largest}; "
                    "shorten template, or raise its max_packet_size"
                )

    def _message(self, record: Record) -> tuple[str, bytes, bool]:
        settings = self._settings
        usual = SAMPLES_TOPIC if isinstance(record, Sample) else TOPIC
        topic = (settings.topic or usual).format_map(_topic_names(record))
        if settings.template is not None:
            payload = text_of([record], settings).removesuffix(b"\n")
        else:
            payload = msgspec.json.encode(record.body())
        return topic, payload, bool(settings.retain) and not is_void(record)


def _topic_names(record: Record) -> dict[str, str]:
    """Return what a topic may name of a record, as config/server_rules.py has it."""
    device, _, entity = record.entity.partition(".")
    if isinstance(record, StatisticsRow):
        period: str = record.period
    elif isinstance(record, Removed):
        period = record.what
    else:
        period = "sample" if isinstance(record, Sample) else "reading"
    return {"device": device, "entity": entity, "id": entity, "key": record.key, "period": period}


def _error(event: Disconnected) -> SendError:
    return (RefusedError if event.refused else SendError)(event.reason)


def _link(place: Place) -> Link:
    settings: Output = place.settings
    try:
        url = parse(settings.url or "", MQTT)
    except UrlError as error:
        raise RefusedError(f"url: {error}") from error
    return Link(
        host=url.host,
        port=url.port,
        client_id=f"boondock-{place.name}-{secrets.token_hex(8)}",
        username=url.username if settings.username is None else settings.username,
        password=url.password if settings.password is None else settings.password,
        tls_ca=settings.tls_ca if url.scheme == "mqtts" else None,
        authorities=url.scheme == "mqtts",
        named=_NAMED,
    )
