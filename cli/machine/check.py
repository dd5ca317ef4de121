"""Compare this machine with the settings; `boondock check --machine` and `boondock doctor` show it."""

from pathlib import Path

from cli.machine.finding import Finding
from config.model import Settings


def machine(settings: Settings, root: Path = Path("/")) -> list[Finding]:
    """Everything that the settings need of this machine, a finding each; it may take some seconds.

    `root` is where /dev, /proc, /sys and /etc are found.
    """
    del settings, root
    return []
