"""Sees at once what ends a scan: bluetoothd, the adapter or the bus is gone. Silence would tell it late."""

# Signals: D-Bus Specification, org.freedesktop.DBus.NameOwnerChanged and the standard interfaces
# ObjectManager and Properties; BlueZ doc/org.bluez.Adapter.rst.

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from collector.transports.ble_dbus import call, system_bus

if TYPE_CHECKING:
    from dbus_fast import Message
    from dbus_fast.aio import MessageBus

_ADAPTER = "org.bluez.Adapter1"
_BUS_ENDED = "the system D-Bus ended: see systemctl status dbus"
# The end of an older scan may be told while ours begins; it is then followed by Discovering = true.
_SCAN_BACK_WITHIN = 3.0


class ScanEndedError(Exception):
    """The scan cannot go on; the text says why and what the owner does about it."""


class Watch:
    """What the bus says about one adapter; `scan` counts the end of its discovery as an end."""

    def __init__(self, bus: "MessageBus", adapter: str, *, scan: bool) -> None:
        self._bus = bus
        self._adapter = adapter
        self._path = f"/org/bluez/{adapter}"
        self._scan = scan
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[str] = self._loop.create_future()
        self._scan_ends: asyncio.TimerHandle | None = None

    async def listen(self) -> None:
        """See all that happens from now on; raises what dbus_fast raises."""
        self._bus.add_message_handler(self._take)
        ended = asyncio.ensure_future(self._bus.wait_for_disconnect())  # type: ignore[no-untyped-call]  # dbus-fast leaves it untyped
        ended.add_done_callback(self._bus_ended)
        for rule in self._rules:
            await self._call("org.freedesktop.DBus", "/org/freedesktop/DBus", "AddMatch", rule)

    async def check_power(self) -> None:
        """Raises ScanEndedError if the adapter is off, where BlueZ takes a passive scan but hears nothing."""
        (powered,) = await self._call("org.bluez", self._path, "Get", _ADAPTER, "Powered")
        if powered.value is False:
            raise ScanEndedError(self._off)

    async def quiet(self, seconds: float) -> None:
        """Wait so long; raises ScanEndedError as soon as the scan cannot go on."""
        await asyncio.wait({self._ended}, timeout=seconds)
        self.check()

    def check(self) -> None:
        """Raises ScanEndedError if the scan cannot go on."""
        if not self._bus.connected:
            self._end(_BUS_ENDED)
        if self._ended.done():
            raise ScanEndedError(self._ended.result())

    def close(self) -> None:
        """Say no more."""
        self._forget_scan_end()
        self._ended.cancel()

    @property
    def _off(self) -> str:
        return f"{self._adapter} is switched off: sudo rfkill unblock bluetooth; bluetoothctl power on"

    @property
    def _rules(self) -> tuple[str, ...]:
        # Few, and none about the devices on the air.
        return (
            "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='org.bluez'",
            f"type='signal',sender='org.bluez',member='InterfacesRemoved',arg0path='{self._path}'",
            f"type='signal',sender='org.bluez',member='PropertiesChanged',path='{self._path}',arg0='{_ADAPTER}'",
        )

    async def _call(self, service: str, path: str, member: str, *arguments: str) -> list[Any]:
        from dbus_fast import Message  # noqa: PLC0415 — a laptop may have no D-Bus

        interface = "org.freedesktop.DBus.Properties" if member == "Get" else service
        message = Message(
            destination=service,
            path=path,
            interface=interface,
            member=member,
            signature="s" * len(arguments),
            body=list(arguments),
        )
        return await call(self._bus, message)

    def _take(self, message: "Message") -> None:
        match message.member, message.body:
            case "NameOwnerChanged", ["org.bluez", old, _] if old:
                self._end("bluetoothd went away: see systemctl status bluetooth")
            case "InterfacesRemoved", [self._path, interfaces] if _ADAPTER in interfaces:
                self._end(f"{self._adapter} was unplugged: plug it in, or see bluetoothctl list for its name")
            case "PropertiesChanged", [str(interface), dict(changed), _] if interface == _ADAPTER:
                self._properties({name: variant.value for name, variant in changed.items()})

    def _bus_ended(self, waiting: "asyncio.Future[None]") -> None:
        if not waiting.cancelled():
            # Asked for, or asyncio complains that nobody did.
            waiting.exception()
            self._end(_BUS_ENDED)

    def _properties(self, changed: dict[str, Any]) -> None:
        if changed.get("Powered") is False:
            self._end(self._off)
        if not self._scan or "Discovering" not in changed:
            return
        self._forget_scan_end()
        if not changed["Discovering"]:
            self._scan_ends = self._loop.call_later(
                _SCAN_BACK_WITHIN, self._end, f"the scan on {self._adapter} was ended, not by Boondock"
            )

    def _forget_scan_end(self) -> None:
        if self._scan_ends is not None:
            self._scan_ends.cancel()
            self._scan_ends = None

    def _end(self, why: str) -> None:
        # The first reason is the cause of those that follow.
        if not self._ended.done():
            self._ended.set_result(why)


@asynccontextmanager
async def watching(adapter: str, patience: float, *, scan: bool) -> AsyncIterator[Watch]:
    """Watch from now on, over a connection of its own; raises TimeoutError after `patience` seconds."""
    async with asyncio.timeout(patience) as limit, system_bus() as bus:
        watch = Watch(bus, adapter, scan=scan)
        await watch.listen()
        limit.reschedule(None)
        try:
            yield watch
        finally:
            watch.close()
