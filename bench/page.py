"""The page in Chromium, as a phone: first paint, all tiles of the demo, its size, its memory."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench.measure import Goal, Spread, goals, page, progress, table
from cli.page import BUILT, why_missing
from tests.page.browsers import Visitor, chromium, heap
from tests.page.demo import HOUR, Demo, Row, demo
from tests.page.van import iso

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

_PAINT_MS, _TILES_MS = 600, 1500
_RAW_KB, _GZIP_KB, _HEAP_MB = 450, 150, 20
_END = 1_780_000_000 // HOUR * HOUR
_REMARK = (
    "Chromium without a window, 360 x 780 at 2 x, on loopback, beside the whole demo. All tiles: every card"
    " stands with values of this connection. With last state: the browser was here before."
)
# Every 20 ms how many cards and fresh values there are, kept when it changes.
_WATCH = """
window.seen = [];
setInterval(() => {
  const now = [document.querySelectorAll('.cards > [data-card]').length,
    document.querySelectorAll('.reading:not(.old)').length].join();
  if (window.seen.at(-1)?.[1] !== now) window.seen.push([performance.now(), now]);
}, 20);
"""
_PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1"
_SETTLED = "performance.now() - window.seen.at(-1)[0] > 1500"


def measure(*, quick: bool, rounds: int) -> str:
    """Measure both visits in turn, then the memory; without a browser only the sizes."""
    if (why := why_missing()) is not None:
        return f"Not compared: {why}."
    kilobytes = [(BUILT / name).stat().st_size / 1000 for name in ("index.html", "index.html.gz")]
    sizes = table(("the page", "kB"), zip(("raw", "gzip"), (f"{one:.0f}" for one in kilobytes), strict=True))
    small = [Goal("raw, kB", kilobytes[0], _RAW_KB), Goal("gzip, kB", kilobytes[1], _GZIP_KB)]
    try:
        with chromium() as browser, _house(years=1 if quick else 10) as house:
            return page(sizes, *_visits(browser, house, rounds, small))
    except pytest.skip.Exception as missing:
        return page(sizes, goals(small), f"Not compared: {missing}.")


@contextmanager
def _house(*, years: int) -> Iterator[Demo]:
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        progress("page: starting the demo")
        with demo(Path(folder)) as house:
            progress(f"page: importing {years} years of hourly rows")
            house.imports("smartshunt.voltage", "measurement", "V", _rows(years))
            yield house


def _rows(years: int) -> Iterator[Row]:
    for number in range(years * 365 * 24):
        mean = 12.5 + number % 24 / 24
        yield {"start": iso(_END - number * HOUR), "mean": mean, "min": mean - 0.2, "max": mean + 0.2}


def _visits(browser: "Browser", house: Demo, rounds: int, small: list[Goal]) -> list[str]:
    found: dict[str, list[tuple[float, float]]] = {"cold": [], "with last state": []}
    heaps = []
    for number in range(rounds):
        progress(f"page: visit {number + 1} of {rounds}")
        visitor = Visitor(browser, house.address)
        phone = visitor.someone(device_scale_factor=2)
        phone.add_init_script(_WATCH)
        for times in found.values():
            shown = visitor.tab(phone)
            visitor.show(shown)
            times.append(_times(shown))
            shown.goto("about:blank")
        heaps.append(_heaps(visitor, phone))
        visitor.close()
    return _report(found, heaps, small)


def _times(shown: "Page") -> tuple[float, float]:
    """Return ms to the first contentful paint, and to the moment when all cards with fresh values stood."""
    shown.wait_for_function(_SETTLED)
    seen: list[list[Any]] = shown.evaluate("window.seen")
    counts = [(at, *map(int, said.split(","))) for at, said in seen]
    _, cards, fresh = counts[-1]
    ready = next(at for at, some, new in counts if some >= cards and new >= fresh)
    return float(shown.evaluate(_PAINTED)), float(ready)


def _heaps(visitor: Visitor, phone: "BrowserContext") -> tuple[float, float]:
    """Return MB of the first screen, and of a chart of all years."""
    shown = visitor.again(phone)
    now = heap(shown) / 1e6
    shown.evaluate("location.hash = 'history?e=smartshunt.voltage&r=all'")
    shown.wait_for_selector(".frame[aria-busy=false] canvas")
    return now, heap(shown) / 1e6


def _report(
    found: dict[str, list[tuple[float, float]]], heaps: list[tuple[float, float]], small: list[Goal]
) -> list[str]:
    rows, bounds = [], []
    for visit, times in found.items():
        paint, tiles = (Spread.of(one) for one in zip(*times, strict=True))
        rows.append((visit, paint, tiles))
        bounds += [
            Goal(f"{visit}: first paint, ms", paint.median, _PAINT_MS),
            Goal(f"{visit}: all tiles, ms", tiles.median, _TILES_MS),
        ]
    now, chart = (Spread.of(one) for one in zip(*heaps, strict=True))
    bounds.append(Goal("memory with the chart, MB", chart.median, _HEAP_MB))
    memory = table(
        ("memory after collection, MB", ""), [("first screen", now), ("chart of all years", chart)]
    )
    return [
        table(("visit", "first paint, ms", "all tiles, ms"), rows),
        memory,
        _REMARK,
        goals([*small, *bounds]),
    ]
