"""Meters on real pseudo terminals, from the bytes to the state topic; and what a port may do to them."""

import random
import termios
import time as real_time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.devices.description import BadRecordError, LineError, NoAnswerError
from collector.devices.lines import MeterWay
from collector.transports.meter_port import MeterPort, SmlFrames, TextFrames
from config.model import Device
from tests.clock import FakeTime
from tests.collector.rig import Rig
from tests.collector.test_meters import CAPTURES, raw
from tests.emulators.meters import OpticalMeter, even, framed, p1
from tests.emulators.tunnel import Tunnel
from tests.emulators.vedirect import Cable, Talker
from tests.rounds import rounds

E350 = CAPTURES["optical"]["landis_gyr_e350"]
DATA = E350["data"].removesuffix("\x03").encode()
LISTENS = MeterWay(9600, 0.6)
ASKS = MeterWay(300, 3.0, asked=True)
FILES = [bytes.fromhex(one["hex"]) for one in CAPTURES["sml"].values()]


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[a:b] for a, b in pairwise(edges)]


@given(st.lists(st.integers(0, 10_000), max_size=12), st.binary(max_size=40), st.booleans())
def test_any_split_gives_the_same_telegrams(places: list[int], noise: bytes, parity: bool) -> None:  # noqa: FBT001 — hypothesis draws it
    """Noise that stands before a line end costs nothing behind it."""
    texts = raw("dsmr_5") + raw("dsmr_2_2") + raw("sweden")
    stream = noise.replace(b"!", b"") + b"\r\n" + (even(texts) if parity else texts)
    frames = TextFrames()
    found = [one for piece in cut(stream, places) for one in frames.feed(piece)]
    assert [one.checked for one in found] == [True, False, True]
    assert b"".join(one.data for one in found) == b"".join(
        raw(name)[: raw(name).rindex(b"!") + 1] for name in ("dsmr_5", "dsmr_2_2", "sweden")
    )


@given(st.lists(st.integers(0, 10_000), max_size=12), st.binary(max_size=40))
def test_any_split_gives_the_same_files(places: list[int], inside: bytes) -> None:
    """Also of what looks like an escape sequence inside."""
    odd = framed(b"\x1b\x1b" + inside + b"\x1b" * 5)
    stream = FILES[1][70:] + FILES[0] + odd + FILES[2]
    frames = SmlFrames()
    found = [one for piece in cut(stream, places) for one in frames.feed(piece)]
    assert len(found) == 3
    assert found[1].data.startswith(b"\x1b\x1b" + inside + b"\x1b" * 5)


def test_every_flipped_bit_of_a_checked_telegram_is_noticed() -> None:
    chance = random.Random(3)  # noqa: S311 — damage that comes again
    text, file = raw("fluvius"), FILES[1]
    for _ in range(rounds(300, 20_000)):
        for data, make in ((text, TextFrames), (file, SmlFrames)):
            damaged = bytearray(data)
            place = chance.randrange(1, len(data) - 8)
            damaged[place] ^= 1 << chance.randrange(7)
            kinds: Callable[[], TextFrames | SmlFrames] = make
            assert not [one for one in kinds().feed(bytes(damaged)) if one.checked]


def test_a_parity_that_is_wrong_is_noticed_where_there_is_no_checksum() -> None:
    data = bytearray(even(raw("dsmr_2_2")))
    frames = TextFrames()
    for place in range(30, 60):
        damaged = bytearray(data)
        damaged[place] ^= 1
        assert frames.feed(bytes(damaged)) == []
    assert frames.bad == 30
    (whole,) = frames.feed(bytes(data))
    assert not whole.checked


@pytest.mark.parametrize("frames", [TextFrames, SmlFrames])
@pytest.mark.parametrize(
    "data",
    [
        bytes(range(256)) * 400,
        b"/" * 100_000,
        b"!\n" * 50_000,
        b"/x\r\n!zzzz\n" * 5000,
        b"\x1b" * 100_000,
        (b"\x1b" * 4 + b"\x01" * 4) * 9000,
        (b"\x1b" * 4 + b"\x01" * 4) + b"\0" * 100_000,
    ],
)
def test_noise_without_end_fills_no_memory(frames: type[TextFrames | SmlFrames], data: bytes) -> None:
    found = frames()
    for start in range(0, len(data), 512):
        assert not found.feed(data[start : start + 512])
        assert len(found._raw) <= 17_000
    good = raw("dsmr_5") if frames is TextFrames else FILES[0]
    assert len(found.feed(b"\r\n!\r\n" + good)) + len(found.feed(good)) >= 1


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def rig(tmp_path: Path, time: FakeTime, device: Device, stack: ExitStack) -> Rig:
    made = Rig(tmp_path, time, {"grid": device}, "serial")
    stack.callback(made.close)
    return made


def test_a_p1_meter_to_the_state_topic(tmp_path: Path, time: FakeTime, stack: ExitStack) -> None:
    cable = Cable()
    stack.callback(cable.pull)
    stack.enter_context(Talker(cable.write, raw("dsmr_5")))
    meter = rig(tmp_path, time, Device(kind="p1_meter", port=cable.path), stack)
    meter.pass_(0.5)
    (said,) = meter.said("grid")
    assert (said["grid_power"], said["grid_import_energy"], said["gas"]) == (244, 6825, 0.107)
    assert meter.online("grid")
    about = meter.about("grid")
    assert about["gas"]["device_class"] == "gas"
    assert about["grid_power"]["role"] == "grid"
    assert "heat" not in about
    assert meter.remembered("grid") == []
    # Its clock stands in 2017, before this software was made.
    assert meter.journal.counters["refused_times.grid"] == 1


def test_gas_is_remembered_at_its_own_time(tmp_path: Path, time: FakeTime, stack: ExitStack) -> None:
    """The rig's time is 12:00 UTC, 13:00 in winter where such meters are."""
    lines = (
        "/ISk5\\2MT382-1000",
        "",
        "0-0:1.0.0(261121130010W)",
        "1-0:1.8.0(000001.000*kWh)",
        "0-1:24.1.0(003)",
        "0-1:24.2.1(261121125500W)(00012.345*m3)",
    )
    cable = Cable()
    stack.callback(cable.pull)
    stack.enter_context(Talker(cable.write, p1(lines)))
    meter = rig(tmp_path, time, Device(kind="p1_meter", port=cable.path), stack)
    meter.pass_(0.5)
    meter.pass_(30)
    (old,) = meter.remembered("grid")
    assert (old["ts"], old["gas"]) == ("2026-11-21T11:55:00.000Z", 12.345)
    assert "grid_import_energy" not in old
    assert meter.said("grid")[0]["gas"] == 12.345


def test_a_pushing_optical_meter_with_seven_bits(tmp_path: Path, time: FakeTime, stack: ExitStack) -> None:
    cable = Cable()
    stack.callback(cable.pull)
    stack.enter_context(Talker(cable.write, even(raw("easymeter_q3d"))))
    meter = rig(tmp_path, time, Device(kind="iec62056_meter", port=cable.path, push=True), stack)
    meter.pass_(0.5)
    (said,) = meter.said("grid")
    assert (said["grid_power"], said["serial_number"]) == (2124.86, "1ESY1313002565")


def test_an_sml_meter_to_the_state_topic(tmp_path: Path, time: FakeTime, stack: ExitStack) -> None:
    cable = Cable()
    stack.callback(cable.pull)
    stack.enter_context(Talker(cable.write, FILES[1]))
    meter = rig(tmp_path, time, Device(kind="sml_meter", port=cable.path), stack)
    meter.pass_(0.5)
    (said,) = meter.said("grid")
    assert (said["grid_power"], said["grid_import_energy"]) == (137, 4_499_896.2)
    assert meter.about("grid")["frequency"]["unit"] == "Hz"


# Name of the meter, the speed at which its data must come, and what is acknowledged.
MODES = (
    ("/LGZ4ZMF100AC.M26", 4800, b"\x06040\r\n"),
    ("/LGZ5\\2ZMD1204407.B32", 9600, b"\x06050\r\n"),
    ("/ACE0\\3k260V01.18", 300, b"\x06000\r\n"),
    ("/EMHB-NZR-1234", 1200, None),
    ("/XXX MODE A", 300, None),
)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode[0])
@pytest.mark.parametrize("echo", [False, True])
def test_an_optical_meter_is_asked(
    mode: tuple[str, int, bytes | None], *, echo: bool, tmp_path: Path, time: FakeTime, stack: ExitStack
) -> None:
    name, speed, acknowledged = mode
    twin = stack.enter_context(OpticalMeter(name, DATA, echo=echo))
    meter = rig(tmp_path, time, Device(kind="iec62056_meter", port=twin.path), stack)
    meter.pass_(0.5)
    (said,) = meter.said("grid")
    assert (said["grid_import_energy"], said["grid_export_energy"]) == (61_561_289, 10_490)
    assert (said["grid_voltage_l2"], said["grid_current_l1"]) == (243, 0.35)
    assert said["serial_number"] == "13647123"
    assert twin.heard == [b"/?!\r\n", *([] if acknowledged is None else [acknowledged])]
    assert twin.sent_at == [300, speed]
    # And again, from 300 bit/s on.
    meter.pass_(60)
    assert twin.sent_at == [300, speed] * 2


@pytest.mark.parametrize(
    "damage",
    [
        b"\x02" + DATA + b"\x03\x7f",
        b"\x02" + DATA[:100],
        DATA,
        bytes(100),
    ],
)
def test_damaged_data_of_a_meter_that_was_asked(damage: bytes, stack: ExitStack) -> None:
    twin = stack.enter_context(OpticalMeter("/LGZ4ZMF100AC.M26", DATA, damage=damage))
    port = MeterPort(twin.path, ASKS)
    port.open()
    stack.callback(port.close)
    with pytest.raises(BadRecordError, match=r"damaged|not all"):
        port.telegrams()
    twin.damage = None
    (whole,) = port.telegrams()
    assert whole.data.startswith(b"/LGZ4ZMF100AC.M26\r\nF.F(00)")


def test_silence_noise_and_a_pulled_cable(stack: ExitStack) -> None:
    cable = Cable()
    port = MeterPort(cable.path, LISTENS)
    port.open()
    stack.callback(port.close)
    with pytest.raises(NoAnswerError, match="nothing comes"):
        port.telegrams()
    with Talker(cable.write, bytes(range(128, 256))), pytest.raises(BadRecordError, match="baud rate"):
        port.telegrams()
    sealed = b"\xdb\x08SAGgp\0\0\x01\x82\x03\x9d\x30" + bytes(60)
    with Talker(cable.write, sealed), pytest.raises(BadRecordError, match="encrypted"):
        port.telegrams()
    cable.pull()
    with pytest.raises(LineError):
        port.telegrams()
    quiet = Cable()
    stack.callback(quiet.pull)
    asking = MeterPort(quiet.path, ASKS)
    asking.open()
    stack.callback(asking.close)
    with pytest.raises(NoAnswerError, match="does not answer"):
        asking.telegrams()


def test_over_plain_bytes_of_a_network_the_speed_stays(stack: ExitStack) -> None:
    """ser2net and the like have one speed: the meter is asked to keep to 300 bit/s."""
    twin = stack.enter_context(OpticalMeter("/LGZ4ZMF100AC.M26", DATA))
    tunnel = stack.enter_context(Tunnel(twin.path))
    twin.set_port(termios.B300)
    port = MeterPort(tunnel.url, ASKS)
    port.open()
    stack.callback(port.close)
    (whole,) = port.telegrams()
    assert b"1.8.0(061561.289*kWh)" in whole.data
    assert twin.heard == [b"/?!\r\n", b"\x06000\r\n"]
    assert twin.sent_at == [300, 300]


def test_only_what_is_of_now_is_told(stack: ExitStack) -> None:
    cable = Cable()
    stack.callback(cable.pull)
    clock = [100.0]
    port = MeterPort(cable.path, LISTENS, monotonic=lambda: clock[0] + real_time.monotonic())
    port.open()
    stack.callback(port.close)
    cable.write(p1(["/OLD5x", "", "1-0:1.8.0(000001.000*kWh)"]))
    clock[0] += 60
    with Talker(cable.write, p1(["/NEW5x", "", "1-0:1.8.0(000002.000*kWh)"])):
        assert all(one.data.startswith(b"/NEW5x") for one in port.telegrams())
