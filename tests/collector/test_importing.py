"""The collector of [[import]] tables: foreign messages in, readings, availability and answers out."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.command_server import Answers
from bus.events import Message, Sent, Subscription
from bus.health import Journal
from bus.outbox import Outbox
from bus.publisher import Publisher
from bus.topics import Topics
from collector.device import Readings
from collector.importing import ImportingSource, owned_imports, subscriptions
from collector.service import Collector, Switching
from config.model import Import, ImportEntity, Settings
from tests.clock import FakeTime
from tests.collector.import_tables import PLUG, THERMO
from tests.fake_bus import FakeBus

SENSOR, STATE, RESULT, LWT = "tele/plug/SENSOR", "tele/plug/STATE", "stat/plug/RESULT", "tele/plug/LWT"
COMMAND = "cmnd/plug/POWER"
SETTINGS = Settings(imports={"plug": PLUG, "outside": THERMO})


class Setup:
    """The service with a plug and a thermometer; the test is their publisher."""

    def __init__(self, folder: Path, time: FakeTime, imports: dict[str, Import]) -> None:
        self.bus, self.time, self.journal = FakeBus(), time, Journal()
        self.emitted: list[object] = []
        topics, clock, journal = Topics(), time.clock, self.journal
        outbox = Outbox(folder / "run", folder / "disk", "collector_mqtt")
        publisher = Publisher(self.bus, topics, outbox, clock, journal)
        publisher.take(topics.service("statistician"), b"online", time.monotonic_s, kept=True)
        readings = Readings(publisher, clock=clock, journal=journal)
        source = ImportingSource(readings, self.bus, emit=self.emitted.append)
        answers = Answers(self.bus, topics, journal, clock=clock)
        self.service = Collector(
            owned_imports(Settings(imports=imports), time.monotonic_s),
            source,
            readings,
            topics=topics,
            switching=Switching(source, readings, answers),
        )

    def hear(self, topic: str, payload: bytes | str | dict[str, object], *, retain: bool = False) -> None:
        """A message from the broker, with all that follows from it."""
        raw = json.dumps(payload) if isinstance(payload, dict) else payload
        raw = raw if isinstance(raw, bytes) else raw.encode()
        self.service.handle(Message(topic, raw, qos=1, retain=retain, mid=1, generation=1))
        self._follow()

    def pass_(self, seconds: float) -> None:
        """Let time pass as the process's loop would."""
        self.service.tick(self.time.pass_(seconds))
        self._follow()

    def _follow(self) -> None:
        while self.emitted:
            self.service.handle(self.emitted.pop(0))

    def said(self, device: str) -> list[dict[str, Any]]:
        """The values of a device's readings, live or remembered, oldest first; each once."""
        sent = [json.loads(payload) for payload in self.bus.on(f"camper/state/{device}")]
        assert not any("late" in one for one in sent)
        again = [json.loads(payload) for payload in self.bus.backlog()]
        sent += [one for one in again if one["device"] == device]
        found = {one["seq"]: one for one in reversed(sent)}
        envelope = ("clock", "stream", "seq", "after", "device")
        return [{k: v for k, v in found[n].items() if k not in envelope} for n in sorted(found)]

    def values(self, device: str) -> list[dict[str, Any]]:
        """The same without their times."""
        return [{k: v for k, v in one.items() if k != "ts"} for one in self.said(device)]

    def answers(self) -> list[tuple[str, str | None, str | None]]:
        """Status, code and `actual` of the answers to commands."""
        found = [json.loads(payload) for payload in self.bus.on("camper/result/plug/switch")]
        return [(one["status"], one["code"], one["actual"]) for one in found]


@pytest.fixture
def setup(tmp_path: Path, time: FakeTime) -> Setup:
    return Setup(tmp_path, time, SETTINGS.imports)


def energy(power: float = 9, total: float = 1.956) -> dict[str, object]:
    return {"Time": "2026-11-21T06:40:10", "ENERGY": {"Power": power, "Total": total}}


def test_every_topic_is_subscribed_once_and_old_states_are_not_asked_for() -> None:
    found = {s.filter: s for s in subscriptions(SETTINGS)}
    assert sorted(found) == [RESULT, LWT, SENSOR, STATE, "zigbee2mqtt/outside"]
    assert found[SENSOR] == Subscription(filter=SENSOR, retained=False, as_published=False)
    assert found[LWT].retained


def test_the_device_is_described_from_the_start(setup: Setup) -> None:
    about = json.loads(setup.bus.on("camper/about/plug")[0])
    assert about["name"] == "Plug"
    assert "manufacturer" not in about
    assert about["entities"]["energy"]["unit"] == "Wh"
    assert about["entities"]["switch"]["command"]


def test_pieces_become_readings_and_no_piece_is_lost_in_the_interval(setup: Setup) -> None:
    setup.hear(STATE, {"POWER": "OFF"})
    setup.hear(SENSOR, energy(9))
    setup.hear(STATE, {"POWER": "ON"})
    assert setup.values("plug") == [{"switch": "OFF"}]
    setup.pass_(1.0)
    assert setup.values("plug")[1:] == [{"power": 9, "energy": 1956, "switch": "ON"}]
    assert setup.bus.on("camper/availability/plug") == [b"online"]


def test_each_piece_is_judged_by_itself(setup: Setup) -> None:
    for _ in range(3):
        setup.hear(SENSOR, energy(9))
        setup.pass_(2.0)
        setup.hear(STATE, {"POWER": "OFF"})
        setup.pass_(2.0)
    assert setup.values("plug") == [{"power": 9, "energy": 1956}, {"switch": "OFF"}]
    setup.pass_(25.0)
    setup.hear(STATE, {"POWER": "OFF"})
    assert setup.values("plug")[2:] == [{"switch": "OFF"}], "a heartbeat"
    setup.pass_(2.0)
    setup.hear(SENSOR, energy(9.4))
    assert setup.values("plug")[3:] == [{"power": 9.4, "energy": 1956}]
    setup.pass_(2.0)
    setup.hear(SENSOR, energy(9.9))
    setup.pass_(2.0)
    setup.hear(SENSOR, energy(10.5))
    assert setup.values("plug")[4:] == [{"power": 10.5, "energy": 1956}], "9.9 is less than a watt away"


def test_a_missing_path_leaves_the_entity_null_makes_it_unknown(setup: Setup) -> None:
    setup.hear(SENSOR, {"ENERGY": {"Power": 5}})
    setup.pass_(2.0)
    setup.hear(SENSOR, {"ENERGY": {"Power": None, "Total": 1}})
    assert setup.values("plug") == [{"power": 5}, {"power": None, "energy": 1000}]


def test_a_path_that_was_never_there_is_told_until_it_is(setup: Setup) -> None:
    setup.hear(SENSOR, {"ENERGY": {"power": 5}})
    assert setup.journal.problems["entity.plug.power"] == f"{SENSOR} has nothing at ENERGY.Power"
    setup.hear(SENSOR, energy())
    assert "entity.plug.power" not in setup.journal.problems
    setup.hear(SENSOR, {"ENERGY": {}})
    assert "entity.plug.power" not in setup.journal.problems, "it may be left out now and then"


@pytest.mark.parametrize("payload", [b"no json", b"\xff", b"[" * 60_000, b'{"ENERGY": {"Power": 1e999}}'])
def test_garbage_is_counted_and_changes_nothing(setup: Setup, payload: bytes) -> None:
    setup.hear(SENSOR, energy())
    setup.pass_(2.0)
    setup.hear(SENSOR, payload)
    setup.pass_(2.0)
    assert len(setup.said("plug")) == 1
    assert setup.journal.counters["refused_payloads.plug"] == 1


def test_a_wrong_type_is_counted_and_the_rest_of_the_message_counts(setup: Setup) -> None:
    setup.hear(SENSOR, {"ENERGY": {"Power": "lots", "Total": 2}})
    assert setup.values("plug") == [{"energy": 2000}]
    assert setup.journal.counters["refused_values.plug.power"] == 1


def test_silence_makes_it_offline_and_unknown(setup: Setup) -> None:
    setup.hear(SENSOR, energy())
    setup.pass_(899)
    assert setup.bus.on("camper/availability/plug") == [b"online"]
    setup.pass_(2)
    assert setup.bus.on("camper/availability/plug") == [b"online", b"offline"]
    assert setup.values("plug")[-1] == {"power": None, "energy": None}


def test_its_publisher_says_offline_and_what_is_said_meanwhile_waits_for_online(setup: Setup) -> None:
    setup.hear(SENSOR, energy())
    setup.hear(LWT, "Offline")
    assert setup.bus.on("camper/availability/plug") == [b"online", b"offline"]
    assert setup.values("plug")[-1] == {"power": None, "energy": None}
    assert "offline" in setup.journal.problems["device.plug"]
    setup.hear(SENSOR, energy(7))
    setup.pass_(60.0)
    setup.hear(STATE, {"POWER": "ON"})
    assert len(setup.said("plug")) == 2, "a bridge may repeat what it remembers"
    setup.pass_(2.0)
    setup.hear(LWT, "Online")
    assert setup.values("plug")[2:] == [{"switch": "ON"}], "what is a minute old does not count"
    assert setup.said("plug")[2]["ts"] == "2026-11-21T12:01:00.000Z"
    assert setup.bus.on("camper/availability/plug")[-1] == b"online"
    assert "device.plug" not in setup.journal.problems


def test_a_device_that_is_offline_at_the_start_is_so_at_once_and_well_when_it_comes(setup: Setup) -> None:
    setup.hear(LWT, "Offline", retain=True)
    assert setup.bus.on("camper/availability/plug") == [b"offline"]
    assert "offline" in setup.journal.problems["device.plug"]
    setup.hear(LWT, "Online")
    assert "device.plug" not in setup.journal.problems
    assert setup.said("plug") == []


def test_availability_says_nothing_of_values_and_its_garbage_is_counted(setup: Setup) -> None:
    setup.hear(LWT, "Online")
    setup.hear(LWT, b"\xff")
    assert setup.bus.on("camper/availability/plug") == []
    assert setup.journal.counters["refused_availability.plug"] == 1


def test_what_the_broker_had_kept_counts_only_if_it_is_asked_for(tmp_path: Path, time: FakeTime) -> None:
    level = ImportEntity(topic="well/level", unit="%")
    setup = Setup(
        tmp_path,
        time,
        {"new": Import(entities={"l": level}), "old": Import(retained=True, entities={"l": level})},
    )
    setup.hear("well/level", "50", retain=True)
    assert (setup.values("new"), setup.values("old")) == ([], [{"l": 50}])
    setup.pass_(2.0)
    setup.hear("well/level", "", retain=True)
    setup.hear("well/level", "60")
    assert (setup.values("new"), setup.values("old")) == ([{"l": 60}], [{"l": 50}, {"l": 60}])


def test_the_devices_own_time_dates_a_reading(setup: Setup) -> None:
    for temperature, at in ((1, "11:59:00"), (2, "11:59:30"), (3, "11:58:00"), (4, "12:30:00"), (5, "noon")):
        setup.pass_(2.0)
        setup.hear("zigbee2mqtt/outside", {"temperature": temperature, "last_seen": f"2026-11-21T{at}Z"})
    assert [(one["ts"][11:19], one["temperature"]) for one in setup.said("outside")] == [
        ("11:59:00", 1),
        ("11:59:30", 2),
        ("11:58:00", 3),
        ("12:00:08", 4),
        ("12:00:10", 5),
    ]
    assert [one.get("late") for one in setup.said("outside")] == [None, None, True, None, None]
    assert setup.journal.counters["refused_times.outside"] == 2
    plain = setup.bus.on("camper/state/outside/temperature")
    assert b"3.0" not in plain, "an earlier value does not replace a newer one"
    assert setup.bus.on("camper/availability/outside") == [b"online"]


def test_our_clock_has_no_part_in_a_time_that_the_device_tells(setup: Setup) -> None:
    setup.time.quality = "estimated"
    setup.hear("zigbee2mqtt/outside", {"temperature": 1, "last_seen": "2026-11-21T11:59:00Z"})
    setup.pass_(2.0)
    setup.hear("zigbee2mqtt/outside", {"temperature": 2})
    sent = [json.loads(payload) for payload in setup.bus.on("camper/state/outside")]
    assert [one["clock"] for one in sent] == ["ok", "estimated"]


# Commands.


def test_a_command_is_passed_on_and_answered_when_the_device_has_followed(setup: Setup) -> None:
    setup.hear(STATE, {"POWER": "OFF"})
    setup.hear("camper/set/plug/switch", "ON")
    (sent,) = [p for p in setup.bus.published if p.topic == COMMAND]
    assert (sent.payload, sent.retain) == (b"ON", False)
    assert setup.answers() == []
    setup.hear(RESULT, {"POWER": "OFF"})
    setup.pass_(1.0)
    setup.hear(RESULT, {"POWER": "ON"})
    assert setup.answers() == [("ok", None, "ON")]
    order = [
        p.topic for p in setup.bus.published if p.topic in ("camper/state/plug", "camper/result/plug/switch")
    ]
    assert order[-2:] == ["camper/state/plug", "camper/result/plug/switch"]
    assert setup.values("plug")[-1] == {"switch": "ON"}


def test_a_device_that_does_not_follow_is_told(setup: Setup) -> None:
    setup.hear(STATE, {"POWER": "OFF"})
    setup.hear("camper/set/plug/switch", "ON")
    setup.pass_(4.9)
    assert setup.answers() == []
    setup.pass_(0.2)
    assert setup.answers() == [("error", "hardware", None)]


def test_a_device_that_was_so_already_need_not_say_it_again(setup: Setup) -> None:
    setup.hear(STATE, {"POWER": "ON"})
    setup.hear("camper/set/plug/switch", "ON")
    assert setup.bus.on(COMMAND) == [b"ON"]
    setup.pass_(5.1)
    assert setup.answers() == [("ok", None, "ON")]


HEATER = Import(
    topic="heater",
    entities={
        "target": ImportEntity(
            path="t", unit="°F", range=(5.0, 30.0), command_step=0.5, command_topic="heater/t"
        ),
        "mode": ImportEntity(path="m", map={"1": "eco", "2": "comfort"}, command_topic="heater/m"),
        "fan": ImportEntity(path="f", options=("low", "high"), command_topic="heater/f"),
    },
)


@pytest.fixture
def heater(tmp_path: Path, time: FakeTime) -> Setup:
    return Setup(tmp_path, time, {"heater": HEATER})


@pytest.mark.parametrize(
    ("command", "sent", "echo", "actual"),
    [
        (("target", "20"), b"68", {"t": 68}, 20.0),
        (("target", '{"value": "21.5"}'), b"70.7", {"t": 71}, 21.6666666667),
        (("mode", '"Comfort"'), b"2", {"m": "2"}, "comfort"),
        (("fan", '{"state": "low"}'), b"low", {"f": "low"}, "low"),
    ],
)
def test_a_number_or_a_word_goes_out_as_the_device_has_it(
    heater: Setup, command: tuple[str, str], sent: bytes, echo: dict[str, object], actual: object
) -> None:
    entity, payload = command
    topic = f"heater/{entity[0]}"
    heater.hear(f"camper/set/heater/{entity}", payload)
    assert heater.bus.on(topic) == [sent]
    heater.hear("heater", echo)
    answer = json.loads(heater.bus.on(f"camper/result/heater/{entity}")[-1])
    assert (answer["status"], answer["actual"]) == ("ok", actual)
    refused = {"target": "30.5", "mode": "3", "fan": "ON"}[entity]
    heater.hear(f"camper/set/heater/{entity}", refused)
    answer = json.loads(heater.bus.on(f"camper/result/heater/{entity}")[-1])
    assert (answer["code"], answer["actual"]) == ("invalid", actual), "what is known is said with it"
    assert len(heater.bus.on(topic)) == 1


def test_about_says_what_a_number_or_a_word_may_be(heater: Setup) -> None:
    entities = json.loads(heater.bus.on("camper/about/heater")[-1])["entities"]
    target = entities["target"]
    assert (target["command"], target["range"], target["step"], target["unit"]) == (True, [5, 30], 0.5, "°C")
    assert (entities["mode"]["command"], entities["mode"]["options"]) == (True, ["eco", "comfort"])


def test_toggle_needs_a_known_state(setup: Setup) -> None:
    setup.hear("camper/set/plug/switch", "TOGGLE")
    assert (setup.answers(), setup.bus.on(COMMAND)) == ([("error", "hardware", None)], [])
    setup.hear(STATE, {"POWER": "ON"})
    setup.hear("camper/set/plug/switch", "toggle")
    assert setup.bus.on(COMMAND) == [b"OFF"]


def test_for_turns_it_off_by_itself(setup: Setup) -> None:
    setup.hear("camper/set/plug/switch", {"value": "ON", "for": 60})
    setup.hear(RESULT, {"POWER": "ON"})
    setup.pass_(59)
    assert setup.bus.on(COMMAND) == [b"ON"]
    setup.pass_(2)
    assert setup.bus.on(COMMAND) == [b"ON", b"OFF"]


@pytest.mark.parametrize(
    ("topic", "payload", "retain", "code"),
    [
        ("camper/set/plug/switch", "ON", True, "retained"),
        ("camper/set/plug/switch", "warm", False, "invalid"),
        ("camper/set/plug/power", "ON", False, "not_found"),
        ("camper/set/plug/nothing", "ON", False, "not_found"),
    ],
)
def test_what_is_no_command_is_refused_and_not_passed_on(
    setup: Setup,
    topic: str,
    payload: str,
    retain: bool,  # noqa: FBT001 — as it was sent
    code: str,
) -> None:
    setup.hear(topic, payload, retain=retain)
    (answer,) = [json.loads(p) for p in setup.bus.on(topic.replace("/set/", "/result/"))]
    assert answer["code"] == code
    assert setup.bus.on(COMMAND) == []


def test_a_device_that_is_offline_takes_no_command(setup: Setup) -> None:
    setup.hear(LWT, "Offline")
    setup.hear("camper/set/plug/switch", "ON")
    assert (setup.answers(), setup.bus.on(COMMAND)) == ([("error", "hardware", None)], [])


def test_a_second_command_ends_the_first(setup: Setup) -> None:
    setup.hear("camper/set/plug/switch", {"value": "ON", "id": "1"})
    setup.hear("camper/set/plug/switch", {"value": "OFF", "id": "2"})
    setup.hear(RESULT, {"POWER": "OFF"})
    found = [json.loads(p) for p in setup.bus.on("camper/result/plug/switch")]
    assert [(one["id"], one["status"]) for one in found] == [("1", "error"), ("2", "ok")]


def test_a_broker_that_does_not_take_the_command_is_told(setup: Setup) -> None:
    setup.bus.answer = Sent.LATER
    setup.hear("camper/set/plug/switch", "ON")
    setup.bus.answer = Sent.YES
    setup.pass_(6.0)
    assert setup.bus.on(COMMAND) == [], "it is not sent late"
    assert setup.journal.counters["refused_commands_hardware"] == 1


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([SENSOR, STATE, RESULT, LWT]), st.binary(max_size=60)), max_size=20)
)
def test_no_message_stops_the_service(setup: Setup, messages: list[tuple[str, bytes]]) -> None:
    for topic, payload in messages:
        setup.hear(topic, payload)
        setup.pass_(0.3)
    setup.hear(LWT, "Online")
    setup.pass_(2.0)
    total = round(setup.time.monotonic_s)
    setup.hear(SENSOR, energy(total=total))
    assert setup.values("plug")[-1]["energy"] == total * 1000
