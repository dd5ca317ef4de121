"""A real Firefox without a window, by Marionette: JSON over TCP, as Mozilla documents it."""

import itertools
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port

_PATIENCE = 60.0
_PREFS = """\
user_pref("marionette.port", {port});
user_pref("devtools.console.stdout.content", true);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("app.normandy.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "data:,");
"""
# What the page wrote, or what it threw. RSLoader is Firefox's own: it misses what it may not fetch.
_COMPLAINT = re.compile(r"console\.(?:error|warn): (?!RSLoader).*|JavaScript (?:error|warning): http.*")


class Firefox:
    """One browser with one tab."""

    def __init__(self, link: socket.socket, log: Path) -> None:
        self._link = link.makefile("rb")
        self._socket = link
        self._log = log
        self._numbers = itertools.count(1)
        self._read()  # it says what it is
        self._ask("WebDriver:NewSession", {})

    def open(self, address: str) -> None:
        """Load a page."""
        self._ask("WebDriver:Navigate", {"url": address})

    def value(self, script: str) -> Any:  # noqa: ANN401 — JSON of any shape
        """Return what an expression is worth in the page."""
        return self._ask("WebDriver:ExecuteScript", {"script": f"return {script}", "args": []})["value"]

    def wait(self, script: str) -> Any:  # noqa: ANN401 — JSON of any shape
        """Wait until an expression is worth something, and return it. Raises TimeoutError."""
        deadline = time.monotonic() + _PATIENCE
        while not (found := self.value(script)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{script} stayed {found!r}; Firefox said:\n{self._log.read_text()}")
            time.sleep(0.05)
        return found

    def complaints(self) -> list[str]:
        """Return what the page wrote to the console as errors, or threw."""
        return _COMPLAINT.findall(self._log.read_text(encoding="utf-8", errors="replace"))

    def _ask(self, command: str, parameters: dict[str, Any]) -> dict[str, Any]:
        said = json.dumps([0, next(self._numbers), command, parameters])
        self._socket.sendall(f"{len(said)}:{said}".encode())
        _, _, error, answer = self._read()
        if error is not None:
            raise RuntimeError(f"{command}: {error['error']}: {error['message']}")
        found: dict[str, Any] = answer
        return found

    def _read(self) -> Any:  # noqa: ANN401 — JSON of any shape
        digits = b""
        while (digit := self._link.read(1)) != b":":
            digits += digit
        return json.loads(self._link.read(int(digits)))


@contextmanager
def firefox(folder: Path) -> Iterator[Firefox]:
    """Start Debian's Firefox with a profile of its own; skips the test where there is none."""
    binary = shutil.which("firefox-esr") or shutil.which("firefox")
    if binary is None:
        pytest.skip("needs Firefox: apt-get install firefox-esr")
    port, log = free_port(), folder / "firefox.log"
    profile = folder / "profile"
    profile.mkdir()
    (profile / "user.js").write_text(_PREFS.format(port=port))
    command = [binary, "--headless", "--no-remote", "--marionette", "--profile", str(profile), "about:blank"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        with _connected(port, process) as link:
            yield Firefox(link, log)
    finally:
        process.terminate()
        process.wait(_PATIENCE)


def _connected(port: int, process: "subprocess.Popen[bytes]") -> socket.socket:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError):
            link = socket.create_connection(("127.0.0.1", port), timeout=1)
            link.settimeout(_PATIENCE)
            return link
        time.sleep(0.1)
    raise RuntimeError("Firefox did not start")
