"""Battery management systems as Bluetooth peripherals, byte by byte as their protocols are described.

JBD: JBD_REGISTER_MAP.md of FurTrader/OverkillSolarBMS. Daly: protocol-register-map.md of
syssi/esphome-daly-bms. JK: protocol-design-ble.md of syssi/esphome-jk-bms. Renogy: Modbus 1.7 as
charlieh0tel/renogy-rs lists it. LiTime: public descriptions of commands and offsets. Topband: the layout that
its published captures have.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.emulators.bluez_gatt import Told
from tests.emulators.modbus_rtu import Tables, crc, sealed

# The kinds that are read from it.
TWINS = ("bms_daly", "bms_jbd", "bms_jk", "bms_litime", "bms_renogy", "bms_topband")

_BOTH = ("read", "write-without-response", "write")
_TELLS = ("read", "notify")


@dataclass(slots=True, kw_only=True)
class Cells:
    """What a BMS measures: V, A into the battery, %, Ah, V of each cell, °C; `errors` are its own bits."""

    voltage: float = 13.2
    current: float = -5.5
    soc: int = 76
    left: float = 76.0
    capacity: float = 100.0
    cycles: int = 42
    cells: Sequence[float] = (3.301, 3.299, 3.3, 3.302)
    degrees: Sequence[float] = (21.0, 22.0)
    mosfet: float = 25.0
    charge: bool = True
    discharge: bool = True
    balancing: bool = False
    errors: int = 0


@dataclass(slots=True)
class Twin:
    """What all of them are: peripherals whose notifications carry `chunk` bytes at most."""

    says: Cells = field(default_factory=Cells)
    name: str = "BMS"
    company: int | None = None
    services: Mapping[int, Sequence[tuple[int, tuple[str, ...]]]] = field(default_factory=dict)
    refuses: str | None = None
    needs_quiet: bool = False
    asleep: bool = False
    chunk: int = 20
    # Does not answer this many questions, or only with its first notification and `cut` is called.
    mute: int = 0
    cut: Callable[[], None] | None = None

    def written(self, uuid: int, data: bytes) -> Told:
        if self.mute:
            self.mute -= 1
            return []
        told = self.pieces(self.answer(uuid, data))
        if self.cut is not None:
            cut, self.cut = self.cut, None
            cut()
            return told[:1]
        return told

    def speaks(self) -> Told:
        return [] if self.mute else self.pieces(self.word())

    def pieces(self, said: bytes) -> list[tuple[int, bytes]]:
        tells = next(uuid for its in self.services.values() for uuid, flags in its if "notify" in flags)
        return [(tells, said[at : at + self.chunk]) for at in range(0, len(said), self.chunk)]

    def answer(self, uuid: int, data: bytes) -> bytes:
        """What it says to a question."""
        del uuid, data
        return b""

    def word(self) -> bytes:
        """What it says by itself."""
        return b""


@dataclass(slots=True)
class Jbd(Twin):
    """Registers 3, 4 and 5."""

    name: str = "xiaoxiang BMS"
    services: Mapping[int, Sequence[tuple[int, tuple[str, ...]]]] = field(
        default_factory=lambda: {0xFF00: ((0xFF01, _TELLS), (0xFF02, _BOTH))}
    )
    model: str = "JBD-SP04S034-L4S-200A-B-U"

    def answer(self, uuid: int, data: bytes) -> bytes:
        if uuid != 0xFF02 or data[:2] != b"\xdd\xa5" or data[-1] != 0x77:
            return b""
        if data[4:6] != struct.pack(">H", 0x10000 - sum(data[2:4])):
            return b""
        content = {3: self.basic, 4: self.voltages, 5: self.model.encode}.get(data[2])
        payload = b"\x80\x00" if content is None else b"\x00" + bytes([len(content())]) + content()
        return b"\xdd" + data[2:3] + payload + struct.pack(">H", 0x10000 - sum(payload)) + b"\x77"

    def basic(self) -> bytes:
        one = self.says
        return struct.pack(
            ">HhHHHHIHBBBBB",
            round(one.voltage * 100),
            round(one.current * 100),
            round(one.left * 100),
            round(one.capacity * 100),
            one.cycles,
            0x2C7C,
            0b1010 if one.balancing else 0,
            one.errors,
            0x80,
            one.soc,
            one.charge | one.discharge << 1,
            len(one.cells),
            len(one.degrees),
        ) + b"".join(struct.pack(">H", round(2731 + 10 * one)) for one in one.degrees)

    def voltages(self) -> bytes:
        return b"".join(struct.pack(">H", round(1000 * volts)) for volts in self.says.cells)


@dataclass(slots=True)
class ModbusTwin(Twin):
    """One or more units whose Modbus RTU frames are written and notified as they are, like a BT-2."""

    name: str = "BT-TH-B00F1A"
    services: Mapping[int, Sequence[tuple[int, tuple[str, ...]]]] = field(
        default_factory=lambda: {0xFFD0: ((0xFFD1, _BOTH),), 0xFFF0: ((0xFFF1, _TELLS),)}
    )
    units: dict[int, Tables] = field(default_factory=dict)

    def answer(self, uuid: int, data: bytes) -> bytes:
        del uuid
        self.prepare()
        if len(data) < 8 or data[-2:] != crc(data[:-2]) or data[0] not in self.units:
            return b""
        return sealed(data[:1] + self.units[data[0]].answer(data[1], data[2:-2]))

    def prepare(self) -> None:
        """Bring the registers up to date."""


def _words(text: str, count: int) -> list[int]:
    return list(struct.unpack(f">{count}H", text.encode().ljust(2 * count, b"\0")))


@dataclass(slots=True)
class Daly(ModbusTwin):
    """Unit 0xD2."""

    name: str = "DL-40D10211"
    services: Mapping[int, Sequence[tuple[int, tuple[str, ...]]]] = field(
        default_factory=lambda: {0xFFF0: ((0xFFF1, _TELLS), (0xFFF2, _BOTH))}
    )
    # By register, from 0x3A on.
    faults: dict[int, int] = field(default_factory=dict)
    versions: bool = True

    def prepare(self) -> None:
        one = self.says
        table = dict.fromkeys(range(0x50), 0)
        table |= {n: round(1000 * volts) for n, volts in enumerate(one.cells)}
        table |= {0x20 + n: round(degrees + 40) for n, degrees in enumerate(one.degrees)}
        table |= {0x28: round(10 * one.voltage), 0x29: round(10 * one.current) + 30_000, 0x2A: 10 * one.soc}
        table |= {0x30: round(10 * one.left), 0x31: len(one.cells), 0x32: len(one.degrees), 0x33: one.cycles}
        table |= {0x34: int(one.balancing), 0x35: int(one.charge), 0x36: int(one.discharge)}
        table |= self.faults
        if self.versions:
            table |= dict(enumerate(_words("401012", 8) + _words("BMS", 8) + [0] * 16, 0xA9))
        self.units = {0xD2: Tables(holding=table)}


@dataclass(slots=True)
class Renogy(ModbusTwin):
    """A smart lithium battery, unit 48."""

    unit: int = 48
    warnings: int = 0
    alarms: Mapping[int, int] = field(default_factory=dict)

    def prepare(self) -> None:
        one = self.says
        table = dict.fromkeys((*range(5000, 5034), *range(5035, 5053), *range(5100, 5142)), 0)
        table |= {5000: len(one.cells), 5017: len(one.degrees)}
        table |= {5001 + n: round(10 * volts) for n, volts in enumerate(one.cells)}
        table |= {5018 + n: round(10 * degrees) for n, degrees in enumerate(one.degrees)}
        left, full = round(1000 * one.left), round(1000 * one.capacity)
        table |= {5042: round(100 * one.current), 5043: round(10 * one.voltage), 5048: one.cycles}
        table |= {5044: left >> 16, 5045: left & 0xFFFF, 5046: full >> 16, 5047: full & 0xFFFF}
        table |= {5106: one.errors | one.charge << 1 | one.discharge << 2, 5107: self.warnings}
        table |= self.alarms
        table |= dict(enumerate(_words("20210526", 8), 5110))
        table |= dict(enumerate(_words("RBT100LFP12-BT  ", 8), 5122))
        table |= dict(enumerate(_words("0100", 2), 5130))
        self.units = {self.unit: Tables(holding=table)}


def _sum(frame: bytes) -> bytes:
    return frame + bytes([sum(frame) & 0xFF])


@dataclass(slots=True)
class Jk(Twin):
    """JK02; below version 11 for 24 cells. It streams once it was asked for its info and its cells."""

    name: str = "House"
    company: int | None = 0x0B65
    services: Mapping[int, Sequence[tuple[int, tuple[str, ...]]]] = field(
        default_factory=lambda: {
            0xFFE0: ((0xFFE1, ("write-without-response", "write")), (0xFFE1, ("notify",)))
        }
    )
    chunk: int = 128
    version: str = "11.48"
    streams: bool = False
    # Commands of its Bluetooth module between the notifications.
    noisy: bool = True

    def answer(self, uuid: int, data: bytes) -> bytes:
        del uuid
        if len(data) != 20 or data[:4] != b"\xaa\x55\x90\xeb" or data != _sum(data[:-1]):
            return b""
        if data[4] == 0x97:
            return self.info()
        self.streams |= data[4] == 0x96
        return b"" if data[4] != 0x96 else self.settings() + self.cells()

    def word(self) -> bytes:
        return self.cells() if self.streams else b""

    def pieces(self, said: bytes) -> list[tuple[int, bytes]]:
        found = super(Jk, self).pieces(said)
        return [one for piece in found for one in ((piece[0], b"AT\r\n"), piece)] if self.noisy else found

    def info(self) -> bytes:
        frame = bytearray(299)
        frame[:6] = b"\x55\xaa\xeb\x90\x03\x01"
        for at, text in ((6, "JK_B2A8S20P"), (22, "11.XA"), (30, self.version), (86, "404092C2262")):
            frame[at : at + len(text)] = text.encode()
        return _sum(bytes(frame))

    def settings(self) -> bytes:
        return _sum(b"\x55\xaa\xeb\x90\x01\x01" + bytes(293))

    def cells(self) -> bytes:
        one, wide = self.says, int(self.version.split(".")[0]) >= 11
        frame = bytearray(299)
        frame[:6] = b"\x55\xaa\xeb\x90\x02\x02"
        # The layout for 24 cells has 16 bytes less of cells, and 16 less of their resistances.
        half, whole = (0, 0) if wide else (16, 32)

        def put(at: int, form: str, value: float) -> None:
            struct.pack_into("<" + form, frame, at, round(value))

        for n, volts in enumerate(one.cells):
            put(6 + 2 * n, "H", 1000 * volts)
        put(70 - half, "I", (1 << len(one.cells)) - 1)
        put(150 - whole, "I", 1000 * one.voltage)
        put(158 - whole, "i", 1000 * one.current)
        places = (144, 162, 164) if wide else (134, 130, 132)
        for at, degrees in zip(places, (one.mosfet, *one.degrees, -200.0, -200.0), strict=False):
            put(at, "h", 10 * degrees)
        if wide and self.version >= "14":
            put(256, "h", -2000)
            put(258, "h", -2000)
        put(166 if wide else 136, "H", one.errors)
        put(172 - whole, "B", one.balancing)
        put(173 - whole, "B", one.soc)
        put(174 - whole, "I", 1000 * one.left)
        put(178 - whole, "I", 1000 * one.capacity)
        put(182 - whole, "I", one.cycles)
        put(190 - whole, "B", 100)
        put(198 - whole, "B", one.charge)
        put(199 - whole, "B", one.discharge)
        return _sum(bytes(frame))


@dataclass(slots=True)
class LiTime(Twin):
    """It answers nothing but the question for its state; all other commands would do something."""

    name: str = "L-12100BNNA70-A02214"
    company: int | None = 0x585A
    services: Mapping[int, Sequence[tuple[int, tuple[str, ...]]]] = field(
        default_factory=lambda: {
            0xFFE0: ((0xFFE1, ("notify",)), (0xFFE2, ("write-without-response", "write")))
        }
    )
    chunk: int = 244
    commands: list[int] = field(default_factory=list)

    def answer(self, uuid: int, data: bytes) -> bytes:
        if uuid != 0xFFE2 or len(data) != 8 or data != _sum(data[:-1]):
            return b""
        self.commands.append(data[4])
        return self.state() if data[4] == 0x13 else b""

    def state(self) -> bytes:
        one = self.says
        frame = bytearray(104)
        frame[:7] = b"\0\0\x65\x01\x93\x55\xaa"
        for at, form, value in (
            (8, "I", 1000 * sum(one.cells)),
            (12, "I", 1000 * one.voltage),
            (48, "i", 1000 * one.current),
            (52, "h", one.degrees[0]),
            (54, "h", one.mosfet),
            (62, "H", 100 * one.left),
            (64, "I", 100 * one.capacity),
            (76, "Q", one.errors),
            (84, "I", 5 if one.balancing else 0),
            (90, "H", one.soc),
            (92, "I", 100),
            (96, "I", one.cycles),
            *((16 + 2 * n, "H", 1000 * volts) for n, volts in enumerate(one.cells)),
        ):
            struct.pack_into("<" + form, frame, at, round(value))
        return _sum(bytes(frame))


@dataclass(slots=True)
class Topband(Twin):
    """It says the same some times a second, between rubbish."""

    name: str = "12VLiFePO4"
    company: int | None = 0
    services: Mapping[int, Sequence[tuple[int, tuple[str, ...]]]] = field(
        default_factory=lambda: {0xFFE0: ((0xFFE4, ("notify",)),)}
    )
    chunk: int = 32
    head: int = 0x5E

    def word(self) -> bytes:
        one = self.says
        data = struct.pack(
            "<IiIHHHBxxx",
            round(1000 * one.voltage),
            round(1000 * one.current),
            round(1000 * one.left),
            one.cycles,
            one.soc,
            round(10 * one.degrees[0] + 2731.5),
            one.errors,
        )
        data += b"".join(struct.pack("<H", round(1000 * volts)) for volts in one.cells)
        data = data.ljust(54, b"\0")
        frame = (data + struct.pack(">H", sum(data) & 0xFFFF)).hex().upper().encode()
        return b"\xaf6F\0" + bytes([self.head]) + frame + b"\x11\0\0\0"


def every() -> list[tuple[str, Twin]]:
    """One of each kind."""
    return [
        ("bms_daly", Daly()),
        ("bms_jbd", Jbd()),
        ("bms_jk", Jk()),
        ("bms_litime", LiTime()),
        ("bms_renogy", Renogy()),
        ("bms_topband", Topband()),
    ]
