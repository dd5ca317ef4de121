"""What an enemy with a client would send: the documented lines bent, torn and mistyped, to every topic heard.

A shot is made from one number, so that a failing volley can be told, sent again and shrunk.
"""

import json
import random
import re
import shlex
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.journeys.house import ROOT

# Nobody shoots at these: what they report must be in the database, exactly.
MARKER = "marker"
DEEP = 10_000
# With a topic and a header they just pass a broker that takes 65,536.
LARGE = 65_000
_MARK = "<here>"

_NUMBERS = (
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400",
    "-1e400",
    "1e308",
    "-0.0",
    "5e-324",
    "9" * 400,
    "9" * 5000,
)
_WHOLE = (
    "18446744073709551616",
    "-9223372036854775809",
    "9007199254740993",
    "9223372036854775807",
    "-1",
    "0",
)
_TIMES = (
    "9999-12-31T23:59:59.999Z",
    "0001-01-01T00:00:00+23:59",
    "2026-13-45T99:99:99Z",
    "1970-01-01T00:00:00Z",
)
_TEXTS = (
    *(
        "",
        "+",
        "#",
        "+/#",
        "$SYS/#",
        "../../etc/passwd",
        "/dev/null",
        "a/b",
        "null",
        "__class__",
        "ts",
        "\n\nERROR x",
    ),
    *(
        "camper/set/relay/pump",
        "camper/request/statistician/info",
        "camper/response/#",
        "x" * 300,
        "é" * 100,
        "\x00",
    ),
    *("'; DROP TABLE states; --", "{device}", "%s%s%n", "٣", "1_000", " 7 ", "0x10", "ON", *_TIMES),
)
_WORDS = (
    "true",
    "null",
    "[]",
    "{}",
    "[[]]",
    '{"a": {}}',
    r'"\ud800"',
    r'"\u0000"',
    '"',
    "[1, 2",
    "01",
    "+1",
    ".5",
)
NASTY: tuple[bytes, ...] = (
    *(text.encode() for text in (*_NUMBERS, *_WHOLE, *_WORDS)),
    *(json.dumps(text).encode() for text in _TEXTS),
    b'"\xff\xfe\xfa"',
    b'"\xc0\x80"',
)
_HUGE: tuple[bytes, ...] = (
    b"[" * DEEP + b"]" * DEEP,
    b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    b"[" * LARGE,
    b'"' + b"x" * (LARGE - 2) + b'"',
    b"9" * LARGE,
    b"\xff" * LARGE,
    b"\x00" * LARGE,
    b"{" + b",".join(b'"e%d":%d' % (n, n) for n in range(400)) + b"}",
)
_PLAIN = (
    b"",
    b"ON",
    b"off",
    b"TOGGLE",
    b"1",
    b"\x00",
    b"\xef\xbb\xbf{}",
    "{}".encode("utf-16"),
    b"\x1f\x8b\x08\x00",
)
_LEVELS = (
    "relay",
    "pump",
    "shunt",
    "mppt",
    "x",
    "A",
    "a b",
    "é",
    "$SYS",
    "x" * 200,
    "x" * 5000,
    "-",
    "..",
    "null",
)
_RESPONSES = (
    *("camper/request/statistician/info", "camper/request/collector_ble/devices", "camper/set/relay/pump"),
    *("camper/set/relay/pump/", "$SYS/broker/uptime", f"camper/state/{MARKER}", f"camper/about/{MARKER}"),
    *(
        "camper/response/enemy",
        "camper/response/",
        "camper/response/" + "x" * 300,
        "camper/service/controller",
    ),
    *("homeassistant/status", "camper/watermark/enemy-1", "/", "camper/response/statistician/info"),
)
_BATTERED = (
    *("camper/set/relay/pump", "camper/set/relay/fan", "camper/set/shunt/voltage", "camper/set/mppt/load"),
    *(
        "camper/state/enemy",
        "camper/about/enemy",
        "camper/state/shunt",
        "camper/about/shunt",
        "camper/state/solar",
    ),
    *(
        "camper/availability/shunt",
        "camper/watermark/enemy-1",
        "homeassistant/status",
        "camper/set/relay/pump",
    ),
    *("homeassistant/device/camper_shunt/config", "camper/set/relay/none", "camper/set/shunt/power"),
)
_SERVICES = ("statistician", "controller", "collector_ble", "collector_serial")
_QOS = (0, 0, 1, 1, 1, 2)


@dataclass(frozen=True, slots=True)
class Shot:
    """One publication."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    old: bool
    response: str | None = None
    correlation: bytes | None = None
    users: int = 0
    kind: str | None = None


@cache
def _examples() -> list[tuple[str, str]]:
    """Topic and payload of every line of the pages that a client may send."""
    found = []
    for page in ("contract", "requests", "registry"):
        text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
        for line in re.findall(r"^mosquitto_(?:pub|rr) .*$", text, re.MULTILINE):
            words = shlex.split(line)
            topic, payload = words[words.index("-t") + 1], words[words.index("-m") + 1]
            for service in _SERVICES if "/request/collector_" in topic else ("",):
                found += [(re.sub(r"collector_\w+", service, topic) if service else topic, payload)]
    return found


def _leaves(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _leaves(inner, (*path, key))


def _bent(text: str, dice: random.Random) -> bytes:
    """A line's payload with one value, or a new one, replaced by something nasty."""
    nasty = dice.choice(_HUGE) if dice.random() < 0.01 else dice.choice(NASTY)
    try:
        body = json.loads(text)
    except ValueError:
        return nasty
    if not isinstance(body, dict):
        return nasty
    paths = list(_leaves(body))
    extra = (
        "reply_to",
        "id",
        "transaction",
        "cursor",
        "value",
        "for",
        "not_after",
        "ts",
        "stream",
        "seq",
        "after",
    )
    if not paths or dice.random() < 0.4:
        paths = [(dice.choice((*extra, "clock", "last_reset", "entities", f"e{dice.randrange(500)}")),)]
    *parents, last = dice.choice(paths)
    place: dict[str | int, object] = body
    for key in parents:
        place = place[key]  # type: ignore[assignment]  # the path was walked before
    place[last] = _MARK
    return json.dumps(body).encode().replace(json.dumps(_MARK).encode(), nasty)


def _torn(data: bytes, dice: random.Random) -> bytes:
    if not data:
        return data
    if dice.random() < 0.5:
        return data[: dice.randrange(len(data))]
    spot = dice.randrange(len(data))
    return data[:spot] + bytes([data[spot] ^ 1 << dice.randrange(8)]) + data[spot + 1 :]


def _topic(dice: random.Random, streams: list[str]) -> str:
    roll = dice.random()
    if roll < 0.45:
        return dice.choice(_BATTERED)
    if roll < 0.6:
        return f"camper/watermark/{dice.choice([*streams, 'enemy-2'])}"
    if roll < 0.75:
        return f"camper/request/{dice.choice(_SERVICES)}/{dice.choice((*_LEVELS, 'info', 'devices'))}"
    verb = dice.choice(("state", "about", "set", "set", "request", "watermark", "statistics", "nonsense"))
    levels = [dice.choice(_LEVELS) for _ in range(dice.choice((0, 1, 1, 2, 2, 3)))]
    return "/".join(("camper", verb, *levels))


def shot(number: int, streams: list[str]) -> Shot:
    """The shot of a number; `streams` are those whose watermarks the house listens to."""
    dice = random.Random(number)  # noqa: S311 — the same shot for the same number
    topic, text = dice.choice(_examples())
    if dice.random() < 0.55:
        topic = _topic(dice, streams)
    roll = dice.random()
    if roll < 0.6:
        payload = _bent(text, dice)
    elif roll < 0.75:
        payload = dice.choice((*NASTY, *_PLAIN))
    elif roll < 0.77:
        payload = dice.choice(_HUGE)
    elif roll < 0.9:
        payload = _torn(text.encode(), dice)
    else:
        payload = dice.randbytes(dice.randrange(200))
    payload = payload[: LARGE - len(topic.encode())]
    old = dice.random() < 0.3
    # Nothing is retained where the docs forbid it but sometimes; and the broker must not be filled.
    found = Shot(topic, payload, dice.choice(_QOS), dice.random() < 0.1, old)
    return found if old or len(payload) > LARGE - 1000 or dice.random() < 0.6 else _addressed(found, dice)


def _addressed(plain: Shot, dice: random.Random) -> Shot:
    room = LARGE - len(plain.payload) - len(plain.topic.encode()) - 400
    correlation = dice.randbytes(dice.choice((0, 1, 16, 200)))
    if room > 0 and dice.random() < 0.01:
        correlation = bytes(room)
    return Shot(
        plain.topic,
        plain.payload,
        plain.qos,
        plain.retain,
        old=False,
        response=dice.choice(_RESPONSES),
        correlation=correlation,
        users=dice.choice((0, 0, 3)),
        kind=dice.choice((None, "application/json", "text/html; charset=\u00fc")),
    )


class Gun:
    """Two clients, one of MQTT 3.1.1 and one of 5, that send what they are given."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._clients = {old: self._connect(old=old) for old in (False, True)}

    def _connect(self, *, old: bool) -> mqtt.Client:
        protocol = MQTTProtocolVersion.MQTTv311 if old else MQTTProtocolVersion.MQTTv5
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=protocol)
        client.max_inflight_messages_set(50)
        client.connect("127.0.0.1", self._port)
        client.loop_start()
        return client

    def fire(self, shots: list[Shot]) -> None:
        """Send them all and wait until the broker has them."""
        sent = [self._send(one) for one in shots]
        for one in sent:
            one.wait_for_publish(20)
            if not one.is_published():
                raise TimeoutError("the broker did not take a shot")

    def _send(self, one: Shot) -> mqtt.MQTTMessageInfo:
        properties = None
        if one.response is not None:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho left it untyped
            properties.ResponseTopic = one.response
            properties.CorrelationData = one.correlation
            if one.users:
                properties.UserProperty = [("key", "value"), ("key", "x" * 50), ("", "")][: one.users]
            if one.kind is not None:
                properties.ContentType = one.kind
        client = self._clients[one.old]
        return client.publish(one.topic, one.payload, one.qos, one.retain, properties=properties)

    def close(self) -> None:
        """Leave."""
        for client in self._clients.values():
            client.disconnect()
            client.loop_stop()


def _field(data: bytes) -> bytes:
    return struct.pack("!H", len(data)) + data


def suicides() -> list[bytes]:
    """Publications of MQTT 5 for which a broker throws their sender out; without their fixed header."""
    wildcard = b"\x08" + _field(b"camper/response/#")
    system = b"\x08" + _field(b"camper/response/\xff")
    return [
        _field(b"camper/set/relay/\xff\xfe") + b"\x00ON",
        _field(b"camper/set/+/pump") + b"\x00ON",
        _field(b"camper/set/relay/pump") + bytes([len(wildcard)]) + wildcard + b"ON",
        _field(b"camper/set/relay/pump") + bytes([len(system)]) + system + b"ON",
        _field(b"camper/set/relay/\x00pump") + b"\x00ON",
        _field(b"") + b"\x00ON",
        _field(b"camper/set/relay/pump") + b"\xff\xff\xff\xffON",
        b"\xff\xff",
    ]


def throw(port: int, body: bytes) -> None:
    """Send one on a connection of its own, QoS 0, and wait until the broker closes it or answers a ping."""
    size = len(body)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(b"\x10\x10\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x03bad")
        sock.recv(200)
        sock.sendall(bytes([0x30, size]) + body + b"\xc0\x00")
        try:
            sock.recv(200)
        except ConnectionResetError:
            return
