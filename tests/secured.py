"""A real Mosquitto as `boondock broker` sets it up: users, ACL and, if asked, the local network."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import command
from tests.broker import Mosquitto
from tests.ports import free_port

ROOT = Path(__file__).resolve().parent.parent


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that others may enter: started by root, Mosquitto becomes a user of its own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


class SecuredBroker(Mosquitto):
    """Set up by `boondock broker` in an open folder; `settings` lack the port.

    Its memory is bounded as by its unit.
    """

    data = 64 * 1024 * 1024

    def __init__(self, folder: Path, settings: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.config = folder / "broker.toml"
        self.out = folder / "mosquitto"
        self.secrets = folder / "credstore"
        self._conf = self.out / "mosquitto.conf"
        self._process = None
        self._log = (folder / "mosquitto.log").open("ab")
        self.say(settings)
        self.setup()

    def say(self, settings: str) -> None:
        """Change the settings."""
        self.config.write_text(f"[broker]\nport = {self.port}\n{settings}", encoding="utf-8")

    def setup(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`boondock broker`, which must succeed."""
        done = boondock_broker(self.config, self.out, self.secrets, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def login(self, user: str) -> tuple[str, str]:
        """A user and the password."""
        name = f"boondock-{user.removeprefix('boondock_').replace('_', '-')}-password"
        return user, (self.secrets / name).read_text().strip()


def boondock_broker(
    config: Path, out: Path, secrets: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """The command, as people run it."""
    places = ["--config", str(config), "--out", str(out), "--secrets", str(secrets)]
    secret_files = str(config.parent / "no-secrets")
    return command.boondock(config.parent, "broker", *places, *arguments, BOONDOCK_SECRETS=secret_files)
