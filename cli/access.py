"""`boondock log`: what was changed lately, and who asked for it, from the access logs of all services."""

import msgspec

from bus.access_log import Entry
from bus.topics import STATISTICIAN
from cli.asking import Asker, AskError
from cli.broker_rights import COLLECTORS, CONTROLLER
from config.model import Broker

SERVICES = (CONTROLLER, STATISTICIAN, *COLLECTORS)


class Change(msgspec.Struct):
    """One change, and the service that made it."""

    service: str
    entry: Entry


def newest(broker: Broker, limit: int) -> list[Change]:
    """The newest `limit` changes of all services that are online, oldest first. Raises AskError."""
    online = _online(broker)
    if not online:
        raise AskError(f"no service is online at {broker.host}:{broker.port}: is any running?")
    found: list[Change] = []
    for service in online:
        with Asker(broker, service=service) as asker:
            for page in asker.pages("log", {"limit": limit}, list[Entry]):
                found += [Change(service, entry) for entry in page]
    found.sort(key=lambda change: change.entry.ts)
    return found[-limit:]


def _online(broker: Broker) -> list[str]:
    with Asker(broker, service=None) as asker:
        return [one for one in SERVICES if asker.is_online(one)]


def line(change: Change) -> str:
    """A change for people."""
    entry = change.entry
    who = ", ".join(filter(None, (entry.sender, entry.reply_to)))
    left_out = f" ({entry.left_out} more before it)" if entry.left_out else ""
    text = f"{entry.ts}  {change.service}  {entry.what}  {entry.value or ''}".rstrip()
    return text + (f"  by {who}" if who else "") + left_out
