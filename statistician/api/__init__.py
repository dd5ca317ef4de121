"""Answers the requests of clients, by the table of verbs."""

from bus.access_log import AccessLog
from bus.events import Publishes
from bus.health import Journal
from bus.request_server import RequestServer
from bus.topics import STATISTICIAN, Topics
from statistician.api import history, maintenance, overview, statistics
from statistician.api.table import VERBS
from statistician.context import Context
from statistician.records import StoreError

__all__ = ["MODULES", "VERBS", "request_server"]

# Each puts its verbs into the table when it is imported.
MODULES = (overview, history, statistics, maintenance)


def request_server(
    context: Context, bus: Publishes, topics: Topics, journal: Journal, access: AccessLog | None
) -> RequestServer:
    """Make what answers the statistician's requests."""
    return RequestServer(
        STATISTICIAN,
        {name: row.on(context) for name, row in VERBS.items()},
        bus=bus,
        topics=topics,
        journal=journal,
        wall=context.clock.wall,
        failures=(StoreError,),
        access=access,
    )
