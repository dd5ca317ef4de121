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

from bus.health import VERSION
from bus.topics import Topics, Verb
from cli.asking import Asker
from cli.errors import CommandError
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
_PRIVATE = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)


class Cleaner:
    """Takes secrets out of a text: what is known to be one, and what looks like one."""

    def __init__(self, known: set[str]) -> None:
        # The longest first, or a part of one would be left.
        self._known = sorted({one for one in known if len(one) >= 4}, key=len, reverse=True)

    def clean(self, text: str) -> str:
        """The text without secrets."""
        for secret in self._known:
            text = text.replace(secret, _OUT)
        text = _PRIVATE.sub(_OUT, text)
        text = _SETTING.sub(rf'\1"{_OUT}"', text)
        text = _URL.sub(rf"\1{_OUT}@", text)
        return _HEX.sub(_OUT, _MADE.sub(_OUT, text))


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
    """The values of the settings in boondock.toml that are secret."""
    return {found[2].strip("\"'") for found in _SETTING.finditer(text)}


def retained(broker: Broker) -> str:
    """What services and devices say of themselves, a line each; or why nobody does."""
    topics = Topics(broker.base)
    watched = [topics.every(verb) for verb in (Verb.HEALTH, Verb.ABOUT, Verb.AVAILABILITY, Verb.WATERMARK)]
    try:
        with Asker(broker, *watched, topics.every(Verb.STATE, levels=1), service=None) as asker:
            said = sorted(asker.seen().items())
    except CommandError as error:
        return f"{error}\n"
    return "".join(f"{topic} {payload.decode(errors='replace')}\n" for topic, payload in said)


def versions() -> str:
    """What this runs on."""
    lines = [f"boondock {VERSION}", f"python {sys.version}", platform.platform()]
    for file in ("/etc/os-release", "/proc/device-tree/model", "/proc/meminfo", "/proc/uptime"):
        lines += _first(Path(file), 10)
    lines += sorted(f"{one.name} {one.version}" for one in metadata.distributions())
    return (
        "\n".join([*lines, _output("mosquitto", "-h").splitlines()[0] if _output("mosquitto", "-h") else ""])
        + "\n"
    )


def _first(file: Path, lines: int) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").rstrip("\0").splitlines()[:lines]
    except OSError:
        return [f"{file}: there is none"]


def journal() -> str:
    """The last lines of the units."""
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
    """The ends of the logs of a run in a terminal."""
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
