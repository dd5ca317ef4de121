"""Victron devices on a VE.Direct cable: the fields of their text blocks become values."""

from collections.abc import Mapping
from dataclasses import replace

from collector.devices.description import (
    Decoded,
    PolledKind,
    Rows,
    SettingError,
    Tested,
    Values,
    VeDirectLine,
    Wire,
)
from collector.devices.rows import on_off
from collector.devices.victron import OFF_REASON_ROWS, OFF_REASONS, read_off_reasons, read_reasons
from collector.devices.victron.ble import MANUFACTURER, MODELS
from collector.devices.victron.fields import power, require_within
from collector.devices.victron.labels import (
    ALL_ROWS,
    FIELDS,
    METER_ROWS,
    METER_TYPES,
    NOT_AVAILABLE,
    REASON_BITS,
    ROWS,
    Family,
    number,
)
from config.addresses import NETWORK
from config.model import Device

# A family is a range of product ids (VE.Direct Protocol, table of PIDs); a product that is not listed shows
# by its labels what it is.
_FAMILIES: tuple[tuple[int, int, Family], ...] = (
    (0x0200, 0x02FF, Family.MONITOR),
    (0x0300, 0x0300, Family.SOLAR),
    (0xA040, 0xA07F, Family.SOLAR),
    (0xA102, 0xA117, Family.SOLAR),
    (0xA200, 0xA2FF, Family.INVERTER),
    (0xA380, 0xA38F, Family.MONITOR),
    (0xC030, 0xC032, Family.MONITOR),
    (0xC034, 0xC038, Family.MONITOR),
)
_MARKS: tuple[tuple[frozenset[str], Family], ...] = (
    (frozenset({"VPV", "PPV", "MPPT"}), Family.SOLAR),
    (frozenset({"AC_OUT_V", "AC_OUT_I"}), Family.INVERTER),
    (frozenset({"SOC", "TTG", "CE", "MON", "H1", "H17"}), Family.MONITOR),
)
# Those that victron-ble 0.9.3 does not name, or differently from the protocol's table.
_MODELS = {0xA05E: "SmartSolar Charger MPPT 250/45", 0xA07F: "All-In-1 SmartSolar Charger MPPT 75/15"}
_KNOWN = frozenset({"PID", "BMV", "Alarm", "AR", "WARN", "OR"}).union(*FIELDS.values())
# A BMV says its values and its history in turns; a damaged block may come between.
_KEPT_BLOCKS = 4
_KEPT_S = 10.0
_MOST_READS = 3


def decode(fields: Mapping[str, str]) -> Decoded:
    """Read a device's fields, current into the battery positive, and its family's rows.

    Raises DecodeError.
    """
    product = _known(fields.get("PID", ""))
    family = _family(product, fields)
    values: Values = {}
    unknown = []
    for label, field in FIELDS[family].items():
        if label not in fields:
            continue
        try:
            text = fields[label]
            values[field.entity] = None if text == NOT_AVAILABLE else field.read(text)
        except ValueError:
            values[field.entity] = None
            unknown.append(field.entity)
        if field.within is not None:
            require_within(field.entity, values[field.entity], *field.within)
    exact = power(values.get("voltage"), values.get("current"))
    if family is Family.MONITOR and exact is not None:
        values["power"] = exact
    unknown += _read_bits(family, fields, values)
    rows = METER_ROWS if values.get("meter_type") not in (None, METER_TYPES[0]) else ROWS[family]
    model_id = None if product is None else f"0x{product:04X}"
    return Decoded(values, _model(product, fields), tuple(unknown), rows, model_id=model_id)


def _family(product: int | None, fields: Mapping[str, str]) -> Family:
    if product is not None:
        for first, last, family in _FAMILIES:
            if first <= product <= last:
                return family
    return next((family for marks, family in _MARKS if marks & fields.keys()), Family.OTHER)


def _model(product: int | None, fields: Mapping[str, str]) -> str | None:
    if product is None:
        # A BMV-600 has no product id.
        return f"BMV-{fields['BMV']}" if "BMV" in fields else None
    return _MODELS.get(product) or MODELS.get(product) or f"VE.Direct 0x{product:04X}"


def _read_bits(family: Family, fields: Mapping[str, str], values: Values) -> list[str]:
    """Add what the bits of AR, WARN and OR and the switch Alarm say; return what is unknown of it."""
    unknown: list[str] = []
    for label, of in (("AR", "alarm"), ("WARN", "warning")):
        if label in fields and of in ROWS[family]:
            reasons = _known(fields[label])
            bits = max(reasons or 0, 0)
            known = sum(1 << bit for bit in REASON_BITS[family])
            said = read_reasons(bits & known, REASON_BITS[family], of) | {of: on_off(bool(bits))}
            values |= said if reasons is not None else dict.fromkeys(said)
    if "alarm" in ROWS[family] and fields.get("Alarm", "").upper() in ("ON", "OFF"):
        on = "ON" in (values.get("alarm"), fields["Alarm"].upper())
        values["alarm"] = on_off(on)
    if "OR" in fields and "off_reason" in ROWS[family]:
        reasons = _known(fields["OR"])
        if reasons is None:
            values |= dict.fromkeys(OFF_REASON_ROWS)
        else:
            # New reasons count as one unknown one.
            known = (1 << len(OFF_REASONS)) - 1
            said, strange = read_off_reasons(max(reasons, 0) & known | (reasons > known) << len(OFF_REASONS))
            values |= said
            unknown += strange
    return unknown


def _known(text: str) -> int | None:
    try:
        return number(text)
    except ValueError:
        return None


class VeDirect:
    """One device: the newest text of each label makes its picture."""

    rows: Rows = ALL_ROWS

    def __init__(self) -> None:
        self._texts: dict[str, tuple[str, int]] = {}
        self._blocks = 0
        self._unread: set[str] = set()
        self._polled = float("-inf")

    def poll(self, line: VeDirectLine, now: float) -> Decoded:
        """Return what it says now. Raises DecodeError or LineError."""
        if now - self._polled > _KEPT_S:
            self._texts = {}
        self._polled = now
        for _ in range(_MOST_READS):
            for block in line.blocks():
                self._merge(block)
            # The history of a BMV alone is no picture.
            if self._picture().get("V", NOT_AVAILABLE) != NOT_AVAILABLE:
                break
        unread, self._unread = tuple(sorted(self._unread)), set()
        return replace(decode(self._picture()), unread=unread)

    def _merge(self, block: Mapping[str, str]) -> None:
        product = self._texts.get("PID")
        if product is not None and block.get("PID", product[0]) != product[0]:
            # Another device was plugged in.
            self._texts = {}
        self._blocks += 1
        self._unread |= {f"label {label}" for label in block.keys() - _KNOWN}
        self._texts |= {label: (text, self._blocks) for label, text in block.items() if label in _KNOWN}

    def _picture(self) -> Mapping[str, str]:
        oldest = self._blocks - _KEPT_BLOCKS
        return {label: text if at > oldest else NOT_AVAILABLE for label, (text, at) in self._texts.items()}


def make(settings: Device) -> VeDirect:
    """Set up the device of these settings. Raises SettingError."""
    if (settings.port or "").startswith(tuple(NETWORK)):
        raise SettingError(
            "port",
            "tcp:// and solarman:// are for Modbus",
            "a path, or a pyserial URL such as socket://van.local:2323",
        )
    return VeDirect()


KIND = PolledKind(
    wire=Wire.VE_DIRECT,
    name="vedirect",
    title="Victron MPPT, BMV, SmartShunt or Phoenix inverter on a VE.Direct cable",
    manufacturer=MANUFACTURER,
    # All that any of them says, so that `steps` and `disabled` are checked; the family's own replace them.
    rows=ALL_ROWS,
    source="general knowledge of Victron's VE.Direct Protocol; product ids from victron-ble 0.9.3",
    needs=("port",),
    tested=(Tested.TWIN,),
    every=1.0,
    make=make,
)
