"""Walkers of every role try all that MQTT allows: nobody dies, stalls, grows or forgets."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.siege import ROLES, Report, Source, besiege, besieged, settle
from tests.client import Client
from tests.journeys import walker
from tests.journeys.house import PROCESSES, House
from tests.rounds import some
from tests.secured import SecuredBroker

# Alone on a machine none takes a tenth of it; here other tests share the cores. In ms.
SLOWEST = 2_000.0
GROWTH_MB = 20.0
# It may have 67 MB, and this is what it must not come near to.
BROKER_MB = 56.0
OURS = ("camper", "homeassistant")


@pytest.fixture
def siege(tmp_path: Path) -> Iterator[tuple[House, Source]]:
    with besieged(tmp_path) as found:
        yield found


def retained(house: House) -> dict[str, bytes]:
    """All that the broker has kept, as the admin sees it; no client id of a process is in it."""
    assert isinstance(house.broker, SecuredBroker)
    with_mark = "camper/response/mark"
    client = Client(house.broker.port, "#", "$SYS/#", login=house.broker.login("admin"))
    client.publish(with_mark, "mark")
    client.on(with_mark)
    client.close()
    ids = [path.read_text(encoding="ascii") for path in (house.folder / "state").glob("*.id")]
    assert len(ids) == len(PROCESSES)
    told = " ".join(f"{m.topic} {bytes(m.payload)!r} {m.properties}" for m in client.messages)
    assert [one for one in ids if one in told] == []
    return {m.topic: bytes(m.payload) for m in client.messages if m.retain}


def check(report: Report) -> None:
    assert report.dead == []
    assert report.lost == 0
    assert report.made > 3
    given = (report.walked, report.stormed)
    assert sum(g.unanswered + g.wrong for g in given) == 0
    growth = {n: mb - report.before[n] for n, mb in report.after.items() if n != "mosquitto"}
    assert {n: mb for n, mb in growth.items() if mb > GROWTH_MB} == {}
    assert report.after["mosquitto"] < BROKER_MB


@pytest.mark.parametrize("roles", some((["operator"], list(ROLES)), (["operator"],)), ids=" ".join)
def test_a_walk_harms_nobody(siege: tuple[House, Source], roles: list[str]) -> None:
    house, source = siege
    born = len(house.client.messages)
    chosen = {user: ROLES[user] for user in roles}
    report = besiege(house, messages=2_500 * len(roles), kills=0, seconds=60, roles=chosen)
    assert set(report.sent) == {step.__name__ for step in walker.STEPS}, "every step, and none was refused"
    assert report.walked.percentile(0.99) < max(10 * report.idle.percentile(0.99), SLOWEST)
    services = [m for m in house.client.messages[born:] if m.topic.startswith("camper/service/")]
    assert [m.topic for m in services if m.payload != b"online"] == [], "nobody was thrown out"
    kept = retained(house)
    assert json.loads(kept["camper/state/shunt"])["stream"].startswith("collector_serial-")
    # The operator may retain a command: whoever hears it refuses it.
    kept = {topic: payload for topic, payload in kept.items() if not topic.startswith("camper/set/")}
    assert [t for t in kept if not t.startswith(("$SYS", *OURS)) or "/x" in t or "/response" in t] == []
    settle(house, source, report)
    check(report)


@pytest.mark.long
def test_a_siege_with_kills_loses_nothing(siege: tuple[House, Source]) -> None:
    house, source = siege
    report = besiege(house, messages=100_000, kills=30, seconds=120)
    settle(house, source, report)
    assert report.kills.total() == 30
    check(report)


def test_all_processes_are_there_to_be_killed_and_guessed() -> None:
    assert set(walker.PROCESSES) == set(PROCESSES)
