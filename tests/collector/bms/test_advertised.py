"""Which BMS it is that advertises."""

import pytest

from collector.devices import KINDS
from collector.devices.bms.advertised import recognise
from tests.emulators import bms
from tests.emulators.bluez_gatt import whole


@pytest.mark.parametrize(("kind", "twin"), bms.every())
def test_each_family_is_recognised(kind: str, twin: bms.Twin) -> None:
    services = [whole(uuid) for uuid in twin.services]
    companies = [] if twin.company is None else [twin.company]
    assert recognise(twin.name, services, companies) == kind
    assert kind in KINDS
    assert recognise(twin.name, [], companies) is None, "a name alone is no proof"


@pytest.mark.parametrize(
    ("name", "services", "companies"),
    [
        ("Tile", [whole(0xFEED)], [0x0157]),
        ("HC-08", [whole(0xFFE0)], []),
        ("ELK-BLEDOM", [whole(0xFFF0)], []),
        (None, ["0000ff00-1234-1000-8000-00805f9b34fb"], []),
        ("JK-B2A8S20P", [whole(0x180F)], [0x0B65]),
    ],
)
def test_others_are_not(name: str | None, services: list[str], companies: list[int]) -> None:
    assert recognise(name, services, companies) is None
