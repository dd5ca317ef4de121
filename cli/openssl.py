"""The `openssl` command: what is asked of it, and what it makes."""

import subprocess
from pathlib import Path

from cli.broker_error import BrokerError

_DAY_S = 86_400


def do(*arguments: str) -> None:
    """Have something made. Raises BrokerError with what openssl says."""
    done = _run(*arguments)
    if done.returncode != 0:
        raise BrokerError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")


def ask(*arguments: str) -> str | None:
    """What openssl says, None if it says no. Raises BrokerError if there is no openssl."""
    done = _run(*arguments)
    return done.stdout if done.returncode == 0 else None


def lasts(certificate: Path, days: int) -> bool:
    """Whether a certificate can be read and is valid for so many days from now on."""
    return ask("x509", "-noout", "-checkend", str(days * _DAY_S), "-in", str(certificate)) is not None


def public(key: Path) -> str | None:
    """The public half of a key; None if the file holds none that is open to us."""
    return ask("pkey", "-pubout", "-passin", "pass:", "-in", str(key))


def certified(certificate: Path) -> str | None:
    """The public key that a certificate is for; None if the file holds no certificate."""
    return ask("x509", "-noout", "-pubkey", "-in", str(certificate))


def names(certificate: Path) -> list[str]:
    """The names and addresses of a certificate, sorted: `DNS:van.local`, `IP:192.168.1.10`."""
    said = ask("x509", "-noout", "-ext", "subjectAltName", "-in", str(certificate)) or ""
    words = (word.strip() for word in said.partition("\n")[2].split(","))
    return sorted(word.replace("IP Address:", "IP:") for word in words if word)


def date(certificate: Path, which: str) -> str:
    """The `startdate` or `enddate` of a certificate, as 2036-11-25. Raises BrokerError."""
    said = ask("x509", "-noout", f"-{which}", "-dateopt", "iso_8601", "-in", str(certificate))
    if said is None:
        raise BrokerError(f"{certificate} is no certificate, or cannot be read")
    return said.partition("=")[2].split(" ")[0]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607 — its own arguments, wherever PATH has it
    except FileNotFoundError as error:
        raise BrokerError("openssl is not installed: apt install openssl") from error
