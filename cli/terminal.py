"""What people see and write in the terminal: errors in one line, lines or JSON, a bar, a report, times.

The installer uses it too, on Python's own library: what needs another is imported where it is used.
"""

import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from datetime import date, datetime, timedelta, tzinfo
from datetime import time as time_of_day


class CommandError(Exception):
    """What was asked for cannot be had; the text is for the person at the terminal."""

    exit_code = 1


class SettingsError(CommandError):
    """The settings cannot be used; the text has a line for each mistake."""

    exit_code = 78


def sentence(command: str, error: Exception) -> str:
    """One line: what is wrong, and the next step where one helps; of settings a line for each mistake."""
    if isinstance(error, SettingsError):
        return str(error)
    if not isinstance(error, OSError):
        return f"boondock {command}: {error}"
    what = f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
    step = f"; next: sudo boondock {command} …" if isinstance(error, PermissionError) else ""
    return f"boondock {command}: {what}{step}"


def show(data: object, lines: Iterable[str], *, as_json: bool) -> None:
    """Print `data` as one line of JSON, or else the lines."""
    if as_json:
        import msgspec  # noqa: PLC0415 — the installer runs without it

        print(msgspec.json.encode(data).decode())
        return
    for line in lines:
        print(line)


def told(lines: Iterable[str], *, as_json: bool) -> None:
    """Print each line as soon as it comes, or all of them as one object of JSON, `done`."""
    done = []
    for line in lines:
        done.append(line)
        if not as_json:
            print(line, flush=True)
    if as_json:
        show({"done": done}, (), as_json=True)


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows as lines: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        yield "  ".join((f"  {first.ljust(widths[0])}", *cells)).rstrip()


def plain(text: str) -> str:
    """Text from a device or the air, which cannot paint the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


_WIDTH = 40
_EVERY_S = 0.2


def shown(value: object) -> str:
    """Write a value for people; a text from a device cannot paint the terminal."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.10g}"
    return plain(str(value))


class Progress:
    """Shows a share of the whole; silent when standard error is no terminal."""

    def __init__(self) -> None:
        self.shown = sys.stderr.isatty()
        self._next = 0.0

    def show(self, share: float, text: str) -> None:
        """Draw the bar at a share of 0 to 1, some times a second at most."""
        if self.shown and time.monotonic() >= self._next:
            self._next = time.monotonic() + _EVERY_S
            full = round(min(max(share, 0.0), 1.0) * _WIDTH)
            print(
                f"\r[{'#' * full}{'.' * (_WIDTH - full)}] {text}\x1b[K", end="", file=sys.stderr, flush=True
            )

    def done(self) -> None:
        """Remove the bar."""
        if self.shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


ALLOWED = (
    "now, today, yesterday, this or last week, month or year, 90m, 12h, 7d or 2w (so long ago), 14:30,"
    " 2026-11-20, 2026-11-20 14:30 or 2026-11-20T14:30:00Z"
)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?) *(s|sec|min|m|h|d|w)[a-z]*(?: +ago)?", re.ASCII)
_DURATION = re.compile(rf"(?:{_AMOUNT.pattern} *)+", re.ASCII)
_LONGEST_S = 10 * 366 * 86_400
Span = tuple[datetime, datetime]


def span(text: str, now: datetime, zone: tzinfo) -> Span:
    """Where what is meant begins and ends; of a moment both are the same. Raises CommandError."""
    words = " ".join(text.lower().split())
    here = now.astimezone(zone)
    if words == "now":
        return now, now
    if words in ("today", "yesterday"):
        return _day(here, 0 if words == "today" else -1)
    if found := re.fullmatch(r"(this|last) (week|month|year)", words):
        return _period(here, found[2], 0 if found[1] == "this" else -1)
    if _AMOUNT.fullmatch(words):
        moment = now - timedelta(seconds=duration(words.removesuffix("ago")))
        return moment, moment
    return _written(text.strip(), here, zone)


def _written(text: str, here: datetime, zone: tzinfo) -> Span:
    try:
        if re.fullmatch(r"\d\d?:\d\d(:\d\d)?", text):
            clock = time_of_day.fromisoformat(text if text[2] == ":" else f"0{text}")
            moment = datetime.combine(here.date(), clock, zone)
            return moment, moment
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
        # The first and the last year have no neighbours in all zones.
        return _day(moment, 0) if re.fullmatch(r"[\d-]+", text) else (moment, moment)
    except (ValueError, OverflowError) as error:
        raise CommandError(f"{text!r} is no time; allowed: {ALLOWED}") from error


def _day(moment: datetime, days: int) -> Span:
    """Find a day of the calendar, which may have 23 or 25 hours."""
    first = moment.date() + timedelta(days=days)
    return _midnights(first, first + timedelta(days=1), moment.tzinfo)


def _midnights(first: date, last: date, zone: tzinfo | None) -> Span:
    return datetime.combine(first, time_of_day(), zone), datetime.combine(last, time_of_day(), zone)


def _period(here: datetime, name: str, back: int) -> Span:
    """Find a week that begins on Monday, a month or a year."""
    today = here.date()
    if name == "week":
        first = today - timedelta(days=today.weekday() - 7 * back)
        return _midnights(first, first + timedelta(days=7), here.tzinfo)
    if name == "year":
        return _midnights(date(today.year + back, 1, 1), date(today.year + back + 1, 1, 1), here.tzinfo)
    month = today.year * 12 + today.month - 1 + back
    first, last = (date(one // 12, one % 12 + 1, 1) for one in (month, month + 1))
    return _midnights(first, last, here.tzinfo)


def duration(text: str) -> float:
    """Seconds of `90`, `90s`, `10m`, `1h30m`, `2 h`, `7 days`. Raises CommandError."""
    words = text.strip().lower()
    seconds = 0.0
    if re.fullmatch(r"\d+(\.\d+)?", words, re.ASCII):
        seconds = float(words)
    elif _DURATION.fullmatch(words):
        seconds = sum(float(number) * _UNITS[unit[0]] for number, unit in _AMOUNT.findall(words))
    if not 0 < seconds <= _LONGEST_S:
        raise CommandError(f"{text!r} is no length of time; allowed: 90 (seconds), 30s, 10m, 1h30m, 7d")
    return seconds


def age(seconds: float) -> str:
    """How long ago, in one unit: `5 s`, `3 min`, `2 h`, `4 d`."""
    for below, by, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < below:
            return f"{max(0, seconds) // by:.0f} {unit}"
    return f"{seconds // 86_400:.0f} d"


_NEXT = "next:"
_INTERRUPTED = 130


class Report:
    """Tells lines as they come, and keeps them: what was done, what failed, what to do next."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.failed: str | None = None
        self.next: list[str] = []

    def say(self, line: str) -> None:
        """Show what is done or known, at once."""
        print(line, flush=True)
        self.done += [one.strip() for one in line.splitlines() if one.strip() and not one.startswith("==")]

    def ask(self, line: str) -> None:
        """Show what belongs to a question."""
        print(line, flush=True)

    def advise(self, lines: Iterable[str]) -> None:
        """Show what to do next."""
        for line in lines:
            print(line, flush=True)
            self.next += [line.strip()] if line.strip() and line != "Next:" else []

    def fail(self, said: str) -> None:
        """Keep a failure, whose lines that begin with "next:" say what to do."""
        lines = said.splitlines()
        steps = [line for line in lines if line.startswith(_NEXT)]
        self.failed = "\n".join(line for line in lines if line not in steps)
        self.next += [line.removeprefix(_NEXT).strip() for line in steps]


def guarded(do: Callable[[Report], int], *, as_json: bool = False) -> int:
    """Run a command and return its exit code; what went wrong is told in its own words.

    With `as_json` standard output gets one object at the end, and all else goes to standard error.
    """
    report = Report()
    if not as_json:
        return _ended(do, report)
    with redirect_stdout(sys.stderr):
        code = _ended(do, report)
    said = {"ok": code == 0, "done": report.done, "failed": report.failed, "next": report.next}
    print(json.dumps(said, ensure_ascii=False))
    return code


def _ended(do: Callable[[Report], int], report: Report) -> int:
    try:
        return do(report)
    except (CommandError, OSError) as error:
        said, code = str(error), getattr(error, "exit_code", 1)
    except KeyboardInterrupt:
        said, code = "interrupted\nnext: run the same command again, it goes on from here", _INTERRUPTED
    # Each line is told before it is done: the last one was not.
    del report.done[-1:]
    report.fail(said)
    print(f"boondock: {said}", file=sys.stderr)
    return code
