"""Who owns which device, and whether that owner is there to obey. Pure: `now` in monotonic s."""

from collections.abc import Iterable

from bus.about import of_house
from bus.commands import Code, Refused, no_output

# A service that is restarted is back within this, seconds; a retained word of an earlier life is replaced.
GRACE_S = 10.0
# Looked at once a second: after a longer pause the controller itself stood still, and words of others wait.
_PAUSE_S = 3.0
# Whoever may describe devices must not fill the memory, nor take the room of the house: each has so many.
MOST_DEVICES = 1000
MOST_OUTPUTS = 4096


class Services:
    """The owner of each device but those in `mine`, and since when an owner is offline.

    Call `due` once a second, and `told` with each device that was said to be offline.
    """

    def __init__(self, mine: frozenset[str]) -> None:
        self._mine = mine
        self._owners: dict[str, str] = {}
        # What takes commands at each device; of strangers where nothing does nothing is kept.
        # None where they are too many to be kept: then the owner alone knows.
        self._outputs: dict[str, tuple[str, ...] | None] = {}
        self._away: set[str] = set()
        self._offline: dict[str, float] = {}
        self._told: set[str] = set()
        self._looked = float("-inf")

    def describe(self, device: str, service: str | None, outputs: Iterable[str] = ()) -> bool:
        """Note who owns a device, None: a stranger that is no service, and which entities take commands.

        False if not all of it is kept: there are too many devices or outputs of the house, or of strangers.
        """
        if device in self._mine:
            return True
        outputs = tuple(outputs)
        if service is None and not outputs:
            self.remove(device)
            return True
        like = [
            d for d in self._outputs if d != device and of_house(self._owners.get(d)) is of_house(service)
        ]
        if device not in self._outputs and len(like) >= MOST_DEVICES:
            return False
        if self._owners.get(device) != service:
            self._told.discard(device)
        kept = sum(len(self._outputs[one] or ()) for one in like) + len(outputs) <= MOST_OUTPUTS
        self._outputs[device] = outputs if kept else None
        if service is None:
            self._owners.pop(device, None)
        else:
            self._owners[device] = service
        return kept

    def remove(self, device: str) -> None:
        """Forget a device whose about was emptied."""
        self._outputs.pop(device, None)
        self._owners.pop(device, None)
        self._told.discard(device)
        self._away.discard(device)

    def available(self, device: str, *, online: bool) -> None:
        """Note what was said of a device's availability."""
        if online or device not in self._outputs:
            self._away.discard(device)
        else:
            self._away.add(device)

    def refusal(self, device: str, entity: str) -> Refused | None:
        """Return why nobody obeys a command for an entity; None if its owner is there and answers."""
        if device not in self._outputs:
            able = ", ".join([d for d, its in self._outputs.items() if its != ()][:20]) or "none"
            return Refused(
                Code.NOT_FOUND, f"there is no device {device} that takes commands; there are: {able}"
            )
        service = self._owners.get(device)
        if service in self._offline:
            return Refused(
                Code.OFFLINE, f"{service}, which owns {device}, does not run: start it and send again"
            )
        outputs = self._outputs[device]
        if outputs is not None and entity not in outputs:
            return no_output(device, entity, outputs)
        if service is None and device in self._away:
            return Refused(Code.OFFLINE, f"{device} says that it is offline: send again when it is back")
        return None

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
        self._outputs.clear()
        self._away.clear()
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
