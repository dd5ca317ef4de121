"""The demo as scripts/run starts it, on a broker that serves the page; with a past that was imported."""

import itertools
import json
import math
import random
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.broker import Mosquitto
from tests.client import Client
from tests.deploy.started import Started
from tests.page.houses import listener
from tests.page.van import iso
from tests.ports import free_port

HOUR = 3600
_ROWS_A_REQUEST = 400
_BATTERY_WH = 1280.0

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
def demo(folder: Path, page: Path) -> Iterator[Demo]:
    """Start it and wait until each device has said something."""
    port = free_port()
    broker = Mosquitto(folder, extra=listener(port, page.parent)).start()
    client = Client(broker.port, "camper/#")
    run = Started(folder, "--port", str(broker.port), "--data", str(folder / "data"))
    try:
        for device in (
            "smartshunt",
            "mppt",
            "epever",
            "fresh_water",
            "shore_meter",
            "relay",
            "pi",
            "outside",
        ):
            client.on(f"camper/state/{device}")
        yield Demo(client, f"http://127.0.0.1:{port}/index.html")
    finally:
        run.ends(signal.SIGTERM)
        client.close()
        broker.stop()


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
