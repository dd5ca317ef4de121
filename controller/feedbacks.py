"""Feedback of the relays' loads, from an input of the board or another device: in time, or a fault."""

import logging

from bus.about import Entity
from bus.clock import Clock
from bus.health import Journal
from bus.messages import OFF, ON, Value
from bus.pins import PinError
from config.model import FAULT, Relay, has_feedback
from controller import policy
from controller.others import States
from controller.policy import Watch
from controller.relays import RelayOutputs

log = logging.getLogger(__name__)

_RETRY_S = 10.0


class Feedbacks:
    """Watches the relays that have a feedback; all others are none of its business."""

    def __init__(
        self,
        relays: dict[str, Relay],
        outputs: RelayOutputs,
        states: States,
        *,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._relays = {name: relay for name, relay in relays.items() if has_feedback(relay)}
        self._outputs = outputs
        self._states = states
        self._clock = clock
        self._journal = journal
        self._open: set[str] = set()
        self._tried = float("-inf")
        self._watches: dict[str, Watch] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._relays

    def entities(self) -> dict[str, Entity]:
        """A diagnostic entity a relay."""
        return {
            name + FAULT: Entity(
                name=f"{relay.name or name.replace('_', ' ').capitalize()} fault",
                device_class="problem",
                boolean=True,
                diagnostic=True,
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
                self._outputs.pins.open_input(relay.feedback_pin, relay.feedback_pull)
            except PinError as error:
                self._journal.problem(f"relay.{name}.feedback_pin", str(error), self._clock.wall())
                continue
            self._open.add(name)
            self._journal.solved(f"relay.{name}.feedback_pin")

    def said(self, name: str, now: float) -> bool | None:
        """What the load does; None while nobody knows."""
        relay = self._relays[name]
        if relay.feedback is not None:
            heard = self._states.find(relay.feedback)
            fresh = heard is not None and now - heard.at <= relay.only_if_within
            return policy.feedback_said(heard.value) if heard is not None and fresh else None
        if name not in self._open or relay.feedback_pin is None:
            return None
        try:
            return self._outputs.pins.read(relay.feedback_pin) is not relay.feedback_active_low
        except PinError:
            # Unknown, which is told; opening it again may help.
            self._open.discard(name)
            return None

    def within(self, name: str) -> float:
        """Seconds in which the load must follow."""
        return self._relays[name].feedback_within / 1000

    def failed(self, name: str, now: float) -> None:
        """The relay was asked to turn on, and its load did not."""
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
