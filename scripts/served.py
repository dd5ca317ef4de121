"""The page of a run in a terminal: its copy, its port, and the key without which nobody connects from it."""

import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from string import Template

from bus import state_files
from cli import page
from cli.broker import files, new_password, password_file
from cli.terminal import CommandError
from config.model import Broker
from scripts import broker
from scripts.children import ROOT
from scripts.places import Places

FIRST = 8080
_TRIED = 100
USER = "page"
_KEY = page.BUILT / "key"
_TEMPLATE = ROOT / "mosquitto" / "page.conf"
# Any web site that a browser shows may open a WebSocket to this machine, and Mosquitto does not ask which one
# did: so this listener alone wants a password, which stands in the address that is printed.
_LOGIN = "allow_anonymous false\npassword_file {users}"


@dataclass(frozen=True, slots=True)
class Page:
    """`address` with its login, or `why` there is none; `listener` is for mosquitto.conf.

    `server` is what serves the files where the broker cannot, and `held` keeps the ports for this run.
    """

    why: str | None = None
    address: str | None = None
    listener: str = ""
    server: tuple[str, ...] = ()
    held: tuple[socket.socket, ...] = ()


def prepare(places: Places, where: Broker, mosquitto: str, key_file: Path = _KEY) -> Page:
    """Choose the port, write the copy and who may connect."""
    if (why := page.why_missing()) is not None:
        return Page(why)
    # From 2.1 on a listener is for WebSockets or for files.
    both = mosquitto == files.VERSIONS[0]
    held = [found for _ in range(1 if both else 2) if (found := _hold(where.port)) is not None]
    if len(held) != (1 if both else 2):
        return Page(f"the ports {FIRST} to {FIRST + _TRIED - 1} are all taken")
    port, *others = (number for number, _ in held)
    folder, users = places.served / "www", places.served / "users"
    try:
        page.put_copy(folder, where.base, websocket=others[0] if others else None)
    except CommandError as error:
        return Page(str(error))
    password = _key(key_file)
    files.put_broker_file(users, password_file({USER: password}, "").encode(), private=True)
    more = [f"http_dir {folder}"] if both else []
    words = {"port": others[0] if others else port, "more": "\n".join((*more, _LOGIN.format(users=users)))}
    serve = (
        sys.executable,
        "-m",
        "http.server",
        "--bind",
        broker.HOST,
        "--directory",
        str(folder),
        str(port),
    )
    return Page(
        address=page.with_login(f"http://{broker.HOST}:{port}/", USER, password),
        listener=Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(words),
        server=() if both else serve,
        held=tuple(lock for _, lock in held),
    )


def _hold(taken: int) -> tuple[int, socket.socket] | None:
    """Take the first free port from FIRST on that no other run is about to use; None if there is none."""
    for port in range(FIRST, FIRST + _TRIED):
        lock = socket.socket(socket.AF_UNIX)
        with suppress(OSError):  # another run has it
            lock.bind(f"\0boondock-page-{port}")
            if port != taken and broker.is_free(port):
                return port, lock
        lock.close()
    return None


def _key(file: Path) -> str:
    """Read the key of this folder's page, or make it: a page that is open finds the next run by itself."""
    with suppress(OSError):
        return file.read_text(encoding="ascii").strip() or new_password()
    made = new_password()
    with suppress(OSError):  # who may not write here gets a new one each time
        state_files.write(file, f"{made}\n".encode())
    return made
