"""The real controller on a twin of the board's pins, a fake bus and a clock that stands still."""

import json
from pathlib import Path
from typing import Any

from bus.access_log import AccessLog
from bus.command_server import Answers
from bus.events import Message
from bus.health import Journal
from bus.messages import to_iso
from bus.outbox import Outbox
from bus.pins import Pins
from bus.pins.rpi import RpiLines
from bus.publisher import Publisher
from bus.request_server import RequestServer
from bus.topics import Topics
from config.model import Alarm, BatteryGuard, Broker, Relay, Rule, Settings
from config.model import Controller as ControllerSettings
from controller.files import BrokerRestart, Memory
from controller.relays import RelayOutputs
from controller.service import Controller
from tests.clock import FakeTime
from tests.controller.gpio import Gpio
from tests.fake_bus import FakeBus

PUMP = 27
LAMP = 17
STATE = "camper/state/relay"
_LOOK_S = 5.0


class Rig:
    """`start` is a process's start; what it leaves behind (pins, file, broker) outlives it."""

    def __init__(
        self,
        folder: Path,
        time: FakeTime,
        gpio: Gpio,
        *,
        guard: BatteryGuard | None = None,
        alarm: dict[str, Alarm] | None = None,
        rule: dict[str, Rule] | None = None,
        **relays: Relay,
    ) -> None:
        self.alarm, self.rule = alarm or {}, rule or {}
        self.bus = FakeBus()
        self.folder = folder
        self.time = time
        self.gpio = gpio
        self.relays = relays
        self.guard = guard
        # Nobody listens there.
        self.port = 1
        self.file = folder / "disk" / "relays.json"
        self.file.parent.mkdir()
        self.start()

    def start(self) -> "Rig":
        """Start as the process does; the fake broker is there from the beginning."""
        before = self.bus.retained
        self.bus = FakeBus()
        for device in before.devices:
            self.bus.retained.add(device, before.entities(device))
        self.journal = Journal()
        settings = Settings(
            relay=self.relays,
            controller=ControllerSettings(name="Relays"),
            battery_guard=self.guard,
            alarm=self.alarm,
            rule=self.rule,
        )
        topics, clock = Topics(), self.time.clock
        outbox = Outbox(self.folder / "run", self.folder / "disk", "controller")
        publisher = Publisher(self.bus, topics, outbox, clock, self.journal)
        outputs = RelayOutputs(
            self.relays, Pins("rpi", RpiLines), Memory(self.file), clock=clock, journal=self.journal
        )
        answers = Answers(
            self.bus, topics, self.journal, clock=clock, path=self.folder / "run" / "controller-answers.json"
        )
        access = AccessLog(self.folder / "disk" / "access.log", clock=clock, journal=self.journal)
        self.controller = Controller(
            settings,
            outputs,
            answers=answers,
            publisher=publisher,
            link=self.bus,
            access=access,
            requests=RequestServer(
                "controller",
                {},
                bus=self.bus,
                topics=topics,
                journal=self.journal,
                wall=clock.wall,
                access=access,
            ),
            restart=BrokerRestart(Broker(port=self.port), self.folder / "run", self.journal),
            topics=topics,
            kept=self.folder / "disk" / "alarms.json",
        )
        return self

    def restart(self) -> None:
        """Crash and start again, when the statistician has all that was said."""
        newest = json.loads(self.bus.on(STATE)[-1])
        self.receive(f"camper/watermark/{newest['stream']}", str(newest["seq"]).encode())
        self.start()

    def stop(self) -> None:
        """End in peace."""
        self.controller.close()

    def command(
        self,
        relay: str,
        payload: str | bytes | dict[str, object],
        *,
        device: str = "relay",
        retain: bool = False,
        response_topic: str | None = None,
        correlation: bytes | None = None,
    ) -> dict[str, Any]:
        """Send a command; the answer as it went onto the wire."""
        if isinstance(payload, dict):
            payload = json.dumps(payload)
        raw = payload if isinstance(payload, bytes) else payload.encode()
        before = len(self.answers(relay, device))
        topic = f"camper/set/{device}/{relay}"
        self.receive(topic, raw, retain=retain, response_topic=response_topic, correlation=correlation)
        (answer,) = self.answers(relay, device)[before:]
        return answer

    def say(self, device: str, *, ts: bool = True, **values: object) -> None:
        """Another device says something now; without a time, as strangers do."""
        body = dict(values)
        if ts:
            body = {"ts": to_iso(self.time.wall_ms)} | body
        self.receive(f"camper/state/{device}", json.dumps(body).encode())
        self.pass_(0)

    def receive(
        self,
        topic: str,
        payload: bytes = b"ON",
        *,
        retain: bool = False,
        response_topic: str | None = None,
        correlation: bytes | None = None,
    ) -> None:
        """A message arrives."""
        self.controller.handle(Message(topic, payload, 1, retain, 1, 1, response_topic, correlation))

    def answers(self, relay: str, device: str = "relay") -> list[dict[str, Any]]:
        """All answers about a relay, an alarm or a rule, oldest first."""
        return [json.loads(p) for p in self.bus.on(f"camper/result/{device}/{relay}")]

    def alarms(self, name: str) -> list[dict[str, Any]]:
        """All that an alarm's topic has said, oldest first."""
        return [json.loads(p) for p in self.bus.on(f"camper/alarm/{name}")]

    def states(self, relay: str) -> list[str | None]:
        """What the state topic has said of a relay, oldest first."""
        return [json.loads(p)[relay] for p in self.bus.on(STATE)]

    def state(self, relay: str) -> str | None:
        """What the state topic says now."""
        return self.states(relay)[-1]

    @property
    def problems(self) -> dict[str, str]:
        """What health tells, but that there is no statistician."""
        return {about: text for about, text in self.journal.problems.items() if about != "backlog"}

    def said(self, entity: str) -> object:
        """What the state topic says now of any entity of the relays' device."""
        return json.loads(self.bus.on(STATE)[-1])[entity]

    def about(self) -> dict[str, dict[str, Any]]:
        """The entities of the relays' device."""
        entities: dict[str, dict[str, Any]] = json.loads(self.bus.on("camper/about/relay")[-1])["entities"]
        return entities

    def available(self) -> bytes:
        """What the availability topic says now."""
        return self.bus.on("camper/availability/relay")[-1]

    def pass_(self, seconds: float) -> None:
        """Let time pass and the process look at the clock, now and then and at the end."""
        while seconds > _LOOK_S:
            self.controller.tick(self.time.pass_(_LOOK_S))
            seconds -= _LOOK_S
        self.controller.tick(self.time.pass_(seconds))

    def stand_still(self, seconds: float) -> None:
        """Let time pass without the process."""
        self.time.pass_(seconds)
