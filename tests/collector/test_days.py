"""The days that a solar charger remembers: read by HEX on a pseudo terminal, dated, sent as late readings."""

import json
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from collector.day_book import DayBook
from collector.devices.description import Days, Earlier, Values
from collector.devices.victron.days import read_day
from config.model import Device
from tests.clock import FakeTime
from tests.collector.rig import Rig
from tests.emulators.vedirect import Mppt
from tests.emulators.vedirect_hex import MPPT_REGISTERS, HexDevice

# By local time, wherever the test runs.
ELEVEN = datetime(2026, 11, 21, 11).astimezone()


def record(number: int, kwh: float) -> bytes:
    """A day as velib describes it (VE_REG_HISTORY_DAY00): little-endian, without gaps."""
    return struct.pack(
        "<BIIHH5BHHHIHHH",
        0,
        round(kwh * 100),
        0,
        1440,
        1250,
        0,
        0,
        0,
        0,
        0,
        120,
        60,
        30,
        91,
        71,
        3650,
        number,
    )


def remembering(number: int, *yields: float) -> HexDevice:
    """A charger whose day has this number; its yields of yesterday, the day before and so on."""
    days = {0x1050 + ago: record((number - ago) % 365, kwh) for ago, kwh in enumerate(yields, start=1)}
    return HexDevice(MPPT_REGISTERS | days, Mppt(extra={"HSDS": str(number)}))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


class Life:
    """One process after the other in the same folder, with a charger on its cable."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.lives = 0

    def live(self, device: HexDevice, days_later: int, *, quality: str = "ok") -> Rig:
        """A process that begins so many days later, at eleven."""
        self.lives += 1
        time = FakeTime(round(ELEVEN.timestamp() * 1000) + days_later * 86_400_000)
        time.quality = quality  # type: ignore[assignment]  # one of the clock's words
        folder = self.folder / str(self.lives)
        folder.mkdir()
        if self.lives > 1:
            kept = self.folder / str(self.lives - 1) / "days.json"
            (folder / "days.json").write_bytes(kept.read_bytes())
        self.stack.enter_context(device)
        rig = Rig(folder, time, {"van": Device(kind="vedirect", port=device.path)}, "serial")
        self.stack.callback(rig.close)
        rig.run(12, step=1.0)
        assert rig.online("van")
        return rig


@pytest.fixture
def life(tmp_path: Path, stack: ExitStack) -> Life:
    return Life(tmp_path, stack)


def remembered(rig: Rig) -> list[tuple[str, object]]:
    """Local time and yield of each late reading."""
    rig.run(40, step=10.0)
    return [
        (
            datetime.fromisoformat(str(one["ts"])).astimezone().strftime("%d %H:%M:%S.%f")[:-3],
            one["yield_today"],
        )
        for one in rig.remembered("van")
    ]


def test_days_without_us_are_filled_in_at_their_ends(life: Life) -> None:
    assert remembered(life.live(remembering(279, 0.5, 0.4), 0)) == []
    rig = life.live(remembering(282, 1.1, 0, 1.2, 0.5, 0.4), 3)
    assert remembered(rig) == [
        ("21 23:59:59.999", 1200),
        ("22 23:59:59.999", 0),
        ("23 23:59:59.999", 1100),
    ]
    assert json.loads((life.folder / "2" / "days.json").read_bytes()) == {
        "van": {"day": "2026-11-24", "number": 282}
    }


def test_the_numbers_begin_again_after_a_year(life: Life) -> None:
    life.live(remembering(364, 0.5), 0)
    assert [wh for _, wh in remembered(life.live(remembering(1, 1.1, 1.2, 0.5), 2))] == [1200, 1100]


def test_days_that_are_not_those_of_the_calendar_are_left_out(
    life: Life, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    life.live(remembering(279, 0.5), 0)
    # It had no supply for two of them.
    assert remembered(life.live(remembering(280, 1.2, 0.5), 3)) == []
    assert "3 days have passed, it counted 1" in caplog.text
    assert [wh for _, wh in remembered(life.live(remembering(281, 0.9, 1.2, 0.5), 4))] == [900]


def test_days_wait_for_a_clock_that_is_right(life: Life) -> None:
    life.live(remembering(279, 0.5), 0)
    rig = life.live(remembering(280, 1.2, 0.5), 1, quality="estimated")
    assert remembered(rig) == []
    rig.time.quality = "ok"
    assert [wh for _, wh in remembered(rig)] == [1200]


def test_a_charger_that_is_heard_all_the_time_is_not_asked_for_days(life: Life) -> None:
    device = remembering(279, 0.5)
    rig = life.live(device, 0)
    asked = len([frame for frame in device.asked if frame.startswith(b":75") and frame[4:6] == b"10"])
    # Yesterday, and that there is no more.
    assert asked == 2
    device.talker.says = Mppt(extra={"HSDS": "280"})
    device.registers[0x1051] = record(279, 1.2)
    rig.run(120, step=60.0)
    assert remembered(rig) == []
    later = [frame for frame in device.asked if frame.startswith(b":75") and frame[4:6] == b"10"]
    assert len(later) == asked


def test_at_night_nothing_is_dated(life: Life) -> None:
    life.live(remembering(279, 0.5), 0)
    device = remembering(280, 1.2, 0.5)
    assert isinstance(device.talker.says, Mppt)
    device.talker.says.panel_watts = 0
    assert remembered(life.live(device, 1)) == []


def test_a_record_of_another_day_ends_the_history(life: Life) -> None:
    life.live(remembering(277, 0.5), 0)
    device = remembering(280, 1.2, 0.5, 0.4)
    device.registers[0x1052] = record(270, 9.9)
    assert [wh for _, wh in remembered(life.live(device, 3))] == [1200]


@pytest.mark.parametrize(
    ("data", "day"),
    [
        (record(279, 1.23), (279, {"yield_today": 1230})),
        (record(0, 0), (0, {"yield_today": 0})),
        (record(365, 1), None),
        (record(279, 0xFFFFFFFF / 100), None),
        (record(279, 1)[:-1], None),
        (record(279, 1) + b"\0", None),
        (b"", None),
    ],
)
def test_a_record(data: bytes, day: tuple[int, object] | None) -> None:
    assert read_day(data) == day


def test_a_book_that_cannot_be_written_or_read_is_told_and_works(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "file" / "days.json"
    path.parent.touch()
    book = DayBook(path)
    days: dict[int, Values] = {1: {"yield_today": 1.0}}
    assert book.take("van", Days(5, 365, days), date(2026, 11, 21)) == ()
    assert "cannot be written" in caplog.text
    end = datetime(2026, 11, 22).astimezone().astimezone(UTC).timestamp() * 1000 - 1
    assert book.take("van", Days(6, 365, days), date(2026, 11, 22)) == (Earlier(round(end), days[1]),)
    path.parent.unlink()
    path.parent.mkdir()
    path.write_text("nonsense")
    assert DayBook(path).take("van", Days(7, 365, days), date(2026, 11, 23)) == ()
    assert "cannot be read" in caplog.text
