"""The name of a machine as settings want it: no scheme, port, user or path."""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address

ALLOWED = "a name or an address alone, such as van.local or 192.168.1.10"
_FORM = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+]*)://)?(?:(?P<user>.*)@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:/\s]*)(?::(?P<port>\d*))?(?P<path>/.*)?\Z"
)
_NAME = re.compile(r"[\w](?:[\w.-]{0,251}[\w.])?\Z")
_TLS_PORT = 8883
_TLS = ("mqtts", "ssl", "tls")


@dataclass(frozen=True, slots=True)
class Host:
    """What is wrong with a host, and what to write instead; `bare` is the name alone, if there is one."""

    wrong: str
    allowed: str
    bare: str = ""


def is_here(host: str) -> bool:
    """Whether a host is this machine: its loopback, or the address that stands for all of its own."""
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return host.lower().rstrip(".") in ("localhost", "localhost.localdomain", "ip6-localhost")
    return address.is_loopback or address.is_unspecified


def wrong_host(text: str) -> Host | None:
    """What is wrong with a host; None: nothing. No password is told."""
    if _is_good(text):
        return None
    if not text.strip():
        return Host("it is empty", ALLOWED)
    form = None if _is_address6(text.strip()) else _FORM.match(text.strip())
    host = (text.strip() if form is None else form["host"]).strip("[]")
    if re.fullmatch(r"\d+,\d+,\d+,\d+", host):
        host = host.replace(",", ".")
    if form is None or not _is_good(host):
        # What holds an @ may hold a password.
        shown = "this" if re.search("[@/]", text) else repr(text)
        return Host(f"{shown} is no name of a machine", ALLOWED)
    more = list(_more(text, form["scheme"], form["user"], form["port"], form["path"]))
    verb = "do" if len(more) > 1 else "does"
    wrong = f"{' and '.join(more)} {verb} not belong into it"
    write = [f'host = "{host}"']
    if not more and host != text:
        more = ["a comma"]
    tls = (form["scheme"] or "").lower() in _TLS
    if port := form["port"] or (tls and _TLS_PORT):
        write.append(f"port = {port}")
    if form["user"]:
        user, _, password = form["user"].partition(":")
        write.append(f'username = "{user}"')
        write += ["the password into the secret file broker__password"] if password else []
    if tls:
        write.append("tls_ca = the file of its certificate authority")
    return Host(wrong, f"write {', '.join(write)}", host)


def _more(text: str, scheme: str | None, user: str | None, port: str | None, path: str | None) -> list[str]:
    found = [f"{scheme}://"] if scheme else []
    found += ["a user"] if user else []
    found += ["the port"] if port is not None else []
    found += [path if path == "/" else "a path"] if path else []
    return [*found, "a space"] if text != text.strip() else found


def _is_good(host: str) -> bool:
    if re.fullmatch(r"[\d.]+", host):
        try:
            return IPv4Address(host) != IPv4Address("0.0.0.0")  # noqa: S104 — it is refused, not listened on
        except AddressValueError:
            return False
    return _NAME.match(host) is not None or _is_address6(host)


def _is_address6(host: str) -> bool:
    try:
        IPv6Address(host)
    except AddressValueError:
        return False
    return True
