"""Any Modbus inverter, battery or meter that a profile describes, on a serial port or over TCP."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType

from collector import profiles
from collector.devices.description import (
    Decoded,
    DecodeError,
    LineError,
    ModbusKind,
    NoAnswerError,
    RefusedError,
    Rows,
    SettingError,
    Tested,
)
from collector.devices.lines import ModbusLine
from collector.devices.modbus_address import FORM, is_tcp, tcp_address
from collector.devices.modbus_decode import Reading, decode
from collector.devices.modbus_profile import Block, Profile
from collector.devices.profile_build import build
from collector.devices.profile_table import ProfileError
from collector.devices.rows import SERIAL_NUMBER
from config.model import Device

# A block that a model does not have is asked ever less often: the firmware may be newer one day.
_FIRST_RETRY_S = 30.0
_LAST_RETRY_S = 3600.0
# A poll comes a little early or late; a block is due within this of its time.
_SLACK_S = 0.5
_MODEL = "model"


@dataclass(slots=True)
class _State:
    """Of one block: when it is due next, its failures in a row, what it said last (None: nothing yet)."""

    due: float = float("-inf")
    failures: int = 0
    said: Reading | None = None


@dataclass(slots=True)
class ModbusDevice:
    """One configured device and what it told of itself so far."""

    profile: Profile
    unit: int
    _states: dict[str, _State] = field(default_factory=dict)

    @property
    def rows(self) -> Rows:
        """What the profile lists; of optional blocks, what the device has."""
        return self.profile.rows

    @property
    def baudrate(self) -> int:
        """The maker's speed, unless the settings say another."""
        return self.profile.baudrate

    def poll(self, line: ModbusLine, now: float) -> Decoded:
        """Read each block that is due. Raises what the line raises unless the block is optional."""
        try:
            return self._poll(line, now)
        except (DecodeError, LineError):
            # It may be another device when it comes back: nothing of before counts.
            for state in self._states.values():
                state.said, state.due = None, min(state.due, now) if state.failures == 0 else state.due
            raise

    def _poll(self, line: ModbusLine, now: float) -> Decoded:
        due = [block for block in self._blocks() if now >= self._state(block).due - _SLACK_S]
        heard = False
        # What every model has comes first: a device that is not there is found out at once.
        for block in sorted(due, key=lambda one: one.optional):
            try:
                words = line.registers(self.unit, block.function, block.address, block.count)
            except (RefusedError, NoAnswerError) as error:
                if not block.optional or (isinstance(error, NoAnswerError) and not heard):
                    raise
                self._missed(block, now)
                continue
            heard = True
            said = Reading()
            decode(block, words, said)
            self._states[block.name] = _State(now + block.every, 0, said)
        if due and not heard:
            raise RefusedError(f"unit {self.unit} has nothing that profile {self.profile.name} asks for")
        return self._told()

    def _blocks(self) -> Iterator[Block]:
        yield from self.profile.blocks
        for block in (self.profile.model, self.profile.serial):
            if block is not None and self._state(block).said is None:
                yield block

    def _state(self, block: Block) -> _State:
        return self._states.setdefault(block.name, _State())

    def _missed(self, block: Block, now: float) -> None:
        state = self._state(block)
        delay = min(_FIRST_RETRY_S * 2**state.failures, _LAST_RETRY_S)
        # What it said before is unknown now.
        said = None if state.said is None else Reading(dict.fromkeys(state.said.values))
        self._states[block.name] = _State(now + delay, min(state.failures + 1, 10), said)

    def _told(self) -> Decoded:
        whole = Reading()
        for state in self._states.values():
            if state.said is not None:
                whole.values |= state.said.values
                whole.unknown += state.said.unknown
                whole.reasons |= state.said.reasons
        named = whole.values.pop(_MODEL, None) if self.profile.model else None
        if whole.values.get(SERIAL_NUMBER) is not None:
            # Some keep it as a number: nobody calculates with it.
            whole.values[SERIAL_NUMBER] = str(whole.values[SERIAL_NUMBER])
        model = self.profile.title if named is None else str(named)
        return Decoded(
            whole.values,
            model,
            tuple(whole.unknown),
            reasons=whole.reasons,
            manufacturer=self.profile.manufacturer,
        )


def make(settings: Device) -> ModbusDevice:
    """The device of these settings. Raises SettingError for a port or profile that cannot be."""
    check_port(settings)
    profile = load(settings.profile or "")
    return ModbusDevice(profile, settings.unit or profile.unit)


def check_port(settings: Device) -> None:
    """Raise SettingError if the port is a tcp:// address that is none."""
    port = settings.port or ""
    if is_tcp(port):
        try:
            tcp_address(port)
        except ValueError as error:
            raise SettingError("port", str(error), FORM) from error


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


KIND = ModbusKind(
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
)
