"""What requests are made of, the same for every service: codes, typed parameters, answers in parts."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Struct, inspect

# Bytes of a request; a verb that takes data allows more.
LARGEST = 4096
LATEST_MS = 32_503_680_000_000  # the year 3000
# Keys that every request may have besides its parameters.
ENVELOPE = ("id", "transaction", "reply_to", "cursor")

Ms = Annotated[int, Meta(ge=0, le=LATEST_MS)]


class Code(StrEnum):
    """Why a request was not answered with data: the closed list."""

    INVALID = "invalid"
    NOT_FOUND = "not_found"
    LIMIT = "limit"
    BUSY = "busy"
    DENIED = "denied"
    INTERNAL = "internal"


class Refused(Exception):  # noqa: N818 — an answer, not a failure of ours
    """The request gets an error answer with this code and text, which names the field and what is allowed."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code


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


@dataclass(frozen=True, slots=True)
class Listing:
    """An answer in the making; a None among the parts is a moment at which others may have their turn."""

    parts: Iterator[Part | None]
    assemble: Callable[[list[Part]], object]

    @classmethod
    def whole(cls, parts: Iterator[Part | None]) -> "Listing":
        """An answer of one part."""
        return cls(parts, lambda found: found[0].value)


@dataclass(frozen=True, slots=True)
class Action:
    """What a verb does: `start` gets the parameters as JSON; `key` is a cursor's type, None without pages."""

    start: Callable[[bytes, Place], Listing]
    key: object
    largest: int
    params: type[Struct]


P = TypeVar("P", bound=Struct)


def action(
    params: type[P], run: Callable[[P, Place], Listing], *, key: object = None, largest: int = LARGEST
) -> Action:
    """An action with typed parameters; `run` raises Refused, so do the parts of what it returns."""
    decoder = msgspec.json.Decoder(params)

    def start(raw: bytes, place: Place) -> Listing:
        try:
            decoded = decoder.decode(raw)
        except (ValueError, RecursionError) as error:
            raise Refused(Code.INVALID, _explain(str(error), params)) from error
        return run(decoded, place)

    return Action(start, key, largest, params)


_AT = re.compile(r" - at `\$\.?(.*)`$")


def _explain(text: str, params: type[Struct]) -> str:
    """Msgspec's sentence, with the field in front and, where it leaves them out, the words allowed."""
    at = _AT.search(text)
    path = at.group(1) if at else ""
    sentence = _AT.sub("", text).replace("`", "")
    names: list[object]
    if "unknown field" in sentence:
        info = _walk(inspect.type_info(params), path)
        names = [f.encode_name for f in info.fields] if isinstance(info, inspect.StructType) else []
        sentence += f"; allowed are {', '.join(map(str, names)) or 'none'}"
        if not path:
            sentence += f", besides {', '.join(ENVELOPE)}"
    elif "enum value" in sentence:
        names = list(_words(_walk(inspect.type_info(params), path)))
        sentence += f"; allowed are {', '.join(map(str, names))}"
    return f"{path}: {sentence}" if path else sentence


def _walk(kind: inspect.Type, path: str) -> inspect.Type:
    """The type at the end of a path such as `calendar.period` or `types[...]`."""
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
