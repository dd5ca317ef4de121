"""The ACL of a running Mosquitto, every user against every topic, is the table in docs/security.md."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from unittest.mock import create_autospec

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from cli.broker.rights import ASKS_COLLECTOR, CARRY_KEYS, COLLECTORS
from cli.broker.rights import users as broker_users
from collector.registry import Registry, verbs
from config.model import Settings
from scripts.verbs import table_of_rights
from statistician.service import VERBS
from tests.client import Client
from tests.emulators import victron
from tests.journeys.house import COMPANY, House, secured_house
from tests.secured import SecuredBroker, open_folder

DOC = Path(__file__).parents[2] / "docs" / "security.md"
SETTINGS = """
[user.super]
role = "admin"
topics = ["zigbee2mqtt/#", "tele/#", "cmnd/#", "other/#", "camperx/#"]
[user.guest]
role = "viewer"
[user.node_red]
role = "publisher"
devices = ["fridge", "lamp"]
commands = ["lamp.pump"]
[user.zigbee2mqtt]
topics = ["zigbee2mqtt/#", "homeassistant/+/zigbee/config"]
[device.shunt]
kind = "vedirect"
port = "/dev/ttyUSB0"
[device.solar_energy]
kind = "integral"
source = "shunt.power"
[[import]]
device = "roof"
topic = "tele/roof/SENSOR"
entities.power = { path = "power", unit = "W", command_topic = "cmnd/roof/POWER" }
"""
SERVICES = ("statistician", "controller", "forwarder", *COLLECTORS, "node_red")
PATIENCE = 60.0
NOT_AUTHORIZED = 0x87
# What a user has besides the column of its role; None: it has no column.
BESIDES = {
    "boondock_collector_mqtt": {("read", "tele/roof/SENSOR"), ("write", "cmnd/roof/POWER")},
    "zigbee2mqtt": {
        (access, topic)
        for topic in ("zigbee2mqtt/#", "homeassistant/+/zigbee/config")
        for access in ("read", "write")
    },
}
# Who speaks for what boondock.toml names.
OWNERS = {
    "shunt": "boondock_collector_serial",
    "solar_energy": "boondock_statistician",
    "relay": "boondock_controller",
    "roof": "boondock_collector_mqtt",
    "fridge": "node_red",
    "lamp": "node_red",
}
# What stands in the table for names.
MEANT: dict[str, Callable[[str], list[str]]] = {
    "collector_<transport>": lambda user: [
        n for n in COLLECTORS if user in (f"boondock_{n}", "viewer", "guest", "operator")
    ],
    "<device of another>": lambda user: [device for device, owner in OWNERS.items() if owner != user],
    "<derived device>": lambda user: [device for device, owner in OWNERS.items() if owner == user],
    "<its device>": lambda user: [device for device, owner in OWNERS.items() if owner == user],
    "<its command>": lambda _: ["pump"],
}
COLUMNS = {
    "boondock_statistician": "statistician",
    "boondock_controller": "controller",
    "boondock_forwarder": "forwarder",
    **{f"boondock_{name}": "collector" for name in COLLECTORS},
    **{role: role for role in ("viewer", "operator", "admin")},
    "guest": "viewer",
    "node_red": "publisher",
    "zigbee2mqtt": None,
}
USERS = tuple(COLUMNS)

Pairs = set[tuple[str, str]]


OF_COLLECTORS = verbs(create_autospec(Registry, instance=True))


def every_topic() -> list[str]:
    """One of each kind the contract has, of ours and of strangers, and what is none of it."""
    asked = ("nonsense", "log", "device_scan", *OF_COLLECTORS, *VERBS)
    found = [f"camper/request/{service}/{verb}" for service in SERVICES for verb in dict.fromkeys(asked)]
    for service in SERVICES:
        found += [f"camper/{verb}/{service}" for verb in ("service", "health", "watermark")]
        found += [f"camper/response/{service}/history"]
    for device in (*OWNERS, "anything"):
        found += [f"camper/{verb}/{device}" for verb in ("about", "state", "availability")]
        found += [f"camper/{verb}/{device}/pump" for verb in ("state", "set", "result")]
        found += [f"camper/statistics/{device}/{period}" for period in ("5minute", "hour")]
        found += [f"homeassistant/device/camper_{device}/config"]
    found += [f"camper/backlog/{service}/{service}-7f3a91" for service in SERVICES]
    found += ["camper/backlog/import/import-7f3a91", "camper/backlog/controller", "camper/backlog/a/b/c"]
    found += ["camper/response/me", "camper/response/a/b/c/d", "camper/watermark/collector_ble-7f3a91"]
    found += ["camper", "camper/state", "camper/set/relay", "camper/set/relay/pump/x", "camper/state/a/b/c"]
    found += ["camper/page", "camper/page/x", "camper/set/page/right"]
    found += ["camper/unknown/x", "camper/about/a/b", "camper//state", "camperx/state/shunt"]
    found += ["homeassistant/status", "homeassistant/sensor/zigbee/config", "homeassistant/device/x/y/config"]
    found += ["zigbee2mqtt/lamp", "zigbee2mqtt/lamp/set", "tele/roof/SENSOR", "tele/roof/STATE"]
    return [*found, "cmnd/roof/POWER", "cmnd/other/POWER", "other/topic"]


TOPICS = every_topic()
# What a client may not even try to publish is only read.
SYSTEM = "$SYS/broker/version"


def documented() -> dict[str, Pairs]:
    """The table of docs/security.md: access and filter, by column."""
    lines = [line for line in DOC.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    start = next(place for place, row in enumerate(rows) if row[0] == "topic" and "viewer" in row)
    columns: dict[str, Pairs] = {name: set() for name in rows[start][1:]}
    for row in takewhile(lambda one: one[0].startswith("`"), rows[start + 2 :]):
        for column, cell in zip(columns, row[1:], strict=True):
            assert cell in ("", "read", "write", "both", "no"), row
            found = re.fullmatch(r"`(.+)`", row[0])
            assert found, row
            words = ("read", "write") if cell == "both" else (cell,) if cell else ()
            columns[column] |= {(word, found[1]) for word in words}
    return columns


def allowed(user: str) -> Pairs:
    """What a user may, as access and topic."""
    column = COLUMNS[user]
    rights = documented()[column] if column is not None else set()
    rights = {(access, one) for access, filter_ in rights for one in _named(filter_, user)}
    rights |= BESIDES.get(user, set())
    if user == "node_red":
        rights.remove(("write", "camper/result/fridge/pump"))
    asked = [*(("write", topic) for topic in TOPICS), *(("read", topic) for topic in (*TOPICS, SYSTEM))]
    found = {(a, t) for a, t in asked if any(a == access and _covers(f, t) for access, f in rights)}
    return {(a, t) for a, t in found if not any(access == "no" and _covers(f, t) for access, f in rights)}


def _named(filter_: str, user: str) -> list[str]:
    """A filter of the table with the names that a user's placeholders stand for."""
    for placeholder, names in MEANT.items():
        if placeholder in filter_:
            return [one for name in names(user) for one in _named(filter_.replace(placeholder, name), user)]
    return [filter_]


def _covers(filter_: str, topic: str) -> bool:
    """MQTT 5, 4.7: `+` is a level, `#` its parent and all below."""
    wanted, levels = filter_.split("/"), topic.split("/")
    if wanted[-1] == "#":
        wanted, levels = wanted[:-1], levels[: len(wanted) - 1]
    return len(wanted) == len(levels) and all(w in ("+", one) for w, one in zip(wanted, levels, strict=True))


class Visitor:
    """One connection as one user, that hears all it may and notes what each publish got for an answer."""

    def __init__(self, port: int, login: tuple[str, str]) -> None:
        self.heard: list[tuple[str, str]] = []
        self.refusals: dict[str, int] = {}
        self._answers: dict[int, int] = {}
        self._done = threading.Condition()
        self._subscribed = 0
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.username_pw_set(*login)
        self._client.max_inflight_messages_set(500)
        self._client.on_message = lambda _c, _u, m: self.heard.append((m.topic, m.payload.decode()))
        self._client.on_publish = self._on_publish
        self._client.on_subscribe = self._on_subscribe
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self.catch_up()

    def _on_publish(
        self, _client: mqtt.Client, _userdata: object, mid: int, reason: ReasonCode, _p: object
    ) -> None:
        with self._done:
            self._answers[mid] = reason.value
            self._done.notify_all()

    def _on_subscribe(self, *_: object) -> None:
        with self._done:
            self._subscribed += 1
            self._done.notify_all()

    def catch_up(self) -> None:
        """Once this is answered, all the broker had for us before has arrived: QoS 0 keeps its order."""
        wanted = self._subscribed + 1
        options = SubscribeOptions(qos=0, retainHandling=1)
        self._client.subscribe([("#", options), ("$SYS/#", options)])
        with self._done:
            assert self._done.wait_for(lambda: self._subscribed >= wanted, PATIENCE)

    def say(self, topics: list[str], payload: str, *, retain: bool = False) -> None:
        """Publish to each and wait for every answer."""
        # Without our lock, which the network's thread takes while it holds paho's.
        sent = {self._client.publish(one, payload, qos=1, retain=retain).mid: one for one in topics}
        with self._done:
            assert self._done.wait_for(lambda: sent.keys() <= self._answers.keys(), PATIENCE)
        self.refusals |= {topic: self._answers[mid] for mid, topic in sent.items()}

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture(scope="module")
def broker() -> Iterator[SecuredBroker]:
    with open_folder() as folder:
        secured = SecuredBroker(folder, SETTINGS)
        secured.start()
        yield secured
        secured.stop()


@pytest.fixture(scope="module")
def tried(broker: SecuredBroker) -> dict[str, tuple[Pairs, Pairs, Pairs]]:
    """By user: what was retained and what was live for it to read, what it could write."""
    observer = Visitor(broker.port, broker.login("super"))
    observer.say(TOPICS, "kept", retain=True)
    visitors = {user: Visitor(broker.port, broker.login(user)) for user in USERS}
    observer.say(TOPICS, "live")
    for visitor in visitors.values():
        visitor.catch_up()
    heard = {
        user: {
            payload: {t for t, p in v.heard if p == payload or t == SYSTEM} for payload in ("kept", "live")
        }
        for user, v in visitors.items()
    }
    for user, visitor in visitors.items():
        visitor.say(TOPICS, user)
    observer.catch_up()
    found = {}
    for user, visitor in visitors.items():
        arrived = {topic for topic, payload in observer.heard if payload == user}
        refused = {topic for topic, reason in visitor.refusals.items() if reason == NOT_AUTHORIZED}
        assert arrived == set(TOPICS) - refused, "refused is what did not arrive, and nothing else"
        read = [{("read", t) for t in heard[user][kind]} for kind in ("kept", "live")]
        found[user] = (*read, {("write", t) for t in arrived})
        visitor.close()
    observer.close()
    return found  # type: ignore[return-value]  # three of them: two ways to read, one to write


@pytest.mark.parametrize("user", USERS)
def test_a_user_may_what_the_table_says_and_nothing_else(
    tried: dict[str, tuple[Pairs, Pairs, Pairs]], user: str
) -> None:
    kept, live, written = tried[user]
    wanted = allowed(user)
    assert wanted
    assert kept | written == wanted
    assert live | written == wanted


def test_the_table_is_the_one_the_acl_is_made_from() -> None:
    assert table_of_rights() in DOC.read_text(encoding="utf-8")


def test_keys_of_devices_are_for_the_collector_alone() -> None:
    users = {one.name: one.rights for one in broker_users(Settings())}
    for verb in CARRY_KEYS:
        assert verb in OF_COLLECTORS
        topic = f"camper/request/collector_ble/{verb}"
        hear = set()
        for name, rights in users.items():
            access = {right.access for right in rights if _covers(right.topic, topic)}
            if access & {"read", "readwrite"} and "deny" not in access:
                hear.add(name)
        assert hear == {"boondock_collector_ble", "admin"}


def test_a_viewer_may_ask_what_changes_nothing() -> None:
    users = {one.name: one.rights for one in broker_users(Settings())}
    for verb, row in VERBS.items():
        topic = f"camper/request/statistician/{verb}"
        may = {role for role in ("viewer", "operator") if any(one.topic == topic for one in users[role])}
        assert may == {"viewer": {"viewer", "operator"}, "operator": {"operator"}, "admin": set()}[row.asker]
        assert row.asker == "admin" or not row.changes, verb
    # A new one must not be forbidden in silence.
    for_admins = {"kinds"}  # who cannot add a device needs no form for it
    assert set(ASKS_COLLECTOR) | for_admins == {v for v, one in OF_COLLECTORS.items() if not one.changes}


def test_every_user_is_proved(broker: SecuredBroker) -> None:
    said = re.findall(r"^user (\S+)$", (broker.out / "acl").read_text(), re.MULTILINE)
    assert sorted(said) == sorted((*USERS, "super"))


@pytest.mark.parametrize("login", [("viewer", "wrong"), ("nobody", ""), None, ("viewer", "")])
def test_without_the_right_password_nobody_comes_in(
    broker: SecuredBroker, login: tuple[str, str] | None
) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    reasons: list[int] = []

    def on_connect(_c: mqtt.Client, _u: object, _f: object, reason: ReasonCode, _p: object) -> None:
        reasons.append(reason.value)
        client.disconnect()

    client.on_connect = on_connect
    if login is not None:
        client.username_pw_set(*login)
    client.connect("127.0.0.1", broker.port)
    client.loop_forever()
    assert reasons == [NOT_AUTHORIZED]


HOUSE = """
[publish]
timeout = 5
[statistician]
commit_interval = 0.2
[controller]
pins = "simulated"
[relay.pump]
pin = 27
[device.mppt]
kind = "victron_solar_charger"
address = "C0:11:22:33:44:66"
key = "ffffffffffffffffffffffffffffffff"
"""
ROOF = ("C0:11:22:33:44:66", bytes([255] * 16))
PROCESSES = ("statistician", "controller", "collector_ble")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """The real processes, each as its own user, as the units start them; the house's client is the admin."""
    with secured_house(tmp_path, HOUSE, *PROCESSES) as house:
        house.start(*PROCESSES)
        yield house


@pytest.fixture
def clients(house: House) -> Iterator[Callable[[str], Client]]:
    opened = []

    def connect(user: str) -> Client:
        assert isinstance(house.broker, SecuredBroker)
        opened.append(Client(house.broker.port, "camper/#", login=house.broker.login(user)))
        return opened[-1]

    yield connect
    for client in opened:
        client.close()


def test_the_real_processes_work_as_their_users(house: House, clients: Callable[[str], Client]) -> None:
    record = victron.solar_charger(victron.SolarCharger(), ROOF[1], iv=1)
    assert house.bluez.advertise(ROOF[0], {COMPANY: record}, name="Roof")
    reading = house.state("mppt")
    operator = clients("operator")
    operator.wait(lambda m: m.topic == "camper/state/mppt")
    operator.publish("camper/set/relay/pump", '{"value": "ON", "id": "mine"}')
    assert json.loads(operator.on("camper/result/relay/pump"))["actual"] == "ON"
    # Stored and told: the statistician may read the reading and write the watermark.
    topic = f"camper/watermark/{reading['stream']}"
    house.client.wait(lambda m: m.topic == topic and int(m.payload) >= int(str(reading["seq"])))
    for name in PROCESSES:
        health = json.loads(house.client.on(f"camper/health/{name}"))
        assert health["counters"]["refused_publications"] == 0, name
        assert "broker" not in health["problems"]


def test_a_viewers_command_reaches_nobody(house: House, clients: Callable[[str], Client]) -> None:
    viewer, operator = clients("viewer"), clients("operator")
    viewer.publish("camper/set/relay/pump", '{"value": "ON", "id": "viewer"}')
    # What comes after it has come, it has not.
    operator.publish("camper/set/relay/pump", '{"value": "OFF", "id": "operator"}')
    assert json.loads(operator.on("camper/result/relay/pump"))["id"] == "operator"
    assert not any(b'"viewer"' in m.payload for m in house.client.messages)


ASKED = "camper/request/statistician/info"
ELSEWHERE = ("camper/set/relay/pump", "camper/state/mppt", "camper/responses/x", "homeassistant/status", "x")


def test_no_service_publishes_for_a_viewer_where_it_may_not(
    house: House, clients: Callable[[str], Client]
) -> None:
    viewer = clients("viewer")
    for topic in ELSEWHERE:
        viewer.publish(ASKED, '{"id": "a property"}', response_topic=topic)
        viewer.publish(ASKED, json.dumps({"id": f"to {topic}", "reply_to": topic}))
        _answered(house, f"to {topic}")
    viewer.publish(ASKED, '{"id": "mine"}', response_topic="camper/response/viewer")
    assert json.loads(viewer.on("camper/response/viewer"))["id"] == "mine"
    _answered(house, "mine")
    answers = [m for m in house.client.messages if b'"status":"ok"' in m.payload]
    # Answered all the same, but where everybody's answers go.
    assert sorted(m.topic for m in answers) == [
        *["camper/response/statistician/info"] * 2 * len(ELSEWHERE),
        "camper/response/viewer",
    ]


def _answered(house: House, name: str) -> None:
    house.client.wait(lambda m: f'"id":"{name}","status":"ok"'.encode() in m.payload)
