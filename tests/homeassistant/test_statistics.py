"""Home Assistant's own 5-minute statistics and ours, made of the same states at the same times."""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from bus.messages import to_iso
from tests.homeassistant.installed import installed
from tests.homeassistant.running import HomeAssistant
from tests.journeys.house import House

pytestmark = pytest.mark.homeassistant

FIVE_MINUTES = 300_000
ENTITIES = {
    "voltage": {"name": "V", "unit": "V", "device_class": "voltage", "state_class": "measurement"},
    "energy": {"name": "E", "unit": "Wh", "device_class": "energy", "state_class": "total_increasing"},
    "balance": {"name": "B", "unit": "Wh", "device_class": "energy", "state_class": "total"},
    "water": {"name": "W", "unit": "L", "device_class": "water", "state_class": "total_increasing"},
}
ABOUT = {"name": "Meter", "discovery": True, "entities": ENTITIES}
# Seconds since the first period began, and the values from then on.
STATES: tuple[tuple[float, dict[str, float | None]], ...] = (
    (12.345, {"voltage": 13.21, "energy": 1000.0, "balance": -20.5, "water": 3}),
    (40.0, {"voltage": 13.4}),
    (41.5, {"voltage": 12.9, "energy": 1003.25}),
    (170.001, {"voltage": 13.05, "balance": -35.0, "water": 4.5}),
    (299.999, {"energy": 1010.0}),
    # The second period: a meter that begins anew.
    (420.0, {"voltage": 14.4, "energy": 2.0}),
    (480.75, {"voltage": 14.2, "balance": 12.0, "energy": 7.5, "water": 4.75}),
    # The third: only one of them moves.
    (733.3, {"energy": 8.125}),
)
PERIODS = 3
TYPES = ("mean", "min", "max", "state", "sum")
_ROWS = (
    "SELECT e.entity, s.start, s.mean, s.min, s.max, s.state, s.sum FROM statistics_5minute AS s"
    " JOIN entity AS e ON e.id = s.entity WHERE e.device = 'meter'"
)

Rows = dict[tuple[str, int], dict[str, float]]


@pytest.fixture
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    installed()
    with House(tmp_path_factory.mktemp("house"), "[statistician]\ncommit_interval = 0.2\n") as house:
        house.start("statistician")
        yield house


@pytest.fixture
def home(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeAssistant]:
    with HomeAssistant(installed(), tmp_path_factory.mktemp("home"), house.broker.port) as home:
        yield home


def _feed(house: House, home: HomeAssistant, begin: int) -> None:
    """Each state is stamped by Home Assistant with the time that the reading says."""
    home.ask("pin", at=begin / 1000)
    house.client.publish("camper/about/meter", json.dumps(ABOUT), retain=True)
    home.sees({f"camper_meter_{entity}": "unknown" for entity in ENTITIES})
    for second, values in STATES:
        ts = begin + round(second * 1000)
        home.ask("pin", at=ts / 1000)
        reading: dict[str, object] = {"ts": to_iso(ts), **values}
        # Retained: Home Assistant lists an entity before it listens to it.
        house.client.publish("camper/state/meter", json.dumps(reading), retain=True)
        home.sees(
            {
                f"camper_meter_{entity}": "unknown" if value is None else str(value)
                for entity, value in values.items()
            }
        )
    home.ask("pin", at=None)


def _theirs(home: HomeAssistant, begin: int) -> Rows:
    ids = {home.entities()[f"camper_meter_{entity}"]["entity_id"]: entity for entity in ENTITIES}
    starts = [to_iso(begin + number * FIVE_MINUTES) for number in range(PERIODS)]
    found = home.ask("statistics", starts=starts, ids=list(ids))
    return {
        (ids[name], round(row["start"] * 1000)): {
            kind: row[kind] for kind in TYPES if row.get(kind) is not None
        }
        for name, rows in found.items()
        for row in rows
    }


def _ours(house: House, begin: int) -> Rows:
    with closing(sqlite3.connect(f"file:{house.database}?mode=ro", uri=True)) as database:
        rows = database.execute(_ROWS).fetchall()
    last = begin + PERIODS * FIVE_MINUTES
    return {
        (entity, start): {kind: value for kind, value in zip(TYPES, values, strict=True) if value is not None}
        for entity, start, *values in rows
        if start < last
    }


def _about(row: dict[str, float]) -> object:
    return pytest.approx(row, rel=1e-6, abs=1e-9)


def _close(one: Rows, other: Rows) -> bool:
    return one.keys() == other.keys() and all(row == _about(other[key]) for key, row in one.items())


def test_the_rows_are_the_same(house: House, home: HomeAssistant) -> None:
    begin = time.time_ns() // 1_000_000 // FIVE_MINUTES * FIVE_MINUTES - 12 * FIVE_MINUTES
    _feed(house, home, begin)
    theirs = _theirs(home, begin)
    assert len(theirs) == PERIODS * len(ENTITIES)
    # Ours are computed again once the late states are on disk.
    deadline = time.monotonic() + 30
    while not _close(_ours(house, begin), theirs) and time.monotonic() < deadline:
        time.sleep(0.1)
    ours = _ours(house, begin)
    assert ours.keys() == theirs.keys()
    for key, row in theirs.items():
        assert ours[key] == _about(row), key
    assert home.ask("log") == []
