"""What a process says of itself stays small enough for the broker and the card, and its log legible."""

import logging

import msgspec
import pytest

from bus import health
from bus.health import Journal, LogRateLimit


def test_a_crowd_of_strangers_silences_neither_health_nor_what_concerns_the_house() -> None:
    journal = Journal()
    for i in range(12_000):
        journal.problem(f"clock.{'x' * 50}{i}", "its clock is ahead: set it, or let it leave ts out" * 2, 0)
    assert journal.counters["dropped_problems"] > 10_000
    full = "the disk is full" * 50
    assert journal.problem("database", full, 0)
    payload = health.encode(journal, started_ms=0, uptime=1.0, queue=0, outbox=None)
    assert len(payload) < 60_000
    assert msgspec.json.decode(payload)["problems"]["database"] == full
    first = next(iter(journal.problems))
    assert journal.problem(first, "something else", 0), "what is told is told as it is now"
    journal.solved(first)
    assert journal.problem("clock.mppt", "short", 0), "there is room again"


class Log:
    """A logger with a gate on its handler; `lines` is what it wrote."""

    def __init__(self, now: list[float]) -> None:
        self.lines: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: self.lines.append(record.getMessage())  # type: ignore[method-assign]  # a sink
        handler.addFilter(LogRateLimit(lambda: now[0]))
        self.logger = logging.Logger("flood")  # noqa: LOG001 — of no tree: only its own handler
        self.logger.addHandler(handler)

    def say(self, text: str, times: int = 1) -> None:
        """Warn of a text from outside."""
        for _ in range(times):
            self.logger.warning("refused: %s", text)


@pytest.fixture
def now() -> list[float]:
    return [1000.0]


@pytest.fixture
def log(now: list[float]) -> Log:
    return Log(now)


def test_so_many_in_a_row_and_then_one_now_and_then(log: Log, now: list[float]) -> None:
    log.say("x", 500)
    assert log.lines == ["refused: x"] * 20
    now[0] += 10
    log.say("y", 3)
    assert log.lines[20:] == ["refused: y (480 more like this)"]
    now[0] += 3600
    log.say("z", 30)
    assert log.lines[21:] == ["refused: z (2 more like this)", *["refused: z"] * 19]


def test_one_kind_does_not_silence_another_and_what_is_critical_passes(log: Log) -> None:
    log.say("x", 100)
    log.logger.warning("something else")
    for _ in range(100):
        log.logger.critical("the database is damaged")
    assert log.lines[20:] == ["something else", *["the database is damaged"] * 100]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nERROR forged\r\x1b[31m", r"a\nERROR forged\r\x1b[31m"),
        ("%s %d", "%s %d"),
        ("25 °C", "25 °C"),
        ("x" * 60_000, "x" * 491 + " …"),
    ],
)
def test_a_text_from_outside_stays_one_short_line(log: Log, text: str, shown: str) -> None:
    log.say(text)
    assert log.lines == [f"refused: {shown}"]
