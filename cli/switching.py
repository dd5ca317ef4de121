"""`boondock set`: a command to one entity, and its answer."""

import secrets
import time

import msgspec

from bus.messages import BadMessageError, Result, Value, decode_result
from bus.topics import BadTopicError
from cli.asking import Asker, AskError
from config.model import Broker

# A relay with a feedback answers when its load has followed, a polled device when it is its turn.
_ANSWER_S = 65.0
_FROM = "boondock set"


def entity_of(text: str) -> tuple[str, str]:
    """Device and entity of `relay.pump` or `relay/pump`. Raises AskError."""
    device, _, entity = text.replace("/", ".").partition(".")
    if not device or not entity:
        raise AskError(f"{text!r} is no entity; allowed is DEVICE.ENTITY such as relay.pump")
    return device, entity


def switch(broker: Broker, entity: str, value: str, for_s: float | None) -> Result:
    """Send the command and wait for its answer. Raises AskError with the refusal's reason."""
    device, part = entity_of(entity)
    number = f"cli-{secrets.token_hex(8)}"
    command: dict[str, object] = {"value": _value(value), "id": number, "from": _FROM}
    if for_s is not None:
        command["for"] = for_s
    try:
        topics = Asker.topics_of(broker)
        answers, asked = topics.result(device, part), topics.set(device, part)
    except BadTopicError as error:
        raise AskError(str(error)) from error
    with Asker(broker, answers, service=None) as asker:
        asker.publish(asked, msgspec.json.encode(command))
        result = _answer(asker, answers, number)
    if result.status == "ok":
        return result
    raise AskError(f"{entity} was refused: {result.message} ({result.code})")


def _answer(asker: Asker, topic: str, number: str) -> Result:
    deadline = time.monotonic() + _ANSWER_S
    while (left := deadline - time.monotonic()) > 0:
        message = asker.heard(left)
        if message is None or message.topic != topic:
            continue
        try:
            result = decode_result(message.payload)
        except BadMessageError:  # a stranger's: ours is still to come
            continue
        if result.id == number:
            return result
    raise AskError(
        f"no answer within {_ANSWER_S:g} s: nobody says whether it was obeyed;"
        " next: boondock watch shows the state"
    )


def _value(text: str) -> Value:
    """A number as one; ON, OFF, TOGGLE and options as they are written."""
    try:
        return float(text)
    except ValueError:
        return text
