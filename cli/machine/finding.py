"""One thing that was looked at on this machine."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, what was found, the command or the step that mends it; `ok`: nothing to mend.

    One that is not `ok` and has no `mend` could not be looked at.
    """

    subject: str
    text: str
    mend: str = ""
    ok: bool = False

    def __str__(self) -> str:
        mend = f" -> {self.mend}" if self.mend else ""
        return f"{'ok' if self.ok else '!!'} {self.subject}: {self.text}{mend}"


def wrong(findings: Iterable[Finding]) -> list[Finding]:
    """Those that somebody must mend."""
    return [one for one in findings if not one.ok]
