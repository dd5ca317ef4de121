"""A mail server that takes mail by SMTP (RFC 5321), with a login by AUTH PLAIN and LOGIN (RFC 4954)."""

import base64
import socketserver
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail as it came: envelope and text."""

    sender: str
    receivers: tuple[str, ...]
    text: str


@dataclass
class Smtp:
    """Answers on a free port of loopback; `refuses` maps a command, or `greeting`, to what it says."""

    login: tuple[str, str] = ("van", "secret")
    refuses: dict[str, str] = field(default_factory=dict)
    mails: list[Mail] = field(default_factory=list)
    port: int = 0

    def __enter__(self) -> Self:
        twin = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                _Session(twin, self).serve()

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def url(self, receiver: str, password: str | None = None) -> str:
        """The address as Apprise writes it."""
        login = f"{self.login[0]}:{password or self.login[1]}"
        at = f"127.0.0.1:{self.port}"
        return f"mailto://{login}@{at}?from=van@example.org&to={receiver}&mode=insecure"


class _Session:
    """One client: RFC 5321, section 4.1; a line is a command, its answer three digits and a text."""

    def __init__(self, twin: Smtp, wire: socketserver.StreamRequestHandler) -> None:
        self._twin, self._wire = twin, wire
        self._sender, self._receivers = "", list[str]()

    def _line(self) -> str:
        return self._wire.rfile.readline().decode().rstrip("\r\n")

    def _say(self, text: str) -> None:
        self._wire.wfile.write(f"{text}\r\n".encode())

    def serve(self) -> None:
        self._say(self._twin.refuses.get("greeting", "220 twin.example.org ESMTP"))
        while line := self._line():
            word, _, rest = line.partition(" ")
            command = word.upper()
            if command in self._twin.refuses:
                self._say(self._twin.refuses[command])
            elif command == "QUIT":
                self._say("221 bye")
                return
            else:
                self._obey(command, rest)

    def _obey(self, command: str, rest: str) -> None:
        if command == "EHLO":
            self._say("250-twin.example.org")
            self._say("250 AUTH PLAIN LOGIN")
        elif command == "AUTH":
            self._log_in(rest)
        elif command == "MAIL":
            self._sender = _address(rest)
            self._say("250 ok")
        elif command == "RCPT":
            self._receivers.append(_address(rest))
            self._say("250 ok")
        elif command == "DATA":
            self._take()
        else:
            self._say("250 ok" if command in ("RSET", "NOOP") else "502 not implemented")

    def _log_in(self, rest: str) -> None:
        kind, _, first = rest.partition(" ")
        if kind.upper() == "PLAIN":
            _, user, password = base64.b64decode(first or self._ask("")).decode().split("\0")
        else:
            user = base64.b64decode(first or self._ask("VXNlcm5hbWU6")).decode()
            password = base64.b64decode(self._ask("UGFzc3dvcmQ6")).decode()
        right = (user, password) == self._twin.login
        self._say("235 welcome" if right else "535 5.7.8 Authentication credentials invalid")

    def _ask(self, challenge: str) -> str:
        self._say(f"334 {challenge}")
        return self._line()

    def _take(self) -> None:
        self._say("354 end with a dot")
        lines = []
        while (line := self._line()) != ".":
            # Section 4.5.2: a dot at the beginning is doubled.
            lines.append(line.removeprefix(".") if line.startswith("..") else line)
        self._twin.mails.append(Mail(self._sender, tuple(self._receivers), "\n".join(lines)))
        self._say("250 taken")


def _address(rest: str) -> str:
    return rest[rest.index("<") + 1 : rest.index(">")]
