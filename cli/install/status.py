"""`boondock status`: the whole house on one screen, as the units, the broker and the machine tell it."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from bus.messages import ONLINE, BadMessageError, decode_reading
from bus.topics import STATISTICIAN, BadTopicError, Topic, Topics, Verb
from cli import doctor
from cli.asking import Asker
from cli.house import as_admin
from cli.install import System
from cli.install.plan import PENDING
from cli.terminal import CommandError
from config.addresses import page_address
from config.model import RELAY_DEVICE, Settings

DATA = Path("/var/lib")
_UNITS = "boondock*.service"
_UNDECIDED = "an update is on trial; if none is going on: sudo boondock update --resume"
# Results of systemd for a unit that ended as it should: it has nothing to do.
_IDLE = ("success", "exec-condition")
_SIGNS = {"ok": "green", "wrong": "red", "idle": "dim"}
# What speaks to nobody by MQTT itself.
_PAGE = "page"
# One step of waiting, seconds.
_STEP_S = 2.0
_TELL_S = 10.0
# What is read while we look is a little younger than our look at the clock.
_AHEAD_S = 5.0


@dataclass(frozen=True)
class ServiceState:
    """A unit as systemd has it, and what its process says of itself; `state` is ok, wrong or idle."""

    name: str
    state: str
    text: str


@dataclass(frozen=True)
class DeviceState:
    """A device: availability, and how old its newest reading is, seconds."""

    name: str
    availability: str
    age: float | None


@dataclass
class State:
    """All of it. `faults` are sentences on what makes it not well, `problems` what services tell besides."""

    services: list[ServiceState] = field(default_factory=list)
    devices: list[DeviceState] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    reached: bool = False

    @property
    def well(self) -> bool:
        """Whether every service that has something to do runs, and the statistician answers."""
        return self.reached and all(one.state != "wrong" for one in self.needed)

    @property
    def needed(self) -> list[ServiceState]:
        """List those without which the house is not well; the page may wait for a network."""
        return [one for one in self.services if one.name != _PAGE]


def look(settings: Settings, *, now: float | None = None) -> State:
    """Look at everything now."""
    state = State()
    told = _ask(settings, state)
    topics = Topics(settings.broker.base)
    said = _by_topic(topics, told or {})
    state.services = [_service(unit, None if told is None else said) for unit in _shown_units()]
    names = {*settings.device, *settings.imports, *([RELAY_DEVICE] if settings.relay else [])}
    state.devices = list(_devices(names, said, time.time() if now is None else now))
    for topic, payload in said.items():
        if topic.verb is Verb.HEALTH and said.get(Topic(Verb.SERVICE, topic.name)) == ONLINE:
            found = doctor.problems(payload)
            state.problems += [f"{topic.name}: {subject}: {why}" for subject, why in found.items()]
    if Path(PENDING).exists():
        state.problems.append(_UNDECIDED)
    state.faults += [f"{one.name}: {one.text}" for one in state.services if one.state == "wrong"]
    state.facts = dict(_facts(settings))
    return state


def _ask(settings: Settings, state: State) -> Mapping[str, bytes] | None:
    """All that is retained, None if the broker tells nothing; whether the statistician answers: `state`."""
    broker = as_admin(settings.broker)
    heard: Mapping[str, bytes] | None = None
    try:
        heard, _ = doctor.retained(broker)
        with Asker(broker, service=STATISTICIAN) as asker:
            next(asker.pages("info", {}, msgspec.Raw))
            state.reached = True
    except (CommandError, msgspec.ValidationError) as error:
        state.faults.append(str(error))
    return heard


def _by_topic(topics: Topics, told: Mapping[str, bytes]) -> dict[Topic, bytes]:
    found = {}
    for name, payload in told.items():
        try:
            found[topics.parse(name)] = payload
        except BadTopicError:  # a stranger's, such as one with capital letters
            continue
    return found


def _service(unit: Mapping[str, str], said: Mapping[Topic, bytes] | None) -> ServiceState:
    name = unit["Id"].removesuffix(".service").removeprefix("boondock-")
    process = name.replace("@", "_")
    active, result = unit.get("ActiveState", ""), unit.get("Result", "")
    if active == "active":
        if process in ("mosquitto", _PAGE):
            return ServiceState(name, "ok", "running")
        if said is None:
            return ServiceState(name, "ok", "running; what it says is not known")
        if said.get(Topic(Verb.SERVICE, process)) != ONLINE:
            return ServiceState(name, "wrong", "runs, but the broker does not hear it")
        restarts = unit.get("NRestarts", "0")
        often = {"0": "", "1": ", restarted once"}.get(restarts, f", restarted {restarts} times")
        return ServiceState(name, "ok", f"online{often}")
    if active == "inactive" and result in _IDLE:
        what = "output and nobody to tell" if process == "forwarder" else "device for it"
        return ServiceState(name, "idle", f"nothing to do: boondock.toml has no {what}")
    code = unit.get("ExecMainStatus", "")
    unusable = "there is none" if process == _PAGE else "its settings are wrong"
    text = unusable if code == "78" else f"{active}: {result}, exit code {code}"
    return ServiceState(name, "wrong", f"{text}; sudo journalctl -u {unit['Id']} -n 20")


def _shown_units() -> list[dict[str, str]]:
    """List the units of the house that systemd has loaded, but those that only wait for something."""
    keys = "Id,ActiveState,SubState,Result,ExecMainStatus,NRestarts,LoadState,Type"
    text = System().word("systemctl", "show", "--no-pager", f"--property={keys}", _UNITS)
    units = [
        dict(line.split("=", 1) for line in part.splitlines() if "=" in line) for part in text.split("\n\n")
    ]
    return sorted(
        (one for one in units if one.get("Type") == "notify" and one.get("LoadState") == "loaded"),
        key=lambda one: one["Id"],
    )


def _devices(names: set[str], said: Mapping[Topic, bytes], now: float) -> Iterator[DeviceState]:
    """Those of boondock.toml, and all that were heard."""
    heard = {one.name for one in said if one.verb in (Verb.AVAILABILITY, Verb.STATE)}
    for name in sorted(names | heard):
        payload = said.get(Topic(Verb.STATE, name))
        availability = said.get(Topic(Verb.AVAILABILITY, name), b"unknown").decode(errors="replace")
        yield DeviceState(name, availability[:20], None if payload is None else _age(payload, now))


def _age(payload: bytes, now: float) -> float | None:
    try:
        ts = decode_reading(payload).ts
    except BadMessageError:
        return None
    return None if ts is None else now - ts / 1000


def _facts(settings: Settings) -> Iterator[tuple[str, str]]:
    shown = page_address(settings.page) if settings.page.enabled else "none: sudo boondock configure page"
    yield "page", shown
    usage = shutil.disk_usage(DATA)
    yield "disk", f"{usage.free / 1e9:.1f} of {usage.total / 1e9:.1f} GB free"
    yield "card", next(doctor.card(DATA, settings.storage.card_mb_a_day)).text
    yield "clock", _clock()
    yield "up for", f"{time.clock_gettime(time.CLOCK_BOOTTIME) / 3600:.1f} h"


def _clock() -> str:
    text = System().word("timedatectl", "show", "-p", "NTPSynchronized", "-p", "Timezone")
    said = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    sure = "synchronised" if said.get("NTPSynchronized") == "yes" else "not synchronised"
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, {sure}, zone {said.get('Timezone', 'unknown')}"


def wait(settings: Settings, seconds: float, say: Callable[[str], None] = print) -> State:
    """Wait until all is well and every device was heard, at most so many seconds; return the state."""
    began = told = time.monotonic()
    while True:
        state = look(settings)
        silent = [one.name for one in state.devices if one.age is None]
        now = time.monotonic()
        if (state.well and not silent) or now - began >= seconds:
            return state
        if now - told >= _TELL_S:
            told = now
            awaited = ", ".join(silent) if state.well else "the services"
            say(f"  {now - began:.0f} s: waiting for {awaited}")
        time.sleep(_STEP_S)


def show(state: State, console: Console | None = None) -> None:
    """Print it."""
    console = console or Console(highlight=False)
    services = Table("service", "state", box=None, pad_edge=False)
    for one in state.services:
        services.add_row(one.name, f"[{_SIGNS[one.state]}]{one.text}")
    devices = Table("device", "availability", "newest reading", box=None, pad_edge=False)
    for device in state.devices:
        devices.add_row(device.name, device.availability, _aged(device.age))
    console.print(services)
    console.print()
    console.print(devices if state.devices else "No device has been heard yet.")
    console.print()
    for name, text in state.facts.items():
        console.print(f"{name:8} {text}", markup=False)
    console.print()
    problems = [*state.faults, *state.problems]
    for problem in problems:
        console.print(f"! {problem}", markup=False, style="red")
    silent = [device.name for device in state.devices if device.age is None]
    if silent:
        console.print(f"No reading yet of {', '.join(silent)}: wired, switched on, in reach? docs/devices.md")
    if not problems and state.well:
        console.print("All is well." if not silent else "The services are well.")
    else:
        console.print("1 problem." if len(problems) == 1 else f"{len(problems)} problems.")


def _aged(age: float | None) -> str:
    if age is None:
        return "none yet"
    if age < -_AHEAD_S:
        return f"{-age:.0f} s ahead of this machine's clock"
    return f"{max(0.0, age):.0f} s ago"


def as_json(state: State) -> bytes:
    """Encode the same for programs."""
    return msgspec.json.encode(asdict(state) | {"well": state.well})
