"""Frames of real batteries that others have published, and what they say of them."""

import json
from pathlib import Path
from typing import TypedDict

import pytest

from collector.devices import KINDS
from collector.devices.description import Decoded, GattKind
from config.model import Device
from tests.collector.bms.lines import Answers

CAPTURES = Path(__file__).parents[2] / "captures" / "bms_frames.json"


class Capture(TypedDict):
    """One battery: what it answered, and what its frames mean; `about` is what it says of itself."""

    kind: str
    name: str
    source: str
    answers: list[str]
    values: dict[str, float | str]
    about: dict[str, str]


CASES: list[Capture] = json.loads(CAPTURES.read_text(encoding="utf-8"))


def read(kind: str, answers: list[str]) -> Decoded:
    found = KINDS[kind]
    assert isinstance(found, GattKind)
    poller = found.make(Device(kind=kind, address="AA:BB:CC:DD:EE:01"))
    return poller.poll(Answers([bytes.fromhex(answer) for answer in answers]), 0.0)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['kind']}: {case['name']}")
def test_a_published_frame_means_what_its_owner_says(case: Capture) -> None:
    decoded = read(case["kind"], case["answers"])
    assert {key: decoded.values[key] for key in case["values"]} == case["values"]
    assert {key: getattr(decoded, key) for key in case["about"]} == case["about"]
    assert decoded.rows is not None
    assert decoded.values.keys() <= decoded.rows.keys(), "each value is described"


def test_each_family_has_captures_of_a_discharge() -> None:
    """Current into the battery is positive, with each of them."""
    signs = {case["kind"]: set[bool]() for case in CASES}
    for case in CASES:
        current = case["values"].get("battery_current")
        if isinstance(current, int | float) and current:
            signs[case["kind"]].add(current < 0)
    assert set(signs) == {name for name in KINDS if name.startswith("bms_")}
    assert all(found for found in signs.values())
