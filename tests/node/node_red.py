"""A real Node-RED without a browser: started in a folder of its own, driven by its HTTP interface."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.node.installed import Installed
from tests.ports import free_port

_PATIENCE = 60.0
_SETTINGS = """\
module.exports = {{
    uiHost: "127.0.0.1",
    uiPort: {port},
    flowFile: "flows.json",
    credentialSecret: "tests",
    logging: {{ console: {{ level: "info" }} }},
    externalModules: {{ autoInstall: false, palette: {{ allowInstall: false }} }},
    telemetry: {{ enabled: false, updateNotification: false }},
}};
"""


class NodeRed:
    """Starts Node-RED with the dashboard's nodes and no flow."""

    def __init__(self, folder: Path, programs: Installed) -> None:
        self.port = free_port()
        self._folder = folder
        self._log = folder / "node-red.log"
        self._start_of_flow = 0
        (folder / "settings.js").write_text(_SETTINGS.format(port=self.port))
        (folder / "package.json").write_text('{"name": "tests", "private": true, "dependencies": {}}')
        (folder / "node_modules").symlink_to(programs.modules)
        self._command: list[str | Path] = [programs.node, programs.modules / "node-red" / "red.js"]
        self._command += ["--userDir", folder, "--settings", folder / "settings.js"]

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, cwd=self._folder, stdout=log, stderr=log)
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                self.ask("/settings")
            except (urllib.error.URLError, ConnectionError):
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError(f"Node-RED did not start:\n{self._log.read_text()}") from None
                time.sleep(0.1)
            else:
                return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def ask(self, path: str, body: object = None) -> Any:  # noqa: ANN401 — JSON of any shape
        """GET a path of the admin interface, or POST a JSON body to it; returns the JSON of the answer."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Accept": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:  # noqa: S310 — same
            text = answer.read()
        return json.loads(text) if text else None

    def deploy(self, flow: list[dict[str, Any]]) -> None:
        """Replace all flows by this one, as the editor's Deploy does."""
        self._start_of_flow = self._log.stat().st_size
        self.ask("/flows", flow)

    def says(self, text: str) -> None:
        """Wait until Node-RED has said this since the flow was deployed. Raises TimeoutError."""
        deadline = time.monotonic() + _PATIENCE
        while text.encode() not in self._log.read_bytes()[self._start_of_flow :]:
            if time.monotonic() > deadline:
                raise TimeoutError(f"Node-RED did not say {text!r}:\n{self._log.read_text()}")
            time.sleep(0.05)

    def types(self) -> set[str]:
        """The types of nodes that are known and without an error."""
        return {kind for one in self.ask("/nodes") if "err" not in one for kind in one["types"]}

    def complaints(self) -> list[str]:
        """Every warning and error since the flow was deployed, of Node-RED itself and of any node."""
        lines = self._log.read_bytes()[self._start_of_flow :].decode().splitlines()
        return [line for line in lines if "[error]" in line or "[warn]" in line]
