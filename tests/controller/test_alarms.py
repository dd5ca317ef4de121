"""Alarms: when they begin and end, what they tell, and how they are acknowledged."""

import json

import pytest

from config.model import Alarm
from tests.controller.conftest import MakeRig

LOW = Alarm(when="shunt.soc < 20", for_=60, until="shunt.soc > 25", name="House battery low")


def test_an_alarm_begins_once_its_condition_has_held_for_its_time(make: MakeRig) -> None:
    rig = make(alarm={"low": LOW})
    rig.say("shunt", soc=19)
    rig.pass_(55)
    rig.say("shunt", soc=18)
    assert rig.alarms("low")[-1]["state"] == "ok"
    rig.pass_(10)
    told = rig.alarms("low")[-1]
    assert (told["state"], told["value"]) == ("active", 18)
    assert told["text"] == "House battery low: shunt.soc < 20 (it is 18)"
    assert json.loads(rig.bus.on("camper/state/alarm")[-1])["low"] == "ON"


def test_it_ends_by_until_and_not_before(make: MakeRig) -> None:
    rig = make(alarm={"low": LOW})
    rig.say("shunt", soc=10)
    rig.pass_(70)
    rig.say("shunt", soc=22)
    rig.pass_(5)
    assert rig.alarms("low")[-1]["state"] == "active"
    rig.say("shunt", soc=26)
    rig.pass_(2)
    assert rig.alarms("low")[-1]["state"] == "ok"
    assert json.loads(rig.bus.on("camper/state/alarm")[-1])["low"] == "OFF"


def test_without_until_it_ends_when_its_condition_no_longer_holds(make: MakeRig) -> None:
    rig = make(alarm={"warm": Alarm(when="fridge.temperature > 8", for_=0)})
    rig.say("fridge", temperature=9)
    rig.pass_(2)
    assert rig.alarms("warm")[-1]["state"] == "active"
    rig.say("fridge", temperature=8)
    rig.pass_(2)
    assert rig.alarms("warm")[-1]["state"] == "ok"


@pytest.mark.parametrize("unknown", [None, "late"])
def test_what_is_unknown_neither_begins_nor_ends_an_alarm(make: MakeRig, unknown: str | None) -> None:
    rig = make(alarm={"warm": Alarm(when="fridge.temperature > 8", for_=10, within=30)})
    rig.say("fridge", temperature=9)
    rig.pass_(11)
    assert rig.alarms("warm")[-1]["state"] == "active"
    if unknown is None:
        rig.say("fridge", temperature=None)
    rig.pass_(100)
    assert rig.alarms("warm")[-1]["state"] == "active"


def test_a_gap_in_what_is_known_begins_the_time_anew(make: MakeRig) -> None:
    rig = make(alarm={"warm": Alarm(when="fridge.temperature > 8", for_=40, within=20)})
    rig.say("fridge", temperature=9)
    rig.pass_(30)
    rig.say("fridge", temperature=9)
    rig.pass_(15)
    assert rig.alarms("warm")[-1]["state"] == "ok"


def test_all_conditions_of_a_list_must_hold(make: MakeRig) -> None:
    rig = make(alarm={"leak": Alarm(when=("tank.level falls by 10 in 5 min", "pump.on == OFF"), for_=0)})
    rig.say("pump", on="ON")
    rig.say("tank", level=80)
    rig.pass_(60)
    rig.say("tank", level=69)
    rig.pass_(2)
    assert rig.alarms("leak")[-1]["state"] == "ok"
    rig.say("pump", on="OFF")
    rig.pass_(2)
    assert rig.alarms("leak")[-1]["state"] == "active"


@pytest.mark.parametrize(
    ("way", "numbers", "expected"),
    [
        ("falls", (80, 75, 70), "active"),
        ("falls", (70, 75, 80), "ok"),
        ("rises", (70, 75, 80), "active"),
        ("rises", (80, 75, 70), "ok"),
        ("changes", (80, 75, 70), "active"),
        ("changes", (70, 75, 80), "active"),
        ("changes", (70, 75, 79.9), "ok"),
    ],
)
def test_a_change_counts_in_its_way(
    make: MakeRig, way: str, numbers: tuple[float, ...], expected: str
) -> None:
    rig = make(alarm={"move": Alarm(when=f"tank.level {way} by 10 in 10 min", for_=0)})
    for number in numbers:
        rig.say("tank", level=number)
        rig.pass_(60)
    assert rig.alarms("move")[-1]["state"] == expected


def test_a_slow_change_is_none(make: MakeRig) -> None:
    rig = make(alarm={"move": Alarm(when="tank.level falls by 10 in 5 min", for_=0, within=3600)})
    for level in range(80, 60, -1):
        rig.say("tank", level=level)
        rig.pass_(60)
    assert [one["state"] for one in rig.alarms("move")] == ["ok"]


@pytest.mark.parametrize("source", ["fridge", "fridge.temperature"])
def test_silence_is_an_alarm_and_a_word_ends_it(make: MakeRig, source: str) -> None:
    rig = make(alarm={"silent": Alarm(when=f"{source} silent for 10 min", for_=0)})
    rig.say("fridge", temperature=4)
    rig.pass_(590)
    assert rig.alarms("silent")[-1]["state"] == "ok"
    rig.pass_(15)
    assert rig.alarms("silent")[-1]["state"] == "active"
    rig.say("fridge", temperature=4)
    rig.pass_(2)
    assert rig.alarms("silent")[-1]["state"] == "ok"


def test_a_device_that_was_never_heard_is_silent_since_the_start(make: MakeRig) -> None:
    rig = make(alarm={"silent": Alarm(when="fridge silent for 10 min", for_=0)})
    rig.pass_(590)
    assert rig.alarms("silent")[-1]["state"] == "ok"
    rig.pass_(15)
    assert rig.alarms("silent")[-1]["state"] == "active"


@pytest.mark.parametrize(
    ("condition", "problems", "expected"),
    [
        ("problem statistician.backup", {"backup": "old"}, "active"),
        ("problem statistician.backup", {"clock": "set it"}, "ok"),
        ("problem statistician", {"clock": "set it"}, "active"),
        ("problem statistician", {}, "ok"),
    ],
)
def test_a_problem_of_a_service_is_a_condition(
    make: MakeRig, condition: str, problems: dict[str, str], expected: str
) -> None:
    rig = make(alarm={"trouble": Alarm(when=condition, for_=0)})
    rig.receive("camper/health/statistician", json.dumps({"problems": problems}).encode())
    rig.pass_(2)
    assert rig.alarms("trouble")[-1]["state"] == expected


def test_a_health_that_cannot_be_read_is_counted_and_says_nothing(make: MakeRig) -> None:
    rig = make(alarm={"trouble": Alarm(when="problem statistician", for_=0)})
    rig.receive("camper/health/statistician", b'{"problems": 5}')
    rig.pass_(2)
    assert rig.alarms("trouble")[-1]["state"] == "ok"
    assert rig.journal.counters["refused_messages"] == 1


def test_acknowledged_it_stays_so_until_it_ends_and_begins_anew(make: MakeRig) -> None:
    rig = make(alarm={"warm": Alarm(when="fridge.temperature > 8", for_=0)})
    rig.say("fridge", temperature=9)
    rig.pass_(2)
    answer = rig.command("warm", "acknowledge", device="alarm")
    assert (answer["status"], answer["actual"]) == ("ok", "acknowledged")
    assert rig.alarms("warm")[-1]["state"] == "acknowledged"
    # It is not over yet.
    assert json.loads(rig.bus.on("camper/state/alarm")[-1])["warm"] == "ON"
    rig.say("fridge", temperature=4)
    rig.pass_(2)
    rig.say("fridge", temperature=9)
    rig.pass_(2)
    assert [one["state"] for one in rig.alarms("warm")] == ["ok", "active", "acknowledged", "ok", "active"]


@pytest.mark.parametrize(
    ("name", "payload", "code", "text"),
    [
        ("warm", "acknowledge", "denied", "not active"),
        ("warm", "ON", "invalid", "acknowledge"),
        ("cold", "acknowledge", "not_found", "there are: warm"),
    ],
)
def test_other_commands_are_refused(make: MakeRig, name: str, payload: str, code: str, text: str) -> None:
    rig = make(alarm={"warm": Alarm(when="fridge.temperature > 8", for_=0)})
    answer = rig.command(name, payload, device="alarm")
    assert (answer["status"], answer["code"]) == ("error", code)
    assert text in answer["message"]


def test_a_restart_forgets_neither_the_alarm_nor_that_it_was_read(make: MakeRig) -> None:
    rig = make(alarm={"warm": Alarm(when="fridge.temperature > 8", for_=0)})
    rig.say("fridge", temperature=9)
    rig.pass_(2)
    since = rig.alarms("warm")[-1]["since"]
    rig.command("warm", "acknowledge", device="alarm")
    rig.stop()
    rig.time.pass_(60)
    rig.start()
    assert (rig.alarms("warm")[-1]["state"], rig.alarms("warm")[-1]["since"]) == ("acknowledged", since)


def test_the_topic_of_an_alarm_that_is_gone_is_emptied(make: MakeRig) -> None:
    rig = make(
        alarm={"warm": Alarm(when="fridge.temperature > 8"), "cold": Alarm(when="fridge.temperature < 0")}
    )
    rig.stop()
    del rig.alarm["cold"]
    rig.start()
    assert rig.bus.on("camper/alarm/cold")[-1] == b""
    assert rig.bus.on("camper/alarm/warm")[-1] != b""


def test_the_text_of_an_alarm_is_told_when_there_is_one(make: MakeRig) -> None:
    rig = make(alarm={"warm": Alarm(when="fridge.temperature > 8", for_=0, text="Close the door.")})
    rig.say("fridge", temperature=9)
    rig.pass_(2)
    assert [one["text"] for one in rig.alarms("warm")] == ["Warm: ok", "Warm: Close the door."]


def test_a_file_that_cannot_be_read_is_told_and_begun_anew(make: MakeRig) -> None:
    rig = make(alarm={"warm": Alarm(when="fridge.temperature > 8", for_=0)})
    rig.stop()
    (rig.folder / "disk" / "alarms.json").write_text("{")
    rig.start()
    rig.pass_(2)
    assert "alarms.json" in rig.problems["alarms"]
    rig.say("fridge", temperature=9)
    rig.pass_(2)
    assert rig.alarms("warm")[-1]["state"] == "active"
