"""A plain MQTT client, as users have them: what it saw, what it sends, waiting for a message."""

import threading
import time
from collections.abc import Callable

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PATIENCE = 60.0


class Client:
    """Subscribes to filters and keeps every message; a wait ends at its message or after a bound."""

    def __init__(
        self,
        port: int,
        *filters: str,
        protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5,
        login: tuple[str, str] | None = None,
    ) -> None:
        self.messages: list[mqtt.MQTTMessage] = []
        self._filters = filters
        self._news = threading.Condition()
        self._ready = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=protocol)
        if login is not None:
            self._client.username_pw_set(*login)
        self._client.on_connect = lambda *_: self._subscribe()
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_disconnect = lambda *_: self._ready.clear()
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        if filters:
            self.wait_ready()

    def _subscribe(self) -> None:
        if self._filters:
            self._client.subscribe([(f, 1) for f in self._filters])

    def wait_ready(self) -> None:
        """Wait until the subscription counts, also after the broker was away. Raises TimeoutError."""
        if not self._ready.wait(PATIENCE):
            raise TimeoutError("the broker did not answer the subscription")

    def _on_message(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        with self._news:
            self.messages.append(message)
            self._news.notify_all()

    def publish(
        self,
        topic: str,
        payload: str | bytes,
        *,
        retain: bool = False,
        response_topic: str | None = None,
        correlation: bytes | None = None,
    ) -> None:
        """Publish at QoS 1 and wait until the broker has it."""
        properties = None
        if response_topic is not None:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho left it untyped
            properties.ResponseTopic = response_topic
            if correlation is not None:
                properties.CorrelationData = correlation
        self._client.publish(topic, payload, qos=1, retain=retain, properties=properties).wait_for_publish(
            PATIENCE
        )

    def wait(
        self, matches: Callable[[mqtt.MQTTMessage], bool], *, patience: float = PATIENCE, since: int = 0
    ) -> mqtt.MQTTMessage:
        """The first message from number `since` on that matches. Raises TimeoutError with what was seen."""
        deadline = time.monotonic() + patience
        with self._news:
            seen = since
            while True:
                for message in self.messages[seen:]:
                    if matches(message):
                        return message
                seen = len(self.messages)
                if (
                    not self._news.wait(max(0.0, deadline - time.monotonic()))
                    and time.monotonic() >= deadline
                ):
                    topics = [f"{m.topic} {m.payload[:80]!r}" for m in self.messages[-10:]]
                    raise TimeoutError(f"no such message; the last were {topics}")

    def on(self, topic: str, *, patience: float = PATIENCE, since: int = 0) -> bytes:
        """The payload of the first message on a topic."""
        return bytes(self.wait(lambda m: m.topic == topic, patience=patience, since=since).payload)

    def latest(self, topic: str) -> bytes | None:
        """The newest payload seen on a topic so far."""
        with self._news:
            found = [m.payload for m in self.messages if m.topic == topic]
        return bytes(found[-1]) if found else None

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()
