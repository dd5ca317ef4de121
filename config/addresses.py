"""Ids, addresses, hosts and keys as people write them: what is accepted, and what is wrong with others."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # The installer asks before it has the library of the model.
    from config.model import Page

ID_ALLOWED = "a-z, 0-9 and _"
ADDRESS_ALLOWED = "AA:BB:CC:DD:EE:FF"
KEY_ALLOWED = "32 hexadecimal digits, 0-9 and a-f"
_SEPARATORS = re.compile(r"[\s:.-]+")
# Also for other languages' regular expressions, such as a browser's.
ADDRESS_PATTERN = r"^([\s:.\-]*[0-9A-Fa-f]){12}[\s:.\-]*$"
# Thermometers on 1-Wire, as the kernel names them: family and number.
ONE_WIRE_PATTERN = r"(10|22|28|3b|42)-[0-9a-f]{12}"
KEY_PATTERN = r"^[0-9A-Fa-f]{32}$"
TCP, SOLARMAN = "tcp://", "solarman://"
NETWORK: Mapping[str, int] = {TCP: 502, SOLARMAN: 8899}
"""How the `port` of a Modbus device on the network begins, and the number that is meant if none is said."""
BLE = "ble://"
"""How the `port` of a Modbus device behind a Bluetooth adapter begins."""
CHIP = re.compile(r"0x[0-9a-f]{1,2}\Z|[0-9]{1,3}\Z", re.IGNORECASE)
_HEX = re.compile(r"[0-9A-Fa-f]*\Z")
_KEY_DIGITS, _ADDRESS_DIGITS = 32, 12
# Letters that are taken for digits, and what they are likely meant for.
_LIKELY = {
    "O": ("the letter O", "0"),
    "o": ("the letter o", "0"),
    "l": ("the small letter L", "1"),
    "I": ("the capital letter i", "1"),
    "i": ("the letter i", "1"),
    "S": ("the letter S", "5"),
    "Z": ("the letter Z", "2"),
}
_NAMES = {" ": "a space", "-": "a dash", ":": "a colon", "\n": "a line end", "\t": "a tab", '"': "a quote"}
_MOST_NAMED = 3
# A text of so many digits more or less may have been meant for a key.
_NEAR = 8


def id_allowed(name: str) -> str:
    """Say what an id may be, with one that is near the name."""
    near = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return f"{ID_ALLOWED}, such as {near}" if near else ID_ALLOWED


def normal(address: str) -> str:
    """Write a Bluetooth address as AA:BB:CC:DD:EE:FF, also one with dashes, spaces or nothing between.

    Any other text is returned as it is.
    """
    bare = _SEPARATORS.sub("", address).upper()
    if len(bare) != _ADDRESS_DIGITS or not _HEX.match(bare):
        return address
    return ":".join(bare[at : at + 2] for at in range(0, _ADDRESS_DIGITS, 2))


def spelt(address: str | int) -> str | int:
    """Write an address in one way: a chip's as 0x40, a Bluetooth address as `normal` does."""
    text = str(address)
    if not CHIP.match(text):
        return address if isinstance(address, int) else normal(address)
    try:
        return f"{int(text, 0):#04x}"
    except ValueError:  # 012 is no number, and the kind says so
        return address


def pin_name(pin: int, chip: str | None) -> int | str:
    """Name a pin of the board by its number, one of another chip with that: 3 and "3 of mcp23017" are two."""
    return pin if chip is None else f"{pin} of {chip}"


def wrong_address(address: str) -> tuple[str, str] | None:
    """Say what is wrong with a Bluetooth address and what is allowed; None: nothing."""
    if re.fullmatch(ADDRESS_PATTERN, address) or re.fullmatch(ONE_WIRE_PATTERN, address.lower()):
        return None
    bare = _SEPARATORS.sub("", address)
    strange = ", ".join(_strange(bare)) if len(bare) == _ADDRESS_DIGITS else ""
    if strange:
        return f"in {address!r} {strange}", f"{ADDRESS_ALLOWED}, six pairs of 0-9 and A-F"
    if bare and _HEX.match(bare) and len(bare) > 1:
        return f"{address!r} has {len(bare)} digits", f"{ADDRESS_ALLOWED}, twelve digits"
    return f"{address!r} is no address", ADDRESS_ALLOWED


def wrong_key(key: str) -> tuple[str, str] | None:
    """Say what is wrong with an encryption key, without the key, and what is allowed; None: nothing."""
    if re.fullmatch(KEY_PATTERN, key):
        return None
    size = f"it has {len(key)} characters"
    bare = re.sub(r"\A0[xX]|[\s:-]", "", key.strip("\"'"))
    if len(bare) == _KEY_DIGITS and _HEX.match(bare):
        named = ", ".join(_strange(key)) or "more than its digits"
        return f"{size}, and {named}", "write its 32 digits with nothing before, between or after them"
    if "=" in key:
        return f"{size}, also an =", "write its 32 digits alone, without a name and quotes"
    # Anything else may be a secret of another kind: nothing of it is shown.
    strange = ", ".join(_strange(key)) if abs(len(bare) - _KEY_DIGITS) <= _NEAR else ""
    much = len(key) - _KEY_DIGITS
    if strange:
        return f"{size}, {'and' if much else 'but'} {strange}", KEY_ALLOWED
    count = f", {much} too many" if much > 0 else f", {-much} too few"
    return f"{size}{count if abs(much) <= _NEAR else ''}", KEY_ALLOWED


def _strange(text: str) -> Iterator[str]:
    """Name characters that are no hexadecimal digits, each with its places and what it is likely for."""
    places: dict[str, list[int]] = {}
    for number, letter in enumerate(text, 1):
        if not _HEX.match(letter) or letter == "\n":
            places.setdefault(letter, []).append(number)
    if text[:2] in ("0x", "0X"):
        yield "0x is before it"
        places.pop(text[1], None)
    for letter, at in list(places.items())[:_MOST_NAMED]:
        name, digit = _LIKELY.get(letter, (_NAMES.get(letter, f"{letter!r}"), ""))
        where = f"character {at[0]}" if len(at) == 1 else f"characters {', '.join(map(str, at[:4]))}"
        where += ", …" if len(at) > 4 else ""
        verb = "is" if len(at) == 1 else "are"
        yield f"{where} {verb} {name}" + (f" (probably the digit {digit})" if digit else "")
    if len(places) > _MOST_NAMED:
        yield "more are no digits"


HOST_ALLOWED = "a name or an address alone, such as van.local or 192.168.1.10"
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
    """Say what is wrong with a host; None: nothing. No password is told."""
    if is_good_host(text):
        return None
    if not text.strip():
        return Host("it is empty", HOST_ALLOWED)
    form = None if _is_address6(text.strip()) else _FORM.match(text.strip())
    host = (text.strip() if form is None else form["host"]).strip("[]")
    if re.fullmatch(r"\d+,\d+,\d+,\d+", host):
        host = host.replace(",", ".")
    if form is None or not is_good_host(host):
        # What holds an @ may hold a password.
        shown = "this" if re.search("[@/]", text) else repr(text)
        return Host(f"{shown} is no name of a machine", HOST_ALLOWED)
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


def is_good_host(host: str) -> bool:
    """Whether it may be the name or the address of a machine."""
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


def is_address(text: str) -> bool:
    """Whether it is an IPv4 address."""
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True


def page_address(table: "Page", host: str | None = None) -> str:
    """Write what a person types to open it; `host` instead of its name."""
    host = host or (table.name if table.is_open else "127.0.0.1")
    usual = table.opened_port == (443 if table.encrypted else 80)
    return f"http{'s' * table.encrypted}://{host}{'' if usual else f':{table.opened_port}'}/"
