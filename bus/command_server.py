"""Takes commands for the outputs of a process: each is checked, obeyed at most once and answered.

It is the same way for every process, so the same refusal has the same fields whoever answers. An answer goes
to the result topic and the Response Topic, and again to whoever repeats an id.
"""

import logging
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from bus import commands, state_files
from bus.about import Entity
from bus.access_log import AccessLog
from bus.clock import Clock
from bus.commands import Code, Command, Refused, Wanted
from bus.events import Message, Publishes, Sent
from bus.health import Journal, why_aside
from bus.messages import Result, Value, encode, to_iso
from bus.topics import ID, Topics

log = logging.getLogger(__name__)

_REMEMBERED = 256
_CUT_OFF = "the process failed while it obeyed this id: look at actual, and send again with a new id"
# Both leave an id as it is: the one came before anything was done, the other says that nobody knows what was.
_UNDECIDED = (Code.INVALID, Code.INTERNAL)

_BEGUN = msgspec.Raw(b"null")

_Key = tuple[str, str, str]


class _Row(msgspec.Struct, array_like=True):
    """A line of the file; without an answer the command was begun."""

    device: str
    entity: str
    id: str
    answer: Result | None


class Answers:
    """What a service answered; a command that was obeyed is answered again, but not obeyed again.

    With a `path` in memory-backed storage this holds over the death of the process, for the newest 256 ids.
    """

    def __init__(
        self,
        bus: Publishes,
        topics: Topics,
        journal: Journal,
        *,
        clock: Clock,
        path: Path | None = None,
    ) -> None:
        self._bus = bus
        self._topics = topics
        self._journal = journal
        self._clock = clock
        self._path = path
        rows = (state_files.read(path, list[_Row]) or [])[-_REMEMBERED:]
        # As the file has them: made once, for each command writes them all.
        self._known: OrderedDict[_Key, tuple[str, str, str, msgspec.Raw]] = OrderedDict()
        for row in rows:
            answer = _BEGUN if row.answer is None else msgspec.Raw(encode(row.answer))
            self._known[row.device, row.entity, row.id] = (row.device, row.entity, row.id, answer)
        self._expected: set[_Key] = set()

    def repeat(self, device: str, entity: str, command_id: str | None, message: Message) -> bool:
        """Answer again if a command of this id was obeyed before; False if it is new.

        One whose answer is still to come is counted only: the answer will serve both. Raises
        Refused(internal) for one that an earlier process began: whether the output moved nobody knows.
        """
        if command_id is None:
            return False
        key = (device, entity, command_id)
        if key not in self._expected and key not in self._known:
            return False
        self._journal.count("repeated_commands")
        if key in self._expected:
            return True
        *_, answer = self._known[key]
        if answer == _BEGUN:
            raise Refused(Code.INTERNAL, _CUT_OFF)
        self._send(device, entity, message, bytes(answer))
        return True

    def expect(self, device: str, entity: str, command_id: str | None) -> None:
        """Note that a command of this id is obeyed next: whatever happens, it is not obeyed again."""
        if command_id is not None:
            key = (device, entity, command_id)
            self._expected.add(key)
            self._keep(key, _BEGUN)

    def send(self, device: str, entity: str, message: Message, result: Result) -> None:
        """Answer a command; one that was obeyed is remembered by its id, a refused one may come again."""
        if result.code is not None:
            self._journal.count(f"refused_commands_{Code(result.code)}")
        payload = encode(result)
        if result.code == Code.INTERNAL and result.id is not None:
            # No other answer will come; who asks again is told that nobody knows.
            self._expected.discard((device, entity, result.id))
        elif result.id is not None and result.code not in _UNDECIDED:
            key = (device, entity, result.id)
            self._expected.discard(key)
            if result.status == "ok":
                self._keep(key, msgspec.Raw(payload))
            elif key in self._known:
                del self._known[key]
                self._save()
        self._send(device, entity, message, payload)

    def _keep(self, key: _Key, answer: msgspec.Raw) -> None:
        self._known[key] = (*key, answer)
        self._known.move_to_end(key)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        self._save()

    def _save(self) -> None:
        if self._path is None:
            return
        try:
            state_files.write(self._path, msgspec.json.encode(list(self._known.values())))
        except OSError as error:
            text = f"{self._path}: {error}; a command sent again after a restart may be obeyed twice"
            if self._journal.problem("answers", text, self._clock.wall()):
                log.warning("%s", text)
        else:
            self._journal.solved("answers")

    def _send(self, device: str, entity: str, message: Message, payload: bytes) -> None:
        sent = []
        if ID.match(device) and ID.match(entity):
            sent.append(self._bus.publish(self._topics.result(device, entity), payload))
        if message.response_topic and self._topics.is_response(message.response_topic):
            sent.append(self._bus.publish(message.response_topic, payload, correlation=message.correlation))
        if not set(sent) <= {Sent.YES}:
            self._journal.count("dropped_results")


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
