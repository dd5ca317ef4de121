"""The text of a meter: P1 (DSMR 2.2 to 5, Belgium, Luxembourg, Sweden, ...) and IEC 62056-21.

A line is a code and values in parentheses, `1-0:1.8.1(000123.456*kWh)`; a meter of IEC 62056-21 may shorten
the code to `1.8.1` or `1.8`. What other meters have told it by M-Bus has a time of its own.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from collector.devices.description import BadRecordError, Decoded, Earlier, ImplausibleError, Values
from collector.devices.lines import Telegram
from collector.devices.meters.makers import maker
from collector.devices.meters.obis import BEHIND, CODES, Number, Said
from collector.devices.rows import SERIAL_NUMBER

_LINE = re.compile(r"(?:(\d{1,3})-(\d{1,3}):)?([0-9A-F.]{1,12})(?:\*(\d{1,3}))?((?:\([^()]*\))+)", re.ASCII)
_VALUE = re.compile(r"\(([^()]*)\)")
_NUMBER = re.compile(r"([+-]?\d{1,15}(?:\.\d{1,9})?)(?:\*([A-Za-z0-9³]{1,8}))?", re.ASCII)
_TIME = re.compile(r"(\d{12})([SW])")
# S: summer time, one hour before winter time; both of the zone that all P1 meters with such a time are in.
_AHEAD = {"S": timedelta(hours=2), "W": timedelta(hours=1)}
_NAME = re.compile(r"/([A-Za-z&+]{3}).?(.*)", re.ASCII)
_NOW, _TARIFF = "1.0.0", "96.14.0"
_SERIALS = ("96.1.1", "96.1.0", "96.1.255", "42.0.0", "C.1.0", "0.0.0")
_TYPE, _BEHIND, _BEHIND_OLD = "24.1.0", ("24.2.1", "24.2.3"), "24.3.0"
_NO_HISTORY = "255"
# So old a counter's own time may be: others tell one value an hour, or one a day.
_OLDEST_MS = 49 * 3_600_000
_LONGEST = 64
_MOST_NUMBER = 1e12


def decode(telegram: Telegram, before: dict[str, int]) -> Decoded:
    """Read a telegram; `before` holds the own times that were told already, and is brought up to date.

    Raises DecodeError.
    """
    name, *lines = telegram.data.decode("ascii", "replace").rstrip("!").splitlines()
    codes: dict[tuple[str, str], list[str]] = {}
    for channel, code, texts in _lines(lines, strict=not telegram.checked):
        codes.setdefault((channel, code), texts)
    said = Said()
    for (channel, code), texts in codes.items():
        number = _number(texts[-1]) if channel == "0" and code in CODES else None
        if number is not None:
            said.numbers[code] = number
    _read_texts(codes, said)
    _read_behind(codes, said)
    values = said.values()
    if not (said.numbers or said.behind):
        raise BadRecordError("the telegram has none of the values that are known: is it a meter's?")
    known = _NAME.match(name)
    return Decoded(
        values,
        model=None if known is None else known[2].removeprefix("\\2").strip()[:_LONGEST] or None,
        manufacturer=None if known is None else maker(known[1]),
        unknown=tuple(said.unknown),
        earlier=tuple(_earlier(said, codes, values, before)),
    )


def _lines(lines: list[str], *, strict: bool) -> Iterator[tuple[str, str, list[str]]]:
    """Yield the channel, the code C.D.E and the values of each line of the present."""
    whole: list[str] = []
    for line in lines:
        # A value may stand on a line of its own, behind its code.
        if line.startswith("(") and whole:
            whole[-1] += line
        elif line.strip():
            whole.append(line.strip())
    for line in whole:
        found = _LINE.fullmatch(line)
        if found is None and strict:
            raise BadRecordError(f"the line {line[:40]!r} is damaged, and the telegram has no checksum")
        # Behind the star a number says of which earlier month the value is.
        if found is not None and found[4] in (None, _NO_HISTORY):
            code = found[3] if found[3].count(".") > 1 else f"{found[3]}.0"
            # Of electricity (1) all channels are the meter's own.
            channel = found[2] if found[1] == "0" else "0"
            yield channel, code, _VALUE.findall(found[5])


def _number(text: str) -> Number | None:
    found = _NUMBER.fullmatch(text.strip())
    if found is None:
        return None
    number = float(found[1])
    if abs(number) > _MOST_NUMBER:
        raise ImplausibleError(f"implausible: {text[:40]}")
    return number, found[2]


def _read_texts(codes: dict[tuple[str, str], list[str]], said: Said) -> None:
    serials = (codes.get(("0", code), [""])[0].strip() for code in _SERIALS)
    serial = next((one for one in serials if one.strip("0")), None)
    if serial is not None:
        said.texts[SERIAL_NUMBER] = _plain(serial)
    tariff = codes.get(("0", _TARIFF), [""])[0].strip()
    if tariff:
        said.texts["tariff"] = tariff.lstrip("0")[:_LONGEST] or "0"


def _plain(text: str) -> str:
    """Return a text that some meters write as the hexadecimal codes of its characters."""
    try:
        found = bytes.fromhex(text).decode("ascii")
    except ValueError:
        found = ""
    return (found if found.isprintable() and len(found) > 1 else text)[:_LONGEST]


def _read_behind(codes: dict[tuple[str, str], list[str]], said: Said) -> None:
    """Read the counters of gas, water and heat, of the lowest channel first."""
    for channel in sorted({channel for channel, _ in codes} - {"0"}):
        kind = codes.get((channel, _TYPE), [""])[0]
        values = next((codes[channel, c] for c in (*_BEHIND, _BEHIND_OLD) if (channel, c) in codes), [])
        entity = BEHIND.get(int(kind)) if kind.isdigit() else None
        # DSMR 2 and 3 write the unit before the value, and both at the end.
        unit = values[-2:-1] if (channel, _BEHIND_OLD) in codes else []
        number = _number("*".join((*values[-1:], *unit)))
        if entity is None or number is None:
            continue
        entity = f"{entity}_2" if entity in said.behind and f"{entity}_2" in _SECOND else entity
        if entity not in said.behind:
            said.behind[entity] = number
            when = _when(values[0])
            if when is not None:
                said.times[entity] = when


_SECOND = ("gas_2", "water_2")


def _when(text: str) -> int | None:
    """Return a time of the meter, ms since 1970 UTC; None if it is none, or does not say summer or winter."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    try:
        wall = datetime.strptime(found[1], "%y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return round((wall - _AHEAD[found[2]]).timestamp() * 1000)


def _earlier(
    said: Said,
    codes: dict[tuple[str, str], list[str]],
    values: Values,
    before: dict[str, int],
) -> Iterator[Earlier]:
    """Yield the counters that were read by their own meters since the last telegram, with those times."""
    now = _when(codes.get(("0", _NOW), [""])[0])
    for entity, ts in said.times.items():
        if now is not None and 0 <= now - ts <= _OLDEST_MS and before.get(entity) != ts:
            before[entity] = ts
            yield Earlier(ts, {entity: values[entity]})
