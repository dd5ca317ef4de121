"""Meters of the grid on a serial port: P1, an optical port that is asked or sends by itself, and SML."""

from dataclasses import dataclass, field
from typing import ClassVar

from collector.devices.description import Decoded, PolledKind, Rows, SettingError, Tested, Wire
from collector.devices.lines import MeterLine, MeterWay
from collector.devices.meters import sml, telegram
from collector.devices.meters.obis import ROWS
from config.model import Device

P1, OPTICAL, SML = "p1_meter", "iec62056_meter", "sml_meter"

# A telegram each second or each ten; an optical meter sends by itself at least twice a minute.
_PATIENCE_S = 12.0
_PUSH_S = 35.0
# All data of a meter that stays at 300 bit/s.
_READOUT_S = 90.0
_SPEEDS = {P1: 115_200, OPTICAL: 300, SML: 9600}
_PUSHED = 9600


def way_of(settings: Device) -> MeterWay:
    """Return how the meter of these settings talks."""
    sends = settings.kind == OPTICAL and settings.push
    speed = settings.baudrate or (_PUSHED if sends else _SPEEDS[settings.kind])
    if settings.kind == OPTICAL:
        return MeterWay(speed, _PUSH_S if sends else _READOUT_S, asked=not sends)
    return MeterWay(speed, _PATIENCE_S, sml=settings.kind == SML)


@dataclass(slots=True)
class Meter:
    """One meter; `told` are the own times of the counters behind it that were told already."""

    rows: ClassVar[Rows] = ROWS
    sml: bool
    told: dict[str, int] = field(default_factory=dict)

    def poll(self, line: MeterLine, now: float) -> Decoded:  # noqa: ARG002 — every poller is told the time
        """Return what its newest telegram says. Raises DecodeError or LineError."""
        newest = line.telegrams()[-1]
        return sml.decode(newest) if self.sml else telegram.decode(newest, self.told)


def make(settings: Device) -> Meter:
    """Set up the meter of these settings. Raises SettingError."""
    if (settings.port or "").startswith("tcp://"):
        raise SettingError(
            "port", "tcp:// is for Modbus TCP", "a path, or a pyserial URL such as socket://van.local:2323"
        )
    if settings.kind == OPTICAL and not settings.push and settings.baudrate not in (None, _SPEEDS[OPTICAL]):
        raise SettingError(
            "baudrate", "a meter that is asked names its speed", "push = true, or no such line"
        )
    return Meter(sml=settings.kind == SML)


KINDS = {
    P1: PolledKind(
        wire=Wire.METER,
        name=P1,
        title="Smart meter with a P1 port (DSMR 2.2 to 5; Netherlands, Belgium, Luxembourg, Sweden, ...)",
        manufacturer="",
        rows=ROWS,
        discovers=True,
        source="DSMR P1 Companion Standard 5.0.2 and e-MUCS P1 1.7.1, as published telegrams show them",
        needs=("port",),
        takes=("baudrate",),
        tested=(Tested.TWIN, Tested.CAPTURE),
        defaults={"baudrate": _SPEEDS[P1]},
        every=10.0,
        make=make,
    ),
    OPTICAL: PolledKind(
        wire=Wire.METER,
        name=OPTICAL,
        title="Electricity meter with an optical port that sends text (IEC 62056-21, D0)",
        manufacturer="",
        rows=ROWS,
        discovers=True,
        source="IEC 62056-21 modes A to D as makers' manuals tell them; OBIS codes of IEC 62056-61",
        needs=("port",),
        takes=("push", "baudrate"),
        tested=(Tested.TWIN, Tested.CAPTURE),
        every=60.0,
        make=make,
    ),
    SML: PolledKind(
        wire=Wire.METER,
        name=SML,
        title="Electricity meter with an optical port that sends SML",
        manufacturer="",
        rows=ROWS,
        discovers=True,
        source="BSI TR-03109-1 Annex IV (SML 1.04)",
        needs=("port",),
        takes=("baudrate",),
        tested=(Tested.TWIN, Tested.CAPTURE),
        defaults={"baudrate": _SPEEDS[SML]},
        every=5.0,
        make=make,
    ),
}
