"""How relays come up and go down: boot and exit policies, what is remembered, no click in between."""

from pathlib import Path

import pytest

from config.model import Relay
from controller.files import Memory
from tests.controller.conftest import MakeRig
from tests.controller.gpio import Gpio
from tests.controller.rig import PUMP

RESTORE = Relay(pin=PUMP, active_low=True, boot="restore", exit="keep")


@pytest.mark.parametrize("active_low", [True, False])
@pytest.mark.parametrize(("boot", "on"), [("off", False), ("on", True), ("restore", False)])
def test_the_first_level_on_the_wire_is_the_boot_position(
    make: MakeRig, gpio: Gpio, boot: str, *, on: bool, active_low: bool
) -> None:
    relay = Relay(pin=PUMP, active_low=active_low, boot=boot)  # type: ignore[arg-type]  # a word of the table
    rig = make(pump=relay)
    assert gpio.edges(PUMP) == [on is not active_low]
    assert rig.states("pump") == ["ON" if on else "OFF"]


def test_an_active_low_relay_that_boots_off_is_high_from_its_first_edge(make: MakeRig, gpio: Gpio) -> None:
    make(pump=Relay(pin=PUMP, active_low=True, boot="off"))
    assert gpio.wire == [(PUMP, True)]


def test_a_process_that_crashed_takes_up_what_was_commanded_without_a_click(
    make: MakeRig, gpio: Gpio
) -> None:
    rig = make(pump=RESTORE)
    rig.command("pump", "ON")
    before = len(gpio.wire)
    rig.restart()
    assert gpio.wire[before:] == [(PUMP, False)], "low, as it was; never high in between"
    assert rig.state("pump") == "ON"


def test_a_crashed_process_with_boot_off_turns_off_what_it_finds_on(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=Relay(pin=PUMP, boot="off"))
    rig.command("pump", "ON")
    rig.restart()
    assert gpio.level(PUMP) is False
    assert rig.states("pump") == ["OFF"]


def test_restore_survives_a_power_cut(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=RESTORE)
    rig.command("pump", "ON")
    gpio.reboot()
    rig.restart()
    assert gpio.wire == [(PUMP, False)]
    rig.command("pump", "OFF")
    gpio.reboot()
    rig.restart()
    assert gpio.wire == [(PUMP, True)]


def test_what_was_on_for_a_time_is_not_restored_for_ever(make: MakeRig) -> None:
    rig = make(pump=RESTORE)
    rig.command("pump", {"value": "ON", "for": 30})
    rig.restart()
    assert rig.state("pump") == "OFF"
    rig.command("pump", {"value": "ON", "for": 30})
    rig.command("pump", "ON")
    rig.restart()
    assert rig.state("pump") == "ON", "asked for without an end meanwhile"


def test_only_relays_that_restore_cost_the_card_a_write(make: MakeRig) -> None:
    rig = make(pump=Relay(pin=PUMP, boot="off"))
    rig.command("pump", "ON")
    assert not rig.file.exists()


def test_a_restored_relay_keeps_its_time_limit(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=Relay(pin=PUMP, boot="restore", exit="keep", max_on=60.0))
    rig.command("pump", "ON")
    rig.restart()
    rig.pass_(59.9)
    assert gpio.level(PUMP) is True
    rig.pass_(0.2)
    assert gpio.level(PUMP) is False
    rig.restart()
    assert rig.state("pump") == "OFF", "what time turned off stays off"


def test_exit_off_turns_off_and_says_so(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=Relay(pin=PUMP, exit="off"))
    rig.command("pump", "ON")
    rig.stop()
    assert gpio.level(PUMP) is False
    assert rig.state("pump") == "OFF"


def test_exit_keep_leaves_the_pin_driving(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=Relay(pin=PUMP, exit="keep"))
    rig.command("pump", "ON")
    rig.stop()
    assert gpio.level(PUMP) is True
    assert rig.state("pump") == "ON"


def test_what_exit_turned_off_is_restored_as_it_was_commanded(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=Relay(pin=PUMP, boot="restore", exit="off"))
    rig.command("pump", "ON")
    rig.stop()
    assert gpio.level(PUMP) is False
    rig.start()
    assert gpio.level(PUMP) is True
    assert rig.state("pump") == "ON"


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"\x00" * 64, b"[]", b'{"pump":"yes"}', b'{"pump":1}', b"\xff\xfe"]
)
def test_a_damaged_memory_counts_as_off_and_heals(make: MakeRig, gpio: Gpio, damage: bytes) -> None:
    rig = make(pump=Relay(pin=PUMP, boot="restore", exit="keep"))
    rig.command("pump", "ON")
    rig.file.write_bytes(damage)
    rig.restart()
    assert gpio.level(PUMP) is False
    assert rig.states("pump") == ["OFF"]
    assert "counts as off" in rig.journal.problems["memory"]
    rig.command("pump", "ON")
    assert "memory" not in rig.journal.problems
    rig.restart()
    assert rig.states("pump") == ["ON"]


def test_a_memory_that_was_damaged_is_whole_once_it_keeps_something(tmp_path: Path) -> None:
    path = tmp_path / "relays.json"
    path.write_bytes(b"{")
    memory = Memory(path)
    assert str(path) in str(memory.problem)
    memory.remember("pump", on=True)
    assert memory.problem is None
    assert Memory(path).was_on("pump")


def test_a_folder_where_the_memory_should_be_counts_as_off(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=RESTORE)
    (rig.file / "something").mkdir(parents=True)
    rig.restart()
    assert gpio.level(PUMP) is True
    assert rig.command("pump", "ON")["status"] == "ok"
    assert "memory" in rig.journal.problems


def test_a_disk_that_refuses_is_a_problem_until_it_takes_the_position(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=RESTORE)
    obstacle: Path = rig.file.with_name(".relays.json.new")
    obstacle.mkdir()
    answer = rig.command("pump", "ON")
    assert (answer["status"], answer["actual"]) == ("ok", "ON"), "the relay did switch"
    assert "positions cannot be kept" in rig.journal.problems["memory"]
    rig.command("pump", "ON")
    assert "memory" in rig.journal.problems, "it is still not on disk"
    obstacle.rmdir()
    rig.command("pump", "ON")
    assert rig.journal.problems == {}
    rig.restart()
    assert gpio.level(PUMP) is False
    assert rig.state("pump") == "ON"
