"""Which stored readings were dated by a clock that was not synchronised yet, and which clocks are wrong."""

from collections.abc import Mapping

import msgspec

from bus.messages import Reading
from statistician.arithmetic.live import Entities, LiveEntity
from statistician.clock.entity_clock import TOLERANCE, Move
from statistician.records import KeptClocks
from statistician.store import Store

_FACT = "estimated"
# A smaller change of how wrong a clock is need not be kept, ms.
_SMALL = 1_000


class Estimated:
    """Remembers them across restarts of the process; times are ms."""

    def __init__(self, store: Store, boot: str, offset: int) -> None:
        kept = msgspec.json.decode(store.engine.fact(_FACT) or "{}", type=KeptClocks)
        if kept.boot != boot:
            # What another boot has dated stays: nobody knows by how much it was wrong.
            kept = KeptClocks(boot=boot, offset=offset, shifts=kept.shifts)
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
        if number not in self._kept.since:
            self._kept.since[number] = ts
            self._changed = True

    def note_reading(
        self, reading: Reading, dated: Mapping[int, int], arrived: int | None, offset: int
    ) -> None:
        """Note what a clock has dated that is not synchronised, by entity number.

        Also a reading that `arrived` with a time that was not believed, unless its order says another one.
        """
        if reading.late:
            return
        ours = reading.clock != "ok" or reading.ts is None
        for number, ts in dated.items():
            if ours or (arrived is not None and ts >= arrived - TOLERANCE):
                self.note(number, ts, offset)

    def shift(self, number: int) -> int:
        """What was added to an entity's clock before the start, ms."""
        return self._kept.shifts.get(number, 0)

    def note_shift(self, live: LiveEntity) -> None:
        """Note how wrong an entity's clock is."""
        number, shift = live.record.id, 0 if live.clock is None else live.clock.shift
        if (shift == 0) == (number in self._kept.shifts) or abs(shift - self.shift(number)) > _SMALL:
            self._kept.shifts.pop(number, None)
            if shift:
                self._kept.shifts[number] = shift
            self._changed = True

    def stepped(self, by: int) -> None:
        """Note that the house's clock went forward by `by` ms. Raises StoreError."""
        shifts = {number: shift + by for number, shift in self._kept.shifts.items()}
        self._kept.shifts = {number: shift for number, shift in shifts.items() if abs(shift) > TOLERANCE}
        if shifts:
            self._changed = True
            self.save()
            self.saved()

    def save(self) -> None:
        """Put on disk what changed; within the transaction that stores the readings. Raises StoreError."""
        if self._changed:
            self._store.engine.put_fact(_FACT, msgspec.json.encode(self._kept).decode())

    def saved(self) -> None:
        """Note that the transaction is committed."""
        self._changed = False

    def moves(self, by: int, entities: Entities) -> dict[int, Move]:
        """How they are to be dated now that the clock went forward by `by` ms."""
        found = self._kept.since
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
        self.saved()
