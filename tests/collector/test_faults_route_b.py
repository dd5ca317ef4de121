"""Whatever befalls a Wi-SUN stick and its meter: the owner is told, others go on, it recovers by itself."""

import logging
import os
import pty
import tty
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from momonga.momonga_sk_wrapper import MomongaSkWrapper

from collector.device import Owned
from collector.devices.lines import Line
from collector.transports.route_b import RouteB, Timeouts
from config.model import Device
from tests.clock import FakeTime
from tests.collector.rig import Rig
from tests.emulators.wisun import PASSWORD, RBID, Meter, Stick

QUICK = Timeouts(
    stick=0.2, answer=0.1, tries=2, transmit=0.2, pause=0.0, opening=5.0, closing=0.5, scans=1, joins=1
)
EVERY = 10.0


class Bed:
    """Two meters on two sticks in one service; faults befall the first."""

    def __init__(self, folder: Path, time: FakeTime, password: str = PASSWORD) -> None:
        self.time = time
        self.folder = folder
        self.sticks = [self._stick(folder / name) for name in ("one", "two")]
        devices = {
            name: Device(
                kind="route_b_meter",
                port=stick.port,
                route_b_id=RBID,
                route_b_password=password if name == "one" else PASSWORD,
                every=EVERY,
            )
            for name, stick in zip(("one", "two"), self.sticks, strict=True)
        }
        self.rig = Rig(folder, time, devices, "serial", self._line)

    def _stick(self, folder: Path) -> Stick:
        folder.mkdir(parents=True)
        return Stick(folder, Meter(self._japan, used=lambda at: at.toordinal() * 48 + at.hour * 2))

    def _japan(self) -> datetime:
        at = datetime.fromtimestamp(self.time.wall_ms / 1000)  # noqa: DTZ006 — made Japan's in the next line
        return at - at.astimezone().utcoffset() + timedelta(hours=9)  # type: ignore[operator]  # it has one

    def _line(self, device: Owned) -> tuple[str, Callable[[], Line]]:
        settings = device.settings
        port, password = settings.port or "", settings.route_b_password or ""
        return port, lambda: RouteB(port, settings.route_b_id or "", password, QUICK)

    def close(self) -> None:
        """Close lines and sticks."""
        self.rig.close()
        for stick in self.sticks:
            stick.unplug()


@pytest.fixture
def bed(tmp_path: Path, time: FakeTime, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bed]:
    # It listens two seconds for what a stick still has to say; ours has nothing.
    monkeypatch.setattr(MomongaSkWrapper, "_clear_buf", lambda _: None)
    bed = Bed(tmp_path, time)
    yield bed
    bed.close()


def _pull(bed: Bed) -> None:
    bed.sticks[0].unplug()


def _plug(bed: Bed) -> None:
    bed.sticks[0].plug()


def _another_device(bed: Bed) -> None:
    """Its name leads to a port where something else talks."""
    bed.sticks[0].unplug()
    master, slave = pty.openpty()
    tty.setraw(slave)
    os.write(master, b"$GPGGA,064036.289,4836.5375,N,00740.9373,E,1,04,3.2,200.2,M,,,,0000*0E\r\n" * 20)
    bed.folder.joinpath("gps").symlink_to(os.ttyname(slave))
    Path(bed.sticks[0].port).symlink_to(bed.folder / "gps")
    bed.gps = (master, slave)  # type: ignore[attr-defined]  # only here


def _the_right_device(bed: Bed) -> None:
    for end in bed.gps:  # type: ignore[attr-defined]  # see above
        os.close(end)
    bed.sticks[0].plug()


def _lose_session(bed: Bed) -> None:
    bed.sticks[0].lose_session(comes_back=False)
    bed.sticks[0].meter_is_off = True


def _is_mute(bed: Bed) -> None:
    bed.sticks[0].mute = True


def _speaks(bed: Bed) -> None:
    bed.sticks[0].mute = False


def _meter_is_off(bed: Bed) -> None:
    bed.sticks[0].meter_is_off = True


def _meter_is_back(bed: Bed) -> None:
    bed.sticks[0].meter_is_off = False


FAULTS = {
    "cable pulled": (_pull, _plug, "is not there"),
    "another device on the port": (_another_device, _the_right_device, "no Wi-SUN stick answers"),
    "stick silent": (_is_mute, _speaks, "no Wi-SUN stick answers"),
    "meter silent": (_meter_is_off, _meter_is_back, "no meter heard"),
    "session lost": (_lose_session, _meter_is_back, "no meter heard"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_and_over_when_it_ends(bed: Bed, fault: str) -> None:
    begin, end, reason = FAULTS[fault]
    rig = bed.rig
    rig.pass_(1)
    assert (rig.online("one"), rig.online("two")) == (True, True)
    begin(bed)
    rig.run(70, step=EVERY)
    assert rig.online("one") is False
    assert reason in (rig.problem("one") or "")
    assert rig.said("one")[-1]["grid_power"] is None
    assert (rig.online("two"), rig.problem("two")) == (True, None)
    end(bed)
    rig.run(80, step=EVERY)
    assert (rig.online("one"), rig.problem("one")) == (True, None)
    assert rig.said("one")[-1]["grid_power"] == 512


def test_a_refused_password_is_told_and_corrected_without_a_restart(bed: Bed) -> None:
    bed.sticks[0].refuses = True
    bed.rig.run(70, step=EVERY)
    assert "ID or password is wrong" in (bed.rig.problem("one") or "")
    assert (bed.rig.online("one"), bed.rig.online("two")) == (False, True)
    bed.sticks[0].refuses = False
    bed.rig.run(80, step=EVERY)
    assert (bed.rig.online("one"), bed.rig.problem("one")) == (True, None)


def test_attempts_come_ever_less_often_but_each_minute(bed: Bed) -> None:
    bed.sticks[0].refuses = True
    bed.rig.run(200, step=EVERY)
    first = bed.sticks[0].commands.count("SKJOIN")
    assert first <= 9, "1, 2, 4 … 60 s apart, on a grid of 10 s"
    bed.rig.run(140, step=EVERY)
    assert bed.sticks[0].commands.count("SKJOIN") >= first + 2


def test_a_port_in_use_is_told(bed: Bed) -> None:
    other = RouteB(bed.sticks[0].port, RBID, PASSWORD, QUICK)
    other.open()
    bed.rig.run(70, step=EVERY)
    assert "in use by another program" in (bed.rig.problem("one") or "")
    other.close()
    bed.rig.run(80, step=EVERY)
    assert bed.rig.online("one")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_forbidden_port_is_told(bed: Bed) -> None:
    Path(bed.sticks[0].port).resolve().chmod(0)
    bed.rig.run(70, step=EVERY)
    assert "group dialout" in (bed.rig.problem("one") or "")


def test_a_meter_whose_bytes_are_cut_is_told_and_nothing_of_it_published(bed: Bed) -> None:
    bed.sticks[0].meter.cut[0xE0] = 3
    bed.rig.run(80, step=EVERY)
    assert bed.rig.problem("one") == "0xe0 has 3 bytes, not 4"
    assert bed.rig.said("one") == []
    bed.sticks[0].meter.cut.clear()
    bed.rig.run(70, step=EVERY)
    assert bed.rig.problem("one") is None


def test_hours_missed_follow_as_late_readings(bed: Bed) -> None:
    rig = bed.rig
    rig.run(30, step=EVERY)
    bed.sticks[0].unplug()
    rig.run(20, step=EVERY)
    bed.time.pass_(3 * 3600)
    bed.sticks[0].plug()
    before = _newest(rig)
    rig.run(80, step=EVERY)
    late = [r for r in rig.remembered("one") if int(str(r["seq"])) > before]
    half_hours = ("12:30", "13:00", "13:30", "14:00", "14:30", "15:00")
    assert [r["ts"] for r in late] == [f"2026-11-21T{at}:00.000Z" for at in half_hours]
    assert all("grid_import_energy" in r and "grid_power" not in r for r in late)
    assert not any("late" in r for r in rig.said("one")), "none of them is live"


def _newest(rig: Rig) -> int:
    return max(int(str(r["seq"])) for r in rig.said("one"))


def test_secrets_are_said_nowhere(tmp_path: Path, bed: Bed, caplog: pytest.LogCaptureFixture) -> None:
    wrong = "WRONGWRONG12"
    other = Bed(tmp_path / "other", bed.time, password=wrong)
    with caplog.at_level(logging.DEBUG):
        other.rig.run(40, step=EVERY)
        other.sticks[1].unplug()
        other.rig.run(40, step=EVERY)
    other.close()
    journal = other.rig.journal
    said = f"{journal.problems} {journal.last_error} {journal.facts} {journal.counters} {caplog.text}"
    said += f"{other.rig.bus.published}"
    assert "ID or password is wrong" in said
    for secret in (RBID, PASSWORD, wrong, RBID[-8:]):
        assert secret not in said
