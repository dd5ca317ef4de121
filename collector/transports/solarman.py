"""Solarman V5: Modbus RTU frames to and from an inverter through the port 8899 of its data logger.

Source: jmccrohan/pysolarmanv5, docs/solarmanv5_protocol.rst; what loggers answer with in its issues 6, 14,
19, 48, 62 and 87; davidrapan/ha-solarman for a logger whose number is not known, and for heartbeats.
"""

import logging
import socket
import struct
import time
from collections.abc import Callable

from collector.devices.description import LineError, NoAnswerError
from collector.devices.frames import crc16
from collector.transports.modbus_tcp import ModbusTcp

log = logging.getLogger(__name__)

# A logger asks the inverter by a slow serial line, and serves its cloud meanwhile.
_TIMEOUT_S = 10.0
# Start, length of the payload, control code, sequence (ours, the logger's), the logger's serial number.
_HEADER = struct.Struct("<BHHBBI")
_START, _END = b"\xa5", 0x15
_REQUEST, _RESPONSE = 0x4510, 0x1510
# What a logger says by itself: handshake, data, versions, heartbeat, report. Codes of answers are lower.
_BY_ITSELF, _LOWER = (0x4110, 0x4210, 0x4310, 0x4710, 0x4810), 0x3000
# Frame type (2: the inverter), sensor type, three times: all before the Modbus RTU frame.
_BEFORE_REQUEST = b"\x02" + bytes(14)
_BEFORE_RESPONSE = 14
# A frame holds 256 bytes of RTU at most; reports of the logger are longer.
_LONGEST = 1024
_NO_INVERTER, _WRONG_LOGGER = 5, 6


def framed(control: int, sequence: tuple[int, int], logger: int, payload: bytes) -> bytes:
    """Return a whole V5 frame."""
    head = _HEADER.pack(_START[0], len(payload), control, *sequence, logger)
    return head + payload + bytes((_checksum(head + payload), _END))


def _checksum(frame: bytes) -> int:
    """Add up all bytes but the first."""
    return sum(frame[1:]) & 0xFF


def _reply(control: int, sequence: tuple[int, int], logger: int) -> bytes:
    """Answer what a logger said by itself: it ends the connection otherwise."""
    now = struct.pack("<BBII", 0, 1, int(time.time()), 0)
    return framed(control - _LOWER, ((sequence[0] + 1) & 0xFF, sequence[1]), logger, now)


class SolarmanV5(ModbusTcp):
    """A ModbusLine through a data logger; its questions, tries and pauses are those of Modbus TCP.

    A logger whose number is not given tells it in its first answer.
    """

    def __init__(
        self,
        host: str,
        port: int,
        logger: int | None = None,
        *,
        timeout: float = _TIMEOUT_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(host, port, timeout=timeout, sleep=sleep)
        self._given = logger
        # 0 is nobody's.
        self._logger = logger or 0
        self._sequence = 0
        self._rtu = b""

    def _framed(self, unit: int, request: bytes) -> bytes:
        self._sequence = (self._sequence + 1) % 0x100
        rtu = bytes((unit,)) + request
        self._rtu = rtu + crc16(rtu)
        return self._asked()

    def _asked(self) -> bytes:
        return framed(_REQUEST, (self._sequence, 0), self._logger, _BEFORE_REQUEST + self._rtu)

    def _answer(self, opened: socket.socket, unit: int, deadline: float, function: int) -> bytes:
        """Return function code and data of the answer to the last question, not to earlier ones."""
        again = False
        while True:
            control, sequence, logger, payload = self._frame(opened, deadline)
            if control in _BY_ITSELF:
                opened.sendall(_reply(control, sequence, logger))
            # Else it is to an earlier question of ours, or to another program's.
            elif control == _RESPONSE and sequence[0] == self._sequence:
                if logger == self._logger:
                    return self._modbus(unit, function, payload[_BEFORE_RESPONSE:])
                if again:
                    raise self._garbage("the logger has another number each time")
                again = True
                self._take_number(logger)
                opened.sendall(self._asked())
            self._halfway = False

    def _frame(self, opened: socket.socket, deadline: float) -> tuple[int, tuple[int, int], int, bytes]:
        """Read the next whole frame: control code, sequence, logger, payload. Raises BadRecordError."""
        skipped = 0
        # Some begin with a line of text, such as AT+YZCMPVER=MW3_16U_5406_2.32-D1.
        while (start := self._receive(opened, 1, deadline)) != _START:
            skipped += 1
            if skipped > _LONGEST:
                raise self._garbage("what it sends is not Solarman V5: is it a data logger's port?")
        head = start + self._receive(opened, _HEADER.size - 1, deadline)
        _, length, control, ours, its, logger = _HEADER.unpack(head)
        if length > _LONGEST:
            raise self._garbage("what it sends is not Solarman V5: is it a data logger's port?")
        rest = self._receive(opened, length + 2, deadline)
        if rest[-1] != _END or rest[-2] != _checksum(head + rest[:-2]):
            raise self._garbage("a frame of the logger is damaged")
        return control, (ours, its), logger, rest[:-2]

    def _take_number(self, logger: int) -> None:
        """Take the number of a logger that answered. Raises LineError if another one was given."""
        if self._given is not None:
            self.close()
            raise LineError(
                f"the data logger at {self._where} has the serial number {logger}, not {self._given}:"
                f" write logger = {logger}, or leave it out"
            )
        log.info("the data logger at %s has the serial number %d", self._where, logger)
        self._logger = logger

    def _modbus(self, unit: int, function: int, rtu: bytes) -> bytes:
        """Return function code and data of an RTU frame, or of a code that the logger sends in its place."""
        if len(rtu) in (1, 2):
            return self._coded(unit, function, rtu[0])
        if rtu[-2:] == b"\0\0" and rtu[-4:-2] == crc16(rtu[:-4]):
            # Some check their answers twice.
            rtu = rtu[:-2]
        if len(rtu) < 5 or rtu[-2:] != crc16(rtu[:-2]):
            raise self._garbage("what the inverter answers reaches the logger damaged")
        if rtu[0] != unit:
            raise self._garbage(f"unit {rtu[0]} answered for unit {unit}")
        return rtu[1:-2]

    def _coded(self, unit: int, function: int, code: int) -> bytes:
        if code == _NO_INVERTER:
            raise NoAnswerError(
                f"unit {unit} behind the data logger at {self._where} does not answer (code 5): is the unit "
                "right, is the inverter on, does it have this?"
            )
        if code == _WRONG_LOGGER:
            raise NoAnswerError(
                f"the data logger at {self._where} refuses questions (code 6): is its serial number"
                f" {self._logger}, as on its label? Else write logger = the right one"
            )
        return bytes((function | 0x80, code))

    def _silence(self, unit: int) -> str:
        if self._halfway:
            return (
                f"the data logger at {self._where} sends, but no whole answer in {self._timeout:g} s: "
                f"does it speak Modbus TCP there? Then write port = tcp://{self._where}"
            )
        if not self._logger:
            return (
                f"the data logger at {self._where} does not answer for unit {unit}: write its serial number, "
                "which is on its label, as logger = …"
            )
        return (
            f"the data logger at {self._where} does not answer for unit {unit}: is its serial number "
            f"{self._logger}, does another program ask it, too?"
        )
