"""Draws the pictures of docs/: python -m scripts.pictures. A test compares the two.

The rows in those of docs/statistics.md are what `statistician replay` makes of the readings.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bus.messages import from_iso, to_iso
from scripts import wiring
from statistician.arithmetic import MINUTES_5
from statistician.replay import Player, Printed, printed
from statistician.replay.lines import parse
from statistician.store import Store

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"

_NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
_WIDTH, _LEFT, _RIGHT = 720, 56, 704
_HEIGHT = 96
_READING, _ROW, _WRONG, _GONE = "#1f6feb", "#2da44e", "#cf222e", "#eaeef2"
_GREY, _GRID = "#57606a", "#d0d7de"
_THIN = (_GREY, _GRID)

# A reading: the second after noon and what the device said.
Reading = tuple[float, float | None]


def _at(seconds: float) -> str:
    return to_iso(round((_NOON + timedelta(seconds=seconds)).timestamp() * 1000))


def _seconds(time: str) -> float:
    return (from_iso(time) - from_iso(_at(0))) / 1000


def _rows(state_class: str, readings: Iterable[Reading], end: float, *off: float) -> list[Printed]:
    """Compile readings up to `end` into rows; `off` is from when to when the machine was off, in seconds."""
    lines: list[tuple[float, dict[str, object]]] = [
        (ts, {"entity": "van.it", "ts": _at(ts), "value": value}) for ts, value in readings
    ]
    if off:
        lines.append((off[0], {"down": _at(off[0]), "up": _at(off[1])}))
    said = [
        {"entity": "van.it", "state_class": state_class},
        *(line for _, line in sorted(lines, key=_first)),
    ]
    with tempfile.TemporaryDirectory(prefix="boondock-pictures-") as folder:
        player = Player(lambda: Store(Path(folder) / "p.db"), 10)
        try:
            for line in parse(json.dumps(one).encode() for one in [*said, {"end": _at(end)}]):
                player.play(line)
            player.finish()
        finally:
            player.close()
        store = Store(Path(folder) / "p.db")
        try:
            return list(printed(store))
        finally:
            store.close()


def _first(pair: tuple[float, object]) -> float:
    return pair[0]


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


class _Panel:
    """A strip of a picture: `seconds` long, from 0 at the bottom to `top`."""

    def __init__(self, y: int, title: str, top: float, seconds: float) -> None:
        self._floor, self._top, self._seconds = y + 18 + _HEIGHT, top, seconds
        self.parts = [text(_LEFT, y + 8, title, bold=True)]
        for value in (0, top / 2, top):
            self.parts.append(line((_LEFT, self.y(value)), (_RIGHT, self.y(value)), _GRID))
            self.parts.append(text(_LEFT - 6, self.y(value) + 4, _number(value), anchor="end", colour=_GREY))

    def x(self, seconds: float) -> float:
        """Where a time is."""
        return _LEFT + (_RIGHT - _LEFT) * seconds / self._seconds

    def y(self, value: float) -> float:
        """Where a value is."""
        return self._floor - _HEIGHT * value / self._top

    def clock(self, every: int) -> None:
        """Write the time of day below."""
        for seconds in range(0, round(self._seconds) + 1, every):
            x = self.x(seconds)
            anchor = "end" if seconds == self._seconds else "middle"
            self.parts.append(line((x, self._floor), (x, self._floor + 4), _GREY))
            self.parts.append(text(x, self._floor + 17, _at(seconds)[11:16], anchor=anchor, colour=_GREY))

    def band(self, start: float, end: float, words: str) -> None:
        """Shade a time and say what it was."""
        x, y = self.x(start), self.y(self._top)
        self.parts.append(box(x, y, self.x(end) - x, _HEIGHT, _GONE))
        self.parts.append(text((x + self.x(end)) / 2, y + 14, words, colour=_GREY, anchor="middle"))

    def steps(self, readings: Sequence[Reading], ends: Iterable[float], *, filled: bool = False) -> None:
        """Draw each value from its reading to the next one, or to where an end comes before that."""
        stops = sorted([*(ts for ts, _ in readings), *ends])
        for ts, value in readings:
            if value is None:
                continue
            until = next(stop for stop in stops if stop > ts)
            y = self.y(value)
            if filled:
                self.parts.append(box(self.x(ts), y, self.x(until) - self.x(ts), self._floor - y, "#ddf4ff"))
            self.parts.append(line((self.x(ts), y), (self.x(until), y), _READING))
            self.parts.append(dot(self.x(ts), y, _READING))

    def bars(self, rows: Iterable[Printed], of: Callable[[Printed], float | None]) -> None:
        """Draw a bar for each row, as wide as its period, with its number."""
        for row in rows:
            start, value = _seconds(row.start), of(row)
            x, width, y = self.x(start), self.x(MINUTES_5 / 1000) - _LEFT, self.y(value or 0.0)
            self.parts.append(box(x + 2, y, width - 4, self._floor - y, _ROW))
            inside = self._floor - y > 18
            colour = "#ffffff" if inside else _ROW
            self.parts.append(
                text(
                    x + width / 2, y + (13 if inside else -4), _number(value), anchor="middle", colour=colour
                )
            )


def line(start: tuple[float, float], end: tuple[float, float], colour: str, *, dashes: str = "") -> str:
    """Draw a straight line."""
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    ends = f'x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{1 if colour in _THIN else 2}"{dashed}/>'


def box(x: float, y: float, width: float, height: float, colour: str) -> str:
    """Draw a filled rectangle."""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'


def dot(x: float, y: float, colour: str) -> str:
    """Draw a reading."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>'


def text(
    x: float, y: float, words: str, *, anchor: str = "start", colour: str = "#1f2328", bold: bool = False
) -> str:
    """Write a line of text."""
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"{weight}>{words}</text>'


def _picture(height: int, title: str, *panels: _Panel) -> str:
    parts = [part for panel in panels for part in panel.parts]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}"'
        f' height="{height}" font-family="sans-serif" font-size="12" role="img">'
    )
    return "\n".join(
        [head, f"<title>{title}</title>", box(0, 0, _WIDTH, height, "#ffffff"), *parts, "</svg>\n"]
    )


def mean() -> str:
    """Draw a value that holds until the next reading, and the mean of five minutes."""
    readings = [(0.0, 10.0), (60.0, 60.0), (210.0, 30.0)]
    (row,) = _rows("measurement", readings, 300)
    panel = _Panel(8, "Power of the fridge, W", 60, 300)
    panel.steps(readings, [300], filled=True)
    level = panel.y(row.mean or 0.0)
    panel.parts += [
        line((_LEFT, level), (_RIGHT, level), _ROW, dashes="6 4"),
        text(_RIGHT - 6, level - 6, f"mean {_number(row.mean)}", anchor="end", colour=_ROW, bold=True),
        text(panel.x(135), panel.y(60) + 16, f"max {_number(row.max)}", anchor="middle", colour=_READING),
        text(panel.x(30), panel.y(10) - 6, f"min {_number(row.min)}", anchor="middle", colour=_READING),
    ]
    panel.clock(60)
    title = "10 W for one minute, 60 W for two and a half, 30 W for one and a half"
    return _picture(148, f"{title}: the mean is {_number(row.mean)} W", panel)


def total() -> str:
    """Draw a counter with a wrong zero and a real reset, and the sum of it."""
    values = [10, 12, 14, 0, 16, 18, 20, 0, 2, 4, 6, 8]
    readings = [(300.0 * number + 120, float(value)) for number, value in enumerate(values)]
    rows = [row for row in _rows("total_increasing", readings, 3600) if row.period == "5minute"]
    said = _Panel(8, "What the counter says, Wh (each dot is a reading)", 20, 3600)
    said.steps(readings, [3600])
    wrong, reset = (said.x(readings[number][0]) for number in (3, 7))
    zero = said.y(0)
    said.parts += [
        line((wrong - 6, zero - 6), (wrong + 6, zero + 6), _WRONG),
        line((wrong - 6, zero + 6), (wrong + 6, zero - 6), _WRONG),
        text(wrong + 10, zero - 8, "one wrong 0: left out", colour=_WRONG),
        text(reset + 8, said.y(14), "it stays low: a reset, it counts", colour=_GREY),
    ]
    kept = _Panel(148, "The sum at the end of each 5 minutes, Wh", 20, 3600)
    kept.bars(rows, lambda row: row.sum)
    kept.clock(600)
    title = "A counter rises from 10 to 20 Wh with one wrong zero, begins again at 0 and rises to 8"
    return _picture(288, f"{title}: the sum is {_number(rows[-1].sum)} Wh", said, kept)


def coverage() -> str:
    """Draw a null and an absence, and the share of each period that is known."""
    known = [(60.0 * minute, 4.0 + abs(minute % 20 - 10) / 4) for minute in (*range(22), *range(41, 60))]
    readings: list[Reading] = [one for one in known if not 420 <= one[0] < 540]
    readings.insert(7, (420.0, None))
    off = (1320.0, 2460.0)
    rows = _rows("measurement", readings, 3600, *off)
    said = _Panel(8, "Temperature of the fridge, °C", 8, 3600)
    said.band(420, 540, "null")
    said.band(*off, "switched off")
    said.steps(readings, [off[0], 3600])
    (hour,) = (row for row in rows if row.period == "hour")
    shares = _Panel(148, f"Coverage of each 5 minutes; of the hour {_number(hour.coverage)}", 1, 3600)
    shares.bars([row for row in rows if row.period == "5minute"], lambda row: row.coverage)
    shares.band(1500, 2400, "nothing is known: no rows")
    shares.clock(600)
    title = "A temperature is null for two minutes and the machine is off for 19"
    return _picture(288, f"{title}: the hour has a coverage of {_number(hour.coverage)}", said, shares)


PICTURES = {"mean.svg": mean, "sum.svg": total, "coverage.svg": coverage, "wiring.svg": wiring.draw}


def main() -> int:
    """Write the pictures."""
    FOLDER.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        (FOLDER / name).write_text(draw(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
