"""Draws the picture of docs/wiring.md: the 40 pins of a Raspberry Pi, and what is wired to them."""

from collections.abc import Iterable, Sequence

TITLE = "The 40 pins of a Raspberry Pi, with a relay board, two chips, a contact and a serial port"
# Raspberry Pi's documentation, GPIO and the 40-pin header: odd numbers left, even right, from the top.
HEADER = (
    ("3.3 V", "5 V"),
    ("GPIO 2  SDA", "5 V"),
    ("GPIO 3  SCL", "ground"),
    ("GPIO 4", "GPIO 14  TXD"),
    ("ground", "GPIO 15  RXD"),
    ("GPIO 17", "GPIO 18"),
    ("GPIO 27", "ground"),
    ("GPIO 22", "GPIO 23"),
    ("3.3 V", "GPIO 24"),
    ("GPIO 10", "ground"),
    ("GPIO 9", "GPIO 25"),
    ("GPIO 11", "GPIO 8"),
    ("ground", "GPIO 7"),
    ("GPIO 0", "GPIO 1"),
    ("GPIO 5", "ground"),
    ("GPIO 6", "GPIO 12"),
    ("GPIO 13", "ground"),
    ("GPIO 19", "GPIO 16"),
    ("GPIO 26", "GPIO 20"),
    ("ground", "GPIO 21"),
)
# What a pin is for, its colour, and how its name tells it.
_I2C, _SERIAL, _FREE, _POWER_5, _POWER_3, _GROUND, _IDENTITY = (
    ("I2C", "#1f6feb"),
    ("serial", "#8250df"),
    ("free", "#2da44e"),
    ("5 V", "#cf222e"),
    ("3.3 V", "#bf8700"),
    ("ground", "#24292f"),
    ("leave alone", "#afb8c1"),
)
_LEGEND = (_I2C, _SERIAL, _FREE, _POWER_5, _POWER_3, _GROUND, _IDENTITY)
_SPECIAL = {
    **dict.fromkeys(("GPIO 2  SDA", "GPIO 3  SCL"), _I2C),
    **dict.fromkeys(("GPIO 14  TXD", "GPIO 15  RXD"), _SERIAL),
    **dict.fromkeys(("GPIO 0", "GPIO 1"), _IDENTITY),
    "3.3 V": _POWER_3,
    "5 V": _POWER_5,
    "ground": _GROUND,
}
_INK, _PALE = "#24292f", "#57606a"
_WIDTH, _HEIGHT = 760, 600
_LEFT, _RIGHT, _TOP, _STEP = 352, 376, 60, 24
_BOX_WIDTH, _BOX_HEIGHT = 188, 98
_Point = tuple[int, int]


def _text(x: float, y: float, text: str, *, size: int = 12, colour: str = _INK, more: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{colour}"{more}>{text}</text>'


def _pin(x: int, y: int, number: int, name: str) -> Iterable[str]:
    _, colour = _SPECIAL.get(name, _FREE)
    yield f'<circle cx="{x}" cy="{y}" r="9" fill="{colour}"/>'
    yield _text(x, y + 4, str(number), size=9, colour="#ffffff", more=' text-anchor="middle"')
    left = x == _LEFT
    anchor = f' text-anchor="{"end" if left else "start"}"'
    yield _text(x - 22 if left else x + 22, y + 4, name, more=anchor)


def _header() -> Iterable[str]:
    place = f'x="{_LEFT - 16}" y="42" width="56" height="{_STEP * len(HEADER) + 8}" rx="4"'
    yield f'<rect {place} fill="#f6f8fa" stroke="#d0d7de"/>'
    for row, (odd, even) in enumerate(HEADER):
        y = _TOP + row * _STEP
        yield from _pin(_LEFT, y, 2 * row + 1, odd)
        yield from _pin(_RIGHT, y, 2 * row + 2, even)


def _box(x: int, y: int, use: tuple[str, str], title: str, *lines: str) -> Iterable[str]:
    frame = f'width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="6" fill="#ffffff" stroke="{use[1]}"'
    yield f'<rect x="{x}" y="{y}" {frame} stroke-width="1.5"/>'
    yield _text(x + 10, y + 18, title, more=' font-weight="bold"')
    for number, line in enumerate(lines):
        yield _text(x + 10, y + 36 + 15 * number, line, size=11, colour=_PALE)


def _wire(use: tuple[str, str], *points: _Point) -> str:
    path = " ".join(f"{x},{y}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{use[1]}" stroke-width="1.5"/>'


def _things() -> Iterable[str]:
    chips = (
        "VCC to 3.3 V (pin 1)",
        "SDA to GPIO 2 (pin 3)",
        "SCL to GPIO 3 (pin 5)",
        "GND to ground (pin 9)",
    )
    yield from _box(16, 48, _I2C, "INA219, ADS1115", *chips)
    yield _wire(_POWER_3, (204, 60), (262, 60))
    yield _wire(_I2C, (204, 84), (246, 84))
    yield _wire(_I2C, (204, 108), (246, 108))
    yield _wire(_GROUND, (204, 136), (224, 136), (224, 156), (280, 156))
    relays = ("VCC to 5 V, GND to ground", "IN1 to GPIO 5 (pin 29)", "IN2 to GPIO 6 (pin 31)")
    yield from _box(16, 178, _FREE, "relay board, active low", *relays, "these two are high at boot")
    yield _wire(_FREE, (110, 276), (110, 396), (276, 396))
    yield _wire(_FREE, (80, 276), (80, 420), (276, 420))
    port = ("free it from the console", "and use it for 3.3 V only;", "a USB adapter is safer")
    yield from _box(556, 48, _SERIAL, "serial port of the board", *port, "for VE.Direct and RS485")
    yield _wire(_SERIAL, (556, 132), (486, 132))
    yield _wire(_SERIAL, (556, 140), (524, 140), (524, 156), (486, 156))
    contact = ("one side to GPIO 23 (pin 16)", "or any other free pin,", "the other to ground (pin 14);")
    yield from _box(556, 178, _FREE, "contact, tank switch", *contact, "nothing above 3.3 V")
    yield _wire(_GROUND, (556, 204), (452, 204))
    yield _wire(_FREE, (556, 228), (458, 228))


def _legend(uses: Sequence[tuple[str, str]]) -> Iterable[str]:
    for number, (name, colour) in enumerate(uses):
        x = 60 + 92 * number
        yield f'<circle cx="{x}" cy="566" r="7" fill="{colour}"/>'
        yield _text(x + 12, 570, name)


def draw() -> str:
    """Return the picture as SVG."""
    heading = "pins of the Raspberry Pi, seen from above, USB ports below"
    middle = (_LEFT + _RIGHT) / 2
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif">',
        f"<title>{TITLE}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        _text(middle, 30, heading, more=' text-anchor="middle" font-weight="bold"'),
        *_header(),
        *_things(),
        *_legend(_LEGEND),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"
