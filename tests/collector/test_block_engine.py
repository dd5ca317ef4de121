"""The block engine alone: when a block is due, what a missing one means, what is told of several."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from collector.devices.description import Decoded, DecodeError, LineError, NoAnswerError, RefusedError, Values
from collector.devices.modbus import BlockReader, Request


def block(name: str, every: float = 0.0, *, optional: bool = False) -> Request:
    """A block that tells one number."""
    return Request(name, name, every, optional, (name,))


@dataclass
class Device:
    """Answers what is in `values`; `faults` are raised instead, by block."""

    blocks: tuple[Request, ...]
    reader: BlockReader
    values: dict[str, float | None] = field(default_factory=dict)
    faults: dict[str, DecodeError | LineError] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def poll(self, now: float) -> dict[str, float | str | None]:
        """One poll; `asked` is what it asked for."""
        self.asked.clear()
        return self.reader.poll(self.blocks, self.read, now).values

    def read(self, name: str) -> Decoded:
        """One request."""
        self.asked.append(name)
        if name in self.faults:
            raise self.faults[name]
        return Decoded({name: self.values.get(name, 1.0)})


MAIN, HOURLY = block("main"), block("hourly", every=3600.0)
EXTRA, SLOW = block("extra", optional=True), block("slow", every=60.0, optional=True)


def test_a_block_is_due_at_its_time_and_half_a_second_before() -> None:
    device = Device((MAIN, HOURLY), BlockReader())
    asked = []
    for now in (0.0, 3599.4, 3599.5, 7199.0, 7200.0):
        device.poll(now)
        asked.append("hourly" in device.asked)
    assert asked == [True, False, True, True, False]


def test_what_every_model_has_is_asked_for_first() -> None:
    device = Device((EXTRA, MAIN), BlockReader())
    device.poll(0.0)
    assert device.asked == ["main", "extra"]


@pytest.mark.parametrize("fault", [RefusedError("no"), NoAnswerError("silent")])
def test_a_missing_block_is_asked_for_ever_later_at_most_an_hour(fault: DecodeError) -> None:
    device = Device((MAIN, EXTRA), BlockReader(retry=900.0), faults={"extra": fault})
    asked = []
    for minute in range(200):
        assert device.poll(minute * 60.0) == {"main": 1.0}
        asked += [minute] if "extra" in device.asked else []
    assert asked == [0, 15, 45, 105, 165]
    device.faults.clear()
    assert device.poll(225 * 60.0) == {"main": 1.0, "extra": 1.0}
    device.poll(226 * 60.0)
    assert device.asked == ["main", "extra"]


def test_what_a_missing_block_told_is_unknown() -> None:
    device = Device((MAIN, EXTRA), BlockReader())
    device.poll(0.0)
    device.faults["extra"] = NoAnswerError("silent")
    assert device.poll(10.0) == {"main": 1.0, "extra": None}


def test_strict_tells_every_entity_and_takes_silence_of_a_block_that_answered_for_an_absence() -> None:
    device = Device((MAIN, EXTRA, SLOW), BlockReader(strict=True), faults={"extra": NoAnswerError("silent")})
    assert device.poll(0.0) == {"main": 1.0, "extra": None, "slow": 1.0}
    device.faults["slow"] = NoAnswerError("silent")
    with pytest.raises(NoAnswerError):
        device.poll(60.0)
    device.faults["slow"] = RefusedError("no")
    assert device.poll(61.0) == {"main": 1.0, "extra": None, "slow": None}


@pytest.mark.parametrize(("strict", "asked"), [(True, ["main", "extra", "slow"]), (False, ["main", "slow"])])
def test_after_a_failure_all_is_asked_anew_and_what_was_missing_only_if_strict(
    strict: bool,  # noqa: FBT001 — the case itself
    asked: list[str],
) -> None:
    device = Device((MAIN, EXTRA, SLOW), BlockReader(strict=strict), faults={"extra": RefusedError("no")})
    device.poll(0.0)
    device.faults["main"] = LineError("gone")
    with pytest.raises(LineError):
        device.poll(1.0)
    del device.faults["main"]
    device.poll(2.0)
    assert device.asked == asked


def test_a_device_that_has_nothing_of_all_is_told_so() -> None:
    device = Device((EXTRA,), BlockReader(nothing="wrong profile"), faults={"extra": RefusedError("no")})
    with pytest.raises(RefusedError, match="wrong profile"):
        device.poll(0.0)
    assert device.poll(1.0) == {}, "nothing was due"


def test_silence_alone_is_no_answer() -> None:
    device = Device((EXTRA,), BlockReader(), faults={"extra": NoAnswerError("silent")})
    with pytest.raises(NoAnswerError):
        device.poll(0.0)


def test_of_two_blocks_that_tell_the_same_the_first_that_knows_counts() -> None:
    told: Iterator[Values] = iter([{"a": None, "b": 1.0}, {"a": 2.0, "b": 3.0}])
    reader: BlockReader = BlockReader()
    values = reader.poll((MAIN, HOURLY), lambda _: Decoded(next(told)), 0.0).values
    assert values == {"a": 2.0, "b": 1.0}
