"""The clock of the house: what it believes, when it steps, and that all processes agree on it."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.clock import (
    ANCHOR_FILE,
    BUILD_DATE_MS,
    STEP_MS,
    HouseClock,
    Step,
    boot_id,
    read_anchor,
    system_clock,
    write_anchor,
)
from tests.clock import NOON_MS, Machine

HOUR = 3_600_000
DAY = 24 * HOUR


def test_without_anything_stored_the_machine_is_believed_but_not_trusted(machine: Machine) -> None:
    clock = machine.process()
    assert (clock.wall(), clock.quality(), clock.monotonic()) == (NOON_MS, "estimated", 20.0)
    assert "the machine's own clock" in clock.told()
    machine.pass_(60)
    assert (clock.wall(), clock.poll()) == (NOON_MS + 60_000, None)


def test_a_clock_before_the_software_is_not_set_whatever_it_says_of_itself(machine: Machine) -> None:
    machine.raw, machine.synced = 0, True
    clock = machine.process()
    assert (clock.wall(), clock.quality()) == (0, "unset")
    assert clock.told().startswith("not set")
    assert clock.anchor() is None


def test_a_boot_did_not_begin_before_the_newest_stored_time(machine: Machine) -> None:
    machine.store(NOON_MS)
    for raw in (0, NOON_MS - 5 * HOUR):
        machine.reboot(raw)
        clock = machine.process()
        assert (clock.wall(), clock.quality()) == (NOON_MS + 5000, "estimated")
        assert "from the newest stored time" in clock.told()
    machine.reboot(NOON_MS + HOUR)
    assert machine.process().wall() == NOON_MS + HOUR


def test_a_boot_cannot_have_gone_on_for_longer_than_it_has(machine: Machine) -> None:
    machine.store(NOON_MS + HOUR, boottime=1e6)
    assert machine.process().wall() == NOON_MS + HOUR + 20_000, "it counts as one of another boot"


def test_within_a_boot_the_newest_stored_time_goes_on(machine: Machine) -> None:
    machine.store(NOON_MS + DAY)
    machine.pass_(90)
    assert machine.process().wall() == NOON_MS + DAY + 90_000


def test_an_unknown_boot_is_never_the_same(machine: Machine) -> None:
    machine.store(NOON_MS + DAY, boot_id="", synchronised=True)
    clock = HouseClock(
        raw_wall=lambda: 0,
        boottime=lambda: 50.0,
        synchronised=lambda: False,
        boot_id="",
        trusted=False,
        anchor=machine.anchor,
    )
    assert (clock.wall(), clock.quality()) == (NOON_MS + DAY + 50_000, "estimated")


def test_once_synchronised_the_machine_is_right_and_the_step_is_told(machine: Machine) -> None:
    machine.store(NOON_MS + DAY, boot_id="before")
    clock = machine.process()
    machine.pass_(10)
    machine.synced = True
    machine.raw += 5 * HOUR
    assert clock.wall() == NOON_MS + DAY + 30_000, "what is stamped between two polls has one offset"
    before = clock.wall()
    step = clock.poll()
    assert step == Step(by=machine.raw - before, at=30.0, was="estimated", now="ok")
    assert (clock.wall(), clock.quality(), clock.poll()) == (machine.raw, "ok", None)
    assert clock.told() == "synchronised"


def test_it_stays_synchronised_in_this_boot_and_its_steps_are_believed(machine: Machine) -> None:
    machine.synced = True
    clock = machine.process()
    machine.store(NOON_MS)
    machine.synced = False
    for by in (3 * DAY, -3 * DAY, -HOUR):
        machine.pass_(5)
        machine.raw += by
        assert clock.poll() == Step(by, machine.boottime, "ok", "ok")
        assert clock.wall() == machine.raw
    again = machine.process()
    assert (again.wall(), again.quality()) == (machine.raw, "ok"), "a process that starts again reads it"
    machine.reboot(NOON_MS - HOUR)
    assert machine.process().quality() == "estimated", "but not in the next boot"


def test_another_process_learns_of_it_from_the_file_within_a_second(machine: Machine) -> None:
    clock = machine.process()
    machine.pass_(0.5)
    machine.raw += HOUR
    machine.store(machine.raw, synchronised=True)
    clock.poll()
    assert clock.quality() == "estimated", "the file is looked at once a second"
    machine.pass_(0.5)
    assert clock.poll() is not None or clock.wall() == machine.raw
    assert clock.quality() == "ok"


def test_slewing_is_no_step_and_neither_is_a_correction_of_half_a_second(machine: Machine) -> None:
    machine.synced = True
    clock = machine.process()
    for _ in range(5000):
        machine.boottime += 1
        machine.raw += 1000 + (machine.boottime % 2 < 1)  # 500 ppm
        assert clock.poll() is None
    assert abs(clock.wall() - machine.raw) <= 1
    machine.raw += STEP_MS
    assert clock.poll() is None
    assert abs(clock.wall() - machine.raw) <= 1
    machine.raw -= STEP_MS + 2
    assert clock.poll() is not None


def test_it_does_not_go_back_by_a_millisecond_of_rounding(machine: Machine) -> None:
    machine.synced = True
    clock = machine.process()
    told = []
    for part in range(3000):
        machine.boottime, machine.raw = 20 + part / 2700, NOON_MS + int(part / 2.7)
        if part % 2:
            clock.poll()
        told.append(clock.wall())
    assert told == sorted(told)


def test_an_interruption_between_the_two_clocks_is_no_step(machine: Machine) -> None:
    machine.synced = True
    clock = machine.process()
    pauses: list[float] = []

    def wall() -> int:
        machine.pass_(pauses.pop(0) if pauses else 0.0)
        return machine.raw

    clock._raw_wall = wall
    for these in ([5.0, 0.0], [0.002, 5.0, 5.0, 5.0, 5.0]):
        pauses[:] = these
        assert clock.poll() is None
        assert abs(clock.wall() - machine.raw) <= 1


@pytest.mark.parametrize(("behind", "quality"), [(0, "ok"), (STEP_MS, "ok"), (STEP_MS + 1, "estimated")])
def test_a_real_time_clock_is_right_unless_it_is_behind_what_is_stored(
    tmp_path: Path, behind: int, quality: str
) -> None:
    machine = Machine(tmp_path, trusted=True)
    machine.store(NOON_MS)
    machine.reboot(NOON_MS + 5000 - behind)
    clock = machine.process()
    assert (clock.wall(), clock.quality()) == (NOON_MS + 5000, quality)
    assert ("behind the newest stored time" in (clock.problem() or "")) == (quality != "ok")
    machine.synced = True
    clock.poll()
    assert (clock.wall(), clock.quality(), clock.problem()) == (machine.raw, "ok", None)


def test_a_real_time_clock_that_was_never_set_is_not_right(tmp_path: Path) -> None:
    assert Machine(tmp_path, BUILD_DATE_MS - 1, trusted=True).process().quality() == "unset"
    clock = Machine(tmp_path, BUILD_DATE_MS, trusted=True).process()
    assert (clock.quality(), clock.told()) == ("ok", "kept by the real-time clock of the machine")


DAMAGED = [
    b"",
    b"{",
    b"[]",
    b"\x00" * 80,
    b'{"ts": 1, "boot_id": "a", "boottime": 1.0}',
    b'{"ts": 1e300, "boot_id": "a", "boottime": 1.0, "synchronised": true}',
    b'{"ts": -1, "boot_id": "a", "boottime": 1.0, "synchronised": true}',
    b'{"ts": 9007199254740993, "boot_id": "a", "boottime": 1.0, "synchronised": true}',
    b'{"ts": 1, "boot_id": "a", "boottime": -1.0, "synchronised": true}',
    b'{"ts": 1, "boot_id": "a", "boottime": 1e300, "synchronised": true}',
    b'{"ts": 1, "boot_id": "' + b"a" * 65 + b'", "boottime": 1.0, "synchronised": true}',
    b'{"ts": 1, "boot_id": "a", "boottime": 1.0, "synchronised": "yes"}',
]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_is_told_and_not_used(machine: Machine, content: bytes) -> None:
    machine.anchor.write_bytes(content)
    assert read_anchor(machine.anchor) is None
    clock = machine.process()
    assert (clock.wall(), clock.quality()) == (NOON_MS, "estimated")
    assert str(machine.anchor) in (clock.problem() or "")
    machine.store(NOON_MS + HOUR)
    machine.pass_(1)
    clock.poll()
    assert clock.problem() is None


def test_a_folder_that_cannot_be_read_is_told(machine: Machine) -> None:
    machine.anchor = machine.anchor.parent / "a file" / ANCHOR_FILE
    machine.anchor.parent.write_text("where the folder should be")
    assert "cannot be read" in (machine.process().problem() or "")


def test_the_file_is_for_all_to_read_and_says_what_it_was_given(machine: Machine) -> None:
    assert read_anchor(machine.anchor) is None
    machine.synced = True
    clock = machine.process()
    anchor = clock.anchor()
    assert anchor is not None
    write_anchor(machine.anchor, anchor)
    assert machine.anchor.stat().st_mode & 0o777 == 0o644
    assert json.loads(machine.anchor.read_bytes()) == {
        "ts": NOON_MS,
        "boot_id": "boot1",
        "boottime": 20.0,
        "synchronised": True,
    }
    assert read_anchor(machine.anchor) == anchor


def test_the_clock_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = system_clock(trusted=True, state=tmp_path)
    assert clock.poll() is None
    assert clock.wall() - clock.offset() == pytest.approx(clock.monotonic() * 1000, abs=50)
    assert "-" not in boot_id()
    monkeypatch.setenv("BOOT_ID", "0b8f7a1e37b84b6f")
    assert boot_id() == "0b8f7a1e37b84b6f"


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.integers(1, 100_000)),
        st.tuples(st.just("step"), st.integers(-10 * DAY, 10 * DAY)),
        st.tuples(st.just("sync"), st.just(0)),
        st.tuples(st.just("unsync"), st.just(0)),
        st.tuples(st.just("restart"), st.integers(0, 2)),
        st.tuples(st.just("reboot"), st.integers(-400 * DAY, 10 * DAY)),
        st.tuples(st.just("store"), st.just(0)),
    ),
    max_size=40,
)


class House:
    """Three processes of a machine; the first one writes the newest stored time."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.clocks = [machine.process() for _ in range(3)]
        self.stored = 0
        self.synced = False

    def happens(self, what: str, number: int) -> None:
        """Something happens to the machine or a process."""
        machine = self.machine
        match what:
            case "pass":
                machine.pass_(number / 1000)
            case "step":
                machine.raw = max(0, machine.raw + number)
            case "sync":
                machine.synced = self.synced = True
            case "unsync":
                machine.synced = False
            case "restart":
                self.clocks[number] = machine.process()
            case "reboot":
                machine.reboot(max(0, machine.raw + number))
                self.synced = False
                self.clocks = [machine.process() for _ in range(3)]

    def poll(self) -> None:
        """All look at the clock; each moves by its step and by nothing else."""
        for clock in self.clocks:
            before = clock.wall()
            step = clock.poll()
            by, most = (0, STEP_MS) if step is None else (step.by, 1)
            assert abs(clock.wall() - before - by) <= most

    def store(self) -> None:
        """The newest time is stored, if it is right."""
        anchor = self.clocks[0].anchor()
        if anchor is not None:
            self.stored = anchor.ts
            write_anchor(self.machine.anchor, anchor)
        self.machine.pass_(1)


@settings(deadline=None, max_examples=200)
@given(events=EVENTS, trusted=st.booleans())
def test_all_processes_agree_and_none_is_behind_what_is_stored(
    events: list[tuple[str, int]],
    trusted: bool,  # noqa: FBT001 — hypothesis gives it by name
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        house = House(Machine(Path(folder), trusted=trusted))
        for what, number in events:
            house.happens(what, number)
            house.poll()
            if what in ("store", "sync"):
                house.store()
                house.poll()
            walls = [clock.wall() for clock in house.clocks]
            assert max(walls) - min(walls) <= 1
            assert len({clock.quality() for clock in house.clocks}) == 1
            assert house.synced or min(walls) >= house.stored - 1


def test_a_clock_over_it_is_what_all_take(machine: Machine) -> None:
    clock = machine.process()
    assert (clock.wall(), clock.offset(), clock.quality()) == (NOON_MS, NOON_MS - 20_000, "estimated")
    machine.raw += DAY
    assert clock.poll() == Step(DAY, 20.0, "estimated", "estimated")
