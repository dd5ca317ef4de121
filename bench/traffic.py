"""The names that the publisher and the consumers of a measurement share."""

from bus.about import About, encode
from bus.topics import Topics

TOPICS = Topics()
SERVICE = "ble"
STREAM = f"{SERVICE}-bench"
DEVICES = 25


def about(device: int) -> tuple[str, bytes]:
    """Topic and payload that say whose a device is, so that its stream counts."""
    name = f"battery_{device}"
    return TOPICS.about(name), encode(About(name=name, service=SERVICE))


def topic(device: int) -> str:
    """Where a device's readings go."""
    return TOPICS.state(f"battery_{device}")
