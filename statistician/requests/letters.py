"""The verbs dead_letters and take_again: the messages that were set aside, and another try with one."""

from collections.abc import Callable

from msgspec import Struct

from bus.commands import Code, Refused
from bus.events import Message
from bus.messages import to_iso
from bus.requests import Listing, Part, Parts, Place
from statistician.requests.ground import Ground
from statistician.requests.params import DeadLetters, TakeAgain

# How much of a payload is listed, characters.
_SHOWN = 500
# Takes a message as if it had come just now; returns why it was set aside again, None if it was not.
Take = Callable[[Message], str | None]


class _Listed(Struct):
    id: int
    ts: str
    topic: str
    payload: str
    bytes: int
    error: str


class _Taken(Struct):
    letter: int
    topic: str
    error: str | None


def dead_letters(ground: Ground, params: DeadLetters, place: Place) -> Listing:
    """The newest first."""
    before, left = (2**53, params.limit) if place.after is None else map(int, place.after)

    def parts() -> Parts:
        for at, (number, one) in enumerate(ground.store.letters(before, left), 1):
            text = one.payload.decode("utf-8", "replace")[:_SHOWN]
            listed = _Listed(number, to_iso(one.ts), one.topic, text, len(one.payload), one.error)
            yield Part((number, left - at), listed)

    return Listing(parts(), lambda found: [part.value for part in found])


def taking_again(ground: Ground, take: Take) -> Callable[[TakeAgain, Place], Listing]:
    """The verb, given what takes a message."""

    def parts(number: int) -> Parts:
        found = ground.store.letter(number)
        if found is None:
            raise Refused(Code.NOT_FOUND, f"letter: there is no dead letter {number}; dead_letters lists all")
        if not found.whole:
            raise Refused(Code.DENIED, f"letter: of {number} only the beginning was kept; send it anew")
        message = Message(found.topic, found.payload, qos=0, retain=False, mid=0, generation=0)
        error = take(message)
        ground.store.remove_letter(number)
        yield Part((), _Taken(number, found.topic, error))

    return lambda asked, _place: Listing.whole(parts(asked.letter))
