"""What a viewer leaves behind at the broker, or never takes, is bounded; so its memory is."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.footprint import memory
from scripts.broker import command
from statistician.__main__ import _SESSION_S
from tests.client import Client
from tests.emulators.mqtt_wire import DISCONNECT, FOR_EVER, Wire, connect, publish, subscribe
from tests.house import ROOT
from tests.secured import SecuredBroker, open_folder

# Of the 67 that it may have.
MOST_MB = 45.0
MESSAGES = 5_000
ASKED = "camper/request/statistician/info"


@pytest.fixture
def broker() -> Iterator[SecuredBroker]:
    with open_folder() as folder:
        secured = SecuredBroker(folder, "")
        secured.start()
        yield secured
        secured.stop()


def say(broker: SecuredBroker, qos: int) -> None:
    """Let the house say a lot, on what all may read."""
    with Wire(broker.port, connect("speaker", broker.login("admin"))) as wire:
        for first in range(0, MESSAGES, 100):
            mids = range(first + 1, first + 101)
            assert wire.send(publish("camper/state/x", b"y" * 200, qos=qos, mid=mid) for mid in mids)
            assert wire.settle()


def session(broker: SecuredBroker, number: int) -> Wire:
    first = connect(
        f"left-{number}", broker.login("viewer"), clean=False, expiry=FOR_EVER, receive_maximum=65_535
    )
    return Wire(broker.port, first)


def check(broker: SecuredBroker) -> None:
    """It has room, and lets people in."""
    assert memory(broker.pid).pss < MOST_MB
    with Wire(broker.port, connect("me", broker.login("viewer"))) as wire:
        assert wire.reason == 0
        assert wire.settle()


@pytest.mark.parametrize("qos", [1, 2])
def test_a_hundred_sessions_that_were_left_behind_on_everything(broker: SecuredBroker, qos: int) -> None:
    for number in range(100):
        with session(broker, number) as wire:
            wire.send([subscribe("camper/#", qos=qos)])
            assert wire.settle()
            wire.send([DISCONNECT])
    say(broker, qos=1)
    check(broker)


def test_thirty_that_take_everything_and_never_say_so(broker: SecuredBroker) -> None:
    wires = [session(broker, number) for number in range(30)]
    for wire in wires:
        wire.send([subscribe("camper/#")])
        assert wire.settle()
    for _ in range(2):
        say(broker, qos=1)
        # They read, so that it is the acknowledgement that is missing.
        assert all(wire.settle() for wire in wires)
    check(broker)
    for wire in wires:
        wire.close()


def test_thirty_that_half_send_as_much_as_they_can(broker: SecuredBroker) -> None:
    for number in range(30):
        with session(broker, number) as wire:
            wire.send(publish(ASKED, bytes(30_000), qos=2, mid=mid) for mid in range(1, 151))
    check(broker)


def test_what_is_left_behind_ends_as_soon_as_the_statistician_can_bear() -> None:
    text = (ROOT / "mosquitto" / "mosquitto.conf").read_text(encoding="utf-8")
    said = re.search(r"^persistent_client_expiration (\d+)h$", text, re.MULTILINE)
    assert said
    assert int(said[1]) * 3600 == _SESSION_S


def test_a_newcomer_in_a_large_house_is_told_all_of_it(broker: SecuredBroker) -> None:
    verbs = ("about", "state", "availability")
    topics = [f"camper/{verb}/d{number}" for number in range(600) for verb in verbs]
    with Wire(broker.port, connect("house", broker.login("admin"))) as wire:
        for first in range(0, len(topics), 100):
            some = enumerate(topics[first : first + 100], first + 1)
            wire.send(publish(topic, bytes(700), qos=1, retain=True, mid=mid) for mid, topic in some)
            assert wire.settle()
    client = Client(broker.port, "camper/#", login=broker.login("viewer"))
    client.wait(lambda _: len({m.topic for m in client.messages}) == len(topics))
    client.close()


def test_large_ones_of_qos_2_pass_all_the_same(broker: SecuredBroker) -> None:
    with session(broker, 1) as wire:
        for mid in range(1, 60):
            # 4.3.3: PUBREL to the PUBREC, and the message is done with.
            assert wire.send([publish(ASKED, bytes(60_000), qos=2, mid=mid), b"\x62\x02" + bytes([0, mid])])
        assert wire.settle()


def test_everybody_who_starts_it_bounds_its_real_memory_and_not_what_it_counts() -> None:
    unit = (ROOT / "systemd" / "boondock-mosquitto.service").read_text(encoding="utf-8")
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert re.search(r"^LimitDATA=64M$", unit, re.MULTILINE)
    assert f"ulimits: {{data: {SecuredBroker.data}}}" in compose
    assert f"--data={SecuredBroker.data}" in command()
    conf = (ROOT / "mosquitto" / "mosquitto.conf").read_text(encoding="utf-8")
    assert not re.search(r"^memory_limit", conf, re.MULTILINE)


def test_its_memory_is_bounded(broker: SecuredBroker) -> None:
    limits = Path(f"/proc/{broker.pid}/limits").read_text(encoding="ascii")
    assert re.search(rf"^Max data size +{SecuredBroker.data} ", limits, re.MULTILINE)


@pytest.mark.long
def test_a_million_questions_do_not_fill_what_it_counts(broker: SecuredBroker) -> None:
    with Wire(broker.port, connect("asker", broker.login("viewer"))) as wire:
        asked = [publish(ASKED, b"{}", response="camper/response/me")] * 1000
        for _ in range(1300):
            assert wire.send(asked)
            assert wire.settle()
    check(broker)
