"""Victron SmartSolar and BlueSolar MPPT: what they report and how a record becomes values."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from victron_ble.devices.base import ChargerError, OperationMode
from victron_ble.devices.solar_charger import SolarCharger, SolarChargerData

from bus.about import MEASUREMENT, TOTAL_INCREASING, Entity
from collector.devices.description import BleKind, Decoded, ImplausibleError, Row, Tested, Values
from collector.devices.rows import BLE_ROWS
from collector.devices.victron import MANUFACTURER, Record, open_record, require_within, words

# extra-manufacturer-data-2022-12-14.pdf, table "Solar Charger (0x01)".
_READOUT_TYPE = 0x01
_PLAIN_LENGTH = 12
_NOT_AVAILABLE = 0xFF
_CODES: tuple[tuple[str, type[Enum]], ...] = (
    ("charge_state", OperationMode),
    ("charger_error", ChargerError),
)


def _word(code: Enum | None) -> str | None:
    return None if code is None else words([code.name])[0]


def _amperes(name: str, *, optional: bool = False) -> Row:
    entity = Entity(name=name, unit="A", device_class="current", state_class=MEASUREMENT, precision=1)
    return Row(entity=entity, step=0.1, optional=optional)


ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "charge_state": Row(
            entity=Entity(
                name="Charge state",
                device_class="enum",
                options=words(mode.name for mode in OperationMode if mode is not OperationMode.NOT_AVAILABLE),
            )
        ),
        "charger_error": Row(
            entity=Entity(
                name="Charger error",
                device_class="enum",
                options=words(error.name for error in ChargerError),
                diagnostic=True,
            )
        ),
        "voltage": Row(
            entity=Entity(
                name="Battery voltage",
                unit="V",
                device_class="voltage",
                state_class=MEASUREMENT,
                precision=2,
            ),
            step=0.01,
        ),
        "current": _amperes("Battery current"),
        "power": Row(
            entity=Entity(
                name="Solar power", unit="W", device_class="power", state_class=MEASUREMENT, precision=0
            ),
            step=1,
        ),
        "yield_today": Row(
            entity=Entity(
                name="Yield today",
                unit="Wh",
                device_class="energy",
                state_class=TOTAL_INCREASING,
                precision=0,
            )
        ),
        "load_current": _amperes("Load current", optional=True),
        **BLE_ROWS,
    }
)


def decode(raw: bytes, key: bytes) -> Decoded:
    """Values of one record in the units of ROWS, current into the battery positive. Raises DecodeError."""
    parser = SolarCharger(key.hex())
    record = open_record(parser, raw, readout_type=_READOUT_TYPE, plain_length=_PLAIN_LENGTH)
    unknown = tuple(
        name for byte, (name, codes) in enumerate(_CODES) if not _known(record.plain[byte], codes)
    )
    data = SolarChargerData(record.model_id, parser.parse_decrypted(_readable(record, unknown)))
    values: Values = {
        "charge_state": _word(data.get_charge_state()),
        "charger_error": _word(data.get_charger_error()),
        "voltage": data.get_battery_voltage(),
        "current": data.get_battery_charging_current(),
        "power": data.get_solar_power(),
        "yield_today": data.get_yield_today(),
    }
    load = data.get_external_device_load()
    # Chargers without a load output say "not available" for ever: no entity for them.
    if load is not None:
        values["load_current"] = load
    _require_plausible(values, unknown)
    return Decoded(values, record.model, unknown)


def _known(code: int, codes: type[Enum]) -> bool:
    return code == _NOT_AVAILABLE or any(code == member.value for member in codes)


def _readable(record: Record, unknown: tuple[str, ...]) -> bytes:
    """The plaintext with unknown codes as "not available": victron-ble would refuse the whole record."""
    codes = bytes(
        _NOT_AVAILABLE if name in unknown else record.plain[byte] for byte, (name, _) in enumerate(_CODES)
    )
    return record.with_bytes(0, codes)


def _require_plausible(values: Values, unknown: tuple[str, ...]) -> None:
    """A wrong key with the right first byte passes the key check and gives noise; these bounds catch it."""
    require_within("voltage", values["voltage"], 0, 100)
    # Negative when a load output draws more than the sun gives; its field ends at 51 A.
    require_within("current", values["current"], -60, 250)
    require_within("power", values["power"], 0, 20_000)
    require_within("yield_today", values["yield_today"], 0, 200_000)
    # One unknown code may be new firmware; two in one record are noise.
    if len(unknown) == len(_CODES):
        raise ImplausibleError("implausible: neither charge state nor error is a known code")


KIND = BleKind(
    name="victron_solar_charger",
    title="Victron SmartSolar and BlueSolar MPPT over Bluetooth",
    manufacturer=MANUFACTURER,
    rows=ROWS,
    source="Victron, Extra Manufacturer Data (2022-12-14); keshavdv/victron-ble 0.9.3",
    needs=("address", "key"),
    tested=(Tested.VECTORS, Tested.TWIN),
    decode=decode,
)
