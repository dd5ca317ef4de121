"""Any SunSpec inverter, meter or battery: which point of which model is which entity.

SunSpec Model Reference.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from collector.devices.description import (
    BadRecordError,
    Decoded,
    DecodeError,
    LineError,
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
from collector.devices.lines import ModbusLine
from collector.devices.modbus import (
    SUNSPEC_BASES,
    SUNSPEC_MARKER,
    BlockReader,
    Request,
    check_port,
    rounded,
    unit_of,
)
from collector.devices.modbus.sunspec_models import (
    HOLDING,
    TRACKERS,
    Model,
    Place,
    decoded,
    number,
    registers,
    text,
    walk,
)
from collector.devices.rows import SERIAL_NUMBER, common, measured, serial_number, status
from config.model import Device

_LARGEST = 10**18
_DEFAULT_UNIT = 1
# A list that ended in silence may have been cut by a lost answer: it is read again then.
_AGAIN_S = 3600.0
_COMMON = 1
INVERTERS = (101, 102, 103, 111, 112, 113)
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


@dataclass(slots=True)
class SunSpecDevice:
    """One configured device; its models are found at the first poll, and again after a failure."""

    unit: int
    pause: float = 0.0
    _requests: tuple[Request, ...] = ()
    # Maker, model, serial number and version.
    _identity: tuple[str | None, ...] = (None,) * 4
    _rows: dict[str, Row] = field(default_factory=dict)
    _models: dict[Place, Model] = field(default_factory=dict)
    _place: int = 0
    # When the list of models is read once more.
    _again_at: float | None = None
    _reader: BlockReader = field(default_factory=lambda: BlockReader(strict=True))

    @property
    def rows(self) -> Rows:
        """Nothing until it has answered."""
        return self._rows

    def poll(self, line: ModbusLine, now: float) -> Decoded:
        """Read every model we know. Raises what the line raises; RefusedError if it is no SunSpec device."""
        line.rest(self.pause)
        try:
            if not self._requests or (self._again_at is not None and now >= self._again_at):
                self._discover(line, now)
            return self._read(line, now)
        except (DecodeError, LineError):
            self._requests = ()
            raise

    def _base(self, line: ModbusLine) -> int:
        """Where the marker stands. Raises RefusedError if nowhere."""
        for turn in range(len(SUNSPEC_BASES)):
            place = (self._place + turn) % len(SUNSPEC_BASES)
            try:
                words = line.registers(self.unit, HOLDING, SUNSPEC_BASES[place], 2)
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

    def _discover(self, line: ModbusLine, now: float) -> None:
        chain = walk(line, self.unit, self._base(line))
        self._again_at = now + _AGAIN_S if chain.silent else None
        self._identity = next(
            (self._read_identity(line, place) for place in chain.places if place.model == _COMMON),
            (None,) * 4,
        )
        # By its place, for a model may stand there twice.
        known = [place for place in chain.places if place.model in KNOWN]
        if not known:
            ids = ", ".join(str(place.model) for place in chain.places) or "none"
            ended = "" if chain.ended is None else f"; there its list ends: {chain.ended}"
            raise RefusedError(f"unit {self.unit} has no SunSpec model that we read; it has: {ids}{ended}")
        self._models = {}
        self._requests = tuple(
            Request(str(place.address), place, optional=True, entities=_entities(place.model))
            for place in known
        )

    def _read_identity(self, line: ModbusLine, place: Place) -> tuple[str | None, ...]:
        try:
            model = decoded(place, registers(line, self.unit, place))
        except (RefusedError, BadRecordError):
            return (None,) * 4
        return tuple(text(model, name) for name in ("Mn", "Md", "SN", "Vr"))

    def _read(self, line: ModbusLine, now: float) -> Decoded:
        def read(place: Place) -> Decoded:
            # What is not read now is not known now.
            model = self._models.pop(place, None)
            words = registers(line, self.unit, place)
            try:
                model = self._models[place] = decoded(place, words, model)
            except BadRecordError as error:
                names = _entities(place.model)
                return Decoded(dict.fromkeys(names), reasons=dict.fromkeys(names, str(error)))
            unknown: list[str] = []
            return Decoded(dict(self._values(model, unknown)), unknown=tuple(unknown))

        told = self._reader.poll(self._requests, read, now)
        models, values = tuple(self._models.values()), told.values
        storage = any(one.block.model in STORAGE for one in self._requests)
        values |= trackers(models, storage=storage, dc_power=values.get("dc_power"))
        maker, name, serial, version = self._identity
        if serial is not None:
            values[SERIAL_NUMBER] = serial
        for entity in values:
            self._rows.setdefault(entity, row(entity))
        # What was told before and is not now, as the trackers of a model that is refused, is not known.
        told = replace(told, values=dict.fromkeys(self._rows) | values, model=name, rows=dict(self._rows))
        return replace(told, manufacturer=maker, sw_version=version)

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


def _entities(model: int) -> tuple[str, ...]:
    """Name what a model tells."""
    named = [*POINTS.get(model, ())]
    if model in STATES:
        named.append(STATES[model][0])
    return (*named, "battery_power", "battery_current") if model == BATTERY else tuple(named)


def make(settings: Device) -> SunSpecDevice:
    """Make the device of these settings. Raises SettingError."""
    check_port(settings)
    return SunSpecDevice(unit_of(settings, _DEFAULT_UNIT), settings.pause or 0.0)


KIND = PolledKind(
    wire=Wire.MODBUS,
    name="sunspec",
    title="SunSpec inverter, meter or battery",
    manufacturer="SunSpec",
    rows={},
    source="SunSpec Information Model Reference; sunspec/pysunspec2 1.3",
    needs=("port",),
    takes=("unit", "baudrate", "pause", "logger"),
    tested=(Tested.TWIN,),
    discovers=True,
    every=10,
    make=make,
    defaults={"unit": _DEFAULT_UNIT},
)
