"""A real Mosquitto of the tests' own, on a free port of loopback."""

import getpass
import shutil
import subprocess
from pathlib import Path

from tests.ports import free_port, wait_for

_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
_CONF = """\
user {user}
listener {port} 127.0.0.1
socket_domain ipv4
allow_anonymous true
persistence false
max_packet_size {max_packet}
set_tcp_nodelay true
max_inflight_messages 100
max_queued_messages 20000
log_type error
log_type warning
"""


class Mosquitto:
    """Starts, kills and restarts a broker without persistence: what it forgets, it forgets."""

    # Bytes of memory, None for as many as it wants.
    data: int | None = None

    def __init__(self, folder: Path, *, max_packet: int = 65536, extra: str = "") -> None:
        self.port = free_port()
        self._conf = folder / f"mosquitto-{self.port}.conf"
        self._conf.write_text(
            _CONF.format(user=getpass.getuser(), port=self.port, max_packet=max_packet) + extra
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._log = (folder / f"mosquitto-{self.port}.log").open("ab")

    @property
    def pid(self) -> int:
        """The process's number. Raises RuntimeError if it does not run."""
        if self._process is None:
            raise RuntimeError("the broker does not run")
        return self._process.pid

    def start(self) -> "Mosquitto":
        """Start and wait until it accepts connections."""
        binary = shutil.which("mosquitto", path=_PATH)
        if binary is None:
            raise RuntimeError("mosquitto is not installed: run scripts/setup dev")
        limited = [] if self.data is None else ["prlimit", f"--data={self.data}", "--"]
        command = [*limited, binary, "-c", str(self._conf)]
        self._process = subprocess.Popen(command, stderr=self._log, stdout=self._log)
        if wait_for(self.port):
            return self
        raise RuntimeError(f"mosquitto did not start: {self._log.name}")

    def kill(self) -> None:
        """SIGKILL: everything it had in memory is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End it in peace."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None
        self._log.close()
