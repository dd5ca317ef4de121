"""How many entities are kept: strangers take no room from the house, and what was never read gives way."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec import structs

from bus import about as about_message
from bus.about import About, Entity
from config.model import Device
from statistician import entities as entity_limits
from statistician.arithmetic import HOUR
from tests.statistician.arithmetic.test_integral import Sun
from tests.statistician.rig import MINUTE, SECOND, START, TOPICS, Rig

POWER = Entity(name="Power", unit="W", device_class="power", state_class="measurement")
MOST = 200


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setattr(entity_limits, "MOST_OF_STRANGERS", MOST)
    monkeypatch.setattr(entity_limits, "MOST_ENTITIES", 2 * MOST)
    monkeypatch.setattr(entity_limits, "MOST_OF_DEVICE", 50)
    rig = Rig(tmp_path / "statistics.db", house=("mppt",))
    yield rig
    rig.close()


def about(rig: Rig, device: str, *keys: str, service: str | None = None) -> None:
    """A device describes itself."""
    entities = dict.fromkeys(keys, POWER)
    rig.message(
        TOPICS.about(device), about_message.encode(About(name="x", service=service, entities=entities))
    )


def described(rig: Rig, device: str) -> set[str]:
    """The entities of a device that are on disk with what about says."""
    rig.commit()
    return {e.entity for e in rig.store.entities() if e.device == device and e.unit == "W"}


def crowd(rig: Rig, *, read: bool = False, count: int = 3 * MOST, service: str | None = None) -> None:
    """Strangers describe themselves, and with `read` say a value each."""
    for i in range(count):
        about(rig, f"s{i}", "power", service=service)
        if read:
            rig.reading(f"s{i}", {"power": 1.0})
        if i % 50 == 0:
            rig.commit()


def stored(rig: Rig) -> int:
    """How many entities are on disk."""
    rig.commit()
    return len(rig.store.entities())


@pytest.mark.parametrize("read", [False, True])
def test_a_crowd_of_strangers_is_bounded_on_disk_too(rig: Rig, *, read: bool) -> None:
    crowd(rig, read=read)
    assert MOST - 64 <= stored(rig) <= MOST
    for sql in (
        "SELECT count(*) FROM entity",
        "SELECT count(*) FROM keeping",
        "SELECT max(entity) FROM described",
    ):
        row = rig.store.engine.one(sql)
        assert row is not None
        assert int(row[0] or 0) <= 3 * MOST
    assert rig.dead_letters() == [], "what is refused for its number must not fill the card"


@pytest.mark.parametrize(
    "come",
    [
        lambda rig: about(rig, "mppt", "power"),
        lambda rig: [rig.reading("mppt", {"power": 5.0}), rig.describe("mppt", {"power": POWER})],
        lambda rig: about(rig, "shunt", "power", service="collector_ble"),
        lambda rig: about(rig, "relay", "power", service="controller"),
        lambda rig: about(rig, "solar", "power", service="statistician"),
    ],
    ids=["settings", "reading", "collector", "controller", "statistician"],
)
def test_a_device_of_the_house_finds_room_whatever_strangers_did(
    rig: Rig, come: Callable[[Rig], object]
) -> None:
    crowd(rig, read=True)
    assert "strangers" in rig.journal.problems["room"]
    come(rig)
    assert [described(rig, device) for device in ("mppt", "shunt", "relay", "solar")].count({"power"}) == 1


def test_a_device_of_the_settings_finds_room_also_among_those_that_claim_to_be_of_the_house(rig: Rig) -> None:
    crowd(rig, read=True, service="collector_ble")
    assert "of the house" in rig.journal.problems["room"]
    about(rig, "mppt", "power")
    assert described(rig, "mppt") == {"power"}


def test_what_was_never_read_gives_way_to_the_next_stranger(rig: Rig) -> None:
    crowd(rig)
    about(rig, "fridge", "power")
    rig.reading("fridge", {"power": 40.0})
    assert described(rig, "fridge") == {"power"}
    assert rig.journal.counters["forgotten_entities"] >= 2 * MOST


def test_what_was_never_read_gives_way_also_after_a_restart(rig: Rig) -> None:
    crowd(rig, count=MOST)
    rig.restart()
    about(rig, "fridge", "power")
    assert described(rig, "fridge") == {"power"}
    assert stored(rig) <= MOST


def newcomers(rig: Rig, service: str | None = None) -> None:
    """Devices that come when there is no room any more: the newest that were never read give way."""
    for i in range(MOST):
        about(rig, f"late{i}", "power", service=service)
    rig.commit()
    assert rig.journal.counters["forgotten_entities"] > 0


def on_disk(rig: Rig) -> set[tuple[str, str]]:
    """The entities on disk."""
    return {(e.device, e.entity) for e in rig.store.entities()}


@pytest.mark.parametrize("restarted", [False, True])
def test_what_was_read_never_gives_way(rig: Rig, *, restarted: bool) -> None:
    crowd(rig, count=MOST - 3)
    rig.reading("old", {"power": 3.0, "text": "on", "none": None})
    rig.run_until(START + HOUR + MINUTE)
    if restarted:
        rig.restart()
    newcomers(rig)
    assert {("old", key) for key in ("power", "text", "none")} <= on_disk(rig)
    rig.run_until(rig.now + HOUR)
    assert len(rig.store.states.between(0, None, None)) >= 3


def test_what_has_only_hourly_rows_left_never_gives_way(rig: Rig) -> None:
    crowd(rig, count=MOST - 1)
    rig.about("old", power="measurement")
    rig.reading("old", {"power": 3.0})
    rig.run_until(START + 2 * HOUR)
    for sql in ("DELETE FROM states", "DELETE FROM frames", "DELETE FROM statistics_5minute"):
        rig.store.engine.run(sql)
    rig.restart()
    assert next(live for live in rig.service._entities if live.record.device == "old").newest is None
    newcomers(rig)
    assert ("old", "power") in on_disk(rig)


def test_what_a_user_has_changed_never_gives_way(rig: Rig) -> None:
    crowd(rig, count=MOST - 1)
    about(rig, "lamp", "power")
    rig.commit()
    number = next(e.id for e in rig.store.entities() if e.device == "lamp")
    rig.store.fixes.add(START, "set_metadata", b"{}", [number], None)
    newcomers(rig)
    assert ("lamp", "power") in on_disk(rig)


def test_what_was_described_first_stays_longest(rig: Rig) -> None:
    crowd(rig, count=MOST)
    newcomers(rig)
    assert ("s0", "power") in on_disk(rig)
    assert (f"s{MOST - 1}", "power") not in on_disk(rig)


@pytest.mark.parametrize("claimed", [None, "collector_ble"])
def test_a_device_of_the_settings_gives_way_to_nobody(rig: Rig, claimed: str | None) -> None:
    crowd(rig, count=MOST - 1 if claimed is None else 2 * MOST - 1, service=claimed)
    about(rig, "mppt", "power")
    newcomers(rig, service=claimed)
    assert ("mppt", "power") in on_disk(rig)


def test_a_device_that_says_more_keeps_what_it_has(rig: Rig) -> None:
    crowd(rig, count=MOST - 10)
    about(rig, "big", *(f"e{i}" for i in range(10)))
    about(rig, "big", *(f"e{i}" for i in range(11)))
    assert len(described(rig, "big")) == 11


def test_what_a_device_has_is_described_anew_also_where_its_new_entities_find_no_room(rig: Rig) -> None:
    about(rig, "mppt", "power")
    more = {f"e{i}": POWER for i in range(60)}
    rig.describe("mppt", {"power": structs.replace(POWER, unit="kW"), **more})
    rig.commit()
    assert [(e.entity, e.unit, e.state_class) for e in rig.store.entities()] == [
        ("power", "kW", "measurement")
    ]
    assert "mppt" in rig.journal.problems["room"]


def test_a_reading_whose_values_find_room_in_part_keeps_those(rig: Rig) -> None:
    crowd(rig, read=True, count=MOST - 2)
    crowd(rig, count=MOST)
    rig.reading("new", {"a": 1.0, "b": 2.0, "c": 3.0})
    rig.commit()
    assert {("new", "a"), ("new", "b")} <= on_disk(rig)
    assert ("new", "c") not in on_disk(rig)


def test_what_only_history_tells_of_never_gives_way(rig: Rig) -> None:
    crowd(rig, count=MOST - 1)
    rig.reading("logger", {"power": 3.0}, ts=START - HOUR, late=True)
    newcomers(rig)
    assert ("logger", "power") in on_disk(rig)


def test_strangers_that_turn_out_to_be_of_the_house_leave_their_room_to_others(rig: Rig) -> None:
    crowd(rig, read=True, count=MOST)
    about(rig, "fridge", "power")
    assert described(rig, "fridge") == set()
    for i in range(10):
        about(rig, f"s{i}", "power", service="collector_ble")
    rig.now += 11 * SECOND
    about(rig, "fridge", "power")
    assert described(rig, "fridge") == {"power"}


def test_an_about_is_asked_for_when_a_reading_has_to_add_an_entity(rig: Rig) -> None:
    about(rig, "known", "power")
    rig.reading("known", {"power": 1.0})
    assert rig.asked == []
    rig.reading("fire", {"power": 1.0})
    rig.reading("fire", {"power": 2.0, "smoke": 1.0})
    assert rig.asked == ["fire"], "once"
    rig.now += 601 * SECOND
    rig.reading("fire", {"heat": 1.0})
    assert rig.asked == ["fire", "fire"]


def test_a_reading_with_too_many_values_keeps_those_that_are_known(rig: Rig) -> None:
    about(rig, "mppt", "power")
    rig.reading("mppt", {"power": 7.0, **{f"junk{i}": 1.0 for i in range(60)}})
    rig.commit()
    newest = {(e.device, e.entity): e.id for e in rig.store.entities()}
    assert len(newest) == 50
    states = rig.store.states.between(0, None, {newest["mppt", "power"]})
    assert [state.value for state in states] == [7.0]
    assert "mppt has more than 50 entities" in rig.journal.problems["room"]


def test_health_stops_telling_once_it_is_over(rig: Rig) -> None:
    crowd(rig, read=True)
    rig.now += 601 * SECOND
    rig.reading("s0", {"power": 2.0})
    rig.commit()
    assert "room" not in rig.journal.problems


def test_asking_for_what_does_not_exist_fills_no_memory(rig: Rig) -> None:
    for i in range(1000):
        rig.message(TOPICS.availability(f"nobody{i}"), b"offline")
    assert rig.service._entities._devices == {}


def test_a_value_without_room_costs_no_other_and_ends_no_energy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entity_limits, "MOST_OF_DEVICE", 2)
    sun = Sun(tmp_path / "s.db", {"solar_energy": Device(kind="integral", source="mppt.power")})
    sun.reading("mppt", {"volt": 13.0, "current": 1.0, "power": 5.0})
    sun.commit()
    assert {e.entity for e in sun.store.entities() if e.device == "mppt"} == {"volt", "current"}
    sun.close()
