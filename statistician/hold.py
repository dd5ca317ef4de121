"""Holds watermarks back while an update may still go back to a copy of the database.

Until the new version is found healthy no collector may forget a reading: the copy does not have it.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from bus.events import Acknowledges, Message, Sent
from bus.health import Journal
from bus.messages import to_iso
from bus.topics import Topics

log = logging.getLogger(__name__)

FILE = "hold"
"""In the runtime folder: the second of CLOCK_BOOTTIME until which watermarks wait."""


class Hold:
    """A connection on which watermarks wait while `path` says so; all else passes.

    Health says since when and how long. The newest watermark of each stream goes out with whatever is
    published or acknowledged next.
    """

    def __init__(
        self,
        bus: Acknowledges,
        topics: Topics,
        path: Path,
        *,
        monotonic: Callable[[], float],
        wall: Callable[[], int],
        journal: Journal,
    ) -> None:
        self._bus = bus
        self._prefix = topics.watermark("x").removesuffix("x")
        self._path = path
        self._monotonic = monotonic
        self._wall = wall
        self._journal = journal
        # Until when they wait, as health says it.
        self._told: float | None = None
        self._waiting: dict[str, bytes] = {}

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        correlation: bytes | None = None,
    ) -> Sent:
        """Publish now, but for a watermark that must wait."""
        if not topic.startswith(self._prefix):
            self._release()
            return self._bus.publish(topic, payload, qos=qos, retain=retain, correlation=correlation)
        if self._held():
            self._waiting[topic] = payload
            return Sent.YES
        self._waiting.pop(topic, None)
        self._release()
        self._done()
        return self._bus.publish(topic, payload, qos=qos, retain=retain)

    def acknowledge(self, *messages: Message) -> None:
        """Acknowledge at once: what the broker forgets the collectors still have."""
        self._bus.acknowledge(*messages)
        self._release()

    def _release(self) -> None:
        if not self._waiting or self._held():
            return
        self._done()
        log.info("the update is done: %d watermarks that waited are published", len(self._waiting))
        waiting, self._waiting = self._waiting, {}
        for topic, payload in waiting.items():
            self._bus.publish(topic, payload, retain=True)

    def _tell(self, until: float) -> None:
        if until == self._told:
            return
        now, self._told = self._wall(), until
        ends = to_iso(now + int(1000 * (until - self._monotonic())))
        text = (
            f"an update is on trial since {to_iso(now)}: collectors keep their readings until it is found "
            f"healthy or goes back, at the latest until {ends}. Nothing is lost: wait, then boondock status"
        )
        self._journal.problem("hold", text, now)

    def _done(self) -> None:
        self._told = None
        self._journal.solved("hold")

    def _held(self) -> bool:
        try:
            until = float(self._path.read_text(encoding="ascii"))
        except FileNotFoundError:
            return False
        except (OSError, ValueError) as error:
            log.warning("%s cannot be used, watermarks do not wait: %s", self._path, error)
            return False
        held = self._monotonic() < until
        if held:
            self._tell(until)
        return held
