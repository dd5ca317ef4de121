"""device_scan of what is no Modbus: noise, answers to nobody, cut frames; it ends."""

import socket
import struct
import threading
import time as real
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import pytest

from collector.lines import line_of
from collector.scan.modbus import ModbusScan, guesses_of
from tests.clock import FakeTime
from tests.collector.clients import Json, LineHouse
from tests.emulators.modbus_rtu import Slave, Tables

HOST = "127.0.0.1"
Answer = Callable[[Random, bytes], bytes]


def noise(dice: Random, _question: bytes) -> bytes:
    """Any bytes."""
    return dice.randbytes(dice.randrange(1, 60))


def cut(dice: Random, question: bytes) -> bytes:
    """A good answer, of which the end is missing."""
    whole = good(dice, question)
    return whole[: dice.randrange(1, len(whole))]


def turned(dice: Random, question: bytes) -> bytes:
    """A good answer with one bit turned."""
    whole = bytearray(good(dice, question))
    whole[dice.randrange(len(whole))] ^= 1 << dice.randrange(8)
    return bytes(whole)


def good(_dice: Random, question: bytes) -> bytes:
    """Registers of zeros, as they were asked for."""
    count = max(1, min(125, struct.unpack(">H", question[10:12])[0]))
    body = bytes([question[7], 2 * count]) + bytes(2 * count)
    return question[:4] + struct.pack(">HB", len(body) + 1, question[6]) + body


def to_nobody(dice: Random, question: bytes) -> bytes:
    """Good answers to questions that nobody has put, many of them."""
    return b"".join(dice.randbytes(2) + good(dice, question)[2:] for _ in range(20))


def of_another(dice: Random, question: bytes) -> bytes:
    """The answer of a unit that was not asked."""
    return question[:6] + bytes([dice.randrange(256)]) + good(dice, question)[7:]


def longest(_dice: Random, question: bytes) -> bytes:
    """A header that promises more than may be, and nothing of it."""
    return question[:4] + b"\xff\xff" + question[6:8]


def empty(_dice: Random, question: bytes) -> bytes:
    """A header that promises nothing."""
    return question[:4] + b"\x00\x01" + question[6:7]


@contextmanager
def peer(answer: Answer) -> Iterator[str]:
    """A server that says this to each question; yields its port as the settings have it."""
    listener = socket.create_server((HOST, 0))
    dice = Random(7)  # noqa: S311 — the same noise each time
    opened, threads = list[socket.socket](), list[threading.Thread]()

    def serve(connection: socket.socket) -> None:
        with suppress(OSError):
            while len(question := connection.recv(260)) >= 12:
                connection.sendall(answer(dice, question))

    def accept() -> None:
        with suppress(OSError):
            while True:
                opened.append(listener.accept()[0])
                threads.append(threading.Thread(target=serve, args=(opened[-1],), daemon=True))
                threads[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    yield f"tcp://{HOST}:{listener.getsockname()[1]}"
    for one in (listener, *opened):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
    for thread in (accepting, *threads):
        thread.join(5)


def scanned(folder: Path, time: FakeTime, transport: str, **params: Json) -> Json:
    house = LineHouse(
        folder,
        time,
        {},
        transport,
        lines=line_of,
        scan=lambda source, readings: ModbusScan(source, readings, guesses_of, tcp=transport == "tcp"),
    )
    answer = house.scan(**params)[1]
    assert "faults" not in house.rig.journal.counters, "no fault of ours"
    return answer


@pytest.mark.parametrize("answer", [noise, cut, turned, to_nobody, of_another, longest, empty])
def test_a_peer_that_speaks_nonsense_ends_in_an_answer_without_a_proposal(
    tmp_path: Path, time: FakeTime, answer: Answer
) -> None:
    began = real.monotonic()
    with peer(answer) as port:
        told = scanned(tmp_path, time, "tcp", port=port, units="1-2")
    assert told["status"] == "ok"
    assert [one["proposals"] for one in told["data"]["found"]] in ([], [[]], [[], []])
    assert real.monotonic() - began < 60


@pytest.mark.parametrize(
    "fault", ["garbage", "noise", "truncate", "wrong_unit", "wrong_function", "crc", "short"]
)
def test_a_line_that_speaks_nonsense_ends_in_an_answer_without_a_proposal(
    tmp_path: Path, time: FakeTime, fault: str
) -> None:
    with Slave({1: Tables(holding={0: 1})}) as bus:
        bus.always = fault
        told = scanned(tmp_path, time, "serial", port=bus.port, units="1-2", baudrates=[9600])
    assert told["status"] in ("ok", "error")
    assert told["status"] == "ok" or "does not fall silent" in told["error"]["message"]
    assert all(one["proposals"] == [] for one in told["data"].get("found", []))
