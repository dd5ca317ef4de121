"""Victron devices on a VE.Direct cable: the fields of their text blocks become values."""

from collections.abc import Mapping
from dataclasses import replace

from bus.commands import Wanted
from collector.devices.description import (
    BadRecordError,
    Days,
    Decoded,
    DecodeError,
    NoAnswerError,
    PolledKind,
    Rows,
    SettingError,
    Tested,
    Values,
    Wire,
)
from collector.devices.lines import VeDirectLine
from collector.devices.rows import on_off
from collector.devices.victron import OFF_REASON_ROWS, OFF_REASONS, read_off_reasons, read_reasons
from collector.devices.victron.ble import MANUFACTURER
from collector.devices.victron.days import NUMBERS, History
from collector.devices.victron.fields import power, require_within
from collector.devices.victron.hex_side import HexSide, greet
from collector.devices.victron.labels import (
    ALL_ROWS,
    FIELDS,
    METER_ROWS,
    METER_TYPES,
    REASON_BITS,
    ROWS,
    number,
)
from collector.devices.victron.products import Family, family_of, model_of
from collector.devices.victron.registers import NOT_AVAILABLE
from config.addresses import NETWORK
from config.model import Device

# Labels that are read of every family, or name it.
_GENERAL = frozenset({"PID", "BMV", "Alarm", "AR", "WARN", "OR"})
_KNOWN = _GENERAL.union(*FIELDS.values())
# Families whose power is that of V and I.
_EXACT = (Family.MONITOR, Family.CHARGER, Family.DC_DC, Family.RS)
# A BMV says its values and its history in turns; a damaged block may come between.
_KEPT_BLOCKS = 4
_KEPT_S = 10.0
_MOST_READS = 3


def decode(fields: Mapping[str, str]) -> Decoded:
    """Read a device's fields, current into the battery positive, and its family's rows.

    Raises DecodeError.
    """
    product = _known(fields.get("PID", ""))
    family = family_of(product, fields)
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
    if family in _EXACT and exact is not None:
        values["power"] = exact
    unknown += _read_bits(family, fields, values)
    rows = METER_ROWS if values.get("meter_type") not in (None, METER_TYPES[0]) else ROWS[family]
    model_id = None if product is None else f"0x{product:04X}"
    return Decoded(values, _model(product, fields), tuple(unknown), rows, model_id=model_id)


def _model(product: int | None, fields: Mapping[str, str]) -> str | None:
    if product is None:
        # A BMV-600 has no product id.
        return f"BMV-{fields['BMV']}" if "BMV" in fields else None
    return model_of(product)


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
    """One device: the newest text of each label makes its picture; HEX adds what the text lacks.

    A device that says no text is asked for all by HEX.
    """

    rows: Rows = ALL_ROWS

    def __init__(self) -> None:
        self._texts: dict[str, tuple[str, int]] = {}
        self._blocks = 0
        self._polled = float("-inf")
        self._hex = HexSide()
        self._family = Family.OTHER
        # What a device without text says of itself; None while there is text.
        self._alone: Mapping[str, str] | None = None
        self._labels: set[str] = set()
        self._history = History()

    def poll(self, line: VeDirectLine, now: float) -> Decoded:
        """Return what it says now. Raises DecodeError or LineError."""
        if now - self._polled > _KEPT_S:
            self._texts = {}
        self._polled = now
        self._labels = set()
        if self._alone is None:
            self._listen(line)
        else:
            self._look_for_text(line)
        picture = self._picture(now)
        self._family = family_of(_known(picture.get("PID", "")), picture)
        self._hex.hear(line.told(), self._family, now)
        try:
            self._hex.ask(line, self._family, now, alone=self._alone is not None)
        except NoAnswerError:
            self._alone = None
            raise
        decoded = self._decode(self._picture(now), now)
        return replace(decoded, days=self._day(line, decoded, now))

    def _day(self, line: VeDirectLine, decoded: Decoded, now: float) -> Days | None:
        """Return the day that a solar charger has begun."""
        if self._family is not Family.SOLAR or self._alone is not None or not self._hex.answers:
            return None
        sun, day = decoded.values.get("power"), decoded.values.get("day_number")
        is_day = isinstance(day, float | int) and 0 <= day < NUMBERS
        number = round(day) if is_day and not isinstance(day, str | None) else None
        return self._history.poll(line, number, now, sun=isinstance(sun, float | int) and sun > 0)

    def switch(self, line: VeDirectLine, entity: str, wanted: Wanted) -> Values:
        """Write a setting and return what was read back. Raises DecodeError or LineError."""
        return self._hex.switch(line, self._family, entity, wanted)

    def _decode(self, picture: Mapping[str, str], now: float) -> Decoded:
        decoded = decode(picture)
        values, unknown = self._hex.values(self._family, now)
        strange = self._labels - _GENERAL - FIELDS[self._family].keys()
        registers = (f"HEX 0x{number:04X}" for number in sorted(self._hex.strange))
        return replace(
            decoded,
            values=values | decoded.values,
            unknown=(*decoded.unknown, *unknown),
            unread=(*(f"label {one}" for one in sorted(strange)), *registers),
            rows=self._hex.rows(self._family, decoded.rows or {}),
        )

    def _listen(self, line: VeDirectLine) -> None:
        try:
            for _ in range(_MOST_READS):
                for block in line.blocks():
                    self._merge(block)
                # The history of a BMV alone is no picture.
                if self._texts_now().get("V", NOT_AVAILABLE) != NOT_AVAILABLE:
                    break
        except (NoAnswerError, BadRecordError) as trouble:
            self._greet(line, trouble)

    def _greet(self, line: VeDirectLine, trouble: DecodeError) -> None:
        """Ask who is there; raises the trouble if there is nobody that answers by HEX."""
        heard = line.told()
        if isinstance(trouble, BadRecordError) and not heard:
            # Whatever makes this noise, it is not asked.
            raise trouble
        try:
            self._alone = greet(line)
        except NoAnswerError:
            raise trouble from None
        self._texts, self._hex = {}, HexSide()

    def _look_for_text(self, line: VeDirectLine) -> None:
        for block in line.blocks(wait=False):
            self._alone = None
            self._merge(block)

    def _merge(self, block: Mapping[str, str]) -> None:
        product = self._texts.get("PID")
        if product is not None and block.get("PID", product[0]) != product[0]:
            # Another device was plugged in.
            self._texts, self._hex, self._history = {}, HexSide(), History()
        self._blocks += 1
        self._labels |= block.keys()
        self._texts |= {label: (text, self._blocks) for label, text in block.items() if label in _KNOWN}

    def _picture(self, now: float) -> Mapping[str, str]:
        if self._alone is None:
            return self._texts_now()
        family = family_of(_known(self._alone.get("PID", "")), self._alone)
        return {**self._hex.texts(family, now), **self._alone}

    def _texts_now(self) -> Mapping[str, str]:
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
    title="Victron MPPT, BMV, SmartShunt, inverter, charger, Orion XS or RS on a VE.Direct cable",
    manufacturer=MANUFACTURER,
    # All that any of them says, so that `steps` and `disabled` are checked; the family's own replace them.
    rows=ALL_ROWS,
    source="general knowledge of Victron's VE.Direct Protocol, text and HEX; registers from Victron's velib; "
    "product ids from victron-ble 0.9.3; captures of an Orion XS, a Blue Smart IP65 and two SmartSolar",
    notes=(
        (
            "Bytes of real devices were at hand for the text of an Orion XS and of a Blue Smart IP65, and"
            " for HEX of these and of two SmartSolar. All else was only emulated: commands, days, "
            "chargers without text. No text of a Multi RS or an Inverter RS is known."
        ),
        (
            "What the text lacks is asked by HEX: values every 10 s, settings every 10 minutes and after "
            "a command. If the device does not answer, it is asked again after 10 minutes; the text is "
            "read all the same."
        ),
        (
            "A charger that says no text, such as a Phoenix Smart IP43, is asked for all by HEX. It is "
            "found by its answer to a ping, once the port has been silent for 3 s."
        ),
        (
            "Nothing is written without a command. A setting that is so already is not written: the "
            "memory of the device wears. `charger` and `mode` switch the device off and on; `load_mode` "
            "is what the load output of a solar charger does."
        ),
        (
            "A solar charger remembers its yield of 30 days, but it has no clock: it only counts days. "
            "Days in which Boondock did not run are filled in, each at its end, if the charger has "
            "counted as many days as have passed. Days before the first start are not. The sun must shine"
            " on the panel, and the clock must be synchronised. Days older than `keep_days` change no "
            "statistics."
        ),
    ),
    needs=("port",),
    takes=("allow_write",),
    tested=(Tested.CAPTURE, Tested.TWIN),
    every=1.0,
    make=make,
)
