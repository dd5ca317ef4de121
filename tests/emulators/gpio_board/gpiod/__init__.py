"""Stands where libgpiod's Python package (gpiod 2) would: the same names, signatures and errors.

Written from libgpiod's documentation of the Python API and the kernel's of the GPIO character device. The
board is the folder of the chip's file `gpiochip0`, which holds the label; for a chip elsewhere it is the one
that TWIN_GPIO_BOARD names. A line is held by a lock on a file, which ends with its process as the kernel's
hold does.
"""

import errno
import fcntl
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from . import line as line
from .line import Bias, Direction, Edge, Value

_FOLDER = os.environ.get("TWIN_GPIO_BOARD")
if _FOLDER is None:
    raise ImportError("there is no board")
_HEADER = Path(_FOLDER)

# The real one has no such name; whoever switches these pins must not say that they are real.
BACKEND = "simulated"
_LINES = 54
_PULLS = {Bias.PULL_UP: "up", Bias.PULL_DOWN: "down", Bias.DISABLED: "off"}


class RequestReleasedError(Exception):
    def __init__(self) -> None:
        super().__init__("GPIO lines have been released")


@dataclass
class LineSettings:
    direction: Direction = Direction.AS_IS
    bias: Bias = Bias.AS_IS
    output_value: Value = Value.INACTIVE
    edge_detection: Edge = Edge.NONE
    debounce_period: timedelta = timedelta()


@dataclass(frozen=True)
class EdgeEvent:
    """GPIO_V2_LINE_EVENT: the kernel numbers the events of a line from 1 on, in 32 bits."""

    timestamp_ns: int
    line_seqno: int


@dataclass(frozen=True)
class ChipInfo:
    name: str
    label: str
    num_lines: int


@dataclass(frozen=True)
class LineInfo:
    offset: int
    used: bool
    consumer: str | None


class Chip:
    def __init__(self, path: str) -> None:
        self.path = _opened(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self.path = ""

    def get_info(self) -> ChipInfo:
        return ChipInfo(Path(self.path).name, Path(self.path).read_text(encoding="ascii").strip(), _LINES)

    def get_line_info(self, line: int | str) -> LineInfo:
        offset, board = _offset(line), _board(self.path)
        try:
            os.close(_hold(board, offset))
        except OSError:
            return LineInfo(offset, used=True, consumer=_hold_file(board, offset).read_text(encoding="utf-8"))
        return LineInfo(offset, used=False, consumer=None)


class LineRequest:
    """One line, held until it is released or its process ends."""

    # The kernel's own where nobody asks for more: 16 for each line.
    _DEFAULT_EVENTS = 16

    def __init__(
        self, board: Path, offset: int, hold: int, settings: LineSettings | None, events: int | None
    ) -> None:
        self._board, self._offset = board, offset
        self._hold: int | None = hold
        self._settings = settings or LineSettings()
        self._room = events or self._DEFAULT_EVENTS
        # Of the board's edges only those after the request are ours.
        self._read = len(self._edges())
        self._number = 0
        self._events: list[EdgeEvent] = []

    def wait_edge_events(self, timeout: timedelta | float | None = None) -> bool:
        assert timeout == timedelta(), "the twin cannot wait"
        self._gather()
        return bool(self._events)

    def read_edge_events(self, max_events: int | None = None) -> list[EdgeEvent]:
        self._gather()
        # The library reads as many at once as its own buffer holds.
        count = max_events or self._room
        read, self._events = self._events[:count], self._events[count:]
        return read

    def _edges(self) -> list[str]:
        path = self._board / f"pulses-{self._offset}"
        return path.read_text(encoding="ascii").splitlines() if path.exists() else []

    def _gather(self) -> None:
        self._pin(self._offset)
        edges = self._edges()
        for one in edges[self._read :]:
            when, edge, held_ns = one.split()
            wanted = self._settings.edge_detection in (Edge.BOTH, Edge[edge.upper()])
            if wanted and int(held_ns) >= self._settings.debounce_period.total_seconds() * 1e9:
                self._number = (self._number + 1) % (1 << 32)
                self._events.append(EdgeEvent(int(when), self._number))
        self._read = len(edges)
        # The kernel's fifo drops the oldest.
        self._events = self._events[-self._room :]

    def release(self) -> None:
        if self._hold is None:
            return
        driven = _pins(self._board).get(str(self._offset), {}).get("function") == "out"
        if not driven or not (self._board / "persist").exists():
            _set(self._board, self._offset, {"function": "in", "pull": "off"})
        os.close(self._hold)
        self._hold = None

    def get_value(self, line: int | str) -> Value:
        pin = self._pin(line)
        if pin["function"] == "out":
            return Value.ACTIVE if pin["latch"] == "high" else Value.INACTIVE
        try:
            wired = (self._board / str(self._offset)).read_text(encoding="ascii").strip()
        except FileNotFoundError:
            # What floats reads low here; on a real board it reads anything.
            wired = "high" if pin["pull"] == "up" else "low"
        return Value.ACTIVE if wired == "high" else Value.INACTIVE

    def set_value(self, line: int | str, value: Value) -> None:
        if self._pin(line)["function"] != "out":
            # GPIO_V2_LINE_SET_VALUES_IOCTL on an input.
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        _drive(self._board, self._offset, value)

    def reconfigure_lines(self, config: dict[Iterable[int | str] | int | str, LineSettings | None]) -> None:
        _configure(self._board, self._offset, config[self._offset])

    def _pin(self, line: int | str) -> dict[str, str]:
        if self._hold is None:
            raise RequestReleasedError
        if (self._board / "forbidden").exists():
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        assert _offset(line) == self._offset
        return _pins(self._board)[str(self._offset)]


def request_lines(
    path: str,
    config: dict[Iterable[int | str] | int | str, LineSettings | None],
    consumer: str | None = None,
    event_buffer_size: int | None = None,
    output_values: dict[int | str, Value] | None = None,  # noqa: ARG001 — the real one's signature
) -> LineRequest:
    _opened(path)
    ((offset, settings),) = config.items()
    assert isinstance(offset, int)
    board = _board(path)
    hold = _hold(board, _offset(offset))
    os.truncate(hold, 0)
    # The kernel cuts the name to 31 bytes.
    os.pwrite(hold, (consumer or "?")[:31].encode(), 0)
    _configure(board, offset, settings)
    return LineRequest(board, offset, hold, settings, event_buffer_size)


def _board(path: str) -> Path:
    folder = Path(path).parent
    return folder if (folder / "board").exists() else _HEADER


def _opened(path: str) -> str:
    if not Path(path).exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    if (_board(path) / "forbidden").exists():
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    if not Path(path).name.startswith("gpiochip"):
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), path)
    return path


def _offset(line: int | str) -> int:
    if not 0 <= int(line) < _LINES:
        raise ValueError("line offset of out range")
    return int(line)


def _hold_file(board: Path, offset: int) -> Path:
    return board / f"held-{offset}"


def _hold(board: Path, offset: int) -> int:
    hold = os.open(_hold_file(board, offset), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(hold)
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY)) from error
    return hold


def _configure(board: Path, offset: int, settings: LineSettings | None) -> None:
    settings = settings or LineSettings()
    if settings.direction is Direction.OUTPUT:
        _drive(board, offset, settings.output_value)
    elif settings.direction is Direction.INPUT:
        _set(board, offset, {"function": "in", "pull": _PULLS[settings.bias]})


def _drive(board: Path, offset: int, value: Value) -> None:
    """Drive a level, and note it if a voltmeter would see anything new."""
    driven = {"function": "out", "pull": "off", "latch": "high" if value else "low", "by": "gpiod"}
    if _pins(board).get(str(offset)) == driven:
        return
    _set(board, offset, driven)
    with (board / "edges").open("a", encoding="ascii") as edges:
        edges.write(f"{offset} {driven['latch']}\n")


def _pins(board: Path) -> dict[str, dict[str, str]]:
    path = board / "pins.json"
    found: dict[str, dict[str, str]] = json.loads(path.read_text()) if path.exists() else {}
    return found


def _set(board: Path, offset: int, pin: dict[str, str]) -> None:
    pins = _pins(board)
    pins[str(offset)] = pin
    fresh = board / "pins.json.new"
    fresh.write_text(json.dumps(pins), encoding="ascii")
    fresh.replace(board / "pins.json")
