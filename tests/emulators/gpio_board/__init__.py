"""A board's header in a folder: for a child process's RPi.GPIO or gpiod; a test or demo moves the levels.

The folder holds one file a pin: `low` is a contact to ground, `high` one to 3.3 V, without a file nothing is
wired and the pull decides. `edges` lists every level that outputs drove. `pins.json` is what processes did to
the pins, as an electrician would find it.
"""

import fcntl
import json
import os
from pathlib import Path

# The kinds that are read from it.
TWINS = (
    "gpio_input",
    "pulse_counter",
    "tank_switches",
)

FOLDER = "TWIN_GPIO_BOARD"
"""The variable that names the board's folder to RPi.GPIO."""

PYTHONPATH = Path(__file__).parent
"""What makes `from RPi import GPIO` and `import gpiod` find the twins."""

LABEL = "pinctrl-bcm2835"
"""Of the board's chip, as on a Pi Zero 2."""


class Board:
    """The wires of a board; `environment` is what a process needs to sit on it.

    `persist`: an output that gpiod lets go stays, as on Raspberry Pi OS; else it becomes an input.
    """

    def __init__(
        self, folder: Path, backend: str = "rpi", *, persist: bool = True, label: str = LABEL
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.chip = folder / "gpiochip0"
        self.chip.write_text(label, encoding="ascii")
        (folder / "board").touch()
        if persist:
            (folder / "persist").touch()
        self.environment = {
            FOLDER: str(folder),
            "PYTHONPATH": str(PYTHONPATH),
            # Never the pins of the machine that the tests run on.
            "BOONDOCK_CONTROLLER__PINS": backend,
            "BOONDOCK_CONTROLLER__CHIP": str(self.chip),
        }

    def wire(self, pin: int, level: str | None) -> None:
        """Connect a pin to ground (`low`) or 3.3 V (`high`), or to nothing (None)."""
        path = self.folder / str(pin)
        if level is None:
            path.unlink(missing_ok=True)
            return
        fresh = path.with_suffix(".new")
        fresh.write_text(level, encoding="ascii")
        fresh.replace(path)

    def pulse(self, pin: int, count: int, *, at: float, hz: float, low: float = 0.5) -> None:
        """A contact closes `count` times to ground from the kernel's second `at` on, for the share `low`."""
        period = round(1e9 / hz)
        closed = round(period * low)
        with (self.folder / f"pulses-{pin}").open("a", encoding="ascii") as file:
            for number in range(count):
                began = round(at * 1e9) + number * period
                file.write(f"{began} falling {closed}\n{began + closed} rising {period - closed}\n")

    def drive(self, pin: int) -> None:
        """Another program has made this pin an output."""
        self._function(pin, "out")

    def release(self, pin: int) -> None:
        """It is an input again, as after a start of the machine."""
        self._function(pin, "in")

    def _function(self, pin: int, function: str) -> None:
        pins = self.pins()
        pins[str(pin)] = {"function": function, "pull": "off"}
        (self.folder / "pins.json").write_text(json.dumps(pins), encoding="ascii")

    def level(self, pin: int) -> str | None:
        """What a voltmeter shows on an output; None while the pin floats."""
        found = self.pins().get(str(pin), {})
        return found.get("latch") if found.get("function") == "out" else None

    def edges(self, pin: int) -> list[str]:
        """Every level that processes have driven on a pin, in order."""
        path = self.folder / "edges"
        lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
        return [level for number, level in map(str.split, lines) if number == str(pin)]

    def pins(self) -> dict[str, dict[str, str]]:
        """Function (`in`, `out`) and pull of every pin that was ever touched."""
        path = self.folder / "pins.json"
        found: dict[str, dict[str, str]] = json.loads(path.read_text()) if path.exists() else {}
        persist = (self.folder / "persist").exists()
        for number, pin in found.items():
            if pin.pop("by", None) and not persist and not self.held(int(number)):
                # Its process was killed.
                found[number] = {"function": "in", "pull": "off"}
        return found

    def hold(self, pin: int, consumer: str) -> int:
        """Another program holds a line of the kernel's; closing the descriptor lets it go."""
        hold = os.open(self.folder / f"held-{pin}", os.O_RDWR | os.O_CREAT, 0o666)
        fcntl.flock(hold, fcntl.LOCK_EX)
        os.pwrite(hold, consumer.encode(), 0)
        return hold

    def held(self, pin: int) -> bool:
        """Whether a process holds a line of the kernel's."""
        path = self.folder / f"held-{pin}"
        if not path.exists():
            return False
        with path.open() as hold:
            try:
                fcntl.flock(hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def forbid(self) -> None:
        """Nobody may open the chip: the user is not in its group."""
        (self.folder / "forbidden").touch()

    def permit(self) -> None:
        """Everybody may open it."""
        (self.folder / "forbidden").unlink(missing_ok=True)


def folder() -> Path | None:
    """The board that this process sits on."""
    name = os.environ.get(FOLDER)
    return Path(name) if name else None
