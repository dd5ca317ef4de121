"""Every preset: messages as its maker's documents show them become values, commands become its payloads."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cli.broker.rights import Access, Right, users
from collector.checking import find_mistakes
from config.load import load
from config.mistakes import ConfigError
from config.model import Settings
from config.presets import fill, shipped
from config.presets import load as load_preset
from tests.clock import FakeTime
from tests.collector.test_importing import Setup
from tests.house import ROOT

Sent = tuple[str, Any]
SHELLY = "shellyplus1pm-a8032abe54dc"
GX = "N/c0619ab9929a"


@dataclass(frozen=True)
class Case:
    """What a table says, what its publisher sends, the values; a command to `entity` and its payload."""

    preset: str
    asked: str
    sent: list[Sent]
    values: Mapping[str, object]
    command: tuple[str, str, str, str] | None = None
    # What its publisher answers.
    answer: Sent | None = None
    online: Sent | None = None
    offline: Sent | None = None
    more: str = ""
    about: dict[str, dict[str, object]] = field(default_factory=dict)


def zigbee(what: str, payload: dict[str, object], values: Mapping[str, object], **others: Any) -> Case:  # noqa: ANN401 — fields of Case
    topic = "zigbee2mqtt/it"
    said: Any = {"online": (f"{topic}/availability", '{"state": "online"}')}
    said["offline"] = (f"{topic}/availability", '{"state": "offline"}')
    return Case(
        f"zigbee2mqtt_{what}", f'prefix = "{topic}"', [(topic, payload)], values, **{**said, **others}
    )


def tasmota(what: str, sent: list[Sent], values: Mapping[str, object], **others: Any) -> Case:  # noqa: ANN401 — fields of Case
    said: Any = {"online": ("tele/kettle/LWT", "Online"), "offline": ("tele/kettle/LWT", "Offline")}
    return Case(f"tasmota_{what}", 'prefix = "kettle"', sent, values, **said, **others)


def shelly(what: str, sent: list[Sent], values: Mapping[str, object], **others: Any) -> Case:  # noqa: ANN401 — fields of Case
    said: Any = {"online": (f"{SHELLY}/online", "true"), "offline": (f"{SHELLY}/online", "false")}
    return Case(f"shelly_{what}", f'prefix = "{SHELLY}"', sent, values, **said, **others)


def venus(
    what: str,
    service: str,
    found: dict[str, object],
    values: Mapping[str, object],
    **others: Any,  # noqa: ANN401 — the same
) -> Case:
    instance = 0 if service == "system" else 279
    asked = 'portal = "c0619ab9929a"' + (f"\ninstance = {instance}" if instance else "")
    sent: list[Sent] = [(f"{GX}/{service}/{instance}/{path}", {"value": one}) for path, one in found.items()]
    return Case(f"venus_{what}", asked, sent, values, **others)


TASMOTA = {
    "Time": "2026-11-21T06:40:10",
    "ENERGY": {
        "TotalStartTime": "2026-01-01T00:00:00",
        "Total": 1.956,
        "Power": 9,
        "Voltage": 231,
        "Current": 0.089,
    },
}
MEASURED = {"power": 9, "voltage": 231, "current": 0.089, "energy": 1956}
SWITCHED = ("switch", "ON", "cmnd/kettle/POWER", "ON")
STATUS = {
    "id": 0,
    "source": "MQTT",
    "output": False,
    "apower": 8.9,
    "voltage": 237.5,
    "current": 0.04,
    "aenergy": {"total": 6.532, "by_minute": [45.199, 47.141, 88.397], "minute_ts": 1626935779},
    "temperature": {"tC": 23.5, "tF": 74.4},
}
PLUG = {
    "power": 8.9,
    "voltage": 237.5,
    "current": 0.04,
    "energy": 6.532,
    "temperature": 23.5,
    "switch": "OFF",
}


def notified(method: str, **params: object) -> dict[str, object]:
    return {
        "src": SHELLY,
        "dst": f"{SHELLY}/events",
        "method": method,
        "params": {"ts": 1626935779.43, **params},
    }


CASES = [
    zigbee(
        "thermometer",
        {"battery": 86, "humidity": 44.72, "linkquality": 97, "temperature": 27.34, "voltage": 2985},
        {"temperature": 27.34, "humidity": 44.72, "battery": 86},
    ),
    zigbee("contact", {"battery": 100, "contact": False, "voltage": 3015}, {"contact": "ON", "battery": 100}),
    zigbee("leak", {"battery": 97, "water_leak": True, "tamper": False}, {"leak": "ON", "battery": 97}),
    zigbee("motion", {"battery": 74, "occupancy": False}, {"motion": "OFF", "battery": 74}),
    zigbee(
        "plug",
        {"current": 0.04, "energy": 1.25, "linkquality": 120, "power": 5.2, "state": "OFF", "voltage": 231},
        {"current": 0.04, "energy": 1250, "power": 5.2, "switch": "OFF", "voltage": 231},
        command=("switch", "ON", "zigbee2mqtt/it/set", '{"state": "ON"}'),
        answer=("zigbee2mqtt/it", {"state": "ON"}),
    ),
    tasmota(
        "plug",
        [("tele/kettle/STATE", {"POWER": "OFF", "Wifi": {"AP": 1}}), ("tele/kettle/SENSOR", TASMOTA)],
        {**MEASURED, "switch": "OFF"},
        command=SWITCHED,
        answer=("stat/kettle/RESULT", {"POWER": "ON"}),
    ),
    tasmota(
        "switch",
        [("tele/kettle/STATE", {"POWER": "OFF"})],
        {"switch": "OFF"},
        command=SWITCHED,
        answer=("stat/kettle/RESULT", {"POWER": "ON"}),
    ),
    tasmota("meter", [("tele/kettle/SENSOR", TASMOTA)], MEASURED),
    shelly(
        "plug",
        [(f"{SHELLY}/status/switch:0", STATUS)],
        PLUG,
        command=("switch", "ON", f"{SHELLY}/command/switch:0", "on"),
        answer=(f"{SHELLY}/status/switch:0", {**STATUS, "output": True}),
    ),
    shelly(
        "switch",
        [(f"{SHELLY}/status/switch:1", {"id": 1, "output": True, "temperature": {"tC": 41.0, "tF": 105.8}})],
        {"switch": "ON", "temperature": 41},
        more="instance = 1",
        command=("switch", "OFF", f"{SHELLY}/command/switch:1", "off"),
        answer=(f"{SHELLY}/status/switch:1", {"id": 1, "output": False, "temperature": {"tC": 41.0}}),
    ),
    shelly(
        "plug_rpc",
        [
            (f"{SHELLY}/events/rpc", notified("NotifyFullStatus", **{"switch:0": STATUS})),
            (f"{SHELLY}/events/rpc", notified("NotifyStatus", **{"switch:0": {"id": 0, "apower": 9.9}})),
            (f"{SHELLY}/events/rpc", notified("NotifyStatus", wifi={"rssi": -60})),
        ],
        {**PLUG, "power": 9.9},
        command=("switch", "ON", f"{SHELLY}/command/switch:0", "on"),
        answer=(f"{SHELLY}/events/rpc", notified("NotifyStatus", **{"switch:0": {"id": 0, "output": True}})),
    ),
    shelly(
        "3em",
        [
            (
                f"{SHELLY}/status/em:0",
                {
                    "id": 0,
                    "a_voltage": 236.1,
                    "a_act_power": 951.2,
                    "b_voltage": 235.2,
                    "b_act_power": 951.1,
                    "c_voltage": 238.1,
                    "c_act_power": -582.5,
                    "total_current": 12.1,
                    "total_act_power": 1319.8,
                },
            ),
            (f"{SHELLY}/status/emdata:0", {"id": 0, "total_act": 1234.56, "total_act_ret": 78.9}),
        ],
        {
            "grid_power": 1319.8,
            "grid_power_l1": 951.2,
            "grid_power_l2": 951.1,
            "grid_power_l3": -582.5,
            "grid_voltage_l1": 236.1,
            "grid_voltage_l2": 235.2,
            "grid_voltage_l3": 238.1,
            "grid_import_energy": 1234.56,
            "grid_export_energy": 78.9,
        },
    ),
    venus(
        "battery",
        "battery",
        {
            "Soc": 87.5,
            "Dc/0/Voltage": 13.21,
            "Dc/0/Current": -10.0,
            "Dc/0/Power": -132,
            "Dc/0/Temperature": 21,
            "TimeToGo": None,
            "ConsumedAmphours": -12.5,
        },
        {
            "soc": 87.5,
            "voltage": 13.21,
            "current": -10,
            "power": -132,
            "temperature": 21,
            "time_remaining": None,
            "consumed_charge": -12.5,
        },
        about={"power": {"role": "battery"}, "soc": {"device_class": "battery"}},
    ),
    venus(
        "solar",
        "solarcharger",
        {
            "Yield/Power": 215,
            "Pv/V": 34.1,
            "Dc/0/Voltage": 13.9,
            "Dc/0/Current": 15.4,
            "State": 3,
            "History/Daily/0/Yield": 0.71,
            "Yield/System": 412.5,
        },
        {
            "power": 215,
            "solar_voltage": 34.1,
            "voltage": 13.9,
            "current": 15.4,
            "charge_state": "bulk",
            "yield_today": 710,
            "yield_total": 412_500,
        },
        about={"power": {"role": "solar"}},
    ),
    venus(
        "system",
        "system",
        {"Dc/Battery/Soc": 80, "Dc/Battery/Power": 55, "Dc/Pv/Power": 320, "Ac/Grid/L1/Power": -12},
        {"soc": 80, "battery_power": 55, "pv_power": 320, "grid_power": -12},
    ),
    venus(
        "multi",
        "vebus",
        {"Ac/ActiveIn/L1/P": 120, "Ac/Out/L1/P": 118, "Mode": 3, "State": 8, "Dc/0/Voltage": 26.9},
        {"ac_in_power": 120, "ac_out_power": 118, "mode": "on", "state": "passthrough", "voltage": 26.9},
    ),
    venus(
        "grid",
        "grid",
        {"Ac/Power": -340, "Ac/Energy/Forward": 1234.5, "Ac/Energy/Reverse": 77.1},
        {"grid_power": -340, "grid_import_energy": 1_234_500, "grid_export_energy": 77_100},
    ),
    venus("tank", "tank", {"Level": 55, "Remaining": 0.11}, {"level": 55, "volume": 110}),
    venus("temperature", "temperature", {"Temperature": 4.5}, {"temperature": 4.5}),
    venus(
        "relay",
        "system",
        {"Relay/0/State": 0},
        {"relay": "OFF"},
        command=("relay", "ON", "W/c0619ab9929a/system/0/Relay/0/State", '{"value": 1}'),
        answer=(f"{GX}/system/0/Relay/0/State", {"value": 1}),
    ),
    Case(
        "esphome",
        'prefix = "cabin"',
        [("cabin/sensor/inside/state", "21.4"), ("cabin/switch/fan/state", "OFF")],
        {"temperature": 21.4, "fan": "OFF"},
        more='[import.entities]\ntemperature = { topic = "{prefix}/sensor/inside/state", unit = "°C" }\n'
        'fan = { topic = "{prefix}/switch/fan/state", command_topic = "{prefix}/switch/fan/command" }',
        command=("fan", "ON", "cabin/switch/fan/command", "ON"),
        answer=("cabin/switch/fan/state", "ON"),
        online=("cabin/status", "online"),
        offline=("cabin/status", "offline"),
    ),
    Case(
        "boondock",
        'prefix = "van2"\ninstance = "smartshunt"',
        [("van2/state/smartshunt", {"ts": "2026-11-21T12:00:01.000Z", "soc": 71.5, "power": -20})],
        {"soc": 71.5, "power": -20},
        more='[import.entities]\nsoc = { path = "soc", unit = "%" }\npower = { path = "power", unit = "W" }',
        online=("van2/availability/smartshunt", "online"),
        offline=("van2/availability/smartshunt", "offline"),
    ),
]


def settings(folder: Path, *tables: str) -> Settings:
    """Read a file with these tables. Raises ConfigError."""
    path = folder / "boondock.toml"
    path.write_text("\n".join(f"[[import]]\n{table}\n" for table in tables))
    return load(path, find_mistakes)


def table(case: Case) -> str:
    return f'device = "it"\npreset = "{case.preset}"\n{case.asked}\n{case.more}'


def test_every_preset_has_a_case_and_is_in_the_docs() -> None:
    assert sorted(case.preset for case in CASES) == list(shipped())
    page = (ROOT / "docs" / "bring-your-own.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \|$", page, re.MULTILINE))
    for name in shipped():
        assert rows[name] == load_preset(name)["preset"]["title"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.preset)
def test_messages_become_values(case: Case, tmp_path: Path, time: FakeTime) -> None:
    setup = Setup(tmp_path, time, settings(tmp_path, table(case)).imports)
    if case.online is not None:
        setup.hear(*case.online, retain=True)
    for topic, payload in case.sent:
        time.pass_(2.0)
        setup.hear(topic, payload)
        setup.pass_(2.0)
    latest: dict[str, Any] = {}
    for reading in setup.values("it"):
        latest |= reading
    assert latest == case.values
    about = json.loads(setup.bus.on("camper/about/it")[-1])["entities"]
    for entity, keys in case.about.items():
        assert about[entity].items() >= keys.items()
    assert not [key for key in setup.journal.problems if key.startswith("entity.it")]
    if case.offline is not None:
        setup.hear(*case.offline, retain=True)
        assert setup.bus.on("camper/availability/it")[-1] == b"offline"


@pytest.mark.parametrize("case", [case for case in CASES if case.command], ids=lambda case: case.preset)
def test_a_command_is_passed_on_and_answered(case: Case, tmp_path: Path, time: FakeTime) -> None:
    assert case.command is not None
    assert case.answer is not None
    setup = Setup(tmp_path, time, settings(tmp_path, table(case)).imports)
    for topic, payload in case.sent:
        setup.hear(topic, payload)
        setup.pass_(2.0)
    entity, wanted, topic, payload = case.command
    setup.hear(f"camper/set/it/{entity}", wanted)
    assert setup.bus.on(topic) == [payload.encode()]
    setup.hear(*case.answer)
    (result,) = (json.loads(one) for one in setup.bus.on(f"camper/result/it/{entity}"))
    assert (result["status"], result["actual"]) == ("ok", wanted)


def test_a_gx_is_kept_talking_once_for_all_its_devices(tmp_path: Path, time: FakeTime) -> None:
    tables = [
        f'device = "d{n}"\npreset = "venus_tank"\nportal = "c0619ab9929a"\ninstance = {n}' for n in (1, 2)
    ]
    setup = Setup(tmp_path, time, settings(tmp_path, *tables).imports)
    for _ in range(121):
        setup.pass_(0.5)
    assert setup.bus.on("R/c0619ab9929a/keepalive") == [b""] * 3
    assert setup.journal.counters["keep_alives"] == 3


def test_the_brokers_rights_follow_from_the_preset(tmp_path: Path) -> None:
    found = settings(tmp_path, 'device = "it"\npreset = "venus_relay"\nportal = "c0619ab9929a"')
    (mine,) = [user for user in users(found) if user.name == "boondock_collector_mqtt"]
    foreign = [right for right in mine.rights if right.topic.split("/")[0] in ("N", "R", "W")]
    assert foreign == [
        Right(Access.WRITE, "R/c0619ab9929a/keepalive"),
        Right(Access.WRITE, "W/c0619ab9929a/system/0/Relay/0/State"),
        Right(Access.READ, "N/c0619ab9929a/system/0/Relay/0/State"),
    ]


def test_what_the_owner_says_counts_above_the_preset(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        'device = "it"\npreset = "tasmota_plug"\nprefix = "kettle"\ntimeout = 60.0\n'
        '[import.entities]\npower = { name = "Kettle", role = "load" }\n'
        'wifi = { topic = "tele/{prefix}/STATE", path = "Wifi.RSSI", unit = "%" }',
    ).imports["it"]
    assert (found.timeout, found.manufacturer, found.topic) == (60, "Tasmota", "tele/kettle/SENSOR")
    power = found.entities["power"]
    assert (power.name, power.role, power.path, power.unit) == ("Kettle", "load", "ENERGY.Power", "W")
    assert found.entities["wifi"].topic == "tele/kettle/STATE"
    assert found.entities["energy"].path == "ENERGY.Total"


@pytest.mark.parametrize(
    ("said", "key", "text"),
    [
        ('preset = "tasmota_plug"', "import.it.prefix", "it is missing; allowed: its Topic"),
        ('preset = "venus_tank"\nportal = "x"', "import.it.instance", "it is missing"),
        ('preset = "tasmota_plugg"', "import.it.preset", "did you mean tasmota_plug?"),
        ('preset = "xyz"', "import.it.preset", "allowed: boondock, esphome"),
        ('preset = "tasmota_plug"\nprefix = "a"\nportal = "b"', "import.it.portal", "does not ask for it"),
        ('preset = "tasmota_plug"\nprefix = "a/#"', "import.it.prefix", "is no part of a topic"),
        ('preset = "tasmota_plug"\nprefix = "/a"', "import.it.prefix", "is no part of a topic"),
        ('preset = "tasmota_plug"\nprefix = ""', "import.it.prefix", "is no part of a topic"),
        ('preset = "tasmota_plug"\nprefix = 5', "import.it.prefix", "5 is"),
        (
            'prefix = "a"\ntopic = "a"\nentities = { x = { path = "x" } }',
            "import.it.prefix",
            "there is no preset",
        ),
        ('preset = "esphome"\nprefix = "a"', "import.it.entities", "it is missing"),
        ('preset = "tasmota_plug"\nprefix = "a"\nentities = 5', "import.it.entities", "5"),
        ('preset = "tasmota_plug"\nprefix = "a"\nentities = { power = 5 }', "import.it.entities.power", "5"),
        (
            'preset = "venus_tank"\nportal = "x"\ninstance = 1\nkeep_alive = { topic = "camper/x" }',
            "import.it.keep_alive.topic",
            "below our own camper",
        ),
        (
            'preset = "venus_tank"\nportal = "x"\ninstance = 1\nkeep_alive = { topic = "x", every = 0.1 }',
            "import.it.keep_alive.every",
            "0.1",
        ),
    ],
)
def test_a_mistake_is_told_once_with_what_is_allowed(said: str, key: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, f'device = "it"\n{said}')
    (mistake,) = caught.value.mistakes
    assert mistake.key == key
    assert text in str(mistake)


@pytest.mark.parametrize("imports", [None, 5, {"it": 5}, {"it": {"preset": ["x"]}}])
def test_what_is_no_table_is_left_to_the_types(imports: object) -> None:
    assert list(fill(imports)) == []
