"""A bluetoothd on a private bus, for the real bleak: with an antenna to feed and faults to switch on."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Self, TypeVar

from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus

from tests.emulators.bluez_gatt import CHARACTERISTIC, Gatt, Peripheral, Told
from tests.emulators.bluez_objects import (
    ADAPTER,
    MONITOR,
    MONITOR_MANAGER,
    OBJECT_MANAGER,
    PROPERTIES,
    BluezError,
    Monitor,
    Objects,
    Said,
)

_T = TypeVar("_T")
_REPLY_WITHIN = 5.0
# Signals that may wait in the bus's socket.
_AHEAD = 16
# Seconds between two words of a peripheral.
_BEAT = 0.2
_MATCH_OWNERS = "type='signal',member='NameOwnerChanged',interface='org.freedesktop.DBus'"


@dataclass(slots=True)
class _Fault:
    """`times` calls (None: all) are answered with `error`, or never if it is None; `works` still does it."""

    error: str | None
    times: int | None
    works: bool = False


class FakeBluez:
    """org.bluez with one adapter on its own thread; every method is safe to call from a test's thread."""

    def __init__(self, address: str, *, adapter: str = "hci0", experimental: bool = True) -> None:
        self._address = address
        self._objects = Objects(self._signal, adapter=adapter, experimental=experimental)
        self._gatt = Gatt(self._objects)
        self._faults: dict[str, _Fault] = {}
        self._silent = False
        self._calls: list[str] = []
        self._told = 0
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="bluetoothd", daemon=True)
        self._bus: MessageBus | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._on_loop(self._connect(with_adapter=True))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._on_loop(self._disconnect())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_REPLY_WITHIN)
        self._loop.close()

    # The antenna.

    def advertise(
        self,
        address: str,
        manufacturer: Mapping[int, bytes],
        *,
        services: Mapping[str, bytes] = MappingProxyType({}),
        rssi: int = -60,
        name: str | None = None,
    ) -> bool:
        """Send one advertisement; True if the adapter heard and signalled it."""

        async def send() -> bool:
            said = Said(manufacturer, services, rssi, name)
            if self._silent or not self._objects.advertise(address, said):
                return False
            await self._keep_pace()
            return True

        return self._on_loop(send())

    def place(self, address: str, peripheral: Peripheral) -> None:
        """Put a device there that advertises, takes a connection, and speaks by itself."""
        self._gatt.peripherals[address] = peripheral
        self._objects.connectable.add(address)

    def is_connected(self, address: str) -> bool:
        return self._gatt.connected(address)

    @property
    def connects(self) -> int:
        """How many connections came about."""
        return self._gatt.connects

    # Faults.

    def drop(self, address: str) -> None:
        """The connection to a device is lost."""
        self._on_loop(self._do(lambda: self._gatt.drop(address)))

    def drop_soon(self, address: str) -> None:
        """The connection is lost right after what is told now; for a peripheral's own use."""
        self._loop.call_later(_BEAT / 10, self._gatt.drop, address)

    def notify(self, address: str, told: Told) -> None:
        """A device says this now."""
        self._on_loop(self._do(lambda: self._gatt.notify(address, told)))

    def fail(self, member: str, error: str = "org.bluez.Error.Failed", times: int | None = None) -> None:
        self._faults[member] = _Fault(error, times)

    def hang(self, member: str, times: int | None = None) -> None:
        self._faults[member] = _Fault(None, times)

    def swallow(self, member: str, times: int | None = None) -> None:
        """The work is done but the reply is lost: its client knows nothing of what it left behind."""
        self._faults[member] = _Fault(None, times, works=True)

    def forget_signal(self, address: str) -> None:
        """The device's RSSI is withdrawn, as BlueZ does when it has not heard it for a while."""
        self._on_loop(self._do(lambda: self._objects.forget_signal(address)))

    def heal(self) -> None:
        self._faults.clear()
        self._silent = False

    def silence(self) -> None:
        """The antenna hears nothing, as a hung controller does: scans start but nothing arrives."""
        self._silent = True

    def remove_adapter(self) -> None:
        self._on_loop(self._do(self._objects.remove_adapter))

    def add_adapter(self) -> None:
        self._on_loop(self._do(self._objects.add_adapter))

    def power(self, *, on: bool) -> None:
        """Somebody else switches the adapter, as rfkill and bluetoothctl do."""
        self._on_loop(self._do(lambda: self._objects.set_powered(on=on)))

    def end_scans(self) -> None:
        """Every client's discovery ends, not at its wish."""
        self._on_loop(self._do(self._objects.end_scans))

    def tell(self, path: str, interface: str, member: str, signature: str, body: list[object]) -> None:
        """Any signal."""
        self._on_loop(self._do(lambda: self._signal(path, interface, member, signature, body)))

    def stop_daemon(self) -> None:
        """Bluetoothd dies: its name leaves the bus, no object says goodbye."""
        self._on_loop(self._disconnect())

    def start_daemon(self) -> None:
        self._on_loop(self._connect(with_adapter=True))

    # What a test may ask.

    @property
    def calls(self) -> tuple[str, ...]:
        """Method calls so far, oldest first."""
        return tuple(self._calls)

    @property
    def powered_history(self) -> tuple[bool, ...]:
        """What clients wrote to Powered, oldest first."""
        return tuple(self._objects.powered_history)

    @property
    def scanning(self) -> bool:
        return self._objects.scanning

    def wait_scanning(self, timeout: float) -> bool:
        return self.wait_until(lambda: self._objects.scanning, timeout)

    def wait_until(self, true: Callable[[], bool], timeout: float) -> bool:
        """Whether `true` became so within `timeout` seconds; asked after every call and change."""
        with self._changed:
            return self._changed.wait_for(true, timeout)

    # The wire.

    def _on_loop(self, work: Coroutine[None, None, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_REPLY_WITHIN)

    async def _do(self, change: Callable[[], None]) -> None:
        change()
        self._notify()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    async def _connect(self, *, with_adapter: bool) -> None:
        self._objects.reset(with_adapter=with_adapter)
        self._bus = await MessageBus(self._address).connect()
        self._bus.add_message_handler(self._handle)
        await self._bus.call(_to_the_bus("AddMatch", "s", [_MATCH_OWNERS]))
        await self._bus.request_name("org.bluez")
        task = self._loop.create_task(self._live())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _live(self) -> None:
        """Let the peripherals advertise and speak."""
        while True:
            await asyncio.sleep(_BEAT)
            if not self._silent and self._gatt.peripherals:
                self._gatt.beacon()
                self._gatt.speak()
                await self._keep_pace()

    async def _keep_pace(self) -> None:
        """Ask the bus something now and then: dbus-fast gives up a bus whose socket is full."""
        self._told += 1
        if self._told % _AHEAD == 0 and self._bus is not None and self._bus.connected:
            await self._bus.call(_to_the_bus("GetId"))

    async def _disconnect(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._bus is not None:
            bus, self._bus = self._bus, None
            bus.disconnect()
            # Both errors: the bus itself died first.
            with suppress(EOFError, ConnectionError):
                await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]  # dbus-fast leaves it untyped
        self._objects.reset(with_adapter=False)

    def _signal(self, path: str, interface: str, member: str, signature: str, body: list[object]) -> None:
        if self._bus is not None and self._bus.connected:
            sent = self._bus.send(
                Message(
                    message_type=MessageType.SIGNAL,
                    path=path,
                    interface=interface,
                    member=member,
                    signature=signature,
                    body=body,
                )
            )
            # A bus that dies under the signal is a fault some tests ask for.
            sent.add_done_callback(lambda future: future.cancelled() or future.exception())

    def _handle(self, message: Message) -> Message | bool | None:
        if message.message_type is MessageType.SIGNAL:
            if message.member == "NameOwnerChanged" and not message.body[2]:
                self._objects.forget_client(message.body[0])
                self._notify()
            return None
        if message.message_type is not MessageType.METHOD_CALL or message.member is None:
            return None
        self._calls.append(message.member)
        try:
            return self._swallowed(message) or self._answer(message)
        except BluezError as error:
            return Message.new_error(message, error.name, str(error))
        finally:
            self._notify()

    def _swallowed(self, message: Message) -> bool:
        fault = self._faults.get(message.member or "")
        if fault is None or fault.times == 0:
            return False
        if fault.times is not None:
            fault.times -= 1
        if fault.error is not None:
            raise BluezError(fault.error, "simulated")
        if fault.works:
            self._answer(message)
        # True tells dbus-fast that the call is dealt with: no reply is ever sent.
        return True

    def _answer(self, message: Message) -> Message:
        objects = self._objects
        if message.interface == OBJECT_MANAGER and message.member == "GetManagedObjects":
            return Message.new_method_return(message, "a{oa{sa{sv}}}", [objects.tree])
        if message.path not in objects.tree:
            raise BluezError("org.freedesktop.DBus.Error.UnknownObject", f"no object {message.path}")
        if message.interface == PROPERTIES and message.member == "Set":
            objects.set_powered(on=message.body[2].value)
            return Message.new_method_return(message)
        if message.interface == PROPERTIES and message.member == "Get":
            interface, name = message.body
            return Message.new_method_return(message, "v", [objects.tree[message.path][interface][name]])
        if message.interface == PROPERTIES and message.member == "GetAll":
            properties = objects.tree[message.path].get(message.body[0], {})
            return Message.new_method_return(message, "a{sv}", [properties])
        interfaces = objects.tree[message.path]
        if message.interface == CHARACTERISTIC and message.member == "WriteValue":
            address, told = self._gatt.write(message)
            # The reply comes first.
            self._loop.call_soon(self._gatt.notify, address, told)
            return Message.new_method_return(message)
        methods = {
            **self._gatt.methods(),
            (ADAPTER, "SetDiscoveryFilter"): self._set_filter,
            (ADAPTER, "StartDiscovery"): lambda m: objects.start_discovery(m.sender or ""),
            (ADAPTER, "StopDiscovery"): lambda m: objects.stop_discovery(m.sender or ""),
            (MONITOR_MANAGER, "RegisterMonitor"): self._register_monitor,
            (MONITOR_MANAGER, "UnregisterMonitor"): self._unregister_monitor,
        }
        method = methods.get((message.interface or "", message.member or ""))
        if method is None or message.interface not in interfaces:
            raise BluezError("org.freedesktop.DBus.Error.UnknownMethod", f"{message.interface} is not here")
        method(message)
        return Message.new_method_return(message)

    def _set_filter(self, message: Message) -> None:
        self._objects.filters[message.sender or ""] = message.body[0]

    def _register_monitor(self, message: Message) -> None:
        owner, root = message.sender or "", str(message.body[0])
        monitor = Monitor(owner)
        self._objects.monitors[owner, root] = monitor
        task = self._loop.create_task(self._activate(monitor, root))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _unregister_monitor(self, message: Message) -> None:
        self._objects.monitors.pop((message.sender or "", str(message.body[0])), None)

    async def _activate(self, monitor: Monitor, root: str) -> None:
        """Read the client's patterns and activate its monitor, which it exports after it has registered."""
        for _ in range(100):
            reply = await self._call_client(monitor.owner, root, PROPERTIES, "GetAll", body=[MONITOR])
            if reply is not None and reply.message_type is MessageType.METHOD_RETURN:
                break
            await asyncio.sleep(0.01)
        else:
            return
        patterns = reply.body[0]["Patterns"].value
        monitor.patterns = tuple((start, kind, bytes(content)) for start, kind, content in patterns)
        reply = await self._call_client(monitor.owner, root, MONITOR, "Activate")
        monitor.active = reply is not None and reply.message_type is MessageType.METHOD_RETURN
        self._notify()

    async def _call_client(
        self, owner: str, path: str, interface: str, member: str, *, body: Sequence[str] = ()
    ) -> Message | None:
        if self._bus is None:
            return None
        return await self._bus.call(
            Message(
                destination=owner,
                path=path,
                interface=interface,
                member=member,
                signature="s" * len(body),
                body=list(body),
            )
        )


def _to_the_bus(member: str, signature: str = "", body: Sequence[object] = ()) -> Message:
    return Message(
        destination="org.freedesktop.DBus",
        path="/org/freedesktop/DBus",
        interface="org.freedesktop.DBus",
        member=member,
        signature=signature,
        body=list(body),
    )
