"""What every measurement needs: CPU and bytes written of a process, medians, ratios of rounds, a table."""

import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


def cpu_s(pid: int) -> float:
    """Seconds of CPU that the threads of a running process have used, from the kernel's schedstat."""
    spent = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        spent += int((task / "schedstat").read_text(encoding="ascii").split()[0])
    return spent / 1e9


def written_bytes() -> int:
    """Bytes this process has caused to be sent to the block layer; 0 for ever in a folder in memory."""
    for line in Path("/proc/self/io").read_text(encoding="ascii").splitlines():
        if line.startswith("write_bytes:"):
            return int(line.split()[1])
    raise RuntimeError("the kernel does not count what a process writes")


def progress(text: str) -> None:
    """Tell on standard error what is going on."""
    sys.stderr.write(f"{text} …\n")
    sys.stderr.flush()


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure of several rounds; printed as median (least-most)."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Of the rounds' figures."""
        return cls(tuple(values))

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    def over(self, other: "Spread") -> "Spread":
        """Return the ratio, round by round: the rounds of both were interleaved."""
        return Spread(tuple(a / b for a, b in zip(self.values, other.values, strict=True)))

    def __str__(self) -> str:
        least, most = min(self.values), max(self.values)
        if len(self.values) == 1:
            return _number(self.median)
        return f"{_number(self.median)} ({_number(least)}-{_number(most)})"


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure and the bound it must keep; `why` is said if it does not."""

    what: str
    figure: float
    bound: float
    at_least: bool = False
    why: str = ""

    @property
    def met(self) -> bool:
        """Whether the bound is kept."""
        return self.figure >= self.bound if self.at_least else self.figure <= self.bound

    def row(self) -> tuple[str, ...]:
        """Its line of the table of goals."""
        bound = f"{'at least' if self.at_least else 'at most'} {self.bound:g}"
        verdict = "met" if self.met else f"missed: {self.why}" if self.why else "missed"
        return (self.what, bound, _number(self.figure), verdict)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def goals(found: Iterable[Goal]) -> str:
    """Write the table of goals and verdicts."""
    return table(("goal", "bound", "measured", "verdict"), [goal.row() for goal in found])


def page(*parts: str) -> str:
    """Tables and remarks, one below the other."""
    return "\n\n".join(part for part in parts if part)
