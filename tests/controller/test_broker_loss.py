"""Without a broker: the policy of each relay, counted on the monotonic clock, and timers that run on."""

import pytest

from bus.events import Connected, Disconnected, Sent
from config.model import Relay
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
