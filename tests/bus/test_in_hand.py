"""What was in hand at a death: who is suspected, who is set aside, and who is not."""

import subprocess
import sys
from pathlib import Path

import pytest

from bus.events import Message
from bus.inbox import Handling, InHand, digest_of

ROOT = Path(__file__).parents[2]


def message(number: int, topic: str = "camper/state/van") -> Message:
    return Message(topic, b'{"power":%d}' % number, 1, retain=False, mid=number, generation=1)


A, B, C = (message(number) for number in range(3))


class Lives:
    """The lives of one process; each ends as `die` says, without a word to the marks."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "x.in_hand"
        self.start()

    def start(self) -> None:
        """Begin a life on the same file."""
        self.marks = InHand(self.path)

    def die(self, *, failed: bool = False) -> None:
        """End it and begin another; `failed`: by an error of its own."""
        if failed:
            self.marks.failed()
        self.start()

    def take(self, *messages: Message) -> None:
        """Handle messages; nothing is put on disk."""
        for one in messages:
            self.marks.begin(one)
            self.marks.handled()

    def verdicts(self) -> list[Handling]:
        """How A, B and C are to be handled."""
        return [self.marks.handling_of(one) for one in (A, B, C)]


FREE, ALONE, ASIDE = Handling.NORMAL, Handling.ALONE, Handling.ASIDE


@pytest.fixture
def lives(tmp_path: Path) -> Lives:
    return Lives(tmp_path)


def test_a_message_that_ends_the_process_while_it_is_handled_does_so_twice_at_most(lives: Lives) -> None:
    for expected in ([FREE, ALONE, FREE], [FREE, ASIDE, FREE]):
        lives.take(A)
        lives.marks.begin(B)
        lives.die(failed=True)
        assert lives.verdicts() == expected


def test_one_that_ends_it_at_the_commit_is_found_among_all_that_were_in_hand(lives: Lives) -> None:
    lives.take(A, B, C)
    lives.die(failed=True)
    assert lives.verdicts() == [ALONE, ALONE, ALONE]
    lives.take(A)
    lives.marks.clear()
    lives.take(B)
    lives.die(failed=True)
    assert lives.verdicts() == [FREE, ASIDE, ALONE]
    # It stays so, and what is good is suspected no more.
    lives.take(C)
    lives.marks.clear()
    lives.marks.close()
    lives.start()
    assert lives.verdicts() == [FREE, ASIDE, FREE]


def test_kills_in_normal_traffic_set_nothing_aside(lives: Lives) -> None:
    for _ in range(20):
        lives.take(A, B, C)
        lives.die()
        assert ASIDE not in lives.verdicts()
        # The next kill comes while one of them is alone in hand.
        for one in (A, B):
            lives.take(one)
            lives.marks.clear()
        lives.marks.begin(C)
        lives.die()
        assert ASIDE not in lives.verdicts()
        lives.take(C)
        lives.marks.clear()
    assert lives.verdicts() == [FREE, FREE, FREE]


def test_many_in_hand_at_many_kills_are_only_suspects(lives: Lives) -> None:
    for failed in (False, True, False, True):
        lives.take(A, B, C)
        lives.die(failed=failed)
        assert lives.verdicts() == [ALONE, ALONE, ALONE]


def test_one_that_is_alone_in_hand_at_two_kills_is_set_aside(lives: Lives) -> None:
    # As when it takes all the memory there is.
    lives.take(A, B)
    lives.die()
    for expected in ([ALONE, ALONE, FREE], [ALONE, ASIDE, FREE]):
        lives.take(B)
        lives.die()
        assert lives.verdicts() == expected


def test_kills_from_outside_suspect_no_command_and_an_error_does(tmp_path: Path) -> None:
    path = tmp_path / "x.in_hand"
    for _ in range(3):
        # Killed while it was handled.
        InHand(path, outside=False).begin(A)
    marks = InHand(path, outside=False)
    assert marks.handling_of(A) is FREE
    for expected in (ALONE, ASIDE):
        marks.begin(A)
        marks.failed()
        marks = InHand(path, outside=False)
        assert marks.handling_of(A) is expected


def test_a_good_end_leaves_no_suspects(lives: Lives) -> None:
    lives.take(A, B)
    lives.marks.close()
    lives.start()
    assert lives.verdicts() == [FREE, FREE, FREE]


def test_what_is_forgiven_is_as_any_other_also_after_a_start(lives: Lives) -> None:
    for _ in range(2):
        lives.marks.begin(A)
        lives.die(failed=True)
    assert lives.marks.handling_of(A) is ASIDE
    assert lives.marks.release(digest_of(A))
    assert not lives.marks.release(digest_of(B))
    lives.die()
    assert lives.marks.handling_of(A) is FREE


def test_of_very_many_in_hand_the_newest_are_marked(lives: Lives) -> None:
    lives.take(*(message(number) for number in range(10, 9000)))
    lives.take(A)
    lives.die()
    assert lives.marks.handling_of(A) is ALONE
    assert lives.marks.handling_of(message(10)) is FREE
    assert lives.marks.handling_of(message(8999)) is ALONE


@pytest.mark.parametrize("content", [b"", b"x" * 200_000, b"INHAND01", b"INHAND01" + b"\xff" * 139_288])
def test_marks_that_nobody_can_read_prevent_no_start(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.in_hand"
    path.write_bytes(content)
    marks = InHand(path)
    marks.begin(A)
    assert InHand(path).handling_of(A) is ALONE


def test_without_a_place_for_the_marks_the_process_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    marks = InHand(tmp_path / "file" / "x.in_hand")
    marks.begin(A)
    marks.handled()
    marks.clear()
    assert marks.handling_of(A) is FREE
    marks.close()


_FATAL = """
import faulthandler, sys
from pathlib import Path
from bus.inbox import InHand
from tests.bus.test_in_hand import A, B
marks = InHand(Path(sys.argv[1]))
if sys.argv[2] == "crowd":
    marks.begin(A); marks.handled()
marks.begin(B); marks.handled()
getattr(faulthandler, "_" + sys.argv[3])()
"""


@pytest.mark.parametrize("signal", ["sigsegv", "sigabrt", "stack_overflow"])
def test_a_fatal_signal_is_an_error_of_the_process_itself(
    tmp_path: Path, signal: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.in_hand"
    for who in ("crowd", "alone"):
        command = [sys.executable, "-c", _FATAL, str(path), who, signal]
        assert subprocess.run(command, cwd=ROOT, check=False).returncode < 0
    marks = InHand(path)
    assert [marks.handling_of(one) for one in (A, B)] == [ALONE, ASIDE]
    assert "Fatal Python error" in caplog.text
    marks.close()
