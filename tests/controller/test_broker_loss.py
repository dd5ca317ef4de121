"""Without a broker, or with one that hangs: each relay follows its policy, and timers run on."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.events import Connected, Disconnected, Sent
from bus.health import Journal
from config.model import Broker, Relay
from controller.files import FILE, BrokerRestart
from controller.others import AGAIN_S, HANGS_S
from tests.controller.conftest import MakeRig
from tests.controller.gpio import Gpio
from tests.controller.rig import LAMP, PUMP, Rig

OFF_AFTER_30 = Relay(pin=PUMP, broker_loss="off", broker_loss_after=30.0)


def connect(rig: Rig) -> None:
    rig.bus.answer = Sent.YES
    rig.controller.handle(Connected(1))


def lose(rig: Rig) -> None:
    rig.bus.answer = Sent.LATER
    rig.controller.handle(Disconnected("connection lost"))


@pytest.fixture
def rig(make: MakeRig) -> Rig:
    rig = make(pump=OFF_AFTER_30, lamp=Relay(pin=LAMP))
    connect(rig)
    rig.command("pump", "ON")
    rig.command("lamp", "ON")
    return rig


def test_each_relay_does_what_its_policy_says(rig: Rig, gpio: Gpio) -> None:
    lose(rig)
    rig.pass_(29.9)
    assert (gpio.level(PUMP), gpio.level(LAMP)) == (True, True)
    rig.pass_(0.1)
    assert (gpio.level(PUMP), gpio.level(LAMP)) == (False, True)


def test_the_state_that_was_missed_is_told_when_the_broker_is_back(rig: Rig, gpio: Gpio) -> None:
    lose(rig)
    rig.pass_(31)
    connect(rig)
    rig.pass_(0.1)
    assert rig.state("pump") == "OFF"
    assert gpio.level(PUMP) is False, "it stays off until somebody asks"
    assert rig.command("pump", "ON")["status"] == "ok"
    rig.pass_(1000)
    assert gpio.level(PUMP) is True


def test_it_counts_from_the_loss_not_from_each_attempt(rig: Rig, gpio: Gpio) -> None:
    lose(rig)
    rig.pass_(20)
    lose(rig)
    rig.pass_(10)
    assert gpio.level(PUMP) is False


def test_a_broker_that_comes_back_in_time_starts_the_count_anew(rig: Rig, gpio: Gpio) -> None:
    for _ in range(5):
        lose(rig)
        rig.pass_(29)
        connect(rig)
        rig.pass_(29)
    assert gpio.edges(PUMP) == [False, True]


@pytest.mark.parametrize("failures", [0, 3])
def test_a_broker_that_never_was_there_counts_from_the_start(
    make: MakeRig, gpio: Gpio, failures: int
) -> None:
    rig = make(pump=Relay(pin=PUMP, boot="on", broker_loss="off", broker_loss_after=30.0))
    for _ in range(failures):
        lose(rig)
    rig.pass_(29.9)
    assert gpio.edges(PUMP) == [True]
    rig.pass_(0.2)
    assert gpio.edges(PUMP) == [True, False]


def test_a_wall_clock_that_jumps_is_no_loss(rig: Rig, gpio: Gpio) -> None:
    lose(rig)
    rig.time.wall_ms += 86_400_000
    rig.pass_(1)
    assert gpio.level(PUMP) is True


@pytest.mark.parametrize(
    ("relay", "payload"),
    [(Relay(pin=PUMP, max_on=60.0), "ON"), (Relay(pin=PUMP), '{"value":"ON","for":60}')],
)
def test_timers_run_without_a_broker(make: MakeRig, gpio: Gpio, relay: Relay, payload: str) -> None:
    rig = make(pump=relay)
    connect(rig)
    rig.command("pump", payload)
    lose(rig)
    rig.time.wall_ms -= 86_400_000
    rig.pass_(59.9)
    assert gpio.level(PUMP) is True
    rig.pass_(0.1)
    assert gpio.level(PUMP) is False


def test_what_the_loss_turned_off_is_not_restored(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=Relay(pin=PUMP, boot="restore", exit="keep", broker_loss="off", broker_loss_after=30.0))
    connect(rig)
    rig.command("pump", "ON")
    lose(rig)
    rig.pass_(31)
    rig.stop()
    rig.start()
    assert gpio.level(PUMP) is False


# A broker that hangs: the connection stands, and nothing is answered.


def hang(rig: Rig) -> None:
    rig.bus.answer = Sent.LATER


def test_a_broker_that_hangs_is_away_since_it_was_last_heard(rig: Rig, gpio: Gpio) -> None:
    rig.pass_(300)
    assert (gpio.level(PUMP), gpio.level(LAMP)) == (True, True), "it answers"
    hang(rig)
    for _ in range(24):
        rig.pass_(1)
    assert gpio.level(PUMP) is True
    rig.pass_(6.1)
    assert (gpio.level(PUMP), gpio.level(LAMP)) == (False, True)


def test_the_keep_alive_that_ends_the_connection_later_is_no_sign_of_life(rig: Rig, gpio: Gpio) -> None:
    hang(rig)
    rig.pass_(29)
    lose(rig)
    rig.pass_(1.1)
    assert gpio.level(PUMP) is False


def test_a_controller_that_stood_still_itself_blames_nobody(rig: Rig, gpio: Gpio) -> None:
    for _ in range(5):
        rig.stand_still(3600)
        rig.pass_(0)
        rig.pass_(1)
    assert gpio.level(PUMP) is True


def test_a_broker_that_answers_again_counts_anew(rig: Rig, gpio: Gpio) -> None:
    for _ in range(5):
        hang(rig)
        rig.pass_(20)
        rig.bus.answer = Sent.YES
        rig.pass_(10)
    assert gpio.level(PUMP) is True


@pytest.mark.parametrize("after", [0.0, 0.5, 2.0, 3.0])
def test_a_short_time_is_kept_too_and_no_broker_that_answers_is_lost(
    make: MakeRig, gpio: Gpio, after: float
) -> None:
    rig = make(pump=Relay(pin=PUMP, broker_loss="off", broker_loss_after=after))
    connect(rig)
    rig.command("pump", "ON")
    for _ in range(300):
        rig.pass_(0.1)
    assert gpio.level(PUMP) is True
    hang(rig)
    # One that answers late is given 2 s.
    after = max(after, 2.0)
    for _ in range(round(after * 10) - 9):
        rig.pass_(0.1)
    assert gpio.level(PUMP) is True
    for _ in range(10):
        rig.pass_(0.1)
    assert gpio.level(PUMP) is False


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Somebody holds the port and answers nothing, as a process does that was stopped."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        yield held


def asked(rig: Rig) -> bool:
    return (rig.folder / "run" / FILE).exists()


def test_a_broker_that_hangs_is_asked_to_be_restarted_and_once_a_minute_again(
    make: MakeRig, listener: socket.socket
) -> None:
    rig = make(pump=Relay(pin=PUMP))
    rig.port = listener.getsockname()[1]
    rig.start()
    connect(rig)
    rig.pass_(60)
    assert not asked(rig)
    hang(rig)
    rig.pass_(HANGS_S - 6)
    assert not asked(rig)
    rig.pass_(12)
    assert asked(rig)
    (rig.folder / "run" / FILE).unlink()
    lose(rig)
    rig.pass_(AGAIN_S - 10)
    assert not asked(rig)
    rig.pass_(20)
    assert asked(rig), "it hangs still, now without a connection"
    (rig.folder / "run" / FILE).unlink()
    for _ in range(20):
        rig.bus.heard += 1
        rig.pass_(30)
    assert not asked(rig), "it answers, and refuses us"
    connect(rig)
    assert not asked(rig)
    assert rig.journal.counters["requested_broker_restarts"] == 2


def test_a_broker_that_hung_before_the_controller_started_is_noticed_too(
    make: MakeRig, listener: socket.socket
) -> None:
    rig = make(pump=Relay(pin=PUMP))
    rig.port = listener.getsockname()[1]
    rig.start()
    rig.pass_(55)
    assert asked(rig)


@pytest.mark.parametrize("met", [True, False])
def test_a_broker_that_is_down_is_left_to_the_service_manager(make: MakeRig, *, met: bool) -> None:
    rig = make(pump=Relay(pin=PUMP))
    if met:
        connect(rig)
    lose(rig)
    rig.pass_(300)
    assert not asked(rig)


def test_a_broker_of_another_machine_is_not_ours_to_restart(tmp_path: Path) -> None:
    restart = BrokerRestart(Broker(host="broker.invalid"), tmp_path, Journal())
    assert restart.ask(60) is False
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tick_first", [True, False])
def test_a_command_that_may_have_waited_is_refused_as_expired(
    make: MakeRig, gpio: Gpio, *, tick_first: bool
) -> None:
    rig = make(pump=Relay(pin=PUMP))
    rig.stand_still(40)
    if tick_first:
        rig.pass_(0)
    refusal = rig.command("pump", {"value": "ON", "id": "a"})
    assert (refusal["code"], refusal["actual"]) == ("expired", "OFF")
    assert "stood still" in refusal["message"]
    rig.pass_(0)
    rig.pass_(1.1)
    assert rig.command("pump", {"value": "ON", "id": "a"})["status"] == "ok"
    assert gpio.edges(PUMP) == [False, True]


def test_a_short_hiccup_costs_no_command(make: MakeRig) -> None:
    rig = make(pump=Relay(pin=PUMP))
    rig.stand_still(9)
    assert rig.command("pump", "ON")["status"] == "ok"


def test_an_off_that_waited_is_still_obeyed(make: MakeRig, gpio: Gpio) -> None:
    rig = make(pump=Relay(pin=PUMP))
    rig.command("pump", "ON")
    rig.stand_still(40)
    assert rig.command("pump", "OFF")["status"] == "ok"
    assert gpio.level(PUMP) is False
