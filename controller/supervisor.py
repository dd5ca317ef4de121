"""Says whether a relay may be on now, and turns off by itself what may be on no longer."""

import logging

from bus.clock import Clock
from bus.commands import Code, Refused
from bus.health import Journal
from bus.messages import ON, Value
from config.model import Relay
from config.relay_rules import GUARD
from controller import interlocks, policy
from controller.bank import Bank
from controller.broker_watch import BrokerWatch
from controller.guarding import Guarding
from controller.policy import Position
from controller.states import States

log = logging.getLogger(__name__)


class Supervisor:
    """All policies of the relays that need more than the relay: conditions, partners, rest, guard, broker."""

    def __init__(
        self,
        relays: dict[str, Relay],
        bank: Bank,
        states: States,
        guarding: Guarding | None,
        broker: BrokerWatch,
        *,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._relays = relays
        self._bank = bank
        self._states = states
        self._guarding = guarding
        self._clock = clock
        self._journal = journal
        self._partners = interlocks.partners(relays)
        self._broker = broker
        self._started = clock.monotonic()
        # Relays that come back by themselves, and until when they may.
        self._returning: dict[str, float] = {}

    def hear(self, now: float) -> None:
        """Take what another device said, and that time has passed since."""
        if self._guarding is not None and self._guarding.hear(now):
            self._come_back(self._guarding.relay, now)

    def withheld(self, name: str, now: float) -> bool:
        """Whether a relay that boots on has to stay off, and come back later if at all."""
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
        why = self._forbidden(name) or interlocks.unmet(self._relays[name], self._states, now)
        if why is not None:
            raise Refused(Code.INTERLOCK, why)
        rest = interlocks.rest(self._relays[name], self._bank.off_since(name), now)
        if rest and not self._bank.is_on(name):
            raise Refused(Code.LIMIT, f"min_off: it may turn on again in {rest:.1f} s")

    def _forbidden(self, name: str) -> str | None:
        why = self._guarding.refusal(name) if self._guarding is not None else None
        if why is not None:
            return why
        for other in self._partners[name]:
            if self._bank.is_on(other) or self._bank.actual(other) == ON:
                return f"never with {other}, which is on"
        return None

    def commanded(self, name: str, *, on: bool) -> None:
        """Somebody's command was obeyed: it counts for more than what was to come back."""
        self._returning.pop(name, None)
        if self._guarding is not None and not on:
            self._guarding.let_be(name)

    def enforce(self, now: float) -> None:
        """Turn off what may be on no longer, and on what has waited for its time."""
        self.hear(now)
        for name, relay in self._relays.items():
            if self._bank.is_on(name):
                self._turn_off(name, relay, now)
            if interlocks.unmet(relay, self._states, now) is None:
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
        if reason is not None and self._bank.try_to_take(name, Position(on=False)):
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
        return interlocks.broken(relay, self._states, now, since=self._started)

    def _try_to_return(self, name: str, until: float, now: float) -> None:
        if self._bank.is_on(name) or now > until:
            del self._returning[name]
            return
        try:
            self._bank.position(name)
            self.check(name, now)
        except Refused:
            # Not yet: it is asked again until its time is over.
            return
        if self._bank.try_to_take(name, policy.lasting(self._relays[name], now)):
            log.info("%s: back on", name)
            del self._returning[name]

    def values(self) -> dict[str, Value]:
        """What the relays' device says beside its relays."""
        return {} if self._guarding is None else {GUARD: self._guarding.state}
