"""Devices that talk VE.Direct text, on a pseudo terminal, by Victron's VE.Direct Protocol.

A block is CR LF, label, TAB, value for each field and ends with the field Checksum, whose one byte makes the
sum of all bytes 0 modulo 256. HEX frames (":", hexadecimal digits, LF) may interrupt it anywhere and are not
summed.
"""

import os
import pty
import select
import threading
import tty
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

# The kinds that are read from it.
TWINS = ("vedirect",)

SMARTSHUNT_500A, MPPT_75_15, PHOENIX_12_500, BMV_702 = "0xA389", "0xA053", "0xA251", "0x204"
HEX_FRAMES = (b":A0002000148\n", b":7F0ED0071000D\n", b":5A30FAA\n")

Fields = Mapping[str, str]


def block(fields: Fields) -> bytes:
    """One text block."""
    text = "".join(f"\r\n{label}\t{value}" for label, value in fields.items()) + "\r\nChecksum\t"
    body = text.encode("ascii")
    return body + bytes([-sum(body) % 256])


def with_hex(text: bytes, frame: bytes, at: int) -> bytes:
    """The block with a HEX frame before its byte `at`."""
    return text[:at] + frame + text[at:]


@dataclass(kw_only=True)
class SmartShunt:
    """A battery monitor: V, A into the battery, Ah missing, %, minutes; None: not available."""

    product: str = SMARTSHUNT_500A
    volts: float = 12.84
    amperes: float = -5.25
    missing: float | None = -17.5
    soc: float | None = 87.3
    minutes: int | None = 1240
    celsius: int | None = None
    starter: float | None = 12.71
    alarm_bits: int = 0
    discharged_kwh: float = 45.67
    charged_kwh: float = 52.31
    extra: dict[str, str] = field(default_factory=dict)

    def main(self) -> dict[str, str]:
        return {
            "PID": self.product,
            "V": _milli(self.volts),
            "VS": _milli(self.starter),
            "I": _milli(self.amperes),
            "P": str(round(self.volts * self.amperes)),
            "CE": _milli(self.missing),
            "SOC": "---" if self.soc is None else str(round(self.soc * 10)),
            "TTG": "-1" if self.minutes is None else str(self.minutes),
            "Alarm": "ON" if self.alarm_bits else "OFF",
            "AR": str(self.alarm_bits),
            "BMV": "SmartShunt 500A/50mV",
            "FW": "0419",
            "MON": "0",
            "T": "---" if self.celsius is None else str(self.celsius),
            **self.extra,
        }

    def history(self) -> dict[str, str]:
        return {
            "H1": "-102312",
            "H2": "-17500",
            "H3": "-44100",
            "H4": "12",
            "H5": "0",
            "H6": "-1234567",
            "H7": "11234",
            "H8": "14612",
            "H9": "86412",
            "H10": "31",
            "H11": "2",
            "H12": "0",
            "H15": "11900",
            "H16": "14410",
            "H17": str(round(self.discharged_kwh * 100)),
            "H18": str(round(self.charged_kwh * 100)),
        }

    def blocks(self) -> list[bytes]:
        return [block(self.main()), block(self.history())]


@dataclass(kw_only=True)
class Mppt:
    """A solar charger: V and A of the battery, V and W of the panels, kWh."""

    product: str = MPPT_75_15
    volts: float = 13.42
    amperes: float = 4.1
    panel_volts: float = 36.5
    panel_watts: int = 58
    state: int = 3
    error: int = 0
    tracker: int = 2
    off_reasons: int = 0
    load: bool = True
    load_amperes: float = 0.7
    total_kwh: float = 102.06
    today_kwh: float = 0.31
    extra: dict[str, str] = field(default_factory=dict)

    def main(self) -> dict[str, str]:
        return {
            "PID": self.product,
            "FW": "150",
            "SER#": "HQ9999ABCDE",
            "V": _milli(self.volts),
            "I": _milli(self.amperes),
            "VPV": _milli(self.panel_volts),
            "PPV": str(self.panel_watts),
            "CS": str(self.state),
            "MPPT": str(self.tracker),
            "OR": f"0x{self.off_reasons:08X}",
            "ERR": str(self.error),
            "LOAD": "ON" if self.load else "OFF",
            "IL": _milli(self.load_amperes),
            "H19": str(round(self.total_kwh * 100)),
            "H20": str(round(self.today_kwh * 100)),
            "H21": "91",
            "H22": "48",
            "H23": "110",
            "HSDS": "279",
            **self.extra,
        }

    def blocks(self) -> list[bytes]:
        return [block(self.main())]


@dataclass(kw_only=True)
class Phoenix:
    """An inverter: V of the battery, V, A and VA of its output."""

    product: str = PHOENIX_12_500
    volts: float = 12.61
    ac_volts: float = 230.04
    ac_amperes: float = 0.4
    ac_volt_amperes: int = 92
    state: int = 9
    mode: int = 2
    alarm_bits: int = 0
    warning_bits: int = 0
    off_reasons: int = 0

    def main(self) -> dict[str, str]:
        return {
            "PID": self.product,
            "FW": "0121",
            "SER#": "HQ1234VWXYZ",
            "MODE": str(self.mode),
            "CS": str(self.state),
            "AC_OUT_V": str(round(self.ac_volts * 100)),
            "AC_OUT_I": str(round(self.ac_amperes * 10)),
            "AC_OUT_S": str(self.ac_volt_amperes),
            "V": _milli(self.volts),
            "AR": str(self.alarm_bits),
            "WARN": str(self.warning_bits),
            "OR": f"0x{self.off_reasons:08X}",
        }

    def blocks(self) -> list[bytes]:
        return [block(self.main())]


Product = SmartShunt | Mppt | Phoenix


def _milli(value: float | None) -> str:
    return "---" if value is None else str(round(value * 1000))


class Cable:
    """A pseudo terminal; `path` is the port's end. What nobody reads is lost, as on a wire."""

    def __init__(self) -> None:
        self._ours, self._theirs = pty.openpty()
        tty.setraw(self._theirs)
        os.set_blocking(self._ours, False)
        self.path = os.ttyname(self._theirs)

    def write(self, data: bytes) -> None:
        with suppress(BlockingIOError):
            os.write(self._ours, data)

    def read(self, seconds: float) -> bytes:
        """What the port's user sent, waiting so long for the first byte."""
        with suppress(OSError, ValueError):
            if select.select([self._ours], [], [], seconds)[0]:
                return os.read(self._ours, 4096)
        return b""

    def pull(self) -> None:
        """The adapter is gone."""
        for end in (self._ours, self._theirs):
            with suppress(OSError):
                os.close(end)
        self._ours = self._theirs = -1


class Talker:
    """Sends a product's blocks over and over; `write` and `says` may be replaced while it talks.

    `says` None is silence, bytes are noise. The real ones talk each second; `period` spares the tests' time.
    """

    def __init__(
        self, write: Callable[[bytes], None], says: Product | bytes | None, *, period: float = 0.05
    ) -> None:
        self.write = write
        self.says = says
        self._period = period
        self._turn = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._talk, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def _talk(self) -> None:
        while not self._end.wait(self._period):
            for data in self._burst():
                with suppress(OSError):
                    self.write(data)

    def _burst(self) -> list[bytes]:
        says = self.says
        if says is None:
            return []
        if isinstance(says, bytes):
            return [says]
        self._turn += 1
        frame = HEX_FRAMES[self._turn % len(HEX_FRAMES)]
        # At another place each time, but not where a byte is taken as the checksum.
        return [with_hex(data, frame, self._turn * 7 % (len(data) - 1)) for data in says.blocks()]
