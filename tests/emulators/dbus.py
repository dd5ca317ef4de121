"""A private D-Bus daemon: a system bus of one's own, without root and without touching the machine's."""

import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

_CONFIG = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <auth>EXTERNAL</auth>
  <listen>unix:path={socket}</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


class PrivateBus:
    """Runs dbus-daemon in a temporary folder; `address` is what DBUS_SYSTEM_BUS_ADDRESS wants to hear."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._config = Path()
        self._daemon: subprocess.Popen[str] | None = None
        self.address = ""

    def __enter__(self) -> Self:
        # A socket's path must stay under 108 bytes: not below pytest's own long folders.
        self._folder = tempfile.TemporaryDirectory(prefix="bus")
        folder = Path(self._folder.name)
        self.address = f"unix:path={folder / 'socket'}"
        self._config = folder / "bus.conf"
        self._config.write_text(_CONFIG.format(socket=folder / "socket"))
        self.start()
        return self

    def start(self) -> None:
        """Run the daemon, again at the same address after kill."""
        self._daemon = subprocess.Popen(
            ["dbus-daemon", "--nofork", "--nopidfile", "--print-address", f"--config-file={self._config}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        # The daemon prints its address once it listens.
        if self._daemon.stdout is None or not self._daemon.stdout.readline():
            raise RuntimeError("dbus-daemon did not start: is the package dbus installed?")

    def kill(self) -> None:
        """The daemon dies and with it every connection."""
        if self._daemon is not None:
            self._daemon.kill()
            self._daemon.wait()
            if self._daemon.stdout is not None:
                self._daemon.stdout.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        if self._folder is not None:
            self._folder.cleanup()
