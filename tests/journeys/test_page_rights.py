"""What a page may with a user of each role: on a WebSocket, at a Mosquitto that our command has set up."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from cli.broker.rights import COLLECTORS
from statistician.service import VERBS
from tests.client import PATIENCE, Client
from tests.journeys.house import House, secured_house
from tests.ports import free_port, wait_for
from tests.secured import SecuredBroker, open_folder

ROLES = ("viewer", "operator", "admin")
NOT_AUTHORIZED = 0x87
ME = "camper/response/page-7f3a91"
READS = (
    *(f"camper/{verb}/+" for verb in ("about", "state", "availability", "service", "health")),
    *(f"camper/{verb}/+/+" for verb in ("state", "statistics", "result")),
    "camper/page",
    f"{ME}/#",
)
# One topic for each of those filters.
SAID = tuple(one.replace("+", "x").replace("#", "x") for one in READS)
OPERATOR, ADMIN = "camper/set/page/right", "camper/request/statistician/dead_letters"


class Page:
    """A client as the page is one: MQTT 5 over a WebSocket."""

    def __init__(self, port: int, login: tuple[str, str]) -> None:
        self.heard: set[str] = set()
        self.refused: set[str] = set()
        self._answers: dict[int, int] = {}
        self._granted: list[int] = []
        self._news = threading.Condition()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5, transport="websockets"
        )
        self._client.username_pw_set(*login)
        self._client.on_message = lambda _c, _u, message: self._note(message.topic)
        self._client.on_subscribe = self._on_subscribe
        self._client.on_publish = self._on_publish
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _note(self, topic: str) -> None:
        with self._news:
            self.heard.add(topic)
            self._news.notify_all()

    def _on_subscribe(self, _c: object, _u: object, _mid: int, codes: list[ReasonCode], _p: object) -> None:
        with self._news:
            self._granted += [code.value for code in codes]
            self._news.notify_all()

    def _on_publish(self, _c: object, _u: object, mid: int, reason: ReasonCode, _p: object) -> None:
        with self._news:
            self._answers[mid] = reason.value
            self._news.notify_all()

    def subscribe(self, *filters: str) -> list[int]:
        """The broker's word for each."""
        before = len(self._granted)
        self._client.subscribe([(one, 1) for one in filters])
        with self._news:
            assert self._news.wait_for(lambda: len(self._granted) == before + len(filters), PATIENCE)
        return self._granted[before:]

    def hears(self, *topics: str) -> bool:
        """Whether all of them arrive."""
        with self._news:
            return self._news.wait_for(lambda: self.heard >= set(topics), PATIENCE)

    def may(self, topic: str, payload: str = "", *, retain: bool = False) -> bool:
        """Publish, and tell what the broker says to it."""
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho left it untyped
        properties.ResponseTopic = f"{ME}/1"
        mid = self._client.publish(topic, payload, qos=1, retain=retain, properties=properties).mid
        with self._news:
            assert self._news.wait_for(lambda: mid in self._answers, PATIENCE)
        return self._answers[mid] != NOT_AUTHORIZED

    def role(self) -> str:
        """What docs/contract.md says that a client can find out."""
        if self.may(ADMIN, retain=True):
            return "admin"
        return "operator" if self.may(OPERATOR, retain=True) else "viewer"

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()


def with_websockets(broker: SecuredBroker) -> int:
    """Give the broker a listener for pages, as one stands behind a web server; its port."""
    port = free_port()
    conf = broker.out / "mosquitto.conf"
    more = f"\nlistener {port} 127.0.0.1\nsocket_domain ipv4\nprotocol websockets\n"
    conf.write_text(conf.read_text(encoding="utf-8") + more, encoding="utf-8")
    return port


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[SecuredBroker, int]]:
    with open_folder() as folder:
        broker = SecuredBroker(folder, "[relay.pump]\npin = 27\n")
        port = with_websockets(broker)
        broker.start()
        assert wait_for(port)
        yield broker, port
        broker.stop()


@pytest.fixture
def pages(place: tuple[SecuredBroker, int]) -> Iterator[dict[str, Page]]:
    broker, port = place
    opened = {role: Page(port, broker.login(role)) for role in ROLES}
    yield opened
    for page in opened.values():
        page.close()


@pytest.mark.parametrize("role", ROLES)
def test_a_page_hears_what_it_draws(pages: dict[str, Page], role: str) -> None:
    assert set(pages[role].subscribe(*READS)) == {1}
    for topic in SAID:
        assert pages["admin"].may(topic, "x", retain=True)
    assert pages[role].hears(*SAID)


@pytest.mark.parametrize("role", ROLES)
def test_a_page_finds_out_its_role(pages: dict[str, Page], role: str) -> None:
    assert pages[role].role() == role


@pytest.mark.parametrize("role", ROLES)
def test_a_page_may_ask_each_service_what_its_role_says(pages: dict[str, Page], role: str) -> None:
    rank = ROLES.index(role)
    asked = {f"camper/request/statistician/{verb}": row.asker for verb, row in VERBS.items()}
    services = ("statistician", "controller", *COLLECTORS)
    asked |= {f"camper/request/{service}/log": "operator" for service in services}
    for service in COLLECTORS:
        asked |= {
            f"camper/request/{service}/{verb}": "admin" for verb in ("kinds", "device_add", "device_scan")
        }
        asked[f"camper/request/{service}/read"] = "operator"
        asked[f"camper/request/{service}/devices"] = "viewer"
    asked["camper/set/relay/pump"] = "operator"
    may = {topic: pages[role].may(topic, "{}") for topic in asked}
    assert may == {topic: ROLES.index(asker) <= rank for topic, asker in asked.items()}


@pytest.mark.parametrize("role", ROLES)
def test_only_an_admin_arranges_the_page_for_all(pages: dict[str, Page], role: str) -> None:
    pages["viewer"].subscribe("camper/page")
    layout = json.dumps({"hidden": [role]})
    assert pages[role].may("camper/page", layout, retain=True) == (role == "admin")
    assert not pages[role].may("camper/page", layout) or role == "admin"
    assert pages["admin"].may("camper/page", "{}", retain=True)


PROCESSES = ("statistician", "controller", "collector_ble")
HOUSE = """
[controller]
pins = "simulated"
[relay.pump]
pin = 27
[collector]
run = ["ble"]
"""


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with secured_house(tmp_path, HOUSE, *PROCESSES) as house:
        house.start(*PROCESSES)
        yield house


def test_asking_for_the_role_does_nothing(house: House) -> None:
    broker = house.broker
    assert isinstance(broker, SecuredBroker)
    for role in ROLES:
        client = Client(broker.port, f"{ME}/#", login=broker.login(role))
        for topic in (ADMIN, OPERATOR):
            client.publish(topic, "", retain=True, response_topic=f"{ME}/1")
        client.close()
    # What comes after it has come, it has not: commands and requests are taken in their order.
    for topic in ("camper/set/page/last", "camper/request/statistician/info"):
        house.client.publish(topic, "{}", response_topic=f"{ME}/last")
        house.client.wait(lambda m: m.topic == f"{ME}/last")
    answers = [m.topic for m in house.client.messages if m.topic.startswith(("camper/resu", "camper/resp"))]
    assert set(answers) == {"camper/result/page/last", f"{ME}/last"}
    late = Client(broker.port, "camper/set/#", "camper/request/#", login=broker.login("admin"))
    late.publish("camper/set/page/now", "")
    late.wait(lambda m: m.topic == "camper/set/page/now")
    assert not any(m.retain for m in late.messages), "the broker keeps nothing of it"
    late.close()


def test_how_the_page_is_arranged_survives_a_broker_that_forgets(house: House) -> None:
    layout = '{"hidden":["sun"]}'
    house.client.publish("camper/page", layout, retain=True)
    kept = house.folder / "state" / "page.json"
    house.client.publish("camper/request/statistician/info", "{}", response_topic=f"{ME}/1")
    house.client.wait(lambda m: m.topic == f"{ME}/1")
    assert kept.read_text() == layout
    heard = len(house.client.messages)
    house.broker.kill()
    house.broker.start()
    again = house.client.wait(lambda m: m.topic == "camper/page", since=heard)
    assert again.payload.decode() == layout
