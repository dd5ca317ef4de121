"""Answers that outlive the process: kept before they are sent, bounded, never in the way of a command."""

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bus.command_server import Answers
from bus.commands import LONGEST_ID, Code, Refused
from bus.events import Message, Sent
from bus.health import Journal
from bus.messages import Result
from bus.topics import Topics
from tests.clock import FakeTime
from tests.fake_bus import FakeBus

RESULT = Topics().result("relay", "pump")
MESSAGE = Message(Topics().set("relay", "pump"), b"", qos=1, retain=False, mid=1, generation=1)
_quick = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def result(name: str | None, code: Code | None = None) -> Result:
    """An answer."""
    return Result(
        id=name,
        status="ok" if code is None else "error",
        code=code,
        message="done",
        value="TOGGLE",
        actual="ON",
        until=None,
        ts="now",
    )


class Life:
    """One life of a process; the file outlives it."""

    def __init__(self, path: Path | None) -> None:
        self.bus, self.journal = FakeBus(), Journal()
        self.answers = Answers(self.bus, Topics(), self.journal, clock=FakeTime().clock, path=path)

    def obey(self, name: str | None, code: Code | None = None) -> None:
        """A command is begun and answered."""
        self.answers.expect("relay", "pump", name)
        self.send(name, code)

    def send(self, name: str | None, code: Code | None = None) -> None:
        """Answer it."""
        self.answers.send("relay", "pump", MESSAGE, result(name, code))

    def repeat(self, name: str | None, entity: str = "pump") -> bool:
        """Whether it need not be obeyed."""
        return self.answers.repeat("relay", entity, name, MESSAGE)

    def is_cut_off(self, name: str) -> bool:
        """Whether nobody knows how far it came."""
        try:
            self.repeat(name)
        except Refused as refused:
            return refused.code is Code.INTERNAL
        return False


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "answers.json"


def test_a_later_life_gives_the_same_answer_byte_for_byte(path: Path) -> None:
    first = Life(path)
    first.obey("tap")
    later = Life(path)
    assert later.repeat("tap")
    assert later.bus.on(RESULT) == first.bus.on(RESULT)
    assert not later.repeat("tap", entity="lamp")
    assert not later.repeat("tap-2")
    assert not later.repeat(None)
    assert later.journal.counters["repeated_commands"] == 1


@_quick
@given(st.text(max_size=LONGEST_ID))
@example('"\\\n\x00')
@example("ÖN 🚐")
def test_any_id_is_known_again(tmp_path: Path, name: str) -> None:
    path = tmp_path / "any.json"
    Life(path).obey(name)
    assert Life(path).repeat(name)


def test_the_answer_is_on_the_file_before_it_is_sent(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    life, kept = Life(path), list[bytes]()

    def publish(_bus: FakeBus, _topic: str, payload: bytes, **_options: object) -> Sent:
        kept.append(path.read_bytes())
        assert payload in kept[-1]
        return Sent.YES

    life.answers.expect("relay", "pump", "tap")
    assert b"done" not in path.read_bytes()
    monkeypatch.setattr(FakeBus, "publish", publish)
    life.send("tap")
    assert len(kept) == 1


def test_one_that_was_begun_is_counted_only_and_in_a_later_life_refused(path: Path) -> None:
    first = Life(path)
    first.answers.expect("relay", "pump", "tap")
    assert first.repeat("tap")
    assert first.bus.published == []
    for _ in range(2):
        later = Life(path)
        assert later.is_cut_off("tap")
        later.send("tap", Code.INTERNAL)
        assert later.is_cut_off("tap"), "its own refusal does not make it new"
        assert later.journal.counters["repeated_commands"] == 2


@pytest.mark.parametrize("code", [Code.HARDWARE, Code.INTERLOCK, Code.BUSY])
def test_what_was_refused_may_come_again(path: Path, code: Code) -> None:
    life = Life(path)
    life.obey("tap", code)
    assert not life.repeat("tap")
    assert not Life(path).repeat("tap")


def test_a_command_that_ends_with_the_process_is_not_obeyed_by_the_next(path: Path) -> None:
    Life(path).obey("tap", Code.INTERNAL)
    assert Life(path).is_cut_off("tap")


def test_an_invalid_command_of_the_same_id_changes_nothing(path: Path) -> None:
    life = Life(path)
    life.answers.expect("relay", "pump", "tap")
    life.send("tap", Code.INVALID)
    assert life.repeat("tap"), "its answer is still to come"
    life.send("tap")
    life.send("tap", Code.INVALID)
    for one in (life, Life(path)):
        assert one.repeat("tap")


def test_commands_without_id_and_refusals_cost_no_file(path: Path) -> None:
    life = Life(path)
    life.obey(None)
    life.send(None, Code.HARDWARE)
    life.send("new", Code.LIMIT)
    assert len(life.bus.on(RESULT)) == 3
    assert not path.exists()


def test_without_a_path_ids_are_known_as_long_as_the_process_lives() -> None:
    life = Life(None)
    life.obey("tap")
    assert life.repeat("tap")


def test_the_newest_ids_are_kept_and_the_file_stays_small(path: Path) -> None:
    life = Life(path)
    for number in range(300):
        life.obey(str(number))
    later = Life(path)
    assert [later.repeat(str(number)) for number in (0, 43, 44, 299)] == [False, False, True, True]
    assert path.stat().st_size < 64 * 1024


def test_a_longer_file_is_cut(path: Path) -> None:
    path.parent.mkdir()
    rows = [("relay", "pump", str(number), result(str(number))) for number in range(1000)]
    path.write_bytes(msgspec.json.encode(rows))
    life = Life(path)
    assert [life.repeat(name) for name in ("0", "743", "744", "999")] == [False, False, True, True]
    life.obey("new")
    assert len(msgspec.json.decode(path.read_bytes())) == 256


def test_a_full_disk_stops_no_command_and_is_told_once(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    life = Life(path)
    life.obey("before")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        life.obey("a")
        life.obey("b")
    assert len(life.bus.on(RESULT)) == 3
    assert len([r for r in caplog.records if "No space left" in r.message]) == 1
    assert life.repeat("a"), "in this life it is known all the same"
    assert "No space left on device; a command sent again" in life.journal.problems["answers"]
    assert Life(path).repeat("before"), "the old file stands"
    life.obey("c")
    assert "answers" not in life.journal.problems
    later = Life(path)
    assert all(later.repeat(name) for name in ("before", "a", "b", "c"))


_WHOLE = msgspec.json.encode([("relay", "pump", "tap", result("tap")), ("relay", "lamp", "tip", None)])


def _survives(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    life = Life(path)
    life.obey("new")
    assert Life(path).repeat("new")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"{}", b"null", b"[[]]", b"[[1,2,3,4]]", b'[["a","b","c",5]]', b"\xff\xfe"]
)
def test_a_damaged_file_stops_nothing_and_is_told_once(
    path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    _survives(path, content)
    assert len([r for r in caplog.records if "cannot be read" in r.message]) == 1


@pytest.mark.parametrize("length", range(len(_WHOLE) + 1))
def test_a_truncated_file_stops_nothing(path: Path, length: int) -> None:
    _survives(path, _WHOLE[:length])


@_quick
@given(st.integers(0, len(_WHOLE) * 8 - 1))
def test_a_flipped_bit_stops_nothing(tmp_path: Path, bit: int) -> None:
    content = bytearray(_WHOLE)
    content[bit // 8] ^= 1 << bit % 8
    _survives(tmp_path / "flipped.json", bytes(content))


def test_a_folder_in_the_way_stops_nothing(path: Path) -> None:
    path.mkdir(parents=True)
    life = Life(path)
    life.obey("tap")
    assert life.repeat("tap")
    assert "answers" in life.journal.problems
