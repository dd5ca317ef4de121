"""INA226, INA228, INA3221 beside the INA219: each against its twin, and each against what is none."""

from collections.abc import Callable
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.devices.description import DecodeError, NoAnswerError, SettingError, Values, WrongKindError
from collector.devices.i2c.ina import COUNTING_ROWS, KINDS, ROWS, Ina
from config.model import Device
from tests.collector.fake_i2c import FakeI2c
from tests.emulators.i2c_chips import Chip, Ina219
from tests.emulators.ina_chips import Ina226, Ina228, Ina3221

Single = Ina219 | Ina226 | Ina228
SHUNTS = {"ina219": 0.1, "ina226": 0.1, "ina228": 0.015, "ina3221": 0.1}
# Volts and A of a count, at the shunt of the usual board.
COUNTS = {
    "ina219": (4e-3, 1e-4),
    "ina226": (1.25e-3, 2.5e-5),
    "ina228": (195.3125e-6, 2.0833e-5),
    "ina3221": (8e-3, 4e-4),
}
# A voltage and a current at the end of each chip's ranges.
ENDS = {"ina219": (31.9, 3.19), "ina226": (36.0, 0.819), "ina228": (85.0, 10.9), "ina3221": (26.0, 1.63)}


def _make(kind: str, **settings: float | str) -> Ina:
    device = Device(kind=kind, **settings)  # type: ignore[arg-type]  # settings by name
    chip = KINDS[kind].make(device)
    assert isinstance(chip, Ina)
    return chip


class Bench:
    """A chip of a kind at 0x40 behind its line; of an INA3221 channel 2 is what flows."""

    def __init__(self, kind: str, **settings: float | str) -> None:
        self.line = FakeI2c()
        twins: dict[str, Callable[[], Chip]] = {
            "ina219": lambda: Ina219(lambda: self.line.now),
            "ina226": lambda: Ina226(lambda: self.line.now),
            "ina228": lambda: Ina228(lambda: self.line.now),
            "ina3221": lambda: Ina3221(lambda: self.line.now),
        }
        self.twin = twins[kind]()
        self.line.chips.at[0x40] = self.twin
        self.device = _make(kind, **({"channel": 2} if kind == "ina3221" else {}), **settings)

    def flow(self, volts: float, amps: float) -> None:
        """Let this flow from now on."""
        if isinstance(self.twin, Ina3221):
            self.twin.channels = {1: (1.0, 0.1), 2: (volts, amps), 3: (2.0, -0.1)}
        else:
            assert isinstance(self.twin, Single)
            self.twin.volts, self.twin.amps = volts, amps

    def poll(self) -> Values:
        """One poll's values."""
        return self.device.poll(self.line, 0.0).values


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.003, 0.0, -0.4, -1.0])
def test_what_flows_is_what_is_read(kind: str, share: float) -> None:
    bench = Bench(kind)
    volts, amps = ENDS[kind][0] * abs(share), ENDS[kind][1] * share
    bench.flow(volts, amps)
    values = bench.poll()
    assert values["voltage"] == pytest.approx(volts, abs=COUNTS[kind][0])
    assert values["current"] == pytest.approx(amps, abs=COUNTS[kind][1])
    assert values["power"] == pytest.approx(volts * amps, rel=0.02, abs=0.01)
    assert set(values) == set(COUNTING_ROWS if kind == "ina228" else ROWS)


@pytest.mark.parametrize("sign", [1, -1])
def test_beyond_the_shunts_range_the_current_is_unknown(kind: str, sign: int) -> None:
    bench = Bench(kind)
    bench.flow(12.0, sign * 99.0)
    decoded = bench.device.poll(bench.line, 0.0)
    assert (decoded.values["current"], decoded.values["power"]) == (None, None)
    assert decoded.values["voltage"] == pytest.approx(12.0, abs=0.008)
    assert "use a smaller shunt" in decoded.reasons["current"]
    assert ("raise max_current" in decoded.reasons["current"]) is (len(bench.device.setup.chip.ranges) > 1)
    bench.flow(12.0, sign * 0.5)
    bench.line.pause(1.0)
    assert bench.poll()["current"] == pytest.approx(sign * 0.5, abs=0.001)


def test_beyond_its_voltages_the_voltage_is_unknown(kind: str) -> None:
    bench = Bench(kind)
    bench.flow(150.0, 0.5)
    decoded = bench.device.poll(bench.line, 0.0)
    assert (decoded.values["voltage"], decoded.values["power"]) == (None, None)
    assert decoded.values["current"] == pytest.approx(0.5, abs=0.001)
    assert "which is made for" in decoded.reasons["voltage"]


@pytest.mark.parametrize(("word", "volts"), [(b"\xff\xff\xff", 0.0), (b"\x80\x00\x00", None)])
@pytest.mark.parametrize("kind", ["ina226", "ina228", "ina3221"])
def test_a_voltage_a_hair_below_0_is_0_and_one_far_below_is_none(
    kind: str, word: bytes, volts: float | None
) -> None:
    bench = Bench(kind)
    bench.poll()
    bench.line.pause(1.0)
    at = bench.device.setup.chip.bus.at + (2 if bench.device.setup.channel else 0)
    real = bench.line.read

    def read(address: int, register: int, count: int) -> bytes:
        return word[:count] if register == at else real(address, register, count)

    bench.line.read = read  # type: ignore[method-assign]  # the test's answers
    if volts is None:
        with pytest.raises(DecodeError, match="which it cannot measure"):
            bench.poll()
    else:
        assert bench.poll()["voltage"] == volts


def test_a_smaller_shunt_and_a_correction_scale_the_current(kind: str) -> None:
    bench = Bench(kind, shunt=0.005, correction=1.02)
    assert not isinstance(bench.twin, Ina3221) or bench.twin.channels
    setattr(bench.twin, "shunt", 0.005)  # noqa: B010 — of any twin
    bench.flow(12.0, 5.0)
    assert bench.poll()["current"] == pytest.approx(5.1, abs=0.01)


@pytest.mark.parametrize("transfer", range(30))
def test_a_brown_out_in_the_middle_of_a_poll_never_reads_zero(kind: str, transfer: int) -> None:
    bench = Bench(kind)
    bench.flow(12.0, 0.8)
    bench.poll()
    bench.line.pause(1.0)
    bench.line.before[bench.line.transfers + transfer] = bench.twin.brown_out
    try:
        current = bench.poll()["current"]
    except DecodeError as error:
        assert "lost its settings" in str(error)  # noqa: PT017 — either of two ends is right
    else:
        assert current == pytest.approx(0.8, abs=0.001)
    # What was cut short is whole at the next poll.
    bench.line.before.clear()
    bench.line.pause(1.0)
    assert bench.poll()["current"] == pytest.approx(0.8, abs=0.001)


def test_the_next_poll_writes_nothing_and_waits_for_nothing(kind: str) -> None:
    bench = Bench(kind)
    bench.flow(12.0, 0.1)
    bench.poll()
    bench.line.pause(1.0)
    bench.flow(12.0, 0.7)
    bench.line.pause(1.0)
    written, now = list(bench.line.written), bench.line.now
    assert bench.poll()["current"] == pytest.approx(0.7, abs=0.001)
    assert bench.line.written == written
    assert bench.line.now - now < 0.01


def test_a_chip_that_stands_still_is_named(kind: str) -> None:
    bench = Bench(kind)
    bench.poll()
    bench.twin.stuck = True
    bench.line.pause(1.0)
    before = bench.line.now
    with pytest.raises(NoAnswerError, match="0x40 answers but does not measure"):
        # What was measured before it stood still may still wait.
        [bench.poll() for _ in range(2)]
    assert bench.line.now - before < 4


@pytest.mark.parametrize(("kind", "other"), list(permutations(sorted(KINDS), 2)))
def test_another_chip_of_the_family_is_named_and_gives_no_values(kind: str, other: str) -> None:
    bench = Bench(other)
    bench.flow(12.0, 0.5)
    device = _make(kind, **({"channel": 1} if kind == "ina3221" else {}))
    meant = "is it an INA219" if other == "ina219" else f'set kind = "{other}"'
    with pytest.raises(WrongKindError, match=f"0x40 is no {kind.upper()}: {meant}"):
        device.poll(bench.line, 0.0)
    assert bench.line.written == [], "a chip of another kind is not written to"


def test_three_devices_share_the_three_channels_of_a_chip() -> None:
    bench = Bench("ina3221")
    bench.flow(12.8, 1.2)
    said = [_make("ina3221", channel=one).poll(bench.line, 0.0).values for one in (1, 2, 3)]
    assert [one["voltage"] for one in said] == [1.0, 12.8, 2.0]
    assert [one["current"] for one in said] == [pytest.approx(0.1), pytest.approx(1.2), pytest.approx(-0.1)]
    assert [written[1] for written in bench.line.written] == [0], "set up once"


@pytest.mark.parametrize("channel", [0, 4])
def test_a_channel_that_is_none_is_refused(channel: int) -> None:
    with pytest.raises(SettingError, match="channel: INA3221 has no channel"):
        KINDS["ina3221"].make(Device(kind="ina3221", channel=channel))


def test_the_range_of_an_ina228_follows_from_the_largest_current() -> None:
    assert _make("ina228").setup.range.registers[0] == 0
    assert _make("ina228", max_current=2.7).setup.range.registers[0] == 0x10
    assert _make("ina228", max_current=2.8).setup.range.registers[0] == 0
    with pytest.raises(SettingError, match=r"max_current: .*at most 10\.9"):
        _make("ina228", max_current=11)


@pytest.mark.parametrize("most", [10.0, 2.5])
@pytest.mark.parametrize("amps", [2.0, -2.0])
def test_an_ina228_counts_energy_and_charge(most: float, amps: float) -> None:
    bench = Bench("ina228", max_current=most)
    bench.flow(12.5, amps)
    bench.poll()
    bench.line.pause(3600)
    values = bench.poll()
    assert values["energy"] == pytest.approx(25.0, rel=2e-3), "of both directions"
    assert values["charge"] == pytest.approx(amps, rel=2e-3)
    assert values["temperature"] == pytest.approx(25.0, abs=0.01)


def test_counters_of_an_ina228_begin_anew_with_its_settings() -> None:
    bench = Bench("ina228")
    assert isinstance(bench.twin, Ina228)
    bench.flow(12.5, 2.0)
    # Nobody has set it up yet, and it has counted for a day.
    bench.line.pause(86_400)
    bench.twin.get(0)
    assert bench.twin.energy > 0
    assert bench.poll()["energy"] == pytest.approx(0, abs=0.01)
    bench.line.pause(3600)
    assert bench.poll()["energy"] == pytest.approx(25, rel=2e-3)


def test_the_counters_ends_are_read_as_numbers_with_and_without_a_sign() -> None:
    bench = Bench("ina228")
    assert isinstance(bench.twin, Ina228)
    bench.poll()
    step = 312.5e-9 / 0.015
    bench.twin.energy, bench.twin.charge = (1 << 40) - 1, -(1 << 39)
    values = bench.poll()
    assert values["energy"] == pytest.approx(((1 << 40) - 1) * 51.2 * step / 3600)
    assert values["charge"] == pytest.approx(-(1 << 39) * step / 3600)


def test_an_overflow_of_the_chips_arithmetic_makes_the_counters_unknown() -> None:
    bench = Bench("ina228")
    assert isinstance(bench.twin, Ina228)
    bench.twin.overflow = True
    decoded = bench.device.poll(bench.line, 0.0)
    assert (decoded.values["energy"], decoded.values["charge"]) == (None, None)
    assert "overflowed" in decoded.reasons["energy"]
    bench.twin.overflow, bench.twin.sound = False, False
    bench.line.pause(1.0)
    with pytest.raises(DecodeError, match="its memory is damaged"):
        bench.poll()


class Noise:
    """A bus whose answers are what a test draws; a chip may also fall silent."""

    def __init__(self, answers: list[bytes | None]) -> None:
        self._answers = answers

    def open(self) -> None:
        """It is open."""

    def close(self) -> None:
        """It stays as it is."""

    def read(self, _address: int, _register: int, count: int) -> bytes:
        """The next answer; the last one for ever."""
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer is None:
            raise NoAnswerError("silent")
        return answer if len(answer) < 2 else (answer * count)[:count]

    def write(self, _address: int, _register: int, _data: bytes) -> None:
        """Take anything."""

    def receive(self, address: int, count: int) -> bytes:
        """The same."""
        return self.read(address, 0, count)

    def pause(self, _seconds: float) -> None:
        """No time passes."""


@given(
    st.sampled_from(sorted(KINDS)),
    st.lists(st.one_of(st.none(), st.binary(max_size=6)), min_size=1, max_size=20),
)
def test_noise_on_the_bus_is_an_error_that_is_documented(kind: str, answers: list[bytes | None]) -> None:
    device = _make(kind, **({"channel": 1} if kind == "ina3221" else {}))
    with pytest.raises(DecodeError):
        device.poll(Noise(answers), 0.0)


@given(st.sampled_from(sorted(KINDS)), st.binary(min_size=5, max_size=5), st.binary(min_size=5, max_size=5))
def test_any_measurement_is_within_the_chips_ranges_or_unknown(kind: str, shunt: bytes, bus: bytes) -> None:
    bench = Bench(kind)
    bench.poll()
    bench.line.pause(1.0)
    chip = bench.device.setup.chip
    channel = bench.device.setup.channel
    answers = {chip.shunts[channel].at: shunt, chip.bus.at + (2 if channel else 0): bus}
    real = bench.line.read

    def read(address: int, register: int, count: int) -> bytes:
        if register == 2 and kind == "ina219":
            return bytes([bus[0], bus[1] | 2])
        return answers[register][:count] if register in answers else real(address, register, count)

    bench.line.read = read  # type: ignore[method-assign]  # the test's answers
    try:
        values = bench.poll()
    except DecodeError as error:
        assert "cannot measure" in str(error)  # noqa: PT017 — either of two ends is right
        return
    for entity, end in (("voltage", 102.5), ("current", 0.33 / SHUNTS[kind])):
        value = values[entity]
        assert value is None or abs(float(value)) <= end
