"""Any SunSpec inverter, meter or battery: pysunspec2 finds its models and decodes them; the line is ours.

Which point of which model is which entity: SunSpec Model Reference.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from collector.devices.description import (
    BadRecordError,
    Decoded,
    DecodeError,
    LineError,
    ModbusLine,
    NoAnswerError,
    PolledKind,
    RefusedError,
    Row,
    Rows,
    Tested,
    Value,
    Values,
    Wire,
)
from collector.devices.modbus import (
    F32_DIGITS,
    SUNSPEC_BASES,
    SUNSPEC_MARKER,
    BlockReader,
    Request,
    check_port,
    rounded,
)
from collector.devices.rows import SERIAL_NUMBER, common, measured, serial_number, status
from config.model import Device

# The library ships no types: what it makes is Any.
Model = Any
_LARGEST = 10**18
_DEFAULT_UNIT = 1
INVERTERS = (101, 102, 103, 111, 112, 113)
TRACKERS = 160
METERS = (201, 202, 203, 204, 211, 212, 213, 214)
STORAGE = (124, 713, 802)
DER = 701
BATTERY = 802

_INVERTER: Mapping[str, str] = {
    "power": "W",
    "apparent_power": "VA",
    "reactive_power": "VAr",
    "frequency": "Hz",
    "voltage_l1": "PhVphA",
    "voltage_l2": "PhVphB",
    "voltage_l3": "PhVphC",
    "current": "A",
    "current_l1": "AphA",
    "current_l2": "AphB",
    "current_l3": "AphC",
    "energy_total": "WH",
    "dc_voltage": "DCV",
    "dc_power": "DCW",
    "temperature": "TmpCab",
}
_METER: Mapping[str, str] = {
    "grid_power": "W",
    "grid_power_l1": "WphA",
    "grid_power_l2": "WphB",
    "grid_power_l3": "WphC",
    "grid_voltage_l1": "PhVphA",
    "grid_voltage_l2": "PhVphB",
    "grid_voltage_l3": "PhVphC",
    "grid_import_energy": "TotWhImp",
    "grid_export_energy": "TotWhExp",
    "frequency": "Hz",
}
# 802's current and power have no sign that makers agree on: ChaSt says the direction, see sunspec.py.
POINTS: Mapping[int, Mapping[str, str]] = {
    **dict.fromkeys(INVERTERS, _INVERTER),
    **dict.fromkeys(METERS, _METER),
    124: {"battery_soc": "ChaState", "battery_voltage": "InBatV"},
    DER: {
        "power": "W",
        "apparent_power": "VA",
        "reactive_power": "Var",
        "frequency": "Hz",
        "voltage_l1": "VL1",
        "voltage_l2": "VL2",
        "voltage_l3": "VL3",
        "current": "A",
        "current_l1": "AL1",
        "current_l2": "AL2",
        "current_l3": "AL3",
        "energy_total": "TotWhInj",
        "temperature": "TmpCab",
    },
    713: {"battery_soc": "SoC", "battery_soh": "SoH"},
    BATTERY: {"battery_soc": "SoC", "battery_soh": "SoH", "battery_voltage": "V"},
}
_STATES: Mapping[int, str] = {
    1: "off",
    2: "sleeping",
    3: "starting",
    4: "producing",
    5: "throttled",
    6: "shutting_down",
    7: "fault",
    8: "standby",
}
CHARGE_STATES: Mapping[int, str] = {
    1: "off",
    2: "empty",
    3: "discharging",
    4: "charging",
    5: "full",
    6: "holding",
    7: "testing",
}
# Entity, point and words by model.
STATES: Mapping[int, tuple[str, str, Mapping[int, str]]] = {
    **dict.fromkeys(INVERTERS, ("status", "St", _STATES)),
    # 701 counts from 0 and calls producing running: the same words.
    DER: ("status", "InvSt", {code - 1: word for code, word in _STATES.items()}),
    124: ("battery_charge_state", "ChaSt", CHARGE_STATES),
    BATTERY: ("battery_charge_state", "ChaSt", CHARGE_STATES),
}
KNOWN = (*INVERTERS, TRACKERS, *METERS, *STORAGE, DER)
# Its meters count export positive (SolarEdge, SunSpec Implementation Technical Note; evcc, solaredge-hybrid).
EXPORT_POSITIVE = ("SolarEdge",)
# How Fronius names the two trackers that are the battery (GEN24 Modbus manual; model 160, IDStr).
INTO_BATTERY, OUT_OF_BATTERY = "StCha", "StDisCha"
OWN_ROWS: Mapping[str, Row] = {
    "dc_voltage": measured("DC voltage", "V", optional=True),
    "dc_power": measured("DC power", "W", optional=True),
    SERIAL_NUMBER: serial_number(),
}


def number(model: Model, name: str, group: Model = None) -> Decimal | None:
    """Return a point with its scale factor, None if it is not implemented or not a finite number."""
    point = (group or model).points.get(name)
    if point is None or not isinstance(point.value, int | float):
        return None
    value = Decimal(f"{point.value:.{F32_DIGITS}g}" if isinstance(point.value, float) else point.value)
    if not value.is_finite():
        return None
    scale = point.pdef.get("sf")
    if scale is None:
        return value
    power = model.points.get(scale)
    return (
        None if power is None or power.value is None or abs(power.value) > 10 else value.scaleb(power.value)
    )


def text(model: Model, name: str) -> str | None:
    """Return a text point, None if it is empty."""
    value = model.points[name].value if name in model.points else None
    return value.strip() or None if isinstance(value, str) else None


def directed(model: Model, name: str) -> float | None:
    """Power or current of a battery whose state of charge says which way it flows."""
    value, code = number(model, name), number(model, "ChaSt")
    if value is None or code is None:
        return None
    sign = {"charging": 1, "discharging": -1}.get(CHARGE_STATES.get(int(code), ""))
    if sign is None:
        return 0 if value == 0 else None
    return shown("battery_power" if name == "W" else "battery_current", abs(value) * sign)


def trackers(models: tuple[Model, ...], *, storage: bool, dc_power: Value) -> Values:
    """PV power and what each tracker says; trackers that are a battery are told by their names."""
    values: Values = {}
    into = out = None
    pv: list[Decimal] = []
    modules = [
        (model, module)
        for model in models
        if model.model_id == TRACKERS
        for module in model.groups.get("module", [])
    ]
    for place, (model, module) in enumerate(modules, 1):
        name, power = text(module, "IDStr") or "", number(model, "DCW", module)
        if name.startswith(INTO_BATTERY):
            into = power
        elif name.startswith(OUT_OF_BATTERY):
            out = power
        else:
            pv += [] if power is None else [max(power, Decimal(0))]
            for entity, point in (("pv_voltage", "DCV"), ("pv_current", "DCA"), ("pv_power", "DCW")):
                value = number(model, point, module)
                values[f"{entity}_{place}"] = None if value is None else shown(entity, value)
    if into is not None and out is not None:
        values["battery_power"] = shown("battery_power", into - out)
    if pv and (not storage or into is not None):
        values["pv_power"] = shown("pv_power", sum(pv, Decimal(0)))
    elif not storage and isinstance(dc_power, int | float) and any(m.model_id in INVERTERS for m in models):
        values["pv_power"] = max(dc_power, 0)
    return values


def row(entity: str) -> Row:
    """Return the row of an entity that this kind can have."""
    for name, _, words in STATES.values():
        if entity == name:
            title = "Status" if entity == "status" else "Battery charge state"
            return status(title, tuple(words.values()), optional=True)
    return common(entity, optional=True) or OWN_ROWS[entity]


def shown(entity: str, value: Decimal) -> float | None:
    """Round a value to its row's decimals, None if it cannot be meant."""
    if abs(value) > _LARGEST:
        return None
    return rounded(value, row(entity).entity.precision or 0)


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


@dataclass(slots=True)
class SunSpecDevice:
    """One configured device; its models are found at the first poll, and again after a failure."""

    unit: int
    _requests: tuple[Request, ...] = ()
    # Maker, model, serial number and version.
    _identity: tuple[str | None, ...] = (None,) * 4
    _rows: dict[str, Row] = field(default_factory=dict)
    _place: int = 0
    _reader: BlockReader = field(default_factory=lambda: BlockReader(strict=True))

    @property
    def rows(self) -> Rows:
        """Nothing until it has answered."""
        return self._rows

    def poll(self, line: ModbusLine, now: float) -> Decoded:
        """Read every model we know. Raises what the line raises; RefusedError if it is no SunSpec device."""
        try:
            if not self._requests:
                self._discover(line)
            return self._read(line, now)
        except (DecodeError, LineError):
            self._requests = ()
            raise

    def _base(self, line: ModbusLine) -> int:
        """Where the marker stands. Raises RefusedError if nowhere."""
        for turn in range(len(SUNSPEC_BASES)):
            place = (self._place + turn) % len(SUNSPEC_BASES)
            try:
                words = line.registers(self.unit, _HOLDING, SUNSPEC_BASES[place], 2)
            except RefusedError:
                continue
            except NoAnswerError:
                # Some keep silent about addresses they do not have: the next poll begins with another.
                self._place = place + 1
                raise
            if words == SUNSPEC_MARKER:
                self._place = place
                return SUNSPEC_BASES[place]
        places = ", ".join(map(str, SUNSPEC_BASES))
        raise RefusedError(
            f"unit {self.unit} is no SunSpec device, or SunSpec is switched off: no marker at {places}"
        )

    def _discover(self, line: ModbusLine) -> None:
        reader = _Reader(line, self.unit)
        found = _scan(reader, self._base(line))
        commons = [model for model in found if model.model_id == 1]
        if commons:
            _refresh(reader, commons[0])
            self._identity = tuple(text(commons[0], name) for name in ("Mn", "Md", "SN", "Vr"))
        # By its place, for a model may stand there twice.
        known = [Request(str(model.model_addr), model) for model in found if model.model_id in KNOWN]
        if not known:
            ids = ", ".join(str(model.model_id) for model in found) or "none"
            raise RefusedError(f"unit {self.unit} has no SunSpec model that we read; it has: {ids}")
        self._requests = tuple(known)

    def _read(self, line: ModbusLine, now: float) -> Decoded:
        reader = _Reader(line, self.unit)

        def read(model: Model) -> Decoded:
            _refresh(reader, model)
            unknown: list[str] = []
            return Decoded(dict(self._values(model, unknown)), unknown=tuple(unknown))

        told = self._reader.poll(self._requests, read, now)
        models, values = tuple(one.block for one in self._requests), told.values
        storage = any(model.model_id in STORAGE for model in models)
        values |= trackers(models, storage=storage, dc_power=values.get("dc_power"))
        maker, name, serial, version = self._identity
        if serial is not None:
            values[SERIAL_NUMBER] = serial
        for entity in values:
            self._rows.setdefault(entity, row(entity))
        return replace(told, model=name, rows=dict(self._rows), manufacturer=maker, sw_version=version)

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
    """Make the device of these settings. Raises SettingError."""
    check_port(settings)
    return SunSpecDevice(settings.unit or _DEFAULT_UNIT)


KIND = PolledKind(
    wire=Wire.MODBUS,
    name="sunspec",
    title="SunSpec inverter, meter or battery",
    manufacturer="SunSpec",
    rows={},
    source="SunSpec Information Model Reference; sunspec/pysunspec2 1.3",
    needs=("port",),
    takes=("unit", "baudrate"),
    tested=(Tested.TWIN,),
    discovers=True,
    every=10,
    make=make,
    defaults={"unit": _DEFAULT_UNIT},
)
