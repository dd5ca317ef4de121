"""The relays as they stand on their pins: commanded position, real level, what to remember."""

import logging
import math
from collections.abc import Callable

from bus.clock import Clock
from bus.commands import Code, Refused
from bus.health import Journal
from bus.messages import OFF, ON
from bus.pins import PinError, Pins
from config.model import Relay
from controller import policy
from controller.files import Memory
from controller.policy import Position

log = logging.getLogger(__name__)

_RETRY_S = 10.0


class RelayOutputs:
    """All relays of the controller; a pin that fails is a problem in health, never the end of the process."""

    def __init__(
        self, relays: dict[str, Relay], pins: Pins, memory: Memory, *, clock: Clock, journal: Journal
    ) -> None:
        self._relays = relays
        # Also for who reads inputs, and for all parts of the controller.
        self.pins, self.clock, self.journal = pins, clock, journal
        self._memory = memory
        self._positions: dict[str, Position] = {}
        self._off_since: dict[str, float] = {}
        self._withheld: Callable[[str, float], bool] = lambda _name, _now: False
        self._tried = float("-inf")

    def start(self, now: float, withheld: Callable[[str, float], bool] | None = None) -> None:
        """Open every pin at its boot level; one that boots on stays off if it is `withheld`."""
        self._withheld = withheld or self._withheld
        self._tried = now
        if self._relays:
            chips = dict.fromkeys(relay.chip for relay in self._relays.values())
            self.journal.fact("pins", "; ".join(self.pins.on(chip).told for chip in chips))
        if self._memory.problem is not None:
            text = f"{self._memory.problem}; every relay counts as off until it is switched"
            self.journal.problem("memory", text, self.clock.wall())
        for name, relay in self._relays.items():
            if name not in self._positions:
                self._open(name, relay, now)

    def retry(self, now: float) -> None:
        """Open again, now and then, the pins that could not be opened."""
        if len(self._positions) < len(self._relays) and now - self._tried >= _RETRY_S:
            self.start(now)

    def _open(self, name: str, relay: Relay, now: float) -> None:
        position = self.boot_position(name, now)
        if position.on and self._withheld(name, now):
            position = Position(on=False)
        try:
            self.pins.on(relay.chip).open(relay.pin, high=policy.level(relay, on=position.on))
        except PinError as error:
            self._trouble(name, error)
            return
        self._positions[name] = position
        # How long it was off before nobody knows.
        self._off_since[name] = now
        self.journal.solved(f"relay.{name}")

    def boot_position(self, name: str, now: float) -> Position:
        """Return the position that a relay takes by its boot policy."""
        return policy.at_boot(self._relays[name], was_on=self._memory.was_on(name), now=now)

    def position(self, name: str) -> Position:
        """Return the commanded position. Raises Refused for an unknown or unusable relay."""
        if name not in self._relays:
            known = ", ".join(self._relays) or "none"
            raise Refused(Code.NOT_FOUND, f"there is no relay {name!r}; there are: {known}")
        position = self._positions.get(name)
        if position is None:
            raise Refused(Code.HARDWARE, self.journal.problems.get(f"relay.{name}", "its pin is not open"))
        return position

    def is_on(self, name: str) -> bool:
        """Return whether the relay is commanded on."""
        position = self._positions.get(name)
        return position is not None and position.on

    def is_lasting(self, name: str) -> bool:
        """Return whether it is on, and not for a time only."""
        position = self._positions.get(name)
        return position is not None and position.on and position.lasting

    def off_since(self, name: str) -> float:
        """Return since when the relay has been off for certain, monotonic seconds."""
        return self._off_since.get(name, float("-inf"))

    def off_at(self, name: str) -> float | None:
        """Return when the relay turns itself off, monotonic seconds."""
        position = self._positions.get(name)
        return None if position is None else position.off_at

    def take(self, name: str, position: Position) -> None:
        """Bring a relay into a position, check it and remember it. Raises PinError."""
        self._drive(name, position)
        # What was on for a time only must not come back for ever.
        self._remember(name, on=position.on and position.lasting)

    def _drive(self, name: str, position: Position) -> None:
        relay = self._relays[name]
        high = policy.level(relay, on=position.on)
        self.pins.on(relay.chip).write(relay.pin, high=high)
        if self.is_on(name) and not position.on:
            self._off_since[name] = self.clock.monotonic()
        # Also when the pin does not follow: should it do so later, its time limit must hold.
        self._positions[name] = position
        if self.pins.on(relay.chip).read(relay.pin) is not high:
            raise PinError(f"pin {relay.pin} does not follow: is it short-circuited or used elsewhere?")
        self.journal.solved(f"relay.{name}")

    def _remember(self, name: str, *, on: bool) -> None:
        if self._relays[name].boot == "restore":
            self.remember(name, on=on)

    def remembers(self, word: str) -> bool:
        """Return what was kept under a word."""
        return self._memory.was_on(word)

    def remember(self, word: str, *, on: bool) -> None:
        """Keep a position, or something else under a word of its own, over a restart."""
        try:
            self._memory.remember(word, on=on)
        except OSError as error:
            # The relay did switch; only its memory is in doubt.
            self.journal.problem("memory", f"positions cannot be kept: {error}", self.clock.wall())
        else:
            self.journal.solved("memory")

    def actual(self, name: str) -> str | None:
        """Return ON or OFF as read back from the pin; None when it cannot be read."""
        relay = self._relays.get(name)
        if relay is None or name not in self._positions:
            return None
        try:
            high = self.pins.on(relay.chip).read(relay.pin)
        except PinError as error:
            self._trouble(name, error)
            return None
        return ON if high is not relay.active_low else OFF

    def due(self) -> float:
        """Return when the next relay turns itself off, monotonic seconds; infinity: none does."""
        times = [position.off_at for position in self._positions.values() if position.off_at is not None]
        return min(times, default=math.inf)

    def elapse(self, now: float) -> list[str]:
        """Turn off what has been on long enough; returns the names."""
        done = []
        for name, position in list(self._positions.items()):
            after = policy.elapse(position, now)
            if after is position:
                continue
            if self.try_to_take(name, after):
                done.append(name)
        return done

    def try_to_take(self, name: str, position: Position) -> bool:
        """Bring a relay into a position that nobody waits for; a pin that fails is told in health."""
        try:
            self.take(name, position)
        except PinError as error:
            self._trouble(name, error)
            return False
        return True

    def stop(self) -> None:
        """Leave every relay as its exit policy says; `keep` leaves the pin driving."""
        for name, relay in self._relays.items():
            if relay.exit == "off" and name in self._positions:
                try:
                    # Not remembered: nobody commanded it, and `restore` must find what was.
                    self._drive(name, Position(on=False))
                except PinError as error:
                    self._trouble(name, error)

    def _trouble(self, name: str, error: PinError) -> None:
        if self.journal.problem(f"relay.{name}", str(error), self.clock.wall()):
            log.error("%s: %s", name, error)
