"""The whole house for a journey: a private D-Bus with a fake BlueZ, a real Mosquitto, the real processes."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.broker import Mosquitto
from tests.client import Client
from tests.emulators.bluez import FakeBluez
from tests.emulators.dbus import PrivateBus
from tests.secured import SecuredBroker, open_folder

ROOT = Path(__file__).parents[2]
PROCESSES = {
    "collector_ble": ("collector", "ble"),
    "collector_serial": ("collector", "serial"),
    "statistician": ("statistician",),
    "controller": ("controller",),
    "forwarder": ("forwarder",),
}
COMPANY = 0x02E1
PATIENCE = 30.0

Stored = dict[tuple[str, str], list[tuple[int, float | str | None]]]


class House:
    """Starts what a journey needs in a folder of its own; `settings` is its boondock.toml."""

    def __init__(
        self,
        folder: Path,
        settings: str,
        *,
        broker: Mosquitto | None = None,
        login: tuple[str, str] | None = None,
        variables: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.folder = folder
        self.database = folder / "statistics.db"
        # So that each collector can be started, whatever the devices.
        more = "" if "[collector]" in settings else '\n[collector]\nrun = ["ble"]\n'
        (folder / "boondock.toml").write_text(settings + more, encoding="utf-8")
        self.dbus = PrivateBus()
        self.broker = broker or Mosquitto(folder)
        self._login = login
        # The environment of single processes besides what all have.
        self._variables = variables or {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self.dbus.__enter__()
        self.bluez = FakeBluez(self.dbus.address)
        self.bluez.__enter__()
        self.broker.start()
        self.client = Client(self.broker.port, "camper/#", login=self._login)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self._running):
            self.end(name, signal.SIGTERM)
        self.client.close()
        self.bluez.__exit__(kind, error, trace)
        self.dbus.__exit__(kind, error, trace)
        self.broker.stop()

    def start(self, *names: str) -> None:
        """Start processes and wait until each says online, the collector also until it scans."""
        seen = len(self.client.messages)
        for name in names:
            self._running[name] = self._spawn(name)
        for name in names:
            topic = f"camper/service/{name}"
            self.client.wait(lambda m, t=topic: m.topic == t and m.payload == b"online", since=seen)  # type: ignore[misc]  # a bound default
        if "collector_ble" in names and not self.bluez.wait_scanning(PATIENCE):
            raise TimeoutError("the collector does not scan")

    def _spawn(self, name: str) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "BOONDOCK_CONFIG": str(self.folder / "boondock.toml"),
            "BOONDOCK_SECRETS": str(self.folder / "secrets"),
            "BOONDOCK_BROKER__PORT": str(self.broker.port),
            "BOONDOCK_STORAGE__RUNTIME": str(self.folder / "run"),
            "BOONDOCK_STORAGE__STATE": str(self.folder / "state"),
            "BOONDOCK_STATISTICIAN__DATABASE": str(self.database),
            "BOONDOCK_CLOCK__TRUSTED": "true",
            "DBUS_SYSTEM_BUS_ADDRESS": self.dbus.address,
        }
        environment |= self._variables.get(name, {})
        log = (self.folder / f"{name}.log").open("ab")
        module, *arguments = PROCESSES[name]
        command = [sys.executable, "-m", module, *arguments]
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)

    def pids(self) -> dict[str, int]:
        """The numbers of the running processes, the broker's first."""
        return {"mosquitto": self.broker.pid} | {name: p.pid for name, p in self._running.items()}

    def end(self, name: str, number: signal.Signals) -> int:
        """Send a signal and wait; returns the exit code."""
        process = self._running.pop(name)
        process.send_signal(number)
        return process.wait(PATIENCE)

    def kill(self, name: str) -> None:
        """SIGKILL, as the kernel does when memory is short."""
        self.end(name, signal.SIGKILL)

    def state(self, device: str, seq: int | None = None) -> dict[str, float | str | None]:
        """The newest reading of a device, or the one with a seq, once it is there."""
        topic = f"camper/state/{device}"
        message = self.client.wait(
            lambda m: m.topic == topic and (seq is None or json.loads(m.payload).get("seq") == seq),
            patience=PATIENCE,
        )
        found: dict[str, float | str | None] = json.loads(message.payload)
        return found

    def stored(self) -> Stored:
        """Everything in the states table, by device and entity, in order of time."""
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as database:
            rows = database.execute(
                "SELECT device, entity.entity, ts, value FROM states"
                " JOIN entity ON entity.id = states.entity ORDER BY ts"
            ).fetchall()
        database.close()
        found: Stored = {}
        for device, entity, ts, value in rows:
            found.setdefault((device, entity), []).append((ts, value))
        return found

    def waiting(self, entity: str) -> set[tuple[str, float]]:
        """Values of an entity in the collector's outbox, in memory and on disk, by device."""
        found: set[tuple[str, float]] = set()
        for folder in ("run", "state"):
            path = self.folder / folder / "collector_ble.outbox"
            if not path.exists():
                continue
            database = sqlite3.connect(path)
            for topic, payload in database.execute("SELECT topic, payload FROM outbox").fetchall():
                value = json.loads(payload).get(entity)
                if isinstance(value, int | float):
                    found.add((topic.rsplit("/", 1)[1], float(value)))
            database.close()
        return found

    def log(self, name: str) -> str:
        """What a process wrote so far."""
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")


@contextmanager
def secured_house(
    folder: Path, settings: str, *names: str, keepalive: int = 600, users: str = ""
) -> Iterator[House]:
    """A house whose processes `names` are each their own user, as the units start them.

    Its client is the admin. The broker takes no longer keep-alive than `keepalive` seconds; `users` are those
    of boondock.toml.
    """
    with open_folder() as open_to_all:
        # Whoever owns a device there has its rights.
        secured = SecuredBroker(open_to_all, f"{users}\n{settings}")
        conf = secured.out / "mosquitto.conf"
        told = conf.read_text(encoding="utf-8")
        assert "max_keepalive 600\n" in told
        conf.write_text(told.replace("max_keepalive 600\n", f"max_keepalive {keepalive}\n"), encoding="utf-8")
        variables = {}
        for name in names:
            user, password = secured.login(f"boondock_{name}")
            (folder / name).mkdir()
            (folder / name / "broker__password").write_text(password + "\n")
            variables[name] = {
                "BOONDOCK_BROKER__USERNAME": user,
                "BOONDOCK_SECRETS": str(folder / name),
            }
        login = secured.login("admin")
        with House(folder, settings, broker=secured, login=login, variables=variables) as house:
            yield house
