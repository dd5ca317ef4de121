"""Commands for entities of polled devices: checked, put on the device's line, answered when it has obeyed."""

import logging
from dataclasses import dataclass
from typing import Protocol

from bus import commands
from bus.answers import Answers
from bus.clock import Clock
from bus.commands import Code, Command, Refused, Switch
from bus.events import Message
from bus.health import Journal
from bus.messages import OFF, ON, Result, Value, to_iso
from collector.devices.description import Decoded
from collector.ownership import Owned
from collector.polling import Switched
from collector.readings import Readings
from collector.timers import Timers

log = logging.getLogger(__name__)

_QUEUE = 8
_RETRY_S = 5.0


@dataclass(frozen=True, slots=True)
class _Ticket:
    """A command on its way to the device; without a message it is our own timer's."""

    entity: str
    command: Command
    message: Message | None


class Obeys(Protocol):
    """A source whose devices can be switched."""

    def switch(self, device: Owned, entity: str, wanted: Switch, ticket: object) -> None:
        """Have a device obey; a Switched event tells how it went."""


class Switching:
    """Obeys `set` topics of this process's devices; `for` is kept here, on the monotonic clock."""

    def __init__(
        self,
        source: Obeys,
        readings: Readings,
        answers: Answers,
        *,
        clock: Clock,
        journal: Journal,
        timers: Timers | None = None,
    ) -> None:
        self._source = source
        self._readings = readings
        self._answers = answers
        self._clock = clock
        self._journal = journal
        self._waiting = 0
        self._timers = timers or Timers()
        # Those whose time is up and whose device is being told.
        self._turning: set[tuple[str, str]] = set()

    def command(self, device_id: str, entity: str, message: Message) -> None:
        """Take a command; its answer follows at once if it is refused, else when the device has obeyed."""
        device = self._readings.get(device_id)
        if device is None or not message.payload:
            return
        self._journal.count("commands")
        command: Command | None = None
        try:
            command = commands.parse(message.payload)
            if self._answers.repeat(device_id, entity, command.id, message):
                return
            commands.check_fresh(command, retained=message.retain, now_ms=self._clock.wall())
            wanted = self._wanted(device, entity, command)
        except Refused as refusal:
            ticket = _Ticket(entity, command or Command("", id=refusal.id), message)
            # Nobody knows whether it was obeyed, but the device may have been read since.
            actual = device.reporter.known(entity) if refusal.code is Code.INTERNAL else None
            self._answer(device_id, ticket, actual=actual, refusal=refusal)
            return
        self._answers.expect(device_id, entity, command.id)
        self._put(device, _Ticket(entity, command, message), wanted)

    def _wanted(self, device: Owned, entity: str, command: Command) -> Switch:
        row = device.rows.get(entity)
        if row is None or not row.entity.command or entity in device.settings.disabled:
            able = [e for e, r in device.rows.items() if r.entity.command] or ["none"]
            raise Refused(
                Code.NOT_FOUND, f"{device.id} has no entity {entity} that takes commands: {', '.join(able)}"
            )
        wanted = commands.as_switch(command.value)
        if command.for_s is not None and wanted is Switch.OFF:
            raise Refused(Code.INVALID, "for: it goes with ON; an output is never turned on by itself")
        if self._waiting >= _QUEUE:
            raise Refused(Code.BUSY, f"{_QUEUE} commands wait already: try again in a moment")
        return wanted

    def _put(self, device: Owned, ticket: _Ticket, wanted: Switch) -> None:
        self._waiting += 1
        self._source.switch(device, ticket.entity, wanted, ticket)

    def switched(self, event: Switched) -> None:
        """A device has obeyed, or not: state first, then the answer."""
        self._waiting -= 1
        ticket, device = event.ticket, self._readings.get(event.device)
        assert isinstance(ticket, _Ticket)  # noqa: S101 — it is the one we gave
        key = (event.device, ticket.entity)
        if ticket.message is None:
            self._turning.discard(key)
        if event.why is not None:
            if ticket.message is None:
                # Its time is up and it must go off: again until it does.
                self._timers.set(key, self._clock.monotonic() + _RETRY_S)
            self._answer(event.device, ticket, refusal=Refused(Code.HARDWARE, str(event.why)))
            return
        actual = event.values.get(ticket.entity)
        if device is not None:
            self._readings.said(device, Decoded(event.values), self._clock.monotonic(), at_once=True)
        if ticket.command.for_s is not None and actual == ON:
            self._timers.set(key, self._clock.monotonic() + ticket.command.for_s)
        else:
            self._timers.clear(key)
        log.info("%s: %s %s", event.device, ticket.entity, actual)
        self._answer(event.device, ticket, actual=actual)

    def pending(self, device_id: str) -> str | None:
        """An entity of the device that is on for a time and has still to be turned off."""
        return self._timers.of(device_id)

    def tick(self, now: float) -> None:
        """Turn off what was on for its time."""
        for key, off_at in self._timers:
            device = self._readings.get(key[0])
            if now >= off_at and device is not None and key not in self._turning:
                self._turning.add(key)
                self._put(device, _Ticket(key[1], Command(OFF), None), Switch.OFF)

    def _answer(
        self, device_id: str, ticket: _Ticket, *, actual: Value = None, refusal: Refused | None = None
    ) -> None:
        if refusal is not None:
            log.warning("%s: %s: %s", device_id, ticket.entity, refusal)
        if ticket.message is None:
            return
        now_ms = self._clock.wall()
        off_at = self._timers.get((device_id, ticket.entity))
        until = None if off_at is None else now_ms + int((off_at - self._clock.monotonic()) * 1000)
        result = Result(
            id=ticket.command.id,
            status="ok" if refusal is None else "error",
            code=None if refusal is None else refusal.code,
            message="done" if refusal is None else str(refusal),
            value=str(ticket.command.value) or None,
            actual=actual if actual in (ON, OFF) else None,
            until=None if until is None else to_iso(until),
            ts=to_iso(now_ms),
        )
        self._answers.send(device_id, ticket.entity, ticket.message, result)
