"""Says whether a relay may be on now, turns off what may not, and guards the battery."""

import logging

from bus.clock import Clock
from bus.commands import Code, Refused
from bus.health import Journal
from bus.messages import OFF, ON, Value
from config.model import GUARD, BatteryGuard, Relay
from controller import policy
from controller.broker_watch import BrokerWatch
from controller.others import Heard, States
from controller.policy import Guard, Position
from controller.relays import RelayOutputs

log = logging.getLogger(__name__)

_TRIPPED = f"{GUARD}.tripped"
_WAS_ON = f"{GUARD}.was_on"


class Guarding:
    """Keeps one relay off while its battery is too empty."""

    def __init__(
        self,
        settings: BatteryGuard,
        outputs: RelayOutputs,
        states: States,
        *,
        heartbeat: float,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._settings = settings
        self._heartbeat = heartbeat
        self._outputs = outputs
        self._states = states
        self._clock = clock
        self._journal = journal
        self._guard = Guard(tripped=outputs.remembers(_TRIPPED))
        self._heard: Heard | None = None
        # Of the newest measurement that was one, or of the start.
        self._known_at = clock.monotonic()

    @property
    def relay(self) -> str:
        """Return the relay that is guarded."""
        return self._settings.relay

    @property
    def state(self) -> str:
        """Return ON while the load is disconnected."""
        return ON if self._guard.tripped else OFF

    def refusal(self, relay: str) -> str | None:
        """Return why a relay may not be on, None if it may."""
        if relay != self._settings.relay or not self._guard.tripped:
            return None
        return policy.guard_refusal(self._settings, self._value())

    def hear(self, now: float) -> bool:
        """Take what the source said; True when the battery has just recovered and the load was on before."""
        before = self._guard.tripped
        heard = self._states.find(self._settings.source)
        if heard is not None and heard is not self._heard:
            self._heard = heard
            value = self._value()
            self._guard = policy.guard_step(self._settings, self._guard, value, heard.at)
            if value is not None:
                self._known_at = heard.at
        self._guard = policy.guard_elapse(self._settings, self._guard, now, heartbeat=self._heartbeat)
        if self._guard.tripped is before:
            return False
        return self._trip() if self._guard.tripped else self._recover()

    def _trip(self) -> bool:
        log.warning("battery guard: tripped, %s is turned off", self._settings.relay)
        self._outputs.remember(_WAS_ON, on=self._outputs.is_lasting(self._settings.relay))
        self._outputs.remember(_TRIPPED, on=True)
        return False

    def _recover(self) -> bool:
        log.info("battery guard: the battery has recovered")
        self._outputs.remember(_TRIPPED, on=False)
        return self._settings.restore and self._outputs.remembers(_WAS_ON)

    def let_be(self, relay: str) -> None:
        """Keep the relay off after recovery: somebody turned it off."""
        if relay == self._settings.relay and self._guard.tripped:
            self._outputs.remember(_WAS_ON, on=False)

    def tell(self, now: float) -> None:
        """Say in health what is wrong."""
        text = self.refusal(self._settings.relay)
        if text is None:
            self._journal.solved(GUARD)
        else:
            # The value moves on; the news is that it tripped.
            self._tell_once(GUARD, text)
        if now - self._known_at <= policy.LONGEST_GAP_S:
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


class Supervisor:
    """All policies of the relays that need more than the relay: conditions, partners, rest, guard, broker."""

    def __init__(
        self,
        relays: dict[str, Relay],
        outputs: RelayOutputs,
        states: States,
        guarding: Guarding | None,
        broker: BrokerWatch,
        *,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._relays = relays
        self._outputs = outputs
        self._states = states
        self._guarding = guarding
        self._clock = clock
        self._journal = journal
        self._partners = policy.partners(relays)
        self._broker = broker
        self._started = clock.monotonic()
        # Relays that come back by themselves, and until when they may.
        self._returning: dict[str, float] = {}

    def hear(self, now: float) -> None:
        """Take what another device said, and that time has passed since."""
        if self._guarding is not None and self._guarding.hear(now):
            self._come_back(self._guarding.relay, now)

    def withheld(self, name: str, now: float) -> bool:
        """Return whether a relay that boots on has to stay off, and come back later if at all."""
        if self._forbidden(name) is not None:
            return True
        if policy.is_cold(self._relays[name], now):
            self._come_back(name, now)
            return True
        return False

    def _come_back(self, name: str, now: float) -> None:
        self._returning[name] = now + policy.patience(self._relays[name])

    def check(self, name: str, now: float) -> None:
        """Raise Refused if the relay may not be turned on, or stay on for longer, now."""
        why = self._forbidden(name) or policy.unmet(self._relays[name], self._states, now)
        if why is not None:
            raise Refused(Code.INTERLOCK, why)
        rest = policy.rest(self._relays[name], self._outputs.off_since(name), now)
        if rest and not self._outputs.is_on(name):
            raise Refused(Code.LIMIT, f"min_off: it may turn on again in {rest:.1f} s")

    def _forbidden(self, name: str) -> str | None:
        why = self._guarding.refusal(name) if self._guarding is not None else None
        if why is not None:
            return why
        for other in self._partners[name]:
            if self._outputs.is_on(other) or self._outputs.actual(other) == ON:
                return f"never with {other}, which is on"
        return None

    def commanded(self, name: str, *, on: bool) -> None:
        """Note that a command was obeyed: it counts for more than what was to come back."""
        self._returning.pop(name, None)
        if self._guarding is not None and not on:
            self._guarding.let_be(name)

    def enforce(self, now: float) -> None:
        """Turn off what may be on no longer, and on what has waited for its time."""
        self.hear(now)
        for name, relay in self._relays.items():
            if self._outputs.is_on(name):
                self._turn_off(name, relay, now)
            if policy.unmet(relay, self._states, now) is None:
                self._journal.solved(f"relay.{name}.only_if")
        for name, until in list(self._returning.items()):
            self._try_to_return(name, until, now)
        if self._guarding is not None:
            self._guarding.tell(now)

    def _turn_off(self, name: str, relay: Relay, now: float) -> None:
        why = self._must_be_off(name, relay, now)
        unfit = self._unfit(relay, now) if why is None else None
        if unfit is not None:
            self._journal.problem(f"relay.{name}.only_if", f"turned off: {unfit}", self._clock.wall())
        reason = why or unfit
        if reason is not None and self._outputs.try_to_take(name, Position(on=False)):
            log.warning("%s: turned off: %s", name, reason)

    def _must_be_off(self, name: str, relay: Relay, now: float) -> str | None:
        why = self._guarding.refusal(name) if self._guarding is not None else None
        if why is not None:
            return why
        away = self._broker.away(now)
        if away is not None and relay.broker_loss == "off" and away >= relay.broker_loss_after:
            return f"the broker has been away for {away:.0f} s"
        return None

    def _unfit(self, relay: Relay, now: float) -> str | None:
        if not relay.only_if_enforce:
            return None
        return policy.broken(relay, self._states, now, since=self._started)

    def _try_to_return(self, name: str, until: float, now: float) -> None:
        if self._outputs.is_on(name) or now > until:
            del self._returning[name]
            return
        try:
            self._outputs.position(name)
            self.check(name, now)
        except Refused:
            # Not yet: it is asked again until its time is over.
            return
        if self._outputs.try_to_take(name, policy.lasting(self._relays[name], now)):
            log.info("%s: back on", name)
            del self._returning[name]

    def values(self) -> dict[str, Value]:
        """Return what the relays' device says beside its relays."""
        return {} if self._guarding is None else {GUARD: self._guarding.state}
