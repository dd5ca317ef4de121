"""Epever Tracer and the LS-B, VS-B and XTRA controllers that speak the same registers, on RS485."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from bus.commands import Switch
from bus.messages import OFF, ON
from collector.devices import epever_readings, epever_settings
from collector.devices.description import (
    Decoded,
    DecodeError,
    LineError,
    ModbusKind,
    NoAnswerError,
    RefusedError,
    Row,
    Rows,
    Tested,
    Values,
)
from collector.devices.epever_fields import Block, Code, Number
from collector.devices.lines import ModbusLine
from collector.devices.rows import measured
from config.model import Device

_BLOCKS = (*epever_readings.BLOCKS, *epever_settings.BLOCKS)
_BITS = (epever_readings.COILS, epever_readings.DISCRETE)
_LOAD = "load"
_BAUDRATE = 115_200
# What a model refuses is asked for ever less often.
_FIRST_RETRY_S = 60.0
_LAST_RETRY_S = 3600.0
# A poll comes a little early or late.
_SLACK_S = 0.5

ROWS: Mapping[str, Row] = MappingProxyType(
    {one.entity: one.row for block in _BLOCKS for one in block.fields}
    | {"power": measured("Battery power", "W", precision=1, step=1, optional=True)}
)


def decode(block: Block, words: tuple[int, ...]) -> Decoded:
    """Values of one request's registers or bits in the units of ROWS; nonsense is None, with the reason."""
    values: Values = {}
    unknown: list[str] = []
    reasons: dict[str, str] = {}
    for one in block.fields:
        at = one.address - block.address
        if isinstance(one, Number):
            number = _number(one, words[at : at + 2])
            sane = one.least <= number <= one.most
            values[one.entity] = number if sane else None
            if not sane:
                reasons[one.entity] = f"the controller says {number:g}, which cannot be"
        elif isinstance(one, Code):
            values[one.entity] = one.words.get(words[at] >> one.shift & one.mask)
            if values[one.entity] is None:
                unknown.append(one.entity)
        else:
            values[one.entity] = ON if words[at] >> one.bit & 1 else OFF
    return Decoded(values, unknown=tuple(unknown), reasons=reasons)


def _number(one: Number, words: tuple[int, ...]) -> float:
    raw, bits = (words[0] | words[1] << 16, 32) if one.long else (words[0], 16)
    if one.signed and raw >> bits - 1:
        raw -= 1 << bits
    # Rounded, for hundredths have no end in binary.
    return raw * one.scale if one.scale >= 1 else round(raw * one.scale, 2)


@dataclass(slots=True)
class _State:
    """Of one block: when it is due next, how often in a row it was refused, what it said last."""

    due: float = float("-inf")
    refusals: int = 0
    said: Decoded | None = None


@dataclass(slots=True)
class Tracer:
    """One configured controller and what it told of itself so far."""

    unit: int
    baudrate: int = _BAUDRATE
    _states: dict[int, _State] = field(default_factory=dict)

    @property
    def rows(self) -> Rows:
        """All that a controller may report."""
        return ROWS

    def poll(self, line: ModbusLine, now: float) -> Decoded:
        """Read what is due; what was read before is told again. Raises what the line raises."""
        try:
            for block in _BLOCKS:
                state = self._states.setdefault(block.address, _State())
                if now >= state.due - _SLACK_S:
                    self._read(line, block, state, now)
        except (DecodeError, LineError):
            # It may be another one when it comes back: nothing of before counts.
            self._states.clear()
            raise
        return self._told()

    def switch(self, line: ModbusLine, entity: str, wanted: Switch) -> Values:
        """Switch the load output and read it back. Raises RefusedError if it does not obey."""
        on = not self._is_on(line) if wanted is Switch.TOGGLE else wanted is Switch.ON
        self._require_manual(line)
        line.write_coil(self.unit, epever_readings.LOAD_COIL, on=on)
        if self._is_on(line) is not on:
            raise RefusedError(
                f"the load output stays {OFF if on else ON}: is it overloaded, is the battery low?"
            )
        return {entity: ON if on else OFF}

    def _require_manual(self, line: ModbusLine) -> None:
        # In the other modes the coil can be written and read back while the output does as the mode says.
        try:
            (mode,) = line.registers(self.unit, epever_settings.HOLDING, epever_settings.LOAD_MODE, 1)
        except RefusedError:
            # A model without modes has nothing else that decides.
            return
        if mode != 0:
            name = epever_settings.LOAD_MODES.get(mode, str(mode))
            raise RefusedError(
                f"the load output obeys commands only in load mode manual, and it is in {name}: "
                "change the mode on the controller"
            )

    def _is_on(self, line: ModbusLine) -> bool:
        return line.bits(self.unit, epever_readings.COILS, epever_readings.LOAD_COIL, 1)[0]

    def _read(self, line: ModbusLine, block: Block, state: _State, now: float) -> None:
        ask = line.bits if block.function in _BITS else line.registers
        try:
            words = ask(self.unit, block.function, block.address, block.count)
        except (RefusedError, NoAnswerError) as error:
            # Some models are silent where others refuse; one that has answered this before is only away.
            heard = state.said is not None and not state.refusals
            if not block.optional or (isinstance(error, NoAnswerError) and heard):
                raise
            state.due = now + min(_FIRST_RETRY_S * 2**state.refusals, _LAST_RETRY_S)
            state.refusals = min(state.refusals + 1, 10)
            state.said = Decoded({one.entity: None for one in block.fields})
            return
        state.due, state.refusals, state.said = now + block.every, 0, decode(block, words)

    def _told(self) -> Decoded:
        values: Values = {}
        unknown: tuple[str, ...] = ()
        reasons: dict[str, str] = {}
        for state in self._states.values():
            if state.said is not None:
                values |= state.said.values
                unknown += state.said.unknown
                reasons |= state.said.reasons
        values["power"] = _product(values.get("voltage"), values.get("current"))
        return Decoded(values, unknown=unknown, reasons=reasons)


def _product(voltage: float | str | None, current: float | str | None) -> float | None:
    if isinstance(voltage, str | None) or isinstance(current, str | None):
        return None
    return round(voltage * current, 2)


def make(settings: Device) -> Tracer:
    """The controller of these settings."""
    return Tracer(settings.unit or 1)


KIND = ModbusKind(
    name="epever_tracer",
    title="Epever Tracer charge controller over RS485",
    manufacturer="Epever",
    rows=ROWS,
    source="Epsolar, LS-B protocol V1.1 (kasbert/epsolar-tracer); V2.6 as in rosswarren/epevermodbus",
    needs=("port",),
    takes=("unit", "baudrate"),
    tested=(Tested.CAPTURE, Tested.TWIN),
    every=60.0,
    make=make,
)
