"""`boondock doctor`: what can be looked at of a house: machine, broker, services, clock, disk, card."""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path

import msgspec

from bus.clock import synchronised
from bus.messages import ONLINE, BadMessageError, decode_reading
from bus.topics import STATISTICIAN, BadTopicError, Topics, Verb
from cli import page, terminal
from cli.asking import Asker
from cli.broker.files import ANYWHERE, addresses
from cli.broker.rights import users
from cli.house import INSTALLED, House, Json, Running, kept_password, talks
from cli.machine import STATE, Finding, Machine, wrong
from cli.terminal import CommandError
from config.addresses import is_here, page_address
from config.model import Broker, Settings

_SECTOR = 512
_MB = 1_000_000
_DAY_S = 86_400.0
# Before that an extrapolation to a day says nothing.
_EARLY_S = 3600.0
_LEAST_FREE, _LEAST_SHARE = 200 * _MB, 0.05
_SLOW_S = 1.0
_SET_CLOCK = "timedatectl set-ntp true, or wait for a network"


class _Health(msgspec.Struct):
    problems: dict[str, str] = {}


def look(
    settings: Settings, broker: Broker, *, installed: bool, data: tuple[Path, Path] | None
) -> Iterator[Finding]:
    """Look at everything; `installed`: it runs as services; `data`: database and state on this machine."""
    if data is not None:
        from cli.check import machine  # noqa: PLC0415 — `status` needs nothing of it

        yield from machine(settings, ask_broker=False)
    try:
        said, finding = round_trip(broker)
    except CommandError as error:
        why, _, mend = str(error).partition("; next: ")
        yield Finding("broker", why, mend or "docs/troubleshooting.md")
    else:
        yield finding
        if installed:
            yield from as_each_user(settings, broker)
        topics = Topics(broker.base)
        yield from services(topics, said)
        yield from clocks(topics, said)
    if data is not None:
        yield clock(synced=synchronised())
        yield from disk("database", data[0])
        yield from disk("state", data[1])
        yield from card(data[1], settings.storage.card_mb_a_day)


def retained(broker: Broker) -> tuple[Mapping[str, bytes], float]:
    """Ask for all that is retained about services and devices; return it, and the seconds that it took.

    Raises CommandError.
    """
    topics = Topics(broker.base)
    watched = (topics.every(Verb.HEALTH), topics.every(Verb.STATE, levels=1), topics.every(Verb.AVAILABILITY))
    began = time.monotonic()
    with Asker(broker, *watched, service=None) as asker:
        return asker.seen(), time.monotonic() - began


def round_trip(broker: Broker) -> tuple[Mapping[str, bytes], Finding]:
    """Return all that is retained, and how long the broker took. Raises CommandError."""
    said, took = retained(broker)
    who = broker.username or "without a user"
    text = f"{broker.host}:{broker.port} answers {who} in {took * 1000:.0f} ms"
    mend = "see what else this machine does: top" if took > _SLOW_S else ""
    return said, Finding("broker", text, mend, ok=took <= _SLOW_S)


def as_each_user(
    settings: Settings, broker: Broker, password: Callable[[str], str | None] = kept_password
) -> Iterator[Finding]:
    """Whether each user of the broker comes in, of those whose password may be read here."""
    for user in users(settings):
        known = password(user.name)
        if known is None:
            continue
        login = replace(broker, username=user.name, password=known)
        try:
            with Asker(login, service=None, awaits_own=False):
                yield Finding("user", f"{user.name} comes in", ok=True)
        except CommandError as error:
            mend = "sudo boondock broker --reload, then restart the services"
            yield Finding("user", f"{user.name}: {error}", mend)


def services(topics: Topics, said: Mapping[str, bytes]) -> Iterator[Finding]:
    """Which services run, and what each says is wrong."""
    prefix = topics.service("x").removesuffix("x")
    states = {
        topic.removeprefix(prefix): payload for topic, payload in said.items() if topic.startswith(prefix)
    }
    if STATISTICIAN not in states:
        mend = "boondock run, or systemctl start boondock.target"
        yield Finding("service", "no statistician was ever here", mend)
    for name, payload in sorted(states.items()):
        if payload != ONLINE:
            unit = f"boondock*{name.removeprefix('collector_')}*"
            yield Finding(name, "is offline", f"journalctl -u '{unit}' tells why")
            continue
        told = problems(said.get(topics.health(name)))
        for subject, text in told.items():
            yield Finding(name, f"{subject}: {text}", "docs/troubleshooting.md")
        if not told:
            yield Finding(name, "is well", ok=True)


def problems(payload: bytes | None) -> dict[str, str]:
    """Read the problems that a service tells in its health."""
    try:
        return msgspec.json.decode(payload, type=_Health).problems if payload else {}
    except ValueError as error:
        return {"health": f"cannot be read: {error}"}


def clocks(topics: Topics, said: Mapping[str, bytes]) -> Iterator[Finding]:
    """Say what the readings tell of the clock they were dated by."""
    doubtful = set()
    for topic, payload in said.items():
        try:
            if topics.is_below(Verb.STATE, topic) and payload and decode_reading(payload).clock != "ok":
                doubtful.add(topics.parse(topic).name)
        except (BadTopicError, BadMessageError):
            # A stranger's: it says nothing of our clock.
            continue
    if doubtful:
        yield Finding("clock", f"not trusted for {', '.join(sorted(doubtful))}", _SET_CLOCK)


def clock(*, synced: bool) -> Finding:
    """Whether the machine's clock is set."""
    if synced:
        return Finding("clock", f"synchronised; it is {time.strftime('%Y-%m-%d %H:%M:%S %Z')}", ok=True)
    return Finding("clock", "not synchronised: times are estimated", _SET_CLOCK)


def disk(what: str, folder: Path) -> Iterator[Finding]:
    """Whether a folder's disk has room."""
    try:
        room = shutil.disk_usage(folder)
    except OSError as error:
        mend = "sudo boondock doctor" if isinstance(error, PermissionError) else f"make the folder {folder}"
        yield Finding("disk", f"{what} {folder}: {error.strerror}", mend)
        return
    enough = room.free >= _LEAST_FREE and room.free >= _LEAST_SHARE * room.total
    text = f"{what} {folder}: {room.free / _MB:.0f} MB free of {room.total / _MB:.0f}"
    yield Finding("disk", text, "" if enough else f"free some: du -x -d1 {folder} | sort -n", ok=enough)


def card(folder: Path, budget: float, root: Path = Path("/")) -> Iterator[Finding]:
    """How much is written to the card a day, since the boot, against the owner's budget in MB."""
    try:
        device = os.stat(folder).st_dev  # noqa: PTH116 — of the folder, not of a link in it
        block = root / "sys/dev/block" / f"{os.major(device)}:{os.minor(device)}"
        stat = (block / "stat").read_text(encoding="ascii")
        uptime = float((root / "proc/uptime").read_text(encoding="ascii").split()[0])
    except OSError:
        yield Finding("card", f"{folder} lies on no disk that counts what is written", ok=True)
        return
    written = int(stat.split()[6]) * _SECTOR / _MB
    if uptime < _EARLY_S:
        text = f"{written:.0f} MB written since the boot; too early to say how much a day"
        yield Finding("card", text, ok=True)
        return
    a_day = written * _DAY_S / uptime
    good = a_day <= budget
    mend = "" if good else "a longer [statistician] commit_interval; or raise [storage] card_mb_a_day"
    text = f"{a_day:.0f} MB written a day since the boot; the budget is {budget:g}"
    yield Finding("card", text, mend, ok=good)


def _page(settings: Settings, running: Running | None, *, installed: bool) -> Iterator[Finding]:
    """Whether a browser gets the page, where there is to be one."""
    if running is not None and running.page is not None:
        yield from page.look(running.page, "end ./scripts/run and start it again")
    elif installed and settings.page.enabled:
        try:
            host = next((one for one in addresses(settings.page.listen) if one != ANYWHERE), "127.0.0.1")
        except CommandError as error:
            yield Finding("page", str(error), "connect the network, or change listen of [page]")
            return
        yield from page.look(page_address(settings.page, host), "sudo journalctl -u boondock-page -n 20")


@talks
def doctor(house: House, *, as_json: Json = False) -> int:
    """Look at everything: machine, broker, users, services, clock, disk, card; 1 if something is wrong."""
    broker = house.broker()
    settings, running = house.settings(), house.running()
    data = None
    if running is not None:
        # A run keeps all of it in one folder, whatever its settings say.
        data = (Path(running.logs).parent, Path(running.logs).parent)
    elif is_here(broker.host) and house.is_installed() and Machine(Path("/")).has_units:
        # The units say where, whatever boondock.toml does.
        data = (Path(STATE), Path(STATE))
    elif is_here(broker.host):
        data = (Path(settings.statistician.database).parent, Path(settings.storage.state))
    found = []
    looked = look(settings, broker, installed=house.is_installed(), data=data)
    for finding in chain(looked, _page(settings, running, installed=house.is_installed())):
        found.append(finding)
        if not as_json:
            print(terminal.plain(str(finding)), flush=True)
    if as_json:
        terminal.show({"well": not wrong(found), "findings": found}, (), as_json=True)
    elif house.is_installed() and os.geteuid() != 0:
        print(f"Not all of {INSTALLED.parent} can be read; next: sudo boondock doctor")
    return 1 if wrong(found) else 0
