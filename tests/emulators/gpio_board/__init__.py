"""A board's header in a folder: a child process's RPi.GPIO reads levels there, a test or demo moves them.

The folder holds one file a pin: `low` is a contact to ground, `high` one to 3.3 V, without a file nothing is
wired and the pull decides. `edges` lists every level that outputs drove. `pins.json` is what processes did to
the pins, as an electrician would find it.
"""

import json
import os
from pathlib import Path

FOLDER = "TWIN_GPIO_BOARD"
"""The variable that names the board's folder to RPi.GPIO."""

PYTHONPATH = Path(__file__).parent
"""What makes `from RPi import GPIO` find the twin."""


class Board:
    """The wires of a board; `environment` is what a process needs to sit on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.environment = {FOLDER: str(folder), "PYTHONPATH": str(PYTHONPATH)}

    def wire(self, pin: int, level: str | None) -> None:
        """Connect a pin to ground (`low`) or 3.3 V (`high`), or to nothing (None)."""
        path = self.folder / str(pin)
        if level is None:
            path.unlink(missing_ok=True)
            return
        fresh = path.with_suffix(".new")
        fresh.write_text(level, encoding="ascii")
        fresh.replace(path)

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
        return found

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
