"""A command that is sent again after the controller was killed, wherever death came: one switch at most."""

from collections.abc import Callable
from itertools import groupby

import pytest

from bus.command_server import Answers
from config.model import Relay
from controller.relays import RelayOutputs
from tests.controller.conftest import MakeRig
from tests.controller.gpio import Gpio
from tests.controller.rig import LAMP, PUMP, STATE, Rig
from tests.fake_bus import FakeBus

RESULT = "camper/result/relay/pump"
TOGGLE: dict[str, object] = {"value": "TOGGLE", "id": "tap"}


class KilledError(BaseException):
    """Nobody catches it, as nobody catches SIGKILL."""


@pytest.fixture
def rig(make: MakeRig) -> Rig:
    return make(pump=Relay(pin=PUMP, boot="restore", exit="keep"), lamp=Relay(pin=LAMP))


def moves(gpio: Gpio) -> list[bool]:
    """The levels the pump has had, in order; a start that drives the same again moves nothing."""
    return [level for level, _ in groupby(gpio.edges(PUMP))]


def before(owner: type, name: str, *, when: Callable[..., bool] = lambda *_: True) -> Callable[..., None]:
    """Dies when this is about to be called."""
    return _deadly(owner, name, when, after=False)


def after(owner: type, name: str, *, when: Callable[..., bool] = lambda *_: True) -> Callable[..., None]:
    """Dies when this has just been called."""
    return _deadly(owner, name, when, after=True)


def _deadly(owner: type, name: str, when: Callable[..., bool], *, after: bool) -> Callable[..., None]:
    def arm(patch: pytest.MonkeyPatch) -> None:
        call = getattr(owner, name)

        def die(*args: object, **kwargs: object) -> object:
            if not when(*args):
                return call(*args, **kwargs)
            if after:
                call(*args, **kwargs)
            raise KilledError

        patch.setattr(owner, name, die)

    return arm


def to(topic: str) -> Callable[..., bool]:
    """A publication to this topic."""
    return lambda _bus, it, *_: it == topic


# Where it dies; what a repeat is told then.
DEATHS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str | None, str]] = {
    "before the id is kept": (before(Answers, "expect"), None, "ON"),
    "after the id is kept": (after(Answers, "expect"), "internal", "OFF"),
    "before the pin": (before(RelayOutputs, "_drive"), "internal", "OFF"),
    "after the pin": (after(RelayOutputs, "take"), "internal", "ON"),
    "before the state": (before(FakeBus, "publish", when=to(STATE)), "internal", "ON"),
    "before the answer is kept": (before(Answers, "send"), "internal", "ON"),
    "before the answer is sent": (before(FakeBus, "publish", when=to(RESULT)), None, "ON"),
    "after the answer is sent": (after(FakeBus, "publish", when=to(RESULT)), None, "ON"),
}


@pytest.mark.parametrize("death", DEATHS)
def test_killed_anywhere_a_repeated_toggle_moves_the_pin_once(rig: Rig, gpio: Gpio, death: str) -> None:
    kill, code, actual = DEATHS[death]
    with pytest.MonkeyPatch.context() as patch:
        kill(patch)
        with pytest.raises(KilledError):
            rig.command("pump", TOGGLE)
    rig.restart()
    for _ in range(3):
        answer = rig.command("pump", TOGGLE)
        assert (answer["code"], answer["actual"], answer["id"]) == (code, actual, "tap")
    assert moves(gpio) == [False, True][: 1 + (actual == "ON")]
    rig.command("pump", {"value": "TOGGLE", "id": "another"})
    assert gpio.level(PUMP) is (actual == "OFF")


def test_the_answer_of_an_earlier_life_comes_again_as_it_was(rig: Rig, gpio: Gpio) -> None:
    first = rig.command("pump", TOGGLE)
    rig.time.pass_(60)
    rig.restart()
    assert rig.command("pump", TOGGLE, response_topic="camper/response/me", correlation=b"7") == first
    (copy,) = (p for p in rig.bus.published if p.topic == "camper/response/me")
    assert copy.correlation == b"7"
    assert moves(gpio) == [False, True]
    assert rig.command("lamp", TOGGLE)["actual"] == "ON", "another output, another command"


def test_one_that_waited_for_its_feedback_when_the_controller_was_stopped_is_not_obeyed_later(
    make: MakeRig, gpio: Gpio
) -> None:
    rig = make(pump=Relay(pin=PUMP, boot="restore", exit="keep", feedback_pin=LAMP, feedback_within=5000))
    rig.receive("camper/set/relay/pump", b'{"value":"TOGGLE","id":"tap"}')
    rig.stop()
    (told,) = rig.answers("pump")
    assert (told["code"], told["actual"]) == ("internal", "ON")
    rig.start()
    assert rig.command("pump", TOGGLE)["code"] == "internal"
    assert moves(gpio) == [False, True]


def test_a_relay_whose_pin_failed_may_be_tried_again_after_a_restart(rig: Rig, gpio: Gpio) -> None:
    gpio.broken.add(PUMP)
    assert rig.command("pump", TOGGLE)["code"] == "hardware"
    gpio.broken.clear()
    rig.restart()
    assert rig.command("pump", TOGGLE)["actual"] == "ON"
    assert moves(gpio) == [False, True]


def test_a_disk_that_is_full_stops_no_relay(rig: Rig, gpio: Gpio, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bus.state_files.write", full)
    assert rig.command("pump", TOGGLE)["actual"] == "ON"
    assert rig.command("pump", TOGGLE)["actual"] == "ON"
    assert moves(gpio) == [False, True]
    assert "No space left" in rig.journal.problems["answers"]
