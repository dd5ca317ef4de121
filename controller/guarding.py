"""The battery guard at work: hears its source, remembers over a restart that it tripped, tells in health."""

import logging

from bus.clock import Clock
from bus.health import Journal
from bus.messages import OFF, ON
from config.model import BatteryGuard
from config.relay_rules import GUARD
from controller import guard
from controller.bank import Bank
from controller.guard import Guard
from controller.states import Heard, States

log = logging.getLogger(__name__)

_TRIPPED = f"{GUARD}.tripped"
_WAS_ON = f"{GUARD}.was_on"


class Guarding:
    """Keeps one relay off while its battery is too empty."""

    def __init__(
        self,
        settings: BatteryGuard,
        bank: Bank,
        states: States,
        *,
        heartbeat: float,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._settings = settings
        self._heartbeat = heartbeat
        self._bank = bank
        self._states = states
        self._clock = clock
        self._journal = journal
        self._guard = Guard(tripped=bank.remembers(_TRIPPED))
        self._heard: Heard | None = None
        # Of the newest measurement that was one, or of the start.
        self._known_at = clock.monotonic()

    @property
    def relay(self) -> str:
        """The relay it guards."""
        return self._settings.relay

    @property
    def state(self) -> str:
        """ON while the load is disconnected."""
        return ON if self._guard.tripped else OFF

    def refusal(self, relay: str) -> str | None:
        """Why a relay may not be on."""
        if relay != self._settings.relay or not self._guard.tripped:
            return None
        return guard.refusal(self._settings, self._value())

    def hear(self, now: float) -> bool:
        """Take what the source said; True when the battery has just recovered and the load was on before."""
        before = self._guard.tripped
        heard = self._states.find(self._settings.source)
        if heard is not None and heard is not self._heard:
            self._heard = heard
            value = self._value()
            self._guard = guard.step(self._settings, self._guard, value, heard.at)
            if value is not None:
                self._known_at = heard.at
        self._guard = guard.elapse(self._settings, self._guard, now, heartbeat=self._heartbeat)
        if self._guard.tripped is before:
            return False
        return self._trip() if self._guard.tripped else self._recover()

    def _trip(self) -> bool:
        log.warning("battery guard: tripped, %s is turned off", self._settings.relay)
        self._bank.remember(_WAS_ON, on=self._bank.is_lasting(self._settings.relay))
        self._bank.remember(_TRIPPED, on=True)
        return False

    def _recover(self) -> bool:
        log.info("battery guard: the battery has recovered")
        self._bank.remember(_TRIPPED, on=False)
        return self._settings.restore and self._bank.remembers(_WAS_ON)

    def let_be(self, relay: str) -> None:
        """Somebody turned the relay off: it does not come back by itself."""
        if relay == self._settings.relay and self._guard.tripped:
            self._bank.remember(_WAS_ON, on=False)

    def tell(self, now: float) -> None:
        """Say in health what is wrong."""
        text = self.refusal(self._settings.relay)
        if text is None:
            self._journal.solved(GUARD)
        else:
            # The value moves on; the news is that it tripped.
            self._tell_once(GUARD, text)
        if now - self._known_at <= guard.LONGEST_GAP_S:
            self._journal.solved(f"{GUARD}.source")
        else:
            self._tell_once(
                f"{GUARD}.source", f"{self._settings.source} is unknown: nothing guards the battery meanwhile"
            )

    def _tell_once(self, subject: str, text: str) -> None:
        if subject not in self._journal.problems:
            self._journal.problem(subject, text, self._clock.wall())

    def _value(self) -> float | None:
        heard = self._states.find(self._settings.source)
        return heard.value if heard is not None and isinstance(heard.value, float | int) else None
