"""Devices behind the fake bluetoothd that take connections, and their services on D-Bus."""

# BlueZ doc/org.bluez.Device.rst, org.bluez.GattService.rst, org.bluez.GattCharacteristic.rst.

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from dbus_fast import Message, Variant

from tests.emulators.bluez_objects import DEVICE, OBJECT_MANAGER, BluezError, Objects, Said

SERVICE = "org.bluez.GattService1"
CHARACTERISTIC = "org.bluez.GattCharacteristic1"
_FAILED = "org.bluez.Error.Failed"
_MTU = 247
# The sum of the two signal strengths between which it wanders, dBm.
_WANDERS = -130

Told = Iterable[tuple[int, bytes]]


class Peripheral(Protocol):
    """A device with services: 16-bit UUIDs and, of their characteristics, UUID and flags.

    `refuses` is the text with which BlueZ tells that no connection comes about; one that `needs_quiet` is
    not reached while the adapter scans. One that is `asleep` does not advertise.
    """

    name: str
    company: int | None
    services: Mapping[int, Sequence[tuple[int, tuple[str, ...]]]]
    refuses: str | None
    needs_quiet: bool
    asleep: bool

    def written(self, uuid: int, data: bytes) -> Told:
        """Take a write; returns what it notifies then, by characteristic."""

    def speaks(self) -> Told:
        """Return what it notifies by itself, some times a second."""


def whole(uuid: int) -> str:
    """A UUID of 16 bits as BlueZ writes it."""
    return f"0000{uuid:04x}-0000-1000-8000-00805f9b34fb"


class Gatt:
    """The peripherals by address, on the object tree."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self.peripherals: dict[str, Peripheral] = {}
        self.connects = 0
        self._rssi = -60
        self._notifying: set[str] = set()

    def path(self, address: str) -> str:
        return f"{self._objects.adapter_path}/dev_{address.replace(':', '_')}"

    def connected(self, address: str) -> bool:
        interfaces = self._objects.tree.get(self.path(address))
        return interfaces is not None and interfaces[DEVICE]["Connected"].value is True

    def beacon(self) -> bool:
        """Let all that are free advertise; True if one was heard."""
        heard = False
        # A signal wanders; what stays the same is not signalled.
        self._rssi = _WANDERS - self._rssi
        for address, one in self.peripherals.items():
            if not one.asleep and not self.connected(address):
                data = {} if one.company is None else {one.company: b"\x01"}
                services = [whole(uuid) for uuid in one.services]
                heard |= self._objects.advertise(address, Said(data, {}, self._rssi, one.name, services))
        return heard

    def speak(self) -> None:
        """Let those that are connected say what they say by themselves."""
        for address, one in self.peripherals.items():
            if self.connected(address):
                self.notify(address, one.speaks())

    def notify(self, address: str, told: Told) -> None:
        for uuid, data in told:
            for path, interfaces in list(self._objects.tree.items()):
                its = interfaces.get(CHARACTERISTIC)
                if its is None or not path.startswith(self.path(address)) or path not in self._notifying:
                    continue
                if its["UUID"].value == whole(uuid):
                    self._objects.tell(path, CHARACTERISTIC, {"Value": Variant("ay", data)})

    def methods(self) -> Mapping[tuple[str, str], Callable[[Message], None]]:
        return {
            (DEVICE, "Connect"): lambda m: self._connect(self._address(m)),
            (DEVICE, "Disconnect"): lambda m: self.drop(self._address(m)),
            (CHARACTERISTIC, "StartNotify"): lambda m: self._notifying.add(m.path or ""),
            (CHARACTERISTIC, "StopNotify"): lambda m: self._notifying.discard(m.path or ""),
        }

    def write(self, message: Message) -> tuple[str, Told]:
        """Take a WriteValue; returns who notifies what then."""
        its = self._objects.tree[message.path or ""][CHARACTERISTIC]
        data, options = message.body
        wanted = "write" if options["type"].value == "request" else "write-without-response"
        if wanted not in its["Flags"].value:
            raise BluezError("org.bluez.Error.NotSupported", "Operation is not supported")
        address = self._address(message)
        return address, self.peripherals[address].written(int(its["UUID"].value[4:8], 16), bytes(data))

    def drop(self, address: str) -> None:
        """The connection ends, at whose wish ever."""
        path = self.path(address)
        if not self.connected(address):
            return
        self._notifying = {one for one in self._notifying if not one.startswith(path)}
        for child in sorted((one for one in self._objects.tree if one.startswith(path + "/")), reverse=True):
            interfaces = self._objects.tree.pop(child)
            self._objects.signal("/", OBJECT_MANAGER, "InterfacesRemoved", "oas", [child, list(interfaces)])
        off = Variant("b", value=False)
        self._change(path, {"ServicesResolved": off})
        self._change(path, {"Connected": off})

    def _connect(self, address: str) -> None:
        one, path = self.peripherals.get(address), self.path(address)
        if one is None or one.asleep:
            raise BluezError(_FAILED, "le-connection-timeout")
        if one.refuses is not None or (one.needs_quiet and self._objects.scanning):
            raise BluezError(_FAILED, one.refuses or "le-connection-unknown")
        if self.connected(address):
            return
        self.connects += 1
        on = Variant("b", value=True)
        self._change(path, {"Connected": on})
        handle = 0x10
        for uuid, characteristics in one.services.items():
            service = f"{path}/service{handle:04x}"
            self._add(service, SERVICE, {"UUID": Variant("s", whole(uuid)), "Device": Variant("o", path)})
            for its, flags in characteristics:
                handle += 2
                properties = {
                    "UUID": Variant("s", whole(its)),
                    "Service": Variant("o", service),
                    "Flags": Variant("as", list(flags)),
                    "MTU": Variant("q", _MTU),
                }
                self._add(f"{service}/char{handle:04x}", CHARACTERISTIC, properties)
            handle += 2
        self._change(path, {"ServicesResolved": on})

    def _add(self, path: str, interface: str, properties: dict[str, Variant]) -> None:
        self._objects.tree[path] = {interface: properties}
        body: list[object] = [path, self._objects.tree[path]]
        self._objects.signal("/", OBJECT_MANAGER, "InterfacesAdded", "oa{sa{sv}}", body)

    def _change(self, path: str, changed: dict[str, Variant]) -> None:
        self._objects.tree[path][DEVICE].update(changed)
        self._objects.tell(path, DEVICE, changed)

    def _address(self, message: Message) -> str:
        name = (message.path or "").split("/")[4]
        return name.removeprefix("dev_").replace("_", ":")
