"""A fake /dev/i2c-1: umockdev answers the real ioctls of i2c-dev with the twins of i2c_chips.py.

    python3 tests/emulators/i2c_bed.py --chip "ina219 0x40 volts=13.2 amps=1.5" --chip "ads1115 0x48 0=2.31"

prints one line with the environment in which other programs see the bus, then serves until SIGTERM. Each line
on stdin is obeyed and answered with `ok` or `error: …`: chip lines as above (of an INA3221 `2=13.2,1.5` is
channel 2), and `gone 0x40`, `back 0x40`, `stuck 0x40` and `claim 0x40` (again to end it), `brown_out 0x40`,
`fail 0x40 ETIMEDOUT` (until `back 0x40`), `bus gone`, `bus back`, `ask 0x40 1` (answered with the register),
`quick 0x40` (did it get one?).
It needs the system's Python with Debian's packages umockdev, python3-gi and gir1.2-umockdev-1.0.
"""

import argparse
import errno
import os
import signal
import struct
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

# It is also run as a file, by a Python that has nothing of ours installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.emulators.i2c_chips import TWINS, Ads1115, Chips
from tests.emulators.ina_chips import Ina3221

# include/uapi/linux/i2c-dev.h and i2c.h
_SLAVE, _SLAVE_FORCE, _FUNCS, _RDWR, _SMBUS = 0x0703, 0x0706, 0x0705, 0x0707, 0x0720
_QUICK, _BYTE, _WORD_DATA, _I2C_BLOCK = 0, 1, 3, 8
_DATA_SIZE = 34
_MESSAGE = struct.Struct("@BBIP")
# struct i2c_rdwr_ioctl_data and struct i2c_msg, and the flag of a read.
_MESSAGES, _I2C_MESSAGE, _READ = struct.Struct("@PI"), struct.Struct("@HHHP"), 1
_LONG = struct.Struct("@L")
# I2C_FUNC_I2C | I2C_FUNC_SMBUS_EMUL: what the Pi's driver says (drivers/i2c/busses/i2c-bcm2835.c).
PI_FUNCS = 0x0EFF0009
_PRELOAD = "libumockdev-preload.so.0"
_NODE = "P: /devices/i2c-{bus}\nN: i2c-{bus}\nE: DEVNAME=/dev/i2c-{bus}\nE: SUBSYSTEM=i2c-dev\n"


class RequestServer:
    """Obeys the lines of stdin; knows the chips, not how they are reached."""

    def __init__(self) -> None:
        self.chips = Chips({})
        self.bus_gone = False

    def obey(self, line: str) -> str:
        """Do what a line says; returns the answer. Raises ValueError, KeyError or IndexError for nonsense."""
        word, *rest = line.split()
        if word == "bus":
            self.bus_gone = {"gone": True, "back": False}[rest[0]]
            return "ok"
        address = int(rest[0], 0)
        match word:
            case "ask":
                return f"{self.chips.at[address].get(int(rest[1], 0)):#06x}"
            case "quick":
                return str(address in self.chips.quick_written)
            case "ads1115":
                self._chip("ads1115_voltage", address, dict(part.split("=") for part in rest[1:]))
            case _ if word in TWINS:
                self._chip(word, address, dict(part.split("=") for part in rest[1:]))
            case _:
                self._fault(word, address, rest[1:])
        return "ok"

    def _fault(self, word: str, address: int, rest: list[str]) -> None:
        chips = self.chips
        match word:
            case "gone":
                chips.failing[address] = errno.EREMOTEIO
            case "fail":
                chips.failing[address] = int(getattr(errno, rest[0]))
            case "back":
                chips.failing.pop(address, None)
                chips.at[address].brown_out()
            case "stuck":
                chips.at[address].stuck = not chips.at[address].stuck
            case "claim":
                chips.claimed ^= {address}
            case "brown_out":
                chips.at[address].brown_out()
            case _:
                raise ValueError(f"no such word: {word}")

    def _chip(self, kind: str, address: int, values: dict[str, str]) -> None:
        chip = self.chips.at.setdefault(address, TWINS[kind](time.monotonic))
        assert type(chip) is TWINS[kind]
        for name, value in values.items():
            if isinstance(chip, Ads1115):
                chip.inputs[int(name)] = float(value)
            elif isinstance(chip, Ina3221):
                volts, amps = map(float, value.split(","))
                chip.channels[int(name)] = (volts, amps)
            else:
                assert isinstance(getattr(chip, name), float), name
                setattr(chip, name, float(value))


class Driver:
    """What the kernel's i2c-dev does with one ioctl; `ioctl` returns 0 or raises OSError."""

    def __init__(self, desk: RequestServer) -> None:
        self._desk = desk
        self._addresses: dict[int, int] = {}

    # umockdev's objects come from a foreign language and have no types.
    def ioctl(self, client: Any, request: int, argument: Any) -> None:  # noqa: ANN401 — see above
        if self._desk.bus_gone:
            raise OSError(errno.ENODEV, "no such device")
        # Each open file has an address of its own.
        file = hash(client)
        if request in (_SLAVE, _SLAVE_FORCE):
            address = _LONG.unpack(bytes(argument.retrieve())[: _LONG.size])[0]
            if request == _SLAVE and address in self._desk.chips.claimed:
                raise OSError(errno.EBUSY, "a kernel driver has it")
            self._addresses[file] = address
        elif request == _FUNCS:
            argument.resolve(0, _LONG.size).update(0, list(_LONG.pack(PI_FUNCS)))
        elif request == _RDWR:
            self._transfer(argument)
        elif request == _SMBUS:
            self._smbus(self._addresses.get(file, 0), argument)
        else:
            raise OSError(errno.ENOTTY, "not an ioctl that is emulated")

    def _transfer(self, argument: Any) -> None:  # noqa: ANN401 — the same
        head = argument.resolve(0, _MESSAGES.size)
        if _MESSAGES.unpack(bytes(head.retrieve())[: _MESSAGES.size])[1] != 1:
            raise OSError(errno.EOPNOTSUPP, "one message, please")
        message = head.resolve(0, _I2C_MESSAGE.size)
        address, flags, length, _ = _I2C_MESSAGE.unpack(bytes(message.retrieve()))
        if not flags & _READ:
            raise OSError(errno.EOPNOTSUPP, "a read, please")
        data = message.resolve(_I2C_MESSAGE.size - struct.calcsize("P"), length)
        data.update(0, list(self._desk.chips.receive(address, length)))

    def _smbus(self, address: int, argument: Any) -> None:  # noqa: ANN401 — the same
        chips = self._desk.chips
        head = argument.resolve(0, _MESSAGE.size)
        reading, command, size, _ = _MESSAGE.unpack(bytes(head.retrieve()))
        if size == _QUICK:
            chips.quick(address)
            return
        data = head.resolve(_MESSAGE.size - struct.calcsize("P"), _DATA_SIZE)
        union = bytes(data.retrieve())
        if size == _BYTE and reading:
            data.update(0, [chips.read_byte(address)])
        elif size == _BYTE:
            chips.write(address, command, b"")
        elif size == _WORD_DATA and reading:
            data.update(0, list(chips.read(address, command, 2)))
        elif size == _WORD_DATA:
            chips.write(address, command, union[:2])
        elif size == _I2C_BLOCK and reading:
            # The Pi's driver takes the wished length from the first byte.
            data.update(0, [union[0], *chips.read(address, command, union[0])])
        elif size == _I2C_BLOCK:
            chips.write(address, command, union[1 : 1 + union[0]])
        else:
            raise OSError(errno.EOPNOTSUPP, "not emulated")


class Bed:
    """The testbed and its main loop."""

    def __init__(self, bus: int, lines: list[str]) -> None:
        self._desk = RequestServer()
        self._driver = Driver(self._desk)
        self._node = f"/dev/i2c-{bus}"
        self._text = _NODE.format(bus=bus)
        for line in lines:
            self._desk.obey(line)

    def serve(self) -> None:
        """Serve until SIGTERM."""
        # Only the system's Python has gi, and gi has no types.
        import_module("gi").require_version("UMockdev", "1.0")
        glib, umockdev = import_module("gi.repository.GLib"), import_module("gi.repository.UMockdev")
        bed = umockdev.Testbed.new()
        handler = umockdev.IoctlBase()
        handler.connect("handle-ioctl", self._ioctl)
        bed.attach_ioctl(self._node, handler)
        bed.add_from_string(self._text)
        loop = glib.MainLoop()
        glib.unix_signal_add(glib.PRIORITY_HIGH, signal.SIGTERM, loop.quit)
        glib.unix_signal_add(glib.PRIORITY_HIGH, signal.SIGINT, loop.quit)
        # The testbed removes its folder when it is freed: what the main loop keeps may not know it.
        node = Path(bed.get_root_dir() + self._node)
        waiting = b""

        def told(descriptor: int, _condition: object) -> bool:
            nonlocal waiting
            heard = os.read(descriptor, 4096)
            *lines, waiting = (waiting + heard).split(b"\n")
            for line in lines:
                _say(self._obey(node, line.decode()))
            # Whoever closes stdin wants us to go on as we are.
            return bool(heard)

        glib.unix_fd_add_full(glib.PRIORITY_DEFAULT, 0, glib.IOCondition.IN | glib.IOCondition.HUP, told)
        _say(f"UMOCKDEV_DIR={bed.get_root_dir()} LD_PRELOAD={_PRELOAD}")
        loop.run()

    def _ioctl(self, _handler: object, client: Any) -> bool:  # noqa: ANN401 — umockdev's own
        try:
            self._driver.ioctl(client, client.get_request(), client.get_arg())
        except OSError as error:
            client.complete(-1, error.errno or errno.EIO)
            return True
        client.complete(0, 0)
        return True

    def _obey(self, node: Path, line: str) -> str:
        before = self._desk.bus_gone
        try:
            answer = self._desk.obey(line)
        except (ValueError, KeyError, IndexError, AttributeError, AssertionError) as error:
            return f"error: {type(error).__name__} {error}"
        if self._desk.bus_gone and not before:
            node.rename(f"{node}.gone")
        elif before and not self._desk.bus_gone:
            Path(f"{node}.gone").rename(node)
        return answer


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Serve the chips of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--bus", type=int, default=1)
    parser.add_argument(
        "--chip", action="append", default=[], help='such as "ina219 0x40 volts=13.2 amps=1.5"'
    )
    arguments = parser.parse_args()
    Bed(arguments.bus, arguments.chip).serve()


if __name__ == "__main__":
    main()
