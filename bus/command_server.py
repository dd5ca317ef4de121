"""Takes commands for the outputs of a process: each is checked, obeyed at most once and answered.

It is the same way for every process, so the same refusal has the same fields whoever answers.
"""

import logging
from dataclasses import dataclass
from typing import Protocol

from bus import commands
from bus.about import Entity
from bus.access_log import AccessLog
from bus.answers import Answers
from bus.clock import Clock
from bus.commands import Code, Command, Refused, Wanted
from bus.events import Message
from bus.faults import why_aside
from bus.health import Journal
from bus.messages import Result, Value, to_iso

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """A command on its way to an output."""

    device: str
    entity: str
    command: Command
    message: Message


class Outputs(Protocol):
    """What a process can switch."""

    def entity(self, device: str, entity: str) -> Entity:
        """Return what about says of an entity that takes commands. Raises Refused."""

    def actual(self, device: str, entity: str) -> Value:
        """Return what is known of the output now, None if nothing is."""

    def off_at(self, device: str, entity: str) -> float | None:
        """Return when the output turns itself off, monotonic seconds."""

    def obey(self, order: Order, wanted: Wanted) -> None:
        """Call `begin`, have the output obey, and later `done` or `refuse`. Raises Refused."""

    def say_state(self) -> None:
        """Publish the state: whoever sees an answer may read it."""


class CommandServer:
    """Checks commands in the order of the contract, hands them to `outputs`, and answers."""

    def __init__(
        self,
        answers: Answers,
        outputs: Outputs,
        *,
        clock: Clock,
        journal: Journal,
        access: AccessLog | None = None,
    ) -> None:
        self._answers = answers
        self._outputs = outputs
        self._clock = clock
        self._journal = journal
        self._access = access

    def take(self, device: str, entity: str, message: Message) -> None:
        """Take a command; what is refused is answered at once."""
        if not message.payload and message.retain:
            # It deletes a retained command.
            return
        self._journal.count("commands")
        command = Command("")
        try:
            command = commands.parse(message.payload)
            if self._answers.repeat(device, entity, command.id, message):
                return
            commands.check_fresh(command, retained=message.retain, now_ms=self._clock.wall())
            wanted = commands.wanted(self._outputs.entity(device, entity), command)
            self._outputs.obey(Order(device, entity, command, message), wanted)
        except Refused as refusal:
            self.refuse(Order(device, entity, command, message), refusal)

    def give_up(self, device: str, entity: str, message: Message, error: Exception | None) -> None:
        """Answer a command that failed with an error, or (None) that must not be read."""
        if not message.payload and message.retain:
            return
        command = Command("") if error is None else readable(message)
        order = Order(device, entity, command, message)
        self.refuse(order, Refused(Code.INTERNAL, why_aside(error)[:300]), known=False)

    def begin(self, order: Order) -> None:
        """Note that an order is obeyed next: whatever happens to the process, it is not obeyed again."""
        self._answers.expect(order.device, order.entity, order.command.id)

    def done(self, order: Order) -> None:
        """Answer an order that was obeyed."""
        actual = self._answer(order, None)
        note_obeyed(self._access, order, actual)

    def refuse(self, order: Order, refusal: Refused, *, known: bool = True) -> None:
        """Answer an order that was not obeyed; `known` False: nobody knows how the output stands now."""
        log.warning("%s.%s: %s%s", order.device, order.entity, refusal, by(order))
        self._answer(order, refusal, known=known)

    def _answer(self, order: Order, refusal: Refused | None, *, known: bool = True) -> Value:
        self._outputs.say_state()
        device, entity, command = order.device, order.entity, order.command
        now_ms = self._clock.wall()
        off_at = self._outputs.off_at(device, entity)
        until = None if off_at is None else now_ms + int((off_at - self._clock.monotonic()) * 1000)
        result = Result(
            id=command.id if refusal is None else command.id or refusal.id,
            status="ok" if refusal is None else "error",
            code=None if refusal is None else refusal.code,
            message="done" if refusal is None else str(refusal),
            value=str(command.value) or None,
            actual=self._outputs.actual(device, entity) if known else None,
            until=None if until is None else to_iso(until),
            ts=to_iso(now_ms),
        )
        self._answers.send(device, entity, order.message, result)
        return result.actual


def readable(message: Message) -> Command:
    """Return a command that is another's to judge, as far as it can be read."""
    try:
        return commands.parse(message.payload)
    except Refused as refusal:
        return Command("", id=refusal.id)


def note_obeyed(access: AccessLog | None, order: Order, value: Value) -> None:
    """Write on one line, and into the access log, what was switched and by whom."""
    shown = str(order.command.value) if value is None else value
    log.info("%s.%s: %s%s", order.device, order.entity, shown, by(order))
    if access is not None:
        reply_to, sender = order.message.response_topic, order.command.sender
        access.note(f"{order.device}.{order.entity}", str(shown), sender=sender, reply_to=reply_to)


def by(order: Order) -> str:
    """Return who sent an order, as far as it says so."""
    names = [name for name in (order.command.sender, order.message.response_topic) if name]
    return f" by {', '.join(names)}" if names else ""
