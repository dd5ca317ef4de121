"""One recipient of alarms, and a clock that a test moves."""

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import msgspec

from bus.clock import BUILD_DATE_MS
from bus.messages import Alarm, to_iso
from config.model import Notify
from forwarder.alarms import Letter, Present, Queue, Recipient
from forwarder.worker import pause

ALL = Notify(url="ntfy://x")
TITLES = {"low": "House battery low", "water": "Fresh water low", "shore": "Shore power lost"}
BERLIN = ZoneInfo("Europe/Berlin")
# 14:05 in Berlin.
START_MS = int(datetime(2026, 11, 21, 13, 5, tzinfo=UTC).timestamp()) * 1000


class Rig:
    """One recipient, and a clock that the test moves; what is sent is taken at once while `works`."""

    def __init__(self, settings: Notify = ALL, titles: dict[str, str] | None = None) -> None:
        self.settings, self.titles = settings, titles or TITLES
        self.recipient = Recipient(settings, self.titles, Queue())
        self.now = 1000.0
        self.wall = START_MS
        self.right = True
        self.boot = "a"
        self.zone: tzinfo = BERLIN
        self.works = True
        self.letters: list[Letter] = []

    @property
    def present(self) -> Present:
        """The clock as it is now."""
        offset = self.wall - round(self.now * 1000)
        return Present(self.wall, offset, self.right, self.boot, self.zone, BUILD_DATE_MS)

    def say(
        self,
        alarm: str,
        state: str,
        *,
        since: int | None = None,
        value: float | str | None = 18.5,
        text: str = "Charge soon.",
    ) -> None:
        """Let the controller say how an alarm stands."""
        text = "ok" if state == "ok" else text
        message = Alarm(
            state=state,  # type: ignore[arg-type]  # one of the three
            since=to_iso(self.wall if since is None else since),
            value=value,
            text=f"{self.titles.get(alarm, alarm)}: {text}",
        )
        self.recipient.hear(alarm, message, self.now, self.present)

    def pass_(self, seconds: float, step: float = 1.0) -> list[Letter]:
        """Let time pass, and return what was sent meanwhile."""
        before = len(self.letters)
        for _ in range(round(seconds / step)):
            self.now += step
            self.wall += round(step * 1000)
            self.tick()
        return self.letters[before:]

    def tick(self) -> None:
        """Do what the service does once a second."""
        self.recipient.correct(self.present)
        letter = self.recipient.letter(self.now, self.present)
        if letter is not None and self.works:
            self.recipient.sent(letter, self.now)
            self.letters.append(letter)
        elif letter is not None:
            self.recipient.failed(self.now, lambda failures: pause(failures, 1.0))

    def restart(self) -> None:
        """End and start again with what was kept."""
        kept = msgspec.json.decode(msgspec.json.encode(self.recipient.queue), type=Queue)
        self.recipient = Recipient(self.settings, self.titles, kept)
