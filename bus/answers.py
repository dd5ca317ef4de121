"""Answers to commands: on the result topic and the Response Topic, and again to whoever repeats an id."""

from collections import OrderedDict

from bus.commands import Code
from bus.events import Message, Publishes, Sent
from bus.health import Journal
from bus.messages import Result, encode
from bus.topics import Topics

_REMEMBERED = 256


class Answers:
    """What a service answered; a command that was obeyed is answered again, but not obeyed again."""

    def __init__(self, bus: Publishes, topics: Topics, journal: Journal) -> None:
        self._bus = bus
        self._topics = topics
        self._journal = journal
        self._obeyed: OrderedDict[tuple[str, str, str], bytes] = OrderedDict()
        self._expected: set[tuple[str, str, str]] = set()

    def repeat(self, device: str, entity: str, command_id: str | None, message: Message) -> bool:
        """Answer again if a command of this id was obeyed before; False if it is new.

        One whose answer is still to come is counted only: the answer will serve both.
        """
        if command_id is not None and (device, entity, command_id) in self._expected:
            self._journal.count("commands_repeated")
            return True
        answer = self._obeyed.get((device, entity, command_id)) if command_id is not None else None
        if answer is None:
            return False
        self._journal.count("commands_repeated")
        self._send(device, entity, message, answer)
        return True

    def expect(self, device: str, entity: str, command_id: str | None) -> None:
        """The answer to a command of this id takes a while."""
        if command_id is not None:
            self._expected.add((device, entity, command_id))

    def send(self, device: str, entity: str, message: Message, result: Result) -> None:
        """Answer a command; one that was obeyed is remembered by its id."""
        if result.id is not None:
            self._expected.discard((device, entity, result.id))
        if result.code is not None:
            self._journal.count(f"commands_{Code(result.code)}")
        payload = encode(result)
        if result.status == "ok" and result.id is not None:
            self._obeyed[device, entity, result.id] = payload
            if len(self._obeyed) > _REMEMBERED:
                self._obeyed.popitem(last=False)
        self._send(device, entity, message, payload)

    def _send(self, device: str, entity: str, message: Message, payload: bytes) -> None:
        sent = [self._bus.publish(self._topics.result(device, entity), payload)]
        if message.response_topic and self._topics.is_response(message.response_topic):
            sent.append(self._bus.publish(message.response_topic, payload, correlation=message.correlation))
        if any(one is not Sent.YES for one in sent):
            self._journal.count("results_lost")
