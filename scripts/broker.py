"""The broker of one run: one that is there already, or a Mosquitto of its own."""

import os
import pwd
import shlex
import shutil
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from config.addresses import is_here
from config.model import Broker

HOST = "127.0.0.1"
PORT = 1883
# Bytes of memory; mosquitto.conf says what for.
DATA = 64 * 1024 * 1024
TEMPLATE = Path(__file__).parents[1] / "mosquitto" / "mosquitto.conf"
_LISTENER = f"listener {PORT} {HOST}"
_PORTS_TRIED = 100


class BrokerError(Exception):
    """The broker cannot be started; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Where the broker of a run is and how to log in; `own`: this run starts it, for nobody else."""

    broker: Broker
    own: bool

    @property
    def place(self) -> str:
        """Host and port."""
        return f"{self.broker.host}:{self.broker.port}"

    @property
    def how(self) -> str:
        """Say whose it is and how it is spoken to."""
        if self.own:
            return "started by this run, for this machine alone, without passwords"
        whose = "was running already" if is_here(self.broker.host) else "elsewhere, as [broker] says"
        user = f"user {self.broker.username}" if self.broker.username else "no user name"
        return f"{whose}; {'no TLS' if self.broker.tls_ca is None else 'TLS'}, {user}"

    @property
    def options(self) -> str:
        """Return the options of mosquitto_sub and its kin, with a space before, without the password."""
        broker, words = self.broker, []
        if not is_here(broker.host) or broker.tls_ca is not None:
            words += ["-h", broker.host]
        if broker.port != PORT:
            words += ["-p", str(broker.port)]
        if broker.tls_ca is not None:
            words += ["--cafile", broker.tls_ca]
        if broker.username is not None and not self.own:
            words += ["-u", broker.username]
        said = shlex.join(words) + (' -P "$PASSWORD"' if "-u" in words else "")
        return f" {said}" if said else ""


def choose(wanted: Broker, port: int | None) -> Chosen:
    """Return the broker that [broker] names, with another `port` if given. Raises BrokerError.

    On the loopback it is one of this run's own if nothing listens there.
    """
    broker = wanted if port is None else replace(wanted, port=port)
    if not is_here(broker.host) or accepts(broker.port, broker.host):
        return Chosen(broker, own=False)
    if broker.tls_ca is not None:
        raise BrokerError(
            f"nothing listens at {broker.host}:{broker.port}, and a broker that this run starts has no TLS: "
            "start the broker of [broker] first, or take tls_ca out"
        )
    if not is_free(broker.port):
        raise BrokerError(
            f"port {broker.port} is not allowed to this user: take one above 1023 for [broker] port"
        )
    return Chosen(replace(broker, host=HOST), own=True)


def is_free(port: int) -> bool:
    """Tell whether nobody listens on this port of the loopback."""
    with socket.socket() as probe:
        # Connections of a run that just ended linger in TIME_WAIT; they do not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:  # in use, or below 1024 for an ordinary user: either way it is not ours
            return False
    return True


def choose_port(wanted: int | None) -> int:
    """Return the wanted port, or the first free one from 1883 on; raise BrokerError if there is none."""
    if wanted is not None:
        if is_free(wanted):
            return wanted
        raise BrokerError(
            f"port {wanted} is taken or not allowed; choose another with --port, or leave it out"
        )
    for port in range(PORT, PORT + _PORTS_TRIED):
        if is_free(port):
            return port
    raise BrokerError(
        f"the ports {PORT} to {PORT + _PORTS_TRIED - 1} are all taken; name a free one with --port"
    )


def render(port: int, more: str = "") -> str:
    """Return the broker's configuration with its listener on `port`, and `more`: one with its own users."""
    text = TEMPLATE.read_text()
    if text.count(_LISTENER) != 1:
        raise BrokerError(f"{TEMPLATE} must have the line '{_LISTENER}' once")
    text = text.replace(_LISTENER, f"listener {port} {HOST}")
    return f"per_listener_settings true\n{text}\n{more}" if more else text


def command() -> list[str]:
    """Return what starts the broker, its configuration on stdin; raise BrokerError if it is missing."""
    # Debian keeps it where an ordinary user's PATH may not look.
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))
    program = shutil.which("mosquitto", path=path)
    if program is None:
        raise BrokerError("mosquitto is not installed; ./scripts/setup installs it")
    prlimit = shutil.which("prlimit")
    limited = [prlimit, f"--data={DATA}", "--"] if prlimit else []
    # An account that may not enter the run's directory can still read what it was given open.
    return [*limited, program, "-c", "/dev/stdin"]


def account() -> tuple[str, ...]:
    """Return the setpriv options that make the broker an ordinary user when we are root."""
    # Mosquitto would change its user by itself, and with that lose the signal of our death.
    if os.geteuid() != 0 or all(entry.pw_name != "mosquitto" for entry in pwd.getpwall()):
        return ()
    entry = pwd.getpwnam("mosquitto")
    return (f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups")


def accepts(port: int, host: str = HOST) -> bool:
    """Tell whether something accepts connections on this port."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:  # not yet
        return False
    return True


def wait_until(true: Callable[[], bool], give_up: Callable[[], bool], seconds: float) -> bool:
    """Wait until `true()`; return False after `seconds` or once `give_up()`."""
    end = time.monotonic() + seconds
    while not true():
        if give_up() or time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
