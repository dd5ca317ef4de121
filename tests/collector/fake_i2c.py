"""A bus without ioctls: the chips' twins behind the line that devices ask, with a time of its own."""

from collections.abc import Callable

from collector.devices.description import NoAnswerError
from tests.emulators.i2c_chips import Ads1115, Chips, Ina219

# An address, a pointer, a repeated start and two bytes at 100 kHz.
_TRANSFER_S = 0.0005


class FakeI2c:
    """The bus with one INA219 at 0x40 and one ADS1115 at 0x48; `before[n]` runs before the n-th transfer."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ina219 = Ina219(lambda: self.now)
        self.ads1115 = Ads1115(lambda: self.now)
        self.chips = Chips({0x40: self.ina219, 0x48: self.ads1115})
        self.transfers = 0
        self.written: list[tuple[int, int, bytes]] = []
        self.before: dict[int, Callable[[], None]] = {}

    def open(self) -> None:
        """It is open."""

    def close(self) -> None:
        """It stays as it is."""

    def read(self, address: int, register: int, count: int) -> bytes:
        """As the kernel would."""
        self._transfer()
        try:
            return self.chips.read(address, register, count)
        except OSError as error:
            raise NoAnswerError(str(error)) from error

    def write(self, address: int, register: int, data: bytes) -> None:
        """As the kernel would."""
        self._transfer()
        self.written.append((address, register, data))
        try:
            self.chips.write(address, register, data)
        except OSError as error:
            raise NoAnswerError(str(error)) from error

    def receive(self, address: int, count: int) -> bytes:
        """As the kernel would."""
        self._transfer()
        try:
            return self.chips.receive(address, count)
        except OSError as error:
            raise NoAnswerError(str(error)) from error

    def pause(self, seconds: float) -> None:
        """Time passes at once."""
        self.now += seconds

    def _transfer(self) -> None:
        self.before.get(self.transfers, lambda: None)()
        self.transfers += 1
        self.now += _TRANSFER_S
