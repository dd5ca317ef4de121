"""Solarman data loggers are found by their answer to a question by UDP; whatever else answers is not."""

import socket
import threading
from collections.abc import Iterator
from ipaddress import IPv4Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli import lan
from cli.loggers import find_loggers
from tests.cli.test_scan_here import LOCAL, shown
from tests.ports import free_port
from tests.rounds import rounds

HERE = IPv4Network("127.0.0.1/32")


class Answering:
    """Something on a UDP port of this machine: `answers` go to whoever asks as loggers are asked."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.asked: list[bytes] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while (heard := self._socket.recvfrom(100))[0] != b"end":
            self.asked.append(heard[0])
            for answer in self.answers:
                self._socket.sendto(answer, heard[1])

    def close(self) -> None:
        """End it."""
        self._socket.sendto(b"end", ("127.0.0.1", self.port))
        self._thread.join(5)
        self._socket.close()


@pytest.fixture(scope="module")
def peer() -> Iterator[Answering]:
    answering = Answering()
    yield answering
    answering.close()


@pytest.mark.parametrize(
    ("answer", "serial"),
    [
        (b"192.168.1.42,E8FDF8112233,2712345678", 2_712_345_678),
        (b"10.10.100.254,98D863AABBCC,1782345394\0", 1_782_345_394),
        (b"192.168.1.42,E8FDF8112233,", None),
        (b"192.168.1.42,E8FDF8112233,9999999999", None),
        (b"192.168.1.42,E8FDF8112233,00000000", None),
        (b"+ok=LSW3_15_FFFF_1.0.91R", None),
        (b"", None),
    ],
)
def test_a_logger_tells_its_serial_number(peer: Answering, answer: bytes, serial: int | None) -> None:
    peer.answers, peer.asked = [answer], []
    found = find_loggers([HERE], 0.1, peer.port)
    assert peer.asked == [b"WIFIKIT-214028-READ"]
    assert found == ({} if serial is None else {"127.0.0.1": serial})


@settings(deadline=None, max_examples=rounds(40, 300))
@given(answers=st.lists(st.one_of(st.binary(max_size=300), st.from_regex(rb"[0-9.,A-F]{0,60}")), max_size=4))
def test_whatever_answers_nothing_breaks(peer: Answering, answers: list[bytes]) -> None:
    peer.answers = [*answers, b"192.168.1.42,E8FDF8112233,2712345678"]
    assert 0 < find_loggers([HERE], 0.02, peer.port).get("127.0.0.1", 1) <= 0xFFFFFFFF


def test_nobody_answers_and_a_network_that_cannot_be_asked() -> None:
    assert find_loggers([HERE], 0.05, free_port()) == {}
    # No packet goes to port 0.
    assert find_loggers([HERE], 0.05, 0) == {}


def test_a_logger_is_told_with_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lan, "browse", lambda *_: [])
    monkeypatch.setattr(lan, "find_loggers", lambda _: {"192.168.1.42": 2_712_345_678})
    (found,) = lan.scan(LOCAL, {}, 0.1, ["127.0.0.1"], 1)
    assert (found.port, found.what) == ("solarman://192.168.1.42", "Solarman data logger 2712345678")
    assert "# Next:\nboondock scan modbus --port solarman://192.168.1.42 --units 1" in shown([found])
    roof = {"port": "solarman://192.168.1.42:8899"}
    (known,) = lan.scan(LOCAL, {"roof": roof}, 0.1, ["127.0.0.1"], 1)
    assert known.configured == ["roof"]
