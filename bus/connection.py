"""A process's connection to the broker: birth, last will, retained topics, back-off."""

import logging
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable

from paho.mqtt import client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from bus.client import Client, Cuts, MalformedError, Publication, words
from bus.events import (
    Connected,
    Disconnected,
    Link,
    Message,
    MqttEvent,
    Sent,
    Subscription,
    Unheard,
    Unpublished,
)
from bus.messages import OFFLINE, ONLINE
from bus.reach import hung_up, unreachable
from bus.retained import RetainedTopics

log = logging.getLogger(__name__)

KEEPALIVE = 30
LONGEST_BACKOFF = 30
# Fixed header, topic length, message id and the properties we send fit into this.
_PACKET_OVERHEAD = 64
# A broker that names no limit is still held to the contract's.
_DEFAULT_PACKET = 65536
# While connected only; it must hold everything retained.
_QUEUE = 5000
# As many as the house's broker lets be under way.
_INFLIGHT = 20
_FAILURE = 0x80
# MQTT 5, 3.4.2.1: no matching subscribers.
_NOBODY = 0x10
# MQTT 5, 2.4: topic name invalid, payload format invalid. All other refusals may end.
_FOREVER = (0x90, 0x99)
_HANDED = 1000
# How often a wait for confirmations looks whether the connection still stands.
_LOOK_S = 0.25
# The user property of a birth.
_INSTANCE = "instance"


class Connection:
    """MQTT 5 connection of one process; `emit` gets every event, called from paho's thread.

    What is published retained is wanted from then on, and said again on every connect.
    Without a birth topic it is a visitor's, who comes and goes unnoticed.
    """

    def __init__(
        self,
        link: Link,
        *,
        birth_topic: str | None,
        subscriptions: list[Subscription],
        emit: Callable[[MqttEvent], None],
        retained: RetainedTopics | None = None,
    ) -> None:
        self._link = link
        self.retained = retained or RetainedTopics()
        self._birth_topic = birth_topic
        self._subscriptions = list(subscriptions)
        # What was asked for and is not confirmed, by packet id; the generation that has had its birth.
        self._asked: dict[int, list[Subscription]] = {}
        self._introduced = 0
        self._emit = emit
        self._lock = threading.Lock()
        # What may still be refused, by packet id: written by the owner's thread, read by paho's.
        self._handed: dict[int, tuple[str, bytes, bool]] = {}
        self._largest = _DEFAULT_PACKET
        self.generation = 0
        # Grows with whatever the broker says.
        self.heard = 0
        self._resumed = self._trial = False
        # Of this connection: whether the broker has said anything, and whether it let us in.
        self._answered = self._accepted = False
        self._since, self._cuts = 0.0, Cuts()
        self._place = f"{link.host}:{link.port}"
        self.refused = 0
        self.oversize = 0
        self.last_refusal: str | None = None
        self._client = self._make_client()

    def _make_client(self) -> Client:
        client = Client(self._link, self._received)
        if self._link.username is not None:
            client.username_pw_set(self._link.username, self._link.password)
        if self._birth_topic is not None:
            client.will_set(self._birth_topic, OFFLINE, qos=1, retain=True)
        client.reconnect_delay_set(1, LONGEST_BACKOFF)
        client.max_queued_messages_set(_QUEUE)
        client.max_inflight_messages_set(_INFLIGHT)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_unsubscribe = self._on_unsubscribe
        client.on_connect_fail = lambda *_: self._emit(Disconnected(unreachable(self._link, client.failure)))
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        return client

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us and the connection stands, and is no trial."""
        return self._stands and not self._trial

    @property
    def on_trial(self) -> bool:
        """Whether the broker has accepted us, for a trial."""
        return self._stands and self._trial

    @property
    def _stands(self) -> bool:
        # paho calls a lost connection connected until our callback has returned.
        return self._accepted and bool(self._client.is_connected())

    @property
    def largest(self) -> int:
        """The largest packet the broker takes, bytes."""
        return self._largest

    def start(self, *, trial: bool = False) -> None:
        """Connect in the background; never blocks, never gives up.

        A `trial` says the birth and hears who else says it, and nothing else until `settle`.
        """
        self._trial = trial
        self._answered = self._accepted = False
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho left it untyped
        properties.SessionExpiryInterval = self._link.session_s
        properties.ReceiveMaximum = self._link.receive_maximum
        self._client.connect_async(
            self._link.host,
            self._link.port,
            keepalive=KEEPALIVE,
            clean_start=trial or self._link.session_s == 0,
            properties=properties,
        )
        self._client.loop_start()

    def settle(self) -> None:
        """End the trial: hear and say everything."""
        self._trial, self._introduced = False, 0
        self._subscribe(self._client, list(self._subscriptions))

    def leave(self, why: str) -> None:
        """Leave the broker without a word, to whom else our name belongs; `start` comes back."""
        self._answered, self._accepted = True, False
        self._client.disconnect()
        self._client.loop_stop()
        self._emit(Disconnected(why))

    def stop(self) -> None:
        """Say `offline`, disconnect and end the network thread."""
        if self._birth_topic is not None and self._stands:
            goodbye = self._client.publish(self._birth_topic, OFFLINE, qos=1, retain=True)
            try:
                goodbye.wait_for_publish(1.0)
            except (RuntimeError, ValueError) as error:
                log.warning("offline could not be said: %s", error)
        self._client.disconnect()
        self._client.loop_stop()

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        correlation: bytes | None = None,
    ) -> Sent:
        """Publish now or say why not; a retained payload is wanted from now on, an empty one no more."""
        if len(payload) + len(topic.encode()) + len(correlation or b"") + _PACKET_OVERHEAD > self._largest:
            self.oversize += 1
            self.last_refusal = f"{topic}: {len(payload)} bytes are more than the broker's {self._largest}"
            log.error("%s", self.last_refusal)
            return Sent.NEVER
        if retain and payload:
            self.retained.want(topic, payload, qos)
        elif retain:
            self.retained.release(topic)
        return self._hand_over(topic, payload, qos, retain=retain, correlation=correlation)

    def say_once(self, topic: str, payload: bytes) -> Sent:
        """Publish, retained, on a topic of another owner; it is not said again on a later connect."""
        self.retained.release(topic)
        return self._hand_over(topic, payload, qos=1, retain=True)

    def reassert_online(self, message: Message) -> None:
        """Say `online` again if the message says `offline` of this process or of what it said is online."""
        if message.payload != OFFLINE:
            return
        if message.topic == self._birth_topic:
            self.announce()
        elif self.retained.wanted.get(message.topic) == ONLINE:
            self._hand_over(message.topic, ONLINE, qos=1, retain=True)

    def announce(self) -> None:
        """Say `online` on the birth topic, and which process it is."""
        if self._birth_topic is None or not self._stands:
            return
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho left it untyped
        properties.UserProperty = (_INSTANCE, self._link.instance)
        self._client.publish(self._birth_topic, ONLINE, qos=1, retain=True, properties=properties)

    def deliver(self, messages: Iterable[tuple[str, bytes, bool]], *, within_s: float) -> Disconnected | None:
        """Publish topics, payloads and whether retained, at QoS 1; None when the broker has confirmed all.

        Else why not; then some of them may have arrived. None of them is said again on a later connect.
        """
        generation, refused, end = self.generation, self.refused, time.monotonic() + within_s
        for info in [self._send(topic, body, qos=1, retain=retain) for topic, body, retain in messages]:
            while info is None or not info.is_published():
                if info is None or self.generation != generation or not self.connected:
                    return Disconnected(f"the connection to the broker at {self._place} was cut")
                left = end - time.monotonic()
                if left <= 0:
                    return Disconnected(f"the broker at {self._place} did not confirm in {within_s:g} s")
                info.wait_for_publish(min(left, _LOOK_S))
        if self.last_refusal is None or self.refused == refused:
            return None
        return Disconnected(self.last_refusal, refused=True)

    def _hand_over(
        self, topic: str, payload: bytes, qos: int, *, retain: bool, correlation: bytes | None = None
    ) -> Sent:
        sent = self._send(topic, payload, qos, retain=retain, correlation=correlation)
        return Sent.LATER if sent is None else Sent.YES

    def _send(
        self, topic: str, payload: bytes, qos: int, *, retain: bool, correlation: bytes | None = None
    ) -> mqtt.MQTTMessageInfo | None:
        """Give it to paho; None: it is not taken now."""
        if not self.connected:
            # paho would queue it in RAM and lose it with the process; outbox and retained topics do better.
            return None
        properties = None
        if correlation is not None:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho left it untyped
            properties.CorrelationData = correlation
        info = self._client.publish(topic, payload, qos=qos, retain=retain, properties=properties)
        if info.rc != mqtt.MQTT_ERR_SUCCESS:
            return None
        if qos:
            with self._lock:
                self._handed[info.mid] = (topic, payload, retain)
                # The broker may have been quicker than we.
                if info.is_published():
                    del self._handed[info.mid]
                elif len(self._handed) > _HANDED:
                    del self._handed[next(iter(self._handed))]
        return info

    def ping(self) -> None:
        """Ask the broker for a sign of life, which `heard` counts; paho does it once a keep-alive only."""
        if self.connected:
            # Of something that was never subscribed to: it is answered and changes nothing.
            self._client.unsubscribe(self._link.client_id)

    def acknowledge(self, *messages: Message) -> None:
        """Tell the broker that messages are done with; those of an earlier connection it sends again."""
        mids = [m.mid for m in messages if m.qos and m.generation == self.generation]
        if mids:
            self._client.acknowledge(mids)

    def _on_connect(
        self,
        client: mqtt.Client,
        _userdata: object,
        flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self.heard += 1
        self._answered = True
        if reason.is_failure:
            # A refusal (bad password, banned) is retried too: the owner may correct the broker meanwhile.
            why = f"the broker at {self._place} refused us: {self._words(reason)}"
            self._emit(Disconnected(why, refused=True))
            return
        self._since = time.monotonic()
        if isinstance(wire := client.socket(), socket.socket):
            # Without it a QoS 1 round trip waits 40 ms for a delayed TCP acknowledgement.
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._largest = getattr(properties, "MaximumPacketSize", _DEFAULT_PACKET)
        # What paho still holds belongs to an old connection; it is all sent again.
        client.drop_out_messages()
        self.generation += 1
        self._accepted = True
        self._resumed = flags.session_present
        # Online means that we listen: whoever waits for the birth may send at once.
        with self._lock:
            wanted = [s for s in self._subscriptions if not self._trial or s.filter == self._birth_topic]
            self._asked.clear()
        if wanted:
            self._subscribe(client, wanted)
        else:
            self._introduce(client)

    def _on_subscribe(
        self,
        client: mqtt.Client,
        _userdata: object,
        mid: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        self.heard += 1
        with self._lock:
            asked = self._asked.pop(mid, [])
        for subscription, reason in zip(asked, reasons, strict=False):
            if reason.is_failure:
                self.refused += 1
                why = f"{subscription.filter}: {self._words(reason, topic=True)}"
                self.last_refusal = f"the broker refused the subscription {why}"
                log.error("%s", self.last_refusal)
        if self._introduced != self.generation:
            self._introduce(client)

    def _words(self, reason: ReasonCode, *, topic: bool = False) -> str:
        return words(reason.value, str(reason), topic=topic, named=self._link.named)

    def _on_unsubscribe(self, *_: object) -> None:
        self.heard += 1

    def _introduce(self, client: mqtt.Client) -> None:
        self._introduced = self.generation
        self.announce()
        if self._trial:
            return
        for topic, payload, qos in self.retained.said():
            client.publish(topic, payload, qos=qos, retain=True)
        self._emit(Connected(self.generation, resumed=self._resumed))

    def listen(self, subscription: Subscription) -> None:
        """Subscribe to something more, now and on every connect."""
        with self._lock:
            self._subscriptions.append(subscription)
        if self.connected:
            self._subscribe(self._client, [subscription])

    def ask(self, topic: str) -> None:
        """Let the broker say again what it retains on a topic; nothing else comes of it."""
        if self.connected:
            self._subscribe(self._client, [Subscription(filter=topic, as_published=False)])
            self._client.unsubscribe(topic)

    def _subscribe(self, client: mqtt.Client, subscriptions: list[Subscription]) -> None:
        with self._lock:
            _, mid = client.subscribe([(s.filter, _options(s)) for s in subscriptions])
            if mid is not None:
                self._asked[mid] = subscriptions

    def _on_disconnect(
        self,
        _client: mqtt.Client,
        _userdata: object,
        flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        answered, accepted = self._answered, self._accepted
        self._answered = self._accepted = False
        if flags.is_disconnect_packet_from_server:
            self._emit(
                Disconnected(f"the broker at {self._place} ended the connection: {self._words(reason)}")
            )
        elif not answered:
            self._emit(Disconnected(hung_up(self._link)))
        elif accepted:
            # paho names a reason here too, which nobody has given.
            why = self._cuts.words(time.monotonic() - self._since)
            self._emit(Disconnected(f"the connection to the broker at {self._place} {why}"))
            if self._cuts.often:
                # Both stay then, and bus/process.py tells which of them goes.
                self._client.rename(f"{self._link.client_id}-{secrets.token_hex(8)}")

    def _received(self, publication: Publication) -> None:
        self.heard += 1
        if publication.qos > 1:
            raise MalformedError("a publication of QoS 2, which nobody asked for")
        properties = publication.properties
        response, instance = properties.response_topic, None
        try:
            topic = publication.topic.decode()
            response_topic = None if response is None else response.decode()
            if topic == self._birth_topic:
                instance = dict(properties.user).get(_INSTANCE.encode(), b"").decode() or None
        except UnicodeDecodeError:
            self.refused += 1
            self.last_refusal = "a topic is not UTF-8"
            if publication.qos:
                self._client.acknowledge([publication.mid])
            return
        self._emit(
            Message(
                topic,
                publication.payload,
                publication.qos,
                publication.retain,
                publication.mid,
                self.generation,
                response_topic,
                properties.correlation,
                instance,
            )
        )

    def _on_publish(
        self,
        _client: mqtt.Client,
        _userdata: object,
        mid: int,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        with self._lock:
            topic, payload, retained = self._handed.pop(mid, ("", b"", True))
        # At QoS 0 it only means that it was written.
        self.heard += bool(topic)
        if reason.value == _NOBODY and not retained:
            self._emit(Unheard(topic))
        if reason.value < _FAILURE:
            return
        self.refused += 1
        why = self._words(reason, topic=True)
        self.last_refusal = f"the broker refused a publication on {topic or 'a topic'}: {why}"
        log.warning("%s", self.last_refusal)
        if topic:
            self._emit(Unpublished(topic, payload, why, forever=reason.value in _FOREVER))


def _options(s: Subscription) -> SubscribeOptions:
    return SubscribeOptions(
        qos=s.qos, retainAsPublished=s.as_published, retainHandling=0 if s.retained else 2
    )
