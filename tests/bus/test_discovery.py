"""Discovery payloads: what Home Assistant takes, nothing that it rejects; every entity of every kind."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from bus.about import BINARY_SENSOR_CLASSES, About, Entity
from bus.home_assistant import SENSORS, discovery_payload, house, payload_of_gone, without_details
from bus.topics import HOUSE, Topics
from collector.devices import KINDS
from tests import home_assistant

# Keys that Home Assistant knows; an unknown one at the root, in device or in origin rejects the whole.
_ROOT = {"device", "origin", "components", "availability", "availability_mode", "state_topic", "qos"}
_DEVICE = {"identifiers", "name", "manufacturer", "model", "model_id", "serial_number", "sw_version"} | {
    "via_device",
    "configuration_url",
}
_COMPONENT = {"platform", "unique_id", "default_entity_id", "name", "value_template", "entity_category"} | {
    "device_class",
    "unit_of_measurement",
    "state_class",
    "options",
    "suggested_display_precision",
    "last_reset_value_template",
    "expire_after",
    "payload_on",
    "payload_off",
    "command_topic",
    "min",
    "max",
    "mode",
    "step",
    "icon",
}


_DIAGNOSTICS = ("device_last_seen", "device_problem")
Payload = dict[str, Any]


def made(
    about: About,
    *,
    base: str = "camper",
    service: str | None = "collector_ble",
    gone: Mapping[str, str] | None = None,
) -> Payload:
    """The payload of a device `dev`, decoded."""
    found: Payload = json.loads(
        discovery_payload(Topics(base), "dev", about, service=service, version="1.2", gone=gone or {})
    )
    return found


def component(entity: Entity, expire_after: float | None = None) -> Payload:
    """What one entity becomes."""
    about = About(name="Dev", expire_after=expire_after, entities={"e": entity})
    found: Payload = made(about)["components"]["e"]
    return found


VOLTAGE = Entity(name="Voltage", unit="V", device_class="voltage", state_class="measurement", precision=2)


def test_the_whole_payload_of_a_device() -> None:
    about = About(
        name="House battery",
        manufacturer="Victron Energy",
        model="SmartShunt",
        model_id="0xA389",
        serial_number="HQ2",
        sw_version="4.19",
        expire_after=90,
        entities={"voltage": VOLTAGE, "alarm": Entity(name="Alarm", boolean=True)},
    )
    found = made(about)
    assert found["components"].pop("alarm")["platform"] == "binary_sensor"
    assert [found["components"].pop(key)["entity_category"] for key in _DIAGNOSTICS] == ["diagnostic"] * 2
    assert found == {
        "device": {
            "identifiers": ["camper_dev"],
            "name": "House battery",
            "manufacturer": "Victron Energy",
            "model": "SmartShunt",
            "model_id": "0xA389",
            "serial_number": "HQ2",
            "sw_version": "4.19",
            "via_device": "camper",
        },
        "origin": {"name": "Boondock", "sw_version": "1.2"},
        "availability": [
            {
                "topic": "camper/service/collector_ble",
                "payload_available": "online",
                "payload_not_available": "offline",
            },
            {
                "topic": "camper/availability/dev",
                "payload_available": "online",
                "payload_not_available": "offline",
            },
        ],
        "availability_mode": "all",
        "state_topic": "camper/state/dev",
        "qos": 1,
        "components": {
            "voltage": {
                "platform": "sensor",
                "unique_id": "camper_dev_voltage",
                "default_entity_id": "sensor.camper_dev_voltage",
                "name": "Voltage",
                "value_template": (
                    "{% set v = (value_json | default({}))['voltage'] | default('') %}"
                    "{{ v if not (v is number and this.state | is_number)"
                    " or (v - this.state | float) | abs >= [0.2, this.state | float | abs / 10] | max"
                    " or now() - this.last_updated >= timedelta(seconds=15) }}"
                ),
                "device_class": "voltage",
                "unit_of_measurement": "V",
                "state_class": "measurement",
                "suggested_display_precision": 2,
                "expire_after": 90,
            }
        },
    }


@pytest.mark.parametrize(
    ("entity", "platform", "has"),
    [
        (Entity(name="x", boolean=True), "binary_sensor", {"payload_on": "ON", "payload_off": "OFF"}),
        (
            Entity(name="x", boolean=True, device_class="problem"),
            "binary_sensor",
            {"device_class": "problem"},
        ),
        (Entity(name="x", boolean=True, command=True), "switch", {"command_topic": "camper/set/dev/e"}),
        (
            Entity(name="x", command=True, range=(0, 16), unit="A", device_class="current"),
            "number",
            {"min": 0, "max": 16, "unit_of_measurement": "A", "command_topic": "camper/set/dev/e"},
        ),
        (Entity(name="x", command=True, range=(0, 1), step=0.5), "number", {"max": 1, "step": 0.5}),
        (Entity(name="x", command=True, range=(0, 1), step=1e-9), "number", {"step": 0.001}),
        (Entity(name="x", command=True, range=(5, 5)), "sensor", {}),
        (
            Entity(name="x", device_class="enum", options=("off", "low"), command=True),
            "select",
            {"options": ["off", "low"], "command_topic": "camper/set/dev/e"},
        ),
        (
            Entity(name="x", device_class="enum", options=("off", "bulk")),
            "sensor",
            {"options": ["off", "bulk"]},
        ),
        (Entity(name="x", unit="Ah", state_class="measurement"), "sensor", {"unit_of_measurement": "Ah"}),
        (Entity(name="x", diagnostic=True), "sensor", {"entity_category": "diagnostic"}),
        # What can be changed is configuration there.
        (
            Entity(name="x", diagnostic=True, command=True, range=(0, 1)),
            "number",
            {"entity_category": "config"},
        ),
    ],
)
def test_an_entity_becomes_its_platform(entity: Entity, platform: str, has: dict[str, object]) -> None:
    found = component(entity)
    assert found["platform"] == platform
    assert found.items() >= has.items()


def test_a_number_without_a_step_leaves_it_to_home_assistant() -> None:
    assert "step" not in component(Entity(name="x", command=True, range=(0, 16)))


def test_a_select_has_no_class_of_a_sensor_and_does_not_expire() -> None:
    entity = Entity(name="x", device_class="enum", options=("off", "low"), command=True)
    assert component(entity, 60.0).keys().isdisjoint({"device_class", "expire_after", "state_class"})


@pytest.mark.parametrize(
    ("entity", "lacks"),
    [
        # A stranger may say anything: what Home Assistant would reject is left out, the value stays.
        (Entity(name="x", unit="degC", device_class="temperature"), {"device_class"}),
        (Entity(name="x", unit="W", device_class="energy", state_class="total"), {"device_class"}),
        (Entity(name="x", unit="Wh", device_class="energy", state_class="measurement"), {"state_class"}),
        (Entity(name="x", unit="V", device_class="voltages"), {"device_class"}),
        (Entity(name="x", boolean=True, device_class="voltage"), {"device_class"}),
    ],
)
def test_what_would_reject_the_device_is_left_out(entity: Entity, lacks: set[str]) -> None:
    assert not lacks & component(entity).keys()


def test_a_total_says_when_it_was_reset() -> None:
    total = Entity(name="x", unit="Wh", device_class="energy", state_class="total")
    assert "last_reset" in component(total)["last_reset_value_template"]
    rising = Entity(name="x", unit="Wh", device_class="energy", state_class="total_increasing")
    assert "last_reset_value_template" not in component(rising)


def test_switches_do_not_expire() -> None:
    assert "expire_after" not in component(Entity(name="x", boolean=True, command=True), expire_after=60)


def test_an_entity_that_is_gone_is_reduced_to_its_platform() -> None:
    found = made(About(name="Dev"), gone={"old": "binary_sensor"})
    assert found["components"]["old"] == {"platform": "binary_sensor"}


def test_a_stranger_has_no_service() -> None:
    topics = [one["topic"] for one in made(About(name="Dev"), service=None)["availability"]]
    assert topics == ["camper/availability/dev"]


def test_last_seen_and_the_problem_are_told_also_while_the_device_is_offline() -> None:
    found = made(About(name="Dev"))["components"]
    assert found["device_last_seen"]["device_class"] == "timestamp"
    assert found["device_problem"]["state_topic"] == "camper/health/collector_ble"
    assert "problems['device.dev']" in found["device_problem"]["value_template"]
    for key in _DIAGNOSTICS:
        topics = [one["topic"] for one in found[key]["availability"]]
        assert topics == ["camper/service/collector_ble"]


def test_a_stranger_has_no_diagnostics_of_ours() -> None:
    assert made(About(name="Dev"), service=None)["components"] == {}


def test_who_never_says_whether_he_is_there_is_not_waited_for() -> None:
    found = json.loads(
        discovery_payload(Topics(), "dev", About(name="x"), service=None, version="1", availability=False)
    )
    assert not {"availability", "availability_mode"} & found.keys()


def test_slashes_of_the_base_never_reach_an_id() -> None:
    found = made(About(name="Dev", entities={"e": Entity(name="x")}), base="Vans/van-1")
    assert found["device"]["identifiers"] == ["vans_van_1_dev"]
    assert found["components"]["e"]["default_entity_id"] == "sensor.vans_van_1_dev_e"
    assert found["state_topic"] == "Vans/van-1/state/dev"


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_entity_of_every_kind_is_announced_whole(name: str) -> None:
    kind = KINDS[name]
    about = About(
        name=kind.title, manufacturer=kind.manufacturer, entities={k: r.entity for k, r in kind.rows.items()}
    )
    found = made(about)
    assert found.keys() <= _ROOT
    assert found["device"].keys() <= _DEVICE
    for key, row in kind.rows.items():
        one = found["components"][key]
        assert one.keys() <= _COMPONENT
        if one["platform"] == "sensor":
            assert one.get("device_class") == row.entity.device_class
            assert one.get("unit_of_measurement") == row.entity.unit
            assert one.get("state_class") == row.entity.state_class


def test_what_a_device_is_there_for_has_no_name_of_its_own() -> None:
    one, other = Entity(name="Input"), Entity(name="Pull", diagnostic=True)
    found = made(About(name="Dev", entities={"e": one, "pull": other}))["components"]
    assert (found["e"]["name"], found["pull"]["name"]) == (None, "Pull")
    found = made(About(name="Dev", entities={"e": one, "f": one}))["components"]
    assert (found["e"]["name"], found["f"]["name"]) == ("Input", "Input")


def test_the_house_is_the_device_that_ours_hang_on() -> None:
    found = json.loads(
        discovery_payload(
            Topics("Vans/van-1"), HOUSE, house("1.2"), service=None, version="1.2", page="http://van.local/"
        )
    )
    assert found["device"] == {
        "identifiers": ["vans_van_1"],
        "name": "Boondock",
        "manufacturer": "Boondock",
        "model": "Boondock",
        "sw_version": "1.2",
        "configuration_url": "http://van.local/",
    }
    assert found.keys() == {"device", "origin", "qos", "components"}, "it is never away"
    assert (
        found["components"]["statistician"].items()
        >= {
            "unique_id": "vans_van_1_statistician",
            "state_topic": "Vans/van-1/service/statistician",
            "payload_on": "online",
            "payload_off": "offline",
        }.items()
    )
    assert found["components"]["device_problem"]["state_topic"] == "Vans/van-1/health/statistician"
    assert Topics("Vans/van-1").discovery(HOUSE) == "homeassistant/device/Vans_van-1/config"


def test_a_stranger_hangs_on_nothing_and_an_energy_of_ours_on_the_house() -> None:
    assert "via_device" not in made(About(name="x", service="weather"), service=None)["device"]
    energy = made(About(name="x", service="statistician"), service=None)
    assert energy["device"]["via_device"] == "camper"
    assert "configuration_url" not in energy["device"]


@pytest.mark.parametrize(
    ("entity", "whole", "on"),
    [
        (Entity(name="x", unit="V", device_class="voltage", diagnostic=True), False, False),
        (Entity(name="x", diagnostic=True), False, False),
        (Entity(name="x", boolean=True, diagnostic=True), False, False),
        (Entity(name="x", boolean=True, device_class="problem", diagnostic=True), True, False),
        # Nothing else tells of it.
        (Entity(name="x", boolean=True, device_class="problem", diagnostic=True), False, True),
        (Entity(name="x", device_class="enum", options=("none", "bms"), diagnostic=True), True, True),
        (Entity(name="x", unit="%", device_class="battery", diagnostic=True), True, True),
        (Entity(name="x", boolean=True, command=True, diagnostic=True), True, True),
        (Entity(name="x", unit="V", device_class="voltage"), True, True),
    ],
)
def test_what_says_nothing_daily_is_a_detail(*, entity: Entity, whole: bool, on: bool) -> None:
    alarm = {"alarm": Entity(name="Alarm", boolean=True, device_class="problem")} if whole else {}
    about = About(name="Dev", entities={"e": entity, **alarm})
    assert ("e" in without_details(about).entities) is on


@pytest.mark.parametrize(
    ("entity", "icon"),
    [
        (Entity(name="x", unit="V", device_class="voltage"), None),
        (Entity(name="x", unit="%", state_class="measurement", role="tank"), "mdi:cup-water"),
        (Entity(name="x", unit="%", state_class="measurement"), "mdi:percent"),
        (Entity(name="x", unit="Ah", state_class="measurement"), "mdi:battery-clock"),
        (Entity(name="x", state_class="total_increasing"), "mdi:counter"),
        (Entity(name="x", state_class="measurement"), "mdi:gauge"),
        (Entity(name="x", device_class="enum", options=("a",)), "mdi:list-status"),
        (Entity(name="x"), "mdi:text-short"),
        (Entity(name="x", boolean=True), None),
    ],
)
def test_what_has_no_class_has_an_icon(entity: Entity, icon: str | None) -> None:
    assert component(entity).get("icon") == icon


@pytest.mark.parametrize(
    "entity",
    [
        Entity(name="x", unit="Wh", device_class="energy", state_class="total_increasing"),
        Entity(name="x", unit="V", device_class="voltage"),
        Entity(name="x"),
    ],
)
def test_only_what_is_measured_is_taken_calmly(entity: Entity) -> None:
    assert "timedelta" not in component(entity, 60.0)["value_template"]


def test_who_says_a_value_again_soon_need_not_be_believed_at_once() -> None:
    assert "timedelta" in component(VOLTAGE, 300.0)["value_template"]
    # What was passed over would stay wrong for long.
    for rare in (301.0, None):
        assert "timedelta" not in component(VOLTAGE, rare)["value_template"]
    found = made(About(name="x", expire_after=60.0, entities={"e": VOLTAGE}), service=None)
    assert "timedelta" not in found["components"]["e"]["value_template"], "a stranger's"


def test_our_lists_are_part_of_home_assistants() -> None:
    assert set(home_assistant.BINARY_SENSORS) == set(BINARY_SENSOR_CLASSES)
    for name, (units, state_classes) in SENSORS.items():
        theirs = home_assistant.SENSORS[name]
        assert {unit or "" for unit in units} <= set(theirs["units"] or [""]), name
        assert set(state_classes) <= set(theirs["state_classes"]), name


@pytest.mark.parametrize(
    ("platform", "needs"),
    [
        ("sensor", {"state_topic"}),
        ("binary_sensor", {"state_topic"}),
        ("switch", {"command_topic"}),
        ("number", {"command_topic"}),
        ("select", {"command_topic", "options"}),
    ],
)
def test_what_is_gone_has_all_that_home_assistant_requires_of_it(platform: str, needs: set[str]) -> None:
    topic = Topics().discovery("dev")
    found = json.loads(payload_of_gone(topic, {"e": platform}, version="1"))
    assert found.keys() == {"device", "origin", "components"}
    (component,) = found["components"].values()
    assert component.keys() >= needs | {"platform", "unique_id"}
