"""What `boondock watch` knows: devices, their entities and values, as they come."""

import secrets
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import msgspec
from typer import Argument, Option

from bus.about import About, decode
from bus.messages import (
    OFFLINE,
    BadMessageError,
    Result,
    Value,
    decode_reading,
    decode_result,
    from_iso,
    to_iso,
)
from bus.topics import BadTopicError, Topics, Verb
from cli import terminal
from cli.asking import Asker
from cli.house import House, Json, complete_devices, complete_outputs, complete_shown, talks
from cli.terminal import CommandError, SettingsError, shown
from config.mistakes import ConfigError
from config.model import Broker

if TYPE_CHECKING:
    from rich.table import Table


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """An entity now: its value, in `unit`; `ts` is when it was measured, ms since 1970 UTC."""

    entity: str
    value: Value
    unit: str | None
    ts: int | None
    online: bool


@dataclass(slots=True)
class _Device:
    about: About = field(default_factory=lambda: About(name=""))
    online: bool = True
    values: dict[str, Value] = field(default_factory=dict)
    # When each was measured; a reading need not hold all of them.
    at: dict[str, int | None] = field(default_factory=dict)


class Watched:
    """The devices `wanted` (all: empty) or single entities of them."""

    def __init__(self, topics: Topics, wanted: tuple[str, ...]) -> None:
        self._topics = topics
        self._wanted = {one.replace("/", ".") for one in wanted}
        self._devices: dict[str, _Device] = {}

    def filters(self) -> tuple[str, ...]:
        """List what to subscribe to."""
        topics = self._topics
        return topics.every(Verb.ABOUT), topics.every(Verb.STATE, levels=1), topics.every(Verb.AVAILABILITY)

    def take(self, topic: str, payload: bytes) -> list[Line]:
        """Note a message; return what it says of entities."""
        try:
            parsed = self._topics.parse(topic)
            if not self._is_wanted(parsed.name):
                return []
            device = self._devices.setdefault(parsed.name, _Device())
            match parsed.verb:
                case Verb.ABOUT if payload:
                    device.about = decode(payload)
                case Verb.ABOUT:
                    del self._devices[parsed.name]
                case Verb.AVAILABILITY:
                    device.online = payload != OFFLINE
                case Verb.STATE if payload:
                    reading = decode_reading(payload)
                    device.values |= reading.values
                    device.at |= dict.fromkeys(reading.values, reading.ts)
                    return [
                        one
                        for one in self._lines(parsed.name, device)
                        if one.entity.partition(".")[2] in reading.values
                    ]
        except (BadTopicError, BadMessageError, ValueError):
            # A stranger's message that is wrong: the statistician's health tells of it.
            return []
        return []

    def lines(self) -> list[Line]:
        """Every entity, by device as they are named, in the order of the device's description."""
        return [line for name in sorted(self._devices) for line in self._lines(name, self._devices[name])]

    def _lines(self, name: str, device: _Device) -> Iterator[Line]:
        for entity in dict.fromkeys((*device.about.entities, *device.values)):
            full = f"{name}.{entity}"
            if self._wanted and not {name, full} & self._wanted:
                continue
            described = device.about.entities.get(entity)
            yield Line(
                entity=full,
                value=_rounded(device.values.get(entity), None if described is None else described.precision),
                unit=None if described is None else described.unit,
                ts=device.at.get(entity),
                online=device.online,
            )

    def _is_wanted(self, device: str) -> bool:
        return not self._wanted or any(one.partition(".")[0] == device for one in self._wanted)


def _rounded(value: Value, precision: int | None) -> Value:
    return round(value, precision) if isinstance(value, float) and precision is not None else value


_EVERY_S = 0.5


@talks
def watch(
    house: House,
    devices: Annotated[
        list[str] | None,
        Argument(
            metavar="[DEVICE or DEVICE.ENTITY]...",
            autocompletion=complete_shown,
            help="What to show; default: all.",
        ),
    ] = None,
    *,
    seconds: Annotated[
        float | None, Option(min=0, help="End after so long; 0: show what there is and end.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show devices and their values as they change: a table, or a line each where no terminal looks on.

    Ctrl-C ends it.
    """
    broker = house.broker()
    watched = Watched(Topics(broker.base), tuple(devices or ()))
    with Asker(broker, *watched.filters(), service=None) as asker:
        # The descriptions first, so that values have their units.
        seen = sorted(asker.seen().items())
        news = [line for topic, payload in seen for line in watched.take(topic, payload)]
        if not news and seconds == 0:
            raise CommandError("nothing of that is known to the broker; next: boondock watch --seconds 0")
        if sys.stdout.isatty() and not as_json:
            _live(asker, watched, seconds)
            return
        _print(watched.lines() if not as_json else news, as_json=as_json)
        for lines in _news(asker, watched, seconds, 60.0):
            _print(lines, as_json=as_json)


def _news(asker: Asker, watched: Watched, seconds: float | None, step: float) -> Iterator[list[Line]]:
    """Yield what each message says of entities, nothing where none came within `step` seconds."""
    deadline = float("inf") if seconds is None else time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        message = asker.heard(min(left, step))
        yield [] if message is None else watched.take(message.topic, message.payload)


def _print(lines: list[Line], *, as_json: bool) -> None:
    for line in lines:
        at = "-" if line.ts is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(line.ts / 1000))
        text = f"{at}  {line.entity}  {shown(line.value)} {line.unit or ''}".rstrip()
        terminal.show(line, [text if line.online else f"{text}  (offline)"], as_json=as_json)
    sys.stdout.flush()


def _live(asker: Asker, watched: Watched, seconds: float | None) -> None:
    from rich.live import Live  # noqa: PLC0415 — only for a terminal

    with Live(_table(watched), auto_refresh=False, screen=seconds is None, vertical_overflow="crop") as live:
        due = 0.0
        for _ in _news(asker, watched, seconds, _EVERY_S):
            if (now := time.monotonic()) >= due:
                due = now + _EVERY_S
                live.update(_table(watched), refresh=True)
        live.update(_table(watched), refresh=True)


def _table(watched: Watched) -> "Table":
    from rich.table import Table  # noqa: PLC0415 — only for a terminal
    from rich.text import Text  # noqa: PLC0415 — as above

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("device", "entity"):
        table.add_column(heading)
    for heading in ("value", "unit", "age"):
        table.add_column(heading, justify="left" if heading == "unit" else "right")
    before = ""
    for line in watched.lines():
        device, _, entity = line.entity.partition(".")
        old = "-" if line.ts is None else terminal.age(time.time() - line.ts / 1000)
        cells = ("" if device == before else device, entity, shown(line.value), line.unit or "")
        style = "" if line.online else "dim"
        # As text: in a value [red] is no markup.
        table.add_row(*(Text(cell) for cell in (*cells, old if line.online else "offline")), style=style)
        before = device
    return table


class Raw(msgspec.Struct):
    """One question to the device and what came back."""

    asked: str
    answer: str


class Now(msgspec.Struct):
    """A device as it was read at `ts`."""

    device: str
    ts: str
    raw: list[Raw]
    values: dict[str, Value]
    problem: str | None = None


def read_device(broker: Broker, device: str) -> tuple[Now, dict[str, str | None]]:
    """Read the device now, and the units of its entities. Raises CommandError."""
    from cli.broker.rights import COLLECTORS, READS  # noqa: PLC0415 — the collectors' kinds take long to load

    topics = Topics(broker.base)
    with Asker(broker, topics.every(Verb.ABOUT), service=None) as asker:
        abouts = {
            topics.parse(topic).name: payload
            for topic, payload in asker.seen().items()
            if topics.is_below(Verb.ABOUT, topic)
        }
    if device not in abouts:
        raise CommandError(f"there is no device {device!r}; there are: {', '.join(sorted(abouts)) or 'none'}")
    try:
        about = decode(abouts[device])
    except (ValueError, BadTopicError) as error:
        raise CommandError(f"{device} describes itself wrongly: {error}") from error
    if about.service not in COLLECTORS:
        owner = about.service or "other software"
        raise CommandError(
            f"{device} is read by no collector but is {owner}'s; next: boondock watch {device}"
        )
    with Asker(broker, service=about.service) as asker:
        now = next(asker.pages(READS, {"device": device}, Now))
    return now, {name: entity.unit for name, entity in about.entities.items()}


def read_profile(profile: str, port: str, unit: int | None) -> tuple[Now, dict[str, str | None]]:
    """Return a device as a profile reads it now, and the units of its entities. Raises SettingsError."""
    # A collector's reader and its transports, which a question to the broker does not need.
    from collector.direct import read_profile as read_directly  # noqa: PLC0415 — as above

    try:
        found = read_directly(profile, port, unit)
    except ConfigError as error:
        raise SettingsError(str(error)) from error
    raw = [Raw(one.asked, one.answer) for one in found.raw]
    return Now(port, to_iso(time.time_ns() // 1_000_000), raw, found.values, found.problem), found.units


@talks
def read(
    house: House,
    device: Annotated[
        str | None, Argument(autocompletion=complete_devices, help="Its id, such as mppt.")
    ] = None,
    *,
    profile: Annotated[
        str | None, Option(metavar="FILE", help="Try a Modbus profile of your own, with --at and --unit.")
    ] = None,
    at: Annotated[
        str | None,
        Option(metavar="PORT", help="Where: /dev/ttyUSB0, tcp://192.168.1.20 or solarman://192.168.1.30."),
    ] = None,
    unit: Annotated[int | None, Option(min=1, max=247, help="Its Modbus unit.")] = None,
    as_json: Json = False,
) -> None:
    """Read one device now and show its bytes and its values; of Bluetooth the last frame heard.

    With --profile it needs no house: it asks the device itself. Its port must be free.
    """
    if profile is not None and at is not None:
        now, units = read_profile(profile, at, unit)
    elif device is None or (profile, at, unit) != (None, None, None):
        raise CommandError("name a device of the house, or both --profile FILE and --at PORT")
    else:
        now, units = read_device(house.broker(), device)
    lines = [f"{now.device} at {now.ts}"]
    lines += [f"  {one.asked}  ->  {one.answer}" for one in now.raw]
    lines += [
        f"  {name}  {shown(value)} {units.get(name) or ''}".rstrip() for name, value in now.values.items()
    ]
    lines += [f"  problem: {now.problem}"] if now.problem else []
    terminal.show(now, map(terminal.plain, lines), as_json=as_json)


# A relay with a feedback answers when its load has followed, a polled device when it is its turn.
_ANSWER_S = 65.0
_FROM = "boondock set"


def entity_of(text: str) -> tuple[str, str]:
    """Device and entity of `relay.pump` or `relay/pump`. Raises CommandError."""
    device, _, entity = text.replace("/", ".").partition(".")
    if not device or not entity:
        raise CommandError(f"{text!r} is no entity; allowed is DEVICE.ENTITY such as relay.pump")
    return device, entity


def switch(broker: Broker, entity: str, value: str, for_s: float | None) -> Result:
    """Send the command and wait for its answer. Raises CommandError with the refusal's reason."""
    device, part = entity_of(entity)
    number = f"cli-{secrets.token_hex(8)}"
    command: dict[str, object] = {"value": _value(value), "id": number, "from": _FROM}
    if for_s is not None:
        command["for"] = for_s
    try:
        topics = Topics(broker.base)
        answers, asked = topics.result(device, part), topics.set(device, part)
    except BadTopicError as error:
        raise CommandError(str(error)) from error
    with Asker(broker, answers, service=None) as asker:
        asker.publish(asked, msgspec.json.encode(command))
        result = _answer(asker, answers, number)
    if result.status == "ok":
        return result
    raise CommandError(f"{entity} was refused: {result.message} ({result.code})")


def _answer(asker: Asker, topic: str, number: str) -> Result:
    deadline = time.monotonic() + _ANSWER_S
    while (left := deadline - time.monotonic()) > 0:
        message = asker.heard(left)
        if message is None or message.topic != topic:
            continue
        try:
            result = decode_result(message.payload)
        except BadMessageError:  # a stranger's: ours is still to come
            continue
        if result.id == number:
            return result
    raise CommandError(
        f"no answer within {_ANSWER_S:g} s: nobody says whether it was obeyed;"
        " next: boondock watch shows the state"
    )


def _value(text: str) -> Value:
    """Read a number as one; ON, OFF, TOGGLE and options as they are written."""
    try:
        return float(text)
    except ValueError:
        return text


@talks
def set_output(
    house: House,
    entity: Annotated[
        str, Argument(metavar="DEVICE.ENTITY", autocompletion=complete_outputs, help="Such as relay.pump.")
    ],
    value: Annotated[str, Argument(help="ON, OFF, TOGGLE, a number, or one of its options.")],
    *,
    for_: Annotated[
        str | None, Option("--for", metavar="TIME", help="Off by itself after this: 90, 10m, 1h30m.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Send a command to an output, wait for the answer, and say why if it is refused."""
    for_s = None if for_ is None else terminal.duration(for_)
    result = switch(house.broker(), entity, value, for_s)
    until = (
        f" until {time.strftime('%H:%M:%S', time.localtime(from_iso(result.until) / 1000))}"
        if result.until
        else ""
    )
    actual = result.value if result.actual is None else result.actual
    terminal.show(result, [f"{entity} is {actual}{until}"], as_json=as_json)
