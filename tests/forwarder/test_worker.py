"""An output at work: in order, at least once, from its place on; what it does when the other side fails."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from config.model import Output
from forwarder.feed import Gap, Refusal
from forwarder.outputs import RefusedError, SendError, TooLargeError
from forwarder.records import Record, StatisticsRow
from forwarder.worker import pause
from tests.clock import NOON_MS
from tests.forwarder.feeds import Bench, Taken, reading

ALL = Output(kind="stdout", start="all", batch=10)


def test_everything_is_sent_once_and_in_order(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ALL)
    bench.feed.changes += [reading(n) for n in range(95)]
    bench.run(1)
    assert bench.taken.keys == [reading(n).key for n in range(95)]
    assert bench.sent == 95


def test_a_new_output_begins_with_what_is_new(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Output(kind="stdout"))
    bench.feed.changes += [reading(n) for n in range(5)]
    bench.run(1)
    bench.feed.changes += [reading(9)]
    bench.run(61)
    assert bench.taken.keys == [reading(9).key]


def test_what_came_between_the_first_start_and_a_second_is_sent(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Output(kind="stdout"))
    bench.run(1)
    bench.feed.changes += [reading(9)]
    bench.start()
    bench.run(1)
    assert bench.taken.keys == [reading(9).key]


def test_it_asks_five_seconds_after_news_and_each_minute_without(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ALL)
    bench.run(59)
    assert len(bench.feed.asked) == 1
    bench.run(2)
    assert len(bench.feed.asked) == 2
    bench.worker.news()
    assert bench.worker.wait(bench.time.monotonic_s) == pytest.approx(4, abs=0.1)
    bench.run(5)
    assert len(bench.feed.asked) == 3


def test_a_killed_one_sends_at_most_the_batch_in_flight_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ALL)
    bench.feed.changes += [reading(n) for n in range(40)]
    for _ in range(2):
        bench.worker.step()
    bench.taken.error = SendError("away")
    bench.worker.step()
    # The batch was taken, and then the process died.
    bench.taken.error = None
    bench.taken.send([reading(n) for n in range(20, 30)])
    bench.start()
    bench.run(1)
    keys = bench.taken.keys
    assert keys == [reading(n).key for n in (*range(30), *range(20, 40))]


def test_after_a_power_cut_it_goes_on_from_the_card(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ALL)
    bench.feed.changes += [reading(n) for n in range(10)]
    bench.run(1)
    # Memory is gone; the card has what was there at most a minute before.
    bench.feed.changes += [reading(n) for n in range(10, 20)]
    bench.worker.news()
    bench.run(10)
    (tmp_path / "memory" / "log.json").unlink()
    bench.start()
    bench.run(1)
    assert bench.taken.keys == [reading(n).key for n in (*range(20), *range(10, 20))]


def test_the_card_is_written_once_a_minute(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Output(kind="stdout", start="all", batch=1))
    card = tmp_path / "card" / "log" / "cursor.json"
    seen: set[int] = set()
    for second in range(120):
        bench.feed.changes.append(reading(second))
        bench.worker.news()
        bench.run(1)
        seen.add(card.stat().st_ino if card.exists() else 0)
    assert len(seen - {0}) <= 3
    bench.feed.changes.append(reading(1000))
    bench.run(61)
    bench.worker.close()
    (tmp_path / "memory" / "log.json").unlink()
    bench.start()
    bench.taken.records.clear()
    bench.run(1)
    assert bench.taken.keys == []


def test_a_failing_side_is_tried_less_and_less_often_and_then_gets_all(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ALL)
    bench.feed.changes += [reading(n) for n in range(3)]
    bench.taken.error = SendError("https://example.org does not answer; is the network there?")
    bench.run(3600)
    assert bench.trouble == (
        "https://example.org does not answer; is the network there? (since 2026-11-21T12:00:00.000Z)"
    )
    assert 10 < len(bench.feed.asked) < 16
    bench.taken.error = None
    bench.run(900)
    assert bench.taken.keys == [reading(n).key for n in range(3)]
    assert bench.trouble is None


def test_what_passes_by_itself_is_told_to_nobody(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ALL)
    bench.feed.changes += [reading(0)]
    bench.taken.error = SendError("503")
    bench.run(1.5)
    assert bench.trouble is None
    bench.run(3)
    assert "503" in str(bench.trouble)


@pytest.mark.parametrize(
    ("failures", "chance", "asked", "seconds"),
    [
        (1, 1.0, None, 1),
        (2, 1.0, None, 2),
        (2, 0.25, None, 0.5),
        (5, 1.0, None, 16),
        (11, 1.0, None, 900),
        (5000, 1.0, None, 900),
        (1, 0.5, 30.0, 30),
        (1, 0.5, 86_400.0, 900),
        (9, 1.0, 2.0, 256),
    ],
)
def test_the_pause_grows_to_a_quarter_of_an_hour(
    failures: int, chance: float, asked: float | None, seconds: float
) -> None:
    assert pause(failures, chance, asked) == seconds


def test_a_refusal_is_tried_each_quarter_of_an_hour_and_after_a_restart(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ALL)
    bench.feed.changes += [reading(0)]
    bench.taken.error = RefusedError("the token is wrong; next: write a new one")
    bench.run(1799)
    assert len(bench.feed.asked) == 2
    assert "the token is wrong" in str(bench.trouble)
    assert "every 15 minutes" in str(bench.trouble)
    bench.taken.error = None
    bench.start()
    bench.run(0.1)
    assert bench.taken.keys == [reading(0).key]


def test_a_batch_that_is_too_large_is_halved_until_it_fits(tmp_path: Path) -> None:
    def three(records: Sequence[Record]) -> Exception | None:
        return TooLargeError("413") if len(records) > 3 else None

    bench = Bench(tmp_path, ALL)
    bench.feed.changes += [reading(n) for n in range(25)]
    bench.taken.most = three
    bench.run(5)
    assert bench.taken.keys == [reading(n).key for n in range(25)]
    assert max(bench.taken.batches) <= 3
    assert bench.trouble is None


def test_a_record_that_is_too_large_alone_is_set_aside_and_the_others_go_on(tmp_path: Path) -> None:
    def not_the_long_one(records: Sequence[Record]) -> Exception | None:
        return TooLargeError("413") if any(one.key == reading(7).key for one in records) else None

    bench = Bench(tmp_path, ALL)
    bench.feed.changes += [reading(n) for n in range(20)]
    bench.taken.most = not_the_long_one
    bench.run(5)
    assert bench.taken.keys == [reading(n).key for n in range(20) if n != 7]
    assert f"{reading(7).body()['ts']}" in (tmp_path / "card" / "log" / "too_large.jsonl").read_text()
    assert "too large" in bench.notes[0]


def test_an_error_of_ours_is_told_and_tried_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ALL)
    bench.feed.changes += [reading(0)]
    bench.taken.error = ZeroDivisionError("oh")
    bench.run(1)
    assert "ZeroDivisionError" in str(bench.trouble)
    bench.taken.error = None
    bench.run(60)
    assert bench.taken.keys == [reading(0).key]


def test_without_a_statistician_it_waits_and_forgets_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ALL)
    bench.feed.changes += [reading(0)]
    bench.feed.silent = True
    bench.run(60)
    assert bench.taken.keys == []
    bench.feed.silent = False
    bench.run(6)
    assert bench.taken.keys == [reading(0).key]


def test_a_statistician_that_is_there_again_is_asked_at_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ALL)
    bench.feed.changes += [reading(0)]
    bench.feed.silent = True
    bench.run(1)
    bench.feed.silent = False
    assert bench.worker.wait(bench.time.monotonic_s) > 1
    bench.worker.news()
    bench.run(1)
    assert bench.taken.keys == [reading(0).key]


def test_a_place_that_is_not_valid_any_more_goes_on_from_the_newest_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ALL)
    bench.feed.changes += [reading(n) for n in range(10)]
    bench.run(1)
    bench.feed.version = "2"
    bench.feed.changes += [reading(10)]
    bench.worker.news()
    bench.run(6)
    assert bench.taken.keys == [reading(n).key for n in (*range(10), 8, 9, 10)]
    assert "another version" in bench.notes[0]


def test_another_refusal_is_told_and_asked_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ALL)
    bench.feed.changes += [reading(0)]
    bench.feed.answer = Refusal("busy", "too many requests wait already")
    bench.run(59)
    assert len(bench.feed.asked) == 1
    assert "too many requests" in str(bench.trouble)
    bench.feed.answer = None
    bench.run(2)
    assert bench.taken.keys == [reading(0).key]
    assert bench.trouble is None


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\0" * 100, b'{"number": "x"}'])
def test_a_damaged_place_loses_nothing(tmp_path: Path, content: bytes) -> None:
    bench = Bench(tmp_path, Output(kind="stdout"))
    bench.run(1)
    bench.feed.changes += [reading(n) for n in range(3)]
    bench.worker.news()
    bench.run(100)
    bench.worker.close()
    bench.taken.records.clear()
    card = tmp_path / "card" / "log" / "cursor.json"
    card.write_bytes(content)
    (tmp_path / "memory" / "log.json").unlink()
    bench.start()
    # Killed before it has sent anything, it must not take itself for a new output.
    bench.start()
    bench.run(1)
    assert bench.taken.keys == [reading(n).key for n in range(3)]
    assert card.with_name("cursor.json.damaged").read_bytes() == content
    assert "begins again with all that is kept" in bench.notes[0]


def test_where_one_of_two_files_is_damaged_the_other_counts(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ALL)
    bench.feed.changes += [reading(n) for n in range(3)]
    bench.run(100)
    (tmp_path / "card" / "log" / "cursor.json").write_bytes(b"{")
    bench.start()
    bench.run(100)
    assert bench.taken.keys == [reading(n).key for n in range(3)]
    assert bench.notes == []


def test_a_gap_is_told_and_its_hourly_rows_go_out(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ALL)
    row = StatisticsRow("smartshunt.soc", "hour", NOON_MS - 3_600_000, {"mean": 50.0})
    bench.feed.changes += [Gap("reading", NOON_MS - 3_600_000, NOON_MS), row, reading(1)]
    bench.run(1)
    assert bench.taken.keys == [row.key, reading(1).key]
    assert "2026-11-21T11:00:00.000Z to 2026-11-21T12:00:00.000Z" in bench.notes[0]


def test_with_an_interval_all_goes_at_once_and_then_rests(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Output(kind="stdout", start="all", batch=10, interval=600.0))
    bench.run(1)
    for second in range(1, 590, 10):
        bench.feed.changes.append(reading(second))
        bench.worker.news()
        bench.run(10)
    assert bench.taken.keys == []
    bench.run(15)
    assert bench.taken.keys == [reading(second).key for second in range(1, 590, 10)]


def test_by_cron_it_sends_at_those_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    bench = Bench(tmp_path, Output(kind="stdout", start="all", cron="*/15 * * * *"))
    bench.run(1)
    bench.feed.changes.append(reading(60))
    bench.run(890)
    assert bench.taken.keys == []
    bench.run(10)
    assert bench.taken.keys == [reading(60).key]


def test_more_names_than_can_be_asked_for_are_matched_here(tmp_path: Path) -> None:
    names = tuple(f"smartshunt.n{n}" for n in range(101))
    bench = Bench(tmp_path, Output(kind="stdout", start="all", entities=names))
    bench.feed.changes += [reading(1, entity="smartshunt.n100"), reading(2, entity="smartshunt.other")]
    bench.run(1)
    assert bench.taken.keys == [reading(1, entity="smartshunt.n100").key]
    assert "entities" not in bench.feed.asked[0]


class Slow(Taken):
    """A sink that has to put on disk what it took, and cannot."""

    full = False
    idles = 0

    def settle(self) -> None:
        """Refuse while the disk is full."""
        if self.full:
            raise SendError("the disk is full")

    def idle(self) -> None:
        """Count that there was nothing more to send."""
        self.idles += 1


def test_the_card_gets_no_place_that_is_ahead_of_what_is_on_disk(tmp_path: Path) -> None:
    sink = Slow()
    bench = Bench(tmp_path, ALL, sink)
    sink.full = True
    bench.feed.changes += [reading(n) for n in range(5)]
    bench.run(10)
    bench.worker.close()
    card = tmp_path / "card" / "log" / "cursor.json"
    assert not card.exists()
    assert "the disk is full" in str(bench.trouble)
    sink.full = False
    bench.run(100)
    assert card.exists()
    assert bench.trouble is None
    assert sink.idles > 0


def test_a_card_that_refuses_is_told_and_holds_up_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ALL)
    (tmp_path / "card").write_text("no folder")
    bench.feed.changes += [reading(n) for n in range(5)]
    bench.run(1)
    assert bench.taken.keys == [reading(n).key for n in range(5)]
    assert "cursor.json cannot be written" in str(bench.trouble)
    (tmp_path / "card").unlink()
    bench.run(61)
    assert bench.trouble is None
