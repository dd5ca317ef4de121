"""What every process tells of itself, whatever it does."""

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from bus.clock import clock_of
from bus.events import Link
from bus.process import Process
from bus.topics import Topics
from config.model import Broker
from tests.clock import NOON_MS, Machine


class Idle:
    """A service that does nothing."""

    def handle(self, event: object) -> None:
        """Nothing comes."""

    def tick(self, now: float) -> float:
        """Nothing is due."""
        del now
        return 0.0

    def close(self) -> None:
        """Nothing is open."""

    def waiting(self) -> int | None:
        """Nothing waits."""
        return None


def test_health_says_where_the_time_comes_from(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    house = machine.process()
    link = Link.of(Broker(), "idle")
    process = Process("idle", link=link, topics=Topics(), clock=clock_of(house), subscriptions=[])
    told: list[dict[str, dict[str, str]]] = []

    def publish(_topic: str, payload: bytes, *, qos: int, retain: bool) -> None:
        del qos, retain
        told.append(json.loads(payload))

    monkeypatch.setattr(process.connection, "publish", publish)

    def health() -> tuple[str, list[str]]:
        machine.pass_(2)
        house.poll()
        process._work(Idle())
        return told[-1]["facts"]["clock"], list(told[-1]["problems"])

    assert health()[0].startswith("estimated since the start, from the machine")
    machine.store(NOON_MS + 3_600_000, boot_id="another")
    assert health()[0].startswith("estimated since the start, from the newest stored time")
    machine.anchor.write_bytes(b"{")
    assert health()[1] == ["clock"]
    machine.synced = True
    assert health() == ("synchronised", [])
    count = len(told)
    assert health()[0] == "synchronised"
    assert len(told) == count, "only what changed is told at once"


class Working(Idle):
    """A service whose every turn takes long, and which notes how many pings there were by its end."""

    def __init__(self, machine: Machine, heard: Callable[[], int]) -> None:
        self._machine = machine
        self._heard = heard
        self.turns: list[int] = []

    def tick(self, now: float) -> float:
        """Take 20 s."""
        del now
        self._machine.pass_(20)
        self.turns.append(self._heard())
        return 0.0


def test_the_loop_that_works_is_the_one_that_tells_the_watchdog(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(0.0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "60000000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        pings = 0

        def heard() -> int:
            nonlocal pings
            try:
                while True:
                    pings += manager.recv(100) == b"WATCHDOG=1"
            except BlockingIOError:
                return pings

        house = machine.process()
        link = Link.of(Broker(), "idle")
        process = Process("idle", link=link, topics=Topics(), clock=clock_of(house), subscriptions=[])
        service = Working(machine, heard)
        for _ in range(6):
            house.poll()
            process._work(service)
    # One at the start, then one each 30 s at least; while a turn lasts, however long, there is none.
    assert service.turns == [0, 1, 1, 2, 2, 3]
