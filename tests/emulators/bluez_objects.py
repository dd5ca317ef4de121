"""BlueZ's object tree and what its methods do to it, without a bus: adapter, devices, sessions, monitors."""

# BlueZ doc/org.bluez.Adapter.rst, org.bluez.Device.rst, org.bluez.AdvertisementMonitorManager.rst.

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dbus_fast import Variant

ADAPTER = "org.bluez.Adapter1"
DEVICE = "org.bluez.Device1"
MONITOR = "org.bluez.AdvertisementMonitor1"
MONITOR_MANAGER = "org.bluez.AdvertisementMonitorManager1"
OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"
PROPERTIES = "org.freedesktop.DBus.Properties"

MANUFACTURER_DATA, SERVICE_DATA_16 = 0xFF, 0x16
# A smaller change of signal is not signalled (BlueZ src/device.c, RSSI_THRESHOLD).
_RSSI_STEP = 8

Properties = dict[str, Variant]
Interfaces = dict[str, Properties]
Pattern = tuple[int, int, bytes]
Signal = Callable[[str, str, str, str, list[object]], None]


@dataclass(frozen=True, slots=True)
class Said:
    """One advertisement: data by company, and a service's UUID of 128 bits; `uuids` of its services."""

    manufacturer: Mapping[int, bytes]
    services: Mapping[str, bytes]
    rssi: int
    name: str | None
    uuids: Sequence[str] = ()

    @property
    def sections(self) -> list[tuple[int, bytes]]:
        """Its parts as they are on the air, each with its type."""
        companies = [(MANUFACTURER_DATA, n.to_bytes(2, "little") + d) for n, d in self.manufacturer.items()]
        services = [
            (SERVICE_DATA_16, bytes.fromhex(uuid[4:8])[::-1] + data) for uuid, data in self.services.items()
        ]
        return companies + services


class BluezError(Exception):
    """An error reply: its D-Bus name and text."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


@dataclass(slots=True)
class Monitor:
    """A client's advertisement monitor; it hears nothing until it is active."""

    owner: str
    patterns: tuple[Pattern, ...] = ()
    active: bool = False


class Objects:
    """The tree under /org/bluez; every change goes out through `signal`."""

    def __init__(self, signal: Signal, *, adapter: str = "hci0", experimental: bool = True) -> None:
        self.signal = signal
        self._experimental = experimental
        self.adapter_path = f"/org/bluez/{adapter}"
        self.tree: dict[str, Interfaces] = {}
        self.sessions: set[str] = set()
        self.filters: dict[str, Properties] = {}
        self.monitors: dict[tuple[str, str], Monitor] = {}
        self.powered_history: list[bool] = []
        # Addresses of the devices that take connections.
        self.connectable: set[str] = set()

    @property
    def scanning(self) -> bool:
        return self.powered and (bool(self.sessions) or any(m.active for m in self.monitors.values()))

    @property
    def powered(self) -> bool:
        """Whether there is an adapter and it is on."""
        adapter = self.tree.get(self.adapter_path)
        return adapter is not None and adapter[ADAPTER]["Powered"].value is True

    def reset(self, *, with_adapter: bool) -> None:
        """As after a start of bluetoothd: no sessions, no monitors, no devices."""
        self.tree = {"/org/bluez": {"org.bluez.AgentManager1": {}}}
        self.sessions.clear()
        self.filters.clear()
        self.monitors.clear()
        if with_adapter:
            self.tree[self.adapter_path] = self._new_adapter()

    def add_adapter(self) -> None:
        self.tree[self.adapter_path] = self._new_adapter()
        self.signal("/", OBJECT_MANAGER, "InterfacesAdded", "oa{sa{sv}}", self._added(self.adapter_path))

    def remove_adapter(self) -> None:
        self._forget_clients()
        self._remove_devices()
        interfaces = self.tree.pop(self.adapter_path, {})
        self.signal("/", OBJECT_MANAGER, "InterfacesRemoved", "oas", [self.adapter_path, sorted(interfaces)])

    def forget_client(self, owner: str) -> None:
        """A client's connection closed: BlueZ drops what belonged to it."""
        self.sessions.discard(owner)
        self.filters.pop(owner, None)
        self.monitors = {key: monitor for key, monitor in self.monitors.items() if monitor.owner != owner}
        self._tell_discovering()

    def advertise(self, address: str, said: Said) -> bool:
        """An advertisement reaches the antenna; False if no scan or pattern lets it through."""
        if not self.powered or not self._lets_through(said):
            return False
        path = self._device_path(address)
        if path not in self.tree:
            self.tree[path] = {DEVICE: self._new_device(address, said)}
            self.signal("/", OBJECT_MANAGER, "InterfacesAdded", "oa{sa{sv}}", self._added(path))
            return True
        known = self.tree[path][DEVICE]
        changed = _changes(known, said)
        if changed:
            known.update(changed)
            self.tell(path, DEVICE, changed)
        return True

    def forget_signal(self, address: str) -> None:
        path = self._device_path(address)
        del self.tree[path][DEVICE]["RSSI"]
        self.signal(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [DEVICE, {}, ["RSSI"]])

    def start_discovery(self, sender: str) -> None:
        if not self.powered:
            raise BluezError("org.bluez.Error.NotReady", "Resource Not Ready")
        if sender in self.sessions:
            raise BluezError("org.bluez.Error.InProgress", "Operation already in progress")
        self.sessions.add(sender)
        self._tell_discovering()

    def stop_discovery(self, sender: str) -> None:
        if sender not in self.sessions:
            raise BluezError("org.bluez.Error.Failed", "No discovery started")
        self.sessions.discard(sender)
        self._tell_discovering()

    def end_scans(self) -> None:
        """No client has a session any more."""
        self.sessions.clear()
        self._tell_discovering()

    def set_powered(self, *, on: bool) -> None:
        self.powered_history.append(on)
        self.tree[self.adapter_path][ADAPTER]["Powered"] = Variant("b", on)
        self.tell(self.adapter_path, ADAPTER, {"Powered": Variant("b", on)})
        if not on:
            self._forget_clients()
            self._remove_devices()

    def _lets_through(self, said: Said) -> bool:
        if self.sessions:
            return True
        return any(
            kind == its and section[start : start + len(content)] == content
            for monitor in self.monitors.values()
            if monitor.active
            for start, kind, content in monitor.patterns
            for its, section in said.sections
        )

    def _device_path(self, address: str) -> str:
        return f"{self.adapter_path}/dev_{address.replace(':', '_')}"

    def _forget_clients(self) -> None:
        self.sessions.clear()
        for monitor in self.monitors.values():
            monitor.active = False
        self._tell_discovering()

    def _remove_devices(self) -> None:
        for path in sorted(
            (one for one in self.tree if one.startswith(self.adapter_path + "/")), reverse=True
        ):
            interfaces = self.tree.pop(path)
            self.signal("/", OBJECT_MANAGER, "InterfacesRemoved", "oas", [path, list(interfaces)])

    def _tell_discovering(self) -> None:
        interfaces = self.tree.get(self.adapter_path)
        now = Variant("b", bool(self.sessions))
        if interfaces is not None and interfaces[ADAPTER]["Discovering"] != now:
            interfaces[ADAPTER]["Discovering"] = now
            self.tell(self.adapter_path, ADAPTER, {"Discovering": now})
            if not now.value:
                self._forget_signals()

    def _forget_signals(self) -> None:
        """Withdraw signal strengths: BlueZ keeps none when the discovery ends. A bus has no room for many."""
        for path in map(self._device_path, self.connectable):
            if self.tree.get(path, {}).get(DEVICE, {}).pop("RSSI", None) is not None:
                self.signal(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [DEVICE, {}, ["RSSI"]])

    def tell(self, path: str, interface: str, changed: Properties) -> None:
        self.signal(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [interface, changed, []])

    def _added(self, path: str) -> list[object]:
        return [path, self.tree[path]]

    def _new_adapter(self) -> Interfaces:
        interfaces: Interfaces = {
            ADAPTER: {
                "Address": Variant("s", "B8:27:EB:00:00:01"),
                "Name": Variant("s", "van"),
                "Powered": Variant("b", value=True),
                "Discovering": Variant("b", value=False),
                "Roles": Variant("as", ["central", "peripheral"]),
            }
        }
        if self._experimental:
            interfaces[MONITOR_MANAGER] = {"SupportedMonitorTypes": Variant("as", ["or_patterns"])}
        return interfaces

    def _new_device(self, address: str, said: Said) -> Properties:
        return {
            "Address": Variant("s", address),
            "AddressType": Variant("s", "random"),
            "Alias": Variant("s", said.name or address.replace(":", "-")),
            "Adapter": Variant("o", self.adapter_path),
            "Paired": Variant("b", value=False),
            "Connected": Variant("b", value=False),
            "ServicesResolved": Variant("b", value=False),
            "UUIDs": Variant("as", list(said.uuids)),
            **_changes({}, said),
        }


def _changes(known: Properties, said: Said) -> Properties:
    """Only what differs is signalled: bleak asks for DuplicateData = false."""
    changed: Properties = {}
    before = known.get("ManufacturerData", Variant("a{qv}", {})).value
    # BlueZ keeps the last data of each company, also of those missing from this advertisement.
    after = before | {company: Variant("ay", data) for company, data in said.manufacturer.items()}
    if after != before:
        changed["ManufacturerData"] = Variant("a{qv}", after)
    services = known.get("ServiceData", Variant("a{sv}", {})).value
    newest = services | {uuid: Variant("ay", data) for uuid, data in said.services.items()}
    if newest != services:
        changed["ServiceData"] = Variant("a{sv}", newest)
    if "RSSI" not in known or abs(known["RSSI"].value - said.rssi) >= _RSSI_STEP:
        changed["RSSI"] = Variant("n", said.rssi)
    if said.name is not None and "Name" not in known:
        changed["Name"] = Variant("s", said.name)
    return changed
