"""Verbs that look after what is kept: fixes and their journal, copies, and messages that were set aside."""

from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import replace

from bus.commands import Code, Refused
from bus.events import Message
from bus.messages import to_iso
from bus.requests import Listing, Part, Parts, Place, Wait
from statistician.api.table import BY_TWO, Nothing, verb
from statistician.context import Context
from statistician.fixes.engine import FIXES, Fix, journal, make
from statistician.fixes.params import FixParams, ListFixes, UndoFix

# How much of a payload is listed, characters.
_SHOWN = 500


class DeadLetters(Struct, forbid_unknown_fields=True):
    """The newest `limit` messages that were set aside."""

    limit: Annotated[int, Meta(ge=0, le=1000)] = 100


class TakeAgain(Struct, forbid_unknown_fields=True):
    """The dead letter with this number."""

    letter: Annotated[int, Meta(ge=1, le=2**53)]


class TakeBack(Struct, forbid_unknown_fields=True):
    """Take a fix back; `id` names the request, so the fix is `fix`."""

    fix: Annotated[int, Meta(ge=1, le=2**53)]
    dry_run: bool = False


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


@verb(DeadLetters, asker="admin", pages=BY_TWO)
def dead_letters(context: Context, params: DeadLetters, place: Place) -> Listing:
    """List what was set aside, the newest first."""
    before, left = (2**53, params.limit) if place.after is None else map(int, place.after)

    def parts() -> Parts:
        for at, (number, one) in enumerate(context.store.letters(before, left), 1):
            text = one.payload.decode("utf-8", "replace")[:_SHOWN]
            listed = _Listed(number, to_iso(one.ts), one.topic, text, len(one.payload), one.error)
            yield Part((number, left - at), listed)

    return Listing(parts(), lambda found: [part.value for part in found])


@verb(TakeAgain, asker="admin")
def take_again(context: Context, params: TakeAgain, _place: Place) -> Listing:
    """Take a message that was set aside as if it had come just now."""

    def parts() -> Parts:
        number = params.letter
        found = context.store.letter(number)
        if found is None:
            raise Refused(Code.NOT_FOUND, f"letter: there is no dead letter {number}; dead_letters lists all")
        if not found.whole:
            raise Refused(Code.DENIED, f"letter: of {number} only the beginning was kept; send it anew")
        message = Message(found.topic, found.payload, qos=0, retain=False, mid=0, generation=0)
        error = context.take_again(message)
        context.store.remove_letter(number)
        yield Part((), _Taken(number, found.topic, error))

    return Listing.whole(parts())


@verb(Nothing, asker="admin")
def backup(context: Context, _params: Nothing, place: Place) -> Listing:
    """Make a copy of the database, and answer once it is whole."""

    def parts() -> Parts:
        told: list[tuple[str | None, str | None]] = []
        earliest = context.upkeep.ask_backup(lambda made, error: told.append((made, error)), place.now)
        if earliest is not None:
            text = f"clients get a copy every 10 minutes at most; the next is possible at {to_iso(earliest)}"
            raise Refused(Code.LIMIT, text)
        while not told:
            yield Wait.WAIT
        made, error = told[0]
        if error is not None:
            raise Refused(Code.INTERNAL, error)
        yield Part((), {"file": made})

    return Listing.whole(parts())


@verb(ListFixes, asker="viewer", pages=BY_TWO, name="fixes")
def list_fixes(context: Context, params: ListFixes, place: Place) -> Listing:
    """List what was put right, the newest first."""
    before, left = (2**60, params.limit) if place.after is None else map(int, place.after)

    def parts() -> Parts:
        found = journal(context, replace(params, limit=left), before)
        for at, one in enumerate(found, 1):
            yield Part((one.id, left - at), one)
            yield None

    return Listing(parts(), lambda found: [part.value for part in found])


def _fix(fix: Fix[Any]) -> None:
    """Put a fix into the table of verbs."""

    @verb(fix.params, asker="admin", largest=fix.largest, changes=True, name=fix.verb)
    def answer(context: Context, asked: FixParams, _place: Place) -> Listing:
        return Listing.of(make(context, asked))


for _name, _row in FIXES.items():
    if _name != "undo":
        _fix(_row)


@verb(TakeBack, asker="admin", changes=True)
def undo(context: Context, params: TakeBack, _place: Place) -> Listing:
    """Take a fix back."""
    return Listing.of(make(context, UndoFix(id=params.fix, dry_run=params.dry_run)))
