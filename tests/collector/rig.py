"""A collector without a broker, with a clock that the test moves; its lines are real, and served in place."""

import json
from collections.abc import Callable
from pathlib import Path

from bus.command_server import Answers
from bus.events import Message
from bus.health import Journal
from bus.outbox import Outbox
from bus.publisher import Publisher
from bus.topics import Topics
from collector.checking import find_mistakes
from collector.day_book import DayBook
from collector.device import Owned, Readings, owned_devices
from collector.devices.lines import Line
from collector.energy import Energies
from collector.lines import line_of
from collector.polling import Job, PollingSource, Worker
from collector.service import Collector, Switching, Timers
from config.mistakes import ConfigError
from config.model import Device, Settings
from tests.clock import FakeTime
from tests.fake_bus import FakeBus


def check(settings: Settings, where: str) -> None:
    """Raise ConfigError with every mistake that only the kinds can know."""
    if found := find_mistakes(settings, where):
        raise ConfigError(found)


class InPlace(Worker):
    """A worker without a thread: a job is done when it is given."""

    def start(self) -> None:
        """There is nothing to start."""

    def stop(self) -> None:
        """Close the line."""
        self._line.close()

    def do(self, job: Job) -> None:
        """Do it now."""
        self._emit(self.attempt(job))


class Rig:
    """`devices` read over `transport`; `lines` replaces the real lines in tests that are not about them."""

    def __init__(
        self,
        folder: Path,
        time: FakeTime,
        devices: dict[str, Device],
        transport: str,
        lines: Callable[[Owned], tuple[str, Callable[[], Line]]] = line_of,
        *,
        energies: Energies | None = None,
    ) -> None:
        self.bus, self.time, self.journal = FakeBus(), time, Journal()
        self.emitted: list[object] = []
        settings = Settings(device=devices)
        check(settings, "boondock.toml")
        topics = Topics()
        outbox = Outbox(folder / "run", folder / "disk", f"collector_{transport}")
        publisher = Publisher(self.bus, topics, outbox, time.clock, self.journal)
        publisher.take(topics.service("statistician"), b"online", time.monotonic_s, kept=True)
        book = DayBook(folder / "days.json")
        self.readings = Readings(
            publisher, clock=time.clock, journal=self.journal, energies=energies, book=book
        )
        self.source = PollingSource(
            self.readings, lines, emit=self.emitted.append, chance=lambda: 0.0, worker=InPlace
        )
        answers = Answers(
            self.bus, topics, self.journal, clock=time.clock, path=folder / "run" / "answers.json"
        )
        self.service = Collector(
            owned_devices(settings, transport, time.monotonic_s),
            self.source,
            self.readings,
            topics=topics,
            switching=Switching(self.source, self.readings, answers, timers=Timers(folder / "timers.json")),
        )

    def pass_(self, seconds: float) -> None:
        """Let time pass in one step, as the process's loop would."""
        self.tick(self.time.pass_(seconds))

    def tick(self, now: float) -> None:
        """One turn of the loop, with every event it leads to."""
        self.service.tick(now)
        while self.emitted:
            self.service.handle(self.emitted.pop(0))

    def run(self, seconds: float, step: float = 0.5) -> None:
        """Let time pass in steps."""
        for _ in range(round(seconds / step)):
            self.pass_(step)

    def set(self, device: str, entity: str, payload: str | bytes, *, retain: bool = False) -> None:
        """A client's command, with all that follows from it."""
        topic = Topics().set(device, entity)
        raw = payload if isinstance(payload, bytes) else payload.encode()
        self.service.handle(Message(topic, raw, qos=1, retain=retain, mid=1, generation=1))
        while self.emitted:
            self.service.handle(self.emitted.pop(0))

    def about(self, device: str) -> dict[str, dict[str, object]]:
        """The device's newest description: its entities by id."""
        entities: dict[str, dict[str, object]] = json.loads(self.bus.on(Topics().about(device))[-1])[
            "entities"
        ]
        return entities

    def said(self, device: str) -> list[dict[str, object]]:
        """The device's readings on the wire, oldest first."""
        return [json.loads(payload) for payload in self.bus.on(Topics().state(device))]

    def remembered(self, device: str) -> list[dict[str, object]]:
        """What the device told of before, as it went to the statistician; each once."""
        sent = [json.loads(payload) for payload in self.bus.backlog()]
        found = {one["seq"]: one for one in sent if one["device"] == device and one.get("late")}
        return [found[seq] for seq in sorted(found)]

    def results(self, device: str, entity: str) -> list[dict[str, object]]:
        """The answers to commands."""
        return [json.loads(payload) for payload in self.bus.on(Topics().result(device, entity))]

    def online(self, device: str) -> bool | None:
        """What availability says; None: nothing yet."""
        told = self.bus.on(Topics().availability(device))
        return told[-1] == b"online" if told else None

    def problem(self, device: str) -> str | None:
        """What health says is wrong with a device."""
        return self.journal.problems.get(f"device.{device}")

    def close(self) -> None:
        """Close every line."""
        self.source.stop()
