"""The machine that is looked at: its files, groups, units and processes below a root."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cli.machine.finding import Finding

STATE = "/var/lib/boondock-statistician"
"""Where the unit of the statistician keeps its database and state."""
UNIT = "etc/systemd/system/boondock-collector@.service"
_TRANSPORTS_GROUP = {"serial": "dialout", "i2c": "i2c", "gpio": "gpio", "ble": "bluetooth"}


@dataclass(frozen=True)
class Place:
    """A machine; in tests `root` is a folder with what matters of one."""

    root: Path

    def at(self, path: str) -> Path:
        """A path of that machine."""
        return self.root / path.lstrip("/")

    def there(self, pattern: str) -> list[str]:
        """Paths of that machine that match a pattern, sorted."""
        return sorted(f"/{path.relative_to(self.root)}" for path in self.root.glob(pattern.lstrip("/")))

    def text(self, path: str) -> str:
        """The text of a file; empty if there is none that may be read."""
        try:
            return self.at(path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    @cached_property
    def has_units(self) -> bool:
        """Whether Boondock is installed as services; then their users count, else the one who asks."""
        return self.at(UNIT).exists()

    @cached_property
    def groups(self) -> dict[str, int]:
        """The ids of the groups by name."""
        rows = (line.split(":") for line in self.text("/etc/group").splitlines())
        return {row[0]: int(row[2]) for row in rows if len(row) > 2 and row[2].isdigit()}

    @cached_property
    def users(self) -> set[str]:
        """The names of the users."""
        return {line.partition(":")[0] for line in self.text("/etc/passwd").splitlines()}

    def processes(self) -> Iterator[tuple[int, str, list[str]]]:
        """Id, name and command line of each process."""
        for folder in self.at("/proc").glob("[0-9]*"):
            number = int(folder.name)
            name = self.text(f"/proc/{number}/comm").strip()
            yield number, name, self.text(f"/proc/{number}/cmdline").split("\0")

    def holder(self, path: str) -> tuple[int, str] | None:
        """Another program's process that has a device open: id and name; root sees all, others their own."""
        found = (one for one in self.holders(path) if "collector" not in one[2])
        return next(((number, name) for number, name, _ in found), None)

    def holders(self, path: str) -> Iterator[tuple[int, str, list[str]]]:
        """Every process but this one that has a device open or, whoever asks, locked as our collectors do."""
        real = os.path.realpath(self.at(path))
        locked = self._lockers(real)
        for number, name, line in self.processes():
            if number == os.getpid():
                continue
            opened = self.at(f"/proc/{number}/fd").glob("*")
            if number in locked or any(os.path.realpath(fd) == real for fd in opened):
                yield number, name, line

    def _lockers(self, real: str) -> set[int]:
        """The processes that have a file locked; the kernel names files by device and inode."""
        try:
            found = os.stat(real)  # noqa: PTH116 — a real path already
        except OSError:
            return set()
        file = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
        rows = (line.split() for line in self.text("/proc/locks").splitlines())
        return {int(row[4]) for row in rows if len(row) > 5 and row[5] == file and row[4].isdigit()}

    def may_use(self, subject: str, path: str, group: str) -> Finding:
        """Whether the units' users, or the one who asks, may read and write a device."""
        found = self.at(path).stat()
        if not self.has_units:
            if os.access(self.at(path), os.R_OK | os.W_OK):
                return Finding(subject, f"{path} is there", ok=True)
            mend = f"sudo usermod -aG {group} $USER, then log in again"
            return Finding(subject, f"you may not read and write {path}", mend)
        mode = found.st_mode
        by_group = found.st_gid == self.groups.get(group) and mode & stat.S_IRGRP and mode & stat.S_IWGRP
        if by_group or (mode & stat.S_IROTH and mode & stat.S_IWOTH):
            return Finding(subject, f"{path} is there", ok=True)
        mend = f"sudo chgrp {group} {path} && sudo chmod g+rw {path}"
        return Finding(subject, f"the group {group} of the service may not read and write {path}", mend)


def group_of(transport: str) -> str | None:
    """The group whose members may use a transport; None: it needs none."""
    return _TRANSPORTS_GROUP.get(transport)
