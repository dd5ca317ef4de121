"""Which stored readings were dated by a clock that was not synchronised yet, in this boot of the machine."""

import msgspec

from statistician.entity_clock import Move
from statistician.live import Entities
from statistician.store import Store

_FACT = "estimated"


class _Kept(msgspec.Struct, forbid_unknown_fields=True):
    """`offset` is what the clock was ahead of the time since the machine's start, ms."""

    boot: str = ""
    offset: int = 0
    # By entity number: when its first reading counts.
    since: dict[str, int] = {}


class Estimated:
    """Remembers them across restarts of the process; times are ms."""

    def __init__(self, store: Store, boot: str, offset: int) -> None:
        kept = msgspec.json.decode(store.engine.fact(_FACT) or "{}", type=_Kept)
        if kept.boot != boot:
            # What another boot has dated stays: nobody knows by how much it was wrong.
            kept = _Kept(boot=boot, offset=offset)
        self._kept = kept
        self._store = store
        self._changed = False

    @property
    def offset(self) -> int:
        """The offset that the readings were dated with."""
        return self._kept.offset

    def __bool__(self) -> bool:
        return bool(self._kept.since)

    def note(self, number: int, ts: int, offset: int) -> None:
        """Note that an entity's reading was dated so."""
        if not self._kept.since:
            self._kept.offset = offset
        if str(number) not in self._kept.since:
            self._kept.since[str(number)] = ts
            self._changed = True

    def save(self) -> None:
        """Put on disk what changed; within the transaction that stores the readings. Raises StoreError."""
        if self._changed:
            self._store.engine.put_fact(_FACT, msgspec.json.encode(self._kept).decode())
            self._changed = False

    def moves(self, by: int, entities: Entities) -> dict[int, Move]:
        """How they are to be dated now that the clock went forward by `by` ms."""
        found = {int(number): since for number, since in self._kept.since.items()}
        return {
            number: Move(since, entities[number].heard, by)
            for number, since in found.items()
            if number in entities and entities[number].heard >= since
        }

    def moved(self, by: int, *, synchronised: bool) -> None:
        """Note that they were dated anew; a `synchronised` clock dated them right. Raises StoreError."""
        self._kept.offset += by
        since = {} if synchronised else self._kept.since
        self._kept.since = {number: at + by for number, at in since.items()}
        self._changed = True
        self.save()
