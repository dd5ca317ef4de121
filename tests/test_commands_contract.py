"""One contract for every output: relays of the controller and switches of polled devices answer alike."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bus.about import Entity
from bus.commands import Switch
from bus.events import Message
from bus.topics import Topics
from collector import devices as kinds
from collector.device import Owned
from collector.devices.description import Decoded, NoAnswerError, PolledKind, Row, Values, Wire
from collector.devices.lines import Line
from config.model import Device, Relay
from tests.clock import FakeTime
from tests.collector.rig import Rig as CollectorRig
from tests.controller.gpio import plug_in
from tests.controller.rig import PUMP
from tests.controller.rig import Rig as ControllerRig


@dataclass(frozen=True, slots=True)
class Side:
    """One output that takes commands; `state` is what it really is."""

    rig: ControllerRig | CollectorRig
    device: str
    state: Callable[[], str]
    break_: Callable[[], None]

    def send(self, entity: str, payload: bytes, *, retain: bool = False) -> None:
        """A message arrives."""
        if isinstance(self.rig, ControllerRig):
            self.rig.receive(Topics().set(self.device, entity), payload, retain=retain)
        else:
            self.rig.set(self.device, entity, payload, retain=retain)

    def answers(self, entity: str) -> list[dict[str, object]]:
        """All answers so far."""
        return [json.loads(payload) for payload in self.rig.bus.on(Topics().result(self.device, entity))]

    def pass_(self, seconds: float) -> None:
        """Time passes."""
        self.rig.pass_(seconds)


class ScriptedLine:
    """The line of a device with one switch."""

    on = False
    broken: NoAnswerError | None = None

    def open(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def break_(self) -> None:
        """The device answers no more."""
        self.broken = NoAnswerError("no answer")


class Toy:
    """A polled device with one switch, `pump`."""

    rows = {"pump": Row(entity=Entity(name="Pump", command=True, boolean=True))}  # noqa: RUF012 — never changed

    def poll(self, line: Line, _now: float) -> Decoded:
        """Read the switch."""
        assert isinstance(line, ScriptedLine)
        return Decoded({"pump": "ON" if line.on else "OFF"})

    def switch(self, line: Line, entity: str, wanted: Switch) -> Values:
        """Obey and read back."""
        assert isinstance(line, ScriptedLine)
        if line.broken:
            raise line.broken
        line.on = not line.on if wanted is Switch.TOGGLE else wanted is Switch.ON
        return {entity: "ON" if line.on else "OFF"}


@pytest.fixture
def relay(tmp_path: Path, time: FakeTime, monkeypatch: pytest.MonkeyPatch) -> Side:
    gpio, folder = plug_in(monkeypatch), tmp_path / "relay"
    folder.mkdir()
    rig = ControllerRig(folder, time, gpio, pump=Relay(pin=PUMP))
    return Side(
        rig,
        "relay",
        state=lambda: "ON" if gpio.level(PUMP) else "OFF",
        break_=lambda: gpio.broken.add(PUMP),
    )


@pytest.fixture
def device(tmp_path: Path, time: FakeTime, monkeypatch: pytest.MonkeyPatch) -> Iterator[Side]:
    kind = PolledKind(
        wire=Wire.MODBUS,
        name="toy",
        title="A toy",
        manufacturer="Nobody",
        rows=Toy.rows,
        source="this file",
        takes=("port",),
        every=10.0,
        make=lambda _device: Toy(),
    )
    monkeypatch.setattr(kinds, "KINDS", {"toy": kind})
    monkeypatch.setattr(kinds, "_WIRES", {"toy": kinds.MODBUS})
    wire = ScriptedLine()

    def line_of(_device: Owned) -> tuple[str, Callable[[], Line]]:
        return "wire", lambda: wire

    rig = CollectorRig(tmp_path, time, {"toy": Device(kind="toy", port="wire")}, "serial", line_of)
    rig.run(1)
    yield Side(rig, "toy", state=lambda: "ON" if wire.on else "OFF", break_=wire.break_)
    rig.close()


@pytest.fixture(params=["relay", "device"])
def side(request: pytest.FixtureRequest) -> Side:
    found: Side = request.getfixturevalue(request.param)
    return found


LATE, SOON = "2026-11-21T11:59:00Z", "2026-11-21T12:01:00Z"
# Payload, code, and how the output stands afterwards (it is OFF before).
COMMANDS: tuple[tuple[bytes, str | None, str], ...] = (
    *((word, None, "ON") for word in (b"ON", b"on", b"1", b"true", b"TRUE", b" On\n", b"TOGGLE", b"toggle")),
    *((word, None, "OFF") for word in (b"OFF", b"off", b"0", b"false", b"False")),
    (b'{"value":"ON"}', None, "ON"),
    (b'{"value":true}', None, "ON"),
    (b'{"value":1}', None, "ON"),
    (b'{"value":0.0}', None, "OFF"),
    (b'{"value":"toggle"}', None, "ON"),
    (b'{"value":"ON","for":30,"id":"a"}', None, "ON"),
    (b'{"value":"TOGGLE","for":30}', None, "ON"),
    (b'{"value":"OFF","for":30}', "invalid", "OFF"),
    (b'{"value":"ON","for":0}', "invalid", "OFF"),
    (b'{"value":"ON","for":-1}', "invalid", "OFF"),
    (b'{"value":"ON","for":"30"}', "invalid", "OFF"),
    (b'{"value":"ON","id":["a"]}', "invalid", "OFF"),
    (b'{"value":"ON","id":true}', "invalid", "OFF"),
    (b'{"value":"ON","until":5}', "invalid", "OFF"),
    (b'{"value":"ON","not_after":"soon"}', "invalid", "OFF"),
    (b'{"value":"ON","not_after":"2026-11-21T12:01:00"}', "invalid", "OFF"),
    (f'{{"value":"ON","not_after":"{LATE}"}}'.encode(), "expired", "OFF"),
    (f'{{"value":"ON","not_after":"{SOON}"}}'.encode(), None, "ON"),
    (b'{"value":null}', "invalid", "OFF"),
    (b'{"value":2}', "invalid", "OFF"),
    (b"2", "invalid", "OFF"),
    (b"open", "invalid", "OFF"),
    (b"{", "invalid", "OFF"),
    (b"{}", "invalid", "OFF"),
    (b"[1]", "invalid", "OFF"),
    (b"\xff", "invalid", "OFF"),
    (b"ON" + b" " * 2000, "invalid", "OFF"),
)


@pytest.mark.parametrize(("payload", "code", "after"), COMMANDS)
def test_every_payload_has_the_same_answer_everywhere(
    side: Side, payload: bytes, code: str | None, after: str
) -> None:
    side.send("pump", payload)
    (answer,) = side.answers("pump")
    assert (answer["code"], answer["status"]) == (code, "ok" if code is None else "error")
    assert side.state() == after
    assert code is not None or answer["actual"] == after


@pytest.mark.parametrize(("payload", "code", "after"), COMMANDS)
def test_both_say_the_same_word_for_word(
    relay: Side, device: Side, payload: bytes, code: str | None, after: str
) -> None:
    answers = []
    for side in (relay, device):
        side.send("pump", payload)
        (answer,) = side.answers("pump")
        answers.append({key: value for key, value in answer.items() if key not in ("ts", "until")})
        assert (answer["code"], side.state()) == (code, after)
        assert answer.keys() == {"id", "status", "code", "message", "value", "actual", "until", "ts"}
    assert answers[0] == answers[1]


def test_a_retained_command_is_refused(side: Side) -> None:
    side.send("pump", b'{"value":"ON","id":"a"}', retain=True)
    (answer,) = side.answers("pump")
    assert (answer["code"], answer["id"], side.state()) == ("retained", "a", "OFF")


def test_an_emptied_topic_is_no_command(side: Side) -> None:
    side.send("pump", b"", retain=True)
    assert side.answers("pump") == []


def test_an_empty_command_is_refused(side: Side) -> None:
    side.send("pump", b"")
    (answer,) = side.answers("pump")
    assert (answer["code"], side.state()) == ("invalid", "OFF")


def test_there_is_no_such_output(side: Side) -> None:
    side.send("pmup", b"ON")
    (answer,) = side.answers("pmup")
    assert answer["code"] == "not_found"


@pytest.mark.parametrize("word", ["ON", "TOGGLE"])
def test_the_same_id_moves_once_and_is_answered_again(side: Side, word: str) -> None:
    payload = json.dumps({"value": word, "id": "tap"}).encode()
    for _ in range(3):
        side.send("pump", payload)
    first, *others = side.answers("pump")
    assert others == [first, first]
    assert side.state() == "ON"


def test_a_refused_id_may_be_tried_again(side: Side) -> None:
    side.send("pump", b'{"value":"ON","for":0,"id":"a"}')
    side.send("pump", b'{"value":"ON","for":9,"id":"a"}')
    assert [answer["code"] for answer in side.answers("pump")] == ["invalid", None]


@pytest.mark.parametrize("word", ["ON", "TOGGLE"])
def test_for_turns_off_by_itself_and_until_says_when(side: Side, word: str) -> None:
    side.send("pump", json.dumps({"value": word, "for": 30}).encode())
    (answer,) = side.answers("pump")
    assert str(answer["until"]).startswith("2026-11-21T12:00:3")
    side.pass_(29)
    assert side.state() == "ON"
    side.pass_(1.5)
    assert side.state() == "OFF"


def test_a_newer_on_or_off_ends_the_timer(side: Side) -> None:
    side.send("pump", b'{"value":"ON","for":30}')
    side.send("pump", b"ON")
    assert side.answers("pump")[-1]["until"] is None
    side.pass_(31)
    assert side.state() == "ON"


def test_an_output_that_cannot_be_reached_is_hardware(side: Side) -> None:
    side.break_()
    side.send("pump", b'{"value":"ON","id":"a"}')
    (answer,) = side.answers("pump")
    assert (answer["code"], answer["id"], side.state()) == ("hardware", "a", "OFF")


def test_the_same_id_delivered_again_before_the_device_has_obeyed_moves_once(device: Side) -> None:
    assert isinstance(device.rig, CollectorRig)
    rig, payload = device.rig, b'{"value":"TOGGLE","id":"tap"}'
    for _ in range(3):
        rig.service.handle(
            Message(Topics().set("toy", "pump"), payload, 1, retain=False, mid=1, generation=1)
        )
    rig.pass_(0.1)
    (answer,) = device.answers("pump")
    assert (answer["actual"], device.state()) == ("ON", "ON")
