"""Which devices are offline because the service that owns them is. Pure: `now` in monotonic s."""

# A service that is restarted is back within this, seconds; a retained word of an earlier life is replaced.
GRACE_S = 10.0
# Looked at once a second: after a longer pause the controller itself stood still, and words of others wait.
_PAUSE_S = 3.0
# Whoever may describe devices must not fill the memory.
MOST_DEVICES = 1000


class Services:
    """The owner of each device but those in `mine`, and since when an owner is offline.

    Call `due` once a second, and `told` with each device that was said to be offline.
    """

    def __init__(self, mine: frozenset[str]) -> None:
        self._mine = mine
        self._owners: dict[str, str] = {}
        self._offline: dict[str, float] = {}
        self._told: set[str] = set()
        self._looked = float("-inf")

    def describe(self, device: str, service: str | None) -> bool:
        """Note who owns a device, None: nobody that is known. False if there are too many devices."""
        if self._owners.get(device) != service:
            self._told.discard(device)
        if service is None or device in self._mine:
            self._owners.pop(device, None)
        elif device in self._owners or len(self._owners) < MOST_DEVICES:
            self._owners[device] = service
        else:
            return False
        return True

    def hear(self, service: str, now: float, *, online: bool) -> None:
        """A service said how it is, or its last will did."""
        if online:
            self._offline.pop(service, None)
            self._told = {device for device in self._told if self._owners.get(device) != service}
        elif len(self._offline) < MOST_DEVICES:
            self._offline.setdefault(service, now)

    def forget(self) -> None:
        """The broker is away: it says all of it again when it is back."""
        self._owners.clear()
        self._offline.clear()
        self._told.clear()

    def due(self, now: float) -> dict[str, str]:
        """Devices that are offline with their service, and nobody said so yet; each with its service."""
        if now - self._looked > _PAUSE_S:
            self._offline = dict.fromkeys(self._offline, now)
        self._looked = now
        gone = {service for service, since in self._offline.items() if now - since >= GRACE_S}
        return {d: service for d, service in self._owners.items() if service in gone and d not in self._told}

    def told(self, device: str) -> None:
        """It was said that the device is offline."""
        self._told.add(device)
