"""One device now: the verb `read`, and what the command reads by itself, without a house or a broker."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import Struct

from bus.commands import Code, Refused
from bus.messages import Value, Values, to_iso
from bus.requests import Action, Listing, Part, Parts, action
from collector.device import Owned, Readings
from collector.device_store import Which
from collector.devices import KERNEL, find_kind
from collector.devices.description import (
    BadRecordError,
    Decoded,
    DecodeError,
    LineError,
    NoAnswerError,
    PolledKind,
    Row,
    SettingError,
)
from collector.devices.lines import Line, VeDirectLine
from collector.polling import LineVerb, PollingSource
from config.mistakes import ConfigError, Mistake
from config.model import Device

# Characters of a raw answer, and how many questions are told: an answer has bounds.
_LONGEST, _MOST = 400, 60


class Raw(Struct, frozen=True):
    """One question to the device and what came back; bytes are hexadecimal."""

    asked: str
    answer: str


class Now(Struct, frozen=True):
    """A device as it was read at `ts`; `problem` says why values are missing."""

    device: str
    ts: str
    raw: list[Raw]
    values: dict[str, Value]
    problem: str | None = None


def read_at(
    readings: Readings, device: str, at: float, raw: list[Raw], *, values: Values, problem: str | None = None
) -> Now:
    """Return what was read at monotonic second `at`."""
    ts = readings.clock.wall() - int((readings.clock.monotonic() - at) * 1000)
    return Now(device, to_iso(ts), raw, dict(values), problem)


class AskNow(LineVerb):
    """Devices that are asked: one poll more, in turn with those of its line; its values are published."""

    def __init__(self, source: PollingSource, readings: Readings) -> None:
        super().__init__(source, readings)
        self._being_read: set[str] = set()

    def action(self) -> Action:
        """Return the verb read."""
        return action(Which, lambda asked, _place: Listing.whole(self.parts(asked.device)))

    def parts(self, name: str) -> Parts:
        """Answer for a device of ours. Raises Refused."""
        device = ours(self._readings, name)
        if name in self._being_read:
            raise Refused(Code.BUSY, f"{name} is being read: wait for that answer")
        self._being_read.add(name)
        raw: list[Raw] = []
        line = self._source.visit(device)
        try:
            answered = yield from self._ask(line, recorded_poll(device, raw))
        finally:
            self._being_read.discard(name)
            self._source.leave(line)
        if answered.why is not None:
            yield Part(
                (), read_at(self._readings, name, answered.at, raw, values={}, problem=str(answered.why))
            )
            return
        if self._readings.get(name) is device:
            # What it remembers is told once: it must not be lost.
            self._readings.said(device, answered.found, answered.at)
        yield Part((), read_at(self._readings, name, answered.at, raw, values=answered.found.values))


def recorded_poll(device: Owned, raw: list[Raw]) -> Callable[[Line, float], Decoded]:
    """Return a poll of a device that notes every request and its answer in `raw`."""
    poller = device.poller
    assert poller is not None  # noqa: S101 — devices that are asked have one
    return lambda line, now: poller.poll(_Recorded(line, raw), now)


class _Recorded:
    """A line that notes what is asked and answered."""

    def __init__(self, line: Line, raw: list[Raw]) -> None:
        self._line = line
        self._raw = raw

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 — whatever the line has
        found = getattr(self._line, name)
        return self._noted(name, found) if callable(found) else found

    def _noted(self, name: str, method: Callable[..., object]) -> Callable[..., object]:
        def ask(*arguments: object, **options: object) -> object:
            answer = method(*arguments, **options)
            if len(self._raw) < _MOST:
                # How an answer is found in the bytes is no part of the question.
                said = (one for one in arguments if not callable(one))
                given = (*map(shown, said), *(f"{key}={shown(one)}" for key, one in options.items()))
                self._raw.append(Raw(f"{name}({', '.join(given)})"[:_LONGEST], shown(answer)[:_LONGEST]))
            return answer

        return ask


def shown(value: object) -> str:
    """Show what a line gave as text: bytes in hexadecimal."""
    match value:
        case bytes() | bytearray():
            return value.hex() or "(nothing)"
        case Mapping():
            return "{" + ", ".join(f"{shown(key)}: {shown(one)}" for key, one in value.items()) + "}"
        case str():
            return value
        case Sequence():
            return "[" + " ".join(map(shown, value)) + "]"
        case _:
            return str(value)


def ours(readings: Readings, name: str) -> Owned:
    """Return a device of this collector. Raises Refused."""
    device = readings.get(name)
    if device is None:
        listed = ", ".join(sorted(one.id for one in readings)) or "none"
        raise Refused(
            Code.NOT_FOUND, f"device: there is no {name[:64]!r} here; this collector reads {listed}"
        )
    return device


def read_kernel(device: Device, root: Path) -> str | None:
    """Read a sensor of the kernel once; return what is wrong, None: nothing, empty: it is no such device."""
    from collector.transports.kernel import KernelFiles  # noqa: PLC0415 — only the command needs it

    kind = find_kind(device.kind)
    if kind.wire is not KERNEL or not isinstance(kind, PolledKind):
        return ""
    try:
        kind.make(device).poll(KernelFiles(root), 0.0)
    except (DecodeError, LineError) as error:
        return str(error)
    return None


def describe_profile(profile: str) -> list[str]:
    """Check a profile file and return a line about it and one for each entity. Raises ConfigError."""
    from collector.devices.modbus.models import load  # noqa: PLC0415 — only the command needs it

    try:
        found = load(profile)
    except SettingError as error:
        raise ConfigError(
            [Mistake(profile, "", error.wrong.removeprefix(f"{profile}: "), error.allowed)]
        ) from error
    rows = found.rows()
    head = f"{profile}: good. {found.about.title}, {len(found.blocks)} requests, {len(rows)} entities"
    return [head, *(f"  {_described(key, row)}" for key, row in rows.items())]


def _described(entity: str, row: Row) -> str:
    one = row.entity
    line = f"{entity}  {one.name}  {one.unit or ''}".rstrip()
    if row.write is None:
        return line
    numbers = "" if one.range is None else f" {one.range[0]:g} to {one.range[1]:g}"
    return f"{line}  (a setting{numbers}: it obeys commands with allow_write = true)"


# A whole block after the first checksum: a device sends one each second.
PATIENCE_S = 4.0


@dataclass(frozen=True, slots=True)
class Speaker:
    """The kind and model of what speaks, or why neither is known; `is_open`: the port could be opened."""

    kind: str | None
    model: str | None
    note: str | None
    is_open: bool = True


def listen(port: str, *, patience: float = PATIENCE_S) -> Speaker:
    """Listen at 19200 bit/s for `patience` seconds at most; nothing is sent."""
    from collector.transports.vedirect import VeDirectCable  # noqa: PLC0415 — the same

    cable = VeDirectCable(port, patience=patience)
    try:
        cable.open()
        return heard_on(cable)
    except LineError as error:
        return Speaker(None, None, str(error), is_open=False)
    finally:
        cable.close()


def heard_on(cable: VeDirectLine) -> Speaker:
    """Say what speaks on an open cable. Raises LineError."""
    from collector.devices.victron.vedirect import decode  # noqa: PLC0415 — the same

    try:
        fields = _fields(cable)
    except NoAnswerError:
        return Speaker(None, None, "says nothing by itself")
    except BadRecordError:
        if cable.told():
            return Speaker("vedirect", None, "says no text by itself, only HEX")
        return Speaker(None, None, "speaks, but not VE.Direct at 19200 bit/s")
    try:
        return Speaker("vedirect", decode(fields).model, None)
    except DecodeError as error:
        return Speaker("vedirect", None, str(error))


def _fields(cable: VeDirectLine) -> dict[str, str]:
    """Read what a device says of itself: a battery monitor has two blocks, its product id is in one."""
    fields: dict[str, str] = {}
    for _ in range(2):
        for block in cable.blocks():
            fields |= block
        if "PID" in fields:
            break
    return fields
