"""What the radio needs of BlueZ: a scanner, a power-cycle, advice, a watch that sees what ends a scan."""

import asyncio
import errno
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

from bleak import BleakScanner
from bleak.args.bluez import BlueZScannerArgs, OrPattern
from bleak.assigned_numbers import AdvertisementDataType
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakBluetoothNotAvailableError, BleakDBusError, BleakDeviceNotFoundError, BleakError

from collector.devices.description import Origin
from collector.transports.library import failure

if TYPE_CHECKING:
    from dbus_fast import Message
    from dbus_fast.aio import MessageBus

Mode = Literal["active", "passive"]
Detected = Callable[[BLEDevice, AdvertisementData], None]

_BLUETOOTHD_DOWN = (
    "org.freedesktop.DBus.Error.ServiceUnknown",
    "org.freedesktop.DBus.Error.NameHasNoOwner",
    "org.freedesktop.DBus.Error.NoReply",
)
_ADVICE = {
    **dict.fromkeys(_BLUETOOTHD_DOWN, "bluetoothd is not running: sudo systemctl start bluetooth"),
    "org.freedesktop.DBus.Error.AccessDenied": "not allowed to use BlueZ: add the user to group bluetooth",
    "org.freedesktop.DBus.Error.UnknownObject": "the adapter is gone: see bluetoothctl list",
    "org.bluez.Error.NotReady": "the adapter is off: sudo rfkill unblock bluetooth; bluetoothctl power on",
    "org.bluez.Error.InProgress": "BlueZ is still busy with a scan: sudo systemctl restart bluetooth",
}
_POWER_ON_PATIENCE = 3.0
_ADAPTER = "org.bluez.Adapter1"
_BUS, _PROPERTIES = "org.freedesktop.DBus", "org.freedesktop.DBus.Properties"


def troubles() -> tuple[type[Exception], ...]:
    """List what can go wrong between us and BlueZ; dbus_fast is asked only where there is a D-Bus."""
    from dbus_fast.errors import DBusFastError  # noqa: PLC0415 — a laptop may have no D-Bus

    # EOFError: the bus closed the connection in the middle of a call. The rest names itself.
    return (BleakError, DBusFastError, ScanEndedError, EOFError, OSError, TimeoutError)


def scanner(adapter: str, mode: Mode, origins: Iterable[Origin], detected: Detected) -> BleakScanner:
    """Make a scanner, not yet started; the passive mode hears only data of these origins."""
    options = BlueZScannerArgs(adapter=adapter)
    if mode == "passive":
        options["or_patterns"] = [_pattern(origin) for origin in origins]
    return BleakScanner(detected, scanning_mode=mode, bluez=options)


def _pattern(origin: Origin) -> OrPattern:
    kind, number = AdvertisementDataType.MANUFACTURER_SPECIFIC_DATA, origin
    if isinstance(number, str):
        # A UUID of the Bluetooth SIG: only its 16 bits are sent.
        kind, number = AdvertisementDataType.SERVICE_DATA_UUID16, int(number[4:8], 16)
    return OrPattern(0, kind, number.to_bytes(2, "little"))


def unretrieved(loop: asyncio.AbstractEventLoop, context: Mapping[str, object]) -> None:
    """Loop exception handler: reports all but troubles, which the watchdog sees by the silence they cause."""
    # dbus-fast leaves such futures behind when bleak stops a scanner whose bus has died.
    if not isinstance(context.get("exception"), troubles()):
        loop.default_exception_handler(dict(context))


async def power_cycle(adapter: str) -> None:
    """Switch the adapter off and on; raises one of troubles(). Cancelled in between, it still switches on."""
    async with system_bus() as bus:
        try:
            await _set_powered(bus, adapter, on=False)
        finally:
            async with asyncio.timeout(_POWER_ON_PATIENCE):
                await _set_powered(bus, adapter, on=True)


async def _set_powered(bus: "MessageBus", adapter: str, *, on: bool) -> None:
    from dbus_fast import Variant  # noqa: PLC0415 — a laptop may have no D-Bus

    powered = (_ADAPTER, "Powered", Variant("b", on))
    await _call(bus, "org.bluez", f"/org/bluez/{adapter}", _PROPERTIES, "Set", "ssv", *powered)


def advice(trouble: BaseException, adapter: str) -> str:
    """One sentence: what went wrong and, where it is known, what the owner does about it."""
    from dbus_fast.errors import AuthError, DBusError  # noqa: PLC0415 — a laptop may have no D-Bus

    said = str(trouble)
    known: str | None
    match trouble:
        case ScanEndedError():
            known = str(trouble)
        case BleakDBusError():
            known = _ADVICE.get(trouble.dbus_error)
        case DBusError():
            known = _ADVICE.get(trouble.type)
        case BleakBluetoothNotAvailableError() | AuthError():
            known = _ADVICE["org.freedesktop.DBus.Error.AccessDenied"]
        case TimeoutError():
            known = "BlueZ does not answer: sudo systemctl restart bluetooth"
        # EBADF: dbus-fast wrote to a connection that had just been closed.
        case FileNotFoundError() | ConnectionError() | EOFError() | OSError(errno=errno.EBADF):
            known = "the system D-Bus is not reachable: sudo systemctl start dbus"
        case BleakError() if "not found" in said:
            known = f"there is no adapter {adapter}: plug it in, or see bluetoothctl list for its name"
        case BleakError() if "passive" in said:
            known = 'BlueZ has no passive scan here: set mode = "active", or run bluetoothd --experimental'
        case _:
            known = None
    if known is None:
        library = "dbus-fast" if isinstance(trouble, DBusError) else "bleak"
        known = failure(library, trouble, "sudo systemctl restart bluetooth")
    return known


def connect_advice(trouble: BaseException, address: str, adapter: str) -> str:
    """Say in one sentence why a device was not connected and what the owner does about it."""
    match trouble:
        case BleakDBusError(dbus_error="org.bluez.Error.InProgress"):
            return f"BlueZ is still busy with another connection than that to {address}"
        case BleakDeviceNotFoundError():
            return f"{address} went out of hearing: is it in range?"
        case BleakDBusError(dbus_error="org.bluez.Error.Failed") | TimeoutError():
            return (
                f"{address} is heard, but takes no connection: most batteries take one at a time, so close "
                "the app on your phone; or it is too far away"
            )
        case BleakDBusError():
            return advice(trouble, adapter)
        case BleakError():
            return f"{address} ended the connection at once: is it too far away, or wants it to be paired?"
    return advice(trouble, adapter)


_DEVICE = "org.bluez.Device1"
_UNKNOWN = ("org.freedesktop.DBus.Error.UnknownObject", "org.freedesktop.DBus.Error.UnknownMethod")


async def find(adapter: str, address: str) -> str | None:
    """Return the path of a device that BlueZ hears, or is connected to; raises one of troubles()."""
    from dbus_fast.errors import DBusError  # noqa: PLC0415 — a laptop may have no D-Bus

    path = f"/org/bluez/{adapter}/dev_{address.replace(':', '_')}"
    async with system_bus() as bus:
        try:
            (said,) = await _call(bus, "org.bluez", path, _PROPERTIES, "GetAll", "s", _DEVICE)
        except DBusError as error:
            if error.type in _UNKNOWN:
                return None
            raise
    # BlueZ drops the signal strength of a device that it has not heard for a while.
    return path if "RSSI" in said or said["Connected"].value else None


async def discover(adapter: str, address: str, seconds: float) -> str | None:
    """Search for a device by an active scan; return its path. Raises one of troubles()."""
    options = BlueZScannerArgs(adapter=adapter)
    found = await BleakScanner.find_device_by_address(address, seconds, bluez=options)
    return None if found is None else str(found.details["path"])


_CLOSE_PATIENCE = 1.0


@asynccontextmanager
async def system_bus() -> AsyncIterator["MessageBus"]:
    """Connect for the length of a block; raises what dbus_fast raises if there is no bus."""
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


async def _call(  # noqa: PLR0917 — the address of a method on the bus, from the left to the right
    bus: "MessageBus", service: str, path: str, interface: str, member: str, signature: str, *body: object
) -> list[Any]:
    """Call a method and return what it answers; raises DBusError if it answers with an error."""
    from dbus_fast import Message, MessageType  # noqa: PLC0415 — a laptop may have no D-Bus
    from dbus_fast.errors import DBusError  # noqa: PLC0415 — same

    message = Message(
        destination=service,
        path=path,
        interface=interface,
        member=member,
        signature=signature,
        body=list(body),
    )
    reply = await bus.call(message)
    if reply.message_type is MessageType.ERROR:
        reason = str(reply.body[0]) if reply.body else "no reason given"
        raise DBusError(reply.error_name or "org.freedesktop.DBus.Error.Failed", reason)
    return list(reply.body)


# Signals: D-Bus Specification, org.freedesktop.DBus.NameOwnerChanged and the standard interfaces
# ObjectManager and Properties; BlueZ doc/org.bluez.Adapter.rst.


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
        self._off = f"{adapter} is switched off: sudo rfkill unblock bluetooth; bluetoothctl power on"
        self._scan = scan
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[str] = self._loop.create_future()
        self._scan_ends: asyncio.TimerHandle | None = None
        self._discovers, self._connecting = True, False

    async def listen(self) -> None:
        """See all that happens from now on; raises what dbus_fast raises."""
        self._bus.add_message_handler(self._take)
        ended = asyncio.ensure_future(self._bus.wait_for_disconnect())  # type: ignore[no-untyped-call]  # dbus-fast leaves it untyped
        ended.add_done_callback(self._bus_ended)
        # Few, and none about the devices on the air.
        for rule in (
            "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='org.bluez'",
            f"type='signal',sender='org.bluez',member='InterfacesRemoved',arg0path='{self._path}'",
            f"type='signal',sender='org.bluez',member='PropertiesChanged',path='{self._path}',arg0='{_ADAPTER}'",
        ):
            await _call(self._bus, _BUS, "/org/freedesktop/DBus", _BUS, "AddMatch", "s", rule)

    async def check_power(self) -> None:
        """Raise ScanEndedError if the adapter is off, where BlueZ takes a passive scan but hears nothing."""
        asked = (_ADAPTER, "Powered")
        (powered,) = await _call(self._bus, "org.bluez", self._path, _PROPERTIES, "Get", "ss", *asked)
        if powered.value is False:
            raise ScanEndedError(self._off)

    async def quiet(self, seconds: float) -> None:
        """Wait so long; raises ScanEndedError as soon as the scan cannot go on."""
        await asyncio.wait({self._ended}, timeout=seconds)
        self.check()

    def check(self) -> None:
        """Raise ScanEndedError if the scan cannot go on."""
        if not self._bus.connected:
            self._end(_BUS_ENDED)
        if self._ended.done():
            raise ScanEndedError(self._ended.result())

    @contextmanager
    def connecting(self) -> Iterator[None]:
        """Expect the scan to pause in the block: BlueZ does so for a connection, and so may we."""
        self._connecting = True
        self._forget_scan_end()
        try:
            yield
        finally:
            self._connecting = False
            self._expect_scan()

    def give_up(self, why: str) -> None:
        """End the scan for this reason."""
        self._end(why)

    def close(self) -> None:
        """Say no more."""
        self._forget_scan_end()
        self._ended.cancel()

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
        self._discovers = changed["Discovering"]
        self._expect_scan()

    def _expect_scan(self) -> None:
        if not self._discovers and not self._connecting:
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
