"""Stands where the broker would: takes publications, keeps them, and can refuse them as a broker does."""

from dataclasses import dataclass, field

from bus.events import Sent, Subscription
from bus.retained import RetainedTopics


@dataclass(frozen=True, slots=True)
class Published:
    """One publication as it would have gone onto the wire."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    correlation: bytes | None = None


@dataclass(slots=True)
class FakeBus:
    """Set `answer` to what the next publications should meet; `takes` is the largest payload."""

    largest: int = 65536
    takes: int = 65_536
    answer: Sent = Sent.YES
    published: list[Published] = field(default_factory=list)
    listened: list[str] = field(default_factory=list)
    heard: int = 0
    retained: RetainedTopics = field(default_factory=RetainedTopics)

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        correlation: bytes | None = None,
    ) -> Sent:
        """Keep it if the broker takes it."""
        if len(payload) > self.takes:
            return Sent.NEVER
        if retain and payload:
            self.retained.want(topic, payload, qos)
        elif retain:
            self.retained.release(topic)
        if self.answer is Sent.YES:
            self.published.append(Published(topic, payload, qos, retain, correlation))
        return self.answer

    def say_once(self, topic: str, payload: bytes) -> Sent:
        """Retained, of what another process owns."""
        sent = self.publish(topic, payload, retain=True)
        self.retained.release(topic)
        return sent

    def ping(self) -> None:
        """Answer it, as long as the broker does."""
        self.heard += self.answer is Sent.YES

    def listen(self, subscription: Subscription) -> None:
        """Note what was subscribed to."""
        self.listened.append(subscription.filter)

    def on(self, topic: str) -> list[bytes]:
        """The payloads that went to a topic, oldest first."""
        return [p.payload for p in self.published if p.topic == topic]

    def backlog(self) -> list[bytes]:
        """The payloads that went to the statistician again, oldest first."""
        sent = [p for p in self.published if p.topic.startswith("camper/backlog/")]
        assert all((p.qos, p.retain) == (1, False) for p in sent)
        return [p.payload for p in sent]
