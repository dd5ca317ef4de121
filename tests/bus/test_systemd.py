"""The log under a flood: what passes, what is left out, and that nothing from outside forges a line."""

import logging

import pytest

from bus.systemd import LogRateLimit


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
