"""The life of a device at Home Assistant: announced, changed, said again after a start, taken back."""

import json
from pathlib import Path
from typing import Any

import pytest

from bus.about import About, Entity
from bus.announcer import MOST_GONE, PAUSE_S, Announcer
from bus.events import Sent
from bus.topics import HOME_ASSISTANT, Topics
from tests.fake_bus import FakeBus

TOPIC = "homeassistant/device/camper_mppt/config"
VOLTAGE = Entity(name="Voltage", unit="V", device_class="voltage", state_class="measurement")
LOAD = Entity(name="Load", boolean=True)


@pytest.fixture
def bus() -> FakeBus:
    return FakeBus()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "collector_ble-announced.json"


def announcer(bus: FakeBus, path: Path, *, enabled: bool = True, base: str = "camper") -> Announcer:
    """A run of the process."""
    topics = Topics(base)
    return Announcer(bus, topics, service="collector_ble", path=path, enabled=enabled, chance=lambda: 0.5)


def earlier_run(bus: FakeBus, path: Path, *devices: str, **entities: Entity) -> None:
    """A run that announced devices and ended."""
    one = announcer(bus, path)
    for device in devices or ("mppt",):
        one.about(device, about(**entities or {"v": VOLTAGE}))
    one.file.close()


def about(**entities: Entity) -> About:
    """The device as it describes itself."""
    return About(name="Solar charger", entities=entities)


def components(payload: bytes) -> dict[str, Any]:
    """What a payload makes of each entity; what every device has besides is not looked at."""
    found: dict[str, Any] = json.loads(payload)["components"]
    return {key: one for key, one in found.items() if not key.startswith("device_")}


def test_a_device_is_announced_once_and_again_when_it_changed(bus: FakeBus, path: Path) -> None:
    one = announcer(bus, path)
    for entities in ({"v": VOLTAGE}, {"v": VOLTAGE}, {"v": VOLTAGE, "load": LOAD}):
        one.about("mppt", about(**entities))
    assert [sorted(components(payload)) for payload in bus.on(TOPIC)] == [["v"], ["load", "v"]]
    assert all(published.retain for published in bus.published)


def test_an_entity_that_is_gone_is_reduced_and_then_left_out(bus: FakeBus, path: Path) -> None:
    one = announcer(bus, path)
    one.about("mppt", about(v=VOLTAGE, load=LOAD))
    bus.published.clear()
    one.about("mppt", about(v=VOLTAGE))
    first, second = (components(payload) for payload in bus.on(TOPIC))
    assert first["load"] == {"platform": "binary_sensor"}
    assert first["v"] == second["v"]
    assert second.keys() == {"v"}


@pytest.mark.parametrize("known", [{"v", "load"}, None])
def test_an_entity_that_waits_for_its_first_value_after_a_restart_is_not_taken_back(
    bus: FakeBus, path: Path, known: set[str] | None
) -> None:
    earlier_run(bus, path, v=VOLTAGE, load=LOAD)
    before = path.read_bytes()
    bus.published.clear()
    again = announcer(bus, path)
    again.about("mppt", about(v=VOLTAGE))
    again.tidy({"mppt": known})
    again.connected()
    assert [sorted(components(payload)) for payload in bus.on(TOPIC)] == [["v"]]
    again.about("mppt", about(v=VOLTAGE, load=LOAD))
    assert [sorted(components(payload)) for payload in bus.on(TOPIC)] == [["v"], ["load", "v"]]
    again.file.close()
    assert path.read_bytes() == before


def test_an_entity_that_this_run_can_never_say_is_taken_back(bus: FakeBus, path: Path) -> None:
    earlier_run(bus, path, v=VOLTAGE, load=LOAD)
    bus.published.clear()
    again = announcer(bus, path)
    again.about("mppt", about(v=VOLTAGE))
    again.tidy({"mppt": {"v"}})
    whole, reduced, after = (components(payload) for payload in bus.on(TOPIC))
    assert whole.keys() == after.keys() == {"v"}
    assert reduced["load"] == {"platform": "binary_sensor"}


def test_an_entity_switched_off_before_its_first_value_is_taken_back(bus: FakeBus, path: Path) -> None:
    earlier_run(bus, path, v=VOLTAGE, load=LOAD)
    again = announcer(bus, path)
    again.about("mppt", about(v=VOLTAGE))
    bus.published.clear()
    again.without("mppt", {"load", "never_there"})
    assert components(bus.on(TOPIC)[0])["load"] == {"platform": "binary_sensor"}


def test_an_entity_that_becomes_another_platform_is_first_taken_back(bus: FakeBus, path: Path) -> None:
    one = announcer(bus, path)
    one.about("mppt", about(load=LOAD))
    bus.published.clear()
    one.about("mppt", about(load=Entity(name="Load", boolean=True, command=True)))
    first, second = (components(payload) for payload in bus.on(TOPIC))
    assert first == {"load": {"platform": "binary_sensor"}}
    assert second["load"]["platform"] == "switch"


def test_what_the_broker_did_not_hear_is_reduced_at_the_next_connect(bus: FakeBus, path: Path) -> None:
    one = announcer(bus, path)
    one.about("mppt", about(v=VOLTAGE, load=LOAD))
    bus.answer = Sent.LATER
    one.about("mppt", about(v=VOLTAGE))
    bus.published.clear()
    bus.answer = Sent.YES
    one.connected()
    assert [sorted(components(payload)) for payload in bus.on(TOPIC)] == [["load", "v"], ["v"]]
    one.connected()
    assert len(bus.on(TOPIC)) == 2, "once"


def test_a_forgotten_device_is_taken_back(bus: FakeBus, path: Path) -> None:
    one = announcer(bus, path)
    one.about("mppt", about(v=VOLTAGE))
    one.forget("mppt")
    assert bus.on(TOPIC)[-1] == b""
    bus.published.clear()
    one.forget("mppt")
    one.forget("never_there")
    assert bus.published == []


def test_a_device_that_comes_back_is_announced_again(bus: FakeBus, path: Path) -> None:
    one = announcer(bus, path)
    one.about("mppt", about(v=VOLTAGE))
    one.forget("mppt")
    one.about("mppt", about(v=VOLTAGE))
    assert components(bus.on(TOPIC)[-1]).keys() == {"v"}


def test_what_an_earlier_run_announced_and_this_one_has_not_is_taken_back(bus: FakeBus, path: Path) -> None:
    earlier_run(bus, path, "mppt", "shunt")
    bus.published.clear()
    announcer(bus, path).tidy({"shunt": None})
    assert [(p.topic, p.payload, p.retain) for p in bus.published] == [(TOPIC, b"", True)]


def test_another_base_topic_takes_back_what_stood_below_the_old_one(bus: FakeBus, path: Path) -> None:
    earlier_run(bus, path)
    bus.published.clear()
    moved = announcer(bus, path, base="vans/one")
    moved.about("mppt", about(v=VOLTAGE))
    moved.tidy({"mppt": None})
    assert [p.topic for p in bus.published] == ["homeassistant/device/vans_one_mppt/config", TOPIC]
    assert bus.on(TOPIC) == [b""]


def test_what_stood_below_an_older_base_goes_at_the_first_connect_whoever_is_known(
    bus: FakeBus, path: Path
) -> None:
    earlier_run(bus, path)
    bus.published.clear()
    moved = announcer(bus, path, base="vans/one")
    moved.connected()
    assert [(p.topic, p.payload, p.retain) for p in bus.published] == [(TOPIC, b"", True)]
    moved.file.close()
    announcer(bus, path, base="vans/one").connected()
    assert len(bus.published) == 1, "once"


def test_discovery_switched_off_takes_everything_back_once(bus: FakeBus, path: Path) -> None:
    earlier_run(bus, path)
    bus.published.clear()
    for _ in range(2):
        off = announcer(bus, path, enabled=False)
        off.about("mppt", about(v=VOLTAGE))
        off.connected()
        assert not off.again(1e9)
        off.file.close()
    assert [(p.topic, p.payload) for p in bus.published] == [(TOPIC, b"")]


def test_taking_back_waits_for_the_broker_even_over_a_restart(bus: FakeBus, path: Path) -> None:
    earlier_run(bus, path)
    bus.answer = Sent.LATER
    away = announcer(bus, path)
    away.tidy({})
    away.file.close()
    bus.answer = Sent.YES
    after = announcer(bus, path)
    after.tidy({})
    assert bus.on(TOPIC)[-1] == b""


def test_home_assistants_start_is_answered_a_little_later_with_everything(bus: FakeBus, path: Path) -> None:
    one = announcer(bus, path)
    one.about("mppt", about(v=VOLTAGE))
    bus.published.clear()
    assert one.birth(HOME_ASSISTANT, b"online", 100.0)
    assert not one.again(102.4)
    assert bus.published == []
    assert one.again(102.5)
    assert components(bus.on(TOPIC)[0]).keys() == {"v"}
    assert not one.again(110.0), "once"


@pytest.mark.parametrize("payload", [b"offline", b"", b"\xff", b"ONLINE"])
def test_any_other_word_of_home_assistant_asks_for_nothing(bus: FakeBus, path: Path, payload: bytes) -> None:
    one = announcer(bus, path)
    one.about("mppt", about(v=VOLTAGE))
    assert one.birth(HOME_ASSISTANT, payload, 0.0)
    assert not one.again(1e9)


def test_other_topics_are_not_home_assistants(bus: FakeBus, path: Path) -> None:
    assert not announcer(bus, path).birth("camper/watermark/x", b"online", 0.0)


def test_a_damaged_file_costs_nothing_but_what_is_old(bus: FakeBus, path: Path) -> None:
    path.write_bytes(b"{no json")
    one = announcer(bus, path)
    assert one.file.problem is not None
    assert str(path) in one.file.problem
    one.about("mppt", about(v=VOLTAGE))
    one.file.close()
    assert components(bus.on(TOPIC)[0]).keys() == {"v"}
    assert TOPIC in json.loads(path.read_bytes())


GONE_SWITCH = Entity(name="Load", boolean=True, command=True)
DAY_MS = 86_400_000
NOW = 1_790_000_000_000


class Run:
    """A run of the process with a clock that is set by hand."""

    def __init__(
        self, bus: FakeBus, path: Path, *, service: str | None = "collector_ble", wall: int = NOW
    ) -> None:
        self.bus, self.wall, self.now = bus, wall, 100.0
        self.one = Announcer(
            bus, Topics(), service=service, path=path, wall=lambda: self.wall, chance=lambda: 0.0
        )

    def birth(self, *, seconds: float = 20.0) -> list[dict[str, Any]]:
        """Home Assistant starts: what is said on the device's topic then; {} for an empty payload."""
        self.bus.published.clear()
        self.one.birth(HOME_ASSISTANT, b"online", self.now)
        for _ in range(int(seconds)):
            self.one.again(self.now)
            self.now += 1.0
        return [json.loads(payload or b"{}") for payload in self.bus.on(TOPIC)]

    def end(self) -> None:
        """As SIGTERM does."""
        self.one.file.close()


def test_a_device_that_went_is_described_once_more_and_then_emptied_at_each_birth(
    bus: FakeBus, path: Path
) -> None:
    run = Run(bus, path)
    run.one.about("mppt", about(v=VOLTAGE, load=GONE_SWITCH))
    run.one.forget("mppt")
    run.end()
    for run in (Run(bus, path), Run(bus, path, wall=NOW + 29 * DAY_MS)):
        once_more, empty = run.birth()
        assert empty == {}
        assert once_more["device"]["identifiers"] == ["camper_mppt"]
        assert {k: (c["platform"], c["unique_id"]) for k, c in once_more["components"].items()} == {
            "v": ("sensor", "camper_mppt_v"),
            "load": ("switch", "camper_mppt_load"),
            "device_last_seen": ("sensor", "camper_mppt_device_last_seen"),
            "device_problem": ("sensor", "camper_mppt_device_problem"),
        }
        topics = {
            c[t] for c in once_more["components"].values() for t in ("state_topic", "command_topic") if t in c
        }
        assert topics == {f"{TOPIC}/gone"}, "no state may come meanwhile"
        assert [p.retain for p in bus.published if p.topic == TOPIC] == [False, True]
    assert Run(bus, path, wall=NOW + 31 * DAY_MS).birth() == []


def test_what_is_described_once_more_has_time_to_be_set_up_before_it_is_removed(
    bus: FakeBus, path: Path
) -> None:
    run = Run(bus, path)
    run.one.about("mppt", about(v=VOLTAGE))
    run.one.forget("mppt")
    assert len(run.birth(seconds=PAUSE_S)) == 1
    assert run.one.again(run.now) is False
    assert bus.on(TOPIC)[-1] == b""


def test_an_entity_that_went_is_described_once_more_then_reduced_then_left_out(
    bus: FakeBus, path: Path
) -> None:
    run = Run(bus, path)
    run.one.about("mppt", about(v=VOLTAGE, load=LOAD))
    run.one.about("mppt", about(v=VOLTAGE))
    run.end()
    run = Run(bus, path)
    run.one.about("mppt", about(v=VOLTAGE))
    now, with_it, reduced, after = (
        {k: c for k, c in one["components"].items() if not k.startswith("device_")} for one in run.birth()
    )
    assert now == after
    assert now.keys() == {"v"}
    assert list(with_it) == ["load", "v"], "Home Assistant passes over what follows one that it is setting up"
    assert with_it["load"]["unique_id"] == "camper_mppt_load"
    assert reduced["load"] == {"platform": "binary_sensor"}
    assert [p.retain for p in bus.published] == [True, False, False, True]


def test_an_entity_that_was_of_two_platforms_is_removed_of_each(bus: FakeBus, path: Path) -> None:
    run = Run(bus, path)
    for entity in (LOAD, GONE_SWITCH, VOLTAGE):
        run.one.about("mppt", about(load=entity))
    said = [one["components"]["load"] for one in run.birth()]
    assert [len(one) > 1 for one in said] == [True, True, True, False, False, True]
    assert [one["platform"] for one in said] == [
        "sensor", "binary_sensor", "switch", "binary_sensor", "switch", "sensor"
    ]  # fmt: skip


def test_what_came_back_is_not_removed(bus: FakeBus, path: Path) -> None:
    run = Run(bus, path)
    run.one.about("mppt", about(v=VOLTAGE))
    run.one.forget("mppt")
    run.birth(seconds=1)
    run.one.about("mppt", about(v=VOLTAGE))
    bus.published.clear()
    for _ in range(20):
        run.now += 1.0
        run.one.again(run.now)
    assert b"" not in bus.on(TOPIC)
    assert [one["components"]["v"]["platform"] for one in run.birth()] == ["sensor"]


def test_a_broker_that_is_away_at_the_birth_hears_both_steps_in_order_later(bus: FakeBus, path: Path) -> None:
    run = Run(bus, path)
    run.one.about("mppt", about(v=VOLTAGE))
    run.one.forget("mppt")
    bus.answer = Sent.LATER
    assert run.birth() == []
    bus.answer = Sent.YES
    for _ in range(20):
        run.now += 1.0
        run.one.again(run.now)
    assert [bool(payload) for payload in bus.on(TOPIC)] == [True, False]


@pytest.mark.parametrize("wall", [0, NOW + 4000 * DAY_MS])
def test_what_went_while_the_clock_was_wrong_is_remembered_from_when_it_is_right(
    bus: FakeBus, path: Path, wall: int
) -> None:
    run = Run(bus, path, wall=wall)
    run.one.about("mppt", about(v=VOLTAGE))
    run.one.forget("mppt")
    run.wall = NOW
    assert len(run.birth()) == 2
    run.end()
    assert len(Run(bus, path, wall=NOW + 29 * DAY_MS).birth()) == 2
    assert Run(bus, path, wall=NOW + 31 * DAY_MS).birth() == []


def test_what_is_gone_is_bounded_and_the_oldest_gives_way(bus: FakeBus, path: Path) -> None:
    run = Run(bus, path, service=None)
    entities = {f"e{i}": VOLTAGE for i in range(100)}
    for i in range(MOST_GONE // 100 + 5):
        run.wall = NOW + i
        run.one.about(f"d{i}", about(**entities))
        run.one.forget(f"d{i}")
    run.end()
    kept = json.loads(path.read_bytes())
    assert sum(len(rows) for rows in kept.values()) <= MOST_GONE
    assert f"homeassistant/device/camper_d{i}/config" in kept
    assert "homeassistant/device/camper_d0/config" not in kept


def test_a_file_of_the_first_version_is_understood(bus: FakeBus, path: Path) -> None:
    path.write_text(json.dumps({TOPIC: {"v": "sensor", "load": "switch"}, "a/#": {"v": "sensor"}}))
    run = Run(bus, path)
    run.one.tidy({})
    assert [(p.topic, p.payload) for p in bus.published] == [(TOPIC, b"")]
    once_more, empty = run.birth()
    assert once_more["components"].keys() == {"v", "load", "device_last_seen", "device_problem"}
    assert empty == {}


def test_a_base_with_capitals_and_slashes_is_found_again(bus: FakeBus, path: Path) -> None:
    topics = Topics("My-Vans/One")
    one = Announcer(bus, topics, service=None, path=path, chance=lambda: 0.0)
    one.about("mppt", about(v=VOLTAGE))
    announced = json.loads(bus.published[-1].payload)
    one.forget("mppt")
    bus.published.clear()
    one.birth(HOME_ASSISTANT, b"online", 0.0)
    one.again(0.0)
    once_more = json.loads(bus.published[0].payload)
    assert bus.published[0].topic == topics.discovery("mppt")
    assert once_more["device"]["identifiers"] == announced["device"]["identifiers"]
    assert once_more["components"]["v"]["unique_id"] == announced["components"]["v"]["unique_id"]


def test_with_discovery_off_it_is_still_said_what_is_gone(bus: FakeBus, path: Path) -> None:
    earlier_run(bus, path)
    off = announcer(bus, path, enabled=False)
    off.connected()
    bus.published.clear()
    off.birth(HOME_ASSISTANT, b"online", 0.0)
    for second in range(20):
        off.again(float(second))
    assert [bool(payload) for payload in bus.on(TOPIC)] == [True, False]
