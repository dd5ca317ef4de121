"""Energy derived from power: the integral itself, and the device the statistician keeps and publishes."""

import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import about as about_message
from bus.about import About, Entity
from bus.clock import Clock
from bus.events import Sent
from bus.health import Journal
from bus.integral import Integral, Sign
from collector import checking
from collector.device import owned_devices
from config import rules
from config.model import Device, Settings
from statistician.records import State, StoreError, Table
from statistician.service import Statistician
from statistician.store import Store
from tests.statistician.rig import MINUTE, SECOND, START, TOPICS, Notes, Rig

SOLAR = Device(kind="integral", source="mppt.power", name="Solar energy")
ABOUT = TOPICS.about("solar_energy")
STATE = TOPICS.state("solar_energy")
AVAILABILITY = TOPICS.availability("solar_energy")
HOUR_S = 3600


def integral(sign: Sign = "positive") -> Integral:
    return Integral(max_gap=300 * SECOND, sign=sign)


def fed(values: Sequence[tuple[int, float | None]], sign: Sign = "positive") -> Integral:
    """An integral fed with (s, W)."""
    it = integral(sign)
    for second, watts in values:
        it.feed(second * SECOND, watts)
    return it


def test_a_value_holds_until_the_next_one() -> None:
    assert fed([(0, 360.0), (10, 720.0), (20, 0.0)]).energy == pytest.approx(1.0 + 2.0)


def test_a_silence_longer_than_the_gap_adds_nothing() -> None:
    assert fed([(0, 360.0), (300, 0.0)]).energy == pytest.approx(30.0)
    assert fed([(0, 360.0), (301, 360.0), (311, 0.0)]).energy == pytest.approx(1.0)


def test_null_stops_it() -> None:
    assert fed([(0, 360.0), (10, None), (20, 360.0), (30, 0.0)]).energy == pytest.approx(2.0)


def test_out_of_order_is_ignored_and_counted() -> None:
    it = fed([(0, 360.0), (20, 360.0), (10, 9e9), (30, 0.0)])
    assert it.energy == pytest.approx(3.0)
    assert it.ignored == 1
    assert not it.feed(29 * SECOND, 5.0)


@pytest.mark.parametrize(("sign", "energy"), [("positive", 1.0), ("negative", 2.0), ("both", -1.0)])
def test_the_sign_says_which_watts_count(sign: Sign, energy: float) -> None:
    values = [(0, 360.0), (10, -720.0), (20, 0.0)]
    assert fed(values, sign).energy == pytest.approx(energy)


@pytest.mark.parametrize("sign", ["positive", "negative", "both"])
def test_it_begins_at_0_with_the_first_power_that_is_known(sign: Sign) -> None:
    it = integral(sign)
    assert not it.feed(0, None)
    assert it.feed(SECOND, 0.0)
    assert it.energy == 0
    assert not it.feed(2 * SECOND, 0.0)


def test_what_was_kept_does_not_begin_again() -> None:
    it = integral("negative")
    it.resume(12.0, 0, None)
    assert not it.feed(SECOND, 0.0)


POWERS = st.lists(st.tuples(st.integers(1, 400), st.none() | st.floats(-5000, 5000)), min_size=1, max_size=30)


@given(POWERS, st.sampled_from(["positive", "negative", "both"]), st.data())
def test_it_goes_on_from_what_was_kept_as_if_nothing_had_been(
    steps: list[tuple[int, float | None]], sign: Sign, data: st.DataObject
) -> None:
    whole, interrupted = integral(sign), integral(sign)
    kept: tuple[float, int, float | None] | None = None
    dies = data.draw(st.integers(0, len(steps) - 1))
    ts = 0
    for number, (step, watts) in enumerate(steps):
        ts += step * SECOND
        before = whole.energy
        whole.feed(ts, watts)
        if sign != "both":
            assert whole.energy >= before
        if interrupted.feed(ts, watts):
            kept = (interrupted.energy, ts, watts)
        if number == dies:
            interrupted = integral(sign)
            if kept is not None:
                interrupted.resume(*kept)
    assert interrupted.energy == whole.energy


class Wire(Notes):
    """Takes the plain mirror too."""

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        correlation: bytes | None = None,
    ) -> Sent:
        """Note a publication."""
        assert qos == (0 if topic.endswith("/energy") else 1)
        return super().publish(topic, payload, retain=retain, correlation=correlation)

    def on(self, topic: str) -> list[bytes]:
        """The payloads published on a topic."""
        return [payload for kind, t, payload in self.log if (kind, t) == ("publish", topic)]


class Sun(Rig):
    """A statistician that derives devices."""

    def __init__(self, path: Path, devices: Mapping[str, Device]) -> None:
        self.devices = devices
        super().__init__(path)

    def start(self) -> None:
        """Begin a process on the same file."""
        self.wire = self.notes = Wire()
        self.journal = Journal()
        self.store = Store(self.path)
        clock = Clock(lambda: self.now, lambda: self.now / 1000, lambda: self.quality)
        self.service = Statistician(
            self.wire,
            TOPICS,
            self.store,
            self.settings,
            clock=clock,
            journal=self.journal,
            devices=self.devices,
        )
        self.settle()

    def power(self, watts: float | None, *, after: int = 10, seq: int | None = None) -> None:
        """A reading of the source some seconds later."""
        self.now += after * SECOND
        stream = None if seq is None else "ble-1"
        self.reading("mppt", {"power": watts, "volt": 13.0}, stream=stream, seq=seq)

    def energies(self, device: str = "solar_energy") -> list[State]:
        """The stored states of a derived device."""
        numbers = {e.id for e in self.store.entities() if (e.device, e.entity) == (device, "energy")}
        return self.store.states.between(0, None, numbers)

    def said(self) -> dict[str, float | str]:
        """The newest reading published of the derived device."""
        found: dict[str, float | str] = json.loads(self.wire.on(STATE)[-1])
        return found


@pytest.fixture
def sun(tmp_path: Path) -> Iterator[Sun]:
    rig = Sun(tmp_path / "s.db", {"solar_energy": SOLAR})
    yield rig
    rig.store.close()


def test_it_is_described_and_published_after_the_commit(sun: Sun) -> None:
    about = about_message.decode(sun.wire.on(ABOUT)[0])
    energy = about.entities["energy"]
    assert about.name == "Solar energy"
    assert about.service == "statistician"
    assert (energy.unit, energy.device_class, energy.state_class) == ("Wh", "energy", "total_increasing")
    assert sun.wire.on(AVAILABILITY) == [b"offline"]
    sun.power(360.0)
    sun.power(360.0)
    assert sun.wire.on(STATE) == []
    sun.commit()
    assert sun.said() == {"ts": "2026-11-23T12:00:20.000Z", "clock": "ok", "energy": 1.0}
    assert sun.wire.on(TOPICS.scalar("solar_energy", "energy")) == [b"1.000"]
    assert sun.wire.on(AVAILABILITY) == [b"offline", b"online"]
    assert [s.value for s in sun.energies()] == [0.0, 1.0]


@pytest.mark.parametrize(("unit", "energy"), [("kW", 1000.0), ("W", 1.0), (None, 1.0), ("V", None)])
def test_the_power_is_taken_in_the_unit_its_owner_says(
    sun: Sun, unit: str | None, energy: float | None
) -> None:
    about = About(name="mppt", entities={"power": Entity(name="Power", unit=unit)})
    sun.message(TOPICS.about("mppt"), about_message.encode(about))
    sun.power(360.0)
    sun.power(360.0)
    sun.commit()
    assert [s.value for s in sun.energies()] == ([0.0, energy] if energy else [])


def test_power_and_energy_are_committed_together_or_not_at_all(
    sun: Sun, monkeypatch: pytest.MonkeyPatch
) -> None:
    sun.power(360.0)
    sun.power(720.0)
    with monkeypatch.context() as patch:
        patch.setattr(sun.store, "commit", lambda _: (_ for _ in ()).throw(StoreError("disk full")))
        sun.commit()
    assert sun.wire.on(STATE) == []
    sun.power(0.0, after=MINUTE // SECOND)
    sun.commit()
    assert [s.value for s in sun.energies()][-1] == pytest.approx(1.0 + 720.0 * 66 / HOUR_S)
    assert sun.said()["energy"] == pytest.approx(14.2)


def test_its_own_publications_are_not_counted_again(sun: Sun) -> None:
    sun.power(360.0)
    sun.power(360.0)
    sun.commit()
    before = sun.energies()
    for kind, topic, payload in list(sun.wire.log):
        if kind == "publish" and topic in (STATE, ABOUT):
            mid = sun.message(topic, payload, retain=True)
    # Nor may anybody else speak for the device.
    sun.reading("solar_energy", {"energy": 5e6})
    said = len(sun.wire.on(STATE))
    sun.commit()
    assert mid in sun.notes.acknowledged
    assert sun.energies() == before
    assert len(sun.wire.on(STATE)) == said


@pytest.mark.parametrize("crash", [False, True])
def test_it_goes_on_after_a_restart(sun: Sun, crash: bool) -> None:  # noqa: FBT001 — pytest hands parameters over by name
    sun.power(360.0)
    sun.power(360.0)
    sun.commit()
    if crash:
        sun.crash()
    else:
        sun.restart()
    assert sun.said()["energy"] == 1.0
    sun.power(0.0, after=4)
    sun.commit()
    assert sun.energies()[-1].value == pytest.approx(2.0)
    # At night nothing moves and nothing is written; in the morning the night adds nothing.
    count = len(sun.energies())
    for _ in range(5):
        sun.power(0.0)
    sun.restart()
    sun.power(360.0, after=8 * HOUR_S)
    sun.restart()
    sun.power(0.0)
    sun.commit()
    assert sun.energies()[-1].value == pytest.approx(3.0)
    assert len(sun.energies()) == count + 2


def test_what_a_crash_took_comes_again_and_counts_once(sun: Sun) -> None:
    sun.own("mppt", "ble")
    sun.power(360.0, seq=1)
    sun.power(360.0, seq=2)
    sun.commit()
    sun.power(720.0, seq=3)
    sun.power(0.0, seq=4)
    sun.crash()
    # The outbox sends from the watermark on; what is retained of the newest comes before it.
    at = sun.now
    for seq, ts, watts in [
        (4, at, 0.0),
        (2, at - 26 * SECOND, 360.0),
        (3, at - 10 * SECOND, 720.0),
        (4, at, 0.0),
    ]:
        sun.reading("mppt", {"power": watts}, ts=ts, stream="ble-1", seq=seq)
        sun.commit()
        if (seq, ts) == (3, at - 10 * SECOND):
            sun.restart()
    assert sun.energies()[-1].value == pytest.approx(1.0 + 1.6 + 2.0)
    assert sun.journal.counters["ignored_powers"] == 0


def test_a_late_reading_is_ignored_and_counted_and_one_from_the_future_counts_when_it_came(sun: Sun) -> None:
    sun.power(360.0)
    sun.power(360.0)
    sun.reading("mppt", {"power": 9e6}, ts=sun.now - 5 * SECOND)
    sun.reading("mppt", {"power": 360.0}, ts=sun.now + 3 * HOUR_S * SECOND)
    sun.power(0.0)
    sun.commit()
    assert sun.energies()[-1].value == pytest.approx(2.0)
    assert sun.journal.counters["ignored_powers"] == 1


def test_silence_and_null_take_it_offline_but_not_its_energy(sun: Sun) -> None:
    sun.power(360.0)
    sun.power(None)
    sun.commit()
    assert sun.wire.on(AVAILABILITY) == [b"offline"]
    assert sun.said()["energy"] == 1.0
    sun.power(360.0)
    sun.commit()
    assert sun.wire.on(AVAILABILITY)[-1] == b"online"
    sun.run_until(sun.now + 6 * MINUTE)
    assert sun.wire.on(AVAILABILITY)[-1] == b"offline"
    sun.power(0.0)
    sun.commit()
    assert sun.energies()[-1].value == 1.0


def test_what_arrives_late_in_its_order_lands_in_its_own_periods(sun: Sun) -> None:
    sun.own("mppt", "ble")
    sun.power(720.0, seq=1)
    sun.run_until(START + 12 * MINUTE)
    for seq in range(2, 62):
        ts = START + 10 * SECOND * seq
        sun.reading("mppt", {"power": 720.0}, ts=ts, stream="ble-1", seq=seq)
    sun.run_until(START + 20 * MINUTE)
    sums = [row.row.sum for row in sun.rows("energy", device="solar_energy")]
    assert sums[:2] == [pytest.approx(720 * 280 / HOUR_S), pytest.approx(720 * 580 / HOUR_S)]


def test_the_statistics_add_up_to_the_integral(sun: Sun) -> None:
    dice = random.Random(7)  # noqa: S311 — a day's weather, no secret
    straight = integral()
    in_the_hours = 0.0
    while sun.now < START + 2 * HOUR_S * SECOND:
        watts = round(max(0.0, 300 * math.sin(sun.now / 4e5)) + dice.random(), 1)
        sun.power(watts, after=dice.choice([1, 10, 30]))
        straight.feed(sun.now, watts)
        if sun.now < START + 2 * HOUR_S * SECOND:
            in_the_hours = straight.energy
        sun.settle()
        if dice.random() < 0.02:
            sun.restart()
    sun.run_until(sun.now + 6 * MINUTE)
    for table, energy in ((Table.FIVE_MINUTES, straight.energy), (Table.HOUR, in_the_hours)):
        rows = sun.rows("energy", table, device="solar_energy")
        assert rows[-1].row.sum == pytest.approx(energy)
        sums = [row.row.sum or 0.0 for row in rows]
        assert sums == sorted(sums)
        assert rows[-1].row.sum_decrease == 0.0


def test_two_processes_lives_never_let_it_fall(sun: Sun) -> None:
    dice = random.Random(3)  # noqa: S311 — chance, no secret
    for _ in range(200):
        sun.power(dice.choice([0.0, 50.0, -20.0, 700.0, None]), after=dice.choice([1, 5, 400]))
        if dice.random() < 0.1:
            dice.choice([sun.crash, sun.restart])()
    sun.commit()
    # What nobody listened to is unknown.
    values = [state.value for state in sun.energies() if state.value is not None]
    assert values == sorted(values, key=lambda value: float(value or 0.0))
    published = [json.loads(payload)["energy"] for payload in sun.wire.on(STATE)]
    assert published == sorted(published)


def test_charged_and_discharged_and_net(tmp_path: Path) -> None:
    devices = {
        sign: Device(kind="integral", source="shunt.power", sign=sign, max_gap=60.0)
        for sign in ("positive", "negative", "both")
    }
    rig = Sun(tmp_path / "s.db", devices)
    for watts in (360.0, -720.0, 0.0):
        rig.now += 10 * SECOND
        rig.reading("shunt", {"power": watts})
    rig.commit()
    ends = {name: rig.energies(name)[-1].value for name in devices}
    assert ends == {"positive": 1.0, "negative": 2.0, "both": -1.0}
    both = about_message.decode(rig.wire.on(TOPICS.about("both"))[0])
    assert both.entities["energy"].state_class == "total"
    rig.store.close()


@pytest.mark.parametrize(
    ("device", "lines"),
    [
        (SOLAR, []),
        (Device(kind="integral"), ["source: it is missing"]),
        (Device(kind="integral", source="mppt"), ["source: 'mppt' is not device.entity"]),
        (Device(kind="integral", source="Mppt.power"), ["source: 'Mppt.power' is not device.entity"]),
        (Device(kind="integral", source="d.energy"), ["source: d.energy is energy already"]),
        (
            Device(kind="integral", source="m.p", key="0" * 32, steps={"energy": 1.0}),
            ["steps: a device of kind integral has none", "key: a device of kind integral has none"],
        ),
        (
            Device(kind="victron_solar_charger", source="m.p", max_gap=5.0, sign="both"),
            [f"{key}: only a device of kind integral has it" for key in ("source", "max_gap", "sign")],
        ),
    ],
)
def test_mistakes_in_its_settings_are_lines(device: Device, lines: list[str]) -> None:
    found = [f"{m.key}: {m.wrong}" for m in rules.check(Settings(device={"d": device}), "boondock.toml")]
    assert found == [f"device.d.{line}" for line in lines]


def test_no_collector_owns_it() -> None:
    settings = Settings(device={"solar_energy": SOLAR})
    assert checking.find_mistakes(settings, "boondock.toml") == []
    assert owned_devices(settings, "ble", 0.0) == []


def test_what_a_backlog_tells_of_yesterday_is_never_said_as_the_present_energy(sun: Sun) -> None:
    sun.own("mppt", "ble")
    yesterday = sun.now - 86_400 * SECOND
    for seq in range(1, 8):
        ts = yesterday + seq * 60 * SECOND
        sun.reading("mppt", {"power": 60.0}, ts=ts, stream="ble-1", seq=seq, again=True)
    sun.commit()
    assert sun.energies()[-1].value == pytest.approx(6.0)
    assert sun.wire.on(STATE) == []
    for seq in (8, 9):
        sun.power(60.0, seq=seq)
    sun.commit()
    assert sun.said()["energy"] == pytest.approx(6.0, abs=0.2)


@pytest.mark.parametrize(
    ("settings", "role"),
    [
        ({"sign": "both"}, "solar"),
        # It counts what flows the other way.
        ({"sign": "negative"}, None),
        ({"role": "generator"}, "generator"),
        ({"role": "none"}, None),
        ({"role": "load", "sign": "negative"}, "load"),
    ],
)
def test_an_energy_is_what_its_power_is(tmp_path: Path, settings: dict[str, Any], role: str | None) -> None:
    sun = Sun(tmp_path / "s.db", {"solar_energy": replace(SOLAR, **settings)})
    about = About(name="MPPT", entities={"power": Entity(name="P", unit="W", role="solar")})
    sun.message(TOPICS.about("mppt"), about_message.encode(about), retain=True)
    roles = [about_message.decode(said).entities["energy"].role for said in sun.wire.on(ABOUT)]
    assert roles[-1] == role
    sun.store.close()
