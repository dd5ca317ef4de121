"""Commands as a client gives them: how long until the answer, and how often they had to be given again."""

import json
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.traffic import TOPICS
from bus.commands import Code
from bus.messages import OFF, ON
from tests.client import Client

RELAY = "bench"
SETTINGS = f'[controller]\npins = "simulated"\n[relay.{RELAY}]\npin = 17\n'
DEVICE = "relay"
# After so long without an answer a client gives its command again, with the same id.
AGAIN_S = 3.0
_GIVEN_UP = 100
_NO_BROKER_S = 0.2


@contextmanager
def workplace() -> Iterator[Path]:
    """Make a folder for a house whose `run` is in memory, as /run is: a disk waits for others' fsync."""
    memory = Path("/dev/shm")  # noqa: S108 — a folder of its own is made in it
    with (
        tempfile.TemporaryDirectory(prefix="bench") as folder,
        tempfile.TemporaryDirectory(prefix="bench", dir=memory if memory.is_dir() else None) as runtime,
    ):
        Path(folder, "run").symlink_to(runtime)
        yield Path(folder)


@dataclass(slots=True)
class Given:
    """What became of commands: ms until the answer of those given once, how many were given more often."""

    ms: list[float] = field(default_factory=list)
    answered: int = 0
    again: int = 0
    unanswered: int = 0
    # The process died while it obeyed: its answer says so, and how the output stands.
    undecided: int = 0
    # Answers after which the output stood otherwise than it should, and refusals for no reason.
    wrong: int = 0

    def check(self, before: str, code: str | None, actual: str) -> None:
        """Hold the answer to a toggle of an output, which stood as `before`, against what it must be."""
        if code == Code.INTERNAL and actual in {ON, OFF}:
            self.undecided += 1
        else:
            self.wrong += code is not None or actual != (OFF if before == ON else ON)

    def percentile(self, share: float) -> float:
        """Return the time that so many of the answers took at most, ms."""
        ordered = sorted(self.ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class _Prompt(Client):
    """Sends at once: with Nagle's algorithm a second packet waits 40 ms for the first to be acknowledged."""

    def _subscribe(self) -> None:
        sock = self._client.socket()
        if isinstance(sock, socket.socket):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super()._subscribe()


class Commander:
    """Toggles the relay, one command after the other."""

    def __init__(self, port: int, login: tuple[str, str] | None = None) -> None:
        self._answer = TOPICS.response(RELAY, "answer")
        self._client = _Prompt(port, self._answer, login=login)
        self._number = 0
        self._stands = OFF

    def give(self, given: Given) -> None:
        """One command with an id of its own, until it is answered."""
        self._number += 1
        command_id = f"{self._number}"
        payload = json.dumps({"value": "TOGGLE", "id": command_id})
        since, began = len(self._client.messages), time.perf_counter()
        for attempt in range(_GIVEN_UP):
            try:
                self._client.publish(TOPICS.set(DEVICE, RELAY), payload, response_topic=self._answer)
            except RuntimeError:
                # Without a broker the client sees at once that nothing was sent.
                time.sleep(_NO_BROKER_S)
                continue
            try:
                message = self._client.wait(
                    lambda m: json.loads(m.payload)["id"] == command_id, since=since, patience=AGAIN_S
                )
            except TimeoutError:
                continue
            answer = json.loads(message.payload)
            given.check(self._stands, answer.get("code"), answer["actual"])
            self._stands = answer["actual"]
            given.answered += 1
            if attempt:
                given.again += 1
            else:
                given.ms.append((time.perf_counter() - began) * 1000)
            return
        given.unanswered += 1

    def close(self) -> None:
        """Leave."""
        self._client.close()


class Stream:
    """Commands in the background, `period` seconds apart."""

    def __init__(self, commander: Commander, period: float) -> None:
        self.given = Given()
        self._commander = commander
        self._period = period
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._end.wait(self._period):
            self._commander.give(self.given)

    def stop(self) -> Given:
        """End and tell."""
        self._end.set()
        self._thread.join()
        return self.given
