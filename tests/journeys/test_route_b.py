"""A smart meter from the radio stick to the database row, with the day it remembers; the real processes."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest

from tests.emulators.wisun import PASSWORD, RBID, Meter, Stick
from tests.journeys.house import House

JAPAN = timedelta(hours=9)
HALF_HOUR_MS = 1_800_000
BEGIN = datetime(2020, 1, 1)  # noqa: DTZ001 — the meter knows no zones


def japan() -> datetime:
    return (datetime.now(UTC) + JAPAN).replace(tzinfo=None)


def used(at: datetime) -> int:
    """Counts of 0.01 kWh, one in 36 s: 1 kW."""
    return (at - BEGIN) // timedelta(seconds=36)


def wh_at(ts: int) -> float:
    return used((datetime.fromtimestamp(ts / 1000, UTC) + JAPAN).replace(tzinfo=None)) * 10.0


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("route_b")
    secrets = folder / "secrets"
    secrets.mkdir(mode=0o700)
    (secrets / "device__meter__route_b_id").write_text(RBID + "\n")
    (secrets / "device__meter__route_b_password").write_text(PASSWORD + "\n")
    stick = Stick(folder, Meter(japan, used=used, fed=lambda _: 100, unit=0x02, power=-1234))
    settings = (
        "[statistician]\ncommit_interval = 0.2\n"
        f'[device.meter]\nkind = "route_b_meter"\nport = "{stick.port}"\nevery = 0.5\n'
    )
    for kind in ("json", "csv"):
        settings += (
            f'[[output]]\nname = "hems_{kind}"\nkind = "file"\npath = "{folder}/hems.{kind}"\n'
            'template = "hems"\nrecords = ["samples"]\ndevices = ["meter"]\ninterval = 1\n'
        )
    with ExitStack() as stack:
        stack.callback(stick.unplug)
        house = stack.enter_context(House(folder, settings))
        house.start("statistician", "collector_serial", "forwarder")
        yield house


def newest_half_hour() -> int:
    now = round(datetime.now(UTC).timestamp() * 1000)
    return now - now % HALF_HOUR_MS


def settle(house: House, half_hour: int, since: int = 0) -> None:
    """Wait until the count of a half hour was told and is on disk."""
    text = datetime.fromtimestamp(half_hour / 1000, UTC).strftime('"ts":"%Y-%m-%dT%H:%M:00.000Z"').encode()
    # What it remembers is no present value: it goes to the statistician alone.
    told = house.client.wait(
        lambda m: m.topic.startswith("camper/backlog/") and text in m.payload, since=since
    )
    assert not any(text in m.payload for m in house.client.messages if m.topic == "camper/state/meter")
    place = json.loads(told.payload)
    topic = f"camper/watermark/{place['stream']}"
    house.client.wait(lambda m: m.topic == topic and int(m.payload) >= place["seq"], since=since)


def remembered(house: House) -> dict[int, float | str | None]:
    """The rows of grid import that lie on half hours."""
    rows = house.stored().get(("meter", "grid_import_energy"), [])
    return {ts: value for ts, value in rows if ts % HALF_HOUR_MS == 0}


def test_a_meter_becomes_a_reading(house: House) -> None:
    message = house.client.wait(lambda m: m.topic == "camper/state/meter" and b"grid_power" in m.payload)
    reading = json.loads(message.payload)
    assert reading["grid_power"] == -1234
    assert (reading["current_r"], reading["current_t"]) == (3.1, -2.2)
    assert reading["energy_unit"] == 10.0
    ts = datetime.fromisoformat(str(reading["ts"])).timestamp() * 1000
    assert reading["grid_import_energy"] == pytest.approx(wh_at(round(ts)), abs=300)
    assert house.client.on("camper/availability/meter") == b"online"
    about = json.loads(house.client.latest("camper/about/meter") or b"")
    assert about["entities"]["grid_import_energy"]["state_class"] == "total_increasing"
    assert about["entities"]["signal_strength"]["unit"] == "dBm"


def test_the_day_it_remembers_becomes_rows(house: House) -> None:
    newest = newest_half_hour()
    settle(house, newest)
    rows = remembered(house)
    assert sorted(rows) == list(range(newest - 47 * HALF_HOUR_MS, newest + 1, HALF_HOUR_MS))
    assert all(value == wh_at(ts) for ts, value in rows.items())
    export = dict(house.stored()[("meter", "grid_export_energy")])
    # Equal to the state before, it is not stored again.
    assert set(export.values()) == {1000.0}


def test_the_last_half_hour_is_a_total_with_its_beginning(house: House) -> None:
    topic = "camper/state/meter"
    message = house.client.wait(lambda m: m.topic == topic and b'"last_reset"' in m.payload)
    reading = json.loads(message.payload)
    assert reading["last_half_hour_energy"] == 500.0
    since = datetime.fromisoformat(reading["last_reset"]["last_half_hour_energy"]).timestamp() * 1000
    assert round(since) % HALF_HOUR_MS == 0


def logged(house: House) -> tuple[datetime, str]:
    """Wait for a line of the log that knows all; returns its time, and the line."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        path = house.folder / "hems.json"
        # The last line may be in the making.
        for line in path.read_text().split("\n")[:-1] if path.exists() else ():
            said = json.loads(line)
            if None not in said.values():
                return datetime.fromisoformat(said["timestamp"]), line
        time.sleep(0.1)
    raise TimeoutError(house.log("forwarder")[-2000:])


def test_its_log_is_what_scripts_for_hems_read(house: House) -> None:
    at, line = logged(house)
    ts = round(at.timestamp() * 1000)
    stored = house.stored()

    def kwh(entity: str) -> float:
        rows = [value for when, value in stored["meter", entity] if when <= ts]
        assert isinstance(rows[-1], float)
        return rows[-1] / 1000

    # The newest half hour that the meter had told of by then.
    mark = max(when for when, _ in stored["meter", "half_hour_import_energy"] if when <= ts)
    half_hour = datetime.fromtimestamp((mark - mark % HALF_HOUR_MS) / 1000, UTC)
    began = half_hour - timedelta(minutes=30)
    cumulative, historical = kwh("grid_import_energy"), kwh("half_hour_import_energy")
    assert historical == wh_at(round(half_hour.timestamp() * 1000)) / 1000
    assert line == (
        f'{{"timestamp": "{at:%Y-%m-%dT%H:%M:%S}.000000+00:00", "cumulative_power_kwh": {cumulative}, '
        '"instant_power_w": -1234, "current_a": 0.9, "current_r_a": 3.1, "current_t_a": -2.2, '
        f'"historical_timestamp": "{half_hour:%Y-%m-%dT%H:%M:%S}+00:00", '
        f'"historical_cumulative_power_kwh": {historical}, '
        f'"recent_30min_timestamp": "{began:%Y-%m-%dT%H:%M:%S}+00:00", "recent_30min_consumption_kwh": 0.5}}'
    )
    rows = (house.folder / "hems.csv").read_text().splitlines()
    assert rows[0] == ",".join(json.loads(line))
    assert ",".join(str(value) for value in json.loads(line).values()) in rows


def test_told_again_after_a_restart_the_day_changes_no_row(house: House) -> None:
    before = remembered(house)
    house.kill("collector_serial")
    told = len(house.client.messages)
    house.start("collector_serial")
    settle(house, max(before), since=told)
    after = remembered(house)
    assert {ts: after[ts] for ts in before} == before
    assert after.keys() - before.keys() <= {max(before) + HALF_HOUR_MS}


def test_no_secret_is_ever_said(house: House) -> None:
    said = b"".join(bytes(m.payload) for m in house.client.messages) + house.log("collector_serial").encode()
    assert RBID.encode() not in said
    assert PASSWORD.encode() not in said
