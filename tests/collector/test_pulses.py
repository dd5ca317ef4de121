"""Pulses of meters: counted by the kernel's edges, kept over the end of the process, never too many."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import state_files
from bus.pins import make_inputs
from bus.pins.gpiod_lines import GpiodLines
from collector.device import Owned, own
from collector.devices.description import SettingError
from collector.devices.gpio import PULSE_COUNTER, Flow
from collector.devices.lines import Count, Kept, Line, Pulses
from collector.lines import Surroundings, line_of
from collector.transports.board import Gpio
from collector.transports.counts import CountFiles
from config.model import Controller, Device, Pull, Settings
from tests.clock import FakeTime
from tests.collector import board as boards
from tests.collector.rig import Rig
from tests.emulators.gpio_board import Board

WATER = Device(
    kind="pulse_counter", pin=27, pulses_per_unit=450, min_interval=0, heartbeat=5, timeout=20, debounce=0
)
METER = Device(
    kind="pulse_counter",
    pin=22,
    pulses_per_unit=1000,
    counts="energy",
    min_interval=0,
    heartbeat=5,
    timeout=20,
)


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    yield boards.plug_in(monkeypatch, tmp_path)
    boards.unload()


class House:
    """A collector of pins in folders that outlive it; `rig` is the process of now."""

    def __init__(
        self, folder: Path, time: FakeTime, board: Board, backend: str = "gpiod", **devices: Device
    ) -> None:
        self.time, self.board, self.devices = time, board, devices
        self.folder = folder
        self.around = Surroundings(
            state=folder / "state", runtime=folder / "runtime", controller=boards.settings(board, backend)
        )
        self.start()

    def start(self) -> None:
        """A new process, which has opened its pins: what came before that nobody has counted."""
        self.number = len(list(self.folder.glob("rig-*")))
        self.rig = Rig(self.folder / f"rig-{self.number}", self.time, self.devices, "gpio", self._line)
        self.rig.run(1)

    def _line(self, owned: Owned) -> tuple[str, Callable[[], Line]]:
        name, _ = line_of(owned, self.around)
        assert self.around.runtime is not None
        counts = CountFiles(self.around.runtime, self.around.state, monotonic=lambda: self.time.monotonic_s)
        pins = make_inputs(self.around.controller, "boondock test")
        return name, lambda: Gpio(pins, lambda _told: None, counts)

    def kill(self) -> None:
        """The process dies: its pins are let go, and nothing is written."""
        for file in self.board.folder.glob("held-*"):
            file.unlink()
        self.start()

    def power_cut(self) -> None:
        """The machine loses its supply: what is only in memory is gone."""
        (self.folder / "runtime" / "collector_gpio-pulses.json").unlink(missing_ok=True)
        self.kill()

    def flow(self, pin: int, hz: float, seconds: float) -> None:
        """Pulses come as time passes, a second at a time."""
        for _ in range(round(seconds)):
            self.board.pulse(pin, round(hz), at=self.time.monotonic_s, hz=hz)
            self.rig.run(1, 0.5)


@pytest.fixture
def house(tmp_path: Path, time: FakeTime, board: Board) -> Iterator[House]:
    house = House(tmp_path / "house", time, board, water=WATER, meter=METER)
    yield house
    house.rig.close()


def _settled(house: House) -> float:
    """The water in litres once all of it is on the card."""
    house.rig.run(66)
    return float(str(_newest(house, "water", "water")))


def _newest(house: House, device: str, entity: str) -> float | None:
    value = house.rig.said(device)[-1][entity]
    assert value is None or isinstance(value, int | float)
    return value


def test_water_is_counted_in_litres_and_flows_in_litres_a_minute(house: House) -> None:
    house.rig.run(12)
    assert house.rig.said("water")[-1]["flow"] == 0.0
    house.flow(27, 45, 70)
    # 45 of 450 pulses a second.
    assert _newest(house, "water", "flow") == pytest.approx(6.0, abs=0.01)
    assert _settled(house) == pytest.approx(7.0, abs=0.001)
    assert _newest(house, "water", "flow") == 0.0
    about = house.rig.about("water")
    assert (about["water"]["device_class"], about["water"]["state_class"]) == ("water", "total_increasing")
    assert (about["flow"]["unit"], about["flow"]["device_class"]) == ("L/min", "volume_flow_rate")


def test_a_meter_is_counted_in_wh_and_tells_watts_between_two_pulses(house: House) -> None:
    board, time = house.board, house.time
    house.rig.run(2)
    # 1000 pulses a kWh: one in 36 s is 100 W.
    for _ in range(3):
        board.pulse(22, 1, at=time.monotonic_s, hz=10)
        house.rig.run(36)
    assert _newest(house, "meter", "power") == pytest.approx(100, abs=2)
    house.rig.run(61)
    assert _newest(house, "meter", "energy") == 3
    # Nothing comes: it must be less and less, and is 0 after a quarter of an hour.
    house.rig.run(84)
    assert 15 < float(str(_newest(house, "meter", "power"))) < 25
    house.rig.run(800, 5)
    assert _newest(house, "meter", "power") == 0.0


def test_what_the_kernels_buffer_drops_is_counted_all_the_same(house: House) -> None:
    house.rig.run(1)
    house.board.pulse(27, 900, at=house.time.monotonic_s, hz=900)
    house.rig.run(70)
    assert _newest(house, "water", "water") == 2.0


def test_a_bounce_shorter_than_the_debounce_is_no_pulse(house: House) -> None:
    house.rig.run(1)
    board, at = house.board, house.time.monotonic_s
    board.pulse(22, 5, at=at, hz=100)
    # 0.4 ms of 1 ms.
    board.pulse(22, 5, at=at, hz=1000, low=0.4)
    house.rig.run(70)
    assert _newest(house, "meter", "energy") == 5


def test_numbers_of_the_kernel_go_round(board: Board) -> None:
    lines = GpiodLines(str(board.chip), "boondock test")
    lines.counter(27, "up", rising=False, debounce=0)
    # As after four thousand million pulses.
    lines._seen[27] = lines._requests[27]._number = (1 << 32) - 100
    board.pulse(27, 450, at=1.0, hz=450)
    edges = lines.edges(27)
    assert edges is not None
    assert edges.count == 450
    assert edges.rate == pytest.approx(450)
    assert lines.edges(27) is None
    lines.release([27])


@pytest.mark.parametrize(
    ("pull", "active_low", "edge"),
    [(None, None, "falling"), ("down", None, "rising"), ("up", False, "rising"), ("down", True, "falling")],
)
def test_the_edge_that_counts_is_the_closing(
    board: Board,
    pull: Pull | None,
    active_low: bool | None,  # noqa: FBT001 — a table
    edge: str,
) -> None:
    line = Gpio(boards.pins(board, "gpiod"), lambda _told: None)
    line.open()
    device = Device(kind="pulse_counter", pin=27, pulses_per_unit=1, pull=pull, active_low=active_low)
    poller = PULSE_COUNTER.make(device)
    poller.poll(line, 0.0)
    (board.folder / "pulses-27").write_text(f"1000000000 {edge} 20000000\n", encoding="ascii")
    assert poller.poll(line, 1.0).values["water"] == 1
    line.close()


def test_a_restart_loses_nothing_that_was_polled(house: House) -> None:
    house.flow(27, 45, 20)
    house.rig.close()
    kept = json.loads((house.around.state / "collector_gpio-pulses.json").read_text())
    assert kept["water.27"]["pulses"] == 900
    house.start()
    house.flow(27, 45, 70)
    assert _settled(house) == pytest.approx(9.0)


def test_a_kill_loses_nothing_that_was_polled(house: House) -> None:
    house.flow(27, 45, 20)
    house.kill()
    house.flow(27, 45, 70)
    assert _settled(house) == pytest.approx(9.0)


def _totals(house: House) -> list[float]:
    return [float(str(one["water"])) for one in house.rig.said("water") if one["water"] is not None]


def test_a_power_cut_loses_a_minute_at_most_and_what_was_told_never_falls(house: House) -> None:
    house.flow(27, 45, 100)
    told = _totals(house)
    assert told == sorted(told)
    house.power_cut()
    house.flow(27, 45, 65)
    after = _totals(house)
    assert after == sorted(after)
    assert after[0] >= told[-1], "what was told was on the card"
    assert 16.5 - 6.1 <= after[-1] <= 16.5, "at most a minute is missing, and nothing is invented"


def test_the_card_is_written_once_a_minute_and_only_if_pulses_came(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    real = state_files.write

    def write(path: Path, content: bytes) -> None:
        if path.parent == house.around.state:
            written.append(content.decode())
        real(path, content)

    monkeypatch.setattr(state_files, "write", write)
    house.flow(27, 45, 300)
    assert 5 <= len(written) <= 6
    house.rig.run(3600, 5)
    assert len(written) <= 7


def test_a_card_that_takes_nothing_is_told_and_the_count_goes_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = state_files.write

    def write(path: Path, content: bytes) -> None:
        if path.parent == house.around.state:
            raise OSError(30, "Read-only file system")
        real(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(state_files, "write", write)
        house.flow(27, 45, 70)
        house.rig.run(6)
        assert _newest(house, "water", "water") == pytest.approx(7.0)
        assert "cannot be kept" in house.rig.journal.problems["entity.water.water"]
    house.flow(27, 45, 70)
    assert "entity.water.water" not in house.rig.journal.problems
    assert _settled(house) == pytest.approx(14.0)


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b'{"water.27": {"pulses": -1, "per_unit": 450, "before": 0}}',
        b'{"water.27": {"pulses": 1, "per_unit": 0, "before": 0}}',
        b'{"water.27": {"pulses": 1, "per_unit": 450, "before": 1e300}}',
        b'{"water.27": {"pulses": 1e30, "per_unit": 450, "before": 0}}',
        b"\x00" * 4096,
    ],
)
def test_a_damaged_file_is_told_kept_and_begun_anew(house: House, damage: bytes) -> None:
    house.flow(27, 45, 70)
    house.rig.close()
    state = house.around.state / "collector_gpio-pulses.json"
    state.write_bytes(damage)
    # The memory knows it all the same.
    house.start()
    house.flow(27, 45, 5)
    assert _newest(house, "water", "water") == pytest.approx(7.5, abs=0.6)
    house.rig.close()
    state.write_bytes(damage)
    house.power_cut()
    house.flow(27, 45, 5)
    assert _newest(house, "water", "water") < 1  # type: ignore[operator]  # a number
    assert "what was counted before is lost" in house.rig.journal.problems["entity.water.water"]
    assert state.with_name("collector_gpio-pulses.json.damaged").read_bytes() == damage


def test_another_number_of_pulses_a_unit_keeps_what_was_counted(house: House) -> None:
    house.flow(27, 45, 20)
    house.rig.close()
    house.devices["water"] = Device(
        kind="pulse_counter", pin=27, pulses_per_unit=90, debounce=0, min_interval=0
    )
    house.start()
    house.flow(27, 45, 70)
    assert _settled(house) == pytest.approx(2.0 + 70 * 0.5)


def test_noise_is_not_counted_and_told(house: House) -> None:
    house.flow(27, 45, 10)
    house.board.pulse(27, 20_000, at=house.time.monotonic_s, hz=20_000)
    house.rig.run(1)
    assert "are noise and are not counted" in house.rig.journal.problems["entity.water.flow"]
    assert house.rig.said("water")[-1]["flow"] is None
    house.flow(27, 45, 70)
    assert "entity.water.flow" not in house.rig.journal.problems
    assert _settled(house) == pytest.approx(8.0)


def test_a_step_of_the_clock_changes_nothing(house: House) -> None:
    house.flow(27, 45, 65)
    house.time.wall_ms += 86_400_000
    house.flow(27, 45, 65)
    assert _newest(house, "water", "flow") == pytest.approx(6.0, abs=0.01)
    assert _settled(house) == pytest.approx(13.0)


def test_without_edges_levels_are_watched_and_the_limit_is_told(
    tmp_path: Path, time: FakeTime, board: Board
) -> None:
    house = House(tmp_path / "house", time, board, "rpi", water=WATER)
    house.rig.run(2)
    for _ in range(5):
        board.wire(27, "low")
        house.rig.run(2)
        board.wire(27, "high")
        house.rig.run(2)
    house.rig.run(61)
    assert _newest(house, "water", "water") == pytest.approx(5 / 450, abs=0.001)
    assert house.rig.journal.problems["entity.water.water"].startswith("at most 0.5 pulses a second are seen")
    house.rig.close()


def test_a_line_that_was_lost_counts_on(house: House) -> None:
    house.flow(27, 45, 10)
    house.board.forbid()
    house.rig.run(30)
    assert house.rig.online("water") is False
    house.board.permit()
    house.rig.run(62)
    house.flow(27, 45, 70)
    assert _settled(house) == pytest.approx(8.0)
    assert house.rig.online("water")


@pytest.mark.parametrize("folder", ["state", "runtime"])
def test_the_larger_of_card_and_memory_counts(tmp_path: Path, folder: str) -> None:
    for name, pulses in {"state": 5, "runtime": 5, folder: 9}.items():
        (tmp_path / name).mkdir()
        text = json.dumps({"water.27": {"pulses": pulses, "per_unit": 1, "before": 0}})
        (tmp_path / name / "collector_gpio-pulses.json").write_text(text)
    files = CountFiles(tmp_path / "runtime", tmp_path / "state")
    assert files.recall("water.27") == Count(9)
    assert files.keep("water.27", Count(10)) == Kept(Count(10))


def test_counters_of_an_expander_are_kept_apart_from_those_of_the_board(tmp_path: Path, board: Board) -> None:
    expander = Board(board.folder / "expander", label="mcp23017")
    around = Surroundings(
        state=tmp_path / "state", runtime=tmp_path / "run", controller=boards.settings(board, "gpiod")
    )
    for _ in range(2):
        devices = [WATER, replace(WATER, chip=str(expander.chip))]
        lines = [line_of(_owned(one), around)[1]() for one in devices]
        pollers = [PULSE_COUNTER.make(one) for one in devices]
        for line, poller in zip(lines, pollers, strict=True):
            line.open()
            poller.poll(line, 0.0)  # type: ignore[arg-type]  # a line of pins
        board.pulse(27, 450, at=1.0, hz=450)
        expander.pulse(27, 900, at=1.0, hz=900)
        for line, poller in zip(lines, pollers, strict=True):
            poller.poll(line, 1.0)  # type: ignore[arg-type]  # a line of pins
        # The one that ends first has written last but one.
        for line in (*lines, *lines):
            line.close()
    kept = [json.loads(file.read_text()) for file in sorted((tmp_path / "state").glob("*.json"))]
    assert sorted(one["water.27"]["pulses"] for one in kept) == [900, 1800]


def test_without_a_folder_it_counts_from_0(board: Board) -> None:
    _, make = line_of(_owned(WATER), Surroundings(controller=boards.settings(board, "gpiod")))
    line: Line = make()
    line.open()
    poller = PULSE_COUNTER.make(WATER)
    poller.poll(line, 0.0)  # type: ignore[arg-type]  # a line of pins
    board.pulse(27, 450, at=1.0, hz=450)
    assert poller.poll(line, 1.0).values["water"] == 1.0  # type: ignore[arg-type]  # a line of pins
    line.close()


@given(
    st.lists(
        st.tuples(st.integers(0, 2000), st.floats(0, 1e6) | st.none(), st.floats(0, 2000) | st.none()),
        max_size=40,
    )
)
def test_any_pulses_make_a_rate_that_is_none_or_not_negative(
    polls: list[tuple[int, float | None, float | None]],
) -> None:
    flow = Flow(10.0)
    for second, (count, newest, rate) in enumerate(polls):
        found = flow.take(Pulses(count, newest, rate), float(second))
        assert found is None or found >= 0


@pytest.mark.parametrize("counts", ["gas", "Water", ""])
def test_what_is_not_counted_is_refused(counts: str) -> None:
    with pytest.raises(SettingError, match="water, energy"):
        PULSE_COUNTER.make(Device(kind="pulse_counter", pin=4, pulses_per_unit=1, counts=counts))


def _owned(device: Device) -> Owned:
    return own(Settings(controller=Controller()), "water", device, 0.0)
