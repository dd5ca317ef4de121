"""The forwarder's main thread: questions and answers, what health tells, that nobody waits for another."""

import json
import os
import socket
import time as real
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue

import msgspec

from bus.events import Message
from bus.health import Journal
from bus.messages import to_iso
from bus.topics import Topics
from config.model import Output, Settings, Storage
from forwarder.cursors import remove_old
from forwarder.service import Ask, Forwarder, subscriptions
from tests.clock import NOON_MS, FakeTime
from tests.fake_bus import FakeBus

TOPICS = Topics()
PATIENCE = 20.0
ONLINE = TOPICS.service("statistician")


class Rig:
    """A forwarder whose broker and statistician are the test."""

    def __init__(self, folder: Path, **outputs: Output) -> None:
        self.time, self.bus, self.journal = FakeTime(), FakeBus(), Journal()
        self.events = SimpleQueue[object]()
        storage = Storage(runtime=str(folder / "run"), state=str(folder / "state"))
        self.answers: Callable[[dict[str, object]], bytes | None] = self.readings
        self.service = Forwarder(
            Settings(storage=storage, output=outputs),
            bus=self.bus,
            topics=TOPICS,
            clock=self.time.clock,
            journal=self.journal,
            emit=self.events.put,
        )

    def readings(self, asked: dict[str, object]) -> bytes | None:
        """Answer with three readings, and then with none."""
        first = "after" not in asked
        changes = [
            {"entity": "van.soc", "ts": to_iso(NOON_MS + n), "value": n} for n in range(3 if first else 0)
        ]
        data = {"changes": changes, "after": "x", "more": False, "until": to_iso(NOON_MS)}
        return json.dumps({"id": asked["id"], "status": "ok", "data": data}).encode()

    def say(self, topic: str, payload: bytes) -> None:
        """Let the broker bring a message."""
        self.service.handle(Message(topic, payload, 1, retain=False, mid=1, generation=1))

    def until(self, holds: Callable[[], bool]) -> None:
        """Handle events, and answer what is asked, until something holds. Raises TimeoutError."""
        deadline = real.monotonic() + PATIENCE
        while not holds():
            if real.monotonic() > deadline:
                raise TimeoutError(str(self.journal.problems))
            try:
                event = self.events.get(timeout=0.05)
            except Empty:
                continue
            before = len(self.bus.published)
            self.service.handle(event)
            for request in self.bus.published[before:] if isinstance(event, Ask) else ():
                asked = msgspec.json.decode(request.payload, type=dict[str, object])
                assert request.topic == "camper/request/statistician/changes"
                if (answer := self.answers(asked)) is not None:
                    self.say(str(asked["reply_to"]), answer)


@contextmanager
def rig(folder: Path, **outputs: Output) -> Iterator[Rig]:
    one = Rig(folder, **outputs)
    try:
        yield one
    finally:
        one.service.close()


def log(folder: Path) -> Output:
    return Output(kind="file", path=str(folder / "log.csv"), start="all")


def test_what_is_stored_goes_to_the_output_and_health_says_how_much(tmp_path: Path) -> None:
    with rig(tmp_path, log=log(tmp_path)) as one:
        one.say(ONLINE, b"online")
        one.until(lambda: one.journal.counters["sent_records"] == 3)
        assert one.journal.facts["output.log"] == "3 records sent, up to 2026-11-21T12:00:00.002Z"
        assert len((tmp_path / "log.csv").read_text().splitlines()) == 4
        assert one.journal.problems == {}


def test_without_a_statistician_it_waits_and_says_so_once(tmp_path: Path) -> None:
    with rig(tmp_path, log=log(tmp_path)) as one:
        one.service.tick(one.time.pass_(29))
        assert one.journal.problems == {}
        one.service.tick(one.time.pass_(2))
        assert "the statistician is not there" in one.journal.problems["statistician"]
        assert one.bus.published == []
        one.say(ONLINE, b"online")
        assert one.journal.problems == {}
        one.time.pass_(10)
        one.until(lambda: one.journal.counters["sent_records"] == 3)


def test_an_answer_that_cannot_be_read_is_told_and_asked_for_again(tmp_path: Path) -> None:
    with rig(tmp_path, log=log(tmp_path)) as one:
        one.answers = lambda _: b"nonsense"
        one.say(ONLINE, b"online")
        one.until(lambda: one.time.pass_(0.1) > 0 and "output.log" in one.journal.problems)
        assert one.journal.counters["failed_sends"] == 3
        assert "cannot be read" in one.journal.problems["output.log"]
        one.answers = one.readings
        one.time.pass_(10)
        one.say(TOPICS.watermark("x-1"), b"1")
        one.until(lambda: one.journal.counters["sent_records"] == 3)
        one.until(lambda: one.journal.problems == {})


def test_the_answer_to_another_question_is_passed_over(tmp_path: Path) -> None:
    with rig(tmp_path, log=log(tmp_path)) as one:

        def twice(asked: dict[str, object]) -> bytes | None:
            stale = one.readings({**asked, "id": 999})
            one.say(str(asked["reply_to"]), (stale or b"").replace(b"van.soc", b"van.old"))
            return one.readings(asked)

        one.answers = twice
        one.say(ONLINE, b"online")
        one.until(lambda: one.journal.counters["sent_records"] == 3)
        assert "van.old" not in (tmp_path / "log.csv").read_text()


def test_a_server_that_never_answers_holds_up_nobody(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        hanging = Output(kind="webhook", url=url, start="all", timeout=600.0)
        one = Rig(tmp_path, hanging=hanging, log=log(tmp_path))
        one.say(ONLINE, b"online")
        one.until(lambda: "output.log" in one.journal.facts)
        assert "output.hanging" not in one.journal.facts
        began = real.monotonic()
        one.service.close()
        # It is left alone after five seconds: systemd would kill the process after ten.
        assert real.monotonic() - began < 8


def test_only_its_own_answers_and_the_news_are_subscribed_to() -> None:
    told = subscriptions(TOPICS, Settings(output={"log": Output(kind="stdout")}))
    assert {one.filter: one.retained for one in told} == {
        "camper/response/forwarder/+": True,
        "camper/watermark/+": False,
        "camper/service/statistician": True,
    }
    assert subscriptions(TOPICS, Settings()) == []


def test_the_place_of_an_output_that_is_gone_is_kept_for_a_month(tmp_path: Path) -> None:
    for name, days in (("old", 31), ("new", 29), ("still", 100)):
        file = tmp_path / name / "cursor.json"
        file.parent.mkdir()
        file.write_text("{}")
        os.utime(file, (NOON_MS / 1000 - days * 86_400,) * 2)
    (tmp_path / "old" / "key.pem").write_text("a key")
    assert remove_old(tmp_path, {"still"}, NOON_MS / 1000) == ["old"]
    assert sorted(file.parent.name for file in tmp_path.glob("*/cursor.json")) == ["new", "still"]
    assert (tmp_path / "old" / "key.pem").exists()
