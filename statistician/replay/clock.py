"""The machine's clock as a log shows it: what passed between two lines, and when the clock was set."""

from bus.clock import Clock
from bus.messages import ClockQuality
from statistician.clock.entity_clock import TOLERANCE

_FIRST_STEP = 30_000
_LONGER = 4
# A clock that comes back after a restart has lost the seconds of that.
_SLACK = 120_000
_JUMPS_KEPT = 64


class LoggedClock:
    """Follows the times of lines, ms. A time that falls is a clock that was set: meanwhile one step passed.

    After a restart a clock that lies behind the newest line is wrong, unless it was ahead before; the next
    jump over that line makes it right. A jump as long as a fall before is no time that passed either.
    """

    def __init__(self) -> None:
        self.wall = 0
        self.quality: ClockQuality = "ok"
        self._raw = 0
        self._passed = 0
        self._step = _FIRST_STEP
        self._boots = 0
        self._restarted = False
        self._jumps: list[int] = []
        # Falls that no jump before explains: a jump that undoes one is a clock that is set right.
        self._falls: list[int] = []

    def clock(self) -> Clock:
        """This clock for the process that is started now."""
        boot = str(self._boots)
        return Clock(lambda: self.wall, lambda: self._passed / 1000, lambda: self.quality, boot=boot)

    def restart(self) -> None:
        """Note that the machine was off."""
        self._boots += 1
        self._restarted = True
        self._passed = 0

    def wait(self, ms: int) -> None:
        """Let time pass after the last line."""
        self.wall += ms
        self._passed += ms

    def go_to(self, ts: int, *, falls: bool) -> None:
        """Go on to a line of `ts`; `falls` says that it comes after a later one of the same entity."""
        if ts >= self._raw:
            self._forward(ts)
        elif falls and self._raw - ts > TOLERANCE:
            self._back(ts)
        if ts > 0:
            self._restarted = False

    def _forward(self, ts: int) -> None:
        passed = ts - self._raw if self._raw else 0
        if self.quality == "estimated" and ts > self.wall and passed > TOLERANCE:
            # Set right: nobody knows how long the machine was off before.
            self.quality = "ok"
            self._passed += self._step
            self.wall = ts
        elif self.quality == "estimated":
            self.wait(passed)
        else:
            fall = next((one for one in self._falls if _undoes(passed, one)), None)
            if fall is not None:
                self._falls.remove(fall)
            self._passed += passed if fall is None else self._step
            self.wall = ts
        if passed > TOLERANCE:
            self._jumps = [*self._jumps[-_JUMPS_KEPT:], passed]
        if passed:
            self._step = passed if passed < _LONGER * self._step else 2 * self._step
        self._raw = ts

    def _back(self, ts: int) -> None:
        fall = self._raw - ts
        ahead = any(_undoes(jump, fall) for jump in self._jumps)
        if self._restarted and not ahead:
            self.quality = "estimated"
            self.wait(self._step)
        else:
            self._passed += self._step
            self.wall = ts
            if not ahead:
                self._falls = [*self._falls[-_JUMPS_KEPT:], fall]
        self._raw = ts


def _undoes(jump: int, fall: int) -> bool:
    """Whether a jump forward is a fall back and what passed meanwhile."""
    return fall <= jump <= fall + max(_SLACK, fall // 4)
