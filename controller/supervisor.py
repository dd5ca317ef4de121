"""Says whether a relay may be on now, turns off what may not, watches its load, and guards the battery.

Feedback of a load comes from an input of the board or from another device: in time, or it is a fault.
"""

import logging

from bus.about import Entity
from bus.commands import Code, Refused
from bus.messages import OFF, ON, Value
from bus.pins import PinError
from config.model import FAULT, GUARD, BatteryGuard, Relay, has_feedback
from controller import policy
from controller.others import BrokerWatch, Heard, States
from controller.policy import Guard, Position, Watch
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
    ) -> None:
        self._settings = settings
        self._heartbeat = heartbeat
        self._outputs = outputs
        self._states = states
        self._clock, self._journal = outputs.clock, outputs.journal
        self._guard = Guard(tripped=outputs.remembers(_TRIPPED))
        self._heard: Heard | None = None
        # Of the newest measurement that was one, or of the start.
        self._known_at = self._clock.monotonic()

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
    ) -> None:
        self._relays = relays
        self._outputs = outputs
        self._states = states
        self._guarding = guarding
        self._clock, self._journal = outputs.clock, outputs.journal
        self._partners = policy.partners(relays)
        self._broker = broker
        self._started = self._clock.monotonic()
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

    def switch(self, name: str, *, on: bool, now: float) -> bool:
        """Bring a relay into a position that no person asked for; False if its pin fails."""
        self._returning.pop(name, None)
        position = policy.lasting(self._relays[name], now) if on else Position(on=False)
        return self._outputs.try_to_take(name, position)

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


_RETRY_S = 10.0


class Feedbacks:
    """Watches the relays that have a feedback; all others are none of its business."""

    def __init__(
        self,
        relays: dict[str, Relay],
        outputs: RelayOutputs,
        states: States,
    ) -> None:
        self._relays = {name: relay for name, relay in relays.items() if has_feedback(relay)}
        self._outputs = outputs
        self._states = states
        self._clock, self._journal = outputs.clock, outputs.journal
        self._open: set[str] = set()
        self._tried = float("-inf")
        self._watches: dict[str, Watch] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._relays

    @property
    def on_pins(self) -> bool:
        """Whether one of them is a pin, which tells nothing by itself and must be looked at."""
        return bool(self._open)

    def entities(self) -> dict[str, Entity]:
        """Describe an entity for each relay."""
        return {
            name + FAULT: Entity(
                name=f"{relay.name or name.replace('_', ' ').capitalize()} fault",
                device_class="problem",
                boolean=True,
            )
            for name, relay in self._relays.items()
        }

    def look(self, now: float) -> None:
        """Compare every relay with its feedback."""
        self._open_inputs(now)
        for name in self._relays:
            on, said = self._outputs.is_on(name), self.said(name, now)
            watch = self._watches.get(name) or Watch(on, now)
            self._watches[name] = policy.feedback_step(watch, on=on, said=said, now=now)
            self._tell(name, said, now)

    def _open_inputs(self, now: float) -> None:
        if now - self._tried < _RETRY_S:
            return
        self._tried = now
        for name, relay in self._relays.items():
            if relay.feedback_pin is None or name in self._open:
                continue
            try:
                self._outputs.pins.on(relay.chip).open_input(relay.feedback_pin, relay.feedback_pull)
            except PinError as error:
                self._journal.problem(f"relay.{name}.feedback_pin", str(error), self._clock.wall())
                continue
            self._open.add(name)
            self._journal.solved(f"relay.{name}.feedback_pin")

    def said(self, name: str, now: float) -> bool | None:
        """Return what the load does; None while nobody knows."""
        relay = self._relays[name]
        if relay.feedback is not None:
            heard = self._states.find(relay.feedback)
            fresh = heard is not None and now - heard.at <= relay.only_if_within
            return policy.feedback_said(heard.value) if heard is not None and fresh else None
        if name not in self._open or relay.feedback_pin is None:
            return None
        try:
            high = self._outputs.pins.on(relay.chip).read(relay.feedback_pin)
        except PinError:
            # Unknown, which is told; opening it again may help.
            self._open.discard(name)
            return None
        return high is not relay.feedback_active_low

    def within(self, name: str) -> float:
        """Seconds in which the load must follow."""
        return self._relays[name].feedback_within / 1000

    def failed(self, name: str, now: float) -> None:
        """Note that the relay was asked to turn on, and its load did not."""
        self._watches[name] = Watch(on=False, since=now, failed=True)
        self._tell(name, self.said(name, now), now)

    def _tell(self, name: str, said: bool | None, now: float) -> None:  # noqa: FBT001 — three values
        subject = f"relay.{name}.feedback"
        text = self._text(name, said, now)
        if text is None:
            self._journal.solved(subject)
        elif self._journal.problem(subject, text, self._clock.wall()):
            log.error("%s: %s", name, text)

    def _text(self, name: str, said: bool | None, now: float) -> str | None:  # noqa: FBT001 — three values
        watch = self._watches[name]
        relay = self._relays[name]
        if watch.failed:
            return "it did not turn on when it was asked to: fuse, wiring, relay?"
        if said is None:
            silent = now - watch.since > max(relay.only_if_within, self.within(name))
            return f"its feedback is unknown: {self._source(name)}" if silent else None
        if not policy.feedback_fault(watch, said=said, within_s=self.within(name), now=now):
            return None
        told, real = (ON, OFF) if watch.on else (OFF, ON)
        hint = "fuse, wiring, relay?" if watch.on else "is the contact welded, or switched by hand?"
        return f"it is {told}, but its feedback says {real}: {hint}"

    def _source(self, name: str) -> str:
        relay = self._relays[name]
        return relay.feedback or f"pin {relay.feedback_pin}"

    def missing(self, name: str, *, on: bool, now: float) -> str:
        """Why a command failed, for its answer."""
        said = self.said(name, now)
        word = "unknown" if said is None else ON if said else OFF
        wanted = ON if on else OFF
        what = f"feedback {self._source(name)} is {word} after {self.within(name) * 1000:.0f} ms"
        return f"{what}, not {wanted}" + ("; turned off again" if on else "; is the contact welded?")

    def values(self, now: float) -> dict[str, Value]:
        """ON where relay and load disagree, None where nobody knows."""
        out: dict[str, Value] = {}
        for name in self._relays:
            said = self.said(name, now)
            found = policy.feedback_fault(self._watches[name], said=said, within_s=self.within(name), now=now)
            out[name + FAULT] = None if found is None else ON if found else OFF
        return out
