"""`energy = true`: the powers of a device added up, kept over restarts, told only when they are on disk."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import state_files
from bus.integral import MAX_GAP, Integral
from collector.checking import find_mistakes
from collector.device import Owned
from collector.devices import KINDS
from collector.devices.description import Rows
from collector.devices.lines import Line
from collector.devices.rows import flag, measured, problem
from collector.energy import Energies, with_energies
from config.model import Device, Settings
from tests.clock import FakeTime
from tests.collector.fake_i2c import FakeI2c
from tests.collector.rig import Rig

FRIDGE = Device(
    kind="ina219", bus=1, address=0x40, shunt=0.1, max_current=3.2, role="load", energy=True, every=10
)
ROWS: Rows = with_energies({"power": measured("Power", "W")})
MINUTE = 60.0


class House:
    """A rig with one INA219 whose process and machine can start again."""

    def __init__(self, folder: Path, time: FakeTime, device: Device = FRIDGE) -> None:
        self.folder, self.time, self.device = folder, time, device
        self.path = folder / "state" / "collector_i2c-energy.json"
        self.bus = FakeI2c()
        self.boot = "first"
        self.start()

    def start(self) -> None:
        """A process starts, however the one before ended."""
        energies = Energies(self.path, self.boot, self.time.monotonic_s)

        def line(_owned: Owned) -> tuple[str, type[Line]]:
            return "bus", lambda: self.bus  # type: ignore[return-value]  # it makes one

        self.rig = Rig(self.folder, self.time, {"fridge": self.device}, "i2c", lines=line, energies=energies)

    def draw(self, watts: float, seconds: float) -> None:
        """The fridge takes so much, and is asked."""
        self.bus.ina219.volts, self.bus.ina219.amps = 12.0, watts / 12.0
        self.rig.run(seconds, step=1.0)

    def told(self, entity: str = "power_energy") -> list[float]:
        """Every value that was published, oldest first."""
        return [one[entity] for one in self.rig.said("fridge") if one.get(entity) is not None]  # type: ignore[misc]  # a number


def test_a_fridge_shows_watt_hours_in_its_own_about(tmp_path: Path, time: FakeTime) -> None:
    house = House(tmp_path, time)
    house.draw(24.0, 3600 + 70)
    assert house.told()[-1] == pytest.approx(24.0, rel=0.02)
    assert house.told() == sorted(house.told())
    about = house.rig.about("fridge")
    assert about["power_energy"] == {
        "name": "Energy",
        "unit": "Wh",
        "device_class": "energy",
        "state_class": "total_increasing",
        "precision": 1,
        "role": "load",
    }
    assert "power_energy_out" not in about


def test_what_flows_the_other_way_is_another_entity(tmp_path: Path, time: FakeTime) -> None:
    house = House(tmp_path, time)
    house.draw(12.0, 600)
    into = house.told()[-1]
    house.draw(-24.0, 1800 + 70)
    assert house.told()[-1] == pytest.approx(into, abs=0.3)
    assert house.told("power_energy_out")[-1] == pytest.approx(12.0, abs=0.6)
    out = house.rig.about("fridge")["power_energy_out"]
    assert (out["name"], out["state_class"], out.get("role")) == ("Energy out", "total_increasing", None)


def test_without_the_wish_there_is_none(tmp_path: Path, time: FakeTime) -> None:
    house = House(tmp_path, time, Device(kind="ina219", bus=1, address=0x40, shunt=0.1, max_current=3.2))
    house.draw(24.0, 300)
    assert house.told("power")
    assert house.told() == []
    assert "power_energy" not in house.rig.about("fridge")
    assert not house.path.exists()


def test_no_counter_falls_after_a_power_cut_and_a_minute_is_lost_at_most(
    tmp_path: Path, time: FakeTime
) -> None:
    house = House(tmp_path, time)
    house.draw(24.0, 1000)
    before = house.told()[-1]
    house.boot = "second"
    time.pass_(5000)
    house.start()
    house.draw(24.0, 200)
    after = house.told()
    assert after[0] == before
    assert after[-1] == pytest.approx(24.0 * (1000 + 200 - 2 * 60) / 3600, abs=24.0 * 70 / 3600)


@pytest.mark.parametrize(("away", "lost"), [(200.0, 0.0), (400.0, 400.0)])
def test_a_kill_loses_nothing_unless_the_silence_is_too_long(
    tmp_path: Path, time: FakeTime, away: float, lost: float
) -> None:
    """The process ends between two saves; the power in force goes on for 300 s at most."""
    house = House(tmp_path, time)
    house.draw(36.0, 650)
    time.pass_(away)
    house.start()
    house.draw(36.0, 600)
    seconds = 650 + away + 600 - lost
    # What was measured since the last save is lost, and what is not saved yet is not told.
    assert house.told()[-1] == pytest.approx(36.0 * seconds / 3600, abs=36.0 * 135 / 3600)


def test_a_regular_end_writes_what_the_last_minute_brought(tmp_path: Path, time: FakeTime) -> None:
    house = House(tmp_path, time)
    house.draw(36.0, 650)
    house.rig.service.close()
    (kept,) = json.loads(house.path.read_text())["powers"].values()
    assert kept["into"] == pytest.approx(36.0 * 640 / 3600, abs=0.11)


def test_a_clock_that_is_set_changes_nothing(tmp_path: Path, time: FakeTime) -> None:
    house = House(tmp_path, time)
    house.draw(24.0, 600)
    time.wall_ms += 40 * 86_400_000
    house.draw(24.0, 600)
    time.wall_ms -= 80 * 86_400_000
    house.draw(24.0, 670)
    assert house.told()[-1] == pytest.approx(24.0 * 1800 / 3600, abs=24.0 * 70 / 3600)


def test_a_silent_device_uses_nothing(tmp_path: Path, time: FakeTime) -> None:
    """From when it is offline on, also if it is back within the longest gap."""
    house = House(tmp_path, time)
    house.draw(36.0, 300)
    del house.bus.chips.at[0x40]
    house.draw(36.0, 250)
    assert house.rig.online("fridge") is False
    house.bus.chips.at[0x40] = house.bus.ina219
    house.draw(36.0, 300)
    assert house.told()[-1] == pytest.approx(36.0 * (300 + 60 + 250) / 3600, abs=36.0 * 75 / 3600)


def test_a_device_that_is_asked_rarely_has_an_energy_too(tmp_path: Path, time: FakeTime) -> None:
    house = House(tmp_path, time, replace(FRIDGE, every=900))
    house.draw(24.0, 3 * 3600)
    assert house.told()[-1] == pytest.approx(24.0 * 11 * 900 / 3600, abs=0.01)


def test_settings_that_change_begin_no_new_counter() -> None:
    energies = Energies()
    energies.feed("d", ROWS, {"power": 3600.0}, 10)
    energies.save()
    for at, timeout in ((20, 60.0), (30, 900.0)):
        # Nor is told what is not on disk.
        assert energies.feed("d", ROWS, {"power": 3600.0}, at, timeout=timeout) == {"power_energy": 0.0}
    assert energies.feed("d", ROWS, {"power": 0.0}, 830, timeout=900.0) == {"power_energy": 820.0}


def test_a_silence_counts_until_the_device_is_offline() -> None:
    energies = Energies()
    energies.feed("d", ROWS, {"power": 3600.0}, 10, timeout=900.0)
    energies.silent("d", ROWS, 910, timeout=900.0)
    assert energies.feed("d", ROWS, {"power": 0.0}, 1000, timeout=900.0) == {"power_energy": 900.0}


def test_the_card_is_written_once_a_minute_at_most(
    tmp_path: Path, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    write = state_files.write

    def counted(path: Path, content: bytes) -> None:
        written.append(len(content))
        write(path, content)

    monkeypatch.setattr(state_files, "write", counted)
    house = House(tmp_path, time)
    house.draw(36.0, 1800)
    assert 25 <= len(written) <= 30
    assert max(written) < 200


def test_a_disk_that_refuses_stops_the_counter_and_is_told(tmp_path: Path, time: FakeTime) -> None:
    house = House(tmp_path, time)
    house.draw(36.0, 130)
    before = house.told()[-1]
    house.path.unlink()
    house.path.mkdir()
    (house.path / "x").touch()
    house.draw(36.0, 600)
    assert house.told()[-1] == before
    assert "stand still" in house.rig.journal.problems["energy"]
    (house.path / "x").unlink()
    house.path.rmdir()
    house.draw(36.0, 130)
    assert house.told()[-1] == pytest.approx(36.0 * 800 / 3600, abs=36.0 * 70 / 3600)
    assert "energy" not in house.rig.journal.problems


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1]",
        b'{"boot": "first", "powers": {"fridge.power": {"into": "x"}}}',
        b"\xff" * 100,
    ],
)
def test_a_damaged_file_is_told(tmp_path: Path, time: FakeTime, content: bytes) -> None:
    path = tmp_path / "state" / "collector_i2c-energy.json"
    path.parent.mkdir()
    path.write_bytes(content)
    house = House(tmp_path, time)
    house.draw(36.0, 130)
    assert "begin again at 0" in house.rig.journal.problems["energy"]
    assert house.told()[-1] == pytest.approx(0.6, abs=0.7)


@pytest.mark.parametrize(
    ("boot", "kept"),
    [
        ("b", '{"into": 5, "at": 99999999999, "watts": 50}'),
        ("b", '{"into": 5, "at": 999000, "watts": 1e300}'),
        ("b", '{"into": 5, "at": null, "watts": 50}'),
        # Of another boot, and where the boot has no name.
        ("a", '{"into": 5, "at": 999000, "watts": 36000}'),
        ("", '{"into": 5, "at": 999000, "watts": 36000}'),
    ],
)
def test_a_file_that_says_what_cannot_be_adds_nothing(
    tmp_path: Path, time: FakeTime, boot: str, kept: str
) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"boot": "' + boot + '", "powers": {"d.power": ' + kept + "}}")
    energies = Energies(path, "b" if boot else "", time.monotonic_s)
    at = time.monotonic_s
    assert energies.feed("d", ROWS, {"power": 0.0}, at + 1) == {"power_energy": 5.0}
    energies.feed("d", ROWS, {"power": 3600.0}, at + 20)
    energies.feed("d", ROWS, {"power": 0.0}, at + 30)
    energies.save()
    assert energies.feed("d", ROWS, {"power": 0.0}, at + 40) == {"power_energy": 15.0}


@given(
    st.lists(st.tuples(st.integers(0, 400_000), st.none() | st.floats(-1e4, 1e4)), min_size=1, max_size=40)
)
def test_it_is_the_integral_of_the_statistician(steps: list[tuple[int, float | None]]) -> None:
    """The same rule for gaps and for what is unknown."""
    energies, now = Energies(), 1_000_000
    ours = {sign: Integral(max_gap=MAX_GAP, sign=sign) for sign in ("positive", "negative")}
    for later, watts in steps:
        now += later
        energies.feed("d", ROWS, {"power": watts}, now / 1000)
        for one in ours.values():
            one.feed(now, watts)
    energies.save()
    said = energies.feed("d", ROWS, {"power": None}, now / 1000)
    assert said["power_energy"] == round(ours["positive"].energy, 3)
    assert said.get("power_energy_out", 0.0) == round(ours["negative"].energy, 3)


def test_which_rows_are_powers() -> None:
    rows = with_energies(
        {
            "pv_power_1": measured("PV power 1", "W", role="solar"),
            "load": measured("Load", "W"),
            "highest_power_today": measured("Highest power today", "W", diagnostic=True),
            "apparent_power": measured("Apparent power", "VA"),
            "energy": measured("Energy", "Wh"),
            "on": flag("On", "power"),
            "broken": problem("Broken"),
        }
    )
    more = {key: row.entity.name for key, row in rows.items() if key.endswith(("_energy", "_energy_out"))}
    assert more == {
        "pv_power_1_energy": "PV energy 1",
        "pv_power_1_energy_out": "PV energy 1 out",
        "load_energy": "Load energy",
        "load_energy_out": "Load energy out",
    }


def test_the_settings_know_the_entities_and_no_record_is_added_up() -> None:
    wished = replace(FRIDGE, steps={"power_energy": 1.0})
    assert find_mistakes(Settings(device={"fridge": wished}), "x") == []
    without = Settings(device={"fridge": replace(wished, energy=False)})
    assert [one.key for one in find_mistakes(without, "x")] == ["device.fridge.steps.power_energy"]
    rows = with_energies(KINDS["vedirect"].rows)
    assert "power_energy" in rows
    assert not any("highest" in key and key.endswith("_energy") for key in rows)
