"""What a process said retained, to be said again to a broker that forgot it."""

import threading


class Replay:
    """Topics with payload and QoS; written by the owner's thread, read by the network's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._said: dict[str, tuple[bytes, int]] = {}

    def remember(self, topic: str, payload: bytes, qos: int) -> None:
        """Keep the newest of a topic; an empty payload forgets it."""
        with self._lock:
            if payload:
                self._said[topic] = (payload, qos)
            else:
                self._said.pop(topic, None)

    def get(self, topic: str) -> bytes | None:
        """The newest payload of a topic."""
        with self._lock:
            return self._said.get(topic, (None, 0))[0]

    def all(self) -> list[tuple[str, bytes, int]]:
        """Topic, payload and QoS, in the order in which the topics were first said."""
        with self._lock:
            return [(topic, payload, qos) for topic, (payload, qos) in self._said.items()]
