"""What the demo's meters have counted, in a file: a van that is started again counts on."""

import json
import sys
from pathlib import Path

from tests.emulators.epever import Tracer
from tests.emulators.van import Van


class Counters:
    """The counters of a van and its charge controller, taken from the file and kept in it.

    The van goes on at once, the controller when it is joined.
    """

    def __init__(self, file: Path, van: Van) -> None:
        self._file = file
        self._van = van
        self._tracer: Tracer | None = None
        self._joules: dict[int, float] = {}
        if file.exists():
            self._go_on()

    def _go_on(self) -> None:
        try:
            kept = json.loads(self._file.read_bytes())
            meter, today = float(kept["meter"]), float(kept["yield"])
            self._joules = {int(register): float(joules) for register, joules in kept["epever"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            sys.stderr.write(f"WARNING: {self._file}: {error}; the meters of the demo begin anew\n")
        else:
            self._van.go_on(meter, today)

    def join(self, tracer: Tracer) -> None:
        """Let the charge controller count on."""
        self._tracer = tracer
        tracer.go_on(self._joules)

    def keep(self) -> None:
        """Write what is counted now. Raises OSError."""
        moment = self._van.moment
        joules = {} if self._tracer is None else self._tracer.counted
        said = {"meter": moment.shore.energy, "yield": moment.solar.yield_today, "epever": joules}
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps(said), encoding="ascii")
        fresh.replace(self._file)
