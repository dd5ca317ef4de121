"""What requests are made of, the same for every service: typed parameters, answers in parts."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Struct, inspect

from bus.commands import Code, Refused

# Bytes of a request; a verb that takes data allows more.
LARGEST = 4096
LATEST_MS = 32_503_680_000_000  # the year 3000
# Keys that every request may have besides its parameters.
ENVELOPE = ("id", "transaction", "reply_to", "cursor", "from")

Ms = Annotated[int, Meta(ge=0, le=LATEST_MS)]


# The closed list of why a request is not answered with data.
CODES = (Code.INVALID, Code.NOT_FOUND, Code.OFFLINE, Code.LIMIT, Code.BUSY, Code.DENIED, Code.INTERNAL)
Key = tuple[int | str, ...]


class Part(NamedTuple):
    """A piece of an answer; a next page goes on behind `key`."""

    key: Key
    value: object


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins: behind the key `after`; `now` (ms) is when the first page was asked for."""

    now: int
    after: Key | None = None


class Progress(NamedTuple):
    """What an answer in the making can tell already: it goes out at once, with status `progress`."""

    value: object


class Wait(Enum):
    """Stands for a part of an answer: what it needs is on its way, others have their turn until then."""

    WAIT = "wait"


Parts = Iterator[Part | Progress | Wait | None]


@dataclass(frozen=True, slots=True)
class Listing:
    """An answer in the making; a None among the parts is a moment at which the process may do other work."""

    parts: Parts
    assemble: Callable[[list[Part]], object]

    @classmethod
    def whole(cls, parts: Parts) -> "Listing":
        """Make an answer of one part."""
        return cls(parts, lambda found: found[0].value)

    @classmethod
    def of(cls, value: object) -> "Listing":
        """Make an answer that is known already."""
        return cls.whole(iter((Part((), value),)))


@dataclass(frozen=True, slots=True)
class Action:
    """What a verb does: `start` gets the parameters as JSON; `key` is a cursor's type, None without pages.

    One that `changes` something is noted in the access log.
    """

    start: Callable[[bytes, Place], Listing]
    key: object
    largest: int
    params: type[Struct]
    changes: bool = False


P = TypeVar("P", bound=Struct)


def action(
    params: type[P],
    run: Callable[[P, Place], Listing],
    *,
    key: object = None,
    largest: int = LARGEST,
    changes: bool = False,
) -> Action:
    """Make an action with typed parameters; `run` raises Refused, so do the parts of what it returns."""
    decoder = msgspec.json.Decoder(params)

    def start(raw: bytes, place: Place) -> Listing:
        try:
            decoded = decoder.decode(raw)
        except (ValueError, RecursionError) as error:
            raise Refused(Code.INVALID, _explain(str(error), params)) from error
        return run(decoded, place)

    return Action(start, key, largest, params, changes)


_AT = re.compile(r" - at `\$\.?(.*)`$")


_FIELD = re.compile(r"(unknown|required) field `(.*)`\Z", re.DOTALL)


def _explain(text: str, params: type[Struct]) -> str:
    """Msgspec's sentence with the field in front and, where it leaves them out, what is allowed."""
    at = _AT.search(text)
    path = at.group(1) if at else ""
    sentence = _AT.sub("", text)
    if field := _FIELD.search(sentence):
        info = _walk(inspect.type_info(params), path)
        names = [f.encode_name for f in info.fields] if isinstance(info, inspect.StructType) else []
        full = f"{path}.{field[2][:64]}" if path else field[2][:64]
        if field[1] == "required":
            return f"{full}: this field is needed"
        allowed = ", ".join(names if path else (*names, *ENVELOPE))
        return f"{full}: there is no such field; allowed are {allowed}"
    if "enum value" in sentence:
        words = ", ".join(map(str, _words(_walk(inspect.type_info(params), path))))
        sentence += f"; allowed are {words}"
    sentence = sentence.replace("`", "")
    return f"{path}: {sentence}" if path else sentence


def _walk(kind: inspect.Type, path: str) -> inspect.Type:
    """Find the type at the end of a path such as `calendar.period` or `types[...]`."""
    for name in re.findall(r"\w+|\[\.\.\.\]", path):
        for struct in _inside(kind):
            if isinstance(struct, inspect.StructType):
                kind = next((f.type for f in struct.fields if f.encode_name == name), kind)
    return next((k for k in _inside(kind) if isinstance(k, inspect.StructType)), kind)


def _inside(kind: inspect.Type) -> Iterator[inspect.Type]:
    yield kind
    if isinstance(kind, inspect.UnionType):
        for one in kind.types:
            yield from _inside(one)
    elif isinstance(kind, inspect.ListType | inspect.VarTupleType):
        yield from _inside(kind.item_type)


def _words(kind: inspect.Type) -> Iterator[object]:
    for one in _inside(kind):
        if isinstance(one, inspect.LiteralType):
            yield from one.values
