"""The processes of one run: started, watched, started again, stopped; none outlives the run."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONFIGURATION_WRONG = 78
KILL_AFTER = 4.0  # seconds after the first SIGTERM
_FIRST_DELAY, _LONGEST_DELAY = 3.0, 30.0
_SETTLED = 60.0  # a process that lived this long starts again with the first delay
_LOG_LIMIT = 1_000_000
_ALARMING = re.compile(r"\b(WARNING|ERROR|CRITICAL)\b|^<[0-4]>|^Traceback|(?i:\b(warning|error):)")
_LINES_PER_LOOK = 5

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Program:
    """What to start: `rank` orders the end, lowest first; `account` is setpriv's options; `stdin` a file."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    rank: int
    account: Sequence[str] = ()
    stdin: Path = Path(os.devnull)


class Child:
    """One program while the run lasts, however often it is started."""

    def __init__(self, program: Program, logs: Path) -> None:
        self.program = program
        self.log = logs / f"{program.name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._delay = _FIRST_DELAY
        self._begin = self._seen = 0  # offsets in the log: of this start, of what was looked at
        self.restart_at: float | None = None
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))

    def start(self) -> None:
        """Start it in a session of its own, with its output in the log."""
        setpriv = shutil.which("setpriv")
        # The kernel ends it when we are killed without a chance to.
        prefix = [setpriv, "--pdeathsig", "TERM", *self.program.account, "--"] if setpriv else []
        with self.log.open("ab") as output, self.program.stdin.open("rb") as stdin:
            self._begin = self._seen = output.tell()
            self._process = subprocess.Popen(
                [*prefix, *self.program.argv],
                cwd=ROOT,
                env=dict(self.program.env),
                stdin=stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started = time.monotonic()
        self.restart_at = None

    def status(self) -> int | None:
        """Return its exit status (negative: the signal), None while it runs or waits for its next start."""
        return self._process.poll() if self._process else None

    def is_up(self) -> bool:
        """Tell whether it runs."""
        return self._process is not None and self._process.poll() is None

    def plan_restart(self) -> float:
        """Plan its next start, and return in how many seconds that is."""
        now = time.monotonic()
        if now - self._started > _SETTLED:
            self._delay = _FIRST_DELAY
        delay, self._delay = self._delay, min(self._delay * 2, _LONGEST_DELAY)
        self._process, self.restart_at = None, now + delay
        return delay

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it and to whatever it started."""
        if self._process is None:
            return
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return  # the whole group is gone already

    def output(self) -> str:
        """Return what it wrote since its last start."""
        with self.log.open("rb") as log:
            log.seek(self._begin)
            return log.read(_LOG_LIMIT).decode(errors="replace")

    def alarms(self) -> list[str]:
        """Return its warnings and errors since the last look."""
        with self.log.open("rb") as log:
            log.seek(self._seen)
            text = log.read(_LOG_LIMIT)
        whole = text[: text.rfind(b"\n") + 1]
        self._seen += len(whole)
        return [line for line in whole.decode(errors="replace").splitlines() if _ALARMING.search(line)]


class Van:
    """All processes of a run. `say` prints a line for a person."""

    def __init__(self, logs: Path, say: Say) -> None:
        self.children: list[Child] = []
        self._logs = logs
        self._say = say

    def start(self, program: Program) -> Child:
        """Start a program and keep it running from now on."""
        child = Child(program, self._logs)
        self.children.append(child)
        child.start()
        return child

    def watch(self) -> int | None:
        """Tell of warnings, start again what died; return 78 if a process finds its configuration wrong."""
        for child in list(self.children):
            self._tell(child)
            status = child.status()
            if status == CONFIGURATION_WRONG:
                self._say(f"{child.program.name} cannot work with this configuration:")
                self._say(child.output().rstrip())
                return CONFIGURATION_WRONG
            if status == 0:
                # As systemd would have it: who ends well has nothing to do.
                self.children.remove(child)
            elif status is not None:
                self._report_death(child, status)
            elif child.restart_at is not None and time.monotonic() >= child.restart_at:
                child.start()
        return None

    def _tell(self, child: Child) -> None:
        lines = child.alarms()
        for line in lines[:_LINES_PER_LOOK]:
            self._say(f"{child.program.name}: {line}")
        if len(lines) > _LINES_PER_LOOK:
            self._say(f"{child.program.name}: {len(lines) - _LINES_PER_LOOK} more in {child.log}")

    def _report_death(self, child: Child, status: int) -> None:
        how = f"status {status}" if status >= 0 else signal.Signals(-status).name
        last = child.output().splitlines()[-10:]
        child.send(signal.SIGKILL)  # what it may have left behind
        delay = child.plan_restart()
        self._say(f"{child.program.name} ended with {how} and starts again in {delay:.0f} s; its last lines:")
        for line in last or ["(it wrote nothing)"]:
            self._say(f"  {line}")

    def up(self) -> int:
        """Return how many processes run."""
        return sum(child.is_up() for child in self.children)

    def stop(self) -> None:
        """End everything within five seconds: who publishes first, then who stores, last what carries."""
        began = time.monotonic()
        ranks = sorted({child.program.rank for child in self.children})
        for position, rank in enumerate(ranks):
            current = [child for child in self.children if child.program.rank == rank]
            for child in current:
                child.send(signal.SIGTERM)
            # Each rank gets a fair part of the time, and what an earlier one did not use.
            deadline = began + KILL_AFTER * (position + 1) / len(ranks)
            while any(child.is_up() for child in current) and time.monotonic() < deadline:
                time.sleep(0.02)
        while self.up() and time.monotonic() < began + KILL_AFTER:
            time.sleep(0.02)
        for child in self.children:
            child.send(signal.SIGKILL)
        while self.up():
            time.sleep(0.02)
