"""Settings of a device as commands: an Epever Tracer on a real line, from the topic to its registers."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bus.about import About, decode
from bus.home_assistant import discovery_payload
from bus.topics import Topics
from collector.device import Owned
from collector.devices.lines import Line
from collector.scan import Refusing
from collector.transports.modbus_rtu import ModbusRtu
from config.model import Device
from tests.clock import FakeTime
from tests.collector.clients import LineHouse
from tests.collector.rig import Rig
from tests.emulators.epever import BATTERY_TYPE, LOAD_MODE, VOLTAGES, Tracer
from tests.emulators.modbus_rtu import Slave

EVERY, PACE = 20.0, 60.0
TOPICS = Topics()
# fatyogi/epever-upower-tracer, issue 3: what the registers from 0x9003 on are written with, in one request.
PUBLISHED = [1600, 1500, 1500, 1460, 1440, 1380, 1320, 1260, 1220, 1200, 1110, 1060]


@pytest.fixture
def bus() -> Iterator[Slave]:
    tracer = Tracer.simulated()
    tracer.holding |= {BATTERY_TYPE: 0, **dict(zip(VOLTAGES, PUBLISHED, strict=True))}
    with Slave({1: tracer}) as slave:
        yield slave


def tracer(bus: Slave) -> Tracer:
    found = bus.units[1]
    assert isinstance(found, Tracer)
    return found


def device(bus: Slave) -> Device:
    return Device(kind="epever_tracer", port=bus.port, every=EVERY, allow_write=True)


def lines(bus: Slave, time: FakeTime) -> Callable[[Owned], tuple[str, Callable[[], Line]]]:
    return lambda _device: (
        bus.port,
        lambda: ModbusRtu(bus.port, 115_200, timeout=0.3, monotonic=time.clock.monotonic),
    )


@pytest.fixture
def rig(bus: Slave, tmp_path: Path, time: FakeTime) -> Iterator[Rig]:
    made = Rig(tmp_path, time, {"epever": device(bus)}, "serial", lines(bus, time))
    made.run(1)
    yield made
    made.close()


def answer(rig: Rig, entity: str, payload: str) -> dict[str, object]:
    before = len(rig.results("epever", entity))
    rig.set("epever", entity, payload)
    (result,) = rig.results("epever", entity)[before:]
    return result


def volts(bus: Slave) -> list[int]:
    return [bus.units[1].holding[one] for one in VOLTAGES]


def test_the_published_voltages_are_told_and_one_is_changed_in_one_request_of_twelve(
    bus: Slave, rig: Rig
) -> None:
    said = rig.said("epever")[-1]
    assert (said["high_voltage_disconnect"], said["boost_voltage"], said["discharging_limit_voltage"]) == (
        *(16.0, 14.4),
        10.6,
    )
    before = len(rig.bus.published)
    result = answer(rig, "boost_voltage", '{"value": 14.2, "id": "winter"}')
    assert (result["status"], result["actual"], result["id"]) == ("ok", 14.2, "winter")
    assert volts(bus) == [1420 if one == 1440 else one for one in PUBLISHED]
    writes = [(one.function, one.address, one.count) for one in bus.requests if one.function in (5, 6, 16)]
    assert writes == [(16, 0x9003, 12)]
    assert rig.said("epever")[-1]["boost_voltage"] == 14.2
    topics = [one.topic for one in rig.bus.published[before:]]
    assert topics.index(TOPICS.state("epever")) < topics.index(TOPICS.result("epever", "boost_voltage"))


def test_it_stays_on_the_wire_although_settings_are_read_hourly(rig: Rig) -> None:
    rig.set("epever", "boost_voltage", "14.2")
    rig.run(3 * EVERY)
    assert rig.said("epever")[-1].get("boost_voltage", 14.2) == 14.2
    assert [one["boost_voltage"] for one in rig.said("epever") if "boost_voltage" in one][-1] == 14.2


def test_about_tells_range_and_step_for_the_battery_that_it_has(rig: Rig, bus: Slave) -> None:
    entity = rig.about("epever")["boost_voltage"]
    assert (entity["command"], entity["range"], entity["step"], entity["unit"]) == (True, [9, 17], 0.01, "V")
    bus.units[1].input[0x311D] = 2400
    rig.run(3600 + EVERY, step=10)
    assert rig.about("epever")["boost_voltage"]["range"] == [18, 34]
    assert "command" not in rig.about("epever")["voltage"]


def test_home_assistant_gets_numbers_and_selects_of_the_configuration(rig: Rig) -> None:
    about = decode(rig.bus.on(TOPICS.about("epever"))[-1])
    found = components(about)
    number = found["boost_voltage"]
    wanted = {"platform": "number", "min": 9, "max": 17, "step": 0.01, "unit_of_measurement": "V"}
    assert number.items() >= (wanted | {"entity_category": "config", "device_class": "voltage"}).items()
    assert number["command_topic"] == "camper/set/epever/boost_voltage"
    assert (found["load_mode"]["platform"], found["load_mode"]["entity_category"]) == ("select", "config")
    assert "lithium_iron_phosphate" in str(found["battery_type"]["options"])


def components(about: About) -> dict[str, dict[str, object]]:
    """What Home Assistant is told of each entity."""
    made = discovery_payload(TOPICS, "epever", about, service="collector_serial", version="1.2", gone={})
    found: dict[str, dict[str, object]] = json.loads(made)["components"]
    return found


def test_without_leave_settings_are_read_and_not_written(bus: Slave, tmp_path: Path, time: FakeTime) -> None:
    closed = Rig(
        tmp_path, time, {"epever": replace(device(bus), allow_write=False)}, "serial", lines(bus, time)
    )
    closed.run(1)
    entity = closed.about("epever")["boost_voltage"]
    assert entity.keys().isdisjoint({"command", "range", "step"})
    assert closed.said("epever")[-1]["boost_voltage"] == 14.4
    bus.requests.clear()
    result = answer(closed, "boost_voltage", "14.2")
    assert (result["code"], bus.requests, result["actual"]) == ("denied", [], 14.4)
    assert "allow_write = true of epever" in str(result["message"])
    assert answer(closed, "load", "OFF")["status"] == "ok", "the load is an output, and no setting"
    closed.close()


@pytest.mark.parametrize(
    ("entity", "payload", "told"),
    [
        ("boost_voltage", "8.99", "9 to 17"),
        ("boost_voltage", "17.01", "9 to 17"),
        ("boost_voltage", "14.205", "0.01"),
        ("boost_voltage", "ON", "9 to 17"),
        ("boost_voltage", "nan", "9 to 17"),
        ("boost_voltage", "1e999", "9 to 17"),
        ("boost_voltage", '{"value": 14.2, "for": 60}', "it goes with ON"),
        ("boost_voltage", "TOGGLE", "9 to 17"),
        ("battery_type", "lead", "user, sealed, gel, flooded"),
        ("battery_type", "1", "user, sealed, gel, flooded"),
    ],
)
def test_what_about_does_not_offer_is_invalid_without_a_question(
    bus: Slave, rig: Rig, entity: str, payload: str, told: str
) -> None:
    bus.requests.clear()
    result = answer(rig, entity, payload)
    assert (result["status"], result["code"], bus.requests) == ("error", "invalid", [])
    assert told in str(result["message"])


def test_a_setting_is_written_once_in_its_time_and_others_meanwhile(rig: Rig, bus: Slave) -> None:
    assert answer(rig, "boost_voltage", "14.2")["status"] == "ok"
    rig.run(PACE - 10)
    result = answer(rig, "boost_voltage", "14.3")
    assert result["code"] == "limit"
    assert "once in 60 s" in str(result["message"])
    assert answer(rig, "float_voltage", "13.7")["status"] == "ok"
    assert bus.units[1].holding[0x9007] == 1420
    rig.run(11)
    assert answer(rig, "boost_voltage", "14.3")["status"] == "ok"
    assert bus.units[1].holding[0x9007] == 1430


@pytest.mark.parametrize(
    ("entity", "payload", "told"),
    [
        ("boost_voltage", "14.7", "Equalization voltage (14.6) must be at least Boost voltage (14.7)"),
        ("boost_voltage", "13.7", "Boost voltage (13.7) must be at least Float voltage (13.8)"),
        ("low_voltage_disconnect", "12.6", "must be above Low voltage disconnect (12.6)"),
        ("battery_type", "lithium_iron_phosphate", "4 settings of that name"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_to_change_and_may_come_again(
    bus: Slave, rig: Rig, entity: str, payload: str, told: str
) -> None:
    was = dict(bus.units[1].holding)
    for _ in range(2):
        result = answer(rig, entity, f'{{"value": "{payload}", "id": "again"}}')
        assert (result["code"], bus.units[1].holding) == ("limit", was)
        assert told in str(result["message"]), "a refusal uses up neither the id nor the time"
    assert result["actual"] == rig.said("epever")[0][entity]


def test_voltages_are_for_the_battery_type_user(bus: Slave, rig: Rig) -> None:
    bus.units[1].holding[BATTERY_TYPE] = 1
    result = answer(rig, "boost_voltage", "14.2")
    assert result["code"] == "hardware"
    assert "obeys commands only in battery type user, and it is in sealed" in str(result["message"])
    assert answer(rig, "battery_type", "user")["actual"] == "user"
    assert answer(rig, "boost_voltage", "14.2")["actual"] == 14.2, "the refused one did not use up its time"


def test_another_value_than_the_wanted_one_is_told_answered_and_published(bus: Slave, rig: Rig) -> None:
    tracer(bus).own_mind = {0x9007: 1410}
    result = answer(rig, "boost_voltage", "14.2")
    assert (result["status"], result["code"], result["actual"]) == ("error", "hardware", 14.1)
    assert "the boost voltage is 14.1 V after 14.2 V was written" in str(result["message"])
    assert rig.said("epever")[-1]["boost_voltage"] == 14.1
    assert answer(rig, "boost_voltage", "14.2")["code"] == "limit", "its memory was written"


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        # The battery type, the voltages, the system voltage; the write; what is read back.
        (["", "", "", "silent"], ("ok", None)),
        (["", "", "", "crc"], ("ok", None)),
        (["", "", "", "deaf"], ("ok", None)),
        (["", "", "", "failure"], ("error", "it failed at it")),
        (["", "", "", "illegal_function"], ("error", "it does not know this function")),
        (["", "", "", "", "silent"], ("error", "does not answer")),
        (["", "silent"], ("error", "does not answer")),
        (["", "", "", "hangup"], ("error", "was lost")),
    ],
)
def test_a_line_that_fails_at_any_step_gives_an_answer_that_is_true(
    bus: Slave, rig: Rig, faults: list[str], said: tuple[str, str | None]
) -> None:
    bus.faults += faults
    result = answer(rig, "boost_voltage", "14.2")
    assert result["status"] == said[0]
    assert said[1] is None or said[1] in str(result["message"])
    if said[0] == "ok":
        assert (result["actual"], bus.units[1].holding[0x9007]) == (14.2, 1420)
    else:
        assert result["actual"] is None, "nobody knows"


def test_what_is_so_already_is_answered_without_a_write(bus: Slave, rig: Rig) -> None:
    bus.requests.clear()
    assert answer(rig, "boost_voltage", "14.4")["actual"] == 14.4
    assert [one for one in bus.requests if one.function == 16] == []


def test_a_mode_is_chosen_by_its_word_and_the_load_follows(bus: Slave, rig: Rig) -> None:
    assert answer(rig, "load_mode", "Light")["actual"] == "light"
    assert bus.units[1].holding[LOAD_MODE] == 1
    assert answer(rig, "load", "OFF")["code"] == "hardware"
    assert answer(rig, "boost_duration", "7200")["actual"] == 7200
    assert bus.units[1].holding[0x906C] == 120


def test_leave_to_write_is_given_and_taken_while_it_runs(bus: Slave, tmp_path: Path, time: FakeTime) -> None:
    house = LineHouse(
        tmp_path, time, {}, "serial", lines=lines(bus, time), scan=lambda *_: Refusing("none here")
    )
    house.data("device_add", device="epever", kind="epever_tracer", port=bus.port, every=EVERY)
    house.rig.run(1)
    commands = [house.rig.about("epever")["boost_voltage"].get("command")]
    refused = answer(house.rig, "boost_voltage", "14.2")
    for allowed in (True, False):
        house.data("device_update", device="epever", allow_write=allowed)
        house.rig.run(EVERY)
        commands.append(house.rig.about("epever")["boost_voltage"].get("command"))
        house.rig.set("epever", "boost_voltage", "14.2" if allowed else "14.0")
    assert commands == [None, True, None]
    codes = [one["code"] for one in house.rig.results("epever", "boost_voltage")]
    assert (refused["code"], codes) == ("denied", ["denied", None, "denied"])
    assert bus.units[1].holding[0x9007] == 1420
    house.rig.close()
