"""What the radio needs of BlueZ: a scanner, a power-cycle, and advice when either fails."""

import asyncio
import errno
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

from bleak import BleakScanner
from bleak.args.bluez import BlueZScannerArgs, OrPattern
from bleak.assigned_numbers import AdvertisementDataType
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakBluetoothNotAvailableError, BleakDBusError, BleakError

from collector.transports.ble_dbus import call, system_bus
from collector.transports.ble_watch import ScanEndedError

if TYPE_CHECKING:
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


def troubles() -> tuple[type[Exception], ...]:
    """What can go wrong between us and BlueZ; dbus_fast is asked only where there is a D-Bus."""
    from dbus_fast.errors import DBusFastError  # noqa: PLC0415 — a laptop may have no D-Bus

    # EOFError: the bus closed the connection in the middle of a call. The rest names itself.
    return (BleakError, DBusFastError, ScanEndedError, EOFError, OSError, TimeoutError)


def scanner(adapter: str, mode: Mode, company: int, detected: Detected) -> BleakScanner:
    """A scanner not yet started; the passive mode hears only the manufacturer data of `company`."""
    options = BlueZScannerArgs(adapter=adapter)
    if mode == "passive":
        kind = AdvertisementDataType.MANUFACTURER_SPECIFIC_DATA
        options["or_patterns"] = [OrPattern(0, kind, company.to_bytes(2, "little"))]
    return BleakScanner(detected, scanning_mode=mode, bluez=options)


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
    from dbus_fast import Message, Variant  # noqa: PLC0415 — a laptop may have no D-Bus

    await call(
        bus,
        Message(
            destination="org.bluez",
            path=f"/org/bluez/{adapter}",
            interface="org.freedesktop.DBus.Properties",
            member="Set",
            signature="ssv",
            body=["org.bluez.Adapter1", "Powered", Variant("b", on)],
        ),
    )


def advice(trouble: BaseException, adapter: str) -> str:
    """One sentence: what went wrong and, where it is known, what the owner does about it."""
    from dbus_fast.errors import AuthError, DBusError  # noqa: PLC0415 — a laptop may have no D-Bus

    said = f"{type(trouble).__name__}: {trouble}"
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
    return known or said
