"""Victron records as devices send them, by the layout of extra-manufacturer-data-2022-12-14.pdf."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from Crypto.Cipher import AES
from Crypto.Util import Counter

# The kinds that are read from it.
TWINS = (
    "victron",
    "victron_battery_monitor",
    "victron_solar_charger",
)

COMPANY = 0x02E1

SOLAR_CHARGER = 0x01
BATTERY_MONITOR = 0x02

SMARTSHUNT_500A = 0xA389
BLUESOLAR_75_15 = 0xA042

AUX_STARTER, AUX_MIDPOINT, AUX_TEMPERATURE, AUX_NONE = range(4)
_AUX_NOT_AVAILABLE = {AUX_STARTER: 0x7FFF, AUX_MIDPOINT: 0xFFFF, AUX_TEMPERATURE: 0xFFFF, AUX_NONE: 0xFFFF}


class BitWriter:
    """Packs fields from the least significant bit up; spare bits at the end are ones, as devices send."""

    def __init__(self) -> None:
        self._value = 0
        self._length = 0

    def put(self, value: int, bits: int) -> None:
        if not -(1 << bits - 1) <= value < 1 << bits:
            raise ValueError(f"{value} does not fit {bits} bits")
        self._value |= (value & (1 << bits) - 1) << self._length
        self._length += bits

    def bytes(self) -> bytes:
        size = -(-self._length // 8)
        spare = size * 8 - self._length
        return (self._value | ((1 << spare) - 1) << self._length).to_bytes(size, "little")


def _scaled(value: float | None, scale: float, not_available: int) -> int:
    return not_available if value is None else round(value * scale)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatteryMonitor:
    """What a SmartShunt or BMV says: V, A into the battery, %, Ah (negative or 0), minutes; None: unknown."""

    # `aux` is V, V or °C as `aux_mode` says; `raw` overrides fields by name with their bits.

    voltage: float | None = 13.2
    current: float | None = 0.0
    soc: float | None = 80.0
    consumed: float | None = 0.0
    minutes: int | None = None
    alarm: int = 0
    aux_mode: int = AUX_NONE
    aux: float | None = None
    raw: dict[str, int] = field(default_factory=dict)

    def plain(self) -> bytes:
        fields = {
            "minutes": (_scaled(self.minutes, 1, 0xFFFF), 16),
            "voltage": (_scaled(self.voltage, 100, 0x7FFF), 16),
            "alarm": (self.alarm, 16),
            "aux": (self._aux_bits(), 16),
            "aux_mode": (self.aux_mode, 2),
            "current": (_scaled(self.current, 1000, 0x3FFFFF), 22),
            "consumed": (_scaled(self.consumed, -10, 0xFFFFF), 20),
            "soc": (_scaled(self.soc, 10, 0x3FF), 10),
        }
        return pack(fields, self.raw)

    def _aux_bits(self) -> int:
        if self.aux is None:
            return _AUX_NOT_AVAILABLE[self.aux_mode]
        kelvin = 273.15 if self.aux_mode == AUX_TEMPERATURE else 0.0
        return round((self.aux + kelvin) * 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class SolarCharger:
    """What an MPPT says: state and error codes, V, A into the battery, Wh, W, A of the load output."""

    state: int | None = 3
    error: int | None = 0
    voltage: float | None = 13.8
    current: float | None = 5.0
    yield_today: float | None = 120.0
    power: float | None = 70.0
    load: float | None = None
    raw: dict[str, int] = field(default_factory=dict)

    def plain(self) -> bytes:
        fields = {
            "state": (_scaled(self.state, 1, 0xFF), 8),
            "error": (_scaled(self.error, 1, 0xFF), 8),
            "voltage": (_scaled(self.voltage, 100, 0x7FFF), 16),
            "current": (_scaled(self.current, 10, 0x7FFF), 16),
            "yield_today": (_scaled(self.yield_today, 0.1, 0xFFFF), 16),
            "power": (_scaled(self.power, 1, 0xFFFF), 16),
            "load": (_scaled(self.load, 10, 0x1FF), 9),
        }
        return pack(fields, self.raw)


def pack(fields: Mapping[str, tuple[int, int]], raw: Mapping[str, int]) -> bytes:
    """A plaintext of numbers and their widths; `raw` overrides numbers."""
    if stray := raw.keys() - fields.keys():
        raise ValueError(f"no such fields: {', '.join(sorted(stray))}")
    writer = BitWriter()
    for name, (value, bits) in fields.items():
        writer.put(raw.get(name, value), bits)
    return writer.bytes()


def seal(plain: bytes, key: bytes, *, readout_type: int, model_id: int, iv: int) -> bytes:
    """The manufacturer data of company 0x02E1: header, key check byte, AES-128-CTR from counter `iv`.

    A type of 0xFF.. is sent as it is: its low byte stands where the key is checked.
    """
    if readout_type > 0xFF:
        head = b"\x10\x02" + model_id.to_bytes(2, "little") + bytes([readout_type >> 8])
        return head + (iv & 0xFFFF).to_bytes(2, "little") + bytes([readout_type & 0xFF]) + plain
    counter = Counter.new(128, initial_value=iv & 0xFFFF, little_endian=True)
    cipher = AES.new(key, AES.MODE_CTR, counter=counter).encrypt(plain)
    header = b"\x10\x02" + model_id.to_bytes(2, "little") + bytes([readout_type])
    return header + (iv & 0xFFFF).to_bytes(2, "little") + key[:1] + cipher


def battery_monitor(says: BatteryMonitor, key: bytes, iv: int = 1, model_id: int = SMARTSHUNT_500A) -> bytes:
    """A battery monitor's sealed record."""
    return seal(says.plain(), key, readout_type=BATTERY_MONITOR, model_id=model_id, iv=iv)


def solar_charger(says: SolarCharger, key: bytes, iv: int = 1, model_id: int = BLUESOLAR_75_15) -> bytes:
    """A solar charger's sealed record."""
    return seal(says.plain(), key, readout_type=SOLAR_CHARGER, model_id=model_id, iv=iv)
