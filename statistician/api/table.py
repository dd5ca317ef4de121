"""The table of verbs: what each may be asked, what answers it, and who may ask it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from msgspec import Meta, Struct

from bus.requests import LARGEST, Action, Listing, Ms, Place, action
from statistician.context import Context

# Whoever may ask a verb, and all roles above: what changes nothing is a viewer's.
Asker = Literal["viewer", "operator", "admin"]
P = TypeVar("P", bound=Struct)
Answer = Callable[[Context, P, Place], Listing]

# What a cursor holds, by what a verb lists.
BY_NAME = tuple[str]
BY_TIME = tuple[Ms]
BY_TWO = tuple[Ms, Annotated[int, Meta(ge=-1_000_000_000, le=1_000_000_000)]]
# An entity's place in the request, and a time.
BY_ROW = tuple[Annotated[int, Meta(ge=0, le=500)], Ms]


class Nothing(Struct, forbid_unknown_fields=True):
    """A verb without parameters."""


@dataclass(frozen=True, slots=True)
class RequestVerb:
    """A row of the table; `pages` is what a cursor holds (None: no pages), `largest` in bytes."""

    name: str
    params: type[Struct]
    answer: Answer[Any]
    asker: Asker
    pages: object = None
    largest: int = LARGEST
    changes: bool = False

    def on(self, context: Context) -> Action:
        """Bind the verb to the running statistician."""
        return action(
            self.params,
            lambda asked, place: self.answer(context, asked, place),
            key=self.pages,
            largest=self.largest,
            changes=self.changes,
        )


VERBS: dict[str, RequestVerb] = {}


def verb(
    params: type[P],
    *,
    asker: Asker,
    pages: object = None,
    largest: int = LARGEST,
    changes: bool = False,
    name: str | None = None,
) -> Callable[[Answer[P]], Answer[P]]:
    """Put a function into the table, under its own name or `name`; its answer may raise Refused."""

    def entered(answer: Answer[P]) -> Answer[P]:
        called = name or answer.__name__
        VERBS[called] = RequestVerb(called, params, answer, asker, pages, largest, changes)
        return answer

    return entered
