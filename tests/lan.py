"""A broker that the local network may reach, as `boondock broker` sets it up, and what asks it from there."""

import socket
import ssl
import subprocess
import time
from pathlib import Path

from tests.open_files import open_files
from tests.ports import free_port
from tests.secured import SecuredBroker

ADDRESS, OTHER = "127.0.0.2", "127.0.0.3"
PATIENCE = 10.0
_LISTEN = "0A"


def listening(pid: int) -> set[tuple[str, int]]:
    """Address and port of every TCP socket on which a process listens, also of IPv6."""
    mine = open_files(pid)
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == _LISTEN and f"socket:[{words[9]}]" in mine:
                address, port = words[1].split(":")
                raw = bytes.fromhex(address)
                name = socket.inet_ntoa(raw[::-1]) if table == "tcp" else raw.hex()
                found.add((name, int(port, 16)))
    return found


class Lan:
    """A broker with a network: TLS on one port, websockets on another, both on ADDRESS."""

    def __init__(self, folder: Path, *, names: str = "['van.test']", more: str = "") -> None:
        self.port, self.websockets = free_port(), free_port()
        ports = f"port = {self.port}\nwebsockets = {self.websockets}\n"
        self.settings = f"[lan]\nlisten = ['{ADDRESS}', '{OTHER}']\nnames = {names}\n{ports}{more}"
        self.broker = SecuredBroker(folder, self.settings)
        self.ca = self.broker.out / "ca.crt"

    def start(self) -> None:
        """Start the broker and wait until it listens: websockets come last."""
        self.broker.start()
        deadline = time.monotonic() + PATIENCE
        while (OTHER, self.websockets) not in listening(self.broker.pid):
            assert time.monotonic() < deadline, listening(self.broker.pid)
            time.sleep(0.02)

    def handshake(self, name: str = ADDRESS, *, least: ssl.TLSVersion | None = None) -> ssl.SSLSocket:
        """A verified connection to the TLS port."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if least is not None:
            context.minimum_version = context.maximum_version = least
        return context.wrap_socket(
            socket.create_connection((ADDRESS, self.port), PATIENCE), server_hostname=name
        )

    def serial(self) -> int:
        """Of the certificate that the broker shows now."""
        with self.handshake() as sock:
            shown = sock.getpeercert()
        assert shown is not None
        return int(str(shown["serialNumber"]), 16)


def openssl(folder: Path, *arguments: str, given: str = "") -> str:
    """What the command prints; it must succeed."""
    done = subprocess.run(
        ["openssl", *arguments],
        cwd=folder,
        input=given,
        text=True,
        capture_output=True,
        check=True,
        timeout=20,
    )
    return done.stdout


def sign(broker: SecuredBroker, days: int, names: str) -> str:
    """A certificate for the broker's key by its authority, in PEM."""
    out, key = broker.out, broker.secrets / "boondock-ca.key"
    request = openssl(out, "x509", "-x509toreq", "-in", "server.pem", "-signkey", "server.pem")
    (out / "san.ext").write_text(f"subjectAltName={names}\n")
    signing = ["-CA", "ca.crt", "-CAkey", str(key), "-set_serial", "7", "-extfile", "san.ext"]
    return openssl(out, "x509", "-req", "-days", str(days), *signing, given=request)
