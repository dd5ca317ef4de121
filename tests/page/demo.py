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

HOUR = 3600
_ROWS_A_REQUEST = 400
_BATTERY_WH = 1280.0
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
            number = self._ask("import_statistics", asked)["id"] if number is None else number

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


def past(days: int) -> dict[str, list[Row]]:
    """Return hourly rows of a battery and its sun up to the last full hour, by entity of the demo."""
    dice = random.Random(7)  # noqa: S311 — weather
    soc: list[Row] = []
    power: list[Row] = []
    sun: list[Row] = []
    energy: list[Row] = []
    charge, today, ever, weather = 62.0, 0.0, 0.0, 1.0
    until = int(time.time()) // HOUR * HOUR
    for start in range(until - days * 24 * HOUR, until, HOUR):
        hour = start // HOUR % 24
        if hour == 0:
            weather, today = dice.uniform(0.25, 1.0), 0.0
        shines = 190 * weather * max(0.0, math.sin(math.pi * (hour - 6) / 13)) * dice.uniform(0.85, 1.0)
        used = 30 + 75 * (18 <= hour < 22) + dice.uniform(0, 12)
        before, charge = charge, min(100.0, max(12.0, charge + (shines - used) / _BATTERY_WH * 100))
        flows = (charge - before) * _BATTERY_WH / 100
        today, ever = today + shines, ever + shines
        at: Row = {"start": iso(start), "coverage": 1.0}
        soc.append({**at, **_spread((before + charge) / 2, abs(charge - before) / 2)})
        power.append({**at, **_spread(flows, 18 + 20 * dice.random())})
        sun.append({**at, **_spread(shines, shines * 0.3)})
        energy.append({**at, "state": round(today), "sum": round(ever)})
    return {"smartshunt.soc": soc, "smartshunt.power": power, "mppt.power": sun, "mppt.yield_today": energy}


def _spread(mean: float, by: float) -> dict[str, float]:
    return {"mean": round(mean, 2), "min": round(mean - by, 2), "max": round(mean + by, 2)}
