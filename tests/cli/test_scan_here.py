"""`boondock scan serial` and `scan lan`: twins on their cables, a peer that announces itself on loopback."""

import json
import os
import socket
import struct
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from zeroconf import ServiceInfo, Zeroconf

from cli import lan, scan
from cli.install import System
from cli.lan import Found, browse, lines
from cli.terminal import CommandError
from collector.read import PATIENCE_S, Speaker, listen
from tests import command
from tests.emulators.modbus_tcp import ModbusServer, Unit
from tests.emulators.vedirect import Cable, Mppt, SmartShunt, Talker

BY_ID = "dev/serial/by-id"


@pytest.fixture
def machine(tmp_path: Path) -> System:
    (tmp_path / BY_ID).mkdir(parents=True)
    return System(tmp_path)


def plug(machine: System, name: str, real: str = "/dev/null") -> str:
    (machine.root / BY_ID / name).symlink_to(real)
    return f"/{BY_ID}/{name}"


def usb(machine: System, tty: str, **words: str) -> None:
    """The folders of sysfs: a tty hangs below an interface of its adapter."""
    adapter = machine.root / "sys/devices/usb1/1-1"
    (adapter / "1-1:1.0" / tty).mkdir(parents=True)
    for name, text in words.items():
        (adapter / name).write_text(f"{text}\n")
    link = machine.root / "sys/class/tty" / tty
    link.mkdir(parents=True)
    (link / "device").symlink_to(adapter / "1-1:1.0" / tty)


def silent(_: str) -> Speaker:
    return Speaker(None, None, "says nothing by itself")


def never(port: str) -> Speaker:
    raise AssertionError(f"{port} was opened")


def shown(found: list[Found]) -> str:
    return "\n".join(lines(found, "Tried in vain."))


def test_a_cable_that_speaks_is_named_with_lines_to_paste(machine: System) -> None:
    cable, other = Cable(), Cable()
    port = plug(machine, "usb-FTDI_A-if00", cable.path)
    plug(machine, "usb-FTDI_B-if00", other.path)
    usb(
        machine,
        Path(cable.path).name,
        idVendor="0403",
        idProduct="6015",
        manufacturer="FTDI",
        product="FT231X\x1b[31m",
    )
    with Talker(cable.write, Mppt()), Talker(other.write, SmartShunt()):
        found = scan.scan_serial(machine, {})
    assert [one.guesses[0].kind for one in found] == ["vedirect", "vedirect"]
    assert [one.guesses[0].model for one in found] == [
        "SmartSolar Charger MPPT 75/15",
        "SmartShunt 500A/50mV",
    ]
    text = shown(found)
    assert "0403:6015 FTDI FT231X?[31m" in text
    table = tomllib.loads(text[text.index("# For boondock.toml") :].partition("\n# Next:")[0])
    assert table["device"]["vedirect"] == {"kind": "vedirect", "port": port}
    assert "vedirect_2" in table["device"]


@pytest.mark.parametrize(
    ("says", "note"),
    [
        (None, "says nothing by itself"),
        (b"\x01\x03\x02\x00\x07\xf9\x86" * 40, "speaks, but not VE.Direct at 19200 bit/s"),
        (b"\r\nV\t12800\r\nChecksum\tx", "speaks, but not VE.Direct at 19200 bit/s"),
    ],
)
def test_what_is_no_ve_direct_is_told_with_the_next_command(
    machine: System, says: bytes | None, note: str
) -> None:
    cable = Cable()
    port = plug(machine, "usb-Prolific", cable.path)
    with Talker(cable.write, says):
        (found,) = scan.scan_serial(machine, {}, lambda path: listen(path, patience=0.6))
    assert (found.note, found.guesses, found.advice) == (note, [], f"boondock scan modbus --port {port}")
    assert shown([found]).endswith(f"# Next:\nboondock scan modbus --port {port}")


def test_a_block_of_which_the_beginning_was_missed_is_waited_for() -> None:
    cable = Cable()
    with Talker(cable.write, SmartShunt(), period=0.3):
        assert listen(cable.path).kind == "vedirect"
    assert PATIENCE_S > 2, "a device sends a block each second, and the first may be cut"


@pytest.mark.parametrize("path", ["by its name", "/dev/ttyUSB0"])
def test_a_port_of_boondock_toml_is_never_opened(machine: System, path: str) -> None:
    (machine.root / "dev/ttyUSB0").touch()
    port = plug(machine, "usb-VictronEnergy_A", str(machine.root / "dev/ttyUSB0"))
    devices = {"mppt": {"port": port if path == "by its name" else path}, "grid": {"port": "tcp://10.0.0.2"}}
    (found,) = scan.scan_serial(machine, scan.configured_ports(devices), never)
    assert found.configured == ["mppt"]
    assert "is mppt" in shown([found])
    assert "[device." not in shown([found])


@pytest.mark.parametrize(
    ("line", "said", "ours"),
    [
        ("python\0-m\0collector\0serial\0", "in use by a collector (process 4711)", True),
        ("minicom\0", "in use by minicom (process 4711)", False),
    ],
)
@pytest.mark.parametrize("seen", ["open", "locked"])
def test_a_port_that_is_held_is_never_opened(
    machine: System, line: str, said: str, *, ours: bool, seen: str
) -> None:
    node = machine.root / "dev/ttyUSB0"
    node.touch()
    plug(machine, "usb-VictronEnergy_A", str(node))
    process = machine.root / "proc/4711"
    (process / "fd").mkdir(parents=True)
    (process / "comm").write_text("minicom\n")
    (process / "cmdline").write_text(line)
    if seen == "open":
        (process / "fd/5").symlink_to(node)
    else:
        found = node.stat()
        place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
        (machine.root / "proc/locks").write_text(
            f"1: POSIX  ADVISORY  READ 9 00:01:7 128 128\n2: FLOCK  ADVISORY  WRITE 4711 {place} 0 EOF\n"
        )
    (one,) = scan.scan_serial(machine, {}, never)
    assert said in (one.note or "")
    assert bool(one.configured) is ours


def test_a_lock_of_another_process_is_seen_on_this_machine(tmp_path: Path) -> None:
    cable = Cable()
    (tmp_path / BY_ID).mkdir(parents=True)
    code = "import serial, sys; p = serial.Serial(sys.argv[1], exclusive=True); print(1, flush=True); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", code, cable.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    other.stdout.readline()
    plug(machine := System(tmp_path), "usb-A", cable.path)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/locks").symlink_to("/proc/locks")
    (tmp_path / f"proc/{other.pid}").mkdir()
    (tmp_path / f"proc/{other.pid}/comm").symlink_to(f"/proc/{other.pid}/comm")
    try:
        (found,) = scan.scan_serial(machine, {}, never)
    finally:
        other.communicate("\n", timeout=20)
    assert f"(process {other.pid}): not opened" in (found.note or "")


def test_a_port_that_may_not_be_opened_says_why(machine: System) -> None:
    plug(machine, "usb-gone", "/dev/no-such-port")
    (found,) = scan.scan_serial(machine, {})
    assert "is not there" in (found.note or "")
    assert found.advice is None


def test_the_console_of_linux_is_left_alone(machine: System) -> None:
    (machine.root / "dev/ttyS0").touch()
    (machine.root / "dev/serial0").symlink_to("ttyS0")
    (machine.root / "boot/firmware").mkdir(parents=True)
    (machine.root / "boot/firmware/cmdline.txt").write_text("console=serial0,115200 console=tty1\n")
    (found,) = scan.scan_serial(machine, {}, never)
    assert "Linux uses it as its console" in (found.note or "")


def test_no_port_at_all(tmp_path: Path) -> None:
    assert shown(scan.scan_serial(System(tmp_path), {}, never)) == "Nothing answered.\nTried in vain."


class _Machine(System):
    """A machine that says which addresses it has."""

    def __init__(self, *links: tuple[str, str, int]) -> None:
        super().__init__()
        self.links = links

    def ask(self, *argv: str) -> str:
        assert argv[0] == "ip"
        return json.dumps(
            [
                {
                    "ifname": name,
                    "flags": ["LOOPBACK"] if name == "lo" else ["UP"],
                    "addr_info": [{"local": address, "prefixlen": length}],
                }
                for name, address, length in self.links
            ]
        )


LOCAL = _Machine(("wlan0", "127.0.0.1", 30))


@pytest.fixture
def peer() -> Iterator[Zeroconf]:
    """Another machine of the network, on loopback alone."""
    network = Zeroconf(interfaces=["127.0.0.1"])
    yield network
    network.close()


def announce(peer: Zeroconf, service: str, name: str, port: int, host: str = "peer") -> None:
    peer.register_service(
        ServiceInfo(
            f"{service}.local.",
            f"{name}.{service}.local.",
            addresses=[socket.inet_aton("127.0.0.1")],
            port=port,
            server=f"{host}.local.",
        )
    )


def test_what_announces_itself_is_told_with_the_next_step(peer: Zeroconf) -> None:
    services = (
        partial(announce, peer, "_mqtt._tcp", "Mosquitto", 1883),
        partial(announce, peer, "_home-assistant._tcp", "Home", 8123),
        partial(announce, peer, "_http._tcp", "shellyplus1-a8032ab12345", 80),
        partial(announce, peer, "_http._tcp", "Venus GX", 81),
        partial(announce, peer, "_http._tcp", "A printer", 82),
        partial(announce, peer, "_modbus._tcp", "inverter", 1502, host="inverter"),
    )
    with ThreadPoolExecutor(len(services)) as pool:
        # Each asks for a second whether somebody has its name: all at once.
        for done in [pool.submit(one) for one in services]:
            done.result()
    found = lan.scan(_Machine(), {"roof": {"port": "tcp://inverter.local:1502"}}, 2.5, ["127.0.0.1"])
    assert {(one.address, one.what, one.advice) for one in found if one.port is None} == {
        ("127.0.0.1:1883", "MQTT broker", "boondock configure broker"),
        ("127.0.0.1:8123", "Home Assistant", "docs/home-assistant.md"),
        ("127.0.0.1:80", "Shelly", "docs/bring-your-own.md"),
        ("127.0.0.1:81", "Victron GX", "docs/bring-your-own.md"),
    }
    (modbus,) = [one for one in found if one.port is not None]
    assert (modbus.port, modbus.configured) == ("tcp://127.0.0.1:1502", ["roof"])


def test_a_name_that_no_service_may_have_breaks_nothing(peer: Zeroconf) -> None:
    announce(peer, "_mqtt._tcp", "good", 1883)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))

        def tell(_: float) -> None:
            for name in (b"\x1b[31mred", b"\xff\xfe", b"a" * 63, b""):
                sender.sendto(pointer(name), ("224.0.0.251", 5353))

        found = browse(["_mqtt._tcp"], 2.5, tell, ["127.0.0.1"])
    assert "good" in [one.name for one in found]
    assert "\x1b" not in "".join(one.name for one in found)


def pointer(name: bytes) -> bytes:
    """A response with a PTR record of _mqtt._tcp.local to a service of this name (RFC 1035, 4.1)."""
    labels = b"".join(bytes([len(one)]) + one for one in (b"_mqtt", b"_tcp", b"local"))
    target = bytes([len(name)]) + name + labels + b"\0" if name else labels + b"\0"
    header = struct.pack(">6H", 0, 0x8400, 0, 1, 0, 0)
    return header + labels + b"\0" + struct.pack(">HHIH", 12, 1, 120, len(target)) + target


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is announced, whatever other tests announce on loopback."""
    monkeypatch.setattr(lan, "browse", lambda *_: [])
    monkeypatch.setattr(lan, "find_loggers", lambda _: {})


@pytest.mark.usefixtures("quiet")
def test_a_modbus_server_is_found_by_its_port() -> None:
    with ModbusServer({1: Unit(holding={0: 7})}) as server:
        found = lan.scan(LOCAL, {}, 0.1, ["127.0.0.1"], server.port, every_address=True)
        port = f"tcp://127.0.0.1:{server.port}"
        assert [one.port for one in found] == [port]
        assert f"# Next:\nboondock scan modbus --port {port}" in shown(found)
        known = lan.scan(LOCAL, {"grid": {"port": port}}, 0.1, ["127.0.0.1"], server.port, every_address=True)
    assert "is grid" in shown(known)
    assert "Next" not in shown(known)
    assert lan.scan(LOCAL, {}, 0.1, ["127.0.0.1"], server.port, every_address=True) == []


@pytest.mark.parametrize(
    ("link", "network"),
    [
        (("wlan0", "192.168.1.7", 24), "192.168.1.0/24"),
        (("eth0", "10.3.2.1", 8), "10.3.2.0/24"),
        (("eth0", "172.16.5.130", 25), "172.16.5.128/25"),
        (("lo", "127.0.0.1", 8), None),
        (("wlan0", "169.254.3.4", 16), None),
        (("wwan0", "100.70.1.2", 24), None),
        (("eth0", "8.8.8.8", 24), None),
        (("docker0", "172.17.0.1", 16), None),
    ],
)
def test_only_the_own_private_network_is_asked(link: tuple[str, str, int], network: str | None) -> None:
    found = lan.networks(_Machine(link, link))
    assert found == ([] if network is None else [IPv4Network(network)])
    assert all(one.num_addresses <= 256 for one in found)


@pytest.mark.usefixtures("quiet")
def test_a_whole_network_of_silence_takes_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(address: tuple[str, int], timeout: float) -> socket.socket:
        asked.append((address, timeout))
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", refuse)
    began = time.monotonic()
    assert lan.scan(_Machine(("wlan0", "192.168.1.7", 16)), {}, 0.1, ["127.0.0.1"], every_address=True) == []
    assert {address for address, _ in asked} == {(f"192.168.1.{n}", 502) for n in range(1, 255)}
    assert max(timeout for _, timeout in asked) * len(asked) / 64 < 10
    assert time.monotonic() - began < 10


@pytest.mark.usefixtures("quiet")
def test_addresses_are_tried_only_on_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "create_connection", _never)
    assert lan.scan(_Machine(("wlan0", "192.168.1.7", 24)), {}, 0.1, ["127.0.0.1"]) == []


def _never(*_: object, **_more: object) -> socket.socket:
    raise AssertionError("nobody asked for it")


def test_modbus_servers_of_the_network_are_asked_for_their_units(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    servers = [Found(port=f"tcp://10.0.0.{n}", what="Modbus TCP", advice=f"next {n}") for n in (1, 2, 3)]
    servers[1].configured = ["roof"]
    shelly = Found(address="10.0.0.9:80", what="Shelly")
    monkeypatch.setattr(lan, "scan", lambda *_, **__: [shelly, *servers])
    asked: list[object] = []

    def ask(_house: object, transport: str, params: Mapping[str, object]) -> scan._ScanReport:
        asked.append((transport, params["port"]))
        if params["port"] == "tcp://10.0.0.3":
            raise CommandError("a scan is running (busy)")
        return scan._ScanReport(
            [Found(port="tcp://10.0.0.1", unit=126), Found(port="tcp://10.0.0.1", unit=3)]
        )

    monkeypatch.setattr(scan, "ask_collector", ask)
    house: Any = SimpleNamespace(tables=lambda _: {})
    found = scan.scan_lan(house, 1.0, every_address=False)
    assert asked == [("tcp", "tcp://10.0.0.1"), ("tcp", "tcp://10.0.0.3")]
    assert [(one.port, one.unit) for one in found] == [
        *((None, None), ("tcp://10.0.0.1", 126), ("tcp://10.0.0.1", 3)),
        *(("tcp://10.0.0.2", None), ("tcp://10.0.0.3", None)),
    ]
    assert "tcp://10.0.0.3 was not asked: a scan is running (busy)" in capsys.readouterr().err


def test_the_command_lists_the_ports_of_this_machine(tmp_path: Path) -> None:
    done = command.boondock(tmp_path, "scan", "serial", "--json", TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert all(one["port"].startswith("/dev/") for one in json.loads(done.stdout)["found"])
