"""The demo's two battery packs, each with half of the house battery and a BMS of its own."""

from collections.abc import Iterator

from tests.emulators.bluez import FakeBluez
from tests.emulators.bms import Cells, Daly, Jbd
from tests.emulators.van import Moment

ADDRESSES = ("A4:C1:38:00:00:01", "41:18:12:00:00:02")
_CAPACITY, _PACKS, _CELLS = 105.0, 2, 4
# The second pack takes a little more of the current, and its cells differ a little more.
_SHARES, _SPREADS = (0.49, 0.51), (0.001, 0.003)
_DEGREES = 19.0


def packs(moment: Moment) -> Iterator[Cells]:
    """What each BMS measures at this moment."""
    battery = moment.battery
    for share, spread in zip(_SHARES, _SPREADS, strict=True):
        capacity = _CAPACITY / _PACKS
        warmer = abs(battery.current) / 20.0
        yield Cells(
            voltage=battery.voltage,
            current=battery.current * share,
            soc=round(battery.soc),
            left=capacity * battery.soc / 100.0,
            capacity=capacity,
            cells=[battery.voltage / _CELLS + spread * (n - 1.5) for n in range(_CELLS)],
            degrees=(_DEGREES + warmer, _DEGREES + 1.0),
            balancing=battery.soc > 99.0,
        )


class Packs:
    """Both BMS on the radio; `show` moves them on."""

    def __init__(self, bluez: FakeBluez, moment: Moment) -> None:
        self._twins = (Jbd(), Daly())
        self.show(moment)
        for address, twin in zip(ADDRESSES, self._twins, strict=True):
            bluez.place(address, twin)

    def show(self, moment: Moment) -> None:
        """Measure this from now on."""
        for twin, says in zip(self._twins, packs(moment), strict=True):
            twin.says = says
