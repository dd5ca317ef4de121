"""Commands for a polled device, from the topic to its coil and back: state first, then the answer."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bus.events import Message
from bus.messages import to_iso
from bus.topics import Topics
from collector.device import Owned
from collector.devices.lines import Line
from collector.transports.modbus_rtu import ModbusRtu
from config.model import Device
from tests.clock import FakeTime
from tests.collector.rig import Rig
from tests.emulators.epever import LOAD_COIL, LOAD_MODE, Tracer
from tests.emulators.modbus_rtu import Slave

EVERY = 20.0
STATE, RESULT = Topics().state("epever"), Topics().result("epever", "load")


@pytest.fixture
def bus() -> Iterator[Slave]:
    with Slave({1: Tracer.simulated()}) as slave:
        yield slave


@pytest.fixture
def rig(bus: Slave, tmp_path: Path, time: FakeTime) -> Iterator[Rig]:
    def lines(_device: Owned) -> tuple[str, Callable[[], Line]]:
        return bus.port, lambda: ModbusRtu(bus.port, 115_200, timeout=0.3, monotonic=time.clock.monotonic)

    device = Device(kind="epever_tracer", port=bus.port, every=EVERY)
    made = Rig(tmp_path, time, {"epever": device}, "serial", lines)
    made.run(1)
    assert made.said("epever")[-1]["load"] == "ON"
    yield made
    made.close()


def coil(bus: Slave) -> int:
    return bus.units[1].coils[LOAD_COIL]


@pytest.mark.parametrize(
    ("payload", "actual"),
    [("OFF", "OFF"), ("on", "ON"), ("toggle", "OFF"), ("0", "OFF"), ('{"value": false}', "OFF")],
)
def test_a_command_is_obeyed_read_back_and_answered_after_the_state(
    bus: Slave, rig: Rig, payload: str, actual: str
) -> None:
    before = len(rig.bus.published)
    rig.set("epever", "load", payload)
    (result,) = rig.results("epever", "load")
    assert (result["status"], result["code"], result["actual"]) == ("ok", None, actual)
    assert coil(bus) == (actual == "ON")
    topics = [one.topic for one in rig.bus.published[before:]]
    assert topics.index(STATE) < topics.index(RESULT)
    assert rig.said("epever")[-1]["load"] == actual


def test_the_id_comes_back_and_is_obeyed_once(bus: Slave, rig: Rig) -> None:
    rig.set("epever", "load", '{"value": "TOGGLE", "id": "tap-1"}')
    rig.set("epever", "load", '{"value": "TOGGLE", "id": "tap-1"}')
    first, again = rig.results("epever", "load")
    assert first == again
    assert first["id"] == "tap-1"
    assert coil(bus) == 0


@pytest.mark.parametrize(
    ("entity", "payload", "refusal"),
    [
        ("load", "up", ("invalid", "allowed are ON, OFF, TOGGLE")),
        ("load", "{", ("invalid", "not JSON")),
        ("load", '{"value": "OFF", "for": 5}', ("invalid", "it goes with ON")),
        ("load", '{"value": "OFF", "not_after": "2026-11-21T11:59:00Z"}', ("expired", "s ago")),
        ("pump", "ON", ("not_found", "has no entity pump that takes commands: load")),
        ("voltage", "ON", ("not_found", "has no entity voltage that takes commands: load")),
    ],
)
def test_a_command_that_cannot_be_is_refused_without_a_question(
    bus: Slave, rig: Rig, entity: str, payload: str, refusal: tuple[str, str]
) -> None:
    bus.requests.clear()
    rig.set("epever", entity, payload)
    (result,) = rig.results("epever", entity)
    assert (result["status"], result["code"]) == ("error", refusal[0])
    assert refusal[1] in str(result["message"])
    assert bus.requests == []


def test_a_retained_command_is_refused(bus: Slave, rig: Rig) -> None:
    rig.set("epever", "load", "OFF", retain=True)
    assert rig.results("epever", "load")[0]["code"] == "retained"
    assert coil(bus) == 1


def test_a_command_for_another_process_is_not_answered(rig: Rig) -> None:
    rig.set("relay", "pump", "ON")
    assert rig.results("relay", "pump") == []


def test_an_entity_that_was_switched_off_takes_no_command(bus: Slave, tmp_path: Path, time: FakeTime) -> None:
    device = Device(kind="epever_tracer", port=bus.port, disabled=("load",))
    rig = Rig(tmp_path, time, {"epever": device}, "serial")
    rig.set("epever", "load", "OFF")
    assert rig.results("epever", "load")[0]["code"] == "not_found"
    assert coil(bus) == 1
    rig.close()


@pytest.mark.parametrize(
    ("faults", "text"),
    [
        (["deaf", "", "deaf"], "does not answer"),
        (["illegal"], "refuses"),
        (["hangup"], "was lost"),
        (["deaf", "crc"], "damaged"),
    ],
)
def test_a_device_that_does_not_obey_is_a_hardware_error(
    bus: Slave, rig: Rig, faults: list[str], text: str
) -> None:
    before = len(rig.said("epever"))
    # The mode is read first, then the coil is written, read back, and written again.
    bus.faults += ["", *faults]
    rig.set("epever", "load", "OFF")
    (result,) = rig.results("epever", "load")
    assert (result["status"], result["code"], result["actual"]) == ("error", "hardware", None)
    assert text in str(result["message"])
    assert len(rig.said("epever")) == before, "nothing is known that was not before"


def test_a_load_mode_that_decides_for_itself_is_named(bus: Slave, rig: Rig) -> None:
    bus.units[1].holding[LOAD_MODE] = 1
    rig.set("epever", "load", "OFF")
    (result,) = rig.results("epever", "load")
    assert result["code"] == "hardware"
    assert "only in load mode manual" in str(result["message"])


def test_for_turns_it_off_when_its_time_is_up(bus: Slave, rig: Rig, time: FakeTime) -> None:
    rig.set("epever", "load", '{"value": "ON", "for": 7, "id": "light"}')
    (result,) = rig.results("epever", "load")
    assert result["until"] == to_iso(time.wall_ms + 7000)
    rig.run(6.5)
    assert coil(bus) == 1
    rig.run(1)
    assert coil(bus) == 0
    assert rig.said("epever")[-1]["load"] == "OFF"
    assert len(rig.results("epever", "load")) == 1, "nobody asked for an answer to our own timer"


@pytest.mark.parametrize("second", ["OFF", '{"value": "ON", "for": 100}', "ON"])
def test_a_later_command_ends_the_earlier_time(bus: Slave, rig: Rig, second: str) -> None:
    rig.set("epever", "load", '{"value": "ON", "for": 5}')
    rig.set("epever", "load", second)
    rig.run(10)
    assert coil(bus) == ("ON" in second)


def test_an_output_whose_time_is_up_is_turned_off_as_soon_as_it_can_be_reached(bus: Slave, rig: Rig) -> None:
    rig.set("epever", "load", '{"value": "ON", "for": 5}')
    bus.always = "silent"
    rig.run(12)
    assert coil(bus) == 1
    bus.always = ""
    rig.run(20)
    assert coil(bus) == 0


def test_a_poll_from_before_the_command_does_not_undo_it_on_the_wire(bus: Slave, rig: Rig) -> None:
    # Nothing moved since the last reading, so this poll waits for the heartbeat, with the load still ON.
    rig.run(EVERY)
    rig.set("epever", "load", "OFF")
    rig.run(3)
    assert coil(bus) == 0
    assert rig.said("epever")[-1]["load"] == "OFF"


def test_the_answer_goes_to_whoever_asked(rig: Rig) -> None:
    rig.set("epever", "load", '{"value": "OFF", "id": "x"}')
    body = json.loads(rig.bus.on(RESULT)[0])
    assert set(body) == {"id", "status", "code", "message", "value", "actual", "until", "ts"}


@pytest.mark.parametrize("down", [0.0, 700.0], ids=["before its time", "after its time"])
def test_a_load_that_is_on_for_a_time_goes_off_although_the_process_died(
    bus: Slave, rig: Rig, tmp_path: Path, time: FakeTime, down: float
) -> None:
    rig.set("epever", "load", "OFF")
    rig.set("epever", "load", '{"value": "ON", "for": 600}')
    rig.close()
    time.pass_(down)

    def lines(_device: Owned) -> tuple[str, Callable[[], Line]]:
        return bus.port, lambda: ModbusRtu(bus.port, 115_200, timeout=0.3, monotonic=time.clock.monotonic)

    device = Device(kind="epever_tracer", port=bus.port, every=EVERY)
    after = Rig(tmp_path, time, {"epever": device}, "serial", lines)
    after.run(1)
    assert coil(bus) == (down == 0.0)
    after.run(600, step=50)
    assert coil(bus) == 0
    after.close()
    again = Rig(tmp_path, time, {"epever": device}, "serial", lines)
    bus.units[1].coils[LOAD_COIL] = 1
    again.run(1)
    again.close()
    assert coil(bus) == 1, "once"


TOGGLE = '{"value": "TOGGLE", "id": "tap"}'


def reborn(bus: Slave, tmp_path: Path, time: FakeTime) -> Rig:
    """The next process, with what the last one left."""

    def lines(_device: Owned) -> tuple[str, Callable[[], Line]]:
        return bus.port, lambda: ModbusRtu(bus.port, 115_200, timeout=0.3, monotonic=time.clock.monotonic)

    return Rig(
        tmp_path, time, {"epever": Device(kind="epever_tracer", port=bus.port, every=EVERY)}, "serial", lines
    )


def test_an_id_that_was_obeyed_before_the_process_died_is_answered_and_not_obeyed(
    bus: Slave, rig: Rig, tmp_path: Path, time: FakeTime
) -> None:
    rig.set("epever", "load", TOGGLE)
    rig.close()
    after = reborn(bus, tmp_path, time)
    after.set("epever", "load", TOGGLE)
    after.close()
    assert after.bus.on(RESULT) == rig.bus.on(RESULT)
    assert coil(bus) == 0


@pytest.mark.parametrize("obeyed", [True, False], ids=["after the device", "before the device"])
@pytest.mark.parametrize("read", [True, False], ids=["read since", "not read since"])
def test_an_id_whose_answer_died_with_the_process_is_never_obeyed_again(
    bus: Slave, rig: Rig, tmp_path: Path, time: FakeTime, *, obeyed: bool, read: bool
) -> None:
    # What the line's worker says of it is never heard.
    topic = Topics().set("epever", "load")
    rig.service.handle(Message(topic, TOGGLE.encode(), qos=1, retain=False, mid=1, generation=1))
    assert rig.results("epever", "load") == []
    rig.close()
    bus.units[1].coils[LOAD_COIL] = not obeyed
    after = reborn(bus, tmp_path, time)
    if read:
        after.run(1)
    after.set("epever", "load", TOGGLE)
    after.set("epever", "load", TOGGLE)
    after.close()
    actual = ("OFF" if obeyed else "ON") if read else None
    answers = [(r["code"], r["id"], r["actual"]) for r in after.results("epever", "load")]
    assert answers == [("internal", "tap", actual)] * 2
    assert coil(bus) == (not obeyed)


@pytest.mark.parametrize(("error", "name"), [(None, None), (KeyError("planted"), "a")])
def test_a_command_that_is_set_aside_is_answered_for_a_device_of_ours_alone(
    bus: Slave, rig: Rig, error: Exception | None, name: str | None
) -> None:
    for device in ("epever", "stranger"):
        topic = f"camper/set/{device}/load"
        message = Message(topic, b'{"value": "OFF", "id": "a"}', 1, retain=False, mid=1, generation=1)
        rig.service.set_aside(message, error)
    (answer,) = rig.results("epever", "load")
    assert (answer["code"], answer["id"]) == ("internal", name)
    assert rig.results("stranger", "load") == []
    assert coil(bus) == 1
