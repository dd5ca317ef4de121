"""Reads InfluxDB's line protocol, from its reference: syntax, data types and quotes, special characters."""

from dataclasses import dataclass, field


@dataclass
class Point:
    """A line: times as they stand there."""

    measurement: str
    tags: dict[str, str] = field(default_factory=dict)
    fields: dict[str, float | int | str | bool] = field(default_factory=dict)
    timestamp: int | None = None


class LineError(ValueError):
    """A line that InfluxDB would refuse."""


def parse(text: str) -> list[Point]:
    """Read lines; those that are empty or begin with # say nothing."""
    return [_line(line) for line in text.split("\n") if line and not line.startswith("#")]


def _line(line: str) -> Point:
    head, at = _until(line, 0, " ")
    body, at = _until(line, at + 1, " ", quotes=True)
    parts = _split(head, ",")
    point = Point(_bare(parts[0], ", "))
    if not point.measurement:
        raise LineError(f"no measurement: {line!r}")
    for part in parts[1:]:
        key, value = _pair(part, line)
        if key in point.tags:
            raise LineError(f"the tag {key} twice: {line!r}")
        point.tags[key] = _bare(value, ",= ")
    for part in _split(body, ",", quotes=True):
        key, value = _pair(part, line, quotes=True)
        point.fields[key] = _value(value)
    if at < len(line):
        point.timestamp = int(line[at + 1 :])
    return point


def _pair(part: str, line: str, *, quotes: bool = False) -> tuple[str, str]:
    key, at = _until(part, 0, "=")
    value = part[at + 1 :]
    if not key or not value or (not quotes and _until(value, 0, "=")[1] < len(value)):
        raise LineError(f"{part!r} is no key=value: {line!r}")
    return _bare(key, ",= "), value


def _until(text: str, at: int, end: str, *, quotes: bool = False) -> tuple[str, int]:
    """What stands before an `end` that is neither escaped nor in quotes, and where that is.

    Quotes begin a value; in a name they are letters.
    """
    start, quoted, before = at, False, ""
    while at < len(text):
        if text[at] == "\\":
            before, at = "", at + 2
            continue
        if quotes and text[at] == '"' and (quoted or before == "="):
            quoted = not quoted
        elif text[at] == end and not quoted:
            break
        before, at = text[at], at + 1
    if quoted:
        raise LineError(f"a quote is open: {text!r}")
    return text[start:at], at


def _split(text: str, by: str, *, quotes: bool = False) -> list[str]:
    found, at = [], -1
    while at < len(text):
        part, at = _until(text, at + 1, by, quotes=quotes)
        found.append(part)
    return found


def _bare(text: str, special: str) -> str:
    made, at = "", 0
    while at < len(text):
        # A backslash before any other letter is itself.
        if text[at] == "\\" and text[at + 1 : at + 2] and text[at + 1] in special:
            at += 1
        made += text[at]
        at += 1
    return made


def _value(text: str) -> float | int | str | bool:
    if text[0] == '"':
        if len(text) < 2 or text[-1] != '"':
            raise LineError(f"{text!r} is no string")
        return _bare(text[1:-1], '"\\')
    if text in ("t", "T", "true", "True", "TRUE", "f", "F", "false", "False", "FALSE"):
        return text[0] in "tT"
    if text[-1] in "iu":
        return int(text[:-1])
    number = float(text)
    if text.strip("+-").lower() in ("nan", "inf", "infinity"):
        raise LineError(f"{text} is not supported")
    return number
