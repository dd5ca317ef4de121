"""What the statistician takes at most: no broken or hostile publisher fills memory or card."""

from dataclasses import dataclass

from bus.clock import BUILD_DATE_MS

# Entities of the house, of all strangers together, and of one device, whoever it is.
MOST_ENTITIES = 10_000
MOST_OF_STRANGERS = 5_000
MOST_OF_DEVICE = 1_000
MOST_WAITING = 5_000
# Readings without the time that are kept: some days of a small van. Beyond them the oldest give way.
MOST_UNDATED = 200_000


@dataclass(frozen=True, slots=True)
class Limits:
    """Times, ms: no reading is older than `earliest`; what is older than `begin` is only carried in."""

    earliest: int = BUILD_DATE_MS
    begin: int = 0
