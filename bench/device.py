"""A small ext4 of its own on a loop device, to count the sectors that reach a device, journal and all."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SIZE_MB = 768
_SECTOR = 512
_SECTORS_WRITTEN = 6


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a measurement writes; `device` is the loop device below it, None if there is none and `why`."""

    folder: Path
    device: str | None = None
    why: str = ""

    def sectors_bytes(self) -> int:
        """Bytes that the device was made to write so far, what was cached included."""
        if self.device is None:
            return 0
        os.sync()
        stat = Path(f"/sys/block/{self.device}/stat").read_text(encoding="ascii")
        return int(stat.split()[_SECTORS_WRITTEN]) * _SECTOR


@contextmanager
def ground() -> Iterator[Ground]:
    """Make a folder on a loop device where we may make one, else a plain one."""
    with tempfile.TemporaryDirectory(prefix="bench") as home:
        if why := _hindrance():
            yield Ground(Path(home), why=why)
            return
        image, mount = Path(home, "image"), Path(home, "mount")
        mount.mkdir()
        with image.open("wb") as file:
            file.truncate(_SIZE_MB * 1024 * 1024)
        try:
            # Lazy, it would write in the background while we count.
            _run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(image))
            loop = _run("losetup", "--find", "--show", str(image)).strip()
        except subprocess.CalledProcessError as error:
            yield Ground(Path(home), why=f"no loop device: {error.stderr.strip()}")
            return
        try:
            _run("mount", loop, str(mount))
            yield Ground(mount, Path(loop).name)
        finally:
            subprocess.run(["umount", str(mount)], check=False)
            subprocess.run(["losetup", "--detach", loop], check=False)


def _hindrance() -> str:
    if os.geteuid() != 0:
        return "not root, so no loop device: sectors written are not measured"
    missing = [program for program in ("mkfs.ext4", "losetup", "mount") if shutil.which(program) is None]
    return f"no {', '.join(missing)}: sectors written are not measured" if missing else ""


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
