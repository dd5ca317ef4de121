"""Any Modbus inverter, battery, meter or charger that a profile describes, on a serial port or over TCP."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from types import MappingProxyType
from urllib.parse import urlsplit

from bus.commands import Switch
from bus.messages import OFF, ON
from collector import profiles
from collector.devices.description import (
    Decoded,
    ModbusKind,
    RefusedError,
    Rows,
    SettingError,
    Tested,
    Values,
)
from collector.devices.lines import ModbusLine
from collector.devices.modbus.build import build
from collector.devices.modbus.decode import decode
from collector.devices.modbus.engine import BlockReader
from collector.devices.modbus.profile import (
    BIT_FUNCTIONS,
    COIL,
    MODEL,
    Block,
    Command,
    Product,
    Profile,
    ProfileError,
    as_list,
)
from collector.devices.rows import SERIAL_NUMBER
from config.model import Device

_TCP = "tcp"
_TCP_PORT = 502
_FORM = "tcp://192.168.1.20, tcp://inverter.local:1502, or the path of a serial port"


@dataclass(slots=True)
class ModbusDevice:
    """One configured device and what it told of itself so far; one whose kind is its own has no `model`."""

    profile: Profile
    unit: int
    model: str | None = None
    rows: Rows = field(init=False)
    _blocks: tuple[Block, ...] = field(init=False)
    _reader: BlockReader[Block] = field(init=False)

    def __post_init__(self) -> None:
        about = self.profile.about
        # Of optional blocks, those are told that the device has.
        self.rows, self._blocks = self.profile.rows(), tuple(self.profile.requests())
        nothing = f"unit {self.unit} has nothing that profile {about.name} asks for"
        self._reader = BlockReader(about.retry, about.strict, nothing)

    @property
    def baudrate(self) -> int:
        """Return the maker's speed, which the settings may override."""
        return self.profile.about.baudrate

    def poll(self, line: ModbusLine, now: float) -> Decoded:
        """Read each block that is due. Raises what the line raises unless the block is optional."""

        def read(block: Block) -> Decoded:
            ask = line.bits if block.function in BIT_FUNCTIONS else line.registers
            return decode(block, ask(self.unit, block.function, block.address, block.count), self.rows)

        told = self._reader.poll(self._blocks, read, now)
        values = told.values
        named = values.pop(MODEL, None) if self.profile.model else None
        if values.get(SERIAL_NUMBER) is not None:
            # Some keep it as a number: nobody calculates with it.
            values[SERIAL_NUMBER] = str(values[SERIAL_NUMBER])
        for product in self.profile.products:
            values[product.id] = _product(product, values)
        maker = None if self.model is None else self.profile.about.manufacturer
        return replace(told, model=self.model if named is None else str(named), manufacturer=maker)

    def switch(self, line: ModbusLine, entity: str, wanted: Switch) -> Values:
        """Switch a coil and read it back. Raises RefusedError if it does not obey."""
        coil, command = self._command(entity)
        name = self.rows[entity].entity.name.lower()
        on = not self._is_on(line, coil) if wanted is Switch.TOGGLE else wanted is Switch.ON
        if command.only_when is not None:
            self._require(line, name, command.only_when, command.is_)
        line.write_coil(self.unit, coil, on=on)
        if self._is_on(line, coil) is not on:
            hint = f": {command.hint}" if command.hint else ""
            raise RefusedError(f"the {name} output stays {OFF if on else ON}{hint}")
        return {entity: ON if on else OFF}

    def _command(self, entity: str) -> tuple[int, Command]:
        values = (value for block in self._blocks for value in block.values if value.id == entity)
        value = next(value for value in values if value.command is not None)
        assert value.command is not None  # noqa: S101 — as filtered
        return as_list(value.address)[0], value.command

    def _require(self, line: ModbusLine, name: str, entity: str, word: str) -> None:
        # Else the coil can be written and read back while the output does as its mode says.
        block, value = next((b, v) for b in self._blocks for v in b.values if v.id == entity)
        at, size = as_list(value.address)[0], value.size
        only = Block(name=entity, function=block.function, address=at, count=size, values=[value])
        try:
            words = line.registers(self.unit, block.function, at, size)
        except RefusedError:
            # A model without modes has nothing else that decides.
            return
        found = decode(only, words, self.rows).values[entity]
        if found != word:
            mode = self.rows[entity].entity.name.lower()
            raise RefusedError(
                f"the {name} output obeys commands only in {mode} {word}, and it is in {found or words[0]}: "
                f"change it on the device"
            )

    def _is_on(self, line: ModbusLine, coil: int) -> bool:
        return line.bits(self.unit, COIL, coil, 1)[0]


def _product(product: Product, values: Values) -> float | None:
    one, other = (values.get(entity) for entity in product.of)
    if isinstance(one, str | None) or isinstance(other, str | None):
        return None
    return round(one * other, product.decimals)


def make(settings: Device) -> ModbusDevice:
    """The device of these settings. Raises SettingError for a port or profile that cannot be."""
    check_port(settings)
    profile = load(settings.profile or "")
    return ModbusDevice(profile, settings.unit or profile.about.unit, profile.about.title)


def check_port(settings: Device) -> None:
    """Raise SettingError if the port is a tcp:// address that is none."""
    port = settings.port or ""
    if port.startswith(f"{_TCP}://"):
        try:
            tcp_address(port)
        except ValueError as error:
            raise SettingError("port", str(error), _FORM) from error


def tcp_address(port: str) -> tuple[str, int]:
    """Host and port number of a tcp:// setting. Raises ValueError saying what is wrong."""
    parts = urlsplit(port)
    number = parts.port
    if parts.scheme != _TCP or not parts.hostname:
        raise ValueError(f"{port!r} names no host")
    if parts.path.strip("/") or parts.query or parts.username:
        raise ValueError(f"{port!r} has more than host and port")
    return parts.hostname, _TCP_PORT if number is None else number


def load(name: str) -> Profile:
    """A shipped profile by name, or the owner's own by path. Raises SettingError."""
    allowed = f"{', '.join(profiles.shipped())}, or the path of a file of your own"
    try:
        return build(profiles.read(name))
    except profiles.ProfileFileError as error:
        raise SettingError("profile", str(error), allowed) from error
    except ProfileError as error:
        raise SettingError("profile", f"{name}: {error.where}: {error.wrong}", error.allowed) from error


@cache
def shipped() -> tuple[Profile, ...]:
    """Every shipped profile: title, source, whether it was seen on hardware, notes and rows."""
    return tuple(load(name) for name in profiles.shipped())


def _of_its_own(name: str, tested: tuple[Tested, ...], every: float) -> ModbusKind:
    """A kind that is one profile: its owner writes no `profile`, and finds it among the kinds."""
    profile = load(name)
    about = profile.about

    def of(settings: Device) -> ModbusDevice:
        check_port(settings)
        return ModbusDevice(profile, settings.unit or about.unit)

    return ModbusKind(
        name=about.kind,
        title=about.title,
        manufacturer=about.manufacturer,
        rows=profile.rows(),
        source=about.source,
        needs=("port",),
        takes=("unit", "baudrate"),
        tested=tested,
        every=every,
        make=of,
    )


KINDS: Mapping[str, ModbusKind] = MappingProxyType(
    {
        "modbus": ModbusKind(
            name="modbus",
            title="Modbus inverter, battery or meter by profile",
            manufacturer="Modbus",
            rows=MappingProxyType({}),
            source="Modbus Application Protocol V1.1b3; each profile names its own source",
            needs=("port", "profile"),
            takes=("unit", "baudrate"),
            tested=(Tested.TWIN,),
            every=10,
            make=make,
        ),
        "epever_tracer": _of_its_own("epever_tracer", (Tested.CAPTURE, Tested.TWIN), every=60.0),
    }
)
