"""A Wi-SUN stick (SKSTACK-IP of three dialects) with a smart meter behind it, on a pseudo terminal.

The stick's words are those of the SKSTACK-IP command references: of ROHM's BP35C2 (dual stack) and of its
BP35A1 (single hop edition), which Tessera's RL7023 Stick-D/IPS speaks too. The meter answers ECHONET Lite
frames (its specification, part 2) with the properties of class 0x0288 of the device objects' appendix.
"""

import os
import pty
import threading
import tty
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

# The kinds that are read from it.
TWINS = ("route_b_meter",)

METER, STICK = "FE80:0000:0000:0000:021D:1290:1234:5678", "FE80:0000:0000:0000:021D:1291:0000:0001"
MAC = "001D129012345678"
RBID, PASSWORD = "0011223344556677889900AABBCCDDEE", "AB12CD34EF56"
NO_DATA = 0xFFFFFFFE
HALF_HOUR = timedelta(minutes=30)
_GET, _SET = 0x62, 0x61
_GOOD, _NOT_ALL = {_GET: 0x72, _SET: 0x71}, {_GET: 0x52, _SET: 0x51}


def big(number: int, length: int) -> bytes:
    return number.to_bytes(length, "big", signed=number < 0)


@dataclass
class Meter:
    """The meter; `clock` gives Japan's time without a zone, `used` and `fed` the counts at a time."""

    clock: Callable[[], datetime]
    used: Callable[[datetime], int]
    fed: Callable[[datetime], int] = lambda _: NO_DATA
    power: int = 512
    currents: tuple[int, int] = (31, -22)
    unit: int = 0x01
    coefficient: int | None = 1
    digits: int = 6
    # Half hours it has no count of, properties it does not have, days it does not remember.
    holes: set[datetime] = field(default_factory=set)
    lacking: set[int] = field(default_factory=set)
    # Properties that it lists and does not give.
    hidden: set[int] = field(default_factory=set)
    remembers: int = 99
    # Answers to be cut short, by property: to so many bytes.
    cut: dict[int, int] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)
    day: int = 0xFF

    def answer(self, frame: bytes) -> bytes | None:
        """To a Get or a SetC, as a controller (05FF01) hears it; None to what is not for the meter."""
        if frame[:2] != b"\x10\x81" or frame[7:10] != b"\x02\x88\x01" or frame[10] not in _GOOD:
            return None
        service, count, at = frame[10], frame[11], 12
        body, good = b"", True
        for _ in range(count):
            code, length = frame[at], frame[at + 1]
            data = frame[at + 2 : at + 2 + length]
            at += 2 + length
            self.asked.append(code)
            said = self._set(code, data) if service == _SET else self._get(code)
            good = good and said is not None
            # A SetC that was refused gets its data back.
            said = (data if service == _SET else b"") if said is None else said
            body += bytes([code, len(said)]) + said
        how = (_GOOD if good else _NOT_ALL)[service]
        return frame[:4] + b"\x02\x88\x01" + frame[4:7] + bytes([how, count]) + body

    def _set(self, code: int, data: bytes) -> bytes | None:
        if code != 0xE5 or data[0] > min(99, self.remembers):
            return None
        self.day = data[0]
        return b""

    def _get(self, code: int) -> bytes | None:
        if code in self.lacking | self.hidden:
            return None
        found = self._properties().get(code)
        data = found() if found is not None else None
        return data[: self.cut[code]] if data is not None and code in self.cut else data

    def _properties(self) -> dict[int, Callable[[], bytes]]:
        now = self.clock()
        mark = now.replace(minute=now.minute // 30 * 30, second=0, microsecond=0)
        coefficient = self.coefficient
        has: dict[int, Callable[[], bytes]] = {
            0x80: lambda: b"\x30",
            0x97: lambda: bytes([now.hour, now.minute]),
            0x98: lambda: big(now.year, 2) + bytes([now.month, now.day]),
            0x9F: self._map,
            0xD7: lambda: bytes([self.digits]),
            0xE0: lambda: big(self.used(now), 4),
            0xE1: lambda: bytes([self.unit]),
            0xE2: lambda: self._history(self.used, now),
            0xE3: lambda: big(self.fed(now), 4),
            0xE4: lambda: self._history(self.fed, now),
            0xE5: lambda: bytes([self.day]),
            0xE7: lambda: big(self.power, 4),
            0xE8: lambda: big(self.currents[0], 2) + big(self.currents[1], 2),
            0xEA: lambda: _dated(mark) + big(self.used(mark), 4),
            0xEB: lambda: _dated(mark) + big(self.fed(mark), 4),
        }
        if coefficient is not None:
            has[0xD3] = lambda: big(coefficient, 4)
        return has

    def _map(self) -> bytes:
        codes = self._properties().keys() - self.lacking
        if len(codes) < 16:
            return bytes([len(codes), *sorted(codes)])
        bits = [sum(1 << (code >> 4) - 8 for code in codes if code & 0xF == low) for low in range(16)]
        return bytes([len(codes), *bits])

    def _history(self, counts: Callable[[datetime], int], now: datetime) -> bytes:
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=self.day)
        marks = [midnight + number * HALF_HOUR for number in range(48)]
        told = [NO_DATA if m > now or m in self.holes or self.day > 99 else counts(m) for m in marks]
        return big(self.day, 2) + b"".join(big(one, 4) for one in told)


def _dated(mark: datetime) -> bytes:
    return big(mark.year, 2) + bytes([mark.month, mark.day, mark.hour, mark.minute, mark.second])


@dataclass(frozen=True)
class Dialect:
    """What SKINFO ends with; whether commands and events have a side; registers that there are not."""

    info: str
    side: bool
    lacking: tuple[str, ...] = ()

    @property
    def tail(self) -> str:
        """What follows the address of an event."""
        return " 0" if self.side else ""


# By stick. Of the RL7023 Stick-D/IPS only its refusal of SKSCAN is known: what SKINFO ends with is assumed.
DIALECTS = {
    "BP35C2": Dialect("0", side=True),
    "BP35A1": Dialect("FFFE", side=False),
    "RL7023 Stick-D/IPS": Dialect("0", side=False),
    "RL7023 Stick-D/IPS with a short address": Dialect("8F2A", side=False, lacking=("SA2",)),
    "BP35C2 that hides its side": Dialect("FFFE", side=True),
}


class Stick:
    """Speaks on `port`, a name that stays when the stick is unplugged and plugged in again."""

    def __init__(self, folder: Path, meter: Meter, dialect: Dialect = DIALECTS["BP35C2"]) -> None:
        self.meter = meter
        self.dialect = dialect
        self.port = str(folder / "ttyUSB-wisun")
        self.commands: list[str] = []
        self.scans: list[list[str]] = []
        self.sessions = 0
        # Faults: scans that hear nothing, replies lost on the air, a stick or a meter that says nothing.
        self.scan_misses = self.drops = 0
        self.mute = self.hangs_scanning = self.meter_is_off = self.refuses = False
        self.refuses_to_scan = False
        self._secrets = {"SKSETRBID": "", "SKSETPWD": ""}
        self._lock = threading.Lock()
        self._master, self._slave = -1, -1
        self._thread: threading.Thread | None = None
        self.plug()

    def plug(self) -> None:
        """Plug it in, as the kernel shows it."""
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        path = Path(self.port)
        path.unlink(missing_ok=True)
        path.symlink_to(os.ttyname(self._slave))
        self._thread = threading.Thread(target=self._serve, args=(self._master,), daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        """Pull the cable."""
        if self._master == -1:
            return
        Path(self.port).unlink()
        # A line that the thread sends itself wakes it from its read.
        master, self._master = self._master, -1
        os.write(self._slave, b"\x04")
        if self._thread is not None:
            self._thread.join(5)
        os.close(self._slave)
        os.close(master)

    def say(self, *lines: str) -> None:
        """Say lines of its own accord."""
        with self._lock:
            if self._master != -1 and not self.mute:
                os.write(self._master, "".join(f"{line}\r\n" for line in lines).encode())

    def lose_session(self, *, comes_back: bool) -> None:
        """The session's time is over (EVENT 29); the stick renews it (25) or cannot (24)."""
        self._event("29")
        if comes_back:
            self._event("25")

    def end_session(self) -> None:
        """The meter asks to end the session (EVENT 26, then 27)."""
        self._event("26")
        self._event("27")

    def _event(self, number: str, address: str = METER, parameter: str = "") -> None:
        self.say(f"EVENT {number} {address}{self.dialect.tail}{parameter}")

    def announce(self) -> None:
        """The meter announces its newest half hour by itself (INF), as meters do each 30 minutes."""
        data = self.meter._get(0xEA) or b""
        self._hear(b"\x10\x81\x00\x00\x02\x88\x01\x05\xff\x01\x73\x01\xea" + bytes([len(data)]) + data)

    def _serve(self, master: int) -> None:
        heard = b""
        while self._master == master:
            try:
                heard += os.read(master, 4096)
            except OSError:
                return
            while (length := self._complete(heard)) is not None:
                command, heard = heard[:length], heard[length:]
                if command.strip() and not self.mute:
                    self._obey(command)

    @property
    def _words(self) -> int:
        """How many words stand before the data of SKSENDTO."""
        return 7 if self.dialect.side else 6

    def _complete(self, heard: bytes) -> int | None:
        """How many bytes the first command has, if it is all there."""
        if heard.startswith(b"SKSENDTO "):
            head = heard.split(b" ", self._words)
            if len(head) <= self._words:
                return None
            if len(size := head[self._words - 1]) != 4:
                # Of the other dialect: what follows is no command either.
                return len(heard)
            length = sum(len(part) + 1 for part in head[:-1]) + int(size, 16)
            return length if len(heard) >= length else None
        ends = [at for at in (heard.find(b"\r"), heard.find(b"\n")) if at >= 0]
        return min(ends) + 1 if ends else None

    def _obey(self, command: bytes) -> None:
        if command.startswith(b"SKSENDTO "):
            head = command.split(b" ", self._words)
            self.commands.append("SKSENDTO")
            if len(head[self._words - 1]) == 4:
                self._send(head[self._words])
            else:
                self.say("FAIL ER05")
            return
        words = command.decode(errors="replace").split()
        self.commands.append(words[0])
        if words[0].startswith("SK"):
            # It echoes, the secrets too.
            self.say(" ".join(words))
        answers: dict[str, Callable[[list[str]], None]] = {
            "ROPT": lambda _: self._plain(b"OK 01\r"),
            "SKVER": lambda _: self.say("EVER 1.5.2", "OK"),
            "SKINFO": lambda _: self.say(f"EINFO {STICK} 001D129100000001 21 FFFF {self.dialect.info}", "OK"),
            "SKRESET": lambda _: self.say("OK"),
            "SKSREG": lambda words: self.say("FAIL ER06" if words[1] in self.dialect.lacking else "OK"),
            "SKSETRBID": self._take_secret,
            "SKSETPWD": self._take_secret,
            "SKSCAN": self._scan,
            "SKLL64": lambda _: self.say(METER),
            "SKJOIN": lambda _: self._join(),
            "SKTERM": lambda _: self._terminate(),
        }
        if words[0] in answers:
            answers[words[0]](words)
        else:
            self.say("FAIL ER04")

    def _plain(self, text: bytes) -> None:
        with self._lock:
            os.write(self._master, text)

    def _take_secret(self, words: list[str]) -> None:
        fits = len(words[-1]) == (32 if words[0] == "SKSETRBID" else int(words[1], 16))
        self._secrets[words[0]] = words[-1]
        self.say("OK" if fits else "FAIL ER06")

    def _scan(self, words: list[str]) -> None:
        self.scans.append(words[1:])
        if self.refuses_to_scan or len(words) != (5 if self.dialect.side else 4):
            self.say("FAIL ER05")
            return
        self.say("OK")
        if self.hangs_scanning:
            return
        # The meter answers only who knows the end of its ID.
        listens = int(words[2], 16) >> 0x21 - 33 & 1
        if self.scan_misses > 0 or self.meter_is_off or self._secrets["SKSETRBID"][-8:] != RBID[-8:]:
            self.scan_misses -= 1
        elif listens:
            self._event("20")
            self.say(
                "EPANDESC", "  Channel:21", "  Channel Page:09", "  Pan ID:8888", f"  Addr:{MAC}", "  LQI:E1"
            )
            self.say(*["  Side:0"] * self.dialect.side, f"  PairID:{RBID[-8:]}")
        self._event("22", STICK)

    def _join(self) -> None:
        known = self._secrets == {"SKSETRBID": RBID, "SKSETPWD": PASSWORD}
        joined = known and not self.refuses and not self.meter_is_off
        self.sessions += joined
        self.say("OK")
        self._event("21", parameter=" 00")
        self._event("25" if joined else "24")

    def _terminate(self) -> None:
        self.say("OK")
        self._event("27")

    def _send(self, frame: bytes) -> None:
        self._event("21", parameter=" 00")
        self.say("OK")
        answer = None if self.meter_is_off else self.meter.answer(frame)
        if self.drops > 0:
            self.drops -= 1
        elif answer is not None:
            self._hear(answer)

    def _hear(self, frame: bytes) -> None:
        data = frame.hex().upper()
        # Only the dual stack tells how well it heard, and on which side.
        how = "7E 1 0" if self.dialect.side else "1"
        self.say(f"ERXUDP {METER} {STICK} 0E1A 0E1A {MAC} {how} {len(frame):04X} {data}")
