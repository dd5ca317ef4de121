"""What a process says of itself stays small enough for the broker, whoever gives it reasons to complain."""

import msgspec

from bus import health
from bus.health import Journal


def test_a_crowd_of_strangers_silences_neither_health_nor_what_concerns_the_house() -> None:
    journal = Journal()
    for i in range(12_000):
        journal.problem(f"clock.{'x' * 50}{i}", "its clock is ahead: set it, or let it leave ts out" * 2, 0)
    assert journal.counters["problems_untold"] > 10_000
    full = "the disk is full" * 50
    assert journal.problem("database", full, 0)
    payload = health.encode(journal, started_ms=0, uptime=1.0, queue=0, outbox=None)
    assert len(payload) < 60_000
    assert msgspec.json.decode(payload)["problems"]["database"] == full
    first = next(iter(journal.problems))
    assert journal.problem(first, "something else", 0), "what is told is told as it is now"
    journal.solved(first)
    assert journal.problem("clock.mppt", "short", 0), "there is room again"
