"""`boondock dump`: what a bug report needs, in one file, without any secret."""

import io
import os
import platform
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Annotated

from typer import Option

from bus.health import VERSION
from bus.topics import Topics, Verb
from cli import terminal
from cli.asking import Asker
from cli.house import CREDENTIALS, INSTALLED, House, Json, talks
from cli.terminal import CommandError
from config.model import Broker

_LINES = 2000
_LOG_BYTES = 300_000
_OUT = "(taken out)"
# A setting whose name says so, quoted or not, also in an inline table or a commented line.
_NAMED = r"(?:[A-Za-z0-9_-]*(?:key|password|passwd|secret|token|route_b_id|pin_code)[A-Za-z0-9_-]*)"
_SETTING = re.compile(
    rf"""(["']?\b{_NAMED}["']?\s*[=:]\s*)("{{3}}.*?"{{3}}|'{{3}}.*?'{{3}}|"(?:[^"\\]|\\.)*"|'[^']*'|[^\s,}}\]#]+)""",
    re.IGNORECASE | re.DOTALL,
)
# What looks like a key wherever it stands: an encryption key or a fingerprint has as many digits.
_HEX = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{32,}(?![0-9A-Fa-f])")
# The passwords that `boondock broker` makes, and whoever writes one into a URL.
_MADE = re.compile(r"(?:\b[a-z2-9]{6}-){4}[a-z2-9]{6}\b")
_URL = re.compile(r"(://[^/\s:@]*:)[^@\s/]+@")
# Of the address of an output its machine stays; that of who is told of alarms is all secret.
_ADDRESS = re.compile(r"""(\burl["']?\s*=\s*["']?)([a-z0-9]+)://([^\s"']+)""", re.IGNORECASE)
_PLACES = ("http", "https", "mqtt", "mqtts")
_PRIVATE = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)


class Cleaner:
    """Takes secrets out of a text: what is known to be one, and what looks like one."""

    def __init__(self, known: set[str]) -> None:
        # The longest first, or a part of one would be left.
        self._known = sorted({one for one in known if len(one) >= 4}, key=len, reverse=True)

    def clean(self, text: str) -> str:
        """Take the secrets out of a text."""
        for secret in self._known:
            text = text.replace(secret, _OUT)
        text = _PRIVATE.sub(_OUT, text)
        text = _SETTING.sub(rf'\1"{_OUT}"', text)
        text = _URL.sub(rf"\1{_OUT}@", _ADDRESS.sub(_address, text))
        return _HEX.sub(_OUT, _MADE.sub(_OUT, text))


def _address(found: re.Match[str]) -> str:
    head, scheme, rest = found.groups()
    host = rest.partition("/")[0].rpartition("@")[2] + "/" if scheme.lower() in _PLACES else ""
    return f"{head}{scheme}://{host}{_OUT}"


def known_secrets(folders: list[Path], environment: dict[str, str], broker: Broker | None) -> set[str]:
    """Everything in the secret files, in the environment and in the login that may be read here."""
    found = {value for name, value in environment.items() if re.fullmatch(_NAMED, name, re.IGNORECASE)}
    if broker is not None and broker.password:
        found.add(broker.password)
    for folder in folders:
        try:
            for file in folder.iterdir():
                if file.is_file():
                    found |= set(file.read_text(encoding="utf-8", errors="replace").split())
        except OSError:  # root's alone: then it is in no text that we can read either
            continue
    return found


def toml_secrets(text: str) -> set[str]:
    """Find the values of the settings in boondock.toml that are secret."""
    return {found[2].strip("\"'") for found in _SETTING.finditer(text)}


def retained(broker: Broker) -> str:
    """Ask what services and devices say of themselves, a line each; or say why nobody does."""
    topics = Topics(broker.base)
    watched = [topics.every(verb) for verb in (Verb.HEALTH, Verb.ABOUT, Verb.AVAILABILITY, Verb.WATERMARK)]
    try:
        with Asker(broker, *watched, topics.every(Verb.STATE, levels=1), service=None) as asker:
            said = sorted(asker.seen().items())
    except CommandError as error:
        return f"{error}\n"
    return "".join(f"{topic} {payload.decode(errors='replace')}\n" for topic, payload in said)


def versions() -> str:
    """Say what this runs on."""
    lines = [f"boondock {VERSION}", f"python {sys.version}", platform.platform()]
    for file in ("/etc/os-release", "/proc/device-tree/model", "/proc/meminfo", "/proc/uptime"):
        lines += _first(Path(file), 10)
    lines += sorted(f"{one.name} {one.version}" for one in metadata.distributions())
    broker = _output("mosquitto", "-h").partition("\n")[0]
    return "\n".join([*lines, broker, ""])


def _first(file: Path, lines: int) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").rstrip("\0").splitlines()[:lines]
    except OSError:
        return [f"{file}: there is none"]


def journal() -> str:
    """Read the last lines of the units."""
    return _output("journalctl", "--no-pager", "-o", "short-iso", "-n", str(_LINES), "-u", "boondock*")


def _output(*command: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 — a program of the system, with our arguments
            command, capture_output=True, text=True, check=False, timeout=30, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]}: {error}\n"
    return done.stdout + done.stderr


def logs(folder: Path) -> Iterator[tuple[str, str]]:
    """Read the ends of the logs of a run in a terminal."""
    for file in sorted(folder.glob("*.log")):
        data = file.read_bytes()[-_LOG_BYTES:]
        yield f"logs/{file.name}", data.decode(errors="replace")


def write(target: Path, files: dict[str, str], cleaner: Cleaner) -> None:
    """Write the cleaned files into one .tar.gz that its owner alone may read. Raises OSError."""
    handle = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as bundle:
        for name, text in files.items():
            data = cleaner.clean(text).encode()
            entry = tarfile.TarInfo(f"boondock-dump/{name}")
            entry.size, entry.mtime, entry.mode = len(data), int(time.time()), 0o600
            bundle.addfile(entry, io.BytesIO(data))


@talks
def dump(
    house: House,
    target: Annotated[Path | None, Option("--output", "-o", metavar="FILE", help="Default: here.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Write a bundle for a bug report: settings, health, versions and logs, with all secrets taken out."""
    target = target or Path(f"boondock-dump-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz")
    files = {"versions.txt": versions()}
    toml = house.file()
    text = toml.read_text(encoding="utf-8", errors="replace") if toml.exists() else ""
    files["boondock.toml"] = text
    broker = None
    try:
        broker = house.broker()
        files["broker.txt"] = retained(broker)
    except CommandError as error:
        # The reason may be what the report is about.
        files["broker.txt"] = f"{error}\n"
    running = house.running()
    files |= {"journal.txt": journal()} if running is None else dict(logs(Path(running.logs)))
    folders = [CREDENTIALS, INSTALLED.parent / "secrets"]
    folders += [
        Path(os.environ[name])
        for name in ("BOONDOCK_SECRETS", "CREDENTIALS_DIRECTORY")
        if os.environ.get(name)
    ]
    secrets = known_secrets(folders, dict(os.environ), broker) | toml_secrets(text)
    write(target, files, Cleaner(secrets))
    said = f"{target}: settings, health, versions and logs, without secrets. Look into it before you send it."
    terminal.show({"file": str(target), "files": sorted(files)}, [said], as_json=as_json)
