"""Any SunSpec inverter, meter or battery: pysunspec2 finds its models and decodes them; the line is ours."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from collector.devices.description import (
    BadRecordError,
    Decoded,
    DecodeError,
    LineError,
    ModbusKind,
    NoAnswerError,
    RefusedError,
    Row,
    Rows,
    Tested,
    Value,
)
from collector.devices.lines import ModbusLine
from collector.devices.modbus.device import check_port
from collector.devices.modbus.engine import BlockReader
from collector.devices.modbus.sunspec_points import (
    BATTERY,
    EXPORT_POSITIVE,
    KNOWN,
    METERS,
    POINTS,
    STATES,
    STORAGE,
    Model,
    directed,
    number,
    row,
    shown,
    text,
    trackers,
)
from collector.devices.rows import SERIAL_NUMBER
from config.model import Device

# SunSpec Device Information Model Specification 1.1, 6.2: "SunS" at one of these.
_BASES = (40000, 0, 50000)
_MARKER = (0x5375, 0x6E53)
_HOLDING = 3
_MOST_REGISTERS = 120
# Longer chains than any device has: zeros or noise.
_MOST_READS = 300
_LONGEST_MODEL = 2000


@dataclass(slots=True)
class _Reader:
    """What pysunspec2 reads through: our line, in requests a device can take."""

    line: ModbusLine
    unit: int
    reads: int = 0
    trouble: DecodeError | LineError | None = None

    def read(self, address: float, count: float) -> bytes:
        """`count` registers as bytes; the first failure is kept, for the library swallows some."""
        try:
            return self._read(int(address), int(count))
        except (DecodeError, LineError) as error:
            self.trouble = self.trouble or error
            raise

    def _read(self, address: int, count: int) -> bytes:
        data = b""
        while count > 0:
            self.reads += 1
            if self.reads > _MOST_READS or address + count > 0x10000:
                raise BadRecordError(f"unit {self.unit}: its list of SunSpec models does not end")
            part = min(count, _MOST_REGISTERS)
            words = self.line.registers(self.unit, _HOLDING, address, part)
            data += struct.pack(f">{part}H", *words)
            address, count = address + part, count - part
        return data


@dataclass(frozen=True, slots=True)
class _ModelBlock:
    """A model as a block of the engine: read at each poll, and not to be missed."""

    model: Model
    every: float = 0.0
    optional: bool = False
    entities: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name it by its place, for a model may stand there twice."""
        return str(self.model.model_addr)


@dataclass(slots=True)
class SunSpecDevice:
    """One configured device; its models are found at the first poll, and again after a failure."""

    unit: int
    _blocks: tuple[_ModelBlock, ...] = ()
    _identity: tuple[str | None, str | None, str | None] = (None, None, None)
    _rows: dict[str, Row] = field(default_factory=dict)
    _place: int = 0
    _reader: BlockReader[_ModelBlock] = field(default_factory=lambda: BlockReader(strict=True))

    @property
    def rows(self) -> Rows:
        """Nothing until it has answered."""
        return self._rows

    def poll(self, line: ModbusLine, now: float) -> Decoded:
        """Read every model we know. Raises what the line raises; RefusedError if it is no SunSpec device."""
        try:
            if not self._blocks:
                self._discover(line)
            return self._read(line, now)
        except (DecodeError, LineError):
            self._blocks = ()
            raise

    def _base(self, line: ModbusLine) -> int:
        """Where the marker stands. Raises RefusedError if nowhere."""
        for turn in range(len(_BASES)):
            place = (self._place + turn) % len(_BASES)
            try:
                words = line.registers(self.unit, _HOLDING, _BASES[place], 2)
            except RefusedError:
                continue
            except NoAnswerError:
                # Some keep silent about addresses they do not have: the next poll begins with another.
                self._place = place + 1
                raise
            if words == _MARKER:
                self._place = place
                return _BASES[place]
        places = ", ".join(map(str, _BASES))
        raise RefusedError(
            f"unit {self.unit} is no SunSpec device, or SunSpec is switched off: no marker at {places}"
        )

    def _discover(self, line: ModbusLine) -> None:
        reader = _Reader(line, self.unit)
        found = _scan(reader, self._base(line))
        commons = [model for model in found if model.model_id == 1]
        if commons:
            _refresh(reader, commons[0])
            texts = [text(commons[0], name) for name in ("Mn", "Md", "SN")]
            self._identity = (texts[0], texts[1], texts[2])
        blocks = tuple(_ModelBlock(model) for model in found if model.model_id in KNOWN)
        if not blocks:
            ids = ", ".join(str(model.model_id) for model in found) or "none"
            raise RefusedError(f"unit {self.unit} has no SunSpec model that we read; it has: {ids}")
        self._blocks = blocks

    def _read(self, line: ModbusLine, now: float) -> Decoded:
        reader = _Reader(line, self.unit)

        def read(block: _ModelBlock) -> Decoded:
            _refresh(reader, block.model)
            unknown: list[str] = []
            return Decoded(dict(self._values(block.model, unknown)), unknown=tuple(unknown))

        told = self._reader.poll(self._blocks, read, now)
        models, values = tuple(block.model for block in self._blocks), told.values
        storage = any(model.model_id in STORAGE for model in models)
        values |= trackers(models, storage=storage, dc_power=values.get("dc_power"))
        maker, name, serial = self._identity
        if serial is not None:
            values[SERIAL_NUMBER] = serial
        for entity in values:
            self._rows.setdefault(entity, row(entity))
        return replace(told, model=name or None, rows=dict(self._rows), manufacturer=maker or None)

    def _values(self, model: Model, unknown: list[str]) -> Iterator[tuple[str, Value]]:
        turned = model.model_id in METERS and (self._identity[0] or "").startswith(EXPORT_POSITIVE)
        for entity, point in POINTS.get(model.model_id, {}).items():
            value = number(model, point)
            if value is not None:
                sign = -1 if turned and entity.startswith("grid_power") else 1
                yield entity, shown(entity, value * sign)
            elif point in model.points:
                yield entity, None
        if model.model_id in STATES:
            entity, point, words = STATES[model.model_id]
            code = number(model, point)
            word = None if code is None else words.get(int(code))
            if code is not None and word is None:
                unknown.append(entity)
            yield entity, word
        if model.model_id == BATTERY:
            yield "battery_power", directed(model, "W")
            yield "battery_current", directed(model, "A")


def _scan(reader: _Reader, base: int) -> list[Model]:
    """Every model from the base on, not read yet."""
    # Its model definitions and its own transports are loaded only in a process with such a device.
    from sunspec2 import device, mdef  # type: ignore[import-untyped]  # noqa: PLC0415  # it ships no types
    from sunspec2.modbus import client  # type: ignore[import-untyped]  # noqa: PLC0415  # as above

    # Else it would take definitions from the folder the process happens to run in.
    device.set_model_defs_path([device.models_dir])
    found = client.SunSpecModbusClientDevice()
    found.read = reader.read
    found.base_addr_list = [base]
    try:
        found.scan(connect=False, full_model_read=False)
    except (client.SunSpecModbusClientError, device.ModelError, mdef.ModelDefinitionError) as error:
        raise reader.trouble or BadRecordError(f"unit {reader.unit}: {error}") from error
    except struct.error as error:
        raise BadRecordError(f"unit {reader.unit}: a SunSpec model is cut short") from error
    # They are listed by number and once more by name.
    chain = [model for key, models in found.models.items() if isinstance(key, int) for model in models]
    return sorted(chain, key=lambda model: int(model.model_addr))


def _refresh(reader: _Reader, model: Model) -> None:
    """Read a model's registers into it."""
    length = int(model.model_len)
    if length > _LONGEST_MODEL:
        raise BadRecordError(
            f"unit {reader.unit}: SunSpec model {model.model_id} cannot have {length} registers"
        )
    # The library collects its complaints for ever.
    model.error_info = ""
    model.set_mb(data=reader.read(model.model_addr, length + 2), dirty=False)


def make(settings: Device) -> SunSpecDevice:
    """The device of these settings. Raises SettingError."""
    check_port(settings)
    return SunSpecDevice(settings.unit or 1)


KIND = ModbusKind(
    name="sunspec",
    title="SunSpec inverter, meter or battery",
    manufacturer="SunSpec",
    rows=MappingProxyType({}),
    source="SunSpec Information Model Reference; sunspec/pysunspec2 1.3",
    needs=("port",),
    takes=("unit", "baudrate"),
    tested=(Tested.TWIN,),
    discovers=True,
    every=10,
    make=make,
)
