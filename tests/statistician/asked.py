"""A real statistician with a day of data on a real broker, for those who ask; run, it is that process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bus.about import About, Entity
from bus.about import encode as encode_about
from bus.clock import Clock
from bus.messages import from_iso
from bus.process import set_up_logging
from config.load import load_or_exit
from statistician.__main__ import serve
from statistician.arithmetic import HOUR
from statistician.arithmetic.counters import HeldReading
from statistician.clock.steps import note_end
from statistician.store import Store
from tests.broker import Mosquitto
from tests.client import Client
from tests.statistician.rig import MINUTE, SECOND, TOPICS, Rig

ROOT = Path(__file__).parents[2]
START = from_iso("2026-11-20T06:00:00Z")
HOURS = 6
# When the yield was 0 for a moment.
GLITCH = START + 300 * MINUTE
# The time when it starts, whatever the day is: no data is too old, and no period ends while it is asked.
_NOW = START + 37 * HOUR + 20 * SECOND
_PATIENCE = 30.0

MPPT = About(
    name="Solar charger",
    entities={
        "voltage": Entity(name="Voltage", unit="V", device_class="voltage", state_class="measurement"),
        "yield_today": Entity(
            name="Yield today", unit="Wh", device_class="energy", state_class="total_increasing"
        ),
        "charge_state": Entity(name="Charge state"),
    },
)


def fill(path: Path) -> None:
    """Six hours of a solar charger, a state of each entity a minute, one far off and one left out."""
    rig = Rig(path, now=START)
    rig.message(TOPICS.about("mppt"), encode_about(MPPT))
    for minute in range(HOURS * 60):
        values = {
            "voltage": 40.0 if minute == 200 else 13.0 + minute % 7 / 100,
            "yield_today": float(minute),
            "charge_state": None if minute == 40 else "bulk" if minute < 30 else "absorption",
        }
        rig.reading("mppt", values)
        rig.run_until(rig.now + MINUTE)
    rig.run_until(rig.now + MINUTE)
    rig.message(TOPICS.state("mppt"), b'{"voltage": [13]}')
    rig.commit()
    number = next(e.id for e in rig.store.entities() if e.entity == "yield_today")
    zero = HeldReading(number, GLITCH, 0.0, 299.0, "fall", "left_out")
    rig.store.held.put({(number, GLITCH): zero})
    rig.close()
    store = Store(path)
    # As if it had been at work since: an absence would end what is known.
    note_end(store, _NOW)
    store.close()


@contextmanager
def statistician(folder: Path) -> Iterator[Mosquitto]:
    """The broker of a running statistician; `folder` holds boondock.toml and the database."""
    database = folder / "statistics.db"
    fill(database)
    broker = Mosquitto(folder).start()
    (folder / "boondock.toml").write_text(f"[broker]\nport = {broker.port}\n", encoding="utf-8")
    environment = os.environ | {
        "BOONDOCK_CONFIG": str(folder / "boondock.toml"),
        "BOONDOCK_SECRETS": str(folder / "secrets"),
        "BOONDOCK_STATISTICIAN__DATABASE": str(database),
        "BOONDOCK_STATISTICIAN__COMMIT_INTERVAL": "0.2",
        "BOONDOCK_STORAGE__RUNTIME": str(folder / "run"),
        "BOONDOCK_STORAGE__STATE": str(folder / "state"),
        "TZ": "UTC",
    }
    client = Client(broker.port, "camper/service/+")
    with (folder / "statistician.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.statistician.asked"],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        client.wait(lambda m: m.payload == b"online", patience=_PATIENCE)
        yield broker
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_PATIENCE)
        client.close()
        broker.stop()


def main() -> int:
    """Serve, at the time of the data."""
    set_up_logging()
    began = time.monotonic()
    clock = Clock(
        lambda: _NOW + round((time.monotonic() - began) * 1000), time.monotonic, lambda: "ok", boot="first"
    )
    return serve(load_or_exit(), clock)


if __name__ == "__main__":
    sys.exit(main())
