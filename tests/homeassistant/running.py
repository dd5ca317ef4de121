"""A running Home Assistant as a test sees it: what it has, what it warns of, what its buttons do."""

import json
import subprocess
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.ports import free_port

# A busy machine takes its time to start it.
PATIENCE = 90.0
_SCRIPT = Path(__file__).with_name("inside.py")

Body = dict[str, Any]


class HomeAssistant:
    """Starts Home Assistant in a folder that it keeps over restarts, on a broker of the test's."""

    def __init__(self, python: Path, folder: Path, port: int) -> None:
        self._command = [str(python), str(_SCRIPT), str(folder), str(port), str(free_port())]
        (folder / "configuration.yaml").touch()
        self._log = (folder / "home_assistant.log").open("ab+")
        self._process: subprocess.Popen[bytes] | None = None
        self.release: tuple[int, ...] = ()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._log.close()

    def start(self) -> None:
        """Start it and wait until it says that it has started."""
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log
        )
        self.release = tuple(int(part) for part in self._answer()["version"].split("."))

    def stop(self) -> None:
        """End it as a user does."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            try:
                process.wait(PATIENCE)
            finally:
                process.kill()
                process.stdout.close()

    def ask(self, name: str, **arguments: object) -> Any:  # noqa: ANN401 — each question has its own form
        """The answer to a question of tests/homeassistant/inside.py."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([name, arguments]).encode() + b"\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:  # noqa: ANN401 — as above
        assert self._process is not None
        assert self._process.stdout is not None
        # What hangs is ended; the line is then empty.
        guard = threading.Timer(2 * PATIENCE, self._process.kill)
        guard.start()
        line = self._process.stdout.readline()
        guard.cancel()
        if not line:
            self._log.seek(0)
            raise RuntimeError(f"Home Assistant ended: {self._log.read()[-4000:].decode(errors='replace')}")
        return json.loads(line)

    def entities(self) -> dict[str, Body]:
        """All of them by unique id."""
        return {entity["unique_id"]: entity for entity in self.ask("entities")}

    def devices(self) -> set[str]:
        """The identifiers of all devices."""
        return {identity for device in self.ask("devices") for identity in device["identifiers"]}

    def sees(self, states: Mapping[str, str | None], *, patience: float = PATIENCE) -> None:
        """Wait until entities have these states; None: there is no such entity."""
        found = self.ask("wait", states=dict(states), patience=patience)
        wrong = {one: (state, states[one]) for one, state in found.items() if state != states[one]}
        assert not wrong, f"is and should be: {wrong}"

    def forgets(self, identities: Iterable[str]) -> None:
        """Wait until these devices are gone."""
        left = self.ask("gone", identities=list(identities), patience=PATIENCE)
        assert not left, f"still there: {left}"

    def switch(self, unique_id: str, service: str) -> None:
        """Press a switch's button: turn_on, turn_off or toggle."""
        entity_id = self.entities()[unique_id]["entity_id"]
        self.ask("call", domain="switch", service=service, data={"entity_id": entity_id})
