"""Whether the broker can be reached, and lets us in."""

import os
from collections.abc import Iterator

from cli.asking import Asker, AskError
from cli.house import CREDENTIALS, as_admin
from cli.machine.finding import Finding
from cli.machine.place import Place
from cli.machine.wires import reached
from config.model import Broker

_LOCAL = ("127.0.0.1", "localhost", "::1")


def broker(place: Place, settings: Broker) -> Iterator[Finding]:
    """The certificate authority's file, the connection, the login."""
    if settings.tls_ca is not None and not os.access(place.at(settings.tls_ca), os.R_OK):
        yield Finding(
            "broker.tls_ca", f"{settings.tls_ca} cannot be read", f"sudo chmod 644 {settings.tls_ca}"
        )
        return
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    found = reached("broker", f"mqtt://{host}:{settings.port}")
    if not found.ok:
        mend = found.mend
        if settings.host in _LOCAL:
            mend = "sudo systemctl start boondock-mosquitto" if place.has_units else "./scripts/run"
        yield Finding("broker", f"no broker: {found.text}", mend)
        return
    if settings.username is None or settings.password is not None:
        yield _login(as_admin(settings, place.at(str(CREDENTIALS))) if place.has_units else settings, place)
    else:
        text = (
            f"{settings.host}:{settings.port} answers; the password of {settings.username} is not known here"
        )
        yield Finding("broker", text, ok=True)


def _login(settings: Broker, place: Place) -> Finding:
    who = settings.username or "nobody"
    try:
        with Asker(settings, service=None):
            return Finding("broker", f"{settings.host}:{settings.port} lets {who} in", ok=True)
    except AskError as error:
        why = str(error).partition("; next: ")[0]
        mend = "write username below [broker] and the password into the secret file broker__password"
        return Finding("broker", why, "sudo boondock check --machine" if place.has_units else mend)
