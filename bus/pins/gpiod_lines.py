"""The pins by the kernel's own interface, the GPIO character device; the only file with gpiod 2."""

import errno
import re
import sys
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

from bus.pins import Edges, NoPinsError, in_words
from config.model import Pull

# The chip of the header, by board: Pi Zero to 3, Pi 4, Pi 5.
_HEADERS = {
    "pinctrl-bcm2835": "pinctrl_bcm2835",
    "pinctrl-bcm2711": "pinctrl_bcm2835",
    "pinctrl-rp1": "pinctrl_rp1",
}
# Edges that the kernel keeps for us, and how often we empty that at one poll: a storm must end.
_EVENTS, _READS = 256, 16
# It numbers them in 32 bits.
_NUMBERS = 1 << 32
_DEV = Path("/dev")
# The same as /proc/device-tree, which the units hide.
_MODEL = Path("/sys/firmware/devicetree/base/model")
_MODULES = Path("/sys/module")
_GROUP = (
    "the group gpio may open them on Raspberry Pi OS: sudo usermod -aG gpio <user>, then log in again; "
    "docs/relays.md has the rule for other systems"
)


@dataclass(frozen=True, slots=True)
class _Chip:
    """A chip's device file and the label that its driver gives it."""

    path: str
    label: str


class GpiodLines:
    """Outputs and inputs of one chip; a pin is a line's offset. Opening it raises NoPinsError.

    `chip` is a path, a name as `gpiochip2` or a label; without it a Raspberry Pi's header is taken, on any
    other board the first chip. `consumer` is what the kernel shows of us.
    """

    def __init__(self, chip: str | None, consumer: str) -> None:
        self._gpiod = _import()
        # Its own exceptions tell of a request that was let go.
        self.failures: tuple[type[Exception], ...] = (OSError, ValueError, self._gpiod.RequestReleasedError)
        self.backend = str(getattr(self._gpiod, "BACKEND", "gpiod"))
        self._chip = _find(self._gpiod, chip)
        self._consumer = consumer
        self._requests: dict[int, Any] = {}
        # The number of the last edge of a counter.
        self._seen: dict[int, int] = {}
        self.told = f"{self.backend}: {self._chip.label}, {self._chip.path}; {_afterwards(self._chip.label)}"

    def output(self, pin: int, *, high: bool) -> None:
        """Ask for a line and its level at once: the kernel sets the level before it drives."""
        line = self._gpiod.line
        settings = self._gpiod.LineSettings(
            direction=line.Direction.OUTPUT, output_value=self._value(high=high)
        )
        self._request(pin, settings)

    def input(self, pin: int, pull: Pull) -> None:
        """Pull by the chip's own resistor; a chip without any leaves the pin as it is."""
        direction = self._gpiod.line.Direction.INPUT
        self._request(pin, self._gpiod.LineSettings(direction=direction, bias=self._bias(pull)))

    def counter(self, pin: int, pull: Pull, *, rising: bool, debounce: float) -> bool:
        """Let the kernel count: in its interrupt, whether we run or not."""
        self.release([pin])
        line = self._gpiod.line
        settings = self._gpiod.LineSettings(
            direction=line.Direction.INPUT,
            bias=self._bias(pull),
            edge_detection=line.Edge.RISING if rising else line.Edge.FALLING,
            debounce_period=timedelta(seconds=debounce),
        )
        self._request(pin, settings, events=_EVENTS)
        self._seen[pin] = 0
        return True

    def edges(self, pin: int) -> Edges | None:
        """Count by the kernel's own numbers, which go on where its buffer was full."""
        request = self._requests[pin]
        first = last = None
        for _ in range(_READS):
            if not request.wait_edge_events(timedelta()):
                break
            for event in request.read_edge_events():
                first, last = first or event, event
        if first is None or last is None:
            return None
        count = (last.line_seqno - self._seen[pin]) % _NUMBERS
        self._seen[pin] = last.line_seqno
        took = (last.timestamp_ns - first.timestamp_ns) / 1e9
        between = (last.line_seqno - first.line_seqno) % _NUMBERS
        return Edges(count, last.timestamp_ns / 1e9, between / took if took > 0 else None)

    def write(self, pin: int, *, high: bool) -> None:
        """Set the level."""
        self._requests[pin].set_value(pin, self._value(high=high))

    def read(self, pin: int) -> bool:
        """Return the level of the pin, read from the chip; an output's too."""
        return bool(self._requests[pin].get_value(pin) is self._gpiod.line.Value.ACTIVE)

    def release(self, pins: Collection[int]) -> None:
        """Give the lines back to the kernel; what the pins do then is the chip's."""
        for pin in pins:
            request = self._requests.pop(pin, None)
            if request is not None:
                request.release()

    def why(self, pin: int, error: Exception) -> str:
        """Return what the kernel means."""
        if getattr(error, "errno", None) != errno.EBUSY:
            return f"{in_words(error)} ({self._chip.label}, {self._chip.path})"
        holder = self._holder(pin)
        return (
            f"{holder} holds it: end that program or, if it is a driver, take its line out of "
            "/boot/firmware/config.txt; or use another pin"
        )

    def _bias(self, pull: Pull) -> object:
        bias = self._gpiod.line.Bias
        return {"up": bias.PULL_UP, "down": bias.PULL_DOWN, "off": bias.DISABLED}[pull]

    def _request(self, pin: int, settings: object, *, events: int | None = None) -> None:
        held = self._requests.get(pin)
        if held is not None:
            # Giving it back in between would let the pin float.
            held.reconfigure_lines({pin: settings})
            return
        try:
            self._requests[pin] = self._gpiod.request_lines(
                self._chip.path,
                consumer=self._consumer,
                config={pin: settings},
                event_buffer_size=events,
            )
        except (PermissionError, FileNotFoundError) as error:
            raise NoPinsError(f"{self._chip.path} cannot be opened ({in_words(error)}): {_GROUP}") from error

    def _holder(self, pin: int) -> str:
        try:
            with self._gpiod.Chip(self._chip.path) as chip:
                consumer = chip.get_line_info(pin).consumer
        except self.failures:
            # It was let go meanwhile, or the chip is gone: the next try tells.
            consumer = ""
        return repr(consumer) if consumer else "another program or driver"

    def _value(self, *, high: bool) -> object:
        value = self._gpiod.line.Value
        return value.ACTIVE if high else value.INACTIVE


def _import() -> ModuleType:
    try:
        import gpiod  # noqa: PLC0415 — only the processes that need it
        import gpiod.line  # noqa: PLC0415 — it must be asked for by itself
    except ImportError as error:
        raise NoPinsError(
            f"no gpiod here ({error}): run ./scripts/setup again, or "
            f"{sys.executable} -m pip install 'gpiod>=2.2'"
        ) from error
    module: ModuleType = gpiod
    return module


def _find(gpiod: ModuleType, wanted: str | None) -> _Chip:
    chips, refused = _chips(gpiod, wanted)
    if wanted is not None:
        fits = [chip for chip in chips if wanted in (chip.path, Path(chip.path).name, chip.label)]
    elif (model := _model()).startswith("Raspberry Pi"):
        fits = [chip for chip in chips if chip.label in _HEADERS]
    else:
        # A PC has no device tree, and its pins switch its own parts.
        fits = chips if model else []
    if fits:
        return fits[0]
    if refused:
        raise NoPinsError(f"{', '.join(refused)} cannot be opened (permission denied): {_GROUP}")
    there = ", ".join(f"{chip.label} at {chip.path}" for chip in chips) or f"no {_DEV}/gpiochip*"
    if wanted is not None:
        raise NoPinsError(
            f"there is no chip {wanted!r}; there is: {there}. An expander on I2C needs a line such as "
            "dtoverlay=mcp23017,addr=0x20 in /boot/firmware/config.txt"
        )
    raise NoPinsError(
        f"no GPIO chip of a header on {model or 'this machine'} ({there}): set controller.chip to the one "
        'that is, or controller.pins to "simulated", which switches no relay and reads no contact'
    )


def _chips(gpiod: ModuleType, wanted: str | None) -> tuple[list[_Chip], list[str]]:
    """Return the chips by number, and the paths that may not be opened."""
    paths = [wanted] if wanted and "/" in wanted else [str(path) for path in _DEV.glob("gpiochip*")]
    chips = []
    refused = []
    for path in sorted(paths, key=_number):
        try:
            with gpiod.Chip(path) as chip:
                chips.append(_Chip(path, chip.get_info().label))
        except PermissionError:
            refused.append(path)
        except OSError:
            # No GPIO chip, or gone since it was listed.
            continue
    return chips, refused


def _number(path: str) -> int:
    found = re.search(r"\d+$", path)
    return int(found.group()) if found else 0


def _model() -> str:
    try:
        return _MODEL.read_text(encoding="utf-8", errors="replace").rstrip("\0\n")
    except OSError:
        # A machine without a device tree, such as a PC.
        return ""


def _afterwards(label: str) -> str:
    """Return what becomes of outputs when the process ends, as far as the chip's driver says."""
    module = _HEADERS.get(label)
    setting = _MODULES / (module or label) / "parameters" / "persist_gpio_outputs"
    try:
        keeps = setting.read_text(encoding="ascii").strip() in ("Y", "1")
    except OSError:
        # Older kernels and other chips say nothing.
        return "what outputs do when this process ends is up to the chip's driver"
    return f"outputs {'stay as they are' if keeps else 'become inputs'} when this process ends"
