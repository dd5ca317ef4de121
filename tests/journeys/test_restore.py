"""A restored database is older than the outboxes: no stream waits for ever, nothing is stored twice."""

import json
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bus.messages import from_iso
from cli.backup import HouseFiles
from cli.backup.archive import Reader
from cli.backup.make import Destination, back_up
from cli.backup.restore import plan_restore, put_back
from config import load
from tests.journeys.test_two_roads import STATE, Van
from tests.rounds import some

PROCESSES = ("statistician", "controller", "collector_ble")
NOW = datetime(2026, 11, 28, 3, 30, tzinfo=UTC)


@pytest.fixture
def van(tmp_path: Path) -> Iterator[Van]:
    with Van(tmp_path) as van:
        van.start(*PROCESSES)
        yield van


def backed_up(van: Van, days: int) -> Path:
    path = van.folder / "boondock.toml"
    settings = load.load(path)
    settings = replace(
        settings,
        storage=replace(settings.storage, state=str(van.folder / "state"), runtime=str(van.folder / "run")),
        statistician=replace(settings.statistician, database=str(van.database)),
    )
    house = HouseFiles(settings, path, van.folder / "secrets")
    return back_up(house, Destination(van.folder / "usb", 7), "van", NOW + timedelta(days=days))


def confirmed(van: Van) -> None:
    """Wait until the statistician has all that was said so far."""
    newest = json.loads(van._newest(STATE).payload)
    topic = f"camper/watermark/{newest['stream']}"
    van.client.wait(lambda m: m.topic == topic and m.payload != b"" and int(m.payload) >= newest["seq"])


def said(van: Van) -> dict[int, float]:
    """The current of every reading that was live, by its time."""
    return {from_iso(one["ts"]): one["current"] for one in map(json.loads, van.payloads(STATE))}


def stop(van: Van, *names: str) -> None:
    for name in names:
        assert van.end(name, signal.SIGTERM) == 0


@pytest.mark.parametrize("fresh_card", some((False, True), (True,)))
def test_what_was_stored_and_what_waited_is_there_again(van: Van, *, fresh_card: bool) -> None:
    van.read(3)
    confirmed(van)
    backed_up(van, 0)
    stop(van, "statistician")
    # They wait on disk; `stop` of the collector moves what is in memory there.
    van.read(4)
    stop(van, "collector_ble")
    path = backed_up(van, 1)
    assert path.name.endswith("-changes.zip")
    before = said(van)
    van.start("statistician", "collector_ble")
    van.read(5)
    confirmed(van)
    lost = said(van).keys() - before.keys()
    stop(van, *PROCESSES)
    assert not (van.folder / "state" / "collector_ble.outbox").exists(), "nothing waits any more"

    if fresh_card:
        for name in ("state", "run"):
            shutil.rmtree(van.folder / name)
        van.database.unlink()
    with Reader(path) as reader:
        put_back(reader, plan_restore(reader, Path("/"), NOW))
    van.broker.kill()
    van.broker.start()
    van.start(*PROCESSES)
    van.read(3)
    confirmed(van)

    after = said(van)
    assert dict(van.stored()["shunt", "current"]) == {ts: v for ts, v in after.items() if ts not in lost}
    for service in ("collector_ble", "statistician"):
        # Its answer comes behind all that it heard before.
        verb = "devices" if service == "collector_ble" else "info"
        van.client.publish(f"camper/request/{service}/{verb}", "{}")
        van.client.on(f"camper/response/{service}/{verb}")
    assert van.waiting("current") == set()
    log = van.log("statistician")
    assert "cannot be" not in log, "no number of a reading is doubted"
