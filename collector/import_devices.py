"""The devices of [[import]] tables, and the topics on which they are heard."""

from dataclasses import dataclass

from bus.events import Subscription
from collector.devices.description import Kind
from collector.devices.imported import Imported
from collector.ownership import Owned
from collector.reporting import Cadence, Coalescer
from config.model import Device, Settings
from config.model_import import Import


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportKind(Kind):
    """What is known of a device from its [[import]] table alone."""

    imported: Imported


def owned_imports(settings: Settings, now: float) -> list[Owned]:
    """The devices of all [[import]] tables, which the checks have passed; `now` in monotonic seconds."""
    return [_own(settings, name, table, now) for name, table in settings.imports.items()]


def _own(settings: Settings, name: str, table: Import, now: float) -> Owned:
    imported = Imported(table)
    kind = ImportKind(
        name="import",
        title="Device that publishes in its own format",
        manufacturer=table.manufacturer or "",
        rows=imported.rows,
        source="its [[import]] table",
        imported=imported,
    )
    general = settings.publish
    cadence = Cadence(general.min_interval, general.heartbeat, table.timeout)
    steps = {entity: row.step for entity, row in imported.rows.items()}
    device = Device(kind=kind.name, name=table.name, timeout=table.timeout)
    return Owned(name, device, kind, Coalescer(cadence, steps, now), imported.rows, model=table.model)


def subscriptions(settings: Settings) -> list[Subscription]:
    """All topics that the [[import]] tables name, once each."""
    retained: dict[str, bool] = {}
    for table in settings.imports.values():
        for topic in Imported(table).topics:
            retained[topic] = retained.get(topic, False) or table.retained
        if table.availability is not None:
            retained[table.availability.topic] = True
    return [
        Subscription(filter=topic, retained=wanted, as_published=False) for topic, wanted in retained.items()
    ]
