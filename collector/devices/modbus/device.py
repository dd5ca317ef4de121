"""Any Modbus device that a profile describes: its values, its commands; what an unknown unit seems to be."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from msgspec.structs import replace as changed

from bus.commands import Switch, Wanted
from bus.messages import OFF, ON
from collector.devices.description import (
    BadRecordError,
    Decoded,
    DecodeError,
    LineError,
    NoAnswerError,
    NotObeyedError,
    PolledKind,
    RefusedError,
    Rows,
    Tested,
    Values,
    Wire,
    WrongKindError,
)
from collector.devices.description import Value as Known
from collector.devices.lines import ModbusLine
from collector.devices.modbus import (
    POWERS,
    BlockReader,
    Request,
    check_port,
    number,
    rounded,
    text,
    unit_of,
)
from collector.devices.modbus.models import ModelCheck, load
from collector.devices.modbus.profile import (
    BIT_FUNCTIONS,
    MODEL,
    Block,
    Command,
    Direction,
    Exact,
    Profile,
    Value,
    as_list,
)
from collector.devices.modbus.writing import Target
from collector.devices.rows import SERIAL_NUMBER
from config.model import Device

# No quantity in these units is larger; a float of noise may be.
_LARGEST = 10**18
# Decimals of what is multiplied before it is rounded.
_EXACT = 4
_MEANT = "is the profile, or the kind, the right one for this model?"


@dataclass(frozen=True, slots=True)
class _Registers:
    """What one request brought, and what is found out about its values on the way."""

    first: int
    words: tuple[int, ...]
    unknown: list[str] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)

    def at(self, address: int, count: int = 1) -> tuple[int, ...]:
        start = address - self.first
        return self.words[start : start + count]


def decode(block: Block, words: tuple[int, ...], rows: Rows) -> Decoded:
    """Return the values of a block, described by `rows`; `words` are its `count` registers or bits."""
    registers = _Registers(block.address, words)
    values: Values = {value.id: _known(value, registers, rows) for value in block.values}
    return Decoded(values, unknown=tuple(registers.unknown), reasons=registers.reasons)


def _known(value: Value, registers: _Registers, rows: Rows) -> Known:
    if value.type == "str":
        return text(registers.at(as_list(value.address)[0], value.size))
    if value.bit is not None:
        (word,) = registers.at(as_list(value.address)[0])
        return None if word in as_list(value.invalid) else ON if word >> value.bit & 1 else OFF
    raw = _raw(value, registers)
    if raw is None:
        return None
    if value.options is not None:
        return _word(value, value.options, int(raw), registers)
    return _quantity(value, raw, registers, rows)


def _word(value: Value, options: dict[str, str], code: int, registers: _Registers) -> str | None:
    word = options.get(str(code))
    if word is None:
        registers.unknown.append(value.id)
    return word


def _raw(value: Value, registers: _Registers) -> Exact | None:
    raw: Exact | None = None
    for address in as_list(value.address):
        part = _part(value, address, registers)
        if part is not None:
            raw = part if raw is None else raw + part
    if raw is None or not value.subtract:
        return raw
    taken = [_part(value, address, registers) for address in as_list(value.subtract)]
    return None if None in taken else raw - sum((part for part in taken if part is not None), Decimal(0))


def _part(value: Value, address: int, registers: _Registers) -> Exact | None:
    words, little = registers.at(address, value.size), value.word_order == "little"
    if value.high is not None:
        words, little = (*registers.at(value.high), *words), False
    raw = number(value.type, words, little=little)
    if raw is None or (value.invalid and raw in as_list(value.invalid)):
        return None
    return raw if value.bits is None else _bits(int(raw), value.bits, value.sign_bit)


def _bits(word: int, bits: list[int], sign_bit: int | None) -> int:
    """Return the number in these bits of a register."""
    first, last = bits
    found = word >> first & (1 << last - first + 1) - 1
    return -found if sign_bit is not None and word >> sign_bit & 1 else found


def _quantity(value: Value, raw: Exact, registers: _Registers, rows: Rows) -> float | None:
    scale, entity = value.scale, rows[value.id].entity
    if value.scale_register is not None:
        power = number("i16", registers.at(value.scale_register), little=False)
        if power is None or power not in POWERS:
            return None
        scale = Decimal(scale).scaleb(int(power))
    if value.direction is not None:
        own = value.direction.signed
        sign = _sign(value.direction, registers)
        if own is not None and (raw < 0 or not sign):
            # Its scale has the sign of the other models.
            sign = own if raw > 0 else -own
        if sign is None:
            registers.unknown.append(value.id)
            return None
        if sign == 0 and raw != 0:
            registers.reasons[value.id] = "the device does not say in which direction it flows"
            return None
        raw = (-raw if raw < 0 else raw) * sign
    if not -_LARGEST <= raw <= _LARGEST:
        registers.reasons[value.id] = f"it is no number that could be meant: {_MEANT}"
        return None
    found = raw * scale + value.offset
    if value.floor is not None:
        found = max(found, value.floor)
    if (value.min is not None and found < value.min) or (value.max is not None and found > value.max):
        # What is multiplied has another unit before.
        shown = f"{Decimal(found):f} {'' if value.times else entity.unit or ''}".strip()
        registers.reasons[value.id] = f"{shown} is not plausible: {_MEANT}"
        return None
    return rounded(found, _EXACT if value.times else _digits(value, rows))


def _sign(direction: Direction, registers: _Registers) -> int | None:
    """Return 1, -1, 0 for neither of two bits, None for a code that is neither."""
    (word,) = registers.at(direction.address)
    if direction.positive_bit is not None and direction.negative_bit is not None:
        return (word >> direction.positive_bit & 1) - (word >> direction.negative_bit & 1)
    return 1 if word == direction.positive else -1 if word == direction.negative else None


@dataclass(slots=True)
class ModbusDevice:
    """One configured device and what it told of itself so far; one whose kind is its own has no `model`."""

    profile: Profile
    unit: int
    model: str | None = None
    pause: float = 0.0
    rows: Rows = field(init=False)
    _requests: tuple[Request, ...] = field(init=False)
    _reader: BlockReader = field(init=False)
    _check: ModelCheck = field(init=False)
    # Values whose range hangs on another one.
    _ranged: list[Value] = field(init=False)

    def __post_init__(self) -> None:
        about = self.profile.about
        # Of optional blocks, those are told that the device has.
        self.rows = self.profile.rows()
        self._requests = tuple(
            Request(one.name, one, one.every, one.optional, tuple(value.id for value in one.values))
            for one in self.profile.requests()
        )
        nothing = f"unit {self.unit} has nothing that profile {about.name} asks for"
        self._reader = BlockReader(about.retry, about.strict, nothing)
        self._check = ModelCheck(self.profile, self.unit)
        self._ranged = [
            value
            for block in self.profile.blocks
            for value in block.values
            if value.write is not None and value.write.nominal is not None
        ]

    @property
    def baudrate(self) -> int:
        """Return the maker's speed, which the settings may override."""
        return self.profile.about.baudrate

    def poll(self, line: ModbusLine, now: float) -> Decoded:
        """Read each block that is due. Raises what the line raises unless the block is optional.

        Raises WrongKindError for a model that the profile is not for.
        """

        def read(block: Block) -> Decoded:
            return decode(block, self._words(line, block), self.rows)

        line.rest(self.pause)
        try:
            told = self._reader.poll(self._requests, read, now)
        except (DecodeError, LineError):
            # It may be another device when it comes back.
            self._check.due = now
            raise
        try:
            self._check.look(line, now)
        except WrongKindError:
            self._reader.forget()
            raise
        values = told.values
        named = values.pop(MODEL, None) if self.profile.model else None
        if values.get(SERIAL_NUMBER) is not None:
            # Some keep it as a number: nobody calculates with it.
            values[SERIAL_NUMBER] = str(values[SERIAL_NUMBER])
        reasons = {**told.reasons, **self._multiply(values)}
        maker = None if self.model is None else self.profile.about.manufacturer
        told = replace(told, reasons=reasons, rows=self._narrowed(values))
        return replace(told, model=self.model if named is None else str(named), manufacturer=maker)

    def _multiply(self, values: Values) -> dict[str, str]:
        """Multiply what has `times`; return why some are unknown after it."""
        reasons: dict[str, str] = {}
        for value in (one for block in self.profile.blocks for one in block.values if one.times):
            found = _product((value.id, *as_list(value.times)), values, _digits(value, self.rows))
            if found is not None and abs(found) > _LARGEST:
                found, reasons[value.id] = None, f"it is no number that could be meant: {_MEANT}"
            values[value.id] = found
        return reasons

    def switch(self, line: ModbusLine, entity: str, wanted: Wanted) -> Values:
        """Write a value, read it back, and return what the device says of it and of what goes with it.

        Registers that the device takes together are written together. Raises RefusedError if it cannot be
        written now, UnfitError if it does not fit what is set, NotObeyedError if another value is read back,
        WrongKindError for a model that the profile is not for.
        """
        line.rest(self.pause)
        # Its registers mean something else on another model.
        self._check.insist(line)
        target = self._target(entity)
        if target.value.obeys is not None and target.value.obeys.only_when is not None:
            self._require(line, target.value.obeys, self.rows[entity].entity.name.lower())
        # What is no setting is written whatever it was.
        blind = target.value.write is None and wanted is not Switch.TOGGLE
        before = None if blind else self._words(line, target.read)
        target.check_range(wanted, self._nominal(line, target.value))
        words = target.words(wanted, before)
        target.check_order(decode(target.read, words, self.rows).values, self.rows)
        if before is not None and target.kept and target.is_so(before, words):
            # Each write wears its memory.
            return decode(target.read, before, self.rows).values
        after = self._written(line, target, words)
        values = decode(target.read, after, self.rows).values
        self._reader.ask_again(
            one.name for one in self.profile.blocks if one.function == target.block.function
        )
        if not target.is_so(after, words):
            hint = target.value.obeys.hint if target.value.obeys else ""
            told = target.difference(wanted, values, self.rows)
            raise NotObeyedError(f"{told}: {hint}" if hint else told, values)
        return values

    def _target(self, entity: str) -> Target:
        block, value = next(
            (block, value)
            for block in self.profile.blocks
            for value in block.values
            if value.id == entity and value.obeys is not None
        )
        return Target(
            block, value, next((one for one in self.profile.together if one.has(block, value)), None)
        )

    def _written(self, line: ModbusLine, target: Target, words: tuple[int, ...]) -> tuple[int, ...]:
        """Write, and return what is read back; if the answer was lost and it was not done, write again."""
        for last in (False, True):
            lost: DecodeError | None = None
            try:
                target.send(line, self.unit, words)
            except (NoAnswerError, BadRecordError) as error:
                lost = error
            after = self._words(line, target.read)
            if lost is None or target.is_so(after, words):
                break
            if last:
                raise lost
        return after

    def _words(self, line: ModbusLine, block: Block) -> tuple[int, ...]:
        ask = line.bits if block.function in BIT_FUNCTIONS else line.registers
        return ask(self.unit, block.function, block.address, block.count)

    def _told(self, line: ModbusLine, entity: str) -> tuple[Known, tuple[int, ...]] | None:
        """Ask for one value: what it is, and its registers; None if the model does not have it."""
        block, value = next((b, v) for b in self.profile.blocks for v in b.values if v.id == entity)
        only = Target(block, value, None).read
        try:
            words = self._words(line, only)
        except RefusedError:
            return None
        return decode(only, words, self.rows).values[entity], words

    def _require(self, line: ModbusLine, order: Command, name: str) -> None:
        # Else it can be written and read back while the device does as its mode says.
        entity = order.only_when or ""
        told = self._told(line, entity)
        # A model without modes has nothing else that decides.
        if told is not None and told[0] != order.is_:
            mode = self.rows[entity].entity.name.lower()
            raise RefusedError(
                f"the {name} obeys commands only in {mode} {order.is_}, and it is in "
                f"{told[0] or told[1][0]}: change that first"
            )

    def _nominal(self, line: ModbusLine, value: Value) -> float | None:
        """Ask for what the range of a value hangs on; None if the device does not say it."""
        if value.write is None or value.write.nominal is None:
            return None
        told = self._told(line, value.write.nominal.id)
        return told[0] if told is not None and isinstance(told[0], float | int) else None

    def _narrowed(self, values: Values) -> Rows | None:
        """Return the rows with the ranges that this device has, if that is news."""
        rows = dict(self.rows)
        for value in self._ranged:
            nominal = None if value.write is None else value.write.nominal
            now = None if nominal is None else values.get(nominal.id)
            if value.write is not None and isinstance(now, float | int) and now > 0:
                row = rows[value.id]
                limits = value.write.limits(Decimal(str(now)))
                rows[value.id] = replace(row, entity=changed(row.entity, range=limits))
        if rows == self.rows:
            return None
        self.rows = rows
        return rows


def _digits(value: Value, rows: Rows) -> int:
    digits = rows[value.id].entity.precision if value.decimals is None else value.decimals
    return digits or 0


def _product(entities: Iterable[str], values: Values, digits: int) -> float | None:
    product = Decimal(1)
    for value in map(values.get, entities):
        if isinstance(value, str | None):
            return None
        product *= Decimal(str(value))
    return rounded(product, digits)


def make(settings: Device) -> ModbusDevice:
    """Make the device of these settings. Raises SettingError for a port or profile that cannot be."""
    check_port(settings)
    profile = load(settings.profile or "")
    unit = unit_of(settings, profile.about.unit)
    return ModbusDevice(profile, unit, profile.about.title, settings.pause or 0.0)


def _of_its_own(name: str, tested: tuple[Tested, ...], every: float) -> PolledKind[ModbusLine]:
    """Declare a kind that is one profile: its owner writes no `profile`, and finds it among the kinds."""
    profile = load(name)
    about = profile.about

    def of(settings: Device) -> ModbusDevice:
        check_port(settings)
        return ModbusDevice(profile, unit_of(settings, about.unit), pause=settings.pause or 0.0)

    return PolledKind(
        wire=Wire.MODBUS,
        name=about.kind,
        title=about.title,
        manufacturer=about.manufacturer,
        model=about.title,
        rows=profile.rows(),
        source=about.source,
        needs=("port",),
        takes=("unit", "baudrate", "pause", "logger", "allow_write"),
        tested=tested,
        every=every,
        make=of,
        defaults={"unit": about.unit, "baudrate": about.baudrate},
    )


KINDS: Mapping[str, PolledKind[ModbusLine]] = {
    "modbus": PolledKind(
        wire=Wire.MODBUS,
        name="modbus",
        title="Modbus inverter, battery or meter by profile",
        manufacturer="Modbus",
        rows={},
        source="Modbus Application Protocol V1.1b3; each profile names its own source",
        needs=("port", "profile"),
        takes=("unit", "baudrate", "pause", "logger", "allow_write"),
        tested=(Tested.TWIN,),
        every=10,
        make=make,
    ),
    "epever_tracer": _of_its_own("epever_tracer", (Tested.CAPTURE, Tested.TWIN), every=60.0),
}
