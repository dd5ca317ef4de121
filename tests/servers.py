"""Servers of one behaviour on real sockets of loopback, with and without TLS."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

Speak = Callable[[socket.socket], None]
_CA = """\
[ca]
default_ca = own
[own]
database = {folder}/index
new_certs_dir = {folder}
rand_serial = yes
default_md = sha256
policy = any
x509_extensions = names
[any]
commonName = supplied
[names]
subjectAltName = {names}
basicConstraints = critical, CA:TRUE
keyUsage = critical, digitalSignature, keyCertSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
"""


@contextmanager
def server(speak: Speak, *, family: socket.AddressFamily = socket.AF_INET) -> Iterator[int]:
    """A server that speaks with one client after the other; its port."""
    host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    with socket.create_server((host, 0), family=family) as listening:

        def serve() -> None:
            while True:
                try:
                    wire, _ = listening.accept()
                except OSError:
                    return
                with wire, suppress(OSError):
                    speak(wire)

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def says(packets: bytes) -> Speak:
    """Take what comes first, answer with these bytes, and hang up."""

    def speak(wire: socket.socket) -> None:
        wire.recv(65536)
        wire.sendall(packets)
        wire.shutdown(socket.SHUT_WR)
        # What is closed with something unread is reset, and the other side may lose what we said.
        wire.settimeout(5)
        while wire.recv(65536):
            pass

    return speak


def certificate(folder: Path, name: str, *, names: str = "", expired: bool = False) -> Path:
    """A certificate that vouches for itself, and its key, in one file; `names` as openssl writes them."""
    made, key, request = folder / f"{name}.pem", folder / "key", folder / "request"
    config = folder / "openssl.cnf"
    config.write_text(_CA.format(folder=folder, names=names or f"DNS:{name}"))
    (folder / "index").write_text("")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    _openssl("req", *curve, "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
    end = "20210101000000Z" if expired else "20990101000000Z"
    dates = ["-startdate", "20200101000000Z", "-enddate", end]
    own = ["-selfsign", "-keyfile", str(key), "-config", str(config), "-batch", "-notext"]
    _openssl("ca", *own, *dates, "-in", request, "-out", folder / "crt")
    made.write_text((folder / "crt").read_text() + key.read_text())
    return made


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def context(pem: Path) -> ssl.SSLContext:
    """TLS of a server with that certificate."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(pem)
    return made


def says_nothing(wire: socket.socket) -> None:
    """Take all that comes, and answer nothing."""
    while wire.recv(65536):
        pass


_HANGS_UP = says(b"")


@contextmanager
def tls_server(pem: Path, speak: Speak = _HANGS_UP) -> Iterator[int]:
    """A server with TLS, which hangs up after the first words unless it is told more."""
    tls = context(pem)

    def wrapped(wire: socket.socket) -> None:
        with tls.wrap_socket(wire, server_side=True) as inner:
            speak(inner)

    with server(wrapped) as port:
        yield port
