"""Devices that speak Modbus: registers as numbers and texts, addresses, the block engine."""

import math
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from collector.devices.description import (
    Decoded,
    DecodeError,
    LineError,
    NoAnswerError,
    RefusedError,
    SettingError,
    Values,
)
from config.addresses import NETWORK, SOLARMAN
from config.model import Device

SIZES: Mapping[str, int] = {"u16": 1, "i16": 1, "u32": 2, "i32": 2, "u64": 4, "i64": 4, "f32": 2, "str": 0}
"""Registers of each type; a str has its own count."""
# A float32 carries no more digits than these; beyond them decimals are invented by the conversion.
F32_DIGITS = 7
# Beyond are SunSpec's "not implemented", and powers of ten nobody means.
POWERS = range(-10, 11)
# A float of a command is so far from its decimal number at most.
_NOISE = Decimal("1e-6")


def number(kind: str, words: tuple[int, ...], *, little: bool) -> int | Decimal | None:
    """Return the number in `words`, None for NaN and infinity; `little`: the low word comes first."""
    raw = 0
    for word in reversed(words) if little else words:
        raw = raw << 16 | word
    if kind == "f32":
        (value,) = struct.unpack(">f", raw.to_bytes(4))
        return Decimal(f"{value:.{F32_DIGITS}g}") if math.isfinite(value) else None
    bits = 16 * len(words)
    return raw - (1 << bits) if kind[0] == "i" and raw >> bits - 1 else raw


def raw_bounds(kind: str) -> tuple[int, int] | None:
    """Return the least and the largest raw number of a type, None if it is no whole number."""
    if kind not in SIZES or kind in ("f32", "str"):
        return None
    bits = 16 * SIZES[kind]
    return (0, 2**bits - 1) if kind[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def as_words(kind: str, raw: Decimal, *, little: bool) -> tuple[int, ...]:
    """Return the registers that say a number, as `number` reads them.

    Raises ValueError or OverflowError if they cannot.
    """
    size = SIZES[kind]
    if kind == "f32":
        (whole,) = struct.unpack(">I", struct.pack(">f", float(raw)))
    else:
        whole, bounds = round(raw), raw_bounds(kind)
        if bounds is None or not bounds[0] <= whole <= bounds[1] or abs(raw - whole) > _NOISE:
            raise ValueError(f"a {kind} cannot be {raw}")
    words = tuple(whole >> 16 * place & 0xFFFF for place in range(size))
    return words if little else words[::-1]


def text(words: tuple[int, ...]) -> str | None:
    """Return the ASCII in `words` up to the first NUL, None if there is none or it is no text."""
    raw = struct.pack(f">{len(words)}H", *words).split(b"\0")[0].strip()
    if not raw or not raw.isascii():
        return None
    found = raw.decode("ascii")
    return found if found.isprintable() else None


def not_available(kind: str, convention: str) -> list[int]:
    """Return the raw numbers that mean `not available` in a maker's convention.

    `highest`: unsigned all ones and signed the highest; `lowest`: signed the lowest.
    """
    if convention == "none" or kind in ("f32", "str"):
        return []
    bits = SIZES[kind] * 16
    if kind.startswith("u"):
        return [2**bits - 1]
    return [2 ** (bits - 1) - 1 if convention == "highest" else -(2 ** (bits - 1))]


@cache
def _last_digit(precision: int) -> Decimal:
    return Decimal(1).scaleb(-precision)


def rounded(value: int | Decimal, precision: int) -> float:
    """Return the value with `precision` decimals, without the noise of binary fractions; no negative zero."""
    if isinstance(value, int):
        return value if precision <= 0 else float(value)
    short = value.quantize(_last_digit(precision))
    return int(short) if precision <= 0 else float(short) + 0.0


# A block that a model does not have is asked ever less often: the firmware may be newer one day.
_LAST_RETRY_S = 3600.0
# A poll comes a little early or late; a block is due within this of its time.
_SLACK_S = 0.5
_NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Request:
    """One request: seconds from one answer to the next, whether some models lack it, what it tells.

    `block` is what the device's kind reads by it.
    """

    name: str
    block: Any
    every: float = 0.0
    optional: bool = False
    entities: tuple[str, ...] = ()


@dataclass(slots=True)
class _State:
    """Of one block: when it is due, how often in a row it was missed, what it told last."""

    due: float = _NEVER
    missed: int = 0
    told: Decoded | None = None


@dataclass(slots=True)
class BlockReader:
    """Reads the blocks of one device and remembers what they told.

    A missed optional block is asked for again after `retry` seconds, then ever later. If `strict`, each
    entity is told from the start, silence about a block that answered before fails the poll, and a failed
    poll forgets which blocks were missed. `nothing` is the error if no block answers.
    """

    retry: float = 30.0
    strict: bool = False
    nothing: str = "it refuses all that it was asked for"
    _states: defaultdict[str, _State] = field(default_factory=lambda: defaultdict(_State))

    def poll(self, requests: Sequence[Request], read: Callable[[Any], Decoded], now: float) -> Decoded:
        """Read what is due and return what all told; `read` is given a block.

        Raises what `read` raises, RefusedError.
        """
        try:
            self._read([one for one in requests if now >= self._states[one.name].due - _SLACK_S], read, now)
        except (DecodeError, LineError):
            # It may be another device when it comes back: nothing of before counts.
            if self.strict:
                self.forget()
            for state in self._states.values():
                state.told, state.due = None, state.due if state.missed else min(state.due, now)
            raise
        return self._told([self._states[one.name] for one in requests])

    def forget(self) -> None:
        """Forget what blocks told: it was another device."""
        self._states.clear()

    def ask_again(self, names: Iterable[str]) -> None:
        """Read these blocks with the next poll: what they told may have been changed."""
        for state in (self._states[name] for name in names):
            state.due = state.due if state.missed else _NEVER

    def _read(self, due: list[Request], read: Callable[[Any], Decoded], now: float) -> None:
        heard = not due
        # What every model has comes first: a device that is not there is found out at once.
        for request in sorted(due, key=lambda one: one.optional):
            state = self._states[request.name]
            try:
                state.told = read(request.block)
            except (RefusedError, NoAnswerError) as error:
                # Some models keep silent where others refuse.
                away = not heard or (self.strict and state.told is not None and not state.missed)
                if not request.optional or (isinstance(error, NoAnswerError) and away):
                    raise
                self._miss(request, state, now)
                continue
            heard = True
            state.due, state.missed = now + request.every, 0
        if not heard:
            raise RefusedError(self.nothing)

    def _miss(self, request: Request, state: _State, now: float) -> None:
        state.due = now + min(self.retry * 2**state.missed, _LAST_RETRY_S)
        state.missed = min(state.missed + 1, 10)
        # What it told before is unknown now.
        if self.strict:
            state.told = Decoded(dict.fromkeys(request.entities))
        elif state.told is not None:
            state.told = Decoded(dict.fromkeys(state.told.values))

    def _told(self, states: Iterable[_State]) -> Decoded:
        values: Values = {}
        unknown: tuple[str, ...] = ()
        reasons: dict[str, str] = {}
        for told in (state.told for state in states if state.told is not None):
            for entity, value in told.values.items():
                # Where two blocks tell the same, the first that knows it counts.
                if values.get(entity) is None:
                    values[entity] = value
            unknown += told.unknown
            reasons |= told.reasons
        return Decoded(values, unknown=unknown, reasons=reasons)


_FORM = "tcp://192.168.1.20, tcp://inverter.local:1502, solarman://192.168.1.30, or the path of a serial port"
# SunSpec Device Information Model Specification 1.1, 6.2: "SunS" at one of these.
SUNSPEC_BASES = (40000, 0, 50000)
SUNSPEC_MARKER = (0x5375, 0x6E53)


# Modbus over Serial Line V1.02, 2.2: 0 is for all units, and none has a higher one.
_UNITS = range(1, 248)
# Also units by which a device that needs no address is asked, and Renogy's behind a BT-1 or BT-2.
_MORE_UNITS = {"tcp": (0, 255), "ble": (255,)}


def unit_of(settings: Device, default: int) -> int:
    """Return the unit of a device."""
    return default if settings.unit is None else settings.unit


def check_port(settings: Device) -> None:
    """Raise SettingError if the port is no address on the network, or if unit or logger do not go with it."""
    port = settings.port or ""
    more = _MORE_UNITS.get(port.partition("://")[0], ())
    if settings.unit is not None and settings.unit not in (*_UNITS, *more):
        also = " or ".join(map(str, more))
        allowed = f"1 to 247, and {also}" if more else "1 to 247; 0 and 255 are for tcp:// only"
        raise SettingError("unit", f"{settings.unit} is no unit of such a port", allowed)
    if settings.logger is not None and not port.startswith(SOLARMAN):
        raise SettingError("logger", "such a port has no data logger", "with solarman:// only")
    if port.startswith(tuple(NETWORK)):
        try:
            tcp_address(port)
        except ValueError as error:
            raise SettingError("port", str(error), _FORM) from error


def tcp_address(port: str) -> tuple[str, int]:
    """Host and port number of a tcp:// or solarman:// setting. Raises ValueError saying what is wrong."""
    parts = urlsplit(port)
    at, usual = parts.port, NETWORK.get(f"{parts.scheme}://")
    if usual is None or not parts.hostname:
        raise ValueError(f"{port!r} names no host")
    if parts.path.strip("/") or parts.query or parts.username:
        raise ValueError(f"{port!r} has more than host and port")
    return parts.hostname, usual if at is None else at
