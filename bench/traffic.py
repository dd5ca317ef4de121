"""The names that the publisher and the consumers of a measurement share."""

from bus.topics import Topics

TOPICS = Topics()
STREAM = "ble-bench"


def topic(device: int) -> str:
    """Where a device's readings go."""
    return TOPICS.state(f"battery_{device}")
