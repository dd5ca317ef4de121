"""nginx for the page: its configuration and the files that it serves, from boondock.toml."""

import os
import socket
import sys
from pathlib import Path
from string import Template
from typing import NoReturn

from bus import state_files
from bus.health import notify
from cli import page
from cli.broker import files
from cli.install import which
from cli.terminal import CommandError
from config import load
from config.mistakes import ConfigError
from config.model import Page, Settings

CA = Path("/etc/boondock/mosquitto/ca.crt")
_TEMPLATE = "nginx.conf"
_HERE = "127.0.0.1"
_TLS = """\
        ssl_certificate {pem};
        ssl_certificate_key {pem};
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;
        ssl_session_cache shared:page:256k;
        ssl_session_tickets off;"""
# Who types the name alone comes in here: the authority may be had, all else is behind TLS.
_DOOR = """
    server {{
{listen}
        root {folder}/www;
        location = /ca.crt {{ add_header X-Content-Type-Options nosniff; }}
        location / {{ return 301 https://$host$request_uri; }}
    }}
"""


def render(settings: Settings, folder: Path, pem: Path) -> str:
    """Write nginx's configuration; its files are in `folder`, key and certificates in `pem`.

    Raises CommandError for an interface without an address.
    """
    table = settings.page
    places = files.addresses(table.listen) or [_HERE]
    secure = " ssl" if table.encrypted else ""
    doors = places if table.encrypted and table.opened_port == files.HTTPS else []
    words = {
        "folder": folder,
        "listen": "\n".join(f"        listen {one}:{table.opened_port}{secure};" for one in places),
        "tls": _TLS.format(pem=pem) if secure else "",
        "websockets": table.websockets,
        "door": _DOOR.format(folder=folder, listen=_listen(doors, files.HTTP)) if doors else "",
    }
    return Template(files.template(_TEMPLATE)).substitute({key: str(word) for key, word in words.items()})


def _listen(places: list[str], port: int) -> str:
    return "\n".join(f"        listen {one}:{port};" for one in places)


def prepare(settings: Settings, folder: Path, pem: Path, ca: Path = CA) -> Path:
    """Write the configuration and the files; returns the configuration. Raises CommandError, OSError."""
    page.put_copy(folder / "www", settings.broker.base)
    if settings.page.encrypted and settings.lan.certificate is None:
        state_files.write(folder / "www" / "ca.crt", ca.read_bytes(), mode=0o644)
    if (address := announced(settings.page)) is not None:
        text = f"NAME={settings.page.name}\nADDRESS={address}\n"
        state_files.write(folder / "announced", text.encode(), mode=0o644)
    conf = folder / _TEMPLATE
    state_files.write(conf, render(settings, folder, pem).encode())
    return conf


def announced(table: Page) -> str | None:
    """Find the address that the name shall lead to; None if nothing is announced. Raises CommandError."""
    if not table.is_open or not table.name.endswith(".local"):
        return None
    found = [one for one in files.addresses(table.listen) if one != files.ANYWHERE]
    return found[0] if found else _way_out()


def _way_out() -> str | None:
    """Find the address by which this machine speaks to others; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:  # no network yet
            return None
        return str(probe.getsockname()[0])


def main() -> int:
    """Prepare everything and become nginx; returns 78 if only a person can mend what is wrong, else 1."""
    folder = Path(os.environ["RUNTIME_DIRECTORY"])
    pem = Path(os.environ["CREDENTIALS_DIRECTORY"]) / "server.pem"
    program, why = which("nginx"), page.why_missing()
    if program is None or why is not None:
        print(f"there is no page: {why or 'nginx is missing; next: sudo boondock install'}", file=sys.stderr)
        return load.EXIT_CONFIG
    try:
        conf = prepare(load.load(), folder, pem)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return load.EXIT_CONFIG
    except (CommandError, OSError) as error:
        # An interface has no address yet, for one: the next start finds it.
        print(error, file=sys.stderr)
        return 1
    return _become(program, folder, conf)


def _become(program: str, folder: Path, conf: Path) -> NoReturn:
    """Go on as nginx, in the same process."""
    notify("READY=1")
    os.execv(program, [program, "-e", "stderr", "-p", str(folder), "-c", str(conf)])  # noqa: S606 — no shell is wanted
