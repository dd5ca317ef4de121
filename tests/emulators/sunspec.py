"""A SunSpec device's holding registers, written from the SunSpec Information Model Reference.

`chain` puts the marker, the models one behind the other and the end mark from a base on. A model is its id
and its registers behind the length, not implemented ones as 0xFFFF (unsigned), 0x8000 (signed, scale) or 0.
"""

from collections.abc import Sequence

# The kinds that are read from it.
TWINS = ("sunspec",)

N, S = 0xFFFF, 0x8000
"""Not implemented: unsigned, signed and scale factors."""


def text(content: str, registers: int) -> list[int]:
    """A string, NUL behind."""
    raw = content.encode().ljust(2 * registers, b"\0")
    return [raw[n] << 8 | raw[n + 1] for n in range(0, 2 * registers, 2)]


def signed(value: int) -> int:
    """A 16-bit register of a negative number."""
    return value % 0x10000


def chain(base: int, models: Sequence[tuple[int, Sequence[int]]]) -> dict[int, int]:
    """The registers by address."""
    words = [0x5375, 0x6E53]
    for number, content in models:
        words += [number, len(content), *content]
    words += [0xFFFF, 0]
    return dict(enumerate(words, base))


def common(maker: str, model: str, serial: str) -> tuple[int, list[int]]:
    """Model 1, 66 registers."""
    parts = (*text(maker, 16), *text(model, 16), *text("", 8), *text("1.2.3", 8), *text(serial, 16))
    return 1, [*parts, 1, S]


def inverter(*, watts: int = 2765, dc_watts: int = 2850, state: int = 4) -> tuple[int, list[int]]:
    """Model 103, 50 registers: three phases, integers with scale factors; one temperature."""
    amps = [1203, 401, 402, 400, signed(-2)]
    volts = [N, N, N, 2301, 2302, 2299, signed(-1)]
    power = [signed(watts), 0, 5001, signed(-2), 2770, 0, signed(-120), 0, 9985, signed(-2)]
    energy = [0x0001, 0xE240, 0]  # 123456 Wh
    dc = [385, signed(-2), 7405, signed(-1), signed(dc_watts), 0]
    temperature = [418, S, S, S, signed(-1)]
    return 103, [*amps, *volts, *power, *energy, *dc, *temperature, state, N, *[0] * 12]


def float_inverter() -> tuple[int, list[int]]:
    """Model 113, 60 registers: floats; what is missing is the NaN 0x7FC00000."""
    nan = [0x7FC0, 0x0000]
    numbers = [
        [0x4120, 0x0000],  # A 10.0
        *[nan] * 6,
        [0x4366, 0x3333],  # AN 230.2
        *[nan] * 2,
        [0x44FA, 0x2000],  # W 2001
        [0x4248, 0x0000],  # Hz 50
        *[nan] * 3,
        [0x4B18, 0x9680],  # WH 10 000 000
        *[nan] * 2,
        [0x4500, 0x0000],  # DCW 2048
        *[nan] * 4,
    ]
    return 113, [*[word for pair in numbers for word in pair], 4, N, *[0] * 12]


def trackers(modules: Sequence[tuple[str, int, int, int]]) -> tuple[int, list[int]]:
    """Model 160: name, current (0.01 A), voltage (0.1 V), power (W) of each module."""
    head = [signed(-2), signed(-1), 0, 0, 0, 0, len(modules), N]
    body: list[int] = []
    for number, (name, amps, volts, watts) in enumerate(modules, 1):
        body += [number, *text(name, 8), amps, volts, watts, 0, 1000, 0, 0, S, 4, 0, 0]
    return 160, head + body


def meter(*, watts: int) -> tuple[int, list[int]]:
    """Model 203, 105 registers."""
    amps = [S, S, S, S, S]
    volts = [S, 2301, 2302, 2303, S, S, S, S, signed(-1)]
    power = [5000, signed(-2), signed(watts), signed(watts // 2), signed(watts // 2), 0, 0]
    energy = [0, 5000, *[0] * 6, 0, 7000, *[0] * 6, 1]  # exported, imported, x 10 Wh
    return 203, [*amps, *volts, *power, *[S] * 15, *energy, *[0] * 16, S, *[0] * 32, S, 0, 0]


def battery(*, watts: int, state: int) -> tuple[int, list[int]]:
    """Model 802, 62 registers."""
    charge = [N, N, N, N, N, N, N, N, N, 655, N, 990, 0xFFFF, 0xFFFF, state]
    status = [0, 0, 0, 0, 1, 1, 0, 0xFFFF, 0xFFFF, *[0] * 8]
    volts = [5123, N, N, N, N, N, N, N, N, N, signed(-120), N, N, signed(watts), 0, S, 0, 0]
    scales = [S, S, S, S, signed(-1), S, signed(-1), signed(-2), S, signed(-1), S, 0]
    return 802, [*charge, *status, *volts, *scales]


def der() -> tuple[int, list[int]]:
    """Model 701, 153 registers: a single-phase DER of the 700 series."""
    head = [0, 1, 3, 1, 0, 0, 0, 0, 1500, 1600, 100, S, 652, N, 2301, 0, 5000]
    energy = [0, 0, 0x0001, 0x86A0, *[0xFFFF] * 12]
    temperature = [S, 401, S, S, S, S]
    phase = [1500, S, S, S, 652, N, 2301, *[0xFFFF] * 16]
    none = [S, S, S, S, S, N, N, *[0xFFFF] * 16]
    tail = [N, 0, 0, signed(-2), signed(-1), signed(-2), 0, S, 0, 0, 0, S, signed(-1), *[0] * 32]
    return 701, [*head, *energy, *temperature, *phase, *none, *none, *tail]


def capacity() -> tuple[int, list[int]]:
    """Model 713, 7 registers."""
    return 713, [10000, 6000, 60, 99, 0, 0, 0]


def storage() -> tuple[int, list[int]]:
    """Model 124, 24 registers: charging, 80.5 %."""
    return 124, [5000, 100, 100, 0, N, N, 805, N, 521, 4, *[N] * 6, 0, 0, S, S, signed(-1), S, signed(-1), 0]
