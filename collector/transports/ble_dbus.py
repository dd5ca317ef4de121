"""A connection to the system D-Bus besides bleak's own, for what bleak cannot do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dbus_fast import Message
    from dbus_fast.aio import MessageBus

_CLOSE_PATIENCE = 1.0


@asynccontextmanager
async def system_bus() -> AsyncIterator["MessageBus"]:
    """A connection that is closed with its block; raises what dbus_fast raises if there is no bus."""
    from dbus_fast import BusType  # noqa: PLC0415 — a laptop may have no D-Bus
    from dbus_fast.aio import MessageBus  # noqa: PLC0415 — same

    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    try:
        yield bus
    finally:
        bus.disconnect()
        # Only then is its socket closed. The errors: the bus itself ended first.
        with suppress(EOFError, OSError):
            async with asyncio.timeout(_CLOSE_PATIENCE):
                await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]  # dbus-fast leaves it untyped


async def call(bus: "MessageBus", message: "Message") -> list[object]:
    """Call a method and return what it answers; raises DBusError if it answers with an error."""
    from dbus_fast import MessageType  # noqa: PLC0415 — a laptop may have no D-Bus
    from dbus_fast.errors import DBusError  # noqa: PLC0415 — same

    reply = await bus.call(message)
    if reply.message_type is MessageType.ERROR:
        reason = str(reply.body[0]) if reply.body else "no reason given"
        raise DBusError(reply.error_name or "org.freedesktop.DBus.Error.Failed", reason)
    return list(reply.body)
