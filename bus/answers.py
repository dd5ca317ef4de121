"""Answers to commands: on the result topic and the Response Topic, and again to whoever repeats an id."""

import logging
from collections import OrderedDict
from pathlib import Path

import msgspec

from bus import keeping
from bus.clock import Clock
from bus.commands import Code, Refused
from bus.events import Message, Publishes, Sent
from bus.health import Journal
from bus.messages import Result, encode
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
        rows = (keeping.read(path, list[_Row]) or [])[-_REMEMBERED:]
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
        self._journal.count("commands_repeated")
        if key in self._expected:
            return True
        *_, answer = self._known[key]
        if answer == _BEGUN:
            raise Refused(Code.INTERNAL, _CUT_OFF)
        self._send(device, entity, message, bytes(answer))
        return True

    def expect(self, device: str, entity: str, command_id: str | None) -> None:
        """A command of this id is obeyed next: whatever happens to the process, it is not obeyed again."""
        if command_id is not None:
            key = (device, entity, command_id)
            self._expected.add(key)
            self._keep(key, _BEGUN)

    def send(self, device: str, entity: str, message: Message, result: Result) -> None:
        """Answer a command; one that was obeyed is remembered by its id, a refused one may come again."""
        if result.code is not None:
            self._journal.count(f"commands_{Code(result.code)}")
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
            keeping.write(self._path, msgspec.json.encode(list(self._known.values())))
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
        if any(one is not Sent.YES for one in sent):
            self._journal.count("results_lost")
