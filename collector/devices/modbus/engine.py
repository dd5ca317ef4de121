"""The block engine of all Modbus kinds: which block is due, which is missing, what they told. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from collector.devices.description import (
    Decoded,
    DecodeError,
    LineError,
    NoAnswerError,
    RefusedError,
    Values,
)

# A block that a model does not have is asked ever less often: the firmware may be newer one day.
_LAST_RETRY_S = 3600.0
# A poll comes a little early or late; a block is due within this of its time.
_SLACK_S = 0.5
_NEVER = float("-inf")


class Block(Protocol):
    """One request: its name, how often it is read at most, whether some models lack it, its entities."""

    @property
    def name(self) -> str:
        """Name it among the blocks of its device."""

    @property
    def every(self) -> float:
        """Give the seconds from one answer to the next request."""

    @property
    def optional(self) -> bool:
        """Say whether some models do not have it."""

    @property
    def entities(self) -> Iterable[str]:
        """List the entities that it tells."""


B = TypeVar("B", bound=Block)


@dataclass(slots=True)
class _State:
    """Of one block: when it is due, how often in a row it was missed, what it told last."""

    due: float = _NEVER
    missed: int = 0
    told: Decoded | None = None


@dataclass(slots=True)
class BlockReader(Generic[B]):
    """Reads the blocks of one device and remembers what they told.

    A missed optional block is asked for again after `retry` seconds, then ever later. If `strict`, each
    entity is told from the start, silence about a block that answered before fails the poll, and a failed
    poll forgets which blocks were missed. `nothing` is the error if no block answers.
    """

    retry: float = 30.0
    strict: bool = False
    nothing: str = "it refuses all that it was asked for"
    _states: dict[str, _State] = field(default_factory=dict)

    def poll(self, blocks: Iterable[B], read: Callable[[B], Decoded], now: float) -> Decoded:
        """Read the blocks that are due and return what all told. Raises what `read` raises, RefusedError."""
        try:
            self._read([block for block in blocks if now >= self._state(block).due - _SLACK_S], read, now)
        except (DecodeError, LineError):
            # It may be another device when it comes back: nothing of before counts.
            if self.strict:
                self._states.clear()
            for state in self._states.values():
                state.told, state.due = None, state.due if state.missed else min(state.due, now)
            raise
        return self._told()

    def _read(self, due: list[B], read: Callable[[B], Decoded], now: float) -> None:
        heard = not due
        # What every model has comes first: a device that is not there is found out at once.
        for block in sorted(due, key=lambda one: one.optional):
            state = self._state(block)
            try:
                state.told = read(block)
            except (RefusedError, NoAnswerError) as error:
                # Some models keep silent where others refuse.
                away = not heard or (self.strict and state.told is not None and not state.missed)
                if not block.optional or (isinstance(error, NoAnswerError) and away):
                    raise
                self._miss(block, state, now)
                continue
            heard = True
            state.due, state.missed = now + block.every, 0
        if not heard:
            raise RefusedError(self.nothing)

    def _state(self, block: B) -> _State:
        return self._states.setdefault(block.name, _State())

    def _miss(self, block: B, state: _State, now: float) -> None:
        state.due = now + min(self.retry * 2**state.missed, _LAST_RETRY_S)
        state.missed = min(state.missed + 1, 10)
        # What it told before is unknown now.
        if self.strict:
            state.told = Decoded(dict.fromkeys(block.entities))
        elif state.told is not None:
            state.told = Decoded(dict.fromkeys(state.told.values))

    def _told(self) -> Decoded:
        values: Values = {}
        unknown: tuple[str, ...] = ()
        reasons: dict[str, str] = {}
        for told in (state.told for state in self._states.values() if state.told is not None):
            for entity, value in told.values.items():
                # Where two blocks tell the same, the first that knows it counts.
                if values.get(entity) is None:
                    values[entity] = value
            unknown += told.unknown
            reasons |= told.reasons
        return Decoded(values, unknown=unknown, reasons=reasons)
