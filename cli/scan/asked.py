"""What a collector finds on the air or on a bus."""

import sys
from dataclasses import dataclass
from typing import Literal

import msgspec

from cli import output
from cli.asking import Asker
from cli.progress import Progress
from cli.scan.found import Found, lines, row
from config.model import Broker

Kind = Literal["ble", "modbus", "i2c"]
_TCP = "tcp://"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for; None: as the collector does by itself."""

    what: Kind
    port: str | None = None
    baudrate: int | None = None
    units: str | None = None
    bus: int | None = None
    seconds: float | None = None

    @property
    def transport(self) -> str:
        """Whose collector scans."""
        if self.what != "modbus":
            return self.what
        return "tcp" if (self.port or "").startswith(_TCP) else "serial"

    def params(self) -> dict[str, object]:
        """The request."""
        speeds = None if self.baudrate is None else [self.baudrate]
        asked = {"port": self.port, "baudrates": speeds, "units": self.units, "bus": self.bus}
        return {k: v for k, v in {**asked, "seconds": self.seconds}.items() if v is not None}


class _Report(msgspec.Struct):
    found: list[Found]


class _Step(msgspec.Struct):
    done: float
    of: float
    found: list[Found]


def scan(broker: Broker, wanted: Wanted, *, as_json: bool) -> None:
    """Scan and print what was found. Raises AskError."""
    transport = wanted.transport
    advice = (
        f'is it running? Without a device in boondock.toml it runs only if collector.run has "{transport}"'
    )
    progress = Progress()

    def told(step: _Step) -> None:
        if progress.shown:
            progress.show(step.done / step.of, f"{step.done:g} of {step.of:g}")
            return
        for found in step.found:
            print("found:", ", ".join(filter(None, row(found))), file=sys.stderr)

    with Asker(broker, service=f"collector_{transport}", advice=advice) as asker:
        report = asker.watch("device_scan", wanted.params(), _Report, _Step, told)
    progress.done()
    output.show({"found": report.found}, lines(report.found), as_json=as_json)
