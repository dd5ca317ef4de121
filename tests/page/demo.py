"""The demo as scripts/run starts it, with its page; and a past to import."""

import itertools
import json
import math
import random
import re
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.client import Client
from tests.deploy.started import Started
from tests.page.van import iso
from tests.ports import free_port

HOUR, STEP = 3600, 300
_ROWS_A_REQUEST = 400
_BATTERY_WH = 1280.0
# Hours: where the sun is highest at one o'clock.
_EAST = 1
_LINES = {"smartshunt.soc": ("soc", "%"), "smartshunt.power": ("power", "W"), "mppt.power": ("sun", "W")}
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/#\S+")
_SLOWEST = ("smartshunt", "mppt", "epever", "shore_meter", "waste_water", "relay", "pi", "outside")

Row = Mapping[str, float | str]


class Demo:
    """A running demo: its page's address, and a client that has heard all of it."""

    def __init__(self, client: Client, address: str) -> None:
        self.client = client
        self.address = address
        self._requests = itertools.count(1)

    def imports(self, entity: str, state_class: str, unit: str, rows: Iterable[Row]) -> None:
        """Import hourly rows of one entity. Raises RuntimeError if the statistician refuses."""
        number: int | None = None
        left = list(rows)
        while left:
            now, left = left[:_ROWS_A_REQUEST], left[_ROWS_A_REQUEST:]
            asked: dict[str, object] = {
                "entity": entity,
                "unit": unit,
                "state_class": state_class,
                "rows": now,
            }
            asked |= ({} if number is None else {"import": number}) | ({"more": True} if left else {})
            answer = self._ask("import_statistics", asked)
            number = answer["id"] if number is None else number

    def _ask(self, verb: str, asked: Mapping[str, object]) -> dict[str, int]:
        to, seen = f"camper/response/demo/{next(self._requests)}", len(self.client.messages)
        self.client.publish(f"camper/request/statistician/{verb}", json.dumps(asked), response_topic=to)
        answer = json.loads(self.client.on(to, since=seen))
        if answer["status"] != "ok":
            raise RuntimeError(f"{verb}: {answer['error']['message']}")
        data: dict[str, int] = answer["data"]
        return data


@contextmanager
def demo(folder: Path) -> Iterator[Demo]:
    """Start it and wait until each device has said something. Raises RuntimeError if it has no page."""
    port = free_port()
    run = Started(folder, "--port", str(port), "--data", str(folder / "data"))
    try:
        found = _ADDRESS.search(run.text()) if run.shows("readings ") else None
        if found is None:
            raise RuntimeError(f"the demo has no page:\n{run.text()}")
        client = Client(port, "camper/#")
        try:
            for device in _SLOWEST:
                client.on(f"camper/state/{device}")
            yield Demo(client, found[0])
        finally:
            client.close()
    finally:
        run.ends(signal.SIGTERM)


class Past:
    """What a battery and its sun did for some days, every five minutes, until the demo's own beginning."""

    def __init__(self, days: int) -> None:
        dice = random.Random(7)  # noqa: S311 — weather
        self.times = range(int(time.time()) // HOUR * HOUR - days * 24 * HOUR, int(time.time()), STEP)
        self.values: dict[str, list[float]] = {name: [] for name in ("soc", "power", "sun", "today")}
        charge, today, weather = 72.0, 0.0, 1.0
        for at in self.times:
            hour = (at / HOUR + _EAST) % 24
            if hour < STEP / HOUR:
                weather, today = dice.uniform(0.3, 1.0), 0.0
            sun = 190 * weather * max(0.0, math.sin(math.pi * (hour - 6) / 13)) * dice.uniform(0.8, 1.0)
            load = 20 + 50 * (18 <= hour < 22) + 25 * (dice.random() < 0.3)
            before, charge = (
                charge,
                min(100.0, max(15.0, charge + (sun - load) * STEP / HOUR / _BATTERY_WH * 100)),
            )
            today += sun * STEP / HOUR
            power = (charge - before) * _BATTERY_WH / 100 * HOUR / STEP
            for name, value in zip(self.values, (charge, power, sun, today), strict=True):
                self.values[name].append(round(value, 2))

        # As full as the demo's battery is at its start.
        off = 72.0 - charge
        self.values["soc"] = [min(100.0, max(5.0, round(one + off, 2))) for one in self.values["soc"]]

    def remember(self, house: Demo) -> None:
        """Import it by the hour, and tell the last day as readings that the devices kept."""
        for entity, (name, unit) in _LINES.items():
            house.imports(entity, "measurement", unit, list(self._hours(name)))
        house.imports("mppt.yield_today", "total_increasing", "Wh", list(self._sums()))
        for number in range(len(self.times) - 24 * HOUR // STEP, len(self.times)):
            soc, power, sun, today = (values[number] for values in self.values.values())
            kept = {"ts": iso(self.times[number]), "clock": "ok", "late": True}
            for device, values in (
                ("smartshunt", {"soc": soc, "power": power}),
                ("mppt", {"power": sun, "yield_today": today}),
            ):
                house.client.publish(f"camper/state/{device}", json.dumps({**kept, **values}))

    def _hours(self, name: str) -> Iterator[Row]:
        for at, values in self._by_hour(name):
            yield {
                "start": iso(at),
                "mean": round(sum(values) / len(values), 2),
                "min": min(values),
                "max": max(values),
                "coverage": 1.0,
            }

    def _sums(self) -> Iterator[Row]:
        ever = 0.0
        for (at, today), (_, sun) in zip(self._by_hour("today"), self._by_hour("sun"), strict=True):
            ever += sum(sun) * STEP / HOUR
            yield {"start": iso(at), "state": today[-1], "sum": round(ever, 1), "coverage": 1.0}

    def _by_hour(self, name: str) -> Iterator[tuple[int, list[float]]]:
        """Return the full hours, without the last day, which is told as readings."""
        size = HOUR // STEP
        for first in range(0, len(self.times) - 24 * size - size, size):
            yield self.times[first], self.values[name][first : first + size]
