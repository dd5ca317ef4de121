"""Times and durations as people write them; what time it is now and the zone are arguments."""

import re
from datetime import datetime, time, timedelta, tzinfo

from cli.errors import CommandError

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
            clock = time.fromisoformat(text if text[2] == ":" else f"0{text}")
            moment = datetime.combine(here.date(), clock, zone)
            return moment, moment
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
        # The first and the last year have no neighbours in all zones.
        return _day(moment, 0) if re.fullmatch(r"[\d-]+", text) else (moment, moment)
    except (ValueError, OverflowError) as error:
        raise CommandError(f"{text!r} is no time; allowed: {ALLOWED}") from error


def _day(moment: datetime, days: int) -> Span:
    """A day of the calendar, which may have 23 or 25 hours."""
    first = moment.date() + timedelta(days=days)
    return _midnight(first.year, first.month, first.day, moment), _midnight(
        *(first + timedelta(days=1)).timetuple()[:3], moment
    )


def _midnight(year: int, month: int, day: int, like: datetime) -> datetime:
    return datetime(year, month, day, tzinfo=like.tzinfo)


def _period(here: datetime, name: str, back: int) -> Span:
    """A week that begins on Monday, a month or a year."""
    if name == "week":
        first = here.date() - timedelta(days=here.weekday() - 7 * back)
        last = first + timedelta(days=7)
        return _midnight(*first.timetuple()[:3], here), _midnight(*last.timetuple()[:3], here)
    if name == "year":
        return _midnight(here.year + back, 1, 1, here), _midnight(here.year + back + 1, 1, 1, here)
    months = here.year * 12 + here.month - 1 + back
    return tuple(_midnight(m // 12, m % 12 + 1, 1, here) for m in (months, months + 1))  # type: ignore[return-value]  # two


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
