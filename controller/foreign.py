"""Commands for devices of others: answered here where nobody else does, and noted in the access log."""

import logging

from bus.access_log import AccessLog
from bus.command_server import CommandServer, Order, note_obeyed, readable
from bus.commands import Code, Refused
from bus.events import Message
from bus.health import Journal
from bus.messages import BadMessageError, decode_result
from bus.topics import BadTopicError, Topics, Verb
from controller.others import PendingCommands, Services

log = logging.getLogger(__name__)

# So long health tells of a command to a topic that is none.
_MALFORMED_S = 600.0


class ForeignCommands:
    """Overhears commands to other owners and their answers; what stays open is refused."""

    def __init__(
        self, services: Services, commands: CommandServer, access: AccessLog, journal: Journal, topics: Topics
    ) -> None:
        self._commands = commands
        self._access = access
        self._journal = journal
        self._topics = topics
        self._pending: PendingCommands[Order] = PendingCommands(services)
        self._malformed_at = float("-inf")

    def forget(self) -> None:
        """Forget what waits: the broker is away, and answers with it."""
        self._pending.forget()

    def look(self, now: float) -> None:
        """Refuse what nobody has answered in time."""
        for order, refusal in self._pending.due(now):
            self._commands.refuse(order, refusal)
        if now - self._malformed_at > _MALFORMED_S:
            self._journal.solved("commands")

    def malformed(self, message: Message, error: BadTopicError, now: float, now_ms: int) -> None:
        """Answer a command whose topic names no entity, where an answer can go; count and tell it."""
        if not message.payload and message.retain:
            return
        self._journal.count("refused_malformed_commands")
        self._malformed_at = now
        text = f"{error}; a command goes to {self._topics.base}/{Verb.SET}/<device>/<entity>"
        self._journal.problem("commands", text, now_ms)
        device, entity = self._topics.levels_of(message.topic)[:2]
        order = Order(device, entity, readable(message), message)
        self._commands.refuse(order, Refused(Code.INVALID, text))

    def take(self, order: Order, now: float) -> None:
        """Note a command for a device of another owner, until that answers."""
        if not order.message.payload and order.message.retain:
            return
        try:
            self._pending.take(order.device, order.entity, order.command.id, order, now)
        except Refused as refusal:
            self._commands.refuse(order, refusal)

    def answered(self, device: str, entity: str, payload: bytes) -> None:
        """Take the answer of another owner; what it did goes into the access log."""
        try:
            result = decode_result(payload)
        except BadMessageError as error:
            log.warning("%s.%s: its answer cannot be read: %s", device, entity, error)
            self._journal.count("refused_messages")
            result = None
        order = self._pending.answered(device, entity, None if result is None else result.id)
        if order is not None and result is not None and result.status == "ok":
            note_obeyed(self._access, order, result.actual)
