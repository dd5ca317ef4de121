"""Tries as a user of the broker all that MQTT allows, in bounded steps: `python -m tests.journeys.walker`.

What it sends is told on standard output, one line of JSON a round.
"""

import json
import random
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.emulators.mqtt_wire import (
    DISCONNECT,
    DISCONNECT_WITH_WILL,
    FOR_EVER,
    Login,
    Will,
    Wire,
    connect,
    packet,
    publish,
    subscribe,
    text,
    unsubscribe,
)

_VOLLEY = 500
_FLOODS = 0.9
_LEFT = 60
_PAUSE_S = 0.2
# What a role may write; {n} is where it may stand anything.
ASKED = (
    "camper/request/statistician/info",
    "camper/request/statistician/latest",
    "camper/request/statistician/history",
    "camper/request/collector_serial/devices",
)
COMMANDS = ("camper/set/relay/none", "camper/set/walker{n}/x", "camper/set/shunt/voltage")
OWN = ("camper/about/walker", "camper/state/walker", "camper/availability/walker")
MAY = {"viewer": ASKED, "operator": (*ASKED, *COMMANDS), "publisher": OWN}
# And what it may not: here a wildcard was once where a name belongs, or somebody else speaks.
MUST_NOT = (
    *("camper/request/x{n}/devices", "camper/request/statistician/x{n}", "camper/response/x{n}"),
    *("camper/service/controller", "camper/service/statistician", "camper/availability/shunt"),
    *("camper/state/shunt", "camper/about/shunt", "camper/watermark/x{n}", "camper/health/x{n}"),
    *("camper/result/relay/bench", "homeassistant/device/x{n}/config", "$SYS/broker/x{n}", "x{n}", "/"),
)
PROCESSES = ("controller", "statistician", "forwarder", "collector_ble", "collector_serial")
RESPONSES = (
    *("camper/response/walker/{n}", "camper/response/#", "camper/response/+", "camper/set/relay/bench"),
    *("camper/state/shunt", "camper/service/controller", "camper/response/bench/answer", "$SYS/x", "", "\0"),
    *("camper/response/" + "x" * 60_000,),
)

Step = Callable[["Walk"], Iterator[int]]


@dataclass(slots=True)
class Walk:
    """Who walks, and from where; a step tells how many packets it has sent."""

    port: int
    role: str
    login: Login
    dice: random.Random
    # Connections that stay open until the end of a round.
    held: ExitStack = field(default_factory=ExitStack)
    number: int = 0

    def next(self) -> int:
        """A number of its own for each thing."""
        self.number += 1
        return self.number

    def topic(self, topics: tuple[str, ...]) -> str:
        """One of some topics."""
        return self.dice.choice(topics).replace("{n}", str(self.next()))

    def wire(
        self, client_id: str | None = None, *, hold: bool = False, deaf: bool = False, **more: object
    ) -> Wire:
        """A connection; without `hold` it is for a with block."""
        name = (
            f"walker-{self.role}-{self.next()}-{self.dice.getrandbits(32)}"
            if client_id is None
            else client_id
        )
        first = connect(name, self.login, **more)  # type: ignore[arg-type]  # passed on as they are
        wire = Wire(self.port, first, deaf=deaf)
        return self.held.enter_context(wire) if hold else wire

    def left(self) -> str:
        """The client id of a session that is left behind: one of a few, for no broker bounds them."""
        return f"walker-{self.role}-left-{self.next() % _LEFT}"


def flood(walk: Walk) -> Iterator[int]:
    """Publish without pause what the role may, on few topics for the answers and on many."""
    for qos in (0, 0, 1):
        with walk.wire() as wire:
            for _ in range(8):
                # Seven who ask with one name each, and one who takes a new one each time.
                names = [f"camper/response/flood/{walk.dice.randrange(7)}", f"camper/response/{walk.next()}"]
                volley = [
                    publish(
                        walk.topic(MAY[walk.role]),
                        walk.dice.choice((b"{}", b"ON", b"[" * 500)),
                        qos=qos,
                        mid=mid + 1,
                        response=walk.dice.choice(names),
                    )
                    for mid in range(_VOLLEY)
                ]
                if not (wire.send(volley) and wire.settle()):
                    break
                yield len(volley)


def large(walk: Walk) -> Iterator[int]:
    """The largest payloads, and larger ones."""
    for size in (60_000, 65_400, 70_000, 300_000):
        with walk.wire() as wire:
            volley = [publish(walk.topic(MAY[walk.role]), bytes(size), qos=1, mid=mid) for mid in range(1, 6)]
            wire.send(volley)
            wire.settle()
            yield len(volley)


def retained(walk: Walk) -> Iterator[int]:
    """Retain, large, where the role may not write, on a thousand topics; and where it may."""
    with walk.wire() as wire:
        for topics, size, count in ((MUST_NOT, 50_000, 1_200), (MAY[walk.role], 1_000, 50)):
            for _ in range(count // 50):
                volley = [
                    publish(walk.topic(topics), bytes(size), qos=1, retain=True, mid=mid)
                    for mid in range(1, 51)
                ]
                wire.send(volley)
                yield len(volley)
            wire.settle()


def wills(walk: Walk) -> Iterator[int]:
    """Die, and leave last wills behind that say what the role may not: at once, and in a year."""
    for delay in (0, 1, FOR_EVER):
        for topic in MUST_NOT:
            will = Will(topic.replace("{n}", str(walk.next())), b"offline", delay=delay)
            name = walk.left() if delay == FOR_EVER else None
            with walk.wire(name, will=will, expiry=FOR_EVER if delay else 0) as wire:
                wire.send([DISCONNECT_WITH_WILL])
            yield 2


def sessions(walk: Walk) -> Iterator[int]:
    """Leave sessions behind that never end, on everything, at QoS 1 and 2."""
    for number in range(24):
        with walk.wire(walk.left(), clean=False, expiry=FOR_EVER, receive_maximum=65_535) as wire:
            wire.send([subscribe("camper/#", "$share/walk/camper/#", "#", qos=1 + number % 2)])
            wire.settle()
            wire.send([DISCONNECT] if number % 3 else [])
        yield 3


def ids(walk: Walk) -> Iterator[int]:
    """Connect as every process is called, and as none may be."""
    odd = ("", "x" * 65_000, "a/+/#", "\u00e9\u4e2d", " ", "camper", "camper-cli", "%u", "$SYS", "\n")
    guesses = [f"camper-{name}{tail}" for name in PROCESSES for tail in ("", "-", "-0", "-" + "0" * 32)]
    for client_id in (*odd, *guesses, *PROCESSES):
        with walk.wire(client_id, clean=walk.dice.random() < 0.5) as wire:
            wire.send([DISCONNECT])
        yield 2


def subscriptions(walk: Walk) -> Iterator[int]:
    """Subscribe and unsubscribe without pause: shared, deep, overlapping."""
    filters = ["#", "+/#", "$SYS/#", "$share/g/camper/set/+/+", "$share/g/camper/request/+/+", "$share/x/#"]
    filters += ["+/" * 100 + "+", "camper/" + "x/" * 150 + "#", "$share//x", "camper/#/x", "$share/+/x", ""]
    for one in filters:
        with walk.wire() as wire:
            pairs = [(subscribe(one, mid=mid), unsubscribe(one, mid=mid)) for mid in range(1, 51)]
            wire.send(p for pair in pairs for p in pair)
            wire.settle()
        yield 100


def responses(walk: Walk) -> Iterator[int]:
    """Let services answer where nobody may: to others, below wildcards, as commands."""
    for topic in RESPONSES:
        for asked in ASKED[:2]:
            with walk.wire() as wire:
                named = topic.replace("{n}", str(walk.next()))
                body = json.dumps({"reply_to": named}).encode() if len(named) < 1000 else b"{}"
                wire.send([publish(asked, b"{}", qos=1, response=named), publish(asked, body, qos=1, mid=2)])
                wire.settle()
            yield 2


def aliases(walk: Walk) -> Iterator[int]:
    """Topic aliases: none that there is, one that changes, one for what the role may not."""
    for first, second in ((0, 0), (1, 1), (10, 10), (65_535, 1), (1, 2)):
        with walk.wire() as wire:
            wire.send([publish(walk.topic(MAY[walk.role]), b"{}", alias=first)])
            wire.send([publish(walk.topic(MUST_NOT), b"{}", alias=second), publish("", b"{}", alias=second)])
            wire.settle()
        yield 3


def half_sent(walk: Walk) -> Iterator[int]:
    """QoS 2 that is never finished, in sessions that stay."""
    for _ in range(8):
        with walk.wire(walk.left(), clean=False, expiry=FOR_EVER) as wire:
            topic = MAY[walk.role][0]
            wire.send(publish(topic, bytes(30_000), qos=2, mid=mid) for mid in range(1, 41))
        yield 40


def deaf(walk: Walk) -> Iterator[int]:
    """Listen to everything, and read nothing."""
    for qos in (0, 1, 2, 0):
        wire = walk.wire(hold=True, deaf=True, receive_maximum=65_535)
        wire.send([subscribe("#", qos=qos)])
        yield 2


def crowd(walk: Walk) -> Iterator[int]:
    """Many connections that do nothing, and some that come and go."""
    for _ in range(100):
        walk.wire(hold=True)
        yield 1
    for _ in range(100):
        with walk.wire():
            yield 1


def nonsense(walk: Walk) -> Iterator[int]:
    """What is no MQTT: cut off, of the wrong version, with reserved flags, twice connected."""
    first = connect("walker-nonsense", walk.login)
    bodies = [
        b"\x00" * 50,
        b"\xff" * 50,
        b"GET / HTTP/1.1\r\n\r\n",
        first[:9],
        first + first,
        b"\x10\xff\xff\xff\xff",
    ]
    bodies += [first + bytes([kind << 4 | 0x0F, 0]) for kind in range(16)]
    bodies += [first + packet(0x82, b"\0\1\0" + text("\xff\xfe") + b"\7"), first + packet(0x32, b"\0\1")]
    bodies += [first + packet(0x30, struct.pack("!H", 9999) + walk.dice.randbytes(40)) for _ in range(20)]
    for body in bodies:
        # Some of it is the beginning of a packet, to which nobody answers.
        with Wire(walk.port, body + b"\xe0\x00", patience=0.1) as wire:
            yield 1 if wire.reason is None else 2


STEPS: tuple[Step, ...] = (
    *(flood, retained, wills, sessions, ids, subscriptions, responses, aliases, half_sent),
    *(large, deaf, crowd, nonsense),
)


def go(walk: Walk, messages: int, seconds: float) -> Iterator[Counter[str]]:
    """Walk until so many packets are sent or the time is over; tell after each round what each step sent."""
    sent = Counter[str]()
    end = time.monotonic() + seconds
    steps = list(STEPS)
    while sent.total() < messages and time.monotonic() < end:
        walk.dice.shuffle(steps)
        for step in steps:
            _take(walk, step, sent, end)
        # Floods are most of it, once all else was tried.
        while sent.total() < messages and time.monotonic() < end and walk.dice.random() < _FLOODS:
            _take(walk, flood, sent, end)
        walk.held.close()
        yield sent


def _take(walk: Walk, step: Step, sent: Counter[str], end: float) -> None:
    try:
        for count in step(walk):
            sent[step.__name__] += count
            if time.monotonic() >= end:
                return
    except OSError:
        # There is no broker now, or it has had enough of us.
        sent["refused"] += 1
        time.sleep(_PAUSE_S)


def _tell(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Walk as the command line says, with the password from standard input."""
    port, role, user, messages, seconds, seed = sys.argv[1:]
    login = (user, sys.stdin.readline().strip())
    walk = Walk(int(port), role, login, random.Random(int(seed)))  # noqa: S311 — the same walk for the same number
    for sent in go(walk, int(messages), float(seconds)):
        _tell(sent)
    return 0


if __name__ == "__main__":
    sys.exit(main())
