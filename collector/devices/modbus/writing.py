"""What a command writes to a Modbus device: its registers, and whether it fits what is set already. Pure."""

from dataclasses import dataclass
from decimal import Decimal

from bus.commands import Switch, Wanted
from bus.messages import ON
from collector.devices.description import Rows, UnfitError, Values
from collector.devices.lines import ModbusLine
from collector.devices.modbus import POWERS, as_words, number
from collector.devices.modbus.profile import BIT_FUNCTIONS, Block, Together, Value, as_list

KEPT = "kept"
_WHOLE = 0xFFFF
_WRITE_ONE, _WRITE_SEVERAL = 6, 16


@dataclass(frozen=True, slots=True)
class Target:
    """A value of a block that a command writes; `together` are the registers that must go with it."""

    block: Block
    value: Value
    together: Together | None = None

    @property
    def single(self) -> bool:
        """Whether it is one coil, which is written and hides nothing else."""
        return self.block.function in BIT_FUNCTIONS

    @property
    def kept(self) -> bool:
        """Whether the device keeps it without supply: each write wears its memory."""
        return self.value.write is not None and self.value.write.restart == KEPT

    @property
    def place(self) -> tuple[int, int]:
        """First register that is written, and how many."""
        if self.together is not None:
            return self.together.address, self.together.count
        return as_list(self.value.address)[0], self.value.size

    @property
    def read(self) -> Block:
        """What is read before and after: what is written, and what its values hang on."""
        if self.value.scale_register is not None:
            return self.block
        first, count = self.place
        values = [self.value]
        if self.together is not None:
            values = [one for one in self.block.values if self.together.has(self.block, one)]
        return Block(
            name=self.value.id, function=self.block.function, address=first, count=count, values=values
        )

    def words(self, wanted: Wanted, before: tuple[int, ...] | None) -> tuple[int, ...]:
        """Return the registers of `read` as they should become; `before` is needed for all but ON and OFF.

        Raises UnfitError for what the registers cannot say.
        """
        words = list(before or (0,))
        at = self._at
        for place, (word, mask) in enumerate(zip(self._own(wanted, words), self._masks, strict=True), at):
            words[place] = words[place] & ~mask | word & mask
        return tuple(words)

    def send(self, line: ModbusLine, unit: int, words: tuple[int, ...]) -> None:
        """Write in one request. Raises what the line raises."""
        first, count = self.place
        if self.single:
            line.write_coil(unit, first, on=bool(words[0]))
            return
        start = first - self.read.address
        write = self.value.write
        function = _WRITE_ONE if count == 1 else _WRITE_SEVERAL
        if write is not None and write.function is not None and self.together is None:
            function = write.function
        line.write_registers(unit, function, first, words[start : start + count])

    def is_so(self, words: tuple[int, ...], others: tuple[int, ...]) -> bool:
        """Whether the value is the same in two readings of `read`."""
        pairs = zip(words[self._at :], others[self._at :], self._masks, strict=False)
        return all(not (one ^ other) & mask for one, other, mask in pairs)

    def check_range(self, wanted: Wanted, nominal: float | None) -> None:
        """Raise UnfitError for a number that the device is not made for.

        `nominal` is what it says of that, None if it says nothing.
        """
        write = self.value.write
        if write is None or write.nominal is None or isinstance(wanted, str):
            return
        hangs_on = write.nominal.id
        if nominal is None or nominal <= 0:
            raise UnfitError(
                f"value {wanted:g}: the device does not say its {hangs_on}, which sets the range"
            )
        least, most = write.limits(Decimal(str(nominal))) or (wanted, wanted)
        if not least <= wanted <= most:
            raise UnfitError(
                f"value {wanted:g}: allowed is {least:g} to {most:g} where {hangs_on} is {nominal:g}"
            )

    def check_order(self, values: Values, rows: Rows) -> None:
        """Raise UnfitError if the value, as it should become, is not in order with others."""
        for above, sign, below in () if self.together is None else self.together.rules():
            high, low = values.get(above), values.get(below)
            if (
                self.value.id not in (above, below)
                or isinstance(high, str | None)
                or isinstance(low, str | None)
            ):
                continue
            if high > low or (sign == ">=" and high == low):
                continue
            must = "above" if sign == ">" else "at least"
            entities = rows[above].entity, rows[below].entity
            raise UnfitError(
                f"{entities[0].name} ({high:g}) must be {must} {entities[1].name} ({low:g}): change "
                f"{below if self.value.id == above else above} first"
            )

    def difference(self, wanted: Wanted, values: Values, rows: Rows) -> str:
        """Say what is read back in place of what was wanted."""
        entity = rows[self.value.id].entity
        name, found = entity.name.lower(), values[self.value.id]
        if entity.boolean:
            return f"the {name} output stays {found}" if self.single else f"the {name} stays {found}"
        unit = f" {entity.unit}" if entity.unit else ""
        shown = [f"{one:g}{unit}" if isinstance(one, float | int) else one for one in (found, wanted)]
        return f"the {name} is {shown[0]} after {shown[1]} was written"

    @property
    def _at(self) -> int:
        return as_list(self.value.address)[0] - self.read.address

    @property
    def _masks(self) -> list[int]:
        """Bits of each of its registers that are its own."""
        if self.single:
            return [1]
        if self.value.bit is not None:
            return [1 << self.value.bit]
        if self.value.bits is not None:
            first, last = self.value.bits
            return [(1 << last + 1) - (1 << first)]
        return [_WHOLE] * self.value.size

    def _own(self, wanted: Wanted, words: list[int]) -> tuple[int, ...]:
        if isinstance(wanted, Switch):
            was = words[self._at] & self._masks[0] != 0
            on = not was if wanted is Switch.TOGGLE else wanted == ON
            return (self._masks[0] if on else 0,)
        little = self.value.word_order == "little"
        raw = self._code(wanted) if isinstance(wanted, str) else self._raw(wanted, words)
        try:
            return as_words(self.value.type, raw, little=little)
        except (ValueError, OverflowError) as error:
            raise UnfitError(f"value {wanted}: the register of the device cannot hold it") from error

    def _code(self, word: str) -> Decimal:
        codes = [code for code, one in (self.value.options or {}).items() if one == word]
        if len(codes) != 1:
            raise UnfitError(
                f"value {word!r}: the device has {len(codes)} settings of that name: set it there"
            )
        return Decimal(int(codes[0]) << (self.value.bits or [0])[0])

    def _raw(self, wanted: float, words: list[int]) -> Decimal:
        scale = Decimal(self.value.scale)
        if self.value.scale_register is not None:
            place = self.value.scale_register - self.read.address
            power = int(number("i16", (words[place],), little=False) or 0)
            if power not in POWERS:
                raise UnfitError(f"value {wanted:g}: the device does not say how its register counts")
            scale = scale.scaleb(power)
        return (Decimal(str(wanted)) - self.value.offset) / scale
