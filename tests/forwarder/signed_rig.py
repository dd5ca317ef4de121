"""What signed tokens are tested with: a backend, and a reader that knows RFC 7515 to 7519, not our code."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from config.model import Output
from forwarder.outputs import Place
from forwarder.outputs.signed import SignedSink
from forwarder.records import Reading, Record, StatisticsRow
from tests.clock import NOON_MS, FakeTime

HOUR_MS = 3_600_000


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def public_pem(state: Path) -> bytes:
    private = load_pem_private_key((state / "signing-key.pem").read_bytes(), None)
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def thumbprint(pem: bytes) -> str:
    """RFC 7638, section 3: the required members in lexicographic order, without white space."""
    jwk = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).prepare_key(pem)
    members = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(jwk))
    required = {name: members[name] for name in ("crv", "kty", "x", "y")}
    return b64(hashlib.sha256(json.dumps(required, separators=(",", ":")).encode()).digest())


def read(token: str, pem: bytes) -> dict[str, Any]:
    """The claims of a token, checked by PyJWT."""
    header = jwt.get_unverified_header(token)
    name = thumbprint(pem)
    assert header == {"alg": "ES256", "typ": "JWT", "kid": name, "device": name}
    # Times of the tests are not those of the machine.
    options: Any = {"verify_iat": False}
    claims: dict[str, Any] = jwt.decode(token, pem, algorithms=["ES256"], issuer=name, options=options)
    return claims


def read_chain(lines: Sequence[str], pem: bytes) -> list[dict[str, Any]]:
    """The claims of all tokens of a chain, from its first on."""
    found: list[dict[str, Any]] = []
    before = None
    for number, line in enumerate(lines, 1):
        claims = read(line, pem)
        assert claims["seq"] == number
        assert claims.get("prev") == (
            None if before is None else b64(hashlib.sha256(before.encode()).digest())
        )
        assert claims["chain"] == (found[0]["chain"] if found else claims["chain"])
        found.append(claims)
        before = line
    return found


class Backend:
    """Takes tokens; `plan` says how it answers next: a status, or "cut": it takes one and says nothing."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/tokens"
        self.plan: list[int | str] = []
        self.got: list[str] = []
        self.heads: list[dict[str, str]] = []
        self.taken: list[str] = []

    def answer(self, body: str, head: dict[str, str]) -> int:
        """Note a request; returns the status, 0 for none."""
        step = self.plan.pop(0) if self.plan else 204
        self.got.append(body)
        self.heads.append(head)
        if step in (204, "cut") and body not in self.taken:
            self.taken.append(body)
        return step if isinstance(step, int) else 0


@contextmanager
def backend() -> Iterator[Backend]:
    """A backend that runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status = running.answer(body, dict(self.headers))
            if status:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running = Backend(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def sink(
    folder: Path, time: FakeTime | None = None, *, url: str | None = None, path: Path | None = None
) -> SignedSink:
    """An output named `history` as it is after a start, to a backend or to the file `log` of the folder."""
    where = None if url else str(path or folder / "log")
    state = folder / "state"
    state.mkdir(exist_ok=True)
    settings = Output(kind="signed", url=url, path=where)
    return SignedSink(Place("history", settings, state, (time or FakeTime()).clock))


def lines(folder: Path) -> list[str]:
    """What is in the file of the output."""
    return (folder / "log").read_text().splitlines()


def soc(number: int, value: float | str | None = None) -> Reading:
    """The charge of a battery, a second apart."""
    return Reading("smartshunt.soc", NOON_MS + 1000 * number, float(number) if value is None else value, "%")


def hour(number: int, entity: str = "smartshunt.soc", rev: int = 0) -> StatisticsRow:
    """A row of statistics, an hour apart."""
    values = {"mean": 50.0 + number, "min": 1.0, "max": 99.5, "coverage": 1.0}
    return StatisticsRow(entity, "hour", NOON_MS + HOUR_MS * number, values, rev, "%")


def signed(folder: Path, *batches: Sequence[Record]) -> list[bytes]:
    """Sign batches into the file; returns its lines."""
    to = sink(folder)
    for batch in batches:
        to.send(batch)
    return (folder / "log").read_bytes().splitlines()
