"""A stick and its meter through the real momonga, on a real pseudo terminal."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import momonga
import pytest
from momonga.momonga_sk_wrapper import MomongaSkWrapper

from collector.devices.description import LineError, RefusedError
from collector.transports.route_b import RouteB, Timeouts
from tests.emulators.wisun import PASSWORD, RBID, Meter, Stick
from tests.open_files import open_files

NOW = datetime(2026, 11, 21, 16, 10)  # noqa: DTZ001 — the meter knows no zones
QUICK = Timeouts(
    stick=0.3, answer=0.2, tries=2, transmit=0.3, pause=0.0, opening=5.0, closing=0.5, scans=2, joins=1
)
LOGGERS = (momonga.logger, momonga.session_manager_logger, momonga.sk_wrapper_logger)


@pytest.fixture
def stick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stick]:
    # It listens two seconds for what a stick still has to say; ours has nothing.
    monkeypatch.setattr(MomongaSkWrapper, "_clear_buf", lambda _: None)
    meter = Meter(lambda: NOW, used=lambda at: (at - NOW) // timedelta(minutes=6) + 100_000)
    stick = Stick(tmp_path, meter)
    yield stick
    stick.unplug()


@pytest.fixture
def line(stick: Stick) -> Iterator[RouteB]:
    line = RouteB(stick.port, RBID, PASSWORD, QUICK)
    yield line
    line.close()


def resources() -> tuple[int, int]:
    """Threads and file descriptors of this process."""
    return threading.active_count(), len(open_files())


def wait_for(what: Callable[[], bool]) -> None:
    """Until another thread has done it."""
    deadline = time.monotonic() + 5
    while not what():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


def ask_thrice(line: RouteB) -> None:
    """A gate that is just closing lets one more question through."""
    for _ in range(3):
        line.properties((0xE7,))


def test_properties_are_the_bytes_that_the_meter_sent(line: RouteB, stick: Stick) -> None:
    line.open()
    stick.meter.power = -1234
    found = line.properties((0xE7, 0xE8, 0xEA))
    assert found == {
        0xE7: b"\xff\xff\xfb\x2e",
        0xE8: b"\x00\x1f\xff\xea",
        0xEA: bytes.fromhex("07ea0b15100000") + (99_998).to_bytes(4, "big"),
    }
    assert line.signal() == pytest.approx(0.275 * 0x7E - 104.27, abs=0.05)


def test_a_history_is_that_of_the_day_chosen(line: RouteB) -> None:
    line.open()
    line.choose_day(1)
    history = line.properties((0xE2,))[0xE2] or b""
    assert history[:2] == b"\x00\x01"
    assert int.from_bytes(history[2:6]) == 100_000 - 402


def test_a_property_that_the_meter_has_not_does_not_spoil_the_others(line: RouteB, stick: Stick) -> None:
    stick.meter.lacking = {0xE3, 0xD3}
    line.open()
    assert line.properties((0xE7, 0xE3, 0xD3)) == {0xE7: b"\x00\x00\x02\x00", 0xE3: None, 0xD3: None}


def test_a_day_that_the_meter_does_not_remember_is_refused(line: RouteB, stick: Stick) -> None:
    stick.meter.remembers = 3
    line.open()
    with pytest.raises(RefusedError, match="4 days ago"):
        line.choose_day(4)
    assert line.properties((0xE7,))


@pytest.mark.parametrize("unit", [0x00, 0x05, 0xFF])
def test_a_unit_that_momonga_does_not_know_is_no_reason_not_to_open(
    line: RouteB, stick: Stick, unit: int
) -> None:
    stick.meter.unit = unit
    line.open()
    assert line.properties((0xE1,)) == {0xE1: bytes([unit])}


def test_an_answer_lost_on_the_air_is_asked_for_again(line: RouteB, stick: Stick) -> None:
    line.open()
    stick.drops = 1
    assert line.properties((0xE7,)) == {0xE7: b"\x00\x00\x02\x00"}


def test_a_meter_that_is_heard_only_at_the_second_scan_is_found(line: RouteB, stick: Stick) -> None:
    stick.scan_misses = 1
    line.open()
    assert stick.commands.count("SKSCAN") == 2


def test_a_session_that_the_stick_renews_goes_on(line: RouteB, stick: Stick) -> None:
    line.open()
    stick.lose_session(comes_back=True)
    assert line.properties((0xE7,))[0xE7]
    assert stick.sessions == 1


def test_announcements_do_not_pile_up(line: RouteB, stick: Stick) -> None:
    line.open()
    assert line._session is not None
    waiting = line._session.session_manager.notif_q
    for _ in range(5):
        stick.announce()
    wait_for(lambda: waiting.qsize() == 5)
    assert line.properties((0xE7,))[0xE7]
    assert waiting.empty()


def test_the_port_is_ours_alone_as_long_as_the_session_lives(line: RouteB, stick: Stick) -> None:
    line.open()
    with pytest.raises(LineError, match="in use by another program"):
        RouteB(stick.port, RBID, PASSWORD, QUICK).open()
    line.close()
    line.open()
    assert stick.sessions == 2


def test_closing_ends_the_session_and_closing_twice_is_fine(line: RouteB, stick: Stick) -> None:
    line.open()
    line.close()
    assert stick.commands[-1] == "SKTERM"
    line.close()
    with pytest.raises(LineError, match="not open"):
        line.properties((0xE7,))
    assert line.signal() is None


def _refuses(stick: Stick) -> None:
    stick.refuses = True


def _is_off(stick: Stick) -> None:
    stick.meter_is_off = True


def _is_mute(stick: Stick) -> None:
    stick.mute = True


def _hangs(stick: Stick) -> None:
    stick.hangs_scanning = True


def _is_pulled_while_it_scans(stick: Stick) -> None:
    stick.hangs_scanning = True

    def pull() -> None:
        wait_for(lambda: "SKSCAN" in stick.commands)
        stick.unplug()

    threading.Thread(target=pull, daemon=True).start()


FAILURES = [
    (_refuses, "ID or password is wrong"),
    (_is_off, "no meter heard"),
    (_is_mute, "no Wi-SUN stick answers"),
    (_hangs, "not joined within 1 s"),
    (_is_pulled_while_it_scans, "was lost"),
    (Stick.unplug, "is not there"),
]


@pytest.mark.parametrize(("break_", "text"), FAILURES)
def test_what_cannot_be_opened_is_named_and_leaves_nothing_behind(
    stick: Stick, break_: Callable[[Stick], None], text: str
) -> None:
    line = RouteB(stick.port, RBID, PASSWORD, replace(QUICK, opening=1.0))
    before = resources()
    break_(stick)
    for _ in range(2):
        with pytest.raises(LineError, match=text if stick._master != -1 else "was lost|is not there"):
            line.open()
        line.close()
    wait_for(lambda: resources() <= before)


@pytest.mark.parametrize(
    ("break_", "text"),
    [
        (_is_off, "does not answer any more"),
        (lambda stick: stick.lose_session(comes_back=False), "lost and did not come back"),
        (Stick.end_session, "lost and did not come back"),
        (Stick.unplug, "was lost"),
    ],
)
def test_a_line_lost_while_open_is_named_and_leaves_nothing_behind(
    stick: Stick, line: RouteB, break_: Callable[[Stick], None], text: str
) -> None:
    before = resources()
    line.open()
    break_(stick)
    with pytest.raises(LineError, match=text):
        ask_thrice(line)
    line.close()
    wait_for(lambda: resources() <= before)


def test_a_url_is_no_port_of_ours() -> None:
    with pytest.raises(LineError):
        RouteB("socket://127.0.0.1:1", RBID, PASSWORD, QUICK).open()


@pytest.mark.parametrize("break_", [lambda _: None, *(break_ for break_, _ in FAILURES)])
def test_the_id_and_the_password_are_never_logged_however_loud_momonga_is_made(
    stick: Stick,
    break_: Callable[[Stick], None],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    for logger in LOGGERS:
        monkeypatch.setattr(logger, "level", logging.DEBUG)
        logger.manager._clear_cache()  # type: ignore[attr-defined]  # so that the level counts now
    line = RouteB(stick.port, RBID.lower(), PASSWORD, QUICK)
    break_(stick)
    said = ""
    try:
        line.open()
        # A stick that noise has taught to echo.
        stick.say(f"SKSET{RBID}", f"SKXETPWD C {PASSWORD}", f"FAIL {PASSWORD}")
        line.properties((0xE7,))
    except LineError as error:
        said = f"{error} {error.__cause__}"
    line.close()
    said += "\n".join(f"{record.getMessage()} {record.exc_text}" for record in caplog.records) + caplog.text
    assert RBID not in said
    assert RBID.lower() not in said
    assert PASSWORD not in said
    if break_.__name__ not in ("_is_mute", "unplug"):
        assert "SKSETPWD" in said, "or momonga was not loud"


def test_by_itself_momonga_says_nothing(stick: Stick, line: RouteB, caplog: pytest.LogCaptureFixture) -> None:
    stick.refuses = True
    with caplog.at_level(logging.DEBUG), pytest.raises(LineError):
        line.open()
    assert [r for r in caplog.records if r.name.startswith("momonga")] == []
