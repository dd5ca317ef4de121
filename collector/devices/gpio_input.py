"""One input of the board: external power connected, the feedback of a pump, a door."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bus.about import BINARY_SENSOR_CLASSES, Entity
from collector.devices.contact import Contact, contact
from collector.devices.description import Decoded, GpioKind, Row, SettingError
from collector.devices.lines import GpioLine
from collector.devices.rows import on_off
from config.model import Device

_EVERY_S = 0.2
_DEBOUNCE_S = 0.3


def _rows(device_class: str | None) -> Mapping[str, Row]:
    # Home Assistant shows the device's name before it: "Shore power input".
    entity = Entity(name="Input", device_class=device_class, boolean=True)
    return MappingProxyType({"input": Row(entity=entity)})


ROWS = _rows(None)


@dataclass(frozen=True, slots=True)
class GpioInput:
    """A contact, ON while it is closed."""

    rows: Mapping[str, Row]
    contact: Contact

    def poll(self, line: GpioLine, now: float) -> Decoded:
        """Its value once a level has stood still. Raises DecodeError or LineError."""
        closed = self.contact.poll(line, now)
        return Decoded({} if closed is None else {"input": on_off(closed)})


def _make(settings: Device) -> GpioInput:
    if settings.device_class not in (None, *BINARY_SENSOR_CLASSES):
        raise SettingError(
            "device_class",
            f"Home Assistant has no binary sensor of class {settings.device_class!r}",
            ", ".join(sorted(BINARY_SENSOR_CLASSES)),
        )
    assert settings.pin is not None  # noqa: S101 — it is among `needs`
    return GpioInput(_rows(settings.device_class), contact(settings, settings.pin, _DEBOUNCE_S))


KIND = GpioKind(
    name="gpio_input",
    title="Input of the board: a contact, an opto-coupler, the feedback of a relay",
    manufacturer="Generic",
    rows=ROWS,
    source="the kernel's GPIO character device (libgpiod 2.5); RPi.GPIO 0.7.1, py_gpio.c; rpi-lgpio 0.6",
    needs=("pin",),
    takes=("pull", "active_low", "debounce", "device_class"),
    every=_EVERY_S,
    make=_make,
)
